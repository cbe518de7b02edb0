/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots: what the daemon and its sessions were like at one moment, as values. Who renders them
 * needs nothing else. Texts are not copied: they are a setup's, and as long there as that is pinned
 * (setup.h), or the main thread is not left.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../addr.h"
#include "../stats.h"
#include "../upstream/health.h"

struct daemon;
struct doctor;
struct interception;
struct spreading;
struct steering;
struct worker;

struct session_snapshot {
	uint64_t id, age_ns, bytes_up, bytes_down;
	const char *listener, *pool, *server; /* "": none */
	struct addr client, backend;          /* a backend's len of 0: none */
	struct addr original; /* where the client wanted to go; its len is 0: nobody asked */
	uint32_t pauses;
	const char *engine, *state;
	const char *engine_reason; /* why it is copied; "": it is not, or nobody asked */
};

/* Of one worker. */
struct worker_snapshot {
	struct session_snapshot *sessions;
	size_t n_sessions;
	bool incomplete; /* there was no memory for the sessions */
};

/* What became of the attempts to connect to one address of a server. */
struct target_snapshot {
	struct addr addr;
	const char *state;
	const char *last_error; /* "": none */
	unsigned int fails;
	uint64_t passed_over, passed_over_ms;
	bool checked; /* there was a check */
	enum check_outcome check;
	char check_words[CHECK_WORDS_MAX];
	uint64_t check_ms, check_ago_ms;
};

struct server_snapshot {
	const char *name, *address, *state, *mode;
	char reason[CHECK_WORDS_MAX]; /* why it is not up, "": it is, or an operator wants it so */
	unsigned int weight;
	bool backup;
	uint64_t sessions_active, sessions_total, connect_failures;
	struct target_snapshot *targets;
	size_t n_targets;
};

struct pool_snapshot {
	const char *name, *balance;
	struct server_snapshot *servers;
	size_t n_servers;
};

struct pools_snapshot {
	struct pool_snapshot *pools;
	size_t n_pools;
};

struct listener_snapshot {
	const char *name, *protocol, *pool; /* "": none */
	struct addr *binds;
	size_t n_binds;
	uint64_t sessions_active, sessions_total;
};

struct status_snapshot {
	int pid, worker_pid; /* of the parent, which gets signals, and of this process */
	unsigned int generation;
	uint64_t worker_deaths;
	uint64_t uptime_ms;
	const char *engine, *engine_reason, *canary, *config;
	unsigned int workers;
	unsigned int *worker_sessions; /* of each */
	uint32_t sessions_active, max_sessions;
	uint64_t memory_used, memory_max;
	bool draining;
	uint64_t drain_in_ms;      /* until it will, having been told to end; 0: it has not */
	unsigned int setups;       /* the newest, and those before it that sessions go by */
	const struct addr *status; /* where HTTP tells it; NULL: nowhere */
	struct listener_snapshot *listeners;
	size_t n_listeners;
	const struct interception *interception; /* NULL: none */
	const struct steering *steering;         /* NULL: none */
	const struct spreading *spreading;       /* NULL: none */
	struct pools_snapshot pools;
};

struct stats_snapshot {
	struct stats stats; /* of all workers, and what none of them counts */
	bool verdicts;      /* there are BPF programs that count them */
	const char *canary;
};

/* Takes it in the worker's own thread. */
void snapshot_worker(const struct worker *w, struct worker_snapshot *ret);
void snapshot_worker_free(struct worker_snapshot *w);

/* These, in the main thread; 0 or -ENOMEM, and *ret is to be freed in either case. */
int snapshot_status(struct daemon *d, const struct doctor *doctor, struct status_snapshot *ret);
void snapshot_status_free(struct status_snapshot *s);
int snapshot_pools(const struct daemon *d, struct pools_snapshot *ret);
void snapshot_pools_free(struct pools_snapshot *p);

/* As of the last tally. */
void snapshot_stats(const struct daemon *d, const struct doctor *doctor,
		    struct stats_snapshot *ret);
