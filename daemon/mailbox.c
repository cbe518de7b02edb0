// SPDX-License-Identifier: GPL-2.0-or-later
#include "mailbox.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "util.h"

/* Letters that are read in one turn of the loop. */
#define TURN_LETTERS 256

/* The first that waits, with its meaning in *ret; it may be posted again from here on. */
static bool take(struct mailbox *m, struct letter *ret)
{
	struct letter *l;

	(void)pthread_mutex_lock(&m->lock);
	l = m->head;
	if (l) {
		*ret = *l;
		m->head = l->next;
		if (!m->head)
			m->tail = &m->head;
		l->queued = false;
	}
	(void)pthread_mutex_unlock(&m->lock);
	return l != NULL;
}

static void on_mail(evutil_socket_t fd, short what _unused_, void *arg)
{
	struct mailbox *m = arg;
	struct letter l;
	uint64_t n;

	/* It is level-triggered: a read that fails is tried again. */
	(void)!read(fd, &n, sizeof(n));
	for (int i = 0; i < TURN_LETTERS; i++) {
		if (!take(m, &l))
			return;
		l.fn(m->owner, l.arg);
	}
	/* The others' turn first: an event that is made active here would run before they are even
	 * looked for. */
	n = 1;
	(void)!write(fd, &n, sizeof(n));
}

int mailbox_init(struct mailbox *m, struct event_base *base, void *owner)
{
	int err;

	*m = (struct mailbox){.owner = owner};
	m->tail = &m->head;
	err = -pthread_mutex_init(&m->lock, NULL);
	if (err)
		return err;
	m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (m->fd < 0) {
		(void)pthread_mutex_destroy(&m->lock);
		m->tail = NULL;
		return -errno;
	}
	m->event = event_new(base, m->fd, EV_READ | EV_PERSIST, on_mail, m);
	if (!m->event || event_add(m->event, NULL) < 0) {
		mailbox_fini(m);
		return -ENOMEM;
	}
	return 0;
}

void mailbox_fini(struct mailbox *m)
{
	if (!m->tail)
		return;
	if (m->event)
		event_free(m->event);
	(void)close(m->fd);
	(void)pthread_mutex_destroy(&m->lock);
	m->tail = NULL;
}

void mailbox_post(struct mailbox *m, struct letter *l, letter_fn fn, void *arg)
{
	uint64_t one = 1;

	(void)pthread_mutex_lock(&m->lock);
	if (!l->queued) {
		*l = (struct letter){.fn = fn, .arg = arg, .queued = true};
		*m->tail = l;
		m->tail = &l->next;
	}
	(void)pthread_mutex_unlock(&m->lock);
	/* EAGAIN would mean that 2^64 - 1 letters wait: the reader is awake anyway. */
	(void)!write(m->fd, &one, sizeof(one));
}
