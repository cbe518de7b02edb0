// SPDX-License-Identifier: GPL-2.0-or-later
#include "syslogd.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "../util.h"

int syslogd_open(const struct log_place *place)
{
	int fd = socket(place->syslog.addr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 &&
	    connect(fd, (const struct sockaddr *)&place->syslog.addr, place->syslog.len) < 0) {
		int err = errno;

		(void)close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

/* As RFC 3164 has it. */
static int header_3164(const struct log_place *place, char *out, size_t size)
{
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t now = time(NULL);
	struct tm tm;

	(void)localtime_r(&now, &tm);
	return snprintf(out, size, "<%d>%s %2d %02d:%02d:%02d %s[%d]: ", place->syslog.priority,
			months[tm.tm_mon], tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
			place->syslog.tag, (int)getpid());
}

static int header_5424(const struct log_place *place, char *out, size_t size)
{
	char host[256] = "", now[LOG_TIME_MAX];

	if (gethostname(host, sizeof(host) - 1) < 0 || !host[0])
		(void)snprintf(host, sizeof(host), "-");
	(void)log_time(now);
	return snprintf(out, size, "<%d>1 %s %s %s %d - - ", place->syslog.priority, now, host,
			place->syslog.tag, (int)getpid());
}

size_t syslogd_format(const struct log_place *place, const char *text, size_t len,
		      char out[SYSLOGD_LINE_MAX])
{
	int n = place->syslog.rfc5424 ? header_5424(place, out, SYSLOGD_LINE_MAX)
				      : header_3164(place, out, SYSLOGD_LINE_MAX);

	n += snprintf(out + n, SYSLOGD_LINE_MAX - (size_t)n, "%.*s", (int)len, text);
	return MIN((size_t)n, SYSLOGD_LINE_MAX - 1);
}
