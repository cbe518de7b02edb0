// SPDX-License-Identifier: GPL-2.0-or-later
#include "mailbox.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "util.h"

struct letter {
	struct letter *next;
	letter_fn fn;
	void *arg;
};

static struct letter *take_all(struct mailbox *m)
{
	struct letter *head;

	(void)pthread_mutex_lock(&m->lock);
	head = m->head;
	m->head = NULL;
	m->tail = &m->head;
	(void)pthread_mutex_unlock(&m->lock);
	return head;
}

static void on_mail(evutil_socket_t fd, short what _unused_, void *arg)
{
	struct mailbox *m = arg;
	struct letter *l;
	uint64_t n;

	(void)!read(fd, &n, sizeof(n));
	l = take_all(m);
	while (l) {
		struct letter *next = l->next;

		l->fn(m->owner, l->arg);
		free(l);
		l = next;
	}
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
	struct letter *l;

	if (!m->tail)
		return;
	l = take_all(m);
	while (l) {
		struct letter *next = l->next;

		free(l);
		l = next;
	}
	if (m->event)
		event_free(m->event);
	(void)close(m->fd);
	(void)pthread_mutex_destroy(&m->lock);
	m->tail = NULL;
}

int mailbox_post(struct mailbox *m, letter_fn fn, void *arg)
{
	struct letter *l = malloc(sizeof(*l));
	uint64_t one = 1;

	if (!l)
		return -ENOMEM;
	*l = (struct letter){.fn = fn, .arg = arg};
	(void)pthread_mutex_lock(&m->lock);
	*m->tail = l;
	m->tail = &l->next;
	(void)pthread_mutex_unlock(&m->lock);
	/* EAGAIN would mean that 2^64 - 1 letters wait: the reader is awake anyway. */
	(void)!write(m->fd, &one, sizeof(one));
	return 0;
}
