// SPDX-License-Identifier: GPL-2.0-or-later
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../binding.h"
#include "../config/config.h"
#include "../listener.h"
#include "../log.h"
#include "../splice/maps.h"
#include "../upstream/pool.h"
#include "../worker.h"
#include "starvation.h"

/* A sender that had no room for this long is really stopped by TCP. */
#define BLOCKED_MS 3
/* A daemon that is kept from its work may see late that a sender is too fast. */
#define LEAVE_NS NSEC_PER_SEC
/* A wait is looked at as often, at least. */
#define LOOK_MS 100

int canary_fail(struct canary_stage *st, const char *fmt, ...)
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
	c->path = strdup("canary");
	l->name = strdup("canary");
	l->pool = strdup("canary");
	l->binds = calloc(1, sizeof(*l->binds));
	p->name = strdup("canary");
	p->servers = calloc(1, sizeof(*p->servers));
	if (!c->path || !l->name || !l->pool || !l->binds || !p->name || !p->servers)
		return -1;
	l->binds[0] = loopback();
	l->n_binds = 1;
	l->backlog = 16;
	l->idle_timeout = CANARY_TRY_NS;
	p->n_servers = 1;
	p->connect_timeout = CANARY_TRY_NS;
	p->servers[0].name = strdup("canary");
	p->servers[0].weight = 1;
	p->servers[0].endpoint = (struct endpoint){.kind = ENDPOINT_ADDR, .addr = *backend};
	return p->servers[0].name ? 0 : -1;
}

/* Small marks, so that a burst of a few MiB crosses them. */
static struct config *make_config(const struct canary_stage *st, const struct addr *backend)
{
	struct config *c = config_new();

	if (!c)
		return NULL;
	free(c->access_log);
	c->access_log = NULL;
	c->max_sessions = 4;
	c->engage_after = st->engage_after;
	c->splice_low = 128 * 1024;
	c->splice_high = 256 * 1024;
	c->splice_hard = 1024 * 1024;
	c->splice_window = 512 * 1024;
	c->bypass_low = 128 * 1024;
	c->bypass_high = 256 * 1024;
	if (fill_config(c, backend) == 0) {
		if (st->bypass)
			c->listeners[0].local_bypass = st->local;
		return c;
	}
	config_free(c);
	return NULL;
}

static int listen_backend(struct canary_stage *st, struct addr *where)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), size = 256 * 1024;

	*where = loopback();
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) == 0 &&
	    bind(fd, &where->sa, where->len) == 0 && listen(fd, 1) == 0 &&
	    getsockname(fd, &where->sa, &where->len) == 0)
		return fd;
	(void)canary_fail(st, "a loopback listener: %s", strerror(errno));
	closep_(&fd);
	return -1;
}

/* ---- time ------------------------------------------------------------------------------- */

static void begin_time(struct canary_stage *st)
{
	st->began_ns = now_ns();
	st->until_ns = st->began_ns + MIN(st->time->left, CANARY_TRY_NS);
	st->starved_ns = starved_ns();
}

/* Of the time that has passed, what does not count. */
static uint64_t starved_for(const struct canary_stage *st, uint64_t now)
{
	uint64_t starved = starved_ns();

	starved -= MIN(starved, st->starved_ns);
	return MIN(MIN(starved, now - st->began_ns), st->time->patience);
}

bool canary_is_over(const struct canary_stage *st)
{
	uint64_t now = now_ns();

	return now >= st->until_ns && now - st->until_ns >= starved_for(st, now);
}

static void end_time(struct canary_stage *st)
{
	uint64_t now = now_ns(), starved = starved_for(st, now);
	uint64_t took = now - st->began_ns - starved;

	st->time->left -= MIN(took, st->time->left);
	st->time->patience -= starved;
}

bool canary_ready(const struct canary_stage *st, int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	while (poll(&p, 1, LOOK_MS) != 1)
		if (canary_is_over(st))
			return false;
	return true;
}

/* ---- the play --------------------------------------------------------------------------- */

static int connect_client(struct canary_stage *st)
{
	const struct addr *proxy = &st->daemon.setup->listeners[0].bindings[0]->bound;
	int err = 0;
	socklen_t len = sizeof(err);

	st->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (st->client < 0)
		return canary_fail(st, "a socket: %s", strerror(errno));
	if (connect(st->client, &proxy->sa, proxy->len) < 0 && errno != EINPROGRESS)
		return canary_fail(st, "connecting over loopback: %s", strerror(errno));
	if (!canary_ready(st, st->client, POLLOUT))
		return canary_fail(st, "connecting over loopback: no answer");
	if (getsockopt(st->client, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	return err ? canary_fail(st, "connecting over loopback: %s", strerror(err)) : 0;
}

/* The client connects to the worker, which dials the backend. */
static int meet(struct canary_stage *st, int listener)
{
	if (connect_client(st) < 0)
		return -1;
	if (!canary_ready(st, listener, POLLIN))
		return canary_fail(st, "the backend was not dialled");
	st->backend = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return st->backend < 0 ? canary_fail(st, "accepting: %s", strerror(errno)) : 0;
}

int canary_stage_open(struct canary_stage *st)
{
	_cleanup_close_ int listener = -1;
	struct daemon *d = &st->daemon;
	struct config *config;
	struct addr where;

	begin_time(st);
	listener = listen_backend(st, &where);
	if (listener < 0)
		return -1;
	config = make_config(st, &where);
	if (!config)
		return canary_fail(st, "out of memory");
	d->maps = st->maps;
	d->bypass = st->bypass;
	if (daemon_init(d, config, 1) < 0)
		return canary_fail(st, "out of memory");
	if (st->read_size)
		d->settings.read_size = d->settings.early_bytes = st->read_size;
	if (st->budget)
		d->settings.budget = st->budget;
	if (daemon_listen(d) < 0 || daemon_start(d) < 0)
		return canary_fail(st, "the worker did not start, see the log");
	if (daemon_serve(d) < 0)
		return canary_fail(st, "the worker does not accept, see the log");
	return meet(st, listener);
}

void canary_stage_close(struct canary_stage *st)
{
	end_time(st); /* while its threads are there */
	closep_(&st->client);
	closep_(&st->backend);
	daemon_fini(&st->daemon);
}

/* ---- bytes ------------------------------------------------------------------------------ */

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)((at * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

static int flow_send(struct canary_stage *st, struct canary_flow *f)
{
	uint8_t buf[32 * 1024];
	size_t n = (size_t)MIN(f->total - f->sent, (uint64_t)sizeof(buf));
	ssize_t done;

	for (size_t i = 0; i < n; i++)
		buf[i] = pattern(f->sent + i);
	done = send(f->from, buf, n, MSG_NOSIGNAL);
	if (done < 0 && errno != EAGAIN)
		return canary_fail(st, "writing after %llu bytes: %s", (unsigned long long)f->sent,
				   strerror(errno));
	if (done > 0)
		f->sent += (uint64_t)done;
	if (f->shut && f->sent == f->total && done > 0 && shutdown(f->from, SHUT_WR) < 0)
		return canary_fail(st, "shutdown: %s", strerror(errno));
	return 0;
}

static int flow_receive(struct canary_stage *st, struct canary_flow *f)
{
	uint8_t buf[32 * 1024];
	ssize_t n = recv(f->to, buf, sizeof(buf), 0);

	if (n < 0)
		return errno == EAGAIN
			   ? 0
			   : canary_fail(st, "reading after %llu bytes: %s",
					 (unsigned long long)f->received, strerror(errno));
	f->ended = n == 0;
	for (ssize_t i = 0; i < n; i++, f->received++)
		if (buf[i] != pattern(f->received)) {
			st->result->wrong_bytes = true;
			return canary_fail(st, "byte %llu is wrong",
					   (unsigned long long)f->received);
		}
	return 0;
}

uint64_t canary_left(const struct maps *maps)
{
	return maps_verdicts(maps, VERDICT_LEFT) + maps_verdicts(maps, VERDICT_STOPPED);
}

/* The writer is stopped. A source leaves the kernel when the daemon has noticed that it is to be
 * paused, or has read what was handed up. */
static bool may_begin(const struct canary_stage *st, const struct canary_flow *f, uint64_t left,
		      uint64_t began)
{
	return !f->left || canary_left(st->maps) != left || now_ns() - began > LEAVE_NS;
}

int canary_flow_run(struct canary_stage *st, struct canary_flow *f)
{
	uint64_t left = f->left ? canary_left(st->maps) : 0, began = now_ns();

	while (f->received < f->total || (f->shut && !f->ended)) {
		struct pollfd p[2] = {{.fd = f->sent < f->total ? f->from : -1, .events = POLLOUT},
				      {.fd = f->late ? -1 : f->to, .events = POLLIN}};
		int n = poll(p, 2, f->late ? BLOCKED_MS : LOOK_MS);

		if (canary_is_over(st) || (f->ended && f->received < f->total))
			return canary_fail(st, "%llu of %llu bytes arrived",
					   (unsigned long long)f->received,
					   (unsigned long long)f->total);
		if (n == 0 && may_begin(st, f, left, began))
			f->late = false;
		if (p[0].revents && flow_send(st, f) < 0)
			return -1;
		if (p[1].revents && flow_receive(st, f) < 0)
			return -1;
	}
	if (f->received > f->total)
		return canary_fail(st, "%llu bytes arrived of %llu",
				   (unsigned long long)f->received, (unsigned long long)f->total);
	return 0;
}
