// SPDX-License-Identifier: GPL-2.0-or-later
#include "lingering.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "binding.h"
#include "handshakes.h"
#include "listener.h"
#include "loop.h"
#include "parent/bound.h"
#include "setup.h"
#include "tcpstate.h"

/* The first look: what a processor is in the midst of has happened then. The intervals double. */
#define LOOK_NS     (10 * NSEC_PER_MSEC)
#define LOOK_MAX_NS (100 * NSEC_PER_MSEC)
/* Where nothing can be seen. */
#define BLIND_NS (200 * NSEC_PER_MSEC)

struct lingering_socket {
	LIST_ENTRY(lingering_socket) link;
	struct listen_socket socket;
	uint64_t since, inode;
	bool extended; /* it has got more time, because the loop was late: once */
	bool seen;     /* in this look: */
	unsigned int references;
};

void lingering_shut(struct loop *loop, struct listen_socket *s)
{
	if (s->event)
		event_free(s->event);
	s->event = NULL;
	loop_timer_cancel(loop, &s->retry);
	closep_(&s->fd);
	s->fd = -1;
}

static void end(struct lingering *l, struct lingering_socket *s)
{
	lingering_shut(l->loop, &s->socket);
	setup_unref(s->socket.listener->setup);
	LIST_REMOVE(s, link);
	free(s);
}

static void tell_over(struct lingering *l)
{
	void (*over)(struct lingering * l) = l->over;

	l->over = NULL;
	if (over)
		over(l);
}

void lingering_when_over(struct lingering *l, void (*over)(struct lingering *l))
{
	l->over = over;
	if (!lingering_any(l))
		tell_over(l);
}

void lingering_end(struct lingering *l)
{
	while (lingering_any(l))
		end(l, LIST_FIRST(&l->all));
	loop_timer_cancel(l->loop, &l->look);
	tell_over(l);
}

/* ---- until nobody is left --------------------------------------------------------------- */

static void note(void *arg, uint64_t inode, unsigned int references)
{
	const struct lingering *l = arg;
	struct lingering_socket *s;

	LIST_FOREACH (s, &l->all, link) {
		if (s->inode != inode)
			continue;
		s->seen = true;
		s->references = references;
	}
}

static bool is_over(const struct lingering *l, const struct lingering_socket *s)
{
	uint64_t age = l->loop->now - MIN(s->since, l->loop->now);
	bool steered = s->socket.listener->steered;

	if (age >= LINGERING_NS || !bound_is_hidden(s->socket.fd))
		return true;
	if (steered && atomic_load(l->still))
		return false;
	if (!s->seen)
		return age >= BLIND_NS;
	/* One reference is the socket's own, one of all maps that it is in (sk_psock_init()). Who
	 * waits for room has the time that is left. */
	return s->references <= 1U + (s->socket.mapped || s->socket.queued) &&
	       tcp_queue_is_empty(s->socket.fd);
}

/* Who has waited for a worker that did not run has not had its time. */
static void extend(struct lingering_socket *s, uint64_t owed)
{
	if (!owed || s->extended)
		return;
	s->extended = true;
	s->since += owed;
}

static void on_look(struct timer *t)
{
	struct lingering *l = container_of(t, struct lingering, look);
	uint64_t owed = timer_owes(t->at, l->loop->now);
	struct lingering_socket *s, *next;

	LIST_FOREACH (s, &l->all, link)
		s->seen = false;
	(void)handshakes_each(note, l); /* what fails is not seen */
	for (s = LIST_FIRST(&l->all); s; s = next) {
		next = LIST_NEXT(s, link);
		extend(s, owed);
		if (!is_over(l, s))
			continue;
		/* Of a batch that was too short for all of them. */
		l->rest(&s->socket);
		end(l, s);
	}
	if (!lingering_any(l)) {
		tell_over(l);
		return;
	}
	l->wait_ns = MIN(2 * l->wait_ns, LOOK_MAX_NS);
	loop_timer_set(l->loop, t, l->loop->now + l->wait_ns);
}

void lingering_leave(struct lingering *l)
{
	struct lingering_socket *s, *next;

	for (s = LIST_FIRST(&l->all); s; s = next) {
		next = LIST_NEXT(s, link);
		if (bound_is_hidden(s->socket.fd))
			continue;
		l->rest(&s->socket);
		end(l, s);
	}
	if (!lingering_any(l))
		tell_over(l);
}

/* ---- who comes to it -------------------------------------------------------------------- */

void lingering_init(struct lingering *l, struct loop *loop, const atomic_bool *still,
		    void (*rest)(struct listen_socket *s))
{
	*l = (struct lingering){.loop = loop, .look.fire = on_look, .still = still, .rest = rest};
	LIST_INIT(&l->all);
}

bool lingering_may(const struct listen_socket *s)
{
	return s->fd >= 0 && s->event && bound_is_hidden(s->fd);
}

struct listen_socket *lingering_add(struct lingering *l, struct listen_socket *s)
{
	struct lingering_socket *n = calloc(1, sizeof(*n));
	struct stat st;

	if (n) {
		n->since = l->loop->now;
		n->inode = fstat(s->fd, &st) < 0 ? 0 : st.st_ino;
		n->socket = (struct listen_socket){.listener = s->listener,
						   .worker = s->worker,
						   .retry.fire = s->retry.fire,
						   .bound = s->bound,
						   .hidden = s->hidden,
						   .fd = TAKE_FD(s->fd),
						   .mapped = s->mapped,
						   .queued = s->queued,
						   .begun = true,
						   .paused = true};
		(void)setup_ref(n->socket.listener->setup);
		LIST_INSERT_HEAD(&l->all, n, link);
		l->wait_ns = LOOK_NS;
		loop_timer_set(l->loop, &l->look, l->loop->now + LOOK_NS);
	}
	lingering_shut(l->loop, s);
	return n ? &n->socket : NULL;
}
