/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log: one line a message, to stderr or to the journal, and the lines of the access log, to the
 * same stream or one of their own. Any thread may log; lines of threads do not mix. Once
 * log_start() was called nobody who logs waits for whoever reads the lines: see log/sink.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "log/entry.h"
#include "log/line.h"
#include "util.h"

/*
 * Sets where messages go and how much. LOG_TO_AUTO is the journal when stderr is
 * connected to it (JOURNAL_STREAM names stderr's device and inode), else stderr.
 * On stderr under systemd-less use a line is "TIME LEVEL text"; in the journal it is the message,
 * and the priority and what it is about are fields. May be called again at a reload.
 */
void log_setup(enum log_target target, enum log_level level);
/*
 * Sets where access lines go (see log/place.h; NULL or "no": nowhere) and how they are written.
 * Where they share the messages' stream and are JSON, the messages become JSON as well. A file that
 * is made is given to uid and gid (-1: not). 0, or a negative errno and nothing is changed.
 */
int log_access_setup(const char *place, enum log_format format, uid_t uid, gid_t gid);
/* How messages are written, for another process that is to write as this one. */
struct log_manner {
	enum log_target target;
	enum log_level level;
	bool json;
};
void log_manner(struct log_manner *ret);
void log_set_manner(const struct log_manner *m);
/* From now on lines are written by threads of their own. 0 or a negative errno. */
int log_start(void);
/* Writes what is left, for a bounded time; later lines are written at once. */
void log_stop(void);
/* Whether lines were lost or left out that were not told of yet, and telling it, as far as there is
 * room: for a process without those threads. `all`: also what else would be told with the next line
 * of its kind, or in a moment, for this is the end. */
bool log_has_news(void);
void log_tell(bool all);
/* Lines that were lost so far, wherever they were to go. */
uint64_t log_lost(void);
/* In a process that was forked off: what was left out is the other one's to tell, and this one has
 * logged nothing yet. */
void log_begin_anew(void);
/* Has files opened again under their names; says how that went. False: there are none. */
bool log_reopen(void);

bool log_enabled(enum log_level level);

/*
 * Errors and warnings of one place in the code (one fmt) are limited: 20 at once, and one a second
 * in the long run. What was left out is counted and told, with the last of them.
 */
void log_write(enum log_level level, const char *fmt, ...) _printf_(2, 3);
/* The same without a limit: for what is written line by line. */
void log_write_all(enum log_level level, const char *fmt, ...) _printf_(2, 3);
/* Each line of the text, `before` before it. */
void log_lines(enum log_level level, const char *before, const char *text);
#define log_error(...) log_write(LOG_LVL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LVL_WARNING, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LVL_INFO, __VA_ARGS__)
#define log_debug(...)                                         \
	do {                                                   \
		if (log_enabled(LOG_LVL_DEBUG))                \
			log_write(LOG_LVL_DEBUG, __VA_ARGS__); \
	} while (0)

/* What a message is about, for the journal's fields: see log/journal.h. What is NULL or 0 is none.
 */
struct log_about {
	const char *event; /* NULL: `message` */
	uint64_t session;
	const char *listener, *pool, *server;
	const char *state; /* of the server */
};
#define LOG_ABOUT(...) (&(const struct log_about){__VA_ARGS__})

/* As log_write(); the text says what it is about as well. */
void log_about(enum log_level level, const struct log_about *about, const char *fmt, ...)
    _printf_(3, 4);
/* "session ID", and what follows it: a literal, and its arguments. */
#define log_session(level, id, text, ...)                                                 \
	do {                                                                              \
		if (log_enabled(level))                                                   \
			log_about(level, LOG_ABOUT(.session = (id)), "session %llu" text, \
				  (unsigned long long)(id), ##__VA_ARGS__);               \
	} while (0)

/* Logs "text: strerror(-err)" and returns err (a negative errno), for `return log_errno(...)`. */
int log_errno(int err, const char *fmt, ...) _printf_(2, 3);

/* The last error that was logged, "" if there was none. */
void log_last_error(char *buf, size_t size);

enum log_format log_access_format(void);
/* An access line, and what it was made of: always written at info priority, independent of
 * log_level. */
void log_access(const struct access_entry *e, const char *line);
