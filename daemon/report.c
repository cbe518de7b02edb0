// SPDX-License-Identifier: GPL-2.0-or-later
#include "report.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "config/config.h"
#include "http/error.h"
#include "http/exchange.h"
#include "listener.h"
#include "log.h"
#include "log/sink.h"
#include "session.h"
#include "stats.h"
#include "upstream/ejection.h"
#include "upstream/pool.h"
#include "worker.h"

/* ---- what a worker tells ---------------------------------------------------------------- */

/* A session as it was; addresses become text later, in the main thread. */
struct session_view {
	uint64_t id, age_ns, bytes_up, bytes_down;
	const struct listener *listener;
	const struct pool *pool;
	const struct server *server;
	struct addr client, backend;
	uint32_t pauses;
	bool kernel;
	const char *state; /* a literal */
	enum copy_reason why_copy;
};

struct worker_view {
	struct letter letter; /* to the worker */
	struct session_view *sessions;
	size_t n_sessions;
	uint32_t active, sniffing;
	bool incomplete;    /* there was no memory for the sessions */
	struct stats stats; /* with the live sessions' bytes added */
};

/* One command on its way through the workers. The last of them sends it home. */
struct gather {
	struct report *report;
	struct control_request *request;
	json_t *(*build)(struct gather *g);
	bool with_sessions;
	atomic_uint remaining;
	struct letter answer; /* from the last of them */
	unsigned int n_workers;
	struct worker_view views[];
};

static void view_session(const struct session *s, uint64_t now, struct session_view *v)
{
	const struct stream *up = &s->streams[UP], *down = &s->streams[DOWN];
	const struct addr *backend = session_backend(s);

	*v = (struct session_view){
	    .id = s->id,
	    .age_ns = now - s->began_ns,
	    .bytes_up = stream_moved(up),
	    .bytes_down = stream_moved(down),
	    .listener = s->listener,
	    .pool = s->pool,
	    .server = session_server(s),
	    .client = s->client_conn.peer,
	    .pauses = up->pauses + down->pauses,
	    .kernel = s->adopted,
	    .state = s->protocol->describe(s),
	    .why_copy = up->why_copy ? up->why_copy : down->why_copy,
	};
	if (backend)
		v->backend = *backend;
}

static void view_worker(struct worker *w, struct worker_view *v, bool with_sessions)
{
	uint64_t now = now_ns();
	const struct session *s;

	v->stats = w->stats;
	v->active = w->n_sessions;
	v->sniffing = w->n_sniffing;
	if (with_sessions)
		v->sessions = calloc(w->n_sessions + 1, sizeof(*v->sessions));
	v->incomplete = with_sessions && !v->sessions;
	TAILQ_FOREACH (s, &w->sessions, link) {
		for (int i = 0; i < 2; i++) {
			const struct stream *st = &s->streams[i];

			v->stats.bytes_copied += st->copied;
			v->stats.bytes_redirected += stream_moved_by_kernel(st);
			v->stats.bytes_trimmed += stream_trimmed(st);
		}
		if (v->sessions && v->n_sessions < w->n_sessions)
			view_session(s, now, &v->sessions[v->n_sessions++]);
	}
}

/* Home again, in the main thread. */
static void gathered(void *owner _unused_, void *arg)
{
	struct gather *g = arg;
	bool complete = true;
	json_t *answer;

	for (unsigned int i = 0; i < g->n_workers; i++)
		complete = complete && !g->views[i].incomplete;
	answer = complete ? g->build(g) : NULL;
	if (answer)
		control_reply(g->request, answer);
	else
		control_reply_error(g->request, "out of memory");
	for (unsigned int i = 0; i < g->n_workers; i++)
		free(g->views[i].sessions);
	free(g);
}

static void gather_letter(void *owner, void *arg)
{
	struct worker *w = owner;
	struct gather *g = arg;

	view_worker(w, &g->views[w->index], g->with_sessions);
	if (atomic_fetch_sub(&g->remaining, 1) == 1)
		mailbox_post(g->report->mail, &g->answer, gathered, g);
}

static void gather(struct control_request *req, struct report *r, bool with_sessions,
		   json_t *(*build)(struct gather *g))
{
	unsigned int n = r->daemon->n_workers;
	struct gather *g = calloc(1, sizeof(*g) + n * sizeof(g->views[0]));

	if (!g) {
		control_reply_error(req, "out of memory");
		return;
	}
	g->report = r;
	g->request = req;
	g->build = build;
	g->with_sessions = with_sessions;
	g->n_workers = n;
	atomic_store(&g->remaining, n);
	for (unsigned int i = 0; i < n; i++)
		mailbox_post(&r->daemon->workers[i].mail, &g->views[i].letter, gather_letter, g);
}

/* ---- sessions --------------------------------------------------------------------------- */

static json_t *session_json(const struct session_view *v)
{
	char client[ADDR_STR_MAX], backend[ADDR_STR_MAX];

	return json_pack(
	    "{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:i, s:s}", "id",
	    (json_int_t)v->id, "listener", v->listener->config->name, "pool",
	    v->pool ? v->pool->config->name : "", "server",
	    v->server ? v->server->config->name : "", "client", addr_format(&v->client, client),
	    "backend", v->backend.len ? addr_format(&v->backend, backend) : "", "engine",
	    v->kernel ? "kernel" : "copy", "age_ms", (json_int_t)(v->age_ns / NSEC_PER_MSEC),
	    "bytes_up", (json_int_t)v->bytes_up, "bytes_down", (json_int_t)v->bytes_down, "state",
	    v->state, "pauses", (int)v->pauses, "engine_reason",
	    v->why_copy ? copy_reason_str[v->why_copy] : "");
}

static json_t *build_sessions(struct gather *g)
{
	json_t *all = json_array();

	for (unsigned int i = 0; i < g->n_workers; i++)
		for (size_t j = 0; j < g->views[i].n_sessions; j++)
			(void)json_array_append_new(all, session_json(&g->views[i].sessions[j]));
	return all;
}

static void cmd_sessions(struct control_request *req, int argc _unused_, char **argv _unused_,
			 void *arg)
{
	gather(req, arg, true, build_sessions);
}

/* ---- stats ------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	size_t offset;
} counters[] = {
#define COUNTER(field)                                \
	{                                             \
#field, offsetof(struct stats, field) \
	}
    COUNTER(sessions_total),   COUNTER(sessions_kernel),  COUNTER(sessions_copy),
    COUNTER(bytes_redirected), COUNTER(bytes_copied),     COUNTER(bytes_trimmed),
    COUNTER(pauses),           COUNTER(resumes),          COUNTER(looks),
    COUNTER(served),           COUNTER(integrity_aborts), COUNTER(accept_failures),
    COUNTER(denied),           COUNTER(retries),          COUNTER(events_lost),
    COUNTER(http_requests),    COUNTER(backend_reused),
#undef COUNTER
};

static_assert(_HTTP_ERROR_MAX <= STATS_VALUES_MAX && _HTTP_END_MAX <= STATS_VALUES_MAX &&
		  _COPY_REASON_MAX <= STATS_VALUES_MAX && _SESSION_END_MAX <= STATS_VALUES_MAX,
	      "a counter for every value");

static uint64_t sum(const struct gather *g, size_t offset)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < g->n_workers; i++)
		n += stat_read(
		    (const uint64_t *)(const void *)((const char *)&g->views[i].stats + offset));
	return n;
}

static void set_int(json_t *object, const char *name, uint64_t value)
{
	(void)json_object_set_new(object, name, json_integer((json_int_t)value));
}

static json_t *named_sums(const struct gather *g, size_t offset, const char *const *names, size_t n)
{
	json_t *o = json_object();

	for (size_t i = 0; i < n; i++)
		set_int(o, names[i], sum(g, offset + i * sizeof(uint64_t)));
	return o;
}

static const char *const status_class_str[6] = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};

static json_t *build_stats(struct gather *g)
{
	const struct daemon *d = g->report->daemon;
	json_t *o = json_object(), *verdicts = json_object();
	uint64_t active = 0, sniffing = 0;

	for (unsigned int i = 0; i < g->n_workers; i++) {
		active += g->views[i].active;
		sniffing += g->views[i].sniffing;
	}
	set_int(o, "sessions_active", active);
	set_int(o, "sessions_sniffing", sniffing);
	/* Sessions whose applications are joined directly: none before bypass exists. */
	set_int(o, "sessions_bypass", 0);
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
		set_int(o, counters[i].name, sum(g, counters[i].offset));
	set_int(o, "log_lost", sinks_lost());
	(void)json_object_set_new(o, "canary", json_string(g->report->doctor.canary));
	(void)json_object_set_new(
	    o, "copy_reasons",
	    named_sums(g, offsetof(struct stats, copy_reasons), copy_reason_str, _COPY_REASON_MAX));
	(void)json_object_set_new(
	    o, "ends",
	    named_sums(g, offsetof(struct stats, ends), session_end_str, _SESSION_END_MAX));
	(void)json_object_set_new(
	    o, "http_ends",
	    named_sums(g, offsetof(struct stats, http_ends), http_end_str, _HTTP_END_MAX));
	(void)json_object_set_new(
	    o, "http_errors",
	    named_sums(g, offsetof(struct stats, http_errors), http_error_str, _HTTP_ERROR_MAX));
	(void)json_object_set_new(
	    o, "http_responses",
	    named_sums(g, offsetof(struct stats, http_responses), status_class_str, 6));
	for (int i = 0; d->maps && i < _VERDICT_MAX; i++)
		set_int(verdicts, verdict_why_str[i], maps_verdicts(d->maps, (enum verdict_why)i));
	(void)json_object_set_new(o, "verdicts", verdicts);
	return o;
}

static void cmd_stats(struct control_request *req, int argc _unused_, char **argv _unused_,
		      void *arg)
{
	gather(req, arg, false, build_stats);
}

/* ---- status ----------------------------------------------------------------------------- */

static json_t *listeners_json(const struct daemon *d)
{
	json_t *all = json_array();
	char text[ADDR_STR_MAX];

	for (size_t i = 0; i < d->n_listeners; i++) {
		struct listener *l = &d->listeners[i];
		json_t *binds = json_array();

		for (size_t j = 0; j < l->config->n_binds; j++)
			(void)json_array_append_new(binds,
						    json_string(addr_format(&l->bound[j], text)));
		(void)json_array_append_new(
		    all, json_pack("{s:s, s:s, s:o, s:s, s:I, s:I}", "name", l->config->name,
				   "protocol", protocol_str[l->config->protocol], "bind", binds,
				   "pool", l->pool ? l->pool->config->name : "", "sessions_active",
				   (json_int_t)atomic_load(&l->active), "sessions_total",
				   (json_int_t)atomic_load(&l->total)));
	}
	return all;
}

/* What became of the attempts to connect to one address of a server. */
static json_t *target_json(const struct target *t, uint64_t now)
{
	const struct ejection *e = &t->ejection;
	uint64_t left = e->state == EJECTION_DOWN && e->until_ns > now ? e->until_ns - now : 0;
	char text[ADDR_STR_MAX];

	return json_pack("{s:s, s:s, s:i, s:I, s:I, s:s}", "address", addr_format(&t->addr, text),
			 "state", ejection_state_str[e->state], "fails", (int)e->fails,
			 "passed_over", (json_int_t)e->times, "passed_over_ms",
			 (json_int_t)((left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC), "last_error",
			 e->err ? conn_strerror(e->err) : "");
}

static json_t *server_json(const struct server *s, uint64_t now)
{
	json_t *addrs = json_array(), *targets = json_array();
	char text[ADDR_STR_MAX];

	for (uint64_t rest = s->used; rest; rest &= rest - 1) {
		const struct target *t = &s->targets[__builtin_ctzll(rest)];

		(void)json_array_append_new(addrs, json_string(addr_format(&t->addr, text)));
		(void)json_array_append_new(targets, target_json(t, now));
	}
	return json_pack("{s:s, s:s, s:o, s:s, s:o, s:i, s:b, s:I, s:I, s:I}", "name",
			 s->config->name, "address", s->config->text, "addresses", addrs, "state",
			 server_state(s), "targets", targets, "weight", (int)s->config->weight,
			 "backup", s->config->backup, "sessions_active", (json_int_t)s->active,
			 "sessions_total", (json_int_t)s->total, "connect_failures",
			 (json_int_t)s->connect_failures);
}

static json_t *pools_json(struct daemon *d)
{
	json_t *all = json_array();
	uint64_t now = now_ns();

	for (size_t i = 0; i < d->n_pools; i++) {
		struct pool *p = d->pools[i];
		json_t *servers = json_array();

		(void)pthread_mutex_lock(&p->lock);
		for (size_t j = 0; j < p->n_servers; j++)
			(void)json_array_append_new(servers, server_json(&p->servers[j], now));
		(void)pthread_mutex_unlock(&p->lock);
		(void)json_array_append_new(
		    all, json_pack("{s:s, s:s, s:o}", "name", p->config->name, "balance",
				   balance_str[p->config->balance], "servers", servers));
	}
	return all;
}

static void cmd_status(struct control_request *req, int argc _unused_, char **argv _unused_,
		       void *arg)
{
	struct report *r = arg;
	struct daemon *d = r->daemon;
	json_t *o = json_pack(
	    "{s:s, s:i, s:I, s:s, s:s, s:s, s:i, s:i, s:I, s:s, s:b, s:o, s:o}", "version",
	    SPLICED_VERSION, "pid", (int)getpid(), "uptime_ms",
	    (json_int_t)((now_ns() - d->started_ns) / NSEC_PER_MSEC), "engine",
	    d->maps ? "kernel" : "copy", "engine_reason", r->doctor.reason, "canary",
	    r->doctor.canary, "workers", (int)d->n_workers, "sessions_active",
	    (int)slots_used(&d->slots), "max_sessions", (json_int_t)d->config->max_sessions,
	    "config", d->config->path ? d->config->path : "", "draining",
	    (int)atomic_load(&d->draining), "listeners", listeners_json(d), "pools", pools_json(d));

	if (o)
		control_reply(req, o);
	else
		control_reply_error(req, "out of memory");
}

static void cmd_pools(struct control_request *req, int argc _unused_, char **argv _unused_,
		      void *arg)
{
	const struct report *r = arg;

	control_reply(req, pools_json(r->daemon));
}

static void cmd_doctor(struct control_request *req, int argc _unused_, char **argv _unused_,
		       void *arg)
{
	struct report *r = arg;
	json_t *o = doctor_json(&r->doctor);

	if (o)
		control_reply(req, o);
	else
		control_reply_error(req, "out of memory");
}

static const struct control_command commands[] = {
    {"status", cmd_status}, {"sessions", cmd_sessions}, {"pools", cmd_pools},
    {"stats", cmd_stats},   {"doctor", cmd_doctor},     {NULL, NULL},
};

/*
 * /run/spliced is made by systemd or tmpfiles.d; a daemon started by hand makes it itself. It is
 * given away through a descriptor: by then the name may be another folder's.
 */
static int make_directory(const char *path, const struct identity *owner)
{
	_cleanup_free_ char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (!dir)
		return log_errno(-ENOMEM, "control %s", path);
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	if (mkdir(dir, 0755) < 0)
		return errno == EEXIST ? 0 : log_errno(-errno, "control %s: mkdir %s", path, dir);
	if (!owner)
		return 0;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return log_errno(-errno, "control %s: opening %s", path, dir);
	if (st.st_uid != geteuid())
		return log_errno(-ESTALE, "control %s: %s was replaced", path, dir);
	if (fchown(fd, owner->uid, owner->gid) < 0)
		return log_errno(-errno, "control %s: chown %s", path, dir);
	return 0;
}

int report_open(struct report *r, struct daemon *d, struct event_base *base, struct mailbox *mail,
		const char *path, const struct identity *owner)
{
	int err;

	r->daemon = d;
	r->mail = mail;
	err = make_directory(path, owner);
	if (!err)
		err = control_open(base, path, commands, r, &r->control);
	if (err || !owner)
		return err;
	err = control_chown(r->control, owner->uid, owner->gid);
	return err ? log_errno(err, "control %s: chown", path) : 0;
}

void report_close(struct report *r)
{
	control_close(r->control);
	r->control = NULL;
}
