// SPDX-License-Identifier: GPL-2.0-or-later
#include "input.h"

#include <errno.h>
#include <sys/socket.h>

#include "../loop.h"
#include "../tcpstate.h"

static void view_pending(const struct stream *st, struct input *in)
{
	*in = (struct input){
	    .data = st->pending + st->pending_at, .len = st->pending_len, .pending = true};
}

/* A read gives zero also after a reset whose error another call was told. After a FIN, TCP waits
 * for our own. */
static bool was_reset(const struct conn *c)
{
	struct tcp_state state;

	return c->tcp && tcp_state_read(c->fd, &state) == 0 && state.closed;
}

/* The connection has failed with `err`. EPIPE is what tcp_reset() says of one whose peer had ended
 * its stream before: a read gives the end then, and says nothing of the reset. */
static void read_failed(struct conn *c, int err)
{
	c->failed = true;
	c->end_first = c->end_first || (c->tcp && err == EPIPE);
}

/* One read into the worker's buffer. */
static enum input_result read_once(struct session *s, struct stream *st, size_t *ret)
{
	size_t size = stream_read_size(st);
	struct conn *c = st->source;
	ssize_t n;

	if (!c || c->fd < 0 || !c->readable)
		return INPUT_NONE;
	do
		n = recv(c->fd, s->home->loop->buffer, size, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN) {
		c->readable = false;
		return INPUT_NONE;
	}
	if (n < 0)
		read_failed(c, errno);
	else if (n == 0 && was_reset(c))
		read_failed(c, conn_error(c->fd));
	if (n <= 0)
		return INPUT_END;
	st->plenty = (size_t)n >= s->splice.settings->read_size;
	if ((size_t)n < size)
		conn_short_read(c);
	c->received += (uint64_t)n;
	s->splice.active_ns = s->home->loop->now;
	*ret = (size_t)n;
	return INPUT_SOME;
}

enum input_result input_get(struct session *s, struct stream *st, struct input *in)
{
	enum input_result r;

	if (st->pending_len) {
		view_pending(st, in);
		return INPUT_SOME;
	}
	r = read_once(s, st, &in->len);
	in->data = s->home->loop->buffer;
	in->pending = false;
	return r;
}

enum input_result input_more(struct session *s, struct stream *st, struct input *in)
{
	enum input_result r;
	size_t n = 0;

	if (!st->pending_len)
		return input_get(s, st, in);
	r = read_once(s, st, &n);
	if (r != INPUT_SOME)
		return r;
	if (stream_keep(st, s->home->loop->buffer, n) < 0) {
		session_end(s, END_LIMIT);
		return INPUT_NONE;
	}
	view_pending(st, in);
	return INPUT_SOME;
}

int input_used(struct session *s, struct stream *st, const struct input *in, size_t used)
{
	if (!in->pending)
		return used < in->len
			   ? stream_keep(st, s->home->loop->buffer + used, in->len - used)
			   : 0;
	st->pending_at += (uint32_t)used;
	st->pending_len -= (uint32_t)used;
	if (!st->pending_len)
		stream_fini(st);
	return 0;
}
