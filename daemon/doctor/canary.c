// SPDX-License-Identifier: GPL-2.0-or-later
#include "canary.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../config/config.h"
#include "../daemon.h"
#include "../listener.h"
#include "../log.h"
#include "../splice/maps.h"
#include "../upstream/pool.h"
#include "../worker.h"

/* A starved machine may let bytes arrive too late for what a check wants to see; wrong bytes are
 * never excused. */
#define TRIES 4

const char *const canary_name[_CANARY_MAX] = {
    [CANARY_BURST] = "canary_burst",     [CANARY_HALF_CLOSE] = "canary_half_close",
    [CANARY_PARTIAL] = "canary_partial", [CANARY_BUDGET] = "canary_budget",
    [CANARY_RESET] = "canary_reset",
};

const char *const canary_fact[_CANARY_MAX] = {
    [CANARY_BURST] = "a target's queue keeps every byte while its source is paused and resumed",
    [CANARY_HALF_CLOSE] = "a FIN does not overtake, break or discard what is queued",
    [CANARY_PARTIAL] =
	"bytes the daemon has read are cut off a segment the kernel hands over whole",
    [CANARY_BUDGET] = "bytes handed up and bytes redirected keep their order",
    [CANARY_RESET] = "a reset reaches the other side as a reset",
};

/* The session is the kernel's before a byte or an end is sent: a slow daemon would otherwise see
 * the end first, and copy. */
static int await_kernel(struct canary_stage *st)
{
	const struct stats *stats = &st->daemon.workers[0].stats;

	while (!stat_read(&stats->sessions_kernel) && !maps_unheard(st->daemon.maps) &&
	       !canary_is_over(st))
		(void)poll(NULL, 0, 1);
	if (!stat_read(&stats->sessions_kernel) && maps_unheard(st->daemon.maps))
		return canary_fail(
		    st, "sockops is not called for the daemon's sockets: another program "
			"has cleared their callback flags");
	if (!stat_read(&stats->sessions_kernel))
		return canary_fail(st, "the session was not given to the kernel");
	return 0;
}

/* ---- the checks ------------------------------------------------------------------------- */

static int check_burst(struct canary_stage *st)
{
	const struct maps *maps = st->daemon.maps;
	struct canary_flow down = {.from = st->backend,
				   .to = st->client,
				   .total = 6 << 20,
				   .late = true,
				   .left = maps->collected};
	uint64_t left = canary_left(maps);

	if (canary_flow_run(st, &down) < 0)
		return -1;
	/* The source was paused, and each pause takes it out of the verdict map. */
	if (maps->collected && canary_left(maps) == left)
		return canary_fail(
		    st, "no source left under its lock: sockops does not see the daemon's "
			"sockets");
	return 0;
}

static int check_half_close(struct canary_stage *st)
{
	struct canary_flow up = {
	    .from = st->client, .to = st->backend, .total = 1 << 20, .shut = true, .late = true};
	struct canary_flow down = {
	    .from = st->backend, .to = st->client, .total = 1 << 20, .shut = true};

	return canary_flow_run(st, &up) < 0 ? -1 : canary_flow_run(st, &down);
}

static int check_exact(struct canary_stage *st)
{
	struct canary_flow up = {.from = st->client, .to = st->backend, .total = 300000};
	struct canary_flow down = {
	    .from = st->backend, .to = st->client, .total = 300000, .shut = true};

	return canary_flow_run(st, &up) < 0 ? -1 : canary_flow_run(st, &down);
}

static int check_reset(struct canary_stage *st)
{
	const struct linger hard = {.l_onoff = 1};
	struct canary_flow up = {.from = st->client, .to = st->backend, .total = 200000};
	struct canary_flow down = {.from = st->backend, .to = st->client, .total = 200000};
	uint8_t byte;

	if (canary_flow_run(st, &up) < 0 || canary_flow_run(st, &down) < 0)
		return -1;
	(void)setsockopt(st->client, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	closep_(&st->client);
	st->client = -1;
	if (!canary_ready(st, st->backend, POLLIN))
		return canary_fail(st, "the reset did not arrive");
	if (recv(st->backend, &byte, 1, 0) >= 0)
		return canary_fail(st, "the reset arrived as an end");
	return errno == ECONNRESET ? 0
				   : canary_fail(st, "the reset arrived as: %s", strerror(errno));
}

static int (*const checks[_CANARY_MAX])(struct canary_stage *) = {
    [CANARY_BURST] = check_burst,   [CANARY_HALF_CLOSE] = check_half_close,
    [CANARY_PARTIAL] = check_exact, [CANARY_BUDGET] = check_exact,
    [CANARY_RESET] = check_reset,
};

/* The bytes were right; but was it the kernel that moved them, and without an alarm? */
static int judge(struct canary_stage *st)
{
	const struct lane *lanes = st->daemon.maps->lanes;
	uint64_t redirected = lanes[0].redirected + lanes[1].redirected;

	if (stat_read(&st->daemon.workers[0].stats.integrity_aborts))
		return canary_fail(st, "the stream was aborted: its bytes did not add up");
	if (!redirected)
		return canary_fail(st, "the kernel moved nothing");
	(void)snprintf(st->result->why, sizeof(st->result->why),
		       "%llu bytes redirected, %llu handed up, %llu trimmed",
		       (unsigned long long)redirected,
		       (unsigned long long)(lanes[0].passed + lanes[1].passed),
		       (unsigned long long)(lanes[0].trimmed + lanes[1].trimmed));
	return 0;
}

static void run_once(struct maps *maps, enum canary_check check, struct canary_time *time,
		     struct canary_result *ret)
{
	uint64_t began = now_ns();
	struct canary_stage st = {
	    .maps = maps, .client = -1, .backend = -1, .result = ret, .time = time};

	*ret = (struct canary_result){0};
	if (check == CANARY_PARTIAL) {
		st.engage_after = CANARY_TRY_NS; /* and the daemon itself adds the sockets */
		st.read_size = 10;
	}
	if (check == CANARY_BUDGET)
		st.budget = 100001;
	ret->ok = canary_stage_open(&st) == 0 &&
		  (check == CANARY_PARTIAL || await_kernel(&st) == 0) && checks[check](&st) == 0 &&
		  judge(&st) == 0;
	canary_stage_close(&st);
	ret->took_ns = now_ns() - began;
}

void canary_run(struct maps *maps, enum canary_check check, struct canary_time *time,
		struct canary_result *ret)
{
	uint64_t before = 0;

	for (int i = 0; i < TRIES; i++) {
		run_once(maps, check, time, ret);
		ret->took_ns += before;
		if (ret->ok || ret->wrong_bytes || !time->left)
			return;
		before = ret->took_ns;
	}
}
