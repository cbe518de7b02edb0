/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What workers leave with the parent: descriptors that it does not look into. A later worker gets
 * them by their names, and as long as the parent has one, what it stands for is there. Those of a
 * generation are closed when a later one serves, or the drain begins.
 */
#pragma once

#include <stdio.h>

#include "message.h"

/* The most that all of them may leave together. */
#define DEPOSITS_MAX 4096

struct deposit {
	char name[BIND_NAME_MAX];
	unsigned int generation;
	int fd;
};

struct deposits {
	struct deposit *items;
	size_t n, space;
};

/* Takes the descriptor, also where it cannot be kept. 0; -EMFILE: it has not arrived (fd is -1);
 * -EINVAL: that is no name; -ENOSPC: there is no room. */
int deposits_leave(struct deposits *d, const char name[BIND_NAME_MAX], unsigned int generation,
		   int fd);
/* What the newest generation has left under that name; it stays the parent's. -1: there is none. */
int deposits_find(const struct deposits *d, const char name[BIND_NAME_MAX]);
/* A generation accepts: what earlier ones have left is closed. */
void deposits_keep(struct deposits *d, unsigned int generation);
/* A generation came to nothing. */
void deposits_forget(struct deposits *d, unsigned int generation);
void deposits_close(struct deposits *d);

/* For the program that this process becomes: as in holder.h. */
int deposits_write(const struct deposits *d, FILE *f);
int deposits_survive(const struct deposits *d, bool survive);
int deposits_read(struct deposits *d, const char *line);
