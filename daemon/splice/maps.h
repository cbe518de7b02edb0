/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's half: programs and maps, loaded once. After maps_open() no call here needs a
 * capability: map entries are changed through the descriptors held.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "splice-api.h"

struct splice;

struct maps {
	struct splice_bpf *skeleton;
	int sockets_fd, engaged_fd, lane_of_fd, owned_fd;
	int gate_fd;        /* the program for maps_gate() */
	struct lane *lanes; /* n_lanes of them, shared with the kernel: two for each slot */
	uint32_t n_lanes;
	struct splice **owners;     /* of each slot; read and written by its worker */
	uint32_t *generations;      /* of each slot, raised with every use */
	volatile uint32_t *leaving; /* shared as well: see splice-api.h */
	volatile uint32_t *unheard;
	volatile __u64 *alert_ns;
	int rings[SPLICE_MAX_WORKERS]; /* one ring buffer a worker, -1 beyond n_rings */
	unsigned int n_rings;
	bool collected; /* sockops is attached */
	uint32_t debug; /* enum splice_debug */
};

struct maps_options {
	uint32_t max_sessions;
	uint32_t waiting; /* clients that may wait to be accepted; those beyond are added later */
	unsigned int workers;
	int numa_node; /* -1: any */
	uint32_t debug;
	bool collecting; /* sockets marked by maps_own() go into `sockets` at once */
};

/*
 * Loads the programs, sizes and maps the maps, attaches sockops to the process's own cgroup.
 * Returns 0, or a negative errno and a sentence in `why` (what failed and what it would need).
 * An attach failure alone is not one: m->collected is false and `why` says the reason.
 */
int maps_open(const struct maps_options *options, struct maps **ret, char why[256]);
void maps_close(struct maps *m); /* NULL is allowed */

/*
 * Marks a listening or not yet connected socket, so that sockops puts it, or what it accepts, into
 * `sockets`. 0 or -errno. Without it sockops knows the daemon's sockets, too, by the process that
 * calls connect() or listen(), and can take them out of `engaged`.
 */
int maps_own(const struct maps *m, int fd);
/* Takes the mark away; -ENOENT: there was none. */
int maps_disown(const struct maps *m, int fd);

/* The entries of the lane protocol. All return 0 or a negative errno; removing what is not
 * there is -ENOENT. `fd` must be ESTABLISHED to be added (kernel: sock_map_sk_state_allowed). */
int maps_socket_add(const struct maps *m, uint64_t cookie, int fd);
bool maps_socket_present(const struct maps *m, uint64_t cookie);
int maps_engage(const struct maps *m, uint64_t cookie, int fd);
int maps_disengage(const struct maps *m, uint64_t cookie);
/* Puts the gate (see gate.h) in front of a source; it stays for good. What fails is logged once. */
int maps_gate(const struct maps *m, int fd);
int maps_lane_set(const struct maps *m, uint64_t source, const struct lane_ref *ref);
int maps_lane_clear(const struct maps *m, uint64_t source);

/*
 * Whether another sockops program has taken our callback from a source, as the verdict program has
 * noticed (`unheard`): it, and every one to which that happens, leaves `engaged` without its
 * socket's lock. Says so in the log, once. False where sockops is not attached: that was told.
 */
bool maps_unheard(const struct maps *m);

/* The counter of `why`, summed over the CPUs. */
uint64_t maps_verdicts(const struct maps *m, enum verdict_why why);
extern const char *const verdict_why_str[_VERDICT_MAX];
