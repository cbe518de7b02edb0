/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log: one line a message, to stderr or to the journal. Any thread may log;
 * a line is written with one system call, so lines of threads do not mix.
 * A function either logs or returns its error, never both.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "util.h"

/* A text of less than this is not cut, whatever comes before it: lines are at most PIPE_BUF, up to
 * which writes to a pipe do not mix. */
#define LOG_TEXT_MAX (PIPE_BUF - 64)

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARNING, LOG_LVL_INFO, LOG_LVL_DEBUG, _LOG_LVL_MAX };
enum log_target { LOG_TO_AUTO, LOG_TO_JOURNAL, LOG_TO_STDERR, _LOG_TO_MAX };

/* What `log_level =` and `log_target =` accept, indexed by the enums. */
extern const char *const log_level_str[_LOG_LVL_MAX];
extern const char *const log_target_str[_LOG_TO_MAX];

/*
 * Sets where lines go and how much. LOG_TO_AUTO is the journal when stderr is
 * connected to it (JOURNAL_STREAM names stderr's device and inode), else stderr.
 * On stderr under systemd-less use a line is "LEVEL: text"; with the journal
 * the priority is a field. May be called again at a reload.
 */
void log_setup(enum log_target target, enum log_level level);
bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *fmt, ...) _printf_(2, 3);

#define log_error(...) log_write(LOG_LVL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LVL_WARNING, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LVL_INFO, __VA_ARGS__)
#define log_debug(...)                                         \
	do {                                                   \
		if (log_enabled(LOG_LVL_DEBUG))                \
			log_write(LOG_LVL_DEBUG, __VA_ARGS__); \
	} while (0)

/* Logs "text: strerror(-err)" and returns err (a negative errno), for `return log_errno(...)`. */
int log_errno(int err, const char *fmt, ...) _printf_(2, 3);

/* An access line: always written at info priority, independent of log_level. */
void log_access(const char *line);
