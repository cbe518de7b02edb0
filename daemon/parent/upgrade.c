// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An upgrade, as far as a worker of the new program: it is tried as a child first, and what fails
 * changes nothing. How the old worker makes way is in handover.c, how this process becomes the new
 * program in heritage.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../log.h"
#include "parent.h"

/* For workers to be told what they should know, before this process is another program. */
#define BECOME_NS (2 * NSEC_PER_SEC)

/* ---- answers ---------------------------------------------------------------------------- */

static void answer(struct parent *p, pid_t asker, const char *why)
{
	struct message m = {.kind = MESSAGE_UPGRADED, .upgraded.failed = why != NULL};

	(void)snprintf(m.upgraded.text, sizeof(m.upgraded.text), "%s", why ? why : "");
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (p->children[i].state != CHILD_NONE && p->children[i].pid == asker)
			child_tell(&p->children[i], &m, -1);
}

/* Each line of what the new program said is a line of the log. */
static void log_failure(const struct parent *p, const char *why)
{
	log_lines(LOG_LVL_ERROR, "upgrade: ", why);
	/* While the daemon is ending nothing goes on. */
	if (p->stopping)
		return;
	log_error("upgrade: %s", p->upgrade.state == UPGRADE_HANDING
				     ? "the program that runs goes on, with another worker"
				     : "nothing is changed");
}

/* ---- the check -------------------------------------------------------------------------- */

/* Appends what is there; false: nothing more will come. The rest of a long text is left out. */
static bool read_said(struct upgrade *u)
{
	char more[512];
	ssize_t n;

	while ((n = read(u->said_fd, more, sizeof(more))) > 0) {
		size_t room = sizeof(u->text) - 1 - u->said, take = MIN((size_t)n, room);

		memcpy(u->text + u->said, more, take);
		u->said += take;
		u->text[u->said] = '\0';
	}
	return n < 0 && errno == EAGAIN;
}

static void on_said(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct parent *p = arg;

	if (!read_said(&p->upgrade))
		(void)event_del(p->upgrade.said_event); /* takes no memory */
}

static void on_late(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	upgrade_failed(arg, "the new program takes too long to check the configuration");
}

static int start_check(struct parent *p)
{
	struct timeval tv = timeval_of(p->start_ns);
	struct upgrade *u = &p->upgrade;
	_cleanup_close_ int in = -1;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	u->said_fd = ends[0];
	in = ends[1];
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	u->said_event = event_new(p->base, ends[0], EV_READ | EV_PERSIST, on_said, p);
	u->deadline = evtimer_new(p->base, on_late, p);
	if (!u->said_event || !u->deadline || event_add(u->said_event, NULL) < 0 ||
	    evtimer_add(u->deadline, &tv) < 0)
		return -ENOMEM;
	pid = program_start_check(&p->program, in);
	if (pid < 0)
		return pid;
	u->checker = pid;
	return 0;
}

bool upgrade_ended(struct parent *p, pid_t pid, int status)
{
	struct upgrade *u = &p->upgrade;
	char why[MESSAGE_TEXT_MAX];

	if (!u->checker || u->checker != pid)
		return false;
	u->checker = 0;
	(void)read_said(u);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		(void)event_del(u->deadline); /* takes no memory */
		u->state = UPGRADE_STARTING;
		workers_start(p, true);
		return true;
	}
	while (u->said && u->text[u->said - 1] == '\n')
		u->text[--u->said] = '\0';
	if (u->said)
		(void)snprintf(why, sizeof(why), "%s", u->text);
	else
		(void)snprintf(why, sizeof(why), "%.900s -t ended with %s %d", p->program.path,
			       WIFSIGNALED(status) ? "signal" : "exit code",
			       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	upgrade_failed(p, why);
	return true;
}

/* ---- life ------------------------------------------------------------------------------- */

/* Why there can be none now; NULL: there can. */
static const char *objection(const struct parent *p)
{
	size_t busy = 0;

	for (size_t i = 0; i < CHILDREN_MAX; i++)
		busy += p->children[i].state != CHILD_NONE;
	if (ending_is_near(p))
		return "the daemon is ending";
	if (p->upgrade.state != UPGRADE_NONE)
		return "an upgrade is under way already";
	if (p->next)
		return "a worker is being started: try again when it is ready";
	if (busy == CHILDREN_MAX)
		return "too many workers are still draining: try again when one of them has ended";
	return NULL;
}

/*
 * Whether the file is gone that who serves has read: a worker of the new program would go on
 * without what it said, which nobody means to lose with it. What else is wrong with it the check
 * tells.
 */
static bool is_file_gone(const struct parent *p, char why[MESSAGE_TEXT_MAX])
{
	const char *file = p->serving ? p->serving->file : "";

	if (!*file || access(file, F_OK) == 0 || errno != ENOENT)
		return false;
	(void)snprintf(why, MESSAGE_TEXT_MAX, FILE_IS_GONE, file, strerror(ENOENT));
	return true;
}

void upgrade_begin(struct parent *p, pid_t asker)
{
	const char *why = objection(p);
	char gone[MESSAGE_TEXT_MAX];
	int err;

	if (why) {
		log_warn("upgrade: %s", why);
		answer(p, asker, why);
		return;
	}
	log_info("upgrade: trying %s", p->program.path);
	p->upgrade.state = UPGRADE_CHECKING;
	p->upgrade.asker = asker;
	if (is_file_gone(p, gone)) {
		upgrade_failed(p, gone);
		return;
	}
	err = start_check(p);
	if (err)
		upgrade_failed(p, strerror(-err));
}

void upgrade_leave(struct parent *p)
{
	struct upgrade *u = &p->upgrade;

	if (u->said_event)
		event_free(u->said_event);
	if (u->deadline)
		event_free(u->deadline);
	closep_(&u->said_fd);
	*u = (struct upgrade){.said_fd = -1};
}

void upgrade_clear(struct parent *p)
{
	if (p->upgrade.checker)
		(void)kill(p->upgrade.checker, SIGKILL); /* one that has ended is reaped, too */
	upgrade_leave(p);
}

void upgrade_ready(struct parent *p)
{
	if (p->upgrade.state == UPGRADE_STARTING)
		p->upgrade.state = UPGRADE_HANDING;
}

void upgrade_succeeded(struct parent *p)
{
	answer(p, p->upgrade.asker, NULL);
	upgrade_clear(p);
	p->become_by_ns = now_ns() + BECOME_NS;
	event_active(p->become, EV_TIMEOUT, 0);
}

void upgrade_failed(struct parent *p, const char *why)
{
	if (p->upgrade.state == UPGRADE_NONE)
		return;
	log_failure(p, why);
	answer(p, p->upgrade.asker, why);
	workers_abandon_next(p);
	upgrade_clear(p);
	workers_ensure(p);
}
