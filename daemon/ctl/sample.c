// SPDX-License-Identifier: GPL-2.0-or-later
#include "sample.h"

#include <stdio.h>

#include "../util.h"
#include "field.h"

static json_t *ask_for(const char *path, const char *command, json_type type, char why[ASK_WHY_MAX])
{
	json_t *answer = ask(path, command, why);

	if (!answer || json_typeof(answer) == type)
		return answer;
	(void)snprintf(why, ASK_WHY_MAX, "the answer from %s is not what %s looks like", path,
		       command);
	json_decref(answer);
	return NULL;
}

bool sample_take(struct sample *s, const char *path, bool sessions, char why[ASK_WHY_MAX])
{
	*s = (struct sample){.status = ask_for(path, "status", JSON_OBJECT, why)};
	if (s->status)
		s->stats = ask_for(path, "stats", JSON_OBJECT, why);
	if (s->stats && sessions)
		s->sessions = ask_for(path, "sessions", JSON_ARRAY, why);
	if (s->stats && (s->sessions || !sessions))
		return true;
	sample_clear(s);
	return false;
}

void sample_clear(struct sample *s)
{
	json_decref(s->status);
	json_decref(s->stats);
	json_decref(s->sessions);
	*s = (struct sample){0};
}

void sample_move(struct sample *older, struct sample *now)
{
	sample_clear(older);
	*older = *now;
	*now = (struct sample){0};
}

double sample_seconds(const struct sample *older, const struct sample *now)
{
	int64_t ms;

	if (!older->status || !now->status ||
	    int_of(older->status, "worker_pid") != int_of(now->status, "worker_pid"))
		return 0;
	ms = int_of(now->status, "uptime_ms") - int_of(older->status, "uptime_ms");
	return ms > 0 ? (double)ms / 1000 : 0;
}

double sample_rate(const struct sample *older, const struct sample *now, const char *counter)
{
	double seconds = sample_seconds(older, now);
	int64_t grown = int_of(now->stats, counter) - int_of(older->stats, counter);

	return seconds > 0 && grown > 0 ? (double)grown / seconds : 0;
}

void sample_servers(const struct sample *s, sample_server_fn each, void *arg)
{
	json_t *pools = json_object_get(s->status, "pools"), *pool, *server;
	size_t i, j;

	json_array_foreach(pools, i, pool)
	    json_array_foreach(json_object_get(pool, "servers"), j, server) each(pool, server, arg);
}
