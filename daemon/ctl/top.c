// SPDX-License-Identifier: GPL-2.0-or-later
/* splicectl top: the daemon's rates, the servers that are not up, and the busiest sessions. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../util.h"
#include "field.h"
#include "live.h"
#include "sample.h"
#include "table.h"
#include "terminal.h"

/* The daemon is asked for at most this part of the time. */
#define ASK_SHARE 10
/* Rows that a picture has besides sessions, and so many sessions where there is no terminal. */
#define ROWS_AROUND  8
#define ROWS_DEFAULT 40

/* ---- sessions, with a rate ---- */

static int compare_ids(const void *a, const void *b)
{
	int64_t left = int_of(*(json_t *const *)a, "id"), right = int_of(*(json_t *const *)b, "id");

	return (left > right) - (left < right);
}

/* The sessions of a sample by their ids; the caller frees it. NULL: out of memory. */
static json_t **by_id(const json_t *sessions, size_t *ret_n)
{
	json_t **all = calloc(json_array_size(sessions) + 1, sizeof(*all)), *s;
	size_t i;

	*ret_n = json_array_size(sessions);
	if (!all)
		return NULL;
	json_array_foreach(sessions, i, s) all[i] = s;
	qsort(all, *ret_n, sizeof(*all), compare_ids);
	return all;
}

static int64_t bytes_of(const json_t *session)
{
	return int_of(session, "bytes_up") + int_of(session, "bytes_down");
}

/* Bytes a second since the sample before, or since it began. */
static int64_t rate_of(const json_t *session, const json_t *older, double seconds)
{
	int64_t bytes = bytes_of(session) - (older ? bytes_of(older) : 0);
	double age = (double)int_of(session, "age_ms") / 1000;

	if (!older || seconds <= 0)
		seconds = age;
	return seconds > 0 && bytes > 0 ? (int64_t)((double)bytes / seconds) : 0;
}

/* Each session of `now` gets a field `rate`. */
static int add_rates(const struct sample *older, const struct sample *now)
{
	double seconds = sample_seconds(older, now);
	size_t i, n;
	_cleanup_free_ json_t **before = by_id(older->sessions, &n);
	json_t *s;

	if (!before)
		return -ENOMEM;
	json_array_foreach(now->sessions, i, s)
	{
		json_t **found =
		    seconds > 0 ? bsearch(&s, before, n, sizeof(s), compare_ids) : NULL;

		if (json_object_set_new(
			s, "rate", json_integer(rate_of(s, found ? *found : NULL, seconds))) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void session_row(struct table *t, const json_t *s)
{
	char buf[CELL_MAX];

	t->n_rows++;
	table_set(t, 0, "%" PRId64, int_of(s, "id"));
	table_set(t, 1, "%s/s", format_bytes(int_of(s, "rate"), buf, sizeof(buf)));
	table_set(t, 2, "%s", format_bytes(int_of(s, "bytes_up"), buf, sizeof(buf)));
	table_set(t, 3, "%s", format_bytes(int_of(s, "bytes_down"), buf, sizeof(buf)));
	table_set(t, 4, "%s", format_age(int_of(s, "age_ms"), buf, sizeof(buf)));
	table_set(t, 5, "%s", text_of(s, "engine"));
	table_set(t, 6, "%s", text_of(s, "state"));
	table_set(t, 7, "%s/%s", text_of(s, "pool"), text_of(s, "server"));
	table_set(t, 8, "%s", text_of(s, "client"));
	table_set(t, 9, "%s", text_of(s, "listener"));
}

static int put_sessions(const struct pick *pick, const struct sample *now, FILE *out)
{
	/* What matters most is where a narrow terminal has it. */
	static const struct column columns[] = {
	    {"ID", true},      {"RATE", true},      {"UP", true},     {"DOWN", true},
	    {"AGE", true},     {"ENGINE", false},   {"STATE", false}, {"POOL/SERVER", false},
	    {"CLIENT", false}, {"LISTENER", false},
	};
	json_t *picked = pick_sessions(pick, now->sessions), *s;
	struct table t;
	size_t i;

	if (!picked)
		return -ENOMEM;
	if (table_init(&t, columns, ARRAY_SIZE(columns), json_array_size(picked)) < 0) {
		json_decref(picked);
		return -ENOMEM;
	}
	json_array_foreach(picked, i, s) session_row(&t, s);
	table_write(&t, out);
	table_free(&t);
	json_decref(picked);
	return 0;
}

/* ---- what is above them ---- */

struct servers {
	size_t all, up;
	char named[CELL_MAX]; /* of those that are not */
};

static void count_server(const json_t *pool, const json_t *server, void *arg)
{
	struct servers *s = arg;
	size_t used = strlen(s->named);

	s->all++;
	if (strcmp(text_of(server, "state"), "up") == 0)
		s->up++;
	else
		(void)snprintf(s->named + used, sizeof(s->named) - used, "%s%s/%s %s",
			       used ? ", " : "; ", text_of(pool, "name"), text_of(server, "name"),
			       text_of(server, "state"));
}

static void put_head(const struct sample *older, const struct sample *now, FILE *out)
{
	static const char *const moved[][2] = {
	    {"kernel", "bytes_redirected"}, {"copy", "bytes_copied"}, {"bypass", "bytes_bypassed"}};
	const json_t *status = now->status;
	struct servers servers = {0};
	char age[32], used[32], most[32], rate[32], state[64];

	(void)fprintf(out, "spliced %s, up %s, engine %s, %s\n", text_of(status, "version"),
		      format_age(int_of(status, "uptime_ms"), age, sizeof(age)),
		      text_of(status, "engine"), format_state(status, state, sizeof(state)));
	(void)fprintf(out, "Sessions  %" PRId64 " of %" PRId64 ", %.1f/s new, %.1f/s requests\n",
		      int_of(status, "sessions_active"), int_of(status, "max_sessions"),
		      sample_rate(older, now, "sessions_total"),
		      sample_rate(older, now, "http_requests"));
	(void)fputs("Bytes    ", out);
	for (size_t i = 0; i < ARRAY_SIZE(moved); i++)
		(void)fprintf(
		    out, "%s %s/s %s", i ? "," : "",
		    format_bytes((int64_t)sample_rate(older, now, moved[i][1]), rate, sizeof(rate)),
		    moved[i][0]);
	(void)fprintf(out, "\nMemory    %s of %s\n",
		      format_bytes(int_of(status, "memory_used"), used, sizeof(used)),
		      int_of(status, "memory_max")
			  ? format_bytes(int_of(status, "memory_max"), most, sizeof(most))
			  : "what there is");
	sample_servers(now, count_server, &servers);
	(void)fprintf(out, "Servers   %zu of %zu up%s\n\n", servers.up, servers.all, servers.named);
}

/* The caller frees it; NULL: out of memory. */
static char *picture(const struct pick *pick, const struct sample *older, const struct sample *now)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out;
	int err = add_rates(older, now);

	out = err ? NULL : open_memstream(&text, &len);
	if (!out)
		return NULL;
	put_head(older, now, out);
	err = put_sessions(pick, now, out);
	if (fclose(out) == EOF || err) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- the loop ---- */

/* Two samples, one picture. */
static int top_once(const struct live *l, struct pick *pick)
{
	struct sample older = {0}, now = {0};
	_cleanup_free_ char *text = NULL;
	const struct timespec pause = {.tv_sec = (time_t)(l->interval_ns / NSEC_PER_SEC),
				       .tv_nsec = (long)(l->interval_ns % NSEC_PER_SEC)};
	char why[ASK_WHY_MAX] = "out of memory";

	if (!pick->limit)
		pick->limit = ROWS_DEFAULT;
	if (sample_take(&older, l->path, true, why)) {
		(void)nanosleep(&pause, NULL); /* cut short: then it is a shorter time */
		if (sample_take(&now, l->path, true, why))
			text = picture(pick, &older, &now);
	}
	sample_clear(&older);
	sample_clear(&now);
	if (text) {
		(void)fputs(text, stdout); /* the caller looks at the stream's state */
		return 0;
	}
	(void)fprintf(stderr, "splicectl: %s\n", why);
	return -EIO;
}

/* False: no memory for it. */
static bool show(struct pick *pick, const struct sample *older, const struct sample *now,
		 const char *why)
{
	_cleanup_free_ char *text = NULL, *all = NULL;
	struct pick of_screen = *pick;
	size_t rows, columns;

	terminal_size(&rows, &columns);
	of_screen.limit = rows > ROWS_AROUND ? rows - ROWS_AROUND : 1;
	if (pick->limit)
		of_screen.limit = MIN(pick->limit, of_screen.limit);
	text = picture(&of_screen, older, now);
	if (!text || asprintf(&all, "%s%s\n%s", *why ? why : "q ends", *why ? "; trying again" : "",
			      text) < 0)
		return false;
	terminal_show(all, rows, columns);
	return true;
}

/* Whether to go on, after the wait. */
static bool wait_for_next(const struct live *l, uint64_t began)
{
	uint64_t took = now_ns() - began, until = began + MAX(l->interval_ns, took * ASK_SHARE);
	int key;

	do
		key = terminal_wait(until);
	while (key >= 0 && key != 'q' && key != 'Q');
	return key == TERMINAL_NO_KEY;
}

static int top_live(const struct live *l, struct pick *pick)
{
	struct sample older = {0}, last = {0}, now;
	char why[ASK_WHY_MAX] = "";
	uint64_t turns = 0, began = now_ns();
	bool ok = sample_take(&last, l->path, true, why);

	if (!ok) {
		(void)fprintf(stderr, "splicectl: %s\n", why);
		return -EIO;
	}
	terminal_enter();
	do {
		ok = show(pick, &older, &last, why);
		if (!ok || ++turns == l->count || !wait_for_next(l, began))
			break;
		began = now_ns();
		*why = '\0';
		if (sample_take(&now, l->path, true, why)) {
			sample_move(&older, &last);
			sample_move(&last, &now);
		}
	} while (true);
	terminal_leave();
	sample_clear(&older);
	sample_clear(&last);
	if (ok)
		return 0;
	(void)fprintf(stderr, "splicectl: out of memory\n");
	return -ENOMEM;
}

int live_top(const struct live *l)
{
	struct pick pick = l->pick;
	char why[PICK_WHY_MAX];

	if (!pick.sort)
		(void)pick_set_sort(&pick, "rate", why); /* it is a key */
	return terminal_is_there() ? top_live(l, &pick) : top_once(l, &pick);
}
