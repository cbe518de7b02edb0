/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the daemon was like at one moment, and what happened between two of them. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "ask.h"

/* Zeroed: nothing is known. */
struct sample {
	json_t *status, *stats;
	json_t *sessions; /* NULL: nobody asked for them */
};

/* Asks for it. False: there is none, and `why` has a line about that. */
bool sample_take(struct sample *s, const char *path, bool sessions, char why[ASK_WHY_MAX]);
void sample_clear(struct sample *s);
/* `*older` is cleared and gets what `*now` has. */
void sample_move(struct sample *older, struct sample *now);

/* Seconds between them; 0: they are of different daemons, or one is not known. */
double sample_seconds(const struct sample *older, const struct sample *now);
/* How much a counter of the stats grew in a second. */
double sample_rate(const struct sample *older, const struct sample *now, const char *counter);

typedef void (*sample_server_fn)(const json_t *pool, const json_t *server, void *arg);
/* Every server of every pool. */
void sample_servers(const struct sample *s, sample_server_fn each, void *arg);
