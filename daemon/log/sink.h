/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A sink: one stream of log lines, and the thread that writes them. A line is put into a bounded
 * queue, so that whoever logs never waits for a slow reader, a full pipe or a disk that stands
 * still: what does not fit is lost, counted, and told as soon as there is room again. Before
 * sink_start() a line is written at once, by the caller.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "outlet.h"

struct sink;

/* What a sink tells, in its thread, or without one in whoever's call it is; no lock of
 * the sink is held. */
struct sink_owner {
	/* Lines were lost: `reason` is an errno, or 0: its reader or disk was too slow. False: the
	 * line that tells it was lost as well, and it will be told again. */
	bool (*lost)(const struct sink *s, uint64_t lines, int reason);
	/* After sink_reopen(); err: a negative errno, and the old file is kept. */
	void (*reopened)(const struct sink *s, int err);
	/* Whether there is something else to tell, and telling it: asked about once a second. */
	bool (*has_news)(void);
	void (*tell_news)(void);
};

/* `place` is STDERR, STDOUT, JOURNAL, FILE or SYSLOG. A file is opened (and made, mode 0640) here;
 * a new one is given to uid and gid, unless they are -1. NULL with errno set: it cannot be opened.
 */
struct sink *sink_open(const struct log_place *place, uid_t uid, gid_t gid,
		       const struct sink_owner *owner);
/* Writes what is left, for a bounded time, ends the thread and closes. NULL is fine. */
void sink_free(struct sink *s);

enum sink_style sink_style(const struct sink *s);
/* Two sinks to one stream would mix and cut each other's lines. */
bool sink_is(const struct sink *s, const struct log_place *place);
/* What to call it in a message. */
const char *sink_name(const struct sink *s);

/* Any thread. The line (or record) is one piece; hurry: it is written as soon as can be, others
 * after a moment in which more may come. False: there is no room for it, and it is lost. */
bool sink_put(struct sink *s, const char *line, size_t len, bool hurry);

/* Without the thread nobody tells what was lost: whether something was, and telling it if there is
 * room by now, as `lost` of the owner does. No more often than once a second, but `now`. */
bool sink_owes(const struct sink *s);
void sink_tell_lost(struct sink *s, bool now);

/* Starts the thread; 0 or a negative errno, and lines go on being written at once. */
int sink_start(struct sink *s);
/* Whether it writes to something that can be opened again. */
bool sink_has_file(const struct sink *s);
/* Has the thread open a file again under its name (or connect to syslog again). Told when done, or
 * why not; the old one is kept then. */
void sink_reopen(struct sink *s);

/* Lines that were lost, of all sinks that there have been. */
uint64_t sinks_lost(void);
/* None were: see log_begin_anew(). */
void sinks_forget_lost(void);
