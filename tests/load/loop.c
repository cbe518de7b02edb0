/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop, the lines on stdin and the pauses. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "../../daemon/util.h"
#include "run.h"

#define EVENTS    256
#define LONGEST   (100 * NSEC_PER_MSEC) /* one wait: the deadline is looked at that often */
#define LINE_SIZE 4096

struct control {
	int signals;
	bool no_stdin;
	size_t len;
	char line[LINE_SIZE];
};

bool run_chance(struct run *run, double probability)
{
	if (probability <= 0)
		return false;
	return (double)(pattern_random(&run->random) >> 11) * 0x1p-53 < probability;
}

uint64_t run_between(struct run *run, uint64_t min, uint64_t max)
{
	return min + (max > min ? pattern_random(&run->random) % (max - min + 1) : 0);
}

/* The proxy's addresses, separated by spaces. */
static void set_targets(struct run *run, char *line)
{
	char *save = NULL;

	for (char *word = strtok_r(line, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
		if (run->n_targets == MAX_ADDRS ||
		    !address_parse(word, &run->targets[run->n_targets])) {
			fprintf(stderr, "spliced-load: \"%s\" is no address\n", word);
			exit(2);
		}
		run->n_targets++;
	}
	run->targets_known = run->n_targets > 0;
	run->started = now_ns();
}

/* `go` and `resume`: whatever was held back moves again. */
static void release(struct run *run)
{
	uint64_t now = now_ns();

	if (run->released)
		return;
	run->released = true;
	for (unsigned int i = 0; i < run->n_opened; i++) {
		run->clients[i].rx.started = now;
		endpoint_step(&run->clients[i], run, 0);
	}
	for (unsigned int i = 0; i < run->n_servers; i++)
		endpoint_step(run->servers[i], run, 0);
}

static void command(struct run *run, char *line)
{
	if (strcmp(line, "stats") == 0)
		report_progress(run);
	else if (!run->targets_known)
		set_targets(run, line);
	else if (strcmp(line, "go") == 0 || strcmp(line, "resume") == 0)
		release(run);
	else if (*line)
		fprintf(stderr, "spliced-load: \"%s\" is no command\n", line);
}

/* Reads what is there. The end of stdin releases what waits for a line. */
static void read_commands(struct run *run, struct control *c)
{
	ssize_t n = read(STDIN_FILENO, c->line + c->len, sizeof(c->line) - c->len);
	char *newline;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0 || c->len + (size_t)n == sizeof(c->line)) {
		(void)epoll_ctl(run->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
		c->no_stdin = true;
		release(run);
		return;
	}
	c->len += (size_t)n;
	while ((newline = memchr(c->line, '\n', c->len))) {
		size_t used = (size_t)(newline - c->line) + 1;

		*newline = '\0';
		command(run, c->line);
		c->len -= used;
		memmove(c->line, c->line + used, c->len);
	}
}

static void open_control(struct run *run, struct control *c)
{
	struct epoll_event in = {.events = EPOLLIN, .data.ptr = c};
	struct epoll_event sig = {.events = EPOLLIN, .data.ptr = &c->signals};
	sigset_t usr1;

	(void)sigemptyset(&usr1);
	(void)sigaddset(&usr1, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &usr1, NULL);
	c->signals = signalfd(-1, &usr1, SFD_CLOEXEC | SFD_NONBLOCK);
	if (c->signals < 0 || epoll_ctl(run->epoll, EPOLL_CTL_ADD, c->signals, &sig) < 0)
		perror("spliced-load: SIGUSR1");
	if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &in) < 0) {
		/* A file cannot be waited for, and need not be. */
		while (!c->no_stdin)
			read_commands(run, c);
	}
}

static void dispatch(struct run *run, struct control *c, const struct epoll_event *ev)
{
	int *fd = ev->data.ptr;
	struct signalfd_siginfo info;

	if (ev->data.ptr == c) {
		read_commands(run, c);
	} else if (fd == &c->signals) {
		if (read(c->signals, &info, sizeof(info)) == sizeof(info))
			report_progress(run);
	} else if (fd >= run->listeners && fd < run->listeners + MAX_ADDRS) {
		sessions_accept(run, *fd);
	} else {
		endpoint_step(ev->data.ptr, run, ev->events);
	}
}

/* Steps endpoints whose pause is over; returns when the next one is. */
static uint64_t wake_sleepers(struct run *run)
{
	uint64_t now = now_ns(), next = now + LONGEST;
	struct endpoint *ep = TAILQ_FIRST(&run->sleepers), *after;

	for (; ep; ep = after) {
		uint64_t at = endpoint_wake_time(ep);

		after = TAILQ_NEXT(ep, sleeper);
		if (at <= now) {
			endpoint_step(ep, run, 0);
			if (ep->ending == END_OPEN && ep->sleeping)
				at = endpoint_wake_time(ep);
			else
				at = UINT64_MAX;
		}
		next = MIN(next, at);
	}
	return next;
}

static void wait_events(struct run *run, struct control *c, uint64_t until)
{
	struct epoll_event events[EVENTS];
	uint64_t now = now_ns(), wait = until > now ? until - now : 0;
	struct timespec ts = {.tv_sec = (time_t)(wait / NSEC_PER_SEC),
			      .tv_nsec = (long)(wait % NSEC_PER_SEC)};
	int n = epoll_pwait2(run->epoll, events, EVENTS, &ts, NULL);

	for (int i = 0; i < n; i++)
		dispatch(run, c, &events[i]);
}

/* Starts what can start; true when the run is over. */
static bool turn(struct run *run, const struct control *c, uint64_t *next)
{
	if (now_ns() >= run->deadline) {
		run->report.problem = "deadline";
		return true;
	}
	if (!run->targets_known) {
		if (c->no_stdin)
			run->report.problem = "stdin ended before the proxy's address came";
		return c->no_stdin;
	}
	if (!sessions_open(run))
		*next = MIN(*next, now_ns() + NSEC_PER_MSEC);
	if (run->opt.idle && !run->idle_told && sessions_idle(run)) {
		run->idle_told = true;
		report_event("idle");
	}
	return sessions_finished(run);
}

void run_loop(struct run *run)
{
	struct control control = {.signals = -1};

	open_control(run, &control);
	for (;;) {
		uint64_t next = wake_sleepers(run);

		if (turn(run, &control, &next))
			break;
		wait_events(run, &control, MIN(next, run->deadline));
	}
	(void)close(control.signals);
}
