/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this kernel can do, proven by trying, and what follows for the engine. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "../bypass/maps.h"
#include "../config/config.h"
#include "../splice/maps.h"

struct doctor {
	bool kernel;        /* the kernel engine may be used */
	char reason[320];   /* why the engine is what it is, one sentence */
	char canary[320];   /* "passed", or what failed, or why it was not run */
	char unmarked[256]; /* why the daemon's sockets have no mark for interception */
	json_t *checks;
};

void doctor_begin(struct doctor *d, enum engine_choice choice);
/* Loads the programs, recording each step; *maps stays NULL when that fails. Needs privileges. */
void doctor_load(struct doctor *d, const struct maps_options *options, struct maps **maps);
/* The same of the bypass. It is told in the log where that fails: the engines that are there serve.
 */
void doctor_load_bypass(struct doctor *d, const struct bypass_maps_options *options,
			struct bypass_maps **maps);
/* Tries it, beside the kernel engine, where that works (NULL: it does not). False: it does not work
 * here, which was told in the log. */
bool doctor_prove_bypass(struct doctor *d, struct bypass_maps *maps, struct maps *kernel);
/* Tries interception. Needs privileges. False: it does not work here, and *why has a sentence. */
bool doctor_try_interception(struct doctor *d, char why[256]);
/* Tries steering; the same. */
bool doctor_try_steering(struct doctor *d, char why[256]);
/* Runs the canary; d->kernel is true when it has passed, or was switched off. */
void doctor_canary(struct doctor *d, struct maps *maps);
/* The whole finding; the caller owns the reference. */
json_t *doctor_json(const struct doctor *d);
void doctor_end(struct doctor *d);
