// SPDX-License-Identifier: GPL-2.0-or-later
#include "obey.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "binding.h"
#include "config/config.h"
#include "interception.h"
#include "log.h"
#include "reload.h"
#include "report/control.h"
#include "report/oneshot.h"
#include "report/status.h"
#include "runstate.h"
#include "spreading.h"
#include "standings.h"
#include "steering.h"
#include "worker.h"

/* ---- shutting down ---------------------------------------------------------------------- */

/* Who has asked for the upgrade that ends this process is told how it went. */
static void end_if_over(struct run *r)
{
	if (r->busy_workers == 0 && !r->commands.upgrade)
		(void)event_base_loopbreak(r->base);
}

void obey_upgraded(void *arg)
{
	end_if_over(arg);
}

static void on_worker_drained(void *owner, void *arg _unused_)
{
	struct run *r = owner;

	r->busy_workers--;
	end_if_over(r);
}

/* In the worker's thread. */
void obey_drained(struct worker *w)
{
	struct run *r = container_of(w->daemon, struct run, daemon);

	mailbox_post(&r->mail, &w->letters.drained, on_worker_drained, NULL);
}

static void soon_letter(void *owner, void *arg _unused_)
{
	worker_drain(owner, DRAIN_SOON);
}

static void drain_letter(void *owner, void *arg _unused_)
{
	worker_drain(owner, DRAIN_RELIEVED);
}

static void last_letter(void *owner, void *arg _unused_)
{
	worker_drain(owner, DRAIN_LAST);
}

static void end_letter(void *owner, void *arg _unused_)
{
	worker_end_all(owner, END_SHUTDOWN);
}

/* One letter for each: a letter that waits is not posted again. */
static void drain_workers(struct run *r, enum drain drain)
{
	for (unsigned int i = 0; i < r->daemon.n_workers; i++) {
		struct worker *w = &r->daemon.workers[i];

		if (drain == DRAIN_SOON)
			mailbox_post(&w->mail, &w->letters.soon, soon_letter, NULL);
		else if (drain == DRAIN_RELIEVED)
			mailbox_post(&w->mail, &w->letters.drain, drain_letter, NULL);
		else
			mailbox_post(&w->mail, &w->letters.last, last_letter, NULL);
	}
}

static void end_sessions(struct run *r)
{
	for (unsigned int i = 0; i < r->daemon.n_workers; i++) {
		struct worker *w = &r->daemon.workers[i];

		mailbox_post(&w->mail, &w->letters.end, end_letter, NULL);
	}
}

void obey_grace(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct run *r = arg;

	log_warn("shutdown_grace is over: ending %u sessions", slots_used(&r->daemon.slots));
	end_sessions(r);
}

static void end_steering(struct run *r)
{
	steering_end(r->daemon.steering);
	atomic_store(&r->daemon.steers_still, false);
}

/* No new sessions; the others may end within shutdown_grace. */
static void begin_drain(struct run *r)
{
	struct timeval tv = timeval_of(r->daemon.config->shutdown_grace);
	bool relieved = r->retiring && !(r->told && !evtimer_pending(r->delay, NULL));

	atomic_store(&r->daemon.draining, true);
	interception_end(r->daemon.interception);
	spreading_end(r->daemon.spreading);
	/* Where another process is to accept, it is that one which changes what is steered. */
	if (!r->retiring)
		end_steering(r);
	/* It cannot fail: open_base() has reserved its place in the heap. */
	(void)evtimer_add(r->grace, &tv);
	drain_workers(r, relieved ? DRAIN_RELIEVED : DRAIN_LAST);
}

/* For what a processor is in the midst of: a connection that was made with the marks of this
 * process is in the queue then. */
static const struct timeval handover_pause = {.tv_usec = 10000};

/* What is not marked any more belongs to the process that accepts it. Whether obey_handover() is
 * called in a moment; if not there is no need to wait for it. */
static bool hand_over(struct run *r)
{
	r->daemon.handing_over = true;
	/* Its place is reserved, too. */
	return daemon_disown(&r->daemon) && evtimer_add(r->handover, &handover_pause) == 0;
}

/* No further file and no further client. Who has the sockets after this process, if somebody has,
 * accepts what is not marked as its own. */
static void stop_accepting(struct run *r)
{
	/* Before nobody listens where connects are sent to. */
	interception_end(r->daemon.interception);
	/* It has yielded to one that will not come. */
	if (r->yielded)
		interception_abandon(r->daemon.interception);
	bindings_hide(NULL, r->daemon.bypass, r->daemon.setup, BINDING_ALL);
	if (!bindings_outlive(r->daemon.setup) || !hand_over(r))
		begin_drain(r);
}

void obey_delay(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct run *r = arg;

	/* Another one serves: this one's idle clients are not waited for any more. */
	if (atomic_load(&r->daemon.draining)) {
		drain_workers(r, DRAIN_LAST);
		return;
	}
	if (r->daemon.handing_over)
		return;
	log_info("drain_delay is over: draining %u sessions", slots_used(&r->daemon.slots));
	stop_accepting(r);
}

/* Everything goes on as it is, but /readyz says what is to come, and so does each response of HTTP;
 * no file is read again. `more`: how much longer this process waits for somebody else to end it. */
static void begin_delay(struct run *r, uint64_t ns, uint64_t more)
{
	struct timeval tv = timeval_of(ns + more);

	r->daemon.drain_due_ns = now_ns() + ns;
	/* Its place in the heap is reserved, too. */
	(void)evtimer_add(r->delay, &tv);
	drain_workers(r, DRAIN_SOON);
}

/* A parent that does not wait for drain_delay has the worker do it. */
static void delay_by_itself(struct run *r, int sig)
{
	uint64_t delay = r->daemon.config->drain_delay;

	log_info("signal %d: clients are accepted for another %llu ms, which is drain_delay", sig,
		 (unsigned long long)(delay / NSEC_PER_MSEC));
	begin_delay(r, delay, 0);
}

/* It was waited for enough. */
static void end_delay(struct run *r, int sig)
{
	(void)event_del(r->delay); /* takes no memory */
	log_info("signal %d again: draining %u sessions", sig, slots_used(&r->daemon.slots));
	stop_accepting(r);
}

/* What the first signal asks for is under way, but that somebody waits for it when drain_delay is
 * over. */
static void end_after_upgrade(struct run *r)
{
	struct timeval tv = timeval_of(r->daemon.config->drain_delay);

	r->told = true;
	/* As for obey_delay() in one that serves. */
	(void)evtimer_add(r->delay, &tv);
}

/* The first: after drain_delay the sessions may end. The next: the delay is over, then the end.
 * More: nothing. */
static void terminate(struct run *r, int sig)
{
	if (r->hurried)
		return; /* no number of signals makes it faster, so none may make it slower */
	if (r->retiring && !r->told) {
		end_after_upgrade(r);
		return;
	}
	/* Then what is in the queue with our marks has had its moment. */
	if (r->daemon.handing_over && !atomic_load(&r->daemon.draining))
		obey_handover(-1, 0, r);
	if (atomic_load(&r->daemon.draining)) {
		r->hurried = true;
		log_warn("signal %d again: ending %u sessions at once", sig,
			 slots_used(&r->daemon.slots));
		end_sessions(r);
		return;
	}
	if (r->daemon.drain_due_ns) {
		end_delay(r, sig);
	} else if (r->daemon.config->drain_delay) {
		delay_by_itself(r, sig);
	} else {
		log_info("signal %d: draining %u sessions", sig, slots_used(&r->daemon.slots));
		stop_accepting(r);
	}
}

/* How much later than its parent a worker ends drain_delay by itself: were it as fast it would seem
 * to have died. */
#define PARENT_LATE_NS (2 * NSEC_PER_SEC)

/* The daemon was told to end: when this worker, which serves, is to drain. Should the parent forget
 * to say that it is over, it begins at that time all the same. */
static void end_in(struct run *r, uint64_t ns)
{
	if (ns && !r->daemon.handing_over && !atomic_load(&r->daemon.draining)) {
		begin_delay(r, ns, PARENT_LATE_NS);
		return;
	}
	/* One that has made way hears of the end when it was for nobody. */
	if (r->retiring) {
		interception_abandon(r->daemon.interception);
		end_steering(r);
		if (!atomic_load(&r->daemon.draining))
			bindings_hide(NULL, r->daemon.bypass, r->daemon.setup, BINDING_ALL);
	}
	(void)event_del(r->delay); /* takes no memory */
	obey_delay(-1, 0, r);
}

/* ---- another process serves ------------------------------------------------------------- */

/* Home again: all workers have stopped accepting, each before it read this letter. */
static void on_retired(void *owner, void *arg _unused_)
{
	struct message m = {.kind = MESSAGE_RETIRED};
	struct run *r = owner;

	link_tell(r->link, &m);
}

/* Behind the letter that has it drain. */
static void retired_letter(void *owner, void *arg)
{
	const struct worker *w = owner;
	struct run *r = arg;

	if (w->home.drain >= DRAIN_RELIEVED && atomic_fetch_sub(&r->accepting, 1) == 1)
		mailbox_post(&r->mail, &r->retired, on_retired, NULL);
}

void obey_handover(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct run *r = arg;

	if (atomic_load(&r->daemon.draining))
		return; /* a second signal was faster */
	atomic_store(&r->accepting, r->daemon.n_workers);
	begin_drain(r);
	for (unsigned int i = 0; i < r->daemon.n_workers; i++) {
		struct worker *w = &r->daemon.workers[i];

		mailbox_post(&w->mail, &w->letters.retired, retired_letter, r);
	}
}

/* Until it is told to retire it accepts. One that drains has its own orders for its programs. */
static void yield(struct run *r)
{
	struct message m = {.kind = MESSAGE_YIELDED};

	if (!atomic_load(&r->daemon.draining))
		interception_retire(r->daemon.interception);
	r->yielded = true;
	link_tell(r->link, &m);
}

static void retire(struct run *r)
{
	if (r->daemon.handing_over || atomic_load(&r->daemon.draining))
		return; /* it was told so, or to end */
	log_info("another worker is ready: draining %u sessions", slots_used(&r->daemon.slots));
	r->retiring = true;
	atomic_store(&r->daemon.steers_still, r->daemon.steering);
	interception_retire(r->daemon.interception);
	oneshot_stop(control_server(r->commands.control));
	oneshot_stop(status_server(r->status));
	if (!hand_over(r))
		obey_handover(-1, 0, r);
}

/* ---- the parent ------------------------------------------------------------------------- */

static void heed(struct run *r, int sig)
{
	switch (sig) {
	case SIGHUP:
		reload_ask(&r->reload, NULL);
		break;
	case SIGUSR1:
		if (!log_reopen())
			log_info("signal %d: no log file is open", sig);
		break;
	default:
		terminate(r, sig);
	}
}

void obey_tell_failed(struct run *r)
{
	struct message m = {.kind = MESSAGE_FAILED};

	log_last_error(m.failure, sizeof(m.failure));
	link_tell(r->link, &m);
}

static void serve(struct run *r)
{
	struct message m = {.kind = MESSAGE_SERVING};

	if (r->serves) {
		link_tell(r->link, &m); /* the first answer did not arrive */
		return;
	}
	/* The one before takes no further orders, and so this is its last word. */
	standings_take(&r->daemon);
	standings_leave(&r->daemon);
	if (daemon_serve(&r->daemon) < 0) {
		/* Nobody accepts: another process must. */
		r->failed = true;
		obey_tell_failed(r);
		(void)event_base_loopbreak(r->base);
		return;
	}
	interception_serve(r->daemon.interception, r->daemon.setup);
	oneshot_accept(control_server(r->commands.control));
	oneshot_accept(status_server(r->status));
	r->serves = true;
	link_tell(r->link, &m);
}

/* ---- whether all threads turn ----------------------------------------------------------- */

/* Home again: the last one answers the parent. */
static void on_beaten(void *owner, void *arg _unused_)
{
	struct message m = {.kind = MESSAGE_ALIVE};
	struct run *r = owner;

	if (--r->beating)
		return;
	reload_state(&r->reload, &m.reloaded);
	link_tell(r->link, &m);
}

/* In the worker's thread, between two turns. */
static void beat_letter(void *owner, void *arg)
{
	struct worker *w = owner;
	struct run *r = arg;

	mailbox_post(&r->mail, &w->letters.beaten, on_beaten, NULL);
}

static void beat(struct run *r)
{
	if (r->beating)
		return; /* it is asked already; and a thread that hangs is one without an answer */
	r->beating = r->daemon.n_workers;
	for (unsigned int i = 0; i < r->daemon.n_workers; i++) {
		struct worker *w = &r->daemon.workers[i];

		mailbox_post(&w->mail, &w->letters.beat, beat_letter, r);
	}
}

static void on_parent_says(const struct message *m, void *arg)
{
	struct run *r = arg;

	switch (m->kind) {
	case MESSAGE_SIGNAL:
		heed(r, m->signal);
		break;
	case MESSAGE_SERVE:
		serve(r);
		break;
	case MESSAGE_YIELD:
		yield(r);
		break;
	case MESSAGE_RETIRE:
		retire(r);
		/* Who connects is the other one's, whether it steers or not. */
		if (m->served)
			end_steering(r);
		break;
	case MESSAGE_BEAT:
		beat(r);
		break;
	case MESSAGE_UPGRADED:
		commands_upgraded(&r->commands, &m->upgraded);
		break;
	case MESSAGE_ENDING:
		end_in(r, m->ending);
		break;
	default:
		log_error("the parent says what this worker does not know (%u)", m->kind);
	}
}

/* However this process hangs: its sockets are to be free for the next parent. */
#define ORPHAN_SECONDS 3

static void *end_orphan(void *arg _unused_)
{
	(void)sleep(ORPHAN_SECONDS);
	_exit(1);
}

static void on_parent_gone(void *arg)
{
	static const struct message_upgraded gone = {.failed = true,
						     .text = "the parent process is gone"};
	struct run *r = arg;
	pthread_t thread;

	log_error("the parent process is gone: ending %u sessions at once",
		  slots_used(&r->daemon.slots));
	r->orphan = true;
	commands_upgraded(&r->commands, &gone);
	interception_end(r->daemon.interception);
	end_steering(r);
	if (pthread_create(&thread, NULL, end_orphan, NULL) != 0)
		_exit(1);
	(void)pthread_detach(thread); /* cannot fail: it is there */
	r->hurried = true;
	atomic_store(&r->daemon.draining, true);
	drain_workers(r, DRAIN_LAST);
	end_sessions(r);
}

const struct link_events obey_parent = {.message = on_parent_says, .gone = on_parent_gone};

void obey_signal(enum signal_action action, int sig, void *arg _unused_)
{
	if (action != SIGNAL_CHILD)
		log_info("signal %d is for the parent, process %d", sig, (int)getppid());
}
