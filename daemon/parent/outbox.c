// SPDX-License-Identifier: GPL-2.0-or-later
#include "outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "../log.h"

/* Between two tries: nobody tells when the kernel has memory again, and who does not read now will
 * not for a while. */
#define PAUSE_MIN_NS (20 * NSEC_PER_MSEC)
#define PAUSE_MAX_NS (640 * NSEC_PER_MSEC)

struct letter_out {
	TAILQ_ENTRY(letter_out) link;
	struct message message;
	int fd; /* -1: none */
};

static bool is_passing(int err)
{
	return err == -EAGAIN || err == -ENOMEM || err == -ENOBUFS;
}

static void drop(struct outbox *o, struct letter_out *l)
{
	TAILQ_REMOVE(&o->letters, l, link);
	o->n--;
	closep_(&l->fd);
	free(l);
}

/* Whether all of it is told. What cannot be for another reason than that there is no room is lost.
 */
static bool flush(struct outbox *o)
{
	struct letter_out *l;

	while ((l = TAILQ_FIRST(&o->letters))) {
		int err = message_send(o->channel, &l->message, l->fd);

		if (is_passing(err))
			return false;
		if (err && err != -EPIPE) /* that it ends is told anyway */
			log_error("telling a worker: %s", strerror(-err));
		drop(o, l);
	}
	return true;
}

static void try_later(struct outbox *o)
{
	struct timeval tv = {.tv_usec = (suseconds_t)(o->pause_ns / NSEC_PER_USEC)};

	if (evtimer_add(o->again, &tv) < 0)
		log_error("no memory for a timer: a worker is told what it should know with what "
			  "comes next");
	o->pause_ns = MIN(2 * o->pause_ns, PAUSE_MAX_NS);
}

static void on_again(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct outbox *o = arg;

	if (!flush(o))
		try_later(o);
}

int outbox_open(struct outbox *o, int channel, struct event_base *base)
{
	*o = (struct outbox){.channel = channel};
	TAILQ_INIT(&o->letters);
	o->again = evtimer_new(base, on_again, o);
	return o->again ? 0 : -ENOMEM;
}

/* The facts that are kept are those of before. */
static bool renew_facts(struct outbox *o, const struct message *m)
{
	struct letter_out *l;

	if (m->kind != MESSAGE_FACTS)
		return false;
	TAILQ_FOREACH (l, &o->letters, link) {
		if (l->message.kind != MESSAGE_FACTS)
			continue;
		l->message = *m;
		return true;
	}
	return false;
}

static int keep(struct outbox *o, const struct message *m, int fd)
{
	struct letter_out *l;

	if (renew_facts(o, m))
		return 0;
	l = o->again && o->n < OUTBOX_MAX ? malloc(sizeof(*l)) : NULL;
	if (!l)
		return -ENOBUFS;
	/* Where there is no descriptor for it the worker is told without, as where that has none.
	 */
	*l = (struct letter_out){.message = *m, .fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0)};
	TAILQ_INSERT_TAIL(&o->letters, l, link);
	if (!o->n++) {
		o->pause_ns = PAUSE_MIN_NS;
		try_later(o);
	}
	return 0;
}

int outbox_send(struct outbox *o, struct message *m, int fd)
{
	int err = flush(o) ? message_send(o->channel, m, fd) : -EAGAIN;

	return is_passing(err) ? keep(o, m, fd) : err;
}

void outbox_close(struct outbox *o)
{
	struct letter_out *l;

	while (o->n && (l = TAILQ_FIRST(&o->letters)))
		drop(o, l);
	if (o->again)
		event_free(o->again);
	*o = (struct outbox){.channel = -1};
}
