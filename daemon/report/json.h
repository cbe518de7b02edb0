/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Snapshots as JSON. The names and the order of fields are what programs rely on. The caller owns
 * the reference; NULL: out of memory. */
#pragma once

#include <jansson.h>
#include <stddef.h>

struct pools_snapshot;
struct reload_result;
struct stats_snapshot;
struct status_snapshot;
struct worker_snapshot;

json_t *json_of_status(const struct status_snapshot *s);
json_t *json_of_pools(const struct pools_snapshot *p);
json_t *json_of_stats(const struct stats_snapshot *s);
json_t *json_of_reload(const struct reload_result *r);
/* Appends the sessions of one worker to an array. */
void json_append_sessions(json_t *array, const struct worker_snapshot *w);
