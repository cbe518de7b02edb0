/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A place of the log that is open, and how a line is written there: as a stream, or a datagram
 * each. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "place.h"

/* How a line must begin, and whether it ends with a newline. */
enum sink_style {
	SINK_PLAIN,    /* the time and the level before it, a newline behind */
	SINK_PREFIXED, /* a stream that the journal reads: "<priority>" before it, a newline behind
			*/
	SINK_BARE,     /* syslog: the text is enough */
	SINK_RECORD,   /* the journal's own protocol: see journal_format() */
};

struct outlet {
	struct log_place place;
	uid_t uid;
	gid_t gid;
	int fd;
	enum sink_style style;
	bool is_regular; /* a file: writing never says EAGAIN */
	bool torn;       /* the last line was written in part */
	bool stuck;      /* the last datagram found no room */
	/* Room is waited for while this says so; NULL: hardly at all. */
	bool (*waits)(void *arg);
	void *arg;
};

/* As sink_open(). 0 or a negative errno. */
int outlet_open(struct outlet *o, const struct log_place *place, uid_t uid, gid_t gid);
/* Opens a file under its name, or connects to syslog, once more. 0, or a negative errno: the old
 * one is kept. */
int outlet_open_again(struct outlet *o);
void outlet_close(struct outlet *o);
/* As those of sink.h. */
const char *outlet_name(const struct outlet *o);
bool outlet_is(const struct outlet *o, const struct log_place *place);
bool outlet_has_file(const struct outlet *o);
/* Whether there is room for a line, or will be while it is waited for. */
bool outlet_has_room(struct outlet *o);
/* Writes whole lines, or one of a datagram. How many of them are lost, and *reason: an errno, or 0:
 * there was no room in time. */
unsigned int outlet_write(struct outlet *o, const char *data, size_t len, int *reason);
