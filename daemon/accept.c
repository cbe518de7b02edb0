// SPDX-License-Identifier: GPL-2.0-or-later
#include "accept.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "accesslog.h"
#include "balance.h"
#include "binding.h"
#include "conn.h"
#include "daemon.h"
#include "interception.h"
#include "lingering.h"
#include "listener.h"
#include "log.h"
#include "session.h"
#include "setup.h"
#include "sniff/sniff.h"
#include "steering.h"
#include "upstream/pool.h"
#include "worker.h"

/* Connections taken in one turn, so that a flood of them leaves time for sessions. */
#define ACCEPT_BATCH 64

/* How soon accepting is tried again: a full house empties by itself, descriptors come back rarely.
 */
#define RETRY_FULL_NS    (20 * NSEC_PER_MSEC)
#define RETRY_STARVED_NS (100 * NSEC_PER_MSEC)

/* At most one line about starvation in this time, whatever is tried and fails in it. */
#define STARVED_LOG_NS (60 * NSEC_PER_SEC)

/* ---- pausing ---------------------------------------------------------------------------- */

static void pause_accept(struct listen_socket *ls, uint64_t ns)
{
	ls->paused = true;
	if (ls->event)
		(void)event_del(ls->event); /* takes no memory, and the descriptor is valid */
	loop_timer_set(&ls->worker->loop, &ls->retry, ls->worker->loop.now + ns);
}

static void starved(struct listen_socket *ls, int err)
{
	static atomic_uint_fast64_t logged_ns;
	uint64_t now = ls->worker->loop.now, last = atomic_load(&logged_ns);

	stat_inc(&ls->worker->stats.accept_failures);
	/* Another worker's clock may be a little ahead. */
	if ((!last || (int64_t)(now - last) > (int64_t)STARVED_LOG_NS) &&
	    atomic_compare_exchange_strong(&logged_ns, &last, now))
		log_about(LOG_LVL_ERROR, LOG_ABOUT(.listener = ls->listener->config->name),
			  "listener %s: accepting is paused until it works again: %s (%u sessions)",
			  ls->listener->config->name, strerror(err),
			  slots_used(&ls->worker->daemon->slots));
	pause_accept(ls, RETRY_STARVED_NS);
}

static bool is_out_of_descriptors(int err)
{
	return err == EMFILE || err == ENFILE;
}

static int open_reserve(void)
{
	return eventfd(0, EFD_CLOEXEC);
}

/* The reserve is what an accepted session's dial falls back on: no accepting without it. A
 * connection that is kept for later goes for it: this worker's, or soon another one's. */
static bool refill_reserve(struct worker *w)
{
	if (w->reserve_fd >= 0)
		return true;
	w->reserve_fd = open_reserve();
	if (w->reserve_fd >= 0 || !is_out_of_descriptors(errno))
		return w->reserve_fd >= 0;
	if (idle_give_up(&w->idle))
		w->reserve_fd = open_reserve();
	else
		worker_asks_for_kept(w);
	return w->reserve_fd >= 0;
}

static void on_accept(evutil_socket_t fd, short what, void *arg);

static int watch(struct listen_socket *ls)
{
	if (!ls->event)
		ls->event =
		    event_new(ls->worker->base, ls->fd, EV_READ | EV_PERSIST, on_accept, ls);
	if (!ls->event)
		return -ENOMEM;
	return event_add(ls->event, NULL) < 0 ? -errno : 0;
}

/* It stays paused, and is tried again, until everything that accepting needs is there: watching the
 * socket takes the kernel's memory, too. */
static void on_retry(struct timer *t)
{
	struct listen_socket *ls = container_of(t, struct listen_socket, retry);
	int err = 0;

	if (!refill_reserve(ls->worker)) {
		loop_timer_set(&ls->worker->loop, t, ls->worker->loop.now + RETRY_STARVED_NS);
		return;
	}
	err = watch(ls);
	if (err)
		starved(ls, -err);
	else
		ls->paused = false;
}

/* ---- accepting -------------------------------------------------------------------------- */

/* Resets a connection that never becomes a session, and logs that it ended so. Takes `fd`. */
static void turn_away(const struct daemon *d, const struct listener *l, int fd,
		      const struct addr *client, const char *end, const char *reason)
{
	struct conn c = {.fd = fd};
	char text[ADDR_STR_MAX];

	conn_close(&c, true);
	if (!atomic_load_explicit(&d->access_log, memory_order_relaxed))
		return;
	access_write_session(
	    &(struct access_session){.client = addr_format(client, text),
				     .listener = l->config->name,
				     .pool = l->pool ? l->pool->config->name : NULL,
				     .reason = reason,
				     .end = end});
}

/* Takes a place for one session, global and of the listener; SLOT_NONE: there is none. It is no
 * session before use_place(). */
static uint32_t take_place(struct daemon *d, struct listener *l)
{
	uint32_t slot;

	if (!listener_reserve(l))
		return SLOT_NONE;
	slot = slots_take(&d->slots);
	if (slot == SLOT_NONE)
		listener_unreserve(l);
	return slot;
}

static void return_place(struct daemon *d, struct listener *l, uint32_t slot)
{
	slots_return(&d->slots, slot);
	listener_unreserve(l);
}

static void use_place(struct daemon *d, struct listener *l)
{
	slots_use(&d->slots);
	listener_session_begins(l);
}

/* Of one that was used. */
static void give_place(struct daemon *d, struct listener *l, uint32_t slot)
{
	slots_give(&d->slots, slot);
	listener_session_ended(l);
}

/* One line in this time, whatever is refused in it. */
#define NO_MEMORY_LOG_NS (60 * NSEC_PER_SEC)

/* The client must not take it for the end of its stream. */
static void no_memory(struct worker *w, struct listener *l, int fd, uint32_t slot,
		      const struct addr *client)
{
	static atomic_uint_fast64_t logged_ns;
	uint64_t last = atomic_load(&logged_ns);

	/* Another worker's clock may be a little ahead. */
	if ((!last || (int64_t)(w->loop.now - last) > (int64_t)NO_MEMORY_LOG_NS) &&
	    atomic_compare_exchange_strong(&logged_ns, &last, w->loop.now))
		log_about(LOG_LVL_ERROR, LOG_ABOUT(.listener = l->config->name),
			  "listener %s: out of memory for sessions: they are reset",
			  l->config->name);
	stat_inc(&w->stats.ends[END_LIMIT]);
	turn_away(w->daemon, l, fd, client, session_end_str[END_LIMIT], NULL);
	give_place(w->daemon, l, slot);
}

/* memory_max is near: those who are there keep what they have. */
static void refuse_for_memory(struct worker *w, struct listener *l, int fd, uint32_t slot,
			      const struct addr *client)
{
	stat_inc(&w->stats.ends[END_LIMIT]);
	stat_inc(&w->stats.memory_refusals);
	turn_away(w->daemon, l, fd, client, session_end_str[END_LIMIT], "memory");
	give_place(w->daemon, l, slot);
}

static struct addr *find_original(const struct daemon *d, const struct listener *l, int fd,
				  const struct addr *client)
{
	if (l->steered)
		return steering_original(fd);
	return l->intercepts ? interception_original(d->interception, fd, client) : NULL;
}

void accept_session(struct worker *w, struct listener *l, int fd, uint32_t slot,
		    const struct addr *client, bool denied)
{
	struct addr *original = find_original(w->daemon, l, fd, client);

	atomic_fetch_add(&l->account->total, 1);
	stat_inc(&w->stats.sessions_total);
	if (memory_refuses(&w->daemon->memory) && !listener_tells(l)) {
		refuse_for_memory(w, l, fd, slot, client);
		free(original);
	} else if (!session_start(&w->home, l, fd, slot, client, original, denied, sniff_start)) {
		no_memory(w, l, fd, slot, client);
		free(original);
	}
}

/* Who was in the queue of a passed socket before this process set its options has not inherited
 * them; nor, of one from the descriptor store, what keeps another daemon's bypass away. */
static int equip(const struct listen_socket *ls, int fd)
{
	const struct listener_config *c = ls->listener->config;
	int err;

	if (ls->binding && ls->binding->foreign)
		conn_stay_apart(fd);
	/* One that was given up was not passed. */
	if (!ls->binding || !addr_is_passed(&ls->binding->wanted) ||
	    ls->bound.sa.sa_family == AF_UNIX)
		return 0;
	err = conn_listen_options(fd, &ls->bound);
	if (!err && conn_wants_keepalive(&c->tcp_keepalive, ls->listener->silence))
		err = conn_set_keepalive(fd, &c->tcp_keepalive);
	return err;
}

/* Who is waited for no more, whether the program that chooses workers waits just now or may again.
 */
static void count_arrival(struct listen_socket *ls)
{
	struct worker *w = ls->worker;

	if (ls->bound.sa.sa_family == AF_UNIX ||
	    (ls->binding && addr_is_passed(&ls->binding->wanted)))
		return;
	__atomic_store_n(&w->load->arrived, w->load->arrived + 1, __ATOMIC_RELAXED);
	if (ls->binding && atomic_load_explicit(&ls->binding->by_sessions, memory_order_relaxed))
		stat_inc(&w->stats.accepted_spread);
}

static int accept_once(const struct listen_socket *ls, struct addr *client)
{
	*client = (struct addr){.len = sizeof(client->un)};
	return accept4(ls->fd, &client->sa, &client->len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* accept4() wants a descriptor before it looks whether anybody is there: see do_accept() in the
 * kernel's net/socket.c. */
static bool somebody_waits(const struct listen_socket *ls)
{
	struct pollfd p = {.fd = ls->fd, .events = POLLIN};

	return poll(&p, 1, 0) != 0;
}

/* Who waits has the descriptor of a connection that is kept for later. The client's, or -1 and
 * errno: EAGAIN, too, where nobody waits. */
static int accept_for_kept(const struct listen_socket *ls, struct addr *client)
{
	int err = errno;

	if (!somebody_waits(ls)) {
		errno = EAGAIN;
		return -1;
	}
	if (idle_give_up(&ls->worker->idle))
		return accept_once(ls, client);
	worker_asks_for_kept(ls->worker);
	errno = err;
	return -1;
}

/* The connection, or -1 and errno. */
static int take_connection(struct listen_socket *ls, struct addr *client)
{
	int fd = accept_once(ls, client), err;

	if (fd < 0 && is_out_of_descriptors(errno))
		fd = accept_for_kept(ls, client);
	if (fd < 0)
		return -1;
	addr_unmap(client);
	count_arrival(ls);
	err = equip(ls, fd);
	if (!err)
		return fd;
	/* It must not take it for the end of its stream. */
	turn_away(ls->worker->daemon, ls->listener, fd, client, session_end_str[END_ERROR], NULL);
	errno = -err;
	return -1;
}

/* Whether it was not steered there: who has found the hidden address has named no other one. */
static bool is_intruder(const struct listen_socket *ls, int fd)
{
	struct addr local = {.len = sizeof(local.un)};

	return ls->listener->steered &&
	       (getsockname(fd, &local.sa, &local.len) < 0 || addr_equal(&local, &ls->hidden));
}

/* One connection. False: stop for this turn. */
static bool accept_one(struct listen_socket *ls)
{
	struct listener *l = ls->listener;
	struct daemon *d = ls->worker->daemon;
	struct addr client;
	uint32_t slot = take_place(d, l);
	bool denied, intruder;
	int fd, err;

	if (slot == SLOT_NONE) {
		pause_accept(ls, RETRY_FULL_NS);
		return false;
	}
	fd = take_connection(ls, &client);
	err = errno;
	/* Behind a proxy that announces its clients, it is they who are allowed or denied. */
	intruder = fd >= 0 && is_intruder(ls, fd);
	denied =
	    fd >= 0 && l->config->accept_proxy == PROXY_ACCEPT_NO && !listener_allows(l, &client);
	if (fd >= 0 && !intruder && (!denied || l->config->protocol == PROTOCOL_HTTP)) {
		if (denied)
			stat_inc(&ls->worker->stats.denied);
		conn_accepted(fd, &ls->bound, &client);
		use_place(d, l);
		balance_start(ls->worker, l, fd, slot, &client, denied);
		return true;
	}
	return_place(d, l, slot);
	if (fd >= 0) {
		stat_inc(&ls->worker->stats.denied);
		turn_away(d, l, fd, &client, session_end_str[END_DENIED], NULL);
		return true;
	}
	switch (err) {
	case EAGAIN:
		return false;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		starved(ls, err);
		return false;
	default:
		/* The connection died in the queue, or a network error of it is reported here. */
		stat_inc(&ls->worker->stats.accept_failures);
		return true;
	}
}

static void on_accept(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct listen_socket *ls = arg;
	struct worker *w = ls->worker;

	w->loop.now = now_ns();
	for (int i = 0; i < ACCEPT_BATCH && !ls->paused; i++) {
		if (w->reserve_fd < 0 && !refill_reserve(w)) {
			starved(ls, EMFILE);
			return;
		}
		if (!accept_one(ls))
			return;
		worker_close_ended(w);
	}
}

/* ---- for a setup ------------------------------------------------------------------------ */

static void begin(struct worker *w, struct listen_socket *ls)
{
	if (ls->begun || ls->fd < 0)
		return;
	ls->worker = w;
	ls->begun = true;
	ls->retry.fire = on_retry;
	ls->paused = true;
	if (atomic_load(&w->daemon->serving))
		on_retry(&ls->retry);
}

void accept_rest(struct listen_socket *ls)
{
	ls->paused = false;
	for (uint32_t i = 0; i <= ls->listener->config->backlog && !ls->paused; i++) {
		if (!accept_one(ls))
			return;
		worker_close_ended(ls->worker);
	}
}

/* Connections still in the queue are reset, unless somebody else has it. */
static void stop_or_linger(struct worker *w, struct listen_socket *ls, bool lingers)
{
	if ((w->daemon->handing_over || lingers) && ls->event && ls->fd >= 0)
		accept_rest(ls);
	if (!lingers) {
		lingering_shut(&w->loop, ls);
		return;
	}
	ls = lingering_add(&w->lingering, ls);
	if (ls)
		on_retry(&ls->retry);
}

static void stop(struct worker *w, struct listen_socket *ls)
{
	stop_or_linger(w, ls, w->started && lingering_may(ls));
}

/* Other than passed ones, which their unit has, and those of files, it was hidden, unless another
 * worker process of the daemon needs it: then what has come with this one's marks is accepted. */
static void give_up(struct worker *w, struct listen_socket *ls)
{
	bool ours = ls->event && ls->fd >= 0 && ls->bound.sa.sa_family != AF_UNIX &&
		    !addr_is_passed(&ls->binding->wanted);

	if (ours && !lingering_may(ls))
		(void)daemon_disown_socket(w->daemon, ls->fd);
	stop_or_linger(w, ls, w->started && ours);
}

void accept_last(struct listen_socket *ls)
{
	(void)daemon_disown_socket(ls->worker->daemon, ls->fd);
	accept_rest(ls);
}

/* Calls fn for each socket that the worker has of the binding. */
static void each(struct worker *w, struct binding *b,
		 void (*fn)(struct worker *w, struct listen_socket *ls))
{
	for (unsigned int i = w->index; i < b->n_sockets; i += w->daemon->n_workers)
		fn(w, &b->sockets[i]);
}

void accept_adopt(struct worker *w, struct setup *s, struct setup *was)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		struct listener *l = &s->listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++) {
			struct binding *b = l->bindings[j];

			for (unsigned int k = w->index; k < b->n_sockets; k += w->daemon->n_workers)
				b->sockets[k].listener = l;
			each(w, b, begin);
		}
	}
	for (size_t i = 0; was && i < was->n_listeners; i++) {
		struct listener *l = &was->listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++)
			if (!binding_is_current(l->bindings[j]))
				each(w, l->bindings[j], give_up);
	}
}

static void serve(struct worker *w _unused_, struct listen_socket *ls)
{
	if (ls->begun && ls->paused && ls->fd >= 0)
		on_retry(&ls->retry);
}

static void each_of_setup(struct worker *w, struct setup *s,
			  void (*fn)(struct worker *w, struct listen_socket *ls))
{
	for (size_t i = 0; i < s->n_listeners; i++)
		for (size_t j = 0; j < s->listeners[i].config->n_binds; j++)
			if (s->listeners[i].bindings[j])
				each(w, s->listeners[i].bindings[j], fn);
}

void accept_serve(struct worker *w, struct setup *s)
{
	each_of_setup(w, s, serve);
}

void accept_stop(struct worker *w, struct setup *s)
{
	/* One that was never set up, because something before it failed, accepts nothing; whose the
	 * sockets are closes them. */
	if (!w->daemon)
		return;
	each_of_setup(w, s, stop);
}
