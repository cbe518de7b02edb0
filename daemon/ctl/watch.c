// SPDX-License-Identifier: GPL-2.0-or-later
/* splicectl watch: what happens, a line for each interval, and what changes. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../util.h"
#include "field.h"
#include "live.h"
#include "sample.h"

/* Lines of figures from one header to the next. */
#define HEADER_EVERY 20

/* One turn. */
struct turn {
	const struct sample *older, *now;
	json_t *changes; /* JSON: they are told here; NULL: at once, as lines */
	char time[32];
};

/* ---- changes ---- */

static void change(struct turn *t, const char *fmt, ...) _printf_(2, 3);
static void change(struct turn *t, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args); /* cut, if it is that long */
	va_end(args);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	if (t->changes)
		(void)json_array_append_new(t->changes,
					    json_string(text)); /* else it is left out */
	else
		(void)printf("%s  * %s\n", t->time, text);
}

static void compare_text(struct turn *t, const char *key)
{
	const char *before = text_of(t->older->status, key), *now = text_of(t->now->status, key);

	if (strcmp(before, now) != 0)
		change(t, "%s: %s -> %s", key, before, now);
}

/* What should not grow, or is worth a look when it does. */
static void compare_counters(struct turn *t)
{
	static const char *const counters[] = {"integrity_aborts", "accept_failures", "events_lost",
					       "memory_refusals",  "denied",          "log_lost"};

	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		int64_t before = int_of(t->older->stats, counters[i]),
			now = int_of(t->now->stats, counters[i]);

		if (now > before)
			change(t, "%s: +%" PRId64 ", %" PRId64 " now", counters[i], now - before,
			       now);
	}
}

/* One server, looked for in the sample before. */
struct search {
	const char *pool, *server;
	const json_t *found;
};

static void look_for(const json_t *pool, const json_t *server, void *arg)
{
	struct search *s = arg;

	if (strcmp(text_of(pool, "name"), s->pool) == 0 &&
	    strcmp(text_of(server, "name"), s->server) == 0)
		s->found = server;
}

/* Of the first address that has one: "" or " (Connection refused)". */
static void server_error(const json_t *server, char *buf, size_t size)
{
	json_t *targets = json_object_get(server, "targets"), *target;
	size_t i;

	*buf = '\0';
	json_array_foreach(targets, i, target)
	{
		const char *error = text_of(target, "last_error");

		if (strcmp(error, "-") == 0)
			continue;
		(void)snprintf(buf, size, " (%s)", error);
		return;
	}
}

static void compare_server(const json_t *pool, const json_t *server, void *arg)
{
	struct turn *t = arg;
	struct search s = {.pool = text_of(pool, "name"), .server = text_of(server, "name")};
	const char *before, *now = text_of(server, "state");
	char error[96] = "";

	sample_servers(t->older, look_for, &s);
	before = s.found ? text_of(s.found, "state") : "not there";
	if (strcmp(before, now) == 0)
		return;
	if (strcmp(now, "up") != 0)
		server_error(server, error, sizeof(error));
	change(t, "server %s/%s: %s -> %s%s", s.pool, s.server, before, now, error);
}

static void tell_changes(struct turn *t)
{
	bool drained = json_is_true(json_object_get(t->older->status, "draining"));

	if (int_of(t->older->status, "worker_pid") != int_of(t->now->status, "worker_pid"))
		change(t, "another worker: process %" PRId64, int_of(t->now->status, "worker_pid"));
	else
		compare_counters(t);
	compare_text(t, "version");
	compare_text(t, "engine");
	compare_text(t, "canary");
	if (json_is_true(json_object_get(t->now->status, "draining")) && !drained)
		change(t, "draining");
	else if (int_of(t->now->status, "drain_in_ms") && !int_of(t->older->status, "drain_in_ms"))
		change(t, "ending");
	sample_servers(t->now, compare_server, t);
}

/* ---- figures ---- */

static const char *format_rate(const struct turn *t, const char *counter, char buf[32])
{
	char bytes[24];

	(void)snprintf(
	    buf, 32, "%s/s",
	    format_bytes((int64_t)sample_rate(t->older, t->now, counter), bytes, sizeof(bytes)));
	return buf;
}

static void tell_figures(const struct turn *t, uint64_t n)
{
	char kernel[32], copy[32], bypass[32];

	if (n % HEADER_EVERY == 0)
		(void)printf("%-8s %8s %8s %8s %12s %12s %12s %8s\n", "TIME", "SESSIONS", "NEW/s",
			     "REQ/s", "KERNEL", "COPY", "BYPASS", "RETRY/s");
	(void)printf("%s %8" PRId64 " %8.1f %8.1f %12s %12s %12s %8.1f\n", t->time,
		     int_of(t->now->status, "sessions_active"),
		     sample_rate(t->older, t->now, "sessions_total"),
		     sample_rate(t->older, t->now, "http_requests"),
		     format_rate(t, "bytes_redirected", kernel),
		     format_rate(t, "bytes_copied", copy), format_rate(t, "bytes_bypassed", bypass),
		     sample_rate(t->older, t->now, "retries"));
}

/* One object in a line: what every counter grew by in a second. */
static int tell_json(const struct turn *t)
{
	json_t *rates = json_object(), *line, *value;
	const char *key;
	int r;

	json_object_foreach(t->now->stats, key, value)
	{
		/* A gauge is in the status, or says little as a rate. */
		if (json_is_integer(value) && strcmp(key, "sessions_active") != 0 &&
		    strcmp(key, "sessions_sniffing") != 0)
			(void)json_object_set_new(rates, key,
						  json_real(sample_rate(t->older, t->now, key)));
	}
	line = json_pack("{s:s, s:f, s:I, s:o, s:O}", "time", t->time, "seconds",
			 sample_seconds(t->older, t->now), "sessions_active",
			 (json_int_t)int_of(t->now->status, "sessions_active"), "rates", rates,
			 "changes", t->changes);
	r = line ? json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6)) : -1;
	json_decref(line);
	(void)putchar('\n');
	return r < 0 ? -ENOMEM : 0;
}

/* ---- the loop ---- */

/* Of a person's clock; in JSON with the date. */
static void set_time(struct turn *t, bool json)
{
	time_t now = time(NULL);
	struct tm tm = {0};

	if (json ? !gmtime_r(&now, &tm) : !localtime_r(&now, &tm))
		tm = (struct tm){.tm_mday = 1};
	(void)strftime(t->time, sizeof(t->time), json ? "%Y-%m-%dT%H:%M:%SZ" : "%H:%M:%S", &tm);
}

static int tell(const struct live *l, const struct sample *older, const struct sample *now,
		uint64_t n)
{
	struct turn t = {.older = older, .now = now};
	int err = 0;

	set_time(&t, l->json);
	if (!l->json) {
		tell_changes(&t);
		tell_figures(&t, n);
		return 0;
	}
	t.changes = json_array();
	if (!t.changes)
		return -ENOMEM;
	tell_changes(&t);
	err = tell_json(&t);
	json_decref(t.changes);
	return err;
}

static void pause_for(uint64_t ns)
{
	struct timespec left = {.tv_sec = (time_t)(ns / NSEC_PER_SEC),
				.tv_nsec = (long)(ns % NSEC_PER_SEC)};

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

int live_watch(const struct live *l)
{
	struct sample older = {0}, now = {0};
	char why[ASK_WHY_MAX], said[ASK_WHY_MAX] = "";
	uint64_t n = 0;
	int err = sample_take(&older, l->path, false, why) ? 0 : -EIO;

	if (err)
		(void)fprintf(stderr, "splicectl: %s\n", why);
	while (!err && (!l->count || n < l->count)) {
		pause_for(l->interval_ns);
		if (!sample_take(&now, l->path, false, why)) {
			if (strcmp(why, said) != 0)
				(void)fprintf(stderr, "splicectl: %s; trying again\n", why);
			(void)memcpy(said, why, sizeof(said));
			continue;
		}
		*said = '\0';
		err = tell(l, &older, &now, n++);
		if (err)
			(void)fprintf(stderr, "splicectl: out of memory\n");
		else if (fflush(stdout) == EOF)
			break; /* the caller looks at the stream's state */
		sample_move(&older, &now);
	}
	sample_clear(&older);
	return err;
}
