// SPDX-License-Identifier: GPL-2.0-or-later
/* The main thread: set-up in order, signals, drain, tear-down. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/queue.h>
#include <systemd/sd-daemon.h>

#include "config/config.h"
#include "conn.h"
#include "daemon.h"
#include "hello.h"
#include "listener.h"
#include "log.h"
#include "privileges.h"
#include "report/commands.h"
#include "report/controlpath.h"
#include "sandbox.h"
#include "signals.h"
#include "splice/canary.h"
#include "splice/doctor.h"
#include "upstream/idle.h"
#include "upstream/pool.h"
#include "upstream/resolve.h"
#include "worker.h"

struct run;

/* Whom the resolver tells about a name. */
struct named_server {
	SLIST_ENTRY(named_server) link;
	struct run *run;
	struct server *server;
};

struct run {
	struct daemon daemon;
	struct config *config;
	struct identity identity;
	struct event_base *base;
	struct signals signals;
	struct event *grace;
	struct mailbox mail; /* its letters' owner is the run */
	struct doctor doctor;
	struct commands commands;
	struct resolver *resolver;
	SLIST_HEAD(, named_server) named;
	struct hello *hello;
	struct addr hello_at;
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
	uint64_t grace = r->config->shutdown_grace;
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

static void say_warnings(const struct config *c)
{
	for (size_t i = 0; i < c->n_warnings; i++)
		log_write_all(LOG_LVL_WARNING, "%s: %s", c->warnings[i].where, c->warnings[i].text);
}

/* What is different from what runs, so that nobody believes it has taken effect. */
static void say_reloaded(const struct run *r, const struct config *fresh)
{
	char *names = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&names, &size);
	size_t n = f ? config_diff(r->config, fresh, f) : 0;

	if (!f || fclose(f) != 0)
		log_info("reload: %s is valid; log options are in effect, all others at a restart",
			 r->config->path);
	else if (!n)
		log_info("reload: %s is valid, and all of it is in effect", r->config->path);
	else
		log_warn("reload: %s is valid; log options are in effect, and at a restart: %s",
			 r->config->path, names);
	free(names);
}

/* The access log first: it is what can fail, and then the rest stays as it was. */
static void reload_log(struct run *r, const struct config *fresh)
{
	int err =
	    log_access_setup(fresh->access_log, fresh->access_log_format, (uid_t)-1, (gid_t)-1);

	if (err) {
		(void)log_errno(err, "reload: access_log = %s", fresh->access_log);
		log_error("reload: nothing is changed");
		return;
	}
	log_setup(fresh->log_target, fresh->log_level);
	atomic_store(&r->daemon.access_log, fresh->access_log != NULL);
	atomic_store(&r->daemon.log_empty, fresh->log_empty);
	say_warnings(fresh);
	say_reloaded(r, fresh);
}

/*
 * Reads and checks the file. What can change while sessions run is the log; the rest is told, so
 * that nobody believes it has taken effect.
 */
static void reload(struct run *r)
{
	_cleanup_config_ struct config *fresh = NULL;
	char *errors = NULL, *line, *rest;
	size_t size = 0;
	FILE *f = open_memstream(&errors, &size);

	if (!f)
		return;
	if (config_load(r->config->path, &fresh, f) < 0) {
		(void)fclose(f);
		for (line = strtok_r(errors, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
			log_write_all(LOG_LVL_ERROR, "%s", line);
		log_error("reload: nothing is changed");
	} else {
		(void)fclose(f);
		reload_log(r, fresh);
	}
	free(errors);
}

static void on_signal(enum signal_action action, int sig, void *arg)
{
	struct run *r = arg;

	switch (action) {
	case SIGNAL_END:
		terminate(r, sig);
		break;
	case SIGNAL_RELOAD:
		reload(r);
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
	/* A timer that is set already is set anew without memory: see on_terminate(). */
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
	const struct config *c = r->config;
	int err = privileges_lookup(c->user, &r->identity);

	if (err == -ENOENT && !c->user_where.line) {
		return 0; /* the file's warnings say that root stays root */
	}
	return err ? log_errno(err, "user %s", c->user) : 0;
}

/* The main thread resolves; the pool's lock carries the result to the workers. */
static void on_moved(void *owner, void *arg _unused_)
{
	struct worker *w = owner;

	worker_check_kept(w);
}

static void on_resolved(const struct addr *addrs, size_t n, void *arg)
{
	const struct named_server *named = arg;
	struct daemon *d = &named->run->daemon;

	if (!server_set_addrs(named->server, addrs, n))
		return;
	for (unsigned int i = 0; i < d->n_workers; i++)
		mailbox_post(&d->workers[i].mail, &d->workers[i].letters.moved, on_moved, NULL);
}

static int watch_server(struct run *r, struct server *s)
{
	const struct endpoint *e = &s->config->endpoint;
	struct named_server *named;

	if (!r->resolver)
		r->resolver =
		    resolver_new(r->base, r->config->nameservers, r->config->n_nameservers);
	if (!r->resolver)
		return -EIO;
	named = malloc(sizeof(*named));
	if (!named)
		return log_errno(-ENOMEM, "server %s", s->config->name);
	*named = (struct named_server){.run = r, .server = s};
	SLIST_INSERT_HEAD(&r->named, named, link);
	return resolver_watch(r->resolver, e->host, e->port, on_resolved, named);
}

static int start_server(struct run *r, struct server *s)
{
	const struct endpoint *e = &s->config->endpoint;
	struct addr where;

	if (e->kind == ENDPOINT_INTERNAL) {
		if (!r->hello)
			r->hello = hello_start(&where);
		else
			where = r->hello_at;
		if (!r->hello)
			return -EIO;
		r->hello_at = where;
		(void)server_set_addrs(s, &where, 1); /* it had none */
	}
	return e->kind == ENDPOINT_NAME ? watch_server(r, s) : 0;
}

static int start_servers(struct run *r)
{
	int err = 0;

	for (size_t i = 0; !err && i < r->daemon.n_pools; i++)
		for (size_t j = 0; !err && j < r->daemon.pools[i]->n_servers; j++)
			err = start_server(r, &r->daemon.pools[i]->servers[j]);
	return err;
}

/* Decides the engine: by the configuration, by what may be loaded, by the canary. */
static int open_engine(struct run *r)
{
	struct doctor *doctor = &r->doctor;
	const struct config *c = r->config;
	struct maps_options o = {.max_sessions = c->max_sessions,
				 .workers = worker_count(c),
				 .numa_node = c->numa_node,
				 .debug = r->daemon.debug,
				 .collecting = !c->engage_after};

	doctor_begin(doctor, c->engine);
	if (c->engine == ENGINE_COPY)
		return 0;
	doctor_load(doctor, &o, &r->daemon.maps);
	if (!r->daemon.maps && c->engine == ENGINE_KERNEL) {
		log_error("engine = kernel: %s", doctor->reason);
		return -ENOTSUP;
	}
	return 0;
}

static int prove_engine(struct run *r)
{
	struct doctor *doctor = &r->doctor;

	if (!r->daemon.maps)
		return 0;
	if (!(r->daemon.debug & SPLICE_DEBUG_NO_CANARY))
		doctor_canary(doctor, r->daemon.maps);
	if (doctor->kernel)
		return 0;
	if (r->config->engine == ENGINE_KERNEL) {
		log_error("engine = kernel: %s", doctor->reason);
		return -ENOTSUP;
	}
	maps_close(r->daemon.maps);
	r->daemon.maps = NULL;
	return 0;
}

/*
 * Opened by root where root may, and made over to the user the daemon becomes: it is that user who
 * opens it again later. A root without CAP_DAC_OVERRIDE may not write to that user's folder: then
 * the user opens it.
 */
static int open_access_log(struct run *r, bool dropped)
{
	const struct config *c = r->config;
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
	const char *mode = getenv("SPLICED_SECCOMP");
	int err;

	if (!r->config->seccomp || !sandbox_is_possible())
		return 0;
	err = sandbox_enter(mode && strcmp(mode, "kill") == 0);
	if (err == -ENOMEM)
		return log_errno(err, "seccomp");
	if (err)
		log_warn("no seccomp filter: %s", strerror(-err));
	return 0;
}

/* Everything after this runs as the user, and no earlier a thread may be started. */
static int drop_privileges(struct run *r)
{
	int err = privileges_drop(&r->identity, r->config->user);

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
	const struct config *c = r->config;
	char path[CONTROL_PATH_MAX];
	const char *where = c->control;

	if (!c->control_where.line && !control_path_is_usable(c->control)) {
		int err = control_path_of_user(path, true);

		if (err)
			return log_errno(err, "a folder for the control socket");
		where = path;
		log_info("control socket: %s", where);
	}
	r->commands =
	    (struct commands){.daemon = &r->daemon, .doctor = &r->doctor, .mail = &r->mail};
	return commands_open(&r->commands, r->base, where,
			     r->identity.change ? &r->identity : NULL);
}

static int set_up(struct run *r)
{
	const struct config *c = r->config;
	int err = find_identity(r);

	/* First of all, so that a stream of JSON lines has no others. */
	if (!err)
		err = open_access_log(r, false);
	if (err)
		return err;
	say_warnings(c);
	err = open_base(r);
	if (err)
		return err;
	privileges_raise_nofile(c->max_sessions);
	conn_setup(c->local_congestion == LOCAL_CONGESTION_SYSTEM);
	err = open_engine(r);
	if (!err)
		err = daemon_init(&r->daemon, worker_count(c));
	if (!err)
		err = daemon_listen(&r->daemon);
	if (!err && c->control)
		err = open_control(r);
	if (!err)
		err = drop_privileges(r);
	if (!err)
		err = prove_engine(r);
	if (!err)
		err = start_servers(r);
	if (!err)
		err = daemon_start(&r->daemon);
	return err;
}

/* Of the address that stands for all. */
static const char *families(const struct listener *l, const struct addr *a)
{
	if (a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr))
		return "";
	return l->config->ipv6_only ? " (IPv6 only)" : " (IPv6 and IPv4)";
}

static void say_ready(const struct run *r)
{
	const struct doctor *doctor = &r->doctor;
	char text[ADDR_STR_MAX];

	for (size_t i = 0; i < r->daemon.n_listeners; i++) {
		const struct listener *l = &r->daemon.listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++)
			log_info("listener %s: %s%s", l->config->name,
				 addr_format(&l->bound[j], text), families(l, &l->bound[j]));
	}
	if (doctor->kernel || r->config->engine == ENGINE_COPY)
		log_info("engine %s: %s", doctor->kernel ? "kernel" : "copy", doctor->reason);
	else
		log_warn("engine copy: %s", doctor->reason);
	log_info("ready: %u workers, at most %u sessions", r->daemon.n_workers,
		 r->config->max_sessions);
	(void)sd_notifyf(0, "READY=1\nSTATUS=engine %s", doctor->kernel ? "kernel" : "copy");
}

static void tear_down(struct run *r)
{
	struct maps *maps = r->daemon.maps;
	struct named_server *named;

	commands_close(&r->commands);
	daemon_fini(&r->daemon);
	resolver_free(r->resolver);
	while ((named = SLIST_FIRST(&r->named))) {
		SLIST_REMOVE_HEAD(&r->named, link);
		free(named);
	}
	hello_stop(r->hello);
	maps_close(maps);
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

int daemon_run(struct config *config, uint32_t debug)
{
	struct run *r = calloc(1, sizeof(*r));
	int err;

	if (!r) {
		config_free(config);
		return 1;
	}
	r->config = config;
	r->daemon.config = config;
	r->daemon.debug = debug;
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
