// SPDX-License-Identifier: GPL-2.0-or-later
/* The parent's life: set-up, signals, the end. */
#include "parent.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "../log.h"
#include "heritage.h"
#include "passed.h"

/* The canary takes 10 s at most, and reading the largest of files less. */
#define START_NS (60 * NSEC_PER_SEC)

/* Our own children, and, for a process 1, those of others that have died. */
static void reap(struct parent *p)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (!upgrade_ended(p, pid, status) && !workers_ended(p, pid, status))
			log_debug("process %d has ended, which is not ours", (int)pid);
}

static void on_signal(enum signal_action action, int sig, void *arg)
{
	struct parent *p = arg;

	switch (action) {
	case SIGNAL_END:
		ending_signal(p, sig);
		break;
	case SIGNAL_RELOAD:
	case SIGNAL_REOPEN:
		workers_signal(p, sig);
		break;
	case SIGNAL_UPGRADE:
		upgrade_begin(p, 0);
		break;
	case SIGNAL_CHILD:
		reap(p);
		break;
	case SIGNAL_IGNORE:
		break;
	}
}

static void on_again(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	workers_ensure(arg);
}

static const struct timeval become_later = {.tv_usec = 100000};

/* Whether nobody is still to be told something, which would be lost with the old program. Who does
 * not listen is not waited for longer than until then. */
static bool all_told(const struct parent *p)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (p->children[i].state != CHILD_NONE && !outbox_is_empty(&p->children[i].outbox))
			return now_ns() >= p->become_by_ns;
	return true;
}

static void on_become(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct parent *p = arg;

	if (ending_is_near(p))
		return;
	/* A worker that died at once has a successor on its way, or the next upgrade is tried
	 * already: neither can be handed over in the midst. They have deadlines, so this has an
	 * end. */
	if (p->serving && p->serving->state == CHILD_SERVING && p->serving->accepts && !p->next &&
	    p->upgrade.state == UPGRADE_NONE && all_told(p))
		heritage_hand_over(p);
	else if (evtimer_add(p->become, &become_later) < 0)
		log_error("no memory for a timer: the parent goes on with the old program");
}

static const struct timeval news_later = {.tv_sec = 1};

/* What this process lost or left out of its log: it has no thread that would tell it. */
static void on_news(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct parent *p = arg;

	log_tell(false);
	if (log_lost() == p->told_lost)
		return;
	p->told_lost = log_lost();
	workers_tell_facts(p, NULL);
}

/*
 * Until parent_end(). That may be before the first turn, for a worker that came to nothing at once
 * has been collected by then; and libevent forgets at the beginning of a loop that it was told to
 * end.
 */
static void run(struct parent *p)
{
	while (!p->over && event_base_loop(p->base, EVLOOP_ONCE) == 0)
		/* No memory for it: the next line tries again. */
		if (log_has_news() && !evtimer_pending(p->news, NULL))
			(void)evtimer_add(p->news, &news_later);
}

static void on_due(void *arg)
{
	workers_beat(arg);
}

void parent_end(struct parent *p, int exit_code)
{
	p->exit_code = exit_code;
	p->over = true;
	p->stopping = true; /* nobody is started any more */
	(void)event_base_loopbreak(p->base);
}

/* For tests: nobody else wants to wait for less. */
static uint64_t start_patience(void)
{
	const char *text = getenv("SPLICED_START_SECONDS");
	unsigned int seconds;

	return text && sscanf(text, "%u", &seconds) == 1 && seconds ? seconds * NSEC_PER_SEC
								    : START_NS;
}

static int set_up(struct parent *p, char **argv)
{
	int err = program_init(&p->program, argv);

	if (err)
		return log_errno(err, "finding the program in /proc");
	p->start_ns = start_patience();
	p->upgrade.said_fd = -1;
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		p->children[i].channel = -1;
	p->base = event_base_new();
	if (!p->base)
		return log_errno(-ENOMEM, "event base");
	p->again = evtimer_new(p->base, on_again, p);
	p->become = evtimer_new(p->base, on_become, p);
	p->news = evtimer_new(p->base, on_news, p);
	p->delay = evtimer_new(p->base, ending_due, p);
	err = p->again && p->become && p->news && p->delay
		  ? signals_open(&p->signals, p->base, on_signal, p)
		  : -ENOMEM;
	if (!err)
		err = manager_open(&p->manager, p->base, on_due, p);
	return err ? log_errno(err, "signals") : 0;
}

static void free_rest(struct parent *p)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (p->children[i].state != CHILD_NONE)
			child_gone(&p->children[i]);
	signals_close(&p->signals);
	manager_close(&p->manager);
	if (p->again)
		event_free(p->again);
	if (p->become)
		event_free(p->become);
	if (p->news)
		event_free(p->news);
	if (p->delay)
		event_free(p->delay);
	if (p->base)
		event_base_free(p->base);
}

static void tear_down(struct parent *p)
{
	upgrade_clear(p);
	holder_close(&p->holder);
	deposits_close(&p->deposits);
	free_rest(p);
	log_stop();
}

/*
 * In the process that was forked off, in the midst of whatever called for a worker, to which it
 * does not come back. What it has of its parent's is closed and freed before it begins: the epoll
 * instance first of all, for that is one, and taking an event out of it would be felt by both.
 */
static int work(int channel, void *arg)
{
	struct parent *p = arg;
	const worker_fn worker = p->worker;
	const void *worker_arg = p->worker_arg;
	struct link *link;

	if (event_reinit(p->base) < 0)
		return EXIT_FAILURE;
	upgrade_leave(p);
	holder_leave(&p->holder);
	deposits_close(&p->deposits);
	free_rest(p);
	*p = (struct parent){0};
	log_begin_anew();
	link = link_new(channel);
	if (!link) {
		(void)log_errno(-ENOMEM, "starting");
		return EXIT_FAILURE;
	}
	return worker(link, worker_arg);
}

int parent_run(char **argv, worker_fn worker, const void *arg)
{
	static struct parent p;
	int err;

	p.worker = worker;
	p.worker_arg = arg;
	p.program.work = work;
	p.program.arg = &p;
	signals_block();
	err = set_up(&p, argv);
	if (!err)
		err = heritage_take(&p);
	if (!err)
		err = passed_take(&p.holder);
	if (err < 0) {
		tear_down(&p);
		return 1;
	}
	if (!p.generation)
		workers_start(&p, false);
	/* Children that ended while this process became another program. */
	reap(&p);
	workers_ensure(&p);
	run(&p);
	tear_down(&p);
	return p.exit_code;
}
