// SPDX-License-Identifier: GPL-2.0-or-later
/* What follows an upgrade or CONNECT: forwarded as it comes, and the end of the request. */
#include <errno.h>

#include "../tcp.h"
#include "exchange.h"
#include "out.h"

static const struct protocol protocol_tunnel = {
    .describe = tcp_describe,
    .event = tcp_event,
    .timeout = tcp_timeout,
    .conn_failed = tcp_conn_failed,
    .stream_done = tcp_stream_done,
    .ended = http_ended,
    .free = http_free,
};

/* What is kept for a side goes before what is pending for it. 0 or -ENOMEM. */
static int put_first(struct stream *st, struct http_out *out)
{
	if (!out->len)
		return 0;
	if (stream_put_first(st, out->data + out->at, out->len) < 0)
		return -ENOMEM;
	http_out_free(out);
	return 0;
}

void http_become_tunnel(struct session *s)
{
	struct http *h = s->http;

	http_record_tunnel(s);
	own_close(&h->own);
	if (put_first(&s->streams[DOWN], &h->out[SIDE_CLIENT]) < 0 ||
	    put_first(&s->streams[UP], &h->out[SIDE_BACKEND]) < 0) {
		session_end(s, END_LIMIT);
		return;
	}
	h->body[DOWN].done = h->body[UP].done = true;
	s->tunnel = true;
	tcp_forward(s, &protocol_tunnel);
}
