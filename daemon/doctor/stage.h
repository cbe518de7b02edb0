/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a check of the canary is played on: a daemon of one worker, a client and a backend. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../config/config.h"
#include "../daemon.h"
#include "../util.h"

struct bypass_maps;
struct maps;

/* Of one try of one check. */
#define CANARY_TRY_NS (5 * NSEC_PER_SEC)

/*
 * What some checks may take together, in ns. A process that is kept waiting for a processor shows
 * nothing about the kernel: that time is not counted, while there is patience for it.
 */
struct canary_time {
	uint64_t left, patience;
};
#define CANARY_TIME ((struct canary_time){10 * NSEC_PER_SEC, 30 * NSEC_PER_SEC})

struct canary_result {
	bool ok;
	bool wrong_bytes; /* the failure was in the content */
	char why[160];    /* what went wrong; for a success what was moved */
	uint64_t took_ns;
};

struct canary_stage {
	/* Set before it is opened. */
	struct maps *maps;          /* NULL: no kernel engine */
	struct bypass_maps *bypass; /* NULL: no bypass */
	enum local_bypass local;    /* ... and who is joined */
	uint64_t engage_after;
	size_t read_size; /* what the daemon reads by hand at first; 0: as usual */
	uint64_t budget;  /* of a lane; 0: none */
	struct canary_result *result;
	struct canary_time *time; /* every wait ends with it */
	int client, backend;      /* -1 */
	/* Its own. */
	uint64_t began_ns, until_ns, starved_ns; /* see canary_is_over() */
	struct daemon daemon;
};

/* One direction: who writes what to whom. */
struct canary_flow {
	int from, to;
	uint64_t total, sent, received;
	bool late;  /* the reader starts when the writer is stopped */
	bool left;  /* ... and the source has left the kernel, or had a while for it */
	bool shut;  /* the writer ends its direction after the last byte */
	bool ended; /* the reader saw the end */
};

/* Says why the check has failed, and returns -1. */
int canary_fail(struct canary_stage *st, const char *fmt, ...) _printf_(2, 3);
/* The client connects to the worker, which dials the backend. 0, or -1 after canary_fail(). The
 * time of a try begins. */
int canary_stage_open(struct canary_stage *st);
/* Takes what the try took from st->time. */
void canary_stage_close(struct canary_stage *st);
/* Whether the time of the try is over. */
bool canary_is_over(const struct canary_stage *st);
/* Waits until one descriptor is ready. False at the deadline. */
bool canary_ready(const struct canary_stage *st, int fd, short events);
/* How many sources have left the kernel under their lock, asked or on their own. */
uint64_t canary_left(const struct maps *maps);
/* Runs the flow until every byte has arrived, and the end too if it is sent. The same. */
int canary_flow_run(struct canary_stage *st, struct canary_flow *f);
