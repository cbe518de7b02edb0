/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sending half of an endpoint. */
#include <errno.h>
#include <sys/socket.h>

#include "../../daemon/util.h"
#include "run.h"

#define ROUNDS 8

/* True if this side must not begin before it has seen the other's end of stream. */
static bool sends_second(const struct endpoint *ep, const struct options *o)
{
	return !o->concurrent && ((o->half_close == SIDE_CLIENT && ep->side == SIDE_SERVER) ||
				  (o->half_close == SIDE_SERVER && ep->side == SIDE_CLIENT));
}

/* The position up to which the scenario lets this side send now. */
static uint64_t send_limit(const struct endpoint *ep, const struct run *run)
{
	const struct options *o = &run->opt;
	uint64_t limit = ep->tx.total;

	if (!ep->tx.known || (sends_second(ep, o) && !ep->rx.eof))
		return 0;
	if (o->echo && ep->side == SIDE_SERVER)
		limit = MIN(limit, ep->rx.received);
	if (o->pingpong_size) {
		uint64_t turns = ep->rx.received / o->pingpong_size;

		limit = MIN(limit, (turns + (ep->side == SIDE_CLIENT)) * o->pingpong_size);
	}
	if (o->idle && !run->released)
		limit = MIN(limit, IDLE_BYTES);
	return limit;
}

uint64_t writer_allowance(const struct endpoint *ep, const struct run *run, uint64_t now)
{
	const struct options *o = &run->opt;
	uint64_t limit = send_limit(ep, run);
	uint64_t most = limit - MIN(limit, ep->tx.sent);

	if (ep->connecting || ep->tx.dead || ep->tx.fin || now < ep->tx.not_before)
		return 0;
	if (o->rst == ep->side)
		most = MIN(most, o->rst_at - MIN(o->rst_at, ep->tx.sent + ep->rx.received));
	return most;
}

static bool may_end_stream(const struct endpoint *ep, const struct options *o)
{
	if (o->half_close == SIDE_NONE)
		return false;
	if (o->half_close == SIDE_CLIENT && ep->side == SIDE_SERVER)
		return ep->rx.eof;
	if (o->half_close == SIDE_SERVER && ep->side == SIDE_CLIENT)
		return ep->rx.eof;
	return true;
}

/* An echo server's stream is over when the client's is, whatever its length was. */
static bool all_sent(const struct endpoint *ep, const struct options *o)
{
	if (o->echo && ep->side == SIDE_SERVER)
		return ep->rx.eof && ep->tx.sent == MIN(ep->rx.received, ep->tx.total);
	return ep->tx.sent == ep->tx.total;
}

static void end_stream(struct endpoint *ep, struct run *run)
{
	uint64_t now = now_ns();

	/* A stream of no bytes belongs to nobody in particular, and may end at once. */
	if (ep->tx.fin || ep->tx.dead || ep->connecting || now < ep->tx.not_before)
		return;
	if (run->opt.idle && !run->released)
		return;
	if (run->opt.rst == ep->side || !all_sent(ep, &run->opt) || !may_end_stream(ep, &run->opt))
		return;
	ep->tx.fin = true;
	if (shutdown(ep->fd, SHUT_WR) < 0 && ep->err == 0) {
		ep->tx.dead = true;
		ep->err = errno;
	}
}

/* After a failed write the receive queue may still hold bytes: the reader finds the end. */
static void fail(struct endpoint *ep, struct run *run, int err)
{
	ep->tx.dead = true;
	ep->err = err;
	if (err != EPIPE && err != ECONNRESET)
		endpoint_end(ep, run, END_ERROR, err);
}

static void pause_writer(struct endpoint *ep, struct run *run)
{
	const struct options *o = &run->opt;

	if (run_chance(run, o->pause_probability))
		ep->tx.not_before = now_ns() + run_between(run, o->pause_min, o->pause_max);
	if (ep->tx.sent == ep->tx.total && o->fin_delay)
		ep->tx.not_before = now_ns() + o->fin_delay;
}

void writer_run(struct endpoint *ep, struct run *run)
{
	const struct options *o = &run->opt;
	int rounds = o->early_data ? 1 << 20 : ROUNDS;

	for (int i = 0; i < rounds; i++) {
		uint64_t most = writer_allowance(ep, run, now_ns());
		uint64_t size = run_between(run, o->write_min, o->write_max);
		ssize_t n;

		if (most == 0)
			break;
		size = MIN(MIN(size, most), CHUNK);
		pattern_fill(&ep->tx.pattern, ep->tx.sent, run->buf, size);
		n = send(ep->fd, run->buf, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			fail(ep, run, errno);
			return;
		}
		ep->tx.sent += (uint64_t)n;
		pause_writer(ep, run);
	}
	end_stream(ep, run);
}
