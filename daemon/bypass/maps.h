/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bypass's half in the kernel: programs and maps, loaded once. After bypass_maps_open() no call
 * here needs a capability.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bypass-api.h"

struct bypass_maps {
	struct bypass_bpf *skeleton;
	struct bpf_link *own; /* see bypass_maps_proved(); NULL: no more */
	int joining_fd, listening_fd, joined_fd, outlet_fd, bypass_of_fd;
	bool has_outlets; /* one application alone may be joined: the canary has seen it */
	int peek_fd, find_fd, admit_fd;
	struct way *ways; /* n_ways of them, shared with the kernel: two for each slot */
	uint32_t n_ways;
	uint64_t *looks; /* shared, too: BYPASS_LOOKS for each worker */
	uint32_t n_workers;
};

struct bypass_maps_options {
	uint32_t max_sessions;
	unsigned int workers;
	const char *cgroup; /* the folder whose applications may be bypassed; NULL: nobody's */
	bool blocking;      /* ... those that block, too */
};

/*
 * Loads the programs, sizes and maps the maps, attaches sockops to the process's own cgroup and to
 * the applications'. Returns 0, or a negative errno and a sentence in `why`.
 */
int bypass_maps_open(const struct bypass_maps_options *o, struct bypass_maps **ret, char why[256]);
/* Sockets of the daemon's own cgroup are applications, too, from the opening until this: so that
 * two of its own can be tried. */
void bypass_maps_proved(struct bypass_maps *m);
void bypass_maps_close(struct bypass_maps *m); /* NULL is allowed */

/* All of these return 0 or a negative errno. */

/* Marks a socket that is about to connect, or a listener: its peers may be bypassed. */
int bypass_mark(const struct bypass_maps *m, int fd);
int bypass_mark_listener(const struct bypass_maps *m, int fd);
/* Clients that connect from now on are not. */
void bypass_unmark_listener(const struct bypass_maps *m, int fd);
/* Of one to which no SYN comes any more: those whose SYN has come are still joined. What it has in
 * a map would stay there for as long as the process lives. */
void bypass_forget_listener(const struct bypass_maps *m, int fd);
/* What the handshake of a marked connection was, as that socket sees it. */
int bypass_handshake(const struct bypass_maps *m, int fd, struct handshake *ret);
/* The cookie of the application's socket at the other end of such a connection, which is to be the
 * target of a way. -ENOENT: it is not on this host, or not in the cgroup; or, of a server's, not
 * established yet. */
int bypass_find(const struct bypass_maps *m, const struct handshake *ours, uint32_t way,
		uint64_t *cookie);
/* Puts the targets of two ways into `joined`, each of which has been found. -ENOENT: one of them is
 * no more, or has ended. */
int bypass_admit(const struct bypass_maps *m, const uint32_t ways[2]);
/* Puts the target of `target_of`, which has been found, into `joined`; and a socket of the daemon's
 * into `outlet`, where it becomes the target of `way`. The same; -EOPNOTSUPP: that has ended. */
int bypass_admit_alone(const struct bypass_maps *m, uint32_t target_of, uint32_t way,
		       uint64_t cookie, int fd);
/* Takes it out again. */
int bypass_part_outlet(const struct bypass_maps *m, uint64_t cookie);
/* Puts a socket of the daemon's into `joined`: -EOPNOTSUPP where it has ended. */
int bypass_join_socket(const struct bypass_maps *m, uint64_t cookie, int fd);
/* Takes any out. */
int bypass_part_socket(const struct bypass_maps *m, uint64_t cookie);
int bypass_ref_set(const struct bypass_maps *m, uint64_t cookie, const struct bypass_ref *ref);
int bypass_ref_clear(const struct bypass_maps *m, uint64_t cookie);
/* Looks at the targets of `n` ways, BYPASS_LOOKS at most, by their indices. By that worker's
 * thread. */
int bypass_peek(const struct bypass_maps *m, unsigned int worker, const uint32_t *ways, size_t n);
