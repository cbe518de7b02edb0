// SPDX-License-Identifier: GPL-2.0-or-later
/* The main thread: set-up in order, signals, drain, tear-down. */
#include "run.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "addresses.h"
#include "binding.h"
#include "bypass/maps.h"
#include "config/config.h"
#include "conn.h"
#include "daemon.h"
#include "doctor/doctor.h"
#include "engine.h"
#include "health/checks.h"
#include "log.h"
#include "privileges.h"
#include "reload.h"
#include "report/commands.h"
#include "report/controlpath.h"
#include "report/metrics.h"
#include "report/status.h"
#include "sandbox.h"
#include "signals.h"
#include "tally.h"
#include "worker.h"

struct run {
	struct daemon daemon;
	struct config *config; /* until the daemon has it */
	struct identity identity;
	struct event_base *base;
	struct signals signals;
	struct event *grace;
	struct mailbox mail; /* its letters' owner is the run */
	struct doctor doctor;
	struct tally tally;
	struct metrics *metrics;
	struct status *status;
	struct commands commands;
	struct addresses addresses;
	struct checks checks;
	struct reload reload;
	unsigned int busy_workers; /* that still have sessions while draining */
	bool hurried;              /* sessions were told to end at once */
	bool log_later;            /* the access log is opened after privileges were dropped */
};

/* ---- shutting down ---------------------------------------------------------------------- */

static void on_worker_drained(void *owner, void *arg _unused_)
{
	struct run *r = owner;

	if (--r->busy_workers == 0)
		(void)event_base_loopbreak(r->base);
}

/* In the worker's thread. */
static void worker_drained(struct worker *w)
{
	struct run *r = container_of(w->daemon, struct run, daemon);

	mailbox_post(&r->mail, &w->letters.drained, on_worker_drained, NULL);
}

static void drain_letter(void *owner, void *arg _unused_)
{
	worker_drain(owner);
}

static void end_letter(void *owner, void *arg _unused_)
{
	worker_end_all(owner, END_SHUTDOWN);
}

static void drain_workers(struct run *r)
{
	for (unsigned int i = 0; i < r->daemon.n_workers; i++) {
		struct worker *w = &r->daemon.workers[i];

		mailbox_post(&w->mail, &w->letters.drain, drain_letter, NULL);
	}
}

static void end_sessions(struct run *r)
{
	for (unsigned int i = 0; i < r->daemon.n_workers; i++) {
		struct worker *w = &r->daemon.workers[i];

		mailbox_post(&w->mail, &w->letters.end, end_letter, NULL);
	}
}

static void on_grace(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct run *r = arg;

	log_warn("shutdown_grace is over: ending %u sessions", slots_used(&r->daemon.slots));
	end_sessions(r);
}

/* First: no new sessions, the others may end within shutdown_grace. Second: the end. More: nothing.
 */
static void terminate(struct run *r, int sig)
{
	uint64_t grace = r->daemon.config->shutdown_grace;
	struct timeval tv = {.tv_sec = (time_t)(grace / NSEC_PER_SEC),
			     .tv_usec = (suseconds_t)(grace % NSEC_PER_SEC / 1000)};

	if (r->hurried)
		return; /* no number of signals makes it faster, so none may make it slower */
	if (atomic_exchange(&r->daemon.draining, true)) {
		r->hurried = true;
		log_warn("signal %d again: ending %u sessions at once", sig,
			 slots_used(&r->daemon.slots));
		end_sessions(r);
		return;
	}
	log_info("signal %d: draining %u sessions", sig, slots_used(&r->daemon.slots));
	(void)sd_notify(0, "STOPPING=1\nSTATUS=draining");
	/* It cannot fail: open_base() has reserved its place in the heap. */
	(void)evtimer_add(r->grace, &tv);
	drain_workers(r);
}

static void on_signal(enum signal_action action, int sig, void *arg)
{
	struct run *r = arg;

	switch (action) {
	case SIGNAL_END:
		terminate(r, sig);
		break;
	case SIGNAL_RELOAD:
		reload_ask(&r->reload, NULL);
		break;
	case SIGNAL_REOPEN:
		if (!log_reopen())
			log_info("signal %d: no log file is open", sig);
		break;
	case SIGNAL_IGNORE:
		break;
	}
}

/* ---- set-up ----------------------------------------------------------------------------- */

static int open_base(struct run *r)
{
	static const struct timeval never = {.tv_sec = 1000000000};
	int err;

	r->base = event_base_new();
	if (!r->base)
		return log_errno(-ENOMEM, "event base");
	err = mailbox_init(&r->mail, r->base, r);
	if (!err)
		err = signals_open(&r->signals, r->base, on_signal, r);
	/* A timer that is set already is set anew without memory: see terminate(). */
	r->grace = evtimer_new(r->base, on_grace, r);
	if (!err && (!r->grace || evtimer_add(r->grace, &never) < 0))
		err = -ENOMEM;
	return err ? log_errno(err, "signals") : 0;
}

static unsigned int worker_count(const struct config *c)
{
	cpu_set_t set;

	if (c->workers)
		return c->workers;
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned int)MIN(CPU_COUNT(&set), SPLICE_MAX_WORKERS);
}

static int find_identity(struct run *r)
{
	const struct config *c = r->daemon.config;
	int err = privileges_lookup(c->user, &r->identity);

	if (err == -ENOENT && !c->user_where.line) {
		return 0; /* the file's warnings say that root stays root */
	}
	return err ? log_errno(err, "user %s", c->user) : 0;
}

/*
 * Opened by root where root may, and made over to the user the daemon becomes: it is that user who
 * opens it again later. A root without CAP_DAC_OVERRIDE may not write to that user's folder: then
 * the user opens it.
 */
static int open_access_log(struct run *r, bool dropped)
{
	const struct config *c = r->daemon.config;
	const struct identity *who = &r->identity;
	bool give = who->change && !dropped;
	int err = log_access_setup(c->access_log, c->access_log_format, give ? who->uid : (uid_t)-1,
				   give ? who->gid : (gid_t)-1);

	if (err == -EACCES && give) {
		r->log_later = true;
		return 0;
	}
	r->log_later = false;
	return err ? log_errno(err, "access_log = %s", c->access_log) : 0;
}

/* A kernel without filters is no reason not to run; and tests have forgotten calls kill. */
static int give_up_calls(const struct run *r)
{
	const char *mode = getenv("SPLICED_DEBUG_SECCOMP");
	int err;

	if (!r->daemon.config->seccomp || !sandbox_is_possible())
		return 0;
	/* The bypass looks at sockets by programs. */
	err = sandbox_enter(mode && strcmp(mode, "kill") == 0, r->daemon.bypass);
	if (err == -ENOMEM)
		return log_errno(err, "seccomp");
	if (err)
		log_warn("no seccomp filter: %s", strerror(-err));
	return 0;
}

/* Everything after this runs as the user, and no earlier a thread may be started. */
static int drop_privileges(struct run *r)
{
	int err = privileges_drop(&r->identity, r->daemon.config->user);

	if (!err && r->log_later)
		err = open_access_log(r, true);
	if (!err)
		err = give_up_calls(r);
	if (err)
		return err;
	err = log_start();
	return err ? log_errno(err, "starting the log's threads") : 0;
}

/*
 * A daemon that nobody prepared anything for (the quick start of an ordinary user) has its control
 * socket where such a user may make one.
 */
static int open_control(struct run *r)
{
	const struct config *c = r->daemon.config;
	char path[CONTROL_PATH_MAX];
	const char *where = c->control;

	if (!c->control_where.line && !control_path_is_usable(c->control)) {
		int err = control_path_of_user(path, true);

		if (err)
			return log_errno(err, "a folder for the control socket: %s", path);
		where = path;
		log_info("control socket: %s", where);
	}
	r->commands = (struct commands){.daemon = &r->daemon,
					.reload = &r->reload,
					.doctor = &r->doctor,
					.metrics = r->metrics,
					.status = r->status,
					.tally = &r->tally,
					.mail = &r->mail};
	return commands_open(&r->commands, r->base, where,
			     r->identity.change ? &r->identity : NULL);
}

/* What the control socket and the status server tell, and that server. */
static int open_status(struct run *r)
{
	const struct config *c = r->daemon.config;
	char from[CONFIG_WHERE_MAX];
	int err = tally_init(&r->tally, &r->daemon, r->base, &r->mail);

	r->metrics = metrics_new(&r->daemon, &r->doctor);
	if (err || !r->metrics)
		return log_errno(-ENOMEM, "status");
	if (!c->status.len)
		return 0;
	return status_open(r->base, &c->status, config_where(c, c->status_where.line, from),
			   &(struct status_sources){.daemon = &r->daemon,
						    .doctor = &r->doctor,
						    .metrics = r->metrics,
						    .tally = &r->tally},
			   &r->status);
}

static int start_checks(struct run *r)
{
	r->daemon.checks = &r->checks;
	return checks_start(&r->checks, &r->daemon, r->base);
}

static int set_up(struct run *r)
{
	const struct config *c = r->daemon.config;
	int err = find_identity(r);

	/* First of all, so that a stream of JSON lines has no others. */
	if (!err)
		err = open_access_log(r, false);
	if (err)
		return err;
	reload_say_warnings(c);
	err = open_base(r);
	if (err)
		return err;
	privileges_raise_nofile(c->max_sessions);
	conn_setup(c->local_congestion == LOCAL_CONGESTION_SYSTEM);
	err = engine_open(&r->daemon, &r->doctor, worker_count(c));
	if (!err)
		err = daemon_init(&r->daemon, TAKE_PTR(r->config), worker_count(c));
	if (!err)
		err = memory_watch_init(&r->daemon.memory_watch, &r->daemon, r->base, &r->mail);
	if (!err)
		err = daemon_listen(&r->daemon);
	if (!err)
		err = open_status(r);
	if (!err && c->control)
		err = open_control(r);
	if (!err)
		err = drop_privileges(r);
	if (!err)
		err = engine_prove(&r->daemon, &r->doctor);
	if (!err)
		err = addresses_start(&r->addresses, &r->daemon, r->base);
	if (!err)
		err = start_checks(r);
	if (!err)
		err = daemon_start(&r->daemon);
	return err;
}

static void say_ready(const struct run *r)
{
	const struct doctor *doctor = &r->doctor;
	char text[ADDR_STR_MAX];

	bindings_say(r->daemon.setup);
	if (r->status)
		log_info("status: http://%s/ (metrics, healthz, readyz)",
			 addr_format(status_address(r->status), text));
	if (doctor->kernel || r->daemon.config->engine == ENGINE_COPY)
		log_info("engine %s: %s", doctor->kernel ? "kernel" : "copy", doctor->reason);
	else
		log_warn("engine copy: %s", doctor->reason);
	log_info("ready: %u workers, at most %u sessions", r->daemon.n_workers,
		 r->daemon.config->max_sessions);
	(void)sd_notifyf(0, "READY=1\nSTATUS=engine %s", doctor->kernel ? "kernel" : "copy");
}

static void tear_down(struct run *r)
{
	struct maps *maps = r->daemon.maps;
	struct bypass_maps *bypass = r->daemon.bypass;

	reload_fini(&r->reload);
	commands_close(&r->commands);
	status_close(r->status);
	tally_fini(&r->tally);
	metrics_free(r->metrics);
	checks_stop(&r->checks);
	daemon_fini(&r->daemon);
	addresses_stop(&r->addresses);
	maps_close(maps);
	bypass_maps_close(bypass);
	doctor_end(&r->doctor);
	mailbox_fini(&r->mail);
	signals_close(&r->signals);
	if (r->grace)
		event_free(r->grace);
	if (r->base) {
		/* Callbacks that libevent has queued for what was freed above. */
		(void)event_base_loop(r->base, EVLOOP_NONBLOCK);
		event_base_free(r->base);
	}
	config_free(r->config);
}

static void on_libevent_message(int severity, const char *text)
{
	if (severity >= EVENT_LOG_WARN)
		log_warn("libevent: %s", text);
	else
		log_debug("libevent: %s", text);
}

int run_daemon(struct config *config, uint32_t debug)
{
	struct run *r = calloc(1, sizeof(*r));
	int err;

	if (!r) {
		(void)log_errno(-ENOMEM, "starting");
		config_free(config);
		return 1;
	}
	r->config = config;
	r->daemon.config = config;
	r->daemon.debug = debug;
	r->daemon.setups.mail = &r->mail;
	reload_init(&r->reload, &r->daemon, &r->addresses, &r->mail);
	signals_block();
	event_set_log_callback(on_libevent_message);
	log_setup(config->log_target, config->log_level);
	err = set_up(r);
	if (!err) {
		for (unsigned int i = 0; i < r->daemon.n_workers; i++)
			r->daemon.workers[i].drained = worker_drained;
		r->busy_workers = r->daemon.n_workers;
		say_ready(r);
		(void)event_base_dispatch(r->base);
		log_info("ended");
	}
	tear_down(r);
	free(r);
	log_stop();
	return err ? 1 : 0;
}
