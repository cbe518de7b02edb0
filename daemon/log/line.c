// SPDX-License-Identifier: GPL-2.0-or-later
#include "line.h"

#include <string.h>
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

/* The second that a thread wrote last: lines come by the thousand a second, and gmtime_r() takes a
 * lock of the whole process. */
static _Thread_local struct {
	time_t second;
	char text[sizeof("2026-01-31T23:59:59")];
} last;

size_t log_time(char buf[LOG_TIME_MAX])
{
	static const size_t n = sizeof(last.text) - 1;
	struct timespec now;
	unsigned int ms;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec != last.second || !*last.text) {
		struct tm tm;

		(void)gmtime_r(&now.tv_sec, &tm);
		(void)strftime(last.text, sizeof(last.text), "%Y-%m-%dT%H:%M:%S", &tm);
		last.second = now.tv_sec;
	}
	ms = (unsigned int)(now.tv_nsec / 1000000);
	memcpy(buf, last.text, n);
	buf[n] = '.';
	buf[n + 1] = (char)('0' + ms / 100);
	buf[n + 2] = (char)('0' + ms / 10 % 10);
	buf[n + 3] = (char)('0' + ms % 10);
	memcpy(buf + n + 4, "Z", sizeof("Z"));
	return n + 4 + 1;
}
