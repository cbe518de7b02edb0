// SPDX-License-Identifier: GPL-2.0-or-later
#include "line.h"

#include <stdio.h>
#include <time.h>

const char *const log_level_str[_LOG_LVL_MAX] = {
    [LOG_LVL_ERROR] = "error",
    [LOG_LVL_WARNING] = "warning",
    [LOG_LVL_INFO] = "info",
    [LOG_LVL_DEBUG] = "debug",
};

const char *const log_target_str[_LOG_TO_MAX] = {
    [LOG_TO_AUTO] = "auto",
    [LOG_TO_JOURNAL] = "journal",
    [LOG_TO_STDERR] = "stderr",
};

const char *const log_format_str[_LOG_FORMAT_MAX] = {
    [LOG_FORMAT_TEXT] = "text",
    [LOG_FORMAT_JSON] = "json",
};

size_t log_time(char buf[LOG_TIME_MAX])
{
	struct timespec now;
	struct tm tm;
	size_t n;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	n = strftime(buf, LOG_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	return n + (size_t)snprintf(buf + n, LOG_TIME_MAX - n, ".%03ldZ", now.tv_nsec / 1000000);
}
