// SPDX-License-Identifier: GPL-2.0-or-later
#include "out.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../loop.h"

/* The stream whose bytes go to that side. */
static struct stream *stream_to(struct session *s, enum side side)
{
	return &s->streams[side == SIDE_CLIENT ? DOWN : UP];
}

/* How many bytes the socket took; or a negative errno. */
static ssize_t send_some(struct session *s, enum side side, struct iovec *iov, int n, size_t total)
{
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)n};
	struct conn *c = s->conns[side];
	ssize_t sent;

	if (!c->writable)
		return 0;
	do
		sent = n == 1 ? send(c->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
			      : sendmsg(c->fd, &m, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && errno != EAGAIN)
		return -errno;
	if (sent < 0)
		sent = 0;
	/* A short write has met the end of the room: the next edge says that there is more. */
	if ((size_t)sent < total)
		c->writable = false;
	c->sent += (uint64_t)sent;
	stream_to(s, side)->copied += (uint64_t)sent;
	if (sent > 0)
		s->splice.active_ns = s->home->loop->now;
	return sent;
}

static size_t total_of(const struct iovec *iov, int n)
{
	size_t total = 0;

	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	return total;
}

/* What is behind the first `skip` bytes of the pieces goes behind what is kept. 0 or -ENOMEM. */
static int keep(struct http_out *out, const struct iovec *iov, int n, size_t skip)
{
	char *data = malloc(out->len + total_of(iov, n) - skip), *at;

	if (!data)
		return -ENOMEM;
	at = out->len ? mempcpy(data, out->data + out->at, out->len) : data;
	for (int i = 0; i < n; i++) {
		size_t cut = skip < iov[i].iov_len ? skip : iov[i].iov_len;

		at = mempcpy(at, (const char *)iov[i].iov_base + cut, iov[i].iov_len - cut);
		skip -= cut;
	}
	free(out->data);
	*out = (struct http_out){.data = data, .len = (uint32_t)(at - data)};
	return 0;
}

int http_write(struct session *s, enum side side, struct iovec *iov, int n)
{
	struct http_out *out = &s->http->out[side];
	size_t total = total_of(iov, n);
	ssize_t sent;

	assert(!out->len);
	if (!total)
		return 0;
	sent = send_some(s, side, iov, n, total);
	if (sent < 0) {
		s->http->lost[side] += total;
		return (int)sent;
	}
	if ((size_t)sent == total)
		return 0;
	if (keep(out, iov, n, (size_t)sent) < 0) {
		s->http->lost[side] += total - (size_t)sent;
		return -ENOMEM;
	}
	return 0;
}

int http_write_behind(struct session *s, enum side side, struct iovec *iov, int n)
{
	struct http_out *out = &s->http->out[side];

	if (!out->len)
		return http_write(s, side, iov, n);
	if (keep(out, iov, n, 0) == 0)
		return 0;
	s->http->lost[side] += total_of(iov, n);
	return -ENOMEM;
}

bool http_flush(struct session *s, enum side side)
{
	struct http_out *out = &s->http->out[side];
	struct iovec iov;
	ssize_t sent;

	if (!s->conns[side])
		return false;
	if (!stream_target_drained(stream_to(s, side)))
		return false;
	if (!out->len)
		return true;
	iov = (struct iovec){.iov_base = out->data + out->at, .iov_len = out->len};
	sent = send_some(s, side, &iov, 1, out->len);
	if (sent < 0) {
		http_fail(s, s->conns[side], (int)-sent);
		return false;
	}
	out->at += (uint32_t)sent;
	out->len -= (uint32_t)sent;
	if (out->len)
		return false;
	http_out_free(out);
	return true;
}
