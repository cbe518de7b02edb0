/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The receiving half of an endpoint. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "../../daemon/util.h"
#include "run.h"

#define ROUNDS    8 /* reads a step, so that one endpoint cannot starve the rest */
#define SLOW_TICK (10 * NSEC_PER_MSEC) /* a slow reader's rate is kept in steps of this */
#define ECHO_ROOM (256 * 1024)         /* what an echo server holds before it stops reading */

static bool is_side(enum side chosen, enum side mine)
{
	return chosen == mine || chosen == SIDE_BOTH;
}

/* What the rate leaves to read; never so little that the reader turns into a byte counter. */
static uint64_t slow_allowance(const struct endpoint *ep, const struct run *run, uint64_t now)
{
	double due = (double)(now - ep->rx.started) / NSEC_PER_SEC * (double)run->opt.slow_rate;

	return due > (double)ep->rx.received ? (uint64_t)due - ep->rx.received + 1 : 0;
}

uint64_t reader_allowance(const struct endpoint *ep, const struct run *run, uint64_t now)
{
	const struct options *o = &run->opt;
	const struct rx *rx = &ep->rx;
	uint64_t most = UINT64_MAX;

	if (rx->eof || ep->connecting || now < rx->not_before)
		return 0;
	if (is_side(o->never_read, ep->side) && !run->released) {
		/* The server needs the head to know which stream to send. */
		uint64_t keep = ep->side == SIDE_SERVER ? PATTERN_HEAD : 0;

		most = keep - MIN(keep, rx->received);
	}
	if (is_side(o->slow_reader, ep->side))
		most = MIN(most, slow_allowance(ep, run, now));
	if (is_side(o->sleep_reader, ep->side) && !rx->slept)
		most = MIN(most, o->sleep_after - MIN(o->sleep_after, rx->received));
	if (o->echo && ep->side == SIDE_SERVER && rx->received - ep->tx.sent >= ECHO_ROOM)
		return 0;
	if (o->rst == ep->side)
		most = MIN(most, o->rst_at - MIN(o->rst_at, ep->tx.sent + rx->received));
	return most;
}

/* The stream's first bytes say which it is. */
static void identify(struct endpoint *ep, struct run *run)
{
	enum pattern_dir dir;
	uint32_t number;

	if (!pattern_parse_head(ep->rx.head, run->opt.seed, &dir, &number)) {
		ep->rx.broken = true;
		report_content(run, ep, 0, ep->rx.head, PATTERN_HEAD);
		return;
	}
	if (!sessions_join(run, ep, dir, number)) {
		ep->rx.broken = true;
		return;
	}
	pattern_init(&ep->rx.pattern, run->opt.seed, number, dir);
	ep->rx.known = true;
	ep->rx.verified = PATTERN_HEAD;
}

static void compare(struct endpoint *ep, struct run *run, const uint8_t *buf, size_t len)
{
	struct rx *rx = &ep->rx;
	size_t due = (size_t)MIN(len, rx->total - rx->received);
	size_t good = pattern_check(&rx->pattern, rx->received, buf, due);

	rx->verified += good;
	if (good < due)
		report_content(run, ep, rx->received + good, buf + good, len - good);
	else if (due < len)
		report_stream(run, ep, "excess", rx->total);
	/* One error a stream: what follows is wrong because of it. */
	rx->broken = good < len;
}

static void check(struct endpoint *ep, struct run *run, const uint8_t *buf, size_t len)
{
	struct rx *rx = &ep->rx;

	if (!rx->known && !rx->broken) {
		size_t n = MIN(PATTERN_HEAD - rx->received, len);

		memcpy(rx->head + rx->received, buf, n);
		rx->received += n;
		buf += n;
		len -= n;
		if (rx->received == PATTERN_HEAD)
			identify(ep, run);
	}
	if (!rx->broken)
		compare(ep, run, buf, len);
	rx->received += len;
}

/* Sets the time before which nothing more is read. */
static void hold_back(struct endpoint *ep, const struct run *run)
{
	const struct options *o = &run->opt;
	uint64_t now = now_ns();

	if (is_side(o->slow_reader, ep->side))
		ep->rx.not_before = MAX(ep->rx.not_before, now + SLOW_TICK);
	if (is_side(o->sleep_reader, ep->side) && !ep->rx.slept &&
	    ep->rx.received >= o->sleep_after) {
		ep->rx.slept = true;
		ep->rx.not_before = now + o->sleep_time;
	}
}

static void fail(struct endpoint *ep, struct run *run, int err)
{
	if (err == ECONNRESET || err == EPIPE)
		endpoint_end(ep, run, END_RST, err);
	else
		endpoint_end(ep, run, END_ERROR, err);
}

void reader_run(struct endpoint *ep, struct run *run)
{
	for (int i = 0; i < ROUNDS && ep->ending == END_OPEN; i++) {
		uint64_t most = reader_allowance(ep, run, now_ns());
		ssize_t n;

		if (most == 0) {
			if (!ep->rx.eof)
				hold_back(ep, run);
			return;
		}
		n = recv(ep->fd, run->buf, MIN(most, CHUNK), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			fail(ep, run, errno);
			return;
		}
		if (n == 0) {
			ep->rx.eof = true;
			return;
		}
		check(ep, run, run->buf, (size_t)n);
		if (run_chance(run, run->opt.pause_probability))
			ep->rx.not_before =
			    now_ns() + run_between(run, run->opt.pause_min, run->opt.pause_max);
		hold_back(ep, run);
	}
}
