// SPDX-License-Identifier: GPL-2.0-or-later
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "../log.h"

/* Messages that came while an answer was waited for. More than these a parent does not send. */
#define WAITING_MAX 32
/* The parent has nothing to do that takes long. */
#define ANSWER_MS 10000

struct link {
	int fd;
	struct event *event;
	const struct link_events *events;
	void *arg;
	struct message waiting[WAITING_MAX];
	unsigned int n_waiting;
	struct message_held held; /* the last answer */
	struct message_facts facts;
	bool late; /* an answer did not come in time, and must not be taken for the next one */
	char call[sizeof(((struct message_held *)0)->call)];
};

static bool is_channel(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

struct link *link_new(int channel)
{
	struct link *l = calloc(1, sizeof(*l));

	if (l)
		l->fd = channel;
	else
		(void)close(channel);
	return l;
}

int link_open(struct link **ret)
{
	const char *text = getenv(LINK_VARIABLE);
	char *end;
	long fd;

	*ret = NULL;
	if (!text)
		return 0;
	errno = 0;
	fd = strtol(text, &end, 10);
	if (errno || end == text || *end || fd <= STDERR_FILENO || fd > INT32_MAX ||
	    !is_channel((int)fd))
		return -EINVAL;
	/* Not for what is started from here. */
	if (unsetenv(LINK_VARIABLE) < 0 || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	*ret = link_new((int)fd);
	return *ret ? 0 : -ENOMEM;
}

void link_close(struct link *l)
{
	if (!l)
		return;
	if (l->event)
		event_free(l->event);
	closep_(&l->fd);
	free(l);
}

/* ---- what the parent says --------------------------------------------------------------- */

static void gone(struct link *l)
{
	(void)event_del(l->event); /* takes no memory */
	l->events->gone(l->arg);
}

static void tell(struct link *l, const struct message *m)
{
	if (m->kind == MESSAGE_FACTS)
		l->facts = m->facts;
	else if (m->kind == MESSAGE_HELD)
		l->late = false; /* here it is */
	else
		l->events->message(m, l->arg);
}

static void on_message(evutil_socket_t fd, short what _unused_, void *arg)
{
	struct link *l = arg;
	struct message m;
	int got, passed;

	for (unsigned int i = 0; i < l->n_waiting; i++)
		tell(l, &l->waiting[i]);
	l->n_waiting = 0;
	got = message_receive(fd, &m, &passed);
	closep_(&passed); /* none is expected */
	if (got > 0)
		tell(l, &m);
	else if (got != -EAGAIN)
		gone(l);
}

int link_watch(struct link *l, struct event_base *base, const struct link_events *events, void *arg)
{
	l->events = events;
	l->arg = arg;
	l->event = event_new(base, l->fd, EV_READ | EV_PERSIST, on_message, l);
	if (!l->event || event_add(l->event, NULL) < 0)
		return -ENOMEM;
	if (l->n_waiting)
		event_active(l->event, EV_READ, 0);
	return 0;
}

const struct message_facts *link_facts(const struct link *l)
{
	static const struct message_facts none;

	return l ? &l->facts : &none;
}

/* ---- what it is asked ------------------------------------------------------------------- */

static void keep(struct link *l, const struct message *m)
{
	if (m->kind == MESSAGE_FACTS)
		l->facts = m->facts;
	else if (l->n_waiting < WAITING_MAX)
		l->waiting[l->n_waiting++] = *m;
	else
		log_error("too many messages from the parent at once: one is lost");
	if (l->event && l->n_waiting)
		event_active(l->event, EV_READ, 0);
}

/* 0 or a negative errno. */
static int wait_readable(int fd, uint64_t end)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t now = now_ns();
	int n = poll(&p, 1, now < end ? (int)((end - now) / NSEC_PER_MSEC) + 1 : 0);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return n ? 0 : -ETIMEDOUT;
}

static int wait_answer(struct link *l, int *fd)
{
	uint64_t end = now_ns() + ANSWER_MS * NSEC_PER_MSEC;
	struct message m;
	int got;

	for (;;) {
		got = message_receive(l->fd, &m, fd);
		if (got == 0)
			return -EPIPE;
		if (got > 0 && m.kind == MESSAGE_HELD)
			break;
		closep_(fd);
		*fd = -1;
		if (got > 0) {
			keep(l, &m);
			continue;
		}
		if (got == -EAGAIN)
			got = wait_readable(l->fd, end);
		if (got)
			return got;
	}
	l->held = m.held;
	return 0;
}

/* Asks, and waits for the answer, which is in l->held; *fd is the caller's. */
static int ask(struct link *l, struct message *m, int *fd)
{
	int err = l->late ? -ESTALE : message_send_surely(l->fd, m, -1);

	if (err)
		return err;
	err = wait_answer(l, fd);
	l->late = err == -ETIMEDOUT;
	return err;
}

static int hold_here(const struct bind_request *r, struct bound *ret, struct message_held *held,
		     const char **call)
{
	int err = bound_open(r, r->shared && r->index == 0 && addr_port(&r->addr), ret, call);

	*held = (struct message_held){.n = r->index + 1};
	return err;
}

int link_hold(struct link *l, const struct bind_request *r, struct bound *ret,
	      struct message_held *held, const char **call)
{
	struct message m = {.kind = MESSAGE_HOLD, .hold = *r};
	_cleanup_close_ int fd = -1;
	int err;

	if (!l)
		return hold_here(r, ret, held, call);
	*call = "asking the parent";
	err = ask(l, &m, &fd);
	if (err)
		return err;
	if (l->held.error) {
		(void)snprintf(l->call, sizeof(l->call), "%s", l->held.call);
		*call = l->call;
		return l->held.error;
	}
	if (fd < 0)
		return -EMFILE; /* the kernel leaves it out where this process has no room */
	*held = l->held;
	*ret = (struct bound){.fd = TAKE_FD(fd), .addr = l->held.addr};
	return 0;
}

int link_change(struct link *l, const struct bind_request *r)
{
	struct message m = {.kind = MESSAGE_ACCESS, .hold = *r};
	int fd = -1, err = ask(l, &m, &fd);

	closep_(&fd); /* none is expected */
	return err ? err : l->held.error;
}

static int ask_about(struct link *l, enum message_kind kind, const char *name)
{
	struct message m = {.kind = kind};
	int fd = -1, err;

	(void)snprintf(m.release, sizeof(m.release), "%s", name);
	err = ask(l, &m, &fd);
	closep_(&fd); /* none is expected */
	return err;
}

int link_hide(struct link *l, const char *name)
{
	return l ? ask_about(l, MESSAGE_HIDE, name) : -ENOTCONN;
}

void link_release(struct link *l, const char *name)
{
	int err = l ? ask_about(l, MESSAGE_RELEASE, name) : 0;

	if (err && err != -EPIPE)
		(void)log_errno(err, "having the parent close %s", name);
}

int link_fetch(struct link *l, const char *name)
{
	struct message m = {.kind = MESSAGE_FETCH};
	int fd = -1, err;

	if (!l)
		return -1;
	(void)snprintf(m.deposit, sizeof(m.deposit), "%s", name);
	err = ask(l, &m, &fd);
	if (err && err != -EPIPE)
		(void)log_errno(err, "asking the parent for %s", name);
	return fd;
}

void link_leave(struct link *l, const char *name, int fd)
{
	struct message m = {.kind = MESSAGE_LEAVE};
	int err;

	if (!l)
		return;
	(void)snprintf(m.deposit, sizeof(m.deposit), "%s", name);
	err = message_send_surely(l->fd, &m, fd);
	if (err && err != -EPIPE)
		(void)log_errno(err, "leaving %s with the parent", name);
}

int link_send(struct link *l, struct message *m)
{
	int err = message_send_surely(l->fd, m, -1);

	if (err && err != -EPIPE) /* then the loop hears that it is gone */
		log_error("telling the parent: %s", strerror(-err));
	return err;
}

void link_tell(struct link *l, struct message *m)
{
	(void)link_send(l, m);
}
