/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The access log: entries are made with log/entry.h, and written here. */
#pragma once

#include "log/entry.h"

/* What the line of a session says; a text that is NULL is `-`, or null in JSON. */
struct access_session {
	uint64_t id;
	const char *client, *listener, *pool, *server, *backend;
	uint64_t bytes_up, bytes_down, duration_ms;
	const char *engine;
	unsigned int pauses;
	const char *reason; /* NULL: `end` says it all, and there is none in the line */
	const char *end;
};

/* Writes the entry's line to the access log, in its format. */
void access_write(const struct access_entry *e);

/* One line, of the kind `session`. */
void access_write_session(const struct access_session *s);
