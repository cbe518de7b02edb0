// SPDX-License-Identifier: GPL-2.0-or-later
#include "child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "../log.h"

/* Beyond the time that a drain has. */
#define DRAIN_NS (10 * NSEC_PER_SEC)
/* Between two kills of a process that does not go. */
#define END_NS (5 * NSEC_PER_SEC)

const char *const child_state_str[_CHILD_STATE_MAX] = {
    [CHILD_NONE] = "none",       [CHILD_STARTING] = "starting", [CHILD_READY] = "ready",
    [CHILD_SERVING] = "serving", [CHILD_RETIRING] = "retiring", [CHILD_DRAINING] = "draining",
};

/* All may become none: a process can end at any time. */
static const bool legal[_CHILD_STATE_MAX][_CHILD_STATE_MAX] = {
    [CHILD_NONE] = {[CHILD_STARTING] = true},
    [CHILD_STARTING] = {[CHILD_NONE] = true, [CHILD_READY] = true},
    [CHILD_READY] = {[CHILD_NONE] = true, [CHILD_SERVING] = true},
    [CHILD_SERVING] = {[CHILD_NONE] = true, [CHILD_RETIRING] = true, [CHILD_DRAINING] = true},
    [CHILD_RETIRING] = {[CHILD_NONE] = true, [CHILD_DRAINING] = true},
    [CHILD_DRAINING] = {[CHILD_NONE] = true},
};

void child_become(struct child *c, enum child_state state)
{
	assert(legal[c->state][state]);
	c->state = state;
	c->since_ns = now_ns();
}

int child_start(struct child *c, const struct program *program, bool from_disk,
		unsigned int generation)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	pid = program_fork(program);
	if (pid == 0) {
		(void)close(ends[0]);
		program_be_worker(program, ends[1], from_disk);
	}
	(void)close(ends[1]);
	if (pid < 0) {
		(void)close(ends[0]);
		return pid;
	}
	*c = (struct child){
	    .pid = pid, .generation = generation, .from_disk = from_disk, .channel = ends[0]};
	child_become(c, CHILD_STARTING);
	return 0;
}

static void close_channel(struct child *c)
{
	if (c->event)
		event_free(c->event);
	c->event = NULL;
	outbox_close(&c->outbox);
	closep_(&c->channel);
	c->channel = -1;
}

static void on_channel(evutil_socket_t fd, short what _unused_, void *arg)
{
	struct child *c = arg;
	struct message m;
	int passed, got = message_receive(fd, &m, &passed);

	if (got > 0) {
		c->events->message(c, &m, &passed);
	} else if (got != -EAGAIN) {
		if (got == -EPROTO)
			log_error("worker %d speaks another version than its parent", (int)c->pid);
		close_channel(c);
	}
	closep_(&passed);
}

static void on_deadline(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct child *c = arg;

	c->events->late(c);
}

int child_watch(struct child *c, struct event_base *base, const struct child_events *events,
		void *owner)
{
	int err = outbox_open(&c->outbox, c->channel, base);

	c->events = events;
	c->owner = owner;
	c->event = event_new(base, c->channel, EV_READ | EV_PERSIST, on_channel, c);
	c->deadline = evtimer_new(base, on_deadline, c);
	return err || !c->event || !c->deadline || event_add(c->event, NULL) < 0 ? -ENOMEM : 0;
}

static void log_untold(const struct child *c, int err)
{
	if (err && err != -EPIPE) /* that it ends is told anyway */
		log_error("telling worker %d: %s", (int)c->pid, strerror(-err));
}

void child_tell(struct child *c, struct message *m, int fd)
{
	log_untold(c, c->channel < 0 ? -EPIPE : outbox_send(&c->outbox, m, fd));
}

bool child_ask(struct child *c)
{
	struct message m = {.kind = MESSAGE_BEAT};
	int err = c->channel < 0 ? -EPIPE : message_send(c->channel, &m, -1);

	if (err == -ENOMEM || err == -ENOBUFS)
		return false;
	if (err != -EAGAIN) /* it does not read, and so does not answer */
		log_untold(c, err);
	return true;
}

void child_hear_last(struct child *c)
{
	struct message m;
	int passed;

	while (c->channel >= 0 && message_receive(c->channel, &m, &passed) > 0) {
		closep_(&passed);
		if (m.kind == MESSAGE_FAILED)
			(void)snprintf(c->failure, sizeof(c->failure), "%.*s",
				       (int)sizeof(m.failure) - 1, m.failure);
		c->accepts |= m.kind == MESSAGE_SERVING;
	}
}

void child_set_deadline(struct child *c, uint64_t ns)
{
	struct timeval tv = timeval_of(ns);

	if (!c->deadline)
		return; /* one that could not be watched, and was killed */
	if (!ns)
		(void)event_del(c->deadline); /* takes no memory */
	else if (event_add(c->deadline, &tv) < 0)
		log_error("no memory for a timer: worker %d may take as long as it likes",
			  (int)c->pid);
}

void child_drain(struct child *c)
{
	uint64_t grace = c->drain_ns - MIN(c->delay_ns, c->drain_ns), now = now_ns(), end;

	if (c->state != CHILD_DRAINING)
		child_become(c, CHILD_DRAINING);
	end = c->since_ns + grace + DRAIN_NS;
	child_set_deadline(c, now < end ? end - now : 1);
}

static void end(struct child *c, int sig)
{
	c->killed = true;
	if (kill(c->pid, sig) == 0 || errno == ESRCH || c->unkillable)
		return; /* it is tried again and again, and told of once */
	c->unkillable = true;
	log_error("killing worker %d: %s", (int)c->pid, strerror(errno));
	close_channel(c);
}

void child_abort(struct child *c)
{
	end(c, SIGABRT);
}

void child_kill(struct child *c)
{
	end(c, SIGKILL);
}

void child_end(struct child *c)
{
	child_kill(c);
	child_set_deadline(c, END_NS);
}

const char *child_how(int status, char buf[64])
{
	const char *name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;

	if (name)
		(void)snprintf(buf, 64, "was killed by SIG%s", name);
	else if (WIFSIGNALED(status))
		(void)snprintf(buf, 64, "was killed by signal %d", WTERMSIG(status));
	else
		(void)snprintf(buf, 64, "ended with exit code %d", WEXITSTATUS(status));
	return buf;
}

void child_gone(struct child *c)
{
	close_channel(c);
	if (c->deadline)
		event_free(c->deadline);
	child_become(c, CHILD_NONE);
	*c = (struct child){.channel = -1};
}

/* ---- for the program that this process becomes ------------------------------------------ */

int child_write(const struct child *c, FILE *f)
{
	return fprintf(f,
		       "child pid=%d channel=%d generation=%u since=%llu drain=%llu state=%s "
		       "delay=%llu file=%s\n",
		       (int)c->pid, c->channel, c->generation, (unsigned long long)c->since_ns,
		       (unsigned long long)c->drain_ns, child_state_str[c->state],
		       (unsigned long long)c->delay_ns, c->file) < 0
		   ? -ENOMEM
		   : 0;
}

int child_read(struct child *c, const char *line)
{
	unsigned long long since, drain, delay = 0;
	unsigned int generation;
	char state[16], file[FILE_MAX] = "";
	int pid, channel;

	static_assert(FILE_MAX == 128, "the width of file");
	/* The last ones were not there always: its worker delays by itself, and what it has read is
	 * not known. */
	if (sscanf(line,
		   "child pid=%d channel=%d generation=%u since=%llu drain=%llu state=%15s "
		   "delay=%llu file=%127s",
		   &pid, &channel, &generation, &since, &drain, state, &delay, file) < 6)
		return -EINVAL;
	*c = (struct child){.pid = pid,
			    .channel = channel,
			    .generation = generation,
			    .accepts = true,
			    .since_ns = since,
			    .drain_ns = drain,
			    .delay_ns = delay};
	memcpy(c->file, file, sizeof(file));
	for (int i = CHILD_SERVING; i < _CHILD_STATE_MAX; i++)
		if (strcmp(state, child_state_str[i]) == 0)
			c->state = (enum child_state)i;
	return c->state == CHILD_NONE ? -EINVAL : 0;
}
