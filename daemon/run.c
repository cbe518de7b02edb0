// SPDX-License-Identifier: GPL-2.0-or-later
/* The main thread: set-up in order, signals, drain, tear-down. */
#include "run.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>

#include "binding.h"
#include "bypass/maps.h"
#include "config/config.h"
#include "config/table.h"
#include "conn.h"
#include "engine.h"
#include "health/checks.h"
#include "intercept/mark.h"
#include "interception.h"
#include "log.h"
#include "obey.h"
#include "parent/heritage.h"
#include "parent/link.h"
#include "reload.h"
#include "report/control.h"
#include "report/controlpath.h"
#include "report/metrics.h"
#include "report/oneshot.h"
#include "report/status.h"
#include "runstate.h"
#include "sandbox.h"
#include "sending.h"
#include "spreading.h"
#include "standings.h"
#include "steering.h"
#include "worker.h"

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
		err = signals_open(&r->signals, r->base, obey_signal, r);
	/* A timer that is set already is set anew without memory: see terminate(). */
	r->grace = evtimer_new(r->base, obey_grace, r);
	r->delay = evtimer_new(r->base, obey_delay, r);
	r->handover = evtimer_new(r->base, obey_handover, r);
	if (!err && (!r->grace || !r->delay || !r->handover || evtimer_add(r->grace, &never) < 0 ||
		     evtimer_add(r->delay, &never) < 0 || evtimer_add(r->handover, &never) < 0))
		err = -ENOMEM;
	if (!err)
		err = link_watch(r->link, r->base, &obey_parent, r);
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

	if (err == -ENOENT && !c->user_where.line)
		return 0; /* the file's warnings say that root stays root */
	if (err)
		return log_errno(err, "user %s", c->user);
	/* A container's root may have less than it takes. */
	if (r->identity.change && !c->user_where.line && !privileges_may_change()) {
		log_warn("user %s (the default)%s%s: the daemon stays root, without capabilities",
			 c->user, privileges_missing(CAP_SETUID), privileges_missing(CAP_SETGID));
		r->identity.change = false;
	}
	return 0;
}

/* Only root becomes another user; whoever wrote one may have meant it. */
static void say_who_it_stays(const struct config *c)
{
	char own[64];

	if (geteuid() != 0 && c->user_where.line && *c->user &&
	    strcmp(c->user, privileges_own_name(own)) != 0)
		log_warn("user = %s: only root becomes another user, and it was started by %s: it "
			 "stays that",
			 c->user, own);
}

/*
 * Opened by root where root may, and made over to the user the daemon becomes: it is that user who
 * opens it again later. A root without CAP_DAC_OVERRIDE may not write to that user's folder, one
 * without CAP_CHOWN not make the file over: then the user opens it.
 */
static int open_access_log(struct run *r, bool dropped)
{
	const struct config *c = r->daemon.config;
	const struct identity *who = &r->identity;
	bool give = who->change && !dropped;
	char where[CONFIG_WHERE_MAX];
	int err = log_access_setup(c->access_log, c->access_log_format, give ? who->uid : (uid_t)-1,
				   give ? who->gid : (gid_t)-1);

	if ((err == -EACCES || err == -EPERM) && give) {
		r->log_later = true;
		return 0;
	}
	r->log_later = false;
	return err ? log_errno(err, "%s: access_log = %s",
			       config_where(c, c->written[OPTION_ID_SPLICED_access_log], where),
			       c->access_log)
		   : 0;
}

/* A kernel without filters is no reason not to run; and tests have forgotten calls kill. */
static int give_up_calls(const struct run *r)
{
	const char *mode = getenv("SPLICED_DEBUG_SECCOMP");
	int err;

	if (!r->daemon.config->seccomp || !sandbox_is_possible())
		return 0;
	/* The bypass looks at sockets by programs. */
	err = sandbox_enter(mode && strcmp(mode, "kill") == 0, r->daemon.bypass,
			    r->daemon.sends_for_clients);
	if (err == -ENOMEM)
		return log_errno(err, "seccomp");
	if (err)
		log_warn("no seccomp filter: %s", strerror(-err));
	return 0;
}

/* What is missing for `source = client` is said here, not to each client. */
static int check_sending(struct run *r)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *errors = open_memstream(&text, &size);
	int err = errors ? sending_check(r->daemon.config, false, errors) : -ENOMEM;

	if (errors && fclose(errors) != 0 && !err)
		err = -ENOMEM;
	if (err && text)
		log_lines(LOG_LVL_ERROR, "", text);
	r->daemon.sends_for_clients = !err && sending_is_wanted(r->daemon.config);
	return err;
}

/* Everything after this runs as the user, and no earlier a thread may be started. */
static int drop_privileges(struct run *r)
{
	int kept = r->daemon.sends_for_clients ? sending_capability() : PRIVILEGES_NONE;
	int err = privileges_drop(&r->identity, r->daemon.config->user, kept);

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
	char path[CONTROL_PATH_MAX], from[CONFIG_WHERE_MAX];
	const char *where = c->control;

	if (!c->control_where.line && !control_path_is_usable(c->control)) {
		int err = control_path_of_user(path, true);

		if (err)
			return log_errno(err,
					 "%s cannot be made here; a folder for the control socket "
					 "instead: %s",
					 c->control, path);
		where = path;
		log_info("control socket: %s", where);
	}
	r->commands = (struct commands){.daemon = &r->daemon,
					.reload = &r->reload,
					.doctor = &r->doctor,
					.metrics = r->metrics,
					.status = r->status,
					.tally = &r->tally,
					.mail = &r->mail,
					.upgraded = obey_upgraded,
					.arg = r};
	int err =
	    commands_open(&r->commands, r->base, where, r->identity.change ? &r->identity : NULL);

	if (!err)
		oneshot_wait(control_server(r->commands.control));
	else if (c->control_where.line)
		log_error("%s: control = %s: it cannot be had",
			  config_where(c, c->control_where.line, from), c->control);
	return err;
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
	err = status_open(r->base, &c->status, config_where(c, c->status_where.line, from),
			  &(struct status_sources){.daemon = &r->daemon,
						   .doctor = &r->doctor,
						   .metrics = r->metrics,
						   .tally = &r->tally},
			  &r->status);
	if (!err) {
		oneshot_wait(status_server(r->status));
		err = steering_except(r->daemon.steering, status_address(r->status));
	}
	return err;
}

static int start_checks(struct run *r)
{
	/* A server in maint is not checked. */
	standings_take(&r->daemon);
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
	say_who_it_stays(c);
	err = open_base(r);
	if (err)
		return err;
	privileges_raise_nofile(c->max_sessions);
	conn_setup(c->local_congestion == LOCAL_CONGESTION_SYSTEM);
	err = check_sending(r);
	if (!err)
		err = engine_open(&r->daemon, &r->doctor, worker_count(c));
	if (!err)
		err = daemon_init(&r->daemon, TAKE_PTR(r->config), worker_count(c));
	if (!err)
		engine_spread(&r->daemon, r->daemon.n_workers);
	if (!err)
		err = memory_watch_init(&r->daemon.memory_watch, &r->daemon, r->base, &r->mail);
	if (!err)
		err = daemon_listen(&r->daemon);
	if (!err)
		err = engine_intercept(&r->daemon, &r->doctor);
	if (!err)
		err = engine_steer(&r->daemon, &r->doctor);
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

static void say_ready(struct run *r)
{
	const struct doctor *doctor = &r->doctor;
	char text[ADDR_STR_MAX];

	bindings_say(r->daemon.setup);
	if (doctor->kernel)
		bindings_say_copied(r->daemon.setup);
	interception_aim(r->daemon.interception, r->daemon.setup);
	/* From here on, beside those of the worker before it: its sockets listen, and who is in
	 * their queues is accepted by that one or by this. */
	interception_ready(r->daemon.interception);
	if (r->status)
		log_info("status: http://%s/ (metrics, healthz, readyz)",
			 addr_format(status_address(r->status), text));
	if (doctor->kernel || r->daemon.config->engine == ENGINE_COPY)
		log_info("engine %s: %s", doctor->kernel ? "kernel" : "copy", doctor->reason);
	else
		log_warn("engine copy: %s", doctor->reason);
	log_info("ready: %u workers, at most %u sessions", r->daemon.n_workers,
		 r->daemon.config->max_sessions);
}

static void tell_ready(struct run *r)
{
	struct message m = {.kind = MESSAGE_READY,
			    .ready = {.drain_ns = daemon_drain_ns(r->daemon.config),
				      .heritage = HERITAGE_VERSION,
				      .delay_ns = r->daemon.config->drain_delay}};

	log_manner(&m.ready.manner);
	(void)snprintf(m.ready.status, sizeof(m.ready.status), "engine %s",
		       r->doctor.kernel ? "kernel" : "copy");
	(void)snprintf(m.ready.file, sizeof(m.ready.file), "%s",
		       config_optional_file(r->daemon.config));
	link_tell(r->link, &m);
}

static void tear_down(struct run *r)
{
	struct maps *maps = r->daemon.maps;
	struct bypass_maps *bypass = r->daemon.bypass;
	struct mark *mark = r->daemon.mark;
	struct spreading *spreading = r->daemon.spreading;

	reload_fini(&r->reload);
	commands_close(&r->commands);
	status_close(r->status);
	tally_fini(&r->tally);
	metrics_free(r->metrics);
	checks_stop(&r->checks);
	standings_close(&r->daemon);
	interception_close(r->daemon.interception);
	steering_close(r->daemon.steering);
	daemon_fini(&r->daemon);
	spreading_close(spreading);
	mark_close(mark);
	addresses_stop(&r->addresses);
	maps_close(maps);
	bypass_maps_close(bypass);
	doctor_end(&r->doctor);
	mailbox_fini(&r->mail);
	signals_close(&r->signals);
	if (r->grace)
		event_free(r->grace);
	if (r->delay)
		event_free(r->delay);
	if (r->handover)
		event_free(r->handover);
	link_close(r->link);
	if (r->base) {
		/* Callbacks that libevent has queued for what was freed above. */
		(void)event_base_loop(r->base, EVLOOP_NONBLOCK);
		event_base_free(r->base);
	}
	config_free(r->config);
}

static void on_libevent_message(int severity, const char *text)
{
	/* After an error it ends the process. */
	if (severity >= EVENT_LOG_ERR)
		log_error("libevent: %s", text);
	else if (severity >= EVENT_LOG_WARN)
		log_warn("libevent: %s", text);
	else
		log_debug("libevent: %s", text);
}

int run_daemon(struct config *config, uint32_t debug, struct link *link)
{
	struct run *r = calloc(1, sizeof(*r));
	int err;

	if (!r) {
		(void)log_errno(-ENOMEM, "starting");
		config_free(config);
		link_close(link);
		return 1;
	}
	r->link = r->daemon.link = link;
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
			r->daemon.workers[i].drained = obey_drained;
		r->busy_workers = r->daemon.n_workers;
		say_ready(r);
		tell_ready(r);
		(void)event_base_dispatch(r->base);
		/* Answers that were given a moment ago: splicectl upgrade waits for one. */
		(void)event_base_loop(r->base, EVLOOP_NONBLOCK);
		log_info("ended");
		err = r->orphan || r->failed;
	} else {
		obey_tell_failed(r);
	}
	tear_down(r);
	free(r);
	log_stop();
	return err ? 1 : 0;
}
