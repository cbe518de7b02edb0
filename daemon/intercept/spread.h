/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program that chooses a worker for a client by its sessions, and what it goes by. A group of
 * sockets that it was given keeps it, and its maps, also when this process has died: then it
 * chooses among them by what was known last. After spread_open() no call here needs a capability.
 * Main thread only.
 */
#pragma once

#include <stdint.h>

#include "spread-api.h"

struct spread_bpf;

struct spread {
	struct spread_bpf *skeleton;
	volatile struct spread_state *state;
	struct spread_worker *workers; /* n_workers: their threads write there */
	unsigned int n_workers;
	int program_fd; /* of use for sockets of one's own, and nothing else */
};

/* There is room for `sockets` listening ones. It is off. 0, or a negative errno and a sentence in
 * `why`; spread_close() is right in either case. */
int spread_open(struct spread *s, unsigned int n_workers, unsigned int sockets, char why[256]);
void spread_close(struct spread *s);

/* The listening socket, of which the cookie is given back, is one of the group. 0 or a negative
 * errno. */
int spread_add_socket(struct spread *s, uint32_t group, int fd, uint64_t *cookie);
/* ... and the one for that worker. It leaves the map by itself when it is closed. */
int spread_add_worker(struct spread *s, uint32_t group, unsigned int worker, int fd);
void spread_forget_socket(struct spread *s, uint64_t cookie);
void spread_forget_worker(struct spread *s, uint32_t group, unsigned int worker);
/* Has the kernel ask the program for the group that the socket is in, instead of any before. 0 or a
 * negative errno. */
int spread_attach(const struct spread *s, int fd);
/* ... or no program, whosever it was. */
int spread_detach(int fd);
