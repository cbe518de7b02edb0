/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One socket that the parent holds, and what can be said of it alone. */
#pragma once

#include <stdio.h>

#include "message.h"

struct held {
	char name[BIND_NAME_MAX];
	uint32_t index;
	bool stays, tcp;
	bool passed;   /* by the service manager: not given up once somebody has asked for it */
	bool stored;   /* the service manager has a copy: see store.h */
	bool returned; /* ... which has come back, and has not been asked for yet */
	bool foreign;  /* another process has made it, and it was passed or has come back */
	struct bound bound;
	struct unix_access access; /* what a generation wants of its file */
	unsigned int access_by;    /* this one, when it serves; 0: it is so already */
	unsigned int born;         /* the generation that asked first; 0: none has yet */
	unsigned int wanted[2];    /* the newest ones that want it; 0: none */
};

/* Fills in where the socket is bound, and prepares what another process has opened as bound_open()
 * does its own. What is no socket has no address. */
void held_look(struct held *item);
/* Whether clients can be accepted there; if not, `why` says what it is. */
bool held_is_sound(const struct held *item, char why[MESSAGE_CALL_MAX]);
/* Whether the socket, which an earlier process of this service has bound, is what is asked for. */
bool held_fits(const struct held *item, const struct bind_request *r);
/* Whether one's socket is in the way of the other's. */
bool held_overlaps(const struct held *item, const struct bind_request *r);

/* For the program that this process becomes: as in holder.h. */
int held_write(const struct held *item, FILE *f);
int held_survive(const struct held *item, bool survive);
int held_read(struct held *item, const char *line);
