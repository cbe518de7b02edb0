// SPDX-License-Identifier: GPL-2.0-or-later
#include "sessionlog.h"

#include <string.h>

#include "accesslog.h"
#include "bypass/bypass.h"
#include "listener.h"
#include "session.h"
#include "stats.h"
#include "upstream/pool.h"

/* The names a client offered, with commas between. */
static void add_alpn(struct access_entry *e, const struct session_about *about, char buf[256])
{
	size_t at = 0, n = 0;

	while (at < about->alpn_len) {
		size_t len = (uint8_t)about->alpn[at];

		if (n)
			buf[n++] = ',';
		len = MIN(len, (size_t)about->alpn_len - at - 1);
		memcpy(buf + n, about->alpn + at + 1, len);
		n += len;
		at += len + 1;
	}
	buf[n] = '\0';
	access_text(e, "alpn", n ? buf : NULL);
}

static void write_line(const struct session *s)
{
	char client[ADDR_STR_MAX], backend[ADDR_STR_MAX], original[ADDR_STR_MAX], alpn[256];
	const struct stream *up = &s->streams[UP], *down = &s->streams[DOWN];
	const struct server *server = session_server(s);
	const struct addr *where = session_backend(s);
	uint64_t sent = stream_moved(up);
	struct access_entry e;

	access_begin(&e, "session");
	access_number(&e, "id", s->id);
	access_text(&e, "client", addr_format(&s->client_conn.peer, client));
	access_text(&e, "listener", s->listener->config->name);
	access_text(&e, "pool", s->pool ? s->pool->config->name : NULL);
	access_text(&e, "server", server ? server->name : NULL);
	access_text(&e, "backend", where ? addr_format(where, backend) : NULL);
	access_number(&e, "bytes_up", sent - MIN(sent, s->preamble));
	access_number(&e, "bytes_down", stream_moved(down));
	access_number(&e, "duration_ms", (now_ns() - s->began_ns) / NSEC_PER_MSEC);
	access_text(&e, "engine", s->served ? session_engine(s) : NULL);
	access_number(&e, "pauses", up->pauses + down->pauses);
	if (s->splice.wants_bypass)
		access_text(&e, "bypass", bypass_word(&s->splice));
	if (s->about && s->about->protocol) {
		access_text(&e, "protocol", s->about->protocol);
		access_text(&e, "sni", *s->about->sni ? s->about->sni : NULL);
		add_alpn(&e, s->about, alpn);
	}
	if (s->original)
		access_text(&e, "original", addr_format(s->original, original));
	if (s->no_room)
		access_text(&e, "reason", "memory");
	access_text(&e, "end", session_end_str[s->end]);
	access_write(&e);
}

/* log_empty = no: a client that connected, sent nothing and went, or was made to go. A PROXY header
 * is its sender's, not the client's. A failure of ours or of a server is told all the same. */
static bool is_empty_probe(const struct session *s)
{
	static const bool ends[_SESSION_END_MAX] = {
	    [END_DONE] = true,
	    [END_CLIENT_RESET] = true,
	    [END_CLIENT_CLOSED] = true,
	    [END_SNIFF_TIMEOUT] = true,
	    [END_SNIFF_LIMIT] = true,
	    [END_IDLE_TIMEOUT] = true,
	    [END_HALF_CLOSE_TIMEOUT] = true,
	};

	return ends[s->end] && s->client_conn.received == (s->about ? s->about->header : 0) &&
	       !stream_moved_by_kernel(&s->streams[UP]);
}

void session_log(const struct session *s)
{
	const struct home *h = s->home;

	if (atomic_load_explicit(h->access_log, memory_order_relaxed) &&
	    (atomic_load_explicit(h->log_empty, memory_order_relaxed) || !is_empty_probe(s)))
		write_line(s);
}

/* Of one direction. The kernel's share may become less: what its target never took is taken off at
 * the end. */
static void tally(struct session *s, enum direction d)
{
	const struct stream *stream = &s->streams[d];
	struct session_told *told = &s->told[d];
	struct stats *st = s->home->stats;
	const struct session_told now = {
	    .copied = stream->copied,
	    .redirected = stream_moved_by_kernel(stream),
	    .bypassed = stream_moved_directly(stream),
	    .trimmed = stream_trimmed(stream),
	};
	/* As enum bytes_of has them. */
	const uint64_t more[] = {now.copied - told->copied, now.redirected - told->redirected,
				 now.bypassed - told->bypassed};
	enum bytes_of first = d == UP ? BYTES_UP_COPY : BYTES_DOWN_COPY;
	unsigned int part = s->home->index;
	uint64_t *listener = &s->listener->account->parts[part].stats.bytes[first];
	uint64_t *server = s->told_server ? &s->told_server->parts[part].stats.bytes[first] : NULL;

	stat_add(&st->bytes_copied, more[0]);
	stat_add(&st->bytes_redirected, more[1]);
	stat_add(&st->bytes_bypassed, more[2]);
	stat_add(&st->bytes_trimmed, now.trimmed - told->trimmed);
	for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
		stat_add(&listener[i], more[i]);
		if (server)
			stat_add(&server[i], more[i]);
	}
	*told = now;
}

void session_tally(struct session *s)
{
	tally(s, UP);
	tally(s, DOWN);
}

static enum moved_by moved_by(const struct session *s)
{
	if (bypass_was_joined(&s->splice))
		return MOVED_BY_BYPASS;
	if (s->splice.adopted)
		return MOVED_BY_KERNEL;
	return s->served ? MOVED_BY_COPY : MOVED_BY_NONE;
}

void session_count(struct session *s)
{
	struct stats *st = s->home->stats;
	struct listener_stats *l = &s->listener->account->parts[s->home->index].stats;

	session_tally(s);
	stat_inc(&l->sessions_ended[moved_by(s)]);
	stat_time(&l->session_duration, s->home->loop->now - s->began_ns);
	stat_inc(&st->ends[s->end]);
	if (s->end == END_INTEGRITY)
		stat_inc(&st->integrity_aborts);
	if (s->opened_ns && !s->splice.adopted && !s->splice.copied_only &&
	    !bypass_was_joined(&s->splice))
		stat_inc(&st->sessions_copy);
	for (int i = 0; i < 2; i++) {
		const struct stream *stream = &s->streams[i];

		if (s->opened_ns && stream->why_copy == COPY_YOUNG)
			stat_inc(&st->copy_reasons[COPY_YOUNG]);
		if (bypass_is_open(&s->splice) && bypass_why(stream))
			stat_inc(&st->bypass_left[bypass_why(stream)]);
		if (!stream->way && stream->why_copy == COPY_HALF_CLOSED &&
		    stream->copied > stream->released_at)
			stat_inc(&st->copy_reasons[COPY_HALF_CLOSED]);
	}
}
