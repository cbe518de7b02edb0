/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "../../daemon/util.h"
#include "run.h"

#define SHOWN         16         /* bytes of an error */
#define LOCATE_WINDOW (16 << 20) /* how far from its place a piece of a stream is looked for */
#define LOCATE_MIN    8

void report_init(struct report *r)
{
	*r = (struct report){.errors = json_array(), .failures = json_array()};
}

static json_t *hex(const uint8_t *bytes, size_t n)
{
	char text[2 * SHOWN + 1] = "";

	for (size_t i = 0; i < MIN(n, SHOWN); i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return json_string(text);
}

static json_t *describe(const struct endpoint *ep, const char *kind, uint64_t at)
{
	const struct endpoint *client = ep->side == SIDE_CLIENT ? ep : ep->other;
	const struct endpoint *server = ep->side == SIDE_SERVER ? ep : ep->other;
	json_t *e = json_pack("{s:s, s:s, s:I}", "kind", kind, "direction",
			      ep->side == SIDE_SERVER ? "up" : "down", "offset", (json_int_t)at);

	if (client)
		(void)json_object_set_new(e, "session", json_integer(client->number));
	if (server)
		(void)json_object_set_new(e, "accepted", json_integer(server->number));
	return e;
}

static void keep(struct run *run, json_t *e)
{
	if (run->report.n_errors++ < REPORT_MAX)
		(void)json_array_append_new(run->report.errors, e);
	else
		json_decref(e);
}

/* Says where the wrong bytes do belong, if that can be found. */
static void explain(struct run *run, const struct endpoint *ep, uint64_t at, const uint8_t *buf,
		    size_t n, json_t *e)
{
	const struct pattern *mine = &ep->rx.pattern;
	uint64_t place;

	if (n < LOCATE_MIN || !ep->rx.known)
		return;
	n = MIN(n, SHOWN);
	if (pattern_locate(mine, at, LOCATE_WINDOW, buf, n, &place)) {
		(void)json_object_set_new(e, "found_at", json_integer((json_int_t)place));
		return;
	}
	for (uint32_t i = 0; i < run->opt.sessions * 2; i++) {
		struct pattern p;

		pattern_init(&p, run->opt.seed, i / 2, i % 2 ? mine->dir : PATTERN_UP);
		if (pattern_check(&p, at, buf, n) == n) {
			(void)json_object_set_new(e, "of_session", json_integer(i / 2));
			(void)json_object_set_new(e, "of_direction",
						  json_string(pattern_dir_str[p.dir]));
			return;
		}
	}
}

void report_content(struct run *run, const struct endpoint *ep, uint64_t at, const uint8_t *buf,
		    size_t n)
{
	uint8_t expected[SHOWN];
	json_t *e = describe(ep, ep->rx.known ? "content" : "head", at);

	(void)json_object_set_new(e, "got", hex(buf, n));
	if (ep->rx.known) {
		pattern_fill(&ep->rx.pattern, at, expected, sizeof(expected));
		(void)json_object_set_new(e, "expected", hex(expected, sizeof(expected)));
	}
	if (run->report.n_errors < REPORT_MAX)
		explain(run, ep, at, buf, n, e);
	keep(run, e);
}

void report_stream(struct run *run, const struct endpoint *ep, const char *kind, uint64_t at)
{
	json_t *e = describe(ep, kind, at);

	(void)json_object_set_new(e, "of", json_integer((json_int_t)ep->rx.total));
	keep(run, e);
}

static json_t *describe_end(const struct endpoint *ep)
{
	if (!ep)
		return json_null();
	return json_pack("{s:s, s:s*, s:I, s:I, s:I, s:b}", "ending", ending_str[ep->ending],
			 "errno", ep->err ? strerrorname_np(ep->err) : NULL, "sent",
			 (json_int_t)ep->tx.sent, "received", (json_int_t)ep->rx.received,
			 "expected", (json_int_t)ep->rx.total, "saw_eof", ep->rx.eof);
}

void report_failure(struct run *run, const struct endpoint *client, const char *why)
{
	if (run->report.n_failed++ >= REPORT_MAX)
		return;
	(void)json_array_append_new(
	    run->report.failures,
	    json_pack("{s:i, s:s, s:o, s:o}", "session", (int)client->number, "why", why, "client",
		      describe_end(client), "server", describe_end(client->other)));
}

static void print(json_t *line)
{
	if (json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6)) < 0)
		fprintf(stderr, "spliced-load: cannot write the report\n");
	putchar('\n');
	(void)fflush(stdout);
	json_decref(line);
}

void report_backends(const struct run *run)
{
	json_t *all = json_array();
	char text[ADDRESS_TEXT];

	for (unsigned int i = 0; i < run->opt.n_listen; i++)
		(void)json_array_append_new(all,
					    json_string(address_format(&run->backends[i], text)));
	print(json_pack("{s:O, s:o}", "backend", json_array_get(all, 0), "backends", all));
}

void report_event(const char *name)
{
	print(json_pack("{s:s}", "event", name));
}

struct sums {
	uint64_t sent, received, verified;
	unsigned int endings[_END_MAX];
};

static void add(struct sums *tx, struct sums *rx, const struct endpoint *ep)
{
	tx->sent += ep->tx.sent;
	rx->received += ep->rx.received;
	rx->verified += ep->rx.verified;
	tx->endings[ep->ending]++;
}

static void sum_up(const struct run *run, struct sums *up, struct sums *down)
{
	*up = *down = (struct sums){0};
	for (unsigned int i = 0; i < run->n_opened; i++)
		add(up, down, &run->clients[i]);
	for (unsigned int i = 0; i < run->n_servers; i++)
		add(down, up, run->servers[i]);
}

static json_t *direction(const struct sums *s)
{
	return json_pack("{s:I, s:I, s:I}", "sent", (json_int_t)s->sent, "received",
			 (json_int_t)s->received, "verified", (json_int_t)s->verified);
}

static json_t *endings(const struct sums *s)
{
	json_t *o = json_object();

	for (enum ending e = 0; e < _END_MAX; e++) {
		if (s->endings[e])
			(void)json_object_set_new(o, ending_str[e], json_integer(s->endings[e]));
	}
	return o;
}

void report_progress(const struct run *run)
{
	struct sums up, down;

	sum_up(run, &up, &down);
	print(json_pack("{s:{s:i, s:i, s:i, s:i, s:i, s:o, s:o, s:f}}", "progress", "opened",
			(int)run->n_opened, "accepted", (int)run->n_servers, "clients_ended",
			(int)run->n_clients_ended, "servers_ended", (int)run->n_servers_ended,
			"errors", (int)run->report.n_errors, "up", direction(&up), "down",
			direction(&down), "seconds",
			(double)(now_ns() - run->started) / NSEC_PER_SEC));
}

int report_result(struct run *run)
{
	struct report *r = &run->report;
	double seconds = (double)(run->ended - run->started) / NSEC_PER_SEC;
	bool ok =
	    r->n_failed == 0 && r->n_errors == 0 && r->n_ok == run->opt.sessions && !r->problem;
	struct sums up, down;
	json_t *line;

	sum_up(run, &up, &down);
	line = json_pack("{s:b, s:s*, s:{s:i, s:i, s:i, s:i, s:i}}", "ok", ok, "problem",
			 r->problem, "sessions", "total", (int)run->opt.sessions, "ok",
			 (int)r->n_ok, "failed", (int)r->n_failed, "unmatched", (int)r->n_unmatched,
			 "strays", (int)r->n_strays);
	(void)json_object_set_new(line, "up", direction(&up));
	(void)json_object_set_new(line, "down", direction(&down));
	(void)json_object_set_new(line, "client_endings", endings(&up));
	(void)json_object_set_new(line, "server_endings", endings(&down));
	(void)json_object_set_new(line, "n_errors", json_integer(r->n_errors));
	(void)json_object_set(line, "errors", r->errors);
	(void)json_object_set(line, "failures", r->failures);
	(void)json_object_set_new(line, "seconds", json_real(seconds));
	(void)json_object_set_new(
	    line, "gbit_per_s",
	    json_real(seconds > 0 ? (double)(up.verified + down.verified) * 8e-9 / seconds : 0));
	print(line);
	json_decref(r->errors);
	json_decref(r->failures);
	return ok ? 0 : 1;
}
