// SPDX-License-Identifier: GPL-2.0-or-later
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../config/config.h"
#include "../interception.h"
#include "../reload.h"
#include "../spreading.h"
#include "../steering.h"
#include "../util.h"
#include "counter.h"
#include "snapshot.h"

static void set_int(json_t *object, const char *name, uint64_t value)
{
	(void)json_object_set_new(object, name, json_integer((json_int_t)value));
}

/* ---- sessions --------------------------------------------------------------------------- */

static json_t *json_of_session(const struct session_snapshot *s)
{
	char client[ADDR_STR_MAX], backend[ADDR_STR_MAX], original[ADDR_STR_MAX];

	return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:i, s:s, s:s}",
			 "id", (json_int_t)s->id, "listener", s->listener, "pool", s->pool,
			 "server", s->server, "client", addr_format(&s->client, client), "backend",
			 s->backend.len ? addr_format(&s->backend, backend) : "", "engine",
			 s->engine, "age_ms", (json_int_t)(s->age_ns / NSEC_PER_MSEC), "bytes_up",
			 (json_int_t)s->bytes_up, "bytes_down", (json_int_t)s->bytes_down, "state",
			 s->state, "pauses", (int)s->pauses, "engine_reason", s->engine_reason,
			 "original", s->original.len ? addr_format(&s->original, original) : "");
}

void json_append_sessions(json_t *array, const struct worker_snapshot *w)
{
	for (size_t i = 0; i < w->n_sessions; i++)
		(void)json_array_append_new(array, json_of_session(&w->sessions[i]));
}

/* ---- stats ------------------------------------------------------------------------------ */

static json_t *json_of_family(const struct counter *c, const struct stats *stats)
{
	json_t *o = json_object();

	for (size_t i = 0; i < c->n_names; i++)
		set_int(o, c->names[i], counter_value(c, stats, i));
	return o;
}

json_t *json_of_stats(const struct stats_snapshot *s)
{
	json_t *o = json_object();

	for (size_t i = 0; i < n_counters; i++)
		if (!counters[i].names)
			set_int(o, counters[i].name, counter_value(&counters[i], &s->stats, 0));
	(void)json_object_set_new(o, "canary", json_string(s->canary));
	for (size_t i = 0; i < n_counters; i++)
		if (counters[i].names)
			(void)json_object_set_new(o, counters[i].name,
						  json_of_family(&counters[i], &s->stats));
	if (!s->verdicts)
		(void)json_object_set_new(o, "verdicts", json_object());
	return o;
}

/* ---- status ----------------------------------------------------------------------------- */

static json_t *json_of_target(const struct target_snapshot *t)
{
	char text[ADDR_STR_MAX];

	return json_pack("{s:s, s:s, s:i, s:I, s:I, s:s, s:s, s:s, s:I, s:I}", "address",
			 addr_format(&t->addr, text), "state", t->state, "fails", (int)t->fails,
			 "passed_over", (json_int_t)t->passed_over, "passed_over_ms",
			 (json_int_t)t->passed_over_ms, "last_error", t->last_error, "check",
			 t->checked ? check_outcome_str[t->check] : "", "check_reason",
			 t->check_words, "check_ms", (json_int_t)t->check_ms, "check_ago_ms",
			 (json_int_t)t->check_ago_ms);
}

static json_t *json_of_server(const struct server_snapshot *s)
{
	json_t *addrs = json_array(), *targets = json_array();
	char text[ADDR_STR_MAX];

	for (size_t i = 0; i < s->n_targets; i++) {
		const struct target_snapshot *t = &s->targets[i];

		(void)json_array_append_new(addrs, json_string(addr_format(&t->addr, text)));
		(void)json_array_append_new(targets, json_of_target(t));
	}
	return json_pack("{s:s, s:s, s:o, s:s, s:o, s:i, s:b, s:I, s:I, s:I, s:s, s:s}", "name",
			 s->name, "address", s->address, "addresses", addrs, "state", s->state,
			 "targets", targets, "weight", (int)s->weight, "backup", s->backup,
			 "sessions_active", (json_int_t)s->sessions_active, "sessions_total",
			 (json_int_t)s->sessions_total, "connect_failures",
			 (json_int_t)s->connect_failures, "mode", s->mode, "reason", s->reason);
}

json_t *json_of_pools(const struct pools_snapshot *p)
{
	json_t *all = json_array();

	for (size_t i = 0; i < p->n_pools; i++) {
		const struct pool_snapshot *pool = &p->pools[i];
		json_t *servers = json_array();

		for (size_t j = 0; j < pool->n_servers; j++)
			(void)json_array_append_new(servers, json_of_server(&pool->servers[j]));
		(void)json_array_append_new(all, json_pack("{s:s, s:s, s:o}", "name", pool->name,
							   "balance", pool->balance, "servers",
							   servers));
	}
	return all;
}

static json_t *json_of_listener(const struct listener_snapshot *l)
{
	json_t *binds = json_array();
	char text[ADDR_STR_MAX];

	for (size_t i = 0; i < l->n_binds; i++)
		(void)json_array_append_new(binds, json_string(addr_format(&l->binds[i], text)));
	return json_pack("{s:s, s:s, s:o, s:s, s:I, s:I}", "name", l->name, "protocol", l->protocol,
			 "bind", binds, "pool", l->pool, "sessions_active",
			 (json_int_t)l->sessions_active, "sessions_total",
			 (json_int_t)l->sessions_total);
}

/* What a file says may be of any bytes; JSON is UTF-8 and nothing else. */
static json_t *plain(const char *text, size_t len)
{
	_cleanup_free_ char *copy = strndup(text, len);

	for (char *p = copy; p && *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	return copy ? json_string(copy) : NULL;
}

static json_t *json_of_intercepts(const struct interception *all)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < interception_count(all); i++) {
		struct intercept_figures f;

		interception_figures(all, i, &f);
		(void)json_array_append_new(
		    array,
		    json_pack("{s:s, s:o, s:s, s:b, s:I, s:I, s:I, s:I}", "name", f.name, "cgroup",
			      plain(f.cgroup, strlen(f.cgroup)), "listener", f.listener, "active",
			      (int)f.active, "redirected", (json_int_t)f.redirected, "unready",
			      (json_int_t)f.unready, "unkept", (json_int_t)f.unkept, "unfound",
			      (json_int_t)f.unfound));
	}
	return array;
}

/* null: nothing is steered. */
static json_t *json_of_steering(const struct steering *st)
{
	struct steering_figures f;

	if (!steering_figures(st, &f))
		return json_null();
	return json_pack("{s:b, s:I, s:I, s:I, s:I}", "active", (int)f.active, "steered",
			 (json_int_t)f.steered, "own", (json_int_t)f.own, "missed",
			 (json_int_t)f.missed, "unkept", (json_int_t)f.unkept);
}

static json_t *json_of_spreading(const struct status_snapshot *s)
{
	json_t *sessions = json_array();
	struct spreading_figures f;

	for (unsigned int i = 0; i < s->workers; i++)
		(void)json_array_append_new(sessions,
					    json_integer((json_int_t)s->worker_sessions[i]));
	spreading_figures(s->spreading, &f);
	return json_pack("{s:s, s:I, s:I, s:o}", "by", f.by_sessions ? "sessions" : "hash",
			 "chosen", (json_int_t)f.chosen, "missed", (json_int_t)f.missed, "sessions",
			 sessions);
}

json_t *json_of_status(const struct status_snapshot *s)
{
	json_t *listeners = json_array();
	char where[ADDR_STR_MAX];

	for (size_t i = 0; i < s->n_listeners; i++)
		(void)json_array_append_new(listeners, json_of_listener(&s->listeners[i]));
	return json_pack(
	    "{s:s, s:i, s:I, s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:I, s:o, s:b, s:o, s:o, s:s, s:i, "
	    "s:i, s:i, s:I, s:o, s:I, s:o, s:o}",
	    "version", SPLICED_VERSION, "pid", s->pid, "uptime_ms", (json_int_t)s->uptime_ms,
	    "engine", s->engine, "engine_reason", s->engine_reason, "canary", s->canary, "workers",
	    (int)s->workers, "sessions_active", (int)s->sessions_active, "max_sessions",
	    (json_int_t)s->max_sessions, "memory_used", (json_int_t)s->memory_used, "memory_max",
	    (json_int_t)s->memory_max, "config", plain(s->config, strlen(s->config)), "draining",
	    (int)s->draining, "listeners", listeners, "pools", json_of_pools(&s->pools),
	    "status_address", s->status ? addr_format(s->status, where) : "", "setups",
	    (int)s->setups, "worker_pid", s->worker_pid, "generation", (int)s->generation,
	    "worker_deaths", (json_int_t)s->worker_deaths, "intercepts",
	    json_of_intercepts(s->interception), "drain_in_ms", (json_int_t)s->drain_in_ms,
	    "steering", json_of_steering(s->steering), "spread", json_of_spreading(s));
}

/* ---- reload ----------------------------------------------------------------------------- */

/* What is between the separators. */
static json_t *split(const char *text, const char *separator)
{
	json_t *all = json_array();

	while (*text) {
		const char *end = strstr(text, separator);
		size_t len = end ? (size_t)(end - text) : strlen(text);

		(void)json_array_append_new(all, plain(text, len));
		text += end ? len + strlen(separator) : len;
	}
	return all;
}

static json_t *json_of_warnings(const struct config *c)
{
	json_t *all = json_array();

	for (size_t i = 0; i < c->n_warnings; i++) {
		_cleanup_free_ char *text = NULL;

		if (asprintf(&text, "%s: %s", c->warnings[i].where, c->warnings[i].text) < 0)
			text = NULL;
		(void)json_array_append_new(all, text ? plain(text, strlen(text)) : NULL);
	}
	return all;
}

json_t *json_of_reload(const struct reload_result *r)
{
	if (!r->done)
		return json_pack("{s:b, s:o}", "reloaded", 0, "messages", split(r->messages, "\n"));
	return json_pack("{s:b, s:o, s:o, s:o}", "reloaded", 1, "config",
			 plain(r->config->path, strlen(r->config->path)), "restart",
			 split(r->restart, ", "), "warnings", json_of_warnings(r->config));
}
