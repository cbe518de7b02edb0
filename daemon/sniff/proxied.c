// SPDX-License-Identifier: GPL-2.0-or-later
/* A PROXY header that comes in: whether it is taken, and what it changes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../listener.h"
#include "../loop.h"
#include "../session.h"
#include "../stats.h"
#include "look.h"
#include "proxyheader.h"
#include "state.h"

/* Whether the peer's word about the client counts. */
static bool is_trusted(const struct session *s)
{
	const struct listener_config *c = s->listener->config;

	for (size_t i = 0; i < c->n_trusted; i++)
		if (cidr_match(&c->trusted[i], &s->client_conn.peer))
			return true;
	return c->n_trusted == 0 && c->accept_proxy != PROXY_ACCEPT_NO;
}

/*
 * The peer speaks for itself, say to see whether anybody is here: `allow` and `deny` are about the
 * clients that it announces. Version 1 has no other word for that than UNKNOWN.
 */
static bool speaks_for_itself(const struct proxy_header *h)
{
	return h->command == PROXY_LOCAL || (h->version == 1 && !h->src.len);
}

/* What the daemon does not write itself goes on to the server as it came. 0 or -ENOMEM. */
static int keep_tlvs(struct session_about *about, const uint8_t *header,
		     const struct proxy_header *h)
{
	const uint8_t *tlvs = header + h->tlvs_at;
	size_t n = proxy_tlvs_of_others(tlvs, h->tlvs_len, NULL);

	about->checked = h->checked;
	if (!n)
		return 0;
	about->tlvs = malloc(n);
	if (!about->tlvs)
		return -ENOMEM;
	about->tlvs_len = (uint16_t)proxy_tlvs_of_others(tlvs, h->tlvs_len, about->tlvs);
	return 0;
}

/* The header is complete: from now on the session is the announced client's. */
static enum step believe(struct session *s, const uint8_t *buf, const struct proxy_header *h)
{
	struct session_about *about = session_about(s);

	s->proxied = true;
	if (!about)
		return STEP_DECIDED;
	if (h->src.len)
		s->client_conn.peer = h->src;
	about->dst = h->dst;
	memcpy(about->sni, h->authority, sizeof(about->sni));
	if (h->alpn_len && h->alpn_len < sizeof(about->alpn)) {
		about->alpn[0] = (char)h->alpn_len;
		memcpy(about->alpn + 1, h->alpn, h->alpn_len);
		about->alpn_len = (uint16_t)(h->alpn_len + 1);
	}
	memcpy(about->unique_id, h->unique_id, h->unique_id_len);
	about->unique_id_len = h->unique_id_len;
	if (keep_tlvs(about, buf, h) < 0)
		return sniff_refuse(s, END_LIMIT, "PROXY header", "out of memory");
	about->for_itself = speaks_for_itself(h);
	if (!about->for_itself && !listener_allows(s->listener, &s->client_conn.peer)) {
		stat_inc(&s->home->stats->denied);
		s->denied = s->listener->config->protocol == PROTOCOL_HTTP;
		if (s->denied)
			return STEP_ON;
		return sniff_refuse(s, END_DENIED, "PROXY header", "its client is denied");
	}
	return STEP_ON;
}

enum step sniff_proxy(struct session *s)
{
	const struct listener_config *c = s->listener->config;
	enum proxy_accept versions = c->accept_proxy;
	struct proxy_header h;
	const uint8_t *buf;
	enum step step;
	size_t len;
	int r;

	if (s->proxied || (versions == PROXY_ACCEPT_NO && c->protocol != PROTOCOL_AUTO))
		return STEP_ON;
	buf = sniff_at_hand(s, &len);
	if (!len)
		return STEP_MORE;
	/* protocol = auto finds it out, like everything else. */
	if (versions == PROXY_ACCEPT_NO) {
		if (!proxy_header_starts(buf, len))
			return STEP_ON;
		if (!proxy_header_is(buf, len))
			return STEP_MORE;
		versions = PROXY_ACCEPT_ANY;
	}
	if (!is_trusted(s))
		return sniff_refuse(s, END_UNTRUSTED_PROXY, "PROXY header",
				    "the peer is not trusted");
	r = proxy_header_read(&s->sniff->scanned, buf, len, versions, &h);
	if (r == 0)
		return STEP_MORE;
	if (r < 0)
		return sniff_refuse(s, END_BAD_PROXY, "PROXY header", proxy_error_str[-r]);
	step = believe(s, buf, &h);
	if (step != STEP_ON)
		return step;
	s->about->header = (uint32_t)r;
	sniff_consume(s, (size_t)r);
	s->sniff->scanned = 0;
	/* It may be that now the server speaks. */
	s->sniff->heard_ns = s->home->loop->now;
	return STEP_ON;
}
