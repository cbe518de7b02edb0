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

/* Of one try of one check. */
#define DEADLINE_NS (5 * NSEC_PER_SEC)
/* A starved machine may let bytes arrive too late for what a check wants to see; wrong bytes are
 * never excused. */
#define TRIES 4
/* A sender that had no room for this long is really stopped by TCP. */
#define BLOCKED_MS 3

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

/* ---- the stage: a daemon of one worker, a client and a backend ---------------------------- */

struct stage {
	struct daemon daemon;
	struct config *config;
	int client, backend;
	struct canary_result *result;
	uint64_t left;  /* VERDICT_LEFT before it began */
	uint64_t until; /* every wait ends here */
};

static int fail(struct stage *st, const char *fmt, ...) _printf_(2, 3);
static int fail(struct stage *st, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(st->result->why, sizeof(st->result->why), fmt, args);
	va_end(args);
	return -1;
}

static struct addr loopback(void)
{
	struct addr a = {.len = sizeof(struct sockaddr_in)};

	a.in4.sin_family = AF_INET;
	a.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

/* A pool with the backend as its server, and a listener on a port of the kernel's choice. */
static int fill_config(struct config *c, const struct addr *backend)
{
	struct listener_config *l = calloc(1, sizeof(*l));
	struct pool_config *p = calloc(1, sizeof(*p));

	c->listeners = l;
	c->pools = p;
	if (!l || !p)
		return -1;
	c->n_listeners = c->n_pools = 1;
	l->name = strdup("canary");
	l->pool = strdup("canary");
	l->binds = calloc(1, sizeof(*l->binds));
	p->name = strdup("canary");
	p->servers = calloc(1, sizeof(*p->servers));
	if (!l->name || !l->pool || !l->binds || !p->name || !p->servers)
		return -1;
	l->binds[0] = loopback();
	l->n_binds = 1;
	l->backlog = 16;
	l->idle_timeout = DEADLINE_NS;
	p->n_servers = 1;
	p->connect_timeout = DEADLINE_NS;
	p->servers[0].name = strdup("canary");
	p->servers[0].weight = 1;
	p->servers[0].endpoint = (struct endpoint){.kind = ENDPOINT_ADDR, .addr = *backend};
	return p->servers[0].name ? 0 : -1;
}

/* Small marks, so that a burst of a few MiB crosses them. */
static struct config *make_config(const struct addr *backend)
{
	struct config *c = config_new();

	if (!c)
		return NULL;
	free(c->access_log);
	c->access_log = NULL;
	c->max_sessions = 4;
	c->engage_after = 0;
	c->splice_low = 128 * 1024;
	c->splice_high = 256 * 1024;
	c->splice_hard = 1024 * 1024;
	c->splice_window = 512 * 1024;
	if (fill_config(c, backend) == 0)
		return c;
	config_free(c);
	return NULL;
}

static int listen_backend(struct stage *st, struct addr *where)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), size = 256 * 1024;

	*where = loopback();
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) == 0 &&
	    bind(fd, &where->sa, where->len) == 0 && listen(fd, 1) == 0 &&
	    getsockname(fd, &where->sa, &where->len) == 0)
		return fd;
	(void)fail(st, "a loopback listener: %s", strerror(errno));
	closep_(&fd);
	return -1;
}

/* Waits until one descriptor is ready. False at the deadline. */
static bool ready(const struct stage *st, int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};
	uint64_t now = now_ns();

	return poll(&p, 1, now < st->until ? (int)((st->until - now) / NSEC_PER_MSEC) : 0) == 1;
}

static int connect_client(struct stage *st)
{
	const struct addr *proxy = &st->daemon.listeners[0].bound[0];
	int err = 0;
	socklen_t len = sizeof(err);

	st->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (st->client < 0)
		return fail(st, "a socket: %s", strerror(errno));
	if (connect(st->client, &proxy->sa, proxy->len) < 0 && errno != EINPROGRESS)
		return fail(st, "connecting over loopback: %s", strerror(errno));
	if (!ready(st, st->client, POLLOUT))
		return fail(st, "connecting over loopback: no answer");
	if (getsockopt(st->client, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	return err ? fail(st, "connecting over loopback: %s", strerror(err)) : 0;
}

/* The client connects to the worker, which dials the backend. */
static int meet(struct stage *st, int listener)
{
	if (connect_client(st) < 0)
		return -1;
	if (!ready(st, listener, POLLIN))
		return fail(st, "the backend was not dialled");
	st->backend = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return st->backend < 0 ? fail(st, "accepting: %s", strerror(errno)) : 0;
}

/* The session is the kernel's before a byte or an end is sent: a slow daemon would otherwise see
 * the end first, and copy. */
static int await_kernel(struct stage *st)
{
	const struct stats *stats = &st->daemon.workers[0].stats;

	while (!stat_read(&stats->sessions_kernel) && !maps_unheard(st->daemon.maps) &&
	       now_ns() < st->until)
		(void)poll(NULL, 0, 1);
	if (!stat_read(&stats->sessions_kernel) && maps_unheard(st->daemon.maps))
		return fail(st, "sockops is not called for the daemon's sockets: another program "
				"has cleared their callback flags");
	if (!stat_read(&stats->sessions_kernel))
		return fail(st, "the session was not given to the kernel");
	return 0;
}

static int stage_open(struct stage *st, struct maps *maps, enum canary_check check)
{
	_cleanup_close_ int listener = -1;
	struct daemon *d = &st->daemon;
	struct addr where;

	listener = listen_backend(st, &where);
	if (listener < 0)
		return -1;
	st->config = make_config(&where);
	if (!st->config)
		return fail(st, "out of memory");
	if (check == CANARY_PARTIAL)
		st->config->engage_after = DEADLINE_NS; /* and the daemon itself adds the sockets */
	d->config = st->config;
	d->maps = maps;
	if (daemon_init(d, 1) < 0)
		return fail(st, "out of memory");
	if (check == CANARY_PARTIAL) {
		d->settings.read_size = 10;
		d->settings.early_bytes = 10;
	}
	if (check == CANARY_BUDGET)
		d->settings.budget = 100001;
	if (daemon_listen(d) < 0 || daemon_start(d) < 0)
		return fail(st, "the worker did not start, see the log");
	if (meet(st, listener) < 0)
		return -1;
	return check == CANARY_PARTIAL ? 0 : await_kernel(st);
}

static void stage_close(struct stage *st)
{
	closep_(&st->client);
	closep_(&st->backend);
	daemon_fini(&st->daemon);
	config_free(st->config);
}

/* ---- bytes ------------------------------------------------------------------------------ */

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)((at * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

/* One direction: who writes what to whom. */
struct flow {
	int from, to;
	uint64_t total, sent, received;
	bool late;  /* the reader starts when the writer is stopped */
	bool shut;  /* the writer ends its direction after the last byte */
	bool ended; /* the reader saw the end */
};

static int flow_send(struct stage *st, struct flow *f)
{
	uint8_t buf[32 * 1024];
	size_t n = (size_t)MIN(f->total - f->sent, (uint64_t)sizeof(buf));
	ssize_t done;

	for (size_t i = 0; i < n; i++)
		buf[i] = pattern(f->sent + i);
	done = send(f->from, buf, n, MSG_NOSIGNAL);
	if (done < 0 && errno != EAGAIN)
		return fail(st, "writing after %llu bytes: %s", (unsigned long long)f->sent,
			    strerror(errno));
	if (done > 0)
		f->sent += (uint64_t)done;
	if (f->shut && f->sent == f->total && done > 0 && shutdown(f->from, SHUT_WR) < 0)
		return fail(st, "shutdown: %s", strerror(errno));
	return 0;
}

static int flow_receive(struct stage *st, struct flow *f)
{
	uint8_t buf[32 * 1024];
	ssize_t n = recv(f->to, buf, sizeof(buf), 0);

	if (n < 0)
		return errno == EAGAIN ? 0
				       : fail(st, "reading after %llu bytes: %s",
					      (unsigned long long)f->received, strerror(errno));
	f->ended = n == 0;
	for (ssize_t i = 0; i < n; i++, f->received++)
		if (buf[i] != pattern(f->received)) {
			st->result->wrong_bytes = true;
			return fail(st, "byte %llu is wrong", (unsigned long long)f->received);
		}
	return 0;
}

/* Runs the flow until every byte has arrived, and the end too if it is sent. */
static int flow_run(struct stage *st, struct flow *f)
{
	while (f->received < f->total || (f->shut && !f->ended)) {
		struct pollfd p[2] = {{.fd = f->sent < f->total ? f->from : -1, .events = POLLOUT},
				      {.fd = f->late ? -1 : f->to, .events = POLLIN}};
		int n = poll(p, 2, f->late ? BLOCKED_MS : 100);

		if (now_ns() > st->until || (f->ended && f->received < f->total))
			return fail(st, "%llu of %llu bytes arrived",
				    (unsigned long long)f->received, (unsigned long long)f->total);
		if (n == 0)
			f->late = false;
		if (p[0].revents && flow_send(st, f) < 0)
			return -1;
		if (p[1].revents && flow_receive(st, f) < 0)
			return -1;
	}
	if (f->received > f->total)
		return fail(st, "%llu bytes arrived of %llu", (unsigned long long)f->received,
			    (unsigned long long)f->total);
	return 0;
}

/* ---- the checks ------------------------------------------------------------------------- */

static int check_burst(struct stage *st)
{
	struct flow down = {.from = st->backend, .to = st->client, .total = 6 << 20, .late = true};
	const struct maps *maps = st->daemon.maps;

	if (flow_run(st, &down) < 0)
		return -1;
	/* The source was paused, and each pause takes it out of the verdict map. */
	if (maps->collected && maps_verdicts(maps, VERDICT_LEFT) == st->left)
		return fail(st, "no source left under its lock: sockops does not see the daemon's "
				"sockets");
	return 0;
}

static int check_half_close(struct stage *st)
{
	struct flow up = {
	    .from = st->client, .to = st->backend, .total = 1 << 20, .shut = true, .late = true};
	struct flow down = {.from = st->backend, .to = st->client, .total = 1 << 20, .shut = true};

	return flow_run(st, &up) < 0 ? -1 : flow_run(st, &down);
}

static int check_exact(struct stage *st)
{
	struct flow up = {.from = st->client, .to = st->backend, .total = 300000};
	struct flow down = {.from = st->backend, .to = st->client, .total = 300000, .shut = true};

	return flow_run(st, &up) < 0 ? -1 : flow_run(st, &down);
}

static int check_reset(struct stage *st)
{
	const struct linger hard = {.l_onoff = 1};
	struct flow up = {.from = st->client, .to = st->backend, .total = 200000};
	struct flow down = {.from = st->backend, .to = st->client, .total = 200000};
	uint8_t byte;

	if (flow_run(st, &up) < 0 || flow_run(st, &down) < 0)
		return -1;
	(void)setsockopt(st->client, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	closep_(&st->client);
	st->client = -1;
	if (!ready(st, st->backend, POLLIN))
		return fail(st, "the reset did not arrive");
	if (recv(st->backend, &byte, 1, 0) >= 0)
		return fail(st, "the reset arrived as an end");
	return errno == ECONNRESET ? 0 : fail(st, "the reset arrived as: %s", strerror(errno));
}

static int (*const checks[_CANARY_MAX])(struct stage *) = {
    [CANARY_BURST] = check_burst,   [CANARY_HALF_CLOSE] = check_half_close,
    [CANARY_PARTIAL] = check_exact, [CANARY_BUDGET] = check_exact,
    [CANARY_RESET] = check_reset,
};

/* The bytes were right; but was it the kernel that moved them, and without an alarm? */
static int judge(struct stage *st)
{
	const struct lane *lanes = st->daemon.maps->lanes;
	uint64_t redirected = lanes[0].redirected + lanes[1].redirected;

	if (stat_read(&st->daemon.workers[0].stats.integrity_aborts))
		return fail(st, "the stream was aborted: its bytes did not add up");
	if (!redirected)
		return fail(st, "the kernel moved nothing");
	(void)snprintf(st->result->why, sizeof(st->result->why),
		       "%llu bytes redirected, %llu handed up, %llu trimmed",
		       (unsigned long long)redirected,
		       (unsigned long long)(lanes[0].passed + lanes[1].passed),
		       (unsigned long long)(lanes[0].trimmed + lanes[1].trimmed));
	return 0;
}

static void run_once(struct maps *maps, enum canary_check check, uint64_t until,
		     struct canary_result *ret)
{
	uint64_t began = now_ns();
	struct stage st = {.client = -1,
			   .backend = -1,
			   .result = ret,
			   .left = maps_verdicts(maps, VERDICT_LEFT),
			   .until = MIN(until, began + DEADLINE_NS)};

	*ret = (struct canary_result){0};
	ret->ok = stage_open(&st, maps, check) == 0 && checks[check](&st) == 0 && judge(&st) == 0;
	stage_close(&st);
	ret->took_ns = now_ns() - began;
}

void canary_run(struct maps *maps, enum canary_check check, uint64_t until,
		struct canary_result *ret)
{
	uint64_t before = 0;

	for (int i = 0; i < TRIES; i++) {
		run_once(maps, check, until, ret);
		ret->took_ns += before;
		if (ret->ok || ret->wrong_bytes || now_ns() >= until)
			return;
		before = ret->took_ns;
	}
}
