/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What went wrong, and the JSON on stdout. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct run;
struct endpoint;

#define REPORT_MAX 20 /* errors and failed sessions kept in full; the rest is counted */

struct report {
	unsigned int n_errors; /* of content */
	json_t *errors;
	unsigned int n_ok, n_failed, n_unmatched, n_strays;
	json_t *failures;
	const char *problem; /* of the run itself: a deadline */
};

void report_init(struct report *r);

/* The n bytes at buf, received at position `at` of what ep reads, are wrong from buf[0] on. */
void report_content(struct run *run, const struct endpoint *ep, uint64_t at, const uint8_t *buf,
		    size_t n);
/* Any other fault of the stream ep reads: `kind` is truncated, excess or mix-up. */
void report_stream(struct run *run, const struct endpoint *ep, const char *kind, uint64_t at);
/* The session of this client end is not what the scenario expects. */
void report_failure(struct run *run, const struct endpoint *client, const char *why);

/* Lines on stdout. */
void report_backends(const struct run *run);
void report_event(const char *name);
void report_progress(const struct run *run);
/* The result; returns the exit status, 0 only if everything was as the scenario expects. */
int report_result(struct run *run);
