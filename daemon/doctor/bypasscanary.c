// SPDX-License-Identifier: GPL-2.0-or-later
#include "bypasscanary.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "../stats.h"
#include "../worker.h"

#define TRIES 4
/* Exchanges after which both directions are direct: the first ones go over TCP. */
#define EXCHANGES 64
#define UNREAD    100000

const char *const bypass_check_name[_BYPASS_CHECK_MAX] = {
    [BYPASS_CHECK_ACCOUNT] = "bypass_account",
    [BYPASS_CHECK_TOKENS] = "bypass_tokens",
    [BYPASS_CHECK_END] = "bypass_end",
    [BYPASS_CHECK_OUTLET] = "bypass_outlet",
};

const char *const bypass_check_fact[_BYPASS_CHECK_MAX] = {
    [BYPASS_CHECK_ACCOUNT] = "bytes sent directly count as the receiver's memory until it reads",
    [BYPASS_CHECK_TOKENS] = "a sender whose receiver is late waits, and loses nothing",
    [BYPASS_CHECK_END] = "a FIN does not overtake or discard what waits unread",
    [BYPASS_CHECK_OUTLET] = ("what is sent into the TCP of the daemon's other socket is stopped, "
			     "loses nothing, and ends"),
};

/* A few bytes there and back. */
static int exchange(struct canary_stage *st)
{
	struct canary_flow up = {.from = st->client, .to = st->backend, .total = 10};
	struct canary_flow down = {.from = st->backend, .to = st->client, .total = 10};

	return canary_flow_run(st, &up) < 0 ? -1 : canary_flow_run(st, &down);
}

static bool is_direct(const struct way *way)
{
	return __atomic_load_n(&way->phase, __ATOMIC_ACQUIRE) == WAY_DIRECT;
}

static int await_direct(struct canary_stage *st)
{
	const struct way *ways = st->bypass->ways;

	for (int i = 0; i < EXCHANGES; i++) {
		if (exchange(st) < 0)
			return -1;
		if (is_direct(&ways[0]) &&
		    (st->local == LOCAL_BYPASS_CLIENT || is_direct(&ways[1])))
			return 0;
		(void)poll(NULL, 0, 1);
	}
	return canary_fail(st, "the sockets were not joined");
}

/* Memory that waits in a socket, or -1. */
static int64_t memory_of(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(info);

	return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0
		   ? -1
		   : (int64_t)info[SK_MEMINFO_RMEM_ALLOC];
}

static int check_account(struct canary_stage *st)
{
	static const uint8_t bytes[UNREAD];
	uint8_t buf[16384];
	size_t got = 0;

	if (send(st->client, bytes, sizeof(bytes), MSG_NOSIGNAL) != (ssize_t)sizeof(bytes))
		return canary_fail(st, "%d bytes were not taken", UNREAD);
	if (memory_of(st->backend) != UNREAD)
		return canary_fail(st, "%d unread bytes count as %lld", UNREAD,
				   (long long)memory_of(st->backend));
	while (got < sizeof(bytes) && canary_ready(st, st->backend, POLLIN)) {
		ssize_t n = recv(st->backend, buf, sizeof(buf), 0);

		if (n <= 0)
			return canary_fail(st, "reading: %s", n ? strerror(errno) : "an end");
		got += (size_t)n;
	}
	if (got != sizeof(bytes) || memory_of(st->backend))
		return canary_fail(st, "%zu of %d bytes were read, and %lld still count", got,
				   UNREAD, (long long)memory_of(st->backend));
	return 0;
}

static int check_tokens(struct canary_stage *st)
{
	struct canary_flow down = {
	    .from = st->backend, .to = st->client, .total = 6 << 20, .late = true};

	if (canary_flow_run(st, &down) < 0)
		return -1;
	if (!st->bypass->ways[1].held)
		return canary_fail(st, "the sender was not stopped");
	return 0;
}

static int check_end(struct canary_stage *st)
{
	struct canary_flow up = {
	    .from = st->client, .to = st->backend, .total = 200000, .shut = true, .late = true};
	struct canary_flow down = {
	    .from = st->backend, .to = st->client, .total = 200000, .shut = true, .late = true};

	return canary_flow_run(st, &up) < 0 ? -1 : canary_flow_run(st, &down);
}

/* More than its TCP and the receiver's take: the end is sent while the sender's TCP has tokens. And
 * the other way, before that and after. */
static int check_outlet(struct canary_stage *st)
{
	struct canary_flow before = {
	    .from = st->backend, .to = st->client, .total = 2 << 20, .late = true};
	struct canary_flow up = {
	    .from = st->client, .to = st->backend, .total = 4 << 20, .shut = true, .late = true};
	struct canary_flow down = {
	    .from = st->backend, .to = st->client, .total = 200000, .shut = true, .late = true};

	if (canary_flow_run(st, &before) < 0 || canary_flow_run(st, &up) < 0 ||
	    canary_flow_run(st, &down) < 0)
		return -1;
	if (!st->bypass->ways[0].held)
		return canary_fail(st, "the sender was not stopped");
	return 0;
}

static int (*const checks[_BYPASS_CHECK_MAX])(struct canary_stage *) = {
    [BYPASS_CHECK_ACCOUNT] = check_account,
    [BYPASS_CHECK_TOKENS] = check_tokens,
    [BYPASS_CHECK_END] = check_end,
    [BYPASS_CHECK_OUTLET] = check_outlet,
};

/* The bytes were right; but did they go directly, and without an alarm? */
static int judge(struct canary_stage *st)
{
	const struct way *ways = st->bypass->ways;
	uint64_t direct = ways[0].direct_bytes + ways[1].direct_bytes;

	if (stat_read(&st->daemon.workers[0].stats.integrity_aborts))
		return canary_fail(st, "the stream was aborted: its bytes did not add up");
	if (direct < UNREAD)
		return canary_fail(st, "%llu bytes were sent directly", (unsigned long long)direct);
	(void)snprintf(st->result->why, sizeof(st->result->why), "%llu bytes sent directly",
		       (unsigned long long)direct);
	return 0;
}

static void run_once(struct bypass_maps *maps, struct maps *kernel, enum bypass_check check,
		     struct canary_time *time, struct canary_result *ret)
{
	uint64_t began = now_ns();
	struct canary_stage st = {
	    .maps = check == BYPASS_CHECK_OUTLET ? kernel : NULL,
	    .bypass = maps,
	    .local = check == BYPASS_CHECK_OUTLET ? LOCAL_BYPASS_CLIENT : LOCAL_BYPASS_BOTH,
	    .client = -1,
	    .backend = -1,
	    .result = ret,
	    .time = time,
	};

	*ret = (struct canary_result){0};
	ret->ok = canary_stage_open(&st) == 0 && await_direct(&st) == 0 &&
		  checks[check](&st) == 0 && judge(&st) == 0;
	canary_stage_close(&st);
	ret->took_ns = now_ns() - began;
}

void bypass_check_run(struct bypass_maps *maps, struct maps *kernel, enum bypass_check check,
		      struct canary_time *time, struct canary_result *ret)
{
	for (int i = 0; i < TRIES; i++) {
		run_once(maps, kernel, check, time, ret);
		if (ret->ok || ret->wrong_bytes || !time->left)
			return;
	}
}
