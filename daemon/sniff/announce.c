// SPDX-License-Identifier: GPL-2.0-or-later
#include "announce.h"

#include <stdio.h>
#include <string.h>

#include "../session.h"
#include "../upstream/pool.h"
#include "proxyheader.h"

/* A name that a client offers so that nobody relies on knowing all (RFC 8701). */
static bool is_grease(const char *name, size_t len)
{
	return len == 2 && name[0] == name[1] && (name[0] & 0xf) == 0xa;
}

/* The first of the names a client offers: what it prefers. */
static void set_alpn(struct proxy_header *h, const struct session_about *about)
{
	size_t at = 0, len;

	for (; at < about->alpn_len; at += 1 + len) {
		len = (uint8_t)about->alpn[at];
		if (!len || at + len >= about->alpn_len)
			return;
		if (!is_grease(about->alpn + at + 1, len)) {
			memcpy(h->alpn, about->alpn + at + 1, len);
			h->alpn_len = (uint8_t)len;
			return;
		}
	}
}

static void set_about(struct proxy_header *h, const struct session *s)
{
	const struct session_about *about = s->about;

	if (about) {
		memcpy(h->authority, about->sni, sizeof(h->authority));
		set_alpn(h, about);
		h->more = about->tlvs;
		h->more_len = about->tlvs_len;
		h->checked = about->checked;
	}
	if (about && about->unique_id_len) {
		memcpy(h->unique_id, about->unique_id, about->unique_id_len);
		h->unique_id_len = about->unique_id_len;
		return;
	}
	h->unique_id_len =
	    (uint8_t)snprintf((char *)h->unique_id, sizeof(h->unique_id), "%016llx-%llx",
			      (unsigned long long)s->home->instance, (unsigned long long)s->id);
}

size_t proxy_announce(const struct session *s, uint8_t *buf, size_t size)
{
	struct proxy_header h = {.command = PROXY_PROXIED};
	enum proxy_send send = s->pool->config->send_proxy;
	const struct addr *dst;
	struct addr local;

	if (send == PROXY_SEND_NO)
		return 0;
	h.src = s->client_conn.peer;
	dst = session_destination(s, &local);
	if (dst)
		h.dst = *dst;
	set_about(&h, s);
	return proxy_header_build(buf, size, send == PROXY_SEND_V1 ? 1 : 2, &h);
}

int proxy_announce_first(struct session *s)
{
	uint8_t header[PROXY_HEADER_MAX];
	size_t n = proxy_announce(s, header, sizeof(header));
	int err = n ? stream_put_first(&s->streams[UP], header, n) : 0;

	if (!err)
		s->preamble = n;
	return err;
}
