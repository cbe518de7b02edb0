// SPDX-License-Identifier: GPL-2.0-or-later
#include "print.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../doctor/print.h"
#include "../util.h"
#include "field.h"
#include "table.h"

/* ---- status ---- */

static void join_texts(const json_t *array, char *buf, size_t size)
{
	const json_t *item;
	size_t used = 0;
	size_t i;

	(void)snprintf(buf, size, "-");
	json_array_foreach(array, i, item)
	{
		const char *text = json_string_value(item);
		int n =
		    snprintf(buf + used, size - used, "%s%s", used ? ", " : "", text ? text : "-");

		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

static int print_listeners(const json_t *listeners)
{
	static const struct column columns[] = {
	    {"LISTENER", false}, {"PROTOCOL", false}, {"BIND", false},
	    {"POOL", false},     {"ACTIVE", true},    {"TOTAL", true},
	};
	const json_t *l;
	struct table t;
	size_t i;

	if (table_init(&t, columns, ARRAY_SIZE(columns), json_array_size(listeners)) < 0)
		return -ENOMEM;
	json_array_foreach(listeners, i, l)
	{
		char bind[CELL_MAX];

		join_texts(json_object_get(l, "bind"), bind, sizeof(bind));
		t.n_rows++;
		table_set(&t, 0, "%s", text_of(l, "name"));
		table_set(&t, 1, "%s", text_of(l, "protocol"));
		table_set(&t, 2, "%s", bind);
		table_set(&t, 3, "%s", text_of(l, "pool"));
		table_set(&t, 4, "%" PRId64, int_of(l, "sessions_active"));
		table_set(&t, 5, "%" PRId64, int_of(l, "sessions_total"));
	}
	(void)putchar('\n');
	table_print(&t);
	table_free(&t);
	return 0;
}

/* Whether sessions choose an address as usual. */
static bool is_usable(const json_t *target)
{
	static const char *const usable[] = {"up", "unchecked", "going_down"};

	for (size_t i = 0; i < ARRAY_SIZE(usable); i++)
		if (strcmp(text_of(target, "state"), usable[i]) == 0)
			return true;
	return false;
}

/* "up", "ejected 12s": passed over for so long; "up, 2 of 3 down": of its addresses. */
static void server_standing(const json_t *server, char *buf, size_t size)
{
	const json_t *targets = json_object_get(server, "targets"), *target;
	const char *state = text_of(server, "state");
	size_t i, n = json_array_size(targets), out = 0;
	int64_t left = INT64_MAX;

	json_array_foreach(targets, i, target)
	{
		if (is_usable(target))
			continue;
		out++;
		left = MIN(left, int_of(target, "passed_over_ms"));
	}
	if (out && strcmp(state, "ejected") == 0)
		(void)snprintf(buf, size, "%s %" PRId64 "s", state, (left + 999) / 1000);
	else if (out && n > out)
		(void)snprintf(buf, size, "%s, %zu of %zu down", state, out, n);
	else
		(void)snprintf(buf, size, "%s", state);
}

static void server_row(struct table *t, const json_t *pool, const json_t *server)
{
	char addresses[CELL_MAX], standing[CELL_MAX];

	join_texts(json_object_get(server, "addresses"), addresses, sizeof(addresses));
	t->n_rows++;
	table_set(t, 0, "%s", text_of(pool, "name"));
	table_set(t, 1, "%s", text_of(pool, "balance"));
	table_set(t, 2, "%s", text_of(server, "name"));
	table_set(t, 3, "%s", text_of(server, "address"));
	table_set(t, 4, "%s", addresses);
	server_standing(server, standing, sizeof(standing));
	table_set(t, 5, "%s", standing);
	table_set(t, 6, "%" PRId64, int_of(server, "weight"));
	table_set(t, 7, "%" PRId64, int_of(server, "sessions_active"));
	table_set(t, 8, "%" PRId64, int_of(server, "sessions_total"));
	table_set(t, 9, "%" PRId64, int_of(server, "connect_failures"));
	table_set(t, 10, "%s", text_of(server, "reason"));
}

int print_pools(const json_t *pools)
{
	static const struct column columns[] = {
	    {"POOL", false},     {"BALANCE", false}, {"SERVER", false},  {"ADDRESS", false},
	    {"RESOLVED", false}, {"STATE", false},   {"WEIGHT", true},   {"ACTIVE", true},
	    {"TOTAL", true},     {"FAILURES", true}, {"BECAUSE", false},
	};
	const json_t *pool;
	const json_t *server;
	struct table t;
	size_t rows = 0;
	size_t i;
	size_t j;

	json_array_foreach(pools, i, pool) rows +=
	    json_array_size(json_object_get(pool, "servers"));
	if (table_init(&t, columns, ARRAY_SIZE(columns), rows) < 0)
		return -ENOMEM;
	json_array_foreach(pools, i, pool) json_array_foreach(json_object_get(pool, "servers"), j,
							      server) server_row(&t, pool, server);
	table_print(&t);
	table_free(&t);
	return 0;
}

static void put_pair(const char *name, const char *value)
{
	(void)printf("%-10s ", name);
	for (; *value; value++)
		(void)putchar((unsigned char)*value < 0x20 || *value == 0x7f ? '?' : *value);
	(void)putchar('\n');
}

/* The one that serves; those before it that died are worth a look at the log. */
static void worker_process(const json_t *status, char *buf, size_t size)
{
	int64_t deaths = int_of(status, "worker_deaths");
	char died[48] = "";

	if (deaths)
		(void)snprintf(died, sizeof(died), ", %" PRId64 " died", deaths);
	(void)snprintf(buf, size, "process %" PRId64 ", generation %" PRId64 "%s",
		       int_of(status, "worker_pid"), int_of(status, "generation"), died);
}

int print_status(const json_t *status)
{
	char buf[CELL_MAX], used[32], most[32];
	int r;

	put_pair("Version", text_of(status, "version"));
	(void)snprintf(buf, sizeof(buf), "%" PRId64, int_of(status, "pid"));
	put_pair("PID", buf);
	worker_process(status, buf, sizeof(buf));
	put_pair("Worker", buf);
	put_pair("Uptime", format_age(int_of(status, "uptime_ms"), buf, sizeof(buf)));
	put_pair("State", format_state(status, buf, sizeof(buf)));
	put_pair("Engine", text_of(status, "engine"));
	put_pair("Because", text_of(status, "engine_reason"));
	(void)snprintf(buf, sizeof(buf), "%" PRId64 ", clients by %s", int_of(status, "workers"),
		       text_of(json_object_get(status, "spread"), "by"));
	put_pair("Workers", buf);
	(void)snprintf(buf, sizeof(buf), "%" PRId64 " of at most %" PRId64,
		       int_of(status, "sessions_active"), int_of(status, "max_sessions"));
	put_pair("Sessions", buf);
	(void)snprintf(buf, sizeof(buf), "%s of at most %s",
		       format_bytes(int_of(status, "memory_used"), used, sizeof(used)),
		       format_bytes(int_of(status, "memory_max"), most, sizeof(most)));
	put_pair("Memory", buf);
	put_pair("Config", text_of(status, "config"));

	r = print_listeners(json_object_get(status, "listeners"));
	if (r < 0 || !json_array_size(json_object_get(status, "pools")))
		return r;
	(void)putchar('\n');
	return print_pools(json_object_get(status, "pools"));
}

/* ---- upgrade ---- */

int print_upgrade(const json_t *answer _unused_)
{
	(void)puts("a new worker serves, and the one before it drains");
	return 0;
}

/* ---- sessions ---- */

static void session_row(struct table *t, const json_t *s)
{
	const json_t *id = json_object_get(s, "id");
	char buf[CELL_MAX];

	t->n_rows++;
	if (json_is_string(id))
		table_set(t, 0, "%s", json_string_value(id));
	else
		table_set(t, 0, "%" PRId64, (int64_t)json_integer_value(id));
	table_set(t, 1, "%s", text_of(s, "listener"));
	table_set(t, 2, "%s/%s", text_of(s, "pool"), text_of(s, "server"));
	table_set(t, 3, "%s", text_of(s, "client"));
	table_set(t, 4, "%s", text_of(s, "engine"));
	table_set(t, 5, "%s", text_of(s, "state"));
	table_set(t, 6, "%s", format_age(int_of(s, "age_ms"), buf, sizeof(buf)));
	table_set(t, 7, "%s", format_bytes(int_of(s, "bytes_up"), buf, sizeof(buf)));
	table_set(t, 8, "%s", format_bytes(int_of(s, "bytes_down"), buf, sizeof(buf)));
	table_set(t, 9, "%" PRId64, int_of(s, "pauses"));
}

int print_sessions(const json_t *sessions)
{
	static const struct column columns[] = {
	    {"ID", true},      {"LISTENER", false}, {"POOL/SERVER", false}, {"CLIENT", false},
	    {"ENGINE", false}, {"STATE", false},    {"AGE", true},          {"UP", true},
	    {"DOWN", true},    {"PAUSES", true},
	};
	const json_t *s;
	struct table t;
	size_t i;

	if (table_init(&t, columns, ARRAY_SIZE(columns), json_array_size(sessions)) < 0)
		return -ENOMEM;
	json_array_foreach(sessions, i, s) session_row(&t, s);
	table_print(&t);
	table_free(&t);
	return 0;
}

/* ---- stats ---- */

static size_t longest_key(const json_t *object)
{
	size_t longest = 0;
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		size_t n = json_is_object(value) ? longest_key(value) + 2 : strlen(key);

		longest = MAX(longest, n);
	}
	return longest;
}

static void put_stat(const char *key, const json_t *value, int indent, size_t width)
{
	(void)printf("%*s%-*s  ", indent, "", (int)width - indent, key);
	if (json_is_integer(value))
		(void)printf("%20" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
	else if (json_is_real(value))
		(void)printf("%20.3f\n", json_real_value(value));
	else if (json_is_boolean(value))
		(void)printf("%20s\n", json_is_true(value) ? "yes" : "no");
	else
		(void)printf("%20s\n", json_is_string(value) ? json_string_value(value) : "-");
}

/* Plain values first, then each nested object as a group of its own. */
static void put_stats(const json_t *object, int indent, size_t width)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value) if (!json_is_object(value))
	    put_stat(key, value, indent, width);
	json_object_foreach((json_t *)object, key, value)
	{
		if (!json_is_object(value))
			continue;
		(void)printf("\n%*s%s\n", indent, "", key);
		put_stats(value, indent + 2, width);
	}
}

int print_stats(const json_t *stats)
{
	put_stats(stats, 0, longest_key(stats));
	return 0;
}

int print_doctor(const json_t *doctor)
{
	doctor_print(doctor, stdout);
	return 0;
}

/* ---- reload ---- */

static void put_lines(const json_t *array, FILE *out, const char *before)
{
	const json_t *line;
	size_t i;

	json_array_foreach(array, i, line)
	{
		const char *text = json_string_value(line);

		(void)fputs(before, out);
		for (; text && *text; text++)
			(void)fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text,
				    out);
		(void)fputc('\n', out);
	}
}

bool print_has_failed(const json_t *answer)
{
	return json_is_false(json_object_get(answer, "reloaded"));
}

int print_reload(const json_t *answer)
{
	const json_t *restart = json_object_get(answer, "restart");
	const char *path = json_string_value(json_object_get(answer, "config"));

	if (print_has_failed(answer)) {
		put_lines(json_object_get(answer, "messages"), stderr, "");
		(void)fputs("splicectl: not reloaded: nothing is changed\n", stderr);
		return -EREMOTEIO;
	}
	(void)printf("%s is in effect\n", path && !*path ? "the configuration without a file"
							 : text_of(answer, "config"));
	put_lines(json_object_get(answer, "warnings"), stdout, "warning: ");
	if (json_array_size(restart))
		(void)puts("at a restart:");
	put_lines(restart, stdout, "  ");
	return 0;
}

int print_order(const json_t *answer)
{
	const json_t *killed = json_object_get(answer, "killed");

	if (killed)
		(void)printf("session %" JSON_INTEGER_FORMAT ": ended\n",
			     json_integer_value(killed));
	else
		(void)printf("%s: %s, weight %" PRId64 "\n", text_of(answer, "server"),
			     text_of(answer, "mode"), int_of(answer, "weight"));
	return 0;
}
