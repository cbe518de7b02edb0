/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every line of a log has: its limits, its levels and its time. */
#pragma once

#include <limits.h>
#include <stddef.h>

/* A message is cut where its line would pass PIPE_BUF, up to which writes to a pipe do not mix. */
#define LOG_LINE_MAX PIPE_BUF
/* A text of less than this is not cut, whatever comes before it. */
#define LOG_TEXT_MAX (LOG_LINE_MAX - 64)

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARNING, LOG_LVL_INFO, LOG_LVL_DEBUG, _LOG_LVL_MAX };
enum log_target { LOG_TO_AUTO, LOG_TO_JOURNAL, LOG_TO_STDERR, _LOG_TO_MAX };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON, _LOG_FORMAT_MAX };

/* What `log_level =`, `log_target =` and `access_log_format =` accept, indexed by the enums. */
extern const char *const log_level_str[_LOG_LVL_MAX];
extern const char *const log_target_str[_LOG_TO_MAX];
extern const char *const log_format_str[_LOG_FORMAT_MAX];

/* The time now, as a line begins with it. */
#define LOG_TIME_MAX 32
size_t log_time(char buf[LOG_TIME_MAX]);
