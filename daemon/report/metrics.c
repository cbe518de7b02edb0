// SPDX-License-Identifier: GPL-2.0-or-later
#include "metrics.h"

#include <stdio.h>
#include <string.h>

#include "../config/config.h"
#include "../daemon.h"
#include "../doctor/doctor.h"
#include "../listener.h"
#include "../setup.h"
#include "../upstream/pool.h"
#include "../worker.h"
#include "counter.h"
#include "exposition.h"
#include "process.h"
#include "totals.h"

/* A name has at most 63 bytes, and none that must be escaped. */
#define LABELS_MAX 192

/* What the rows of counters.h of one kind are counted for: a listener, or a server. */
struct entity {
	char labels[LABELS_MAX];
	bool http;         /* what only HTTP counts is told */
	bool checked;      /* a server's pool has a health_check */
	const void *stats; /* what it was counted */
};

struct metrics {
	struct daemon *daemon;
	const struct doctor *doctor;
	struct process *process;
	struct entity *listeners, *servers; /* of the newest setup, in its order: */
	size_t n_listeners, n_servers;
	uint64_t setup; /* the number of that setup */
	struct totals totals;
	struct exposition *out; /* while a text is written */
};

/* ---- from the table --------------------------------------------------------------------- */

static const char *type_str(enum counter_type type)
{
	static const char *const names[] = {
	    [COUNTER_COUNTER] = "counter",
	    [COUNTER_GAUGE] = "gauge",
	    [COUNTER_HISTOGRAM] = "histogram",
	};

	return names[type];
}

/* "spliced_", what it is of, and the row's name; times are in seconds. */
static void begin_row(const struct metrics *m, struct metric *metric, const char *of,
		      const struct counter *c)
{
	char name[80];

	(void)snprintf(name, sizeof(name), "spliced_%s%s%s", of, c->name,
		       c->type == COUNTER_HISTOGRAM ? "_seconds" : "");
	metric_begin(metric, m->out, name, type_str(c->type), c->help);
}

/* Some values of an enum have one name: they are counted under the last of them. */
static bool has_namesake(const struct counter *c, size_t i)
{
	for (size_t j = i + 1; j < c->n_names; j++)
		if (strcmp(c->names[i], c->names[j]) == 0)
			return true;
	return false;
}

static void tell_row(const struct metric *metric, const struct counter *c, const char *labels,
		     const void *stats)
{
	char more[LABELS_MAX];

	if (c->type == COUNTER_HISTOGRAM) {
		metric_histogram(metric, labels, counter_histogram(c, stats), c->from_ns, c->to_ns);
		return;
	}
	if (!c->names) {
		metric_uint(metric, labels, NULL, counter_value(c, stats, 0));
		return;
	}
	for (size_t i = 0; i < c->n_names; i++) {
		*more = '\0';
		if (c->label)
			label_add(more, sizeof(more), c->label, c->names[i]);
		if (!has_namesake(c, i))
			metric_uint(metric, labels, c->label ? more : c->names[i],
				    counter_value(c, stats, i));
	}
}

static void tell_counters(const struct metrics *m)
{
	struct metric metric;

	for (size_t i = 0; i < n_counters; i++) {
		if (!m->totals.verdicts && strcmp(counters[i].name, "verdicts") == 0)
			continue;
		begin_row(m, &metric, "", &counters[i]);
		tell_row(&metric, &counters[i], "", &m->totals.stats);
	}
}

/* The rows of one kind, each for all that it is of. */
static void tell_entities(const struct metrics *m, const char *of, const struct counter *rows,
			  size_t n_rows, const struct entity *all, size_t n)
{
	struct metric metric;

	for (size_t i = 0; i < n_rows; i++) {
		begin_row(m, &metric, of, &rows[i]);
		for (size_t j = 0; j < n; j++)
			if (all[j].http || !rows[i].http)
				tell_row(&metric, &rows[i], all[j].labels, all[j].stats);
	}
}

/* ---- what is so now --------------------------------------------------------------------- */

static void tell_one(const struct metrics *m, const char *name, const char *type, uint64_t value,
		     const char *help)
{
	struct metric metric;

	metric_begin(&metric, m->out, name, type, help);
	metric_uint(&metric, "", NULL, value);
}

/* What comes after the beginning of a text; NULL: it begins otherwise. */
static const char *after(const char *text, const char *begins)
{
	size_t len = strlen(begins);

	return strncmp(text, begins, len) == 0 ? text + len : NULL;
}

static void tell_canary(const struct metrics *m)
{
	static const struct {
		const char *label, *begins;
	} states[] = {{"state=\"passed\"", "passed"},
		      {"state=\"failed\"", "failed"},
		      {"state=\"not_run\"", "not run"}};
	struct metric metric;
	const json_t *check;
	size_t i;

	metric_begin(&metric, m->out, "spliced_canary", "gauge",
		     "1 for what became of the test of the kernel engine at the start");
	for (i = 0; i < ARRAY_SIZE(states); i++)
		metric_uint(&metric, states[i].label, NULL,
			    after(m->doctor->canary, states[i].begins) != NULL);
	metric_begin(&metric, m->out, "spliced_canary_check_passed", "gauge",
		     "1: this part of it passed, 0: it failed; those not run are not here");
	json_array_foreach(m->doctor->checks, i, check)
	{
		const char *name = json_string_value(json_object_get(check, "name"));
		const char *answer = json_string_value(json_object_get(check, "answer"));
		char labels[LABELS_MAX] = "";

		if (!name || !answer || *answer == '-' ||
		    (!after(name, "canary_") && !after(name, "bypass_")))
			continue;
		label_add(labels, sizeof(labels), "check",
			  after(name, "canary_") ? after(name, "canary_") : name);
		metric_uint(&metric, labels, NULL, strcmp(answer, "yes") == 0);
	}
}

static void tell_workers(const struct metrics *m)
{
	const struct daemon *d = m->daemon;
	struct metric metric;
	char labels[32];

	metric_begin(&metric, m->out, "spliced_worker_responding", "gauge",
		     "1: the loop of this thread has answered in time");
	for (unsigned int i = 0; i < d->n_workers; i++) {
		(void)snprintf(labels, sizeof(labels), "worker=\"%u\"", i);
		metric_uint(&metric, labels, NULL, tally_answered(&d->workers[i]));
	}
}

static void tell_daemon(const struct metrics *m)
{
	const struct daemon *d = m->daemon;
	char labels[sizeof(m->doctor->reason) * 2 + 64] = "";
	struct metric metric;

	metric_begin(&metric, m->out, "spliced_build_info", "gauge", "always 1");
	metric_uint(&metric, "version=\"" SPLICED_VERSION "\"", NULL, 1);
	metric_begin(&metric, m->out, "spliced_engine_info", "gauge",
		     "always 1: the engine that new sessions get, and why");
	label_add(labels, sizeof(labels), "engine", d->maps ? "kernel" : "copy");
	label_add(labels, sizeof(labels), "reason", m->doctor->reason);
	metric_uint(&metric, labels, NULL, 1);
	tell_canary(m);
	tell_workers(m);
	tell_one(m, "spliced_setups", "gauge", setups_count(&d->setups),
		 "files in use: the newest, and those before a reload that sessions go by");
	tell_one(m, "spliced_draining", "gauge", atomic_load(&d->draining),
		 "1: it ends, and takes no more sessions");
	tell_one(m, "spliced_sessions_max", "gauge", d->config->max_sessions, "`max_sessions`");
	tell_one(m, "spliced_memory_used_bytes", "gauge", atomic_load(&d->memory.used),
		 "what sessions hold, as far as it was looked at");
	tell_one(m, "spliced_memory_max_bytes", "gauge", d->memory.max, "`memory_max`");
}

static void tell_process(const struct metrics *m)
{
	struct process_figures p;
	struct metric metric;

	process_read(m->process, &p);
	metric_begin(&metric, m->out, "process_cpu_seconds_total", "counter",
		     "processor time of the daemon");
	metric_double(&metric, "", p.cpu_seconds);
	metric_begin(&metric, m->out, "process_start_time_seconds", "gauge",
		     "when it started, since 1970");
	metric_double(&metric, "", p.start_seconds);
	tell_one(m, "process_max_fds", "gauge", p.max_fds, "descriptors that it may have");
	if (p.has_fds)
		tell_one(m, "process_open_fds", "gauge", p.open_fds, "descriptors that it has");
	if (!p.has_memory)
		return;
	tell_one(m, "process_resident_memory_bytes", "gauge", p.resident_bytes,
		 "its memory that is in RAM; TCP's own is not in it");
	tell_one(m, "process_virtual_memory_bytes", "gauge", p.virtual_bytes, "its address space");
}

static void tell_listeners(const struct metrics *m)
{
	const struct listener *all = m->daemon->setup->listeners;
	struct metric metric;

	metric_begin(&metric, m->out, "spliced_listener_sessions_active", "gauge",
		     "its sessions now");
	for (size_t i = 0; i < m->n_listeners; i++)
		metric_uint(&metric, m->listeners[i].labels, NULL,
			    atomic_load(&all[i].account->active));
	metric_begin(&metric, m->out, "spliced_listener_sessions", "counter",
		     "its sessions since the start");
	for (size_t i = 0; i < m->n_listeners; i++)
		metric_uint(&metric, m->listeners[i].labels, NULL,
			    atomic_load(&all[i].account->total));
	tell_entities(m, "listener_", listener_counters, n_listener_counters, m->listeners,
		      m->n_listeners);
}

/* ---- servers ---------------------------------------------------------------------------- */

/* Those of server_state(). */
static size_t state_names(const char **ret)
{
	size_t n = 0;

	for (; n < _HEALTH_STATE_MAX; n++)
		ret[n] = health_state_str[n];
	ret[n++] = server_mode_str[MODE_DRAIN];
	ret[n++] = server_mode_str[MODE_MAINT];
	ret[n++] = "unresolved";
	return n;
}

static void tell_server_states(const struct metrics *m)
{
	const char *states[_HEALTH_STATE_MAX + _SERVER_MODE_MAX];
	size_t n = state_names(states);
	struct metric metric;
	char more[32];

	metric_begin(&metric, m->out, "spliced_server_up", "gauge",
		     "1: sessions choose it as usual; 0: they do not");
	for (size_t i = 0; i < m->n_servers; i++)
		metric_uint(&metric, m->servers[i].labels, NULL, m->totals.figures[i].up);
	metric_begin(&metric, m->out, "spliced_server_state", "gauge",
		     "1 for the state that it is in: of its addresses the best counts");
	for (size_t i = 0; i < m->n_servers; i++) {
		for (size_t j = 0; j < n; j++) {
			(void)snprintf(more, sizeof(more), "state=\"%s\"", states[j]);
			metric_uint(&metric, m->servers[i].labels, more,
				    strcmp(m->totals.figures[i].state, states[j]) == 0);
		}
	}
}

/* Of servers that are checked. */
static void tell_checks(const struct metrics *m)
{
	struct metric metric;
	char more[32];

	metric_begin(&metric, m->out, "spliced_server_checks", "counter",
		     "health checks that ended so");
	for (size_t i = 0; i < m->n_servers; i++) {
		for (int j = 0; m->servers[i].checked && j < _CHECK_OUTCOME_MAX; j++) {
			(void)snprintf(more, sizeof(more), "result=\"%s\"", check_outcome_str[j]);
			metric_uint(&metric, m->servers[i].labels, more,
				    m->totals.figures[i].checks[j]);
		}
	}
	metric_begin(&metric, m->out, "spliced_server_check_duration_seconds", "gauge",
		     "how long its last health check took");
	for (size_t i = 0; i < m->n_servers; i++)
		if (m->totals.figures[i].check_ns != UINT64_MAX)
			metric_double(&metric, m->servers[i].labels,
				      (double)m->totals.figures[i].check_ns / NSEC_PER_SEC);
}

static void tell_servers(const struct metrics *m)
{
	static const struct {
		const char *name, *type, *help;
		size_t offset;
	} rows[] = {
	    {"spliced_server_sessions_active", "gauge",
	     "sessions, and of HTTP requests, that it has or is being connected for",
	     offsetof(struct server_figures, active)},
	    {"spliced_server_sessions", "counter",
	     "how often a session, or a request of HTTP, has chosen it",
	     offsetof(struct server_figures, total)},
	    {"spliced_server_connect_failures", "counter", "attempts to connect that failed",
	     offsetof(struct server_figures, connect_failures)},
	    {"spliced_server_passed_over", "counter",
	     "how often one of its addresses was ejected: others have its sessions for a while",
	     offsetof(struct server_figures, passed_over)},
	};
	struct metric metric;
	uint64_t value;

	tell_server_states(m);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		metric_begin(&metric, m->out, rows[i].name, rows[i].type, rows[i].help);
		for (size_t j = 0; j < m->n_servers; j++) {
			memcpy(&value, (const char *)&m->totals.figures[j] + rows[i].offset,
			       sizeof(value));
			metric_uint(&metric, m->servers[j].labels, NULL, value);
		}
	}
	tell_checks(m);
	metric_begin(&metric, m->out, "spliced_server_weight", "gauge",
		     "its weight, which an operator may have changed");
	for (size_t i = 0; i < m->n_servers; i++)
		metric_uint(&metric, m->servers[i].labels, NULL, m->totals.figures[i].weight);
	metric_begin(&metric, m->out, "spliced_server_addresses", "gauge",
		     "addresses that its name has, or 1");
	for (size_t i = 0; i < m->n_servers; i++)
		metric_uint(&metric, m->servers[i].labels, NULL, m->totals.figures[i].n_addrs);
	tell_entities(m, "server_", server_counters, n_server_counters, m->servers, m->n_servers);
}

/* ---- of what ---------------------------------------------------------------------------- */

static bool may_be_http(const struct listener_config *l)
{
	return l->protocol == PROTOCOL_HTTP || l->protocol == PROTOCOL_AUTO;
}

static bool uses(const struct listener_config *l, size_t pool)
{
	bool used = l->pool_index == pool;

	for (size_t i = 0; !used && i < l->n_routes; i++)
		used = l->routes[i].pool_index == pool;
	return used;
}

static bool gets_http(const struct config *c, size_t pool)
{
	for (size_t i = 0; i < c->n_listeners; i++)
		if (may_be_http(&c->listeners[i]) && uses(&c->listeners[i], pool))
			return true;
	return false;
}

static void name_listeners(struct metrics *m, const struct setup *s)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		struct entity *e = &m->listeners[i];
		const struct listener_config *c = s->listeners[i].config;

		*e = (struct entity){.http = may_be_http(c),
				     .stats = &s->listeners[i].account->reported};
		label_add(e->labels, LABELS_MAX, "listener", c->name);
	}
}

static void name_servers(struct metrics *m, const struct setup *s)
{
	struct entity *e = m->servers;

	for (size_t i = 0; i < s->n_pools; i++) {
		bool http = gets_http(s->config, i);

		for (size_t j = 0; j < s->pools[i]->n_servers; j++, e++) {
			const struct server *server = s->pools[i]->servers[j];

			*e = (struct entity){.http = http,
					     .checked = s->pools[i]->config->health_check !=
							HEALTH_CHECK_NONE,
					     .stats = &server->reported.stats};
			label_add(e->labels, LABELS_MAX, "pool", server->pool_name);
			label_add(e->labels, LABELS_MAX, "server", server->name);
		}
	}
}

/* What the newest setup has. 0 or -ENOMEM. */
static int name_all(struct metrics *m)
{
	const struct setup *s = m->daemon->setup;

	if (m->setup == s->number)
		return 0;
	free(m->listeners);
	free(m->servers);
	m->n_listeners = m->n_servers = 0;
	m->setup = 0;
	m->listeners = calloc(s->n_listeners + 1, sizeof(*m->listeners));
	m->servers = calloc(s->n_servers + 1, sizeof(*m->servers));
	if (!m->listeners || !m->servers)
		return -ENOMEM;
	m->n_listeners = s->n_listeners;
	m->n_servers = s->n_servers;
	name_listeners(m, s);
	name_servers(m, s);
	m->setup = s->number;
	return 0;
}

/* ---- all of it -------------------------------------------------------------------------- */

char *metrics_text(struct metrics *m, size_t *ret_len)
{
	struct exposition out = {0};

	if (totals_collect(&m->totals, m->daemon, m->doctor) < 0 || name_all(m) < 0)
		return NULL;
	m->out = &out;
	tell_daemon(m);
	tell_process(m);
	tell_counters(m);
	tell_listeners(m);
	tell_servers(m);
	m->out = NULL;
	if (out.failed) {
		free(out.data);
		return NULL;
	}
	*ret_len = out.len;
	return out.data;
}

/* ---- life ------------------------------------------------------------------------------- */

struct metrics *metrics_new(struct daemon *d, const struct doctor *doctor)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	*m = (struct metrics){
	    .daemon = d,
	    .doctor = doctor,
	    .process = process_open(),
	};
	if (!m->process) {
		metrics_free(m);
		return NULL;
	}
	return m;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	process_close(m->process);
	free(m->listeners);
	free(m->servers);
	totals_fini(&m->totals);
	free(m);
}
