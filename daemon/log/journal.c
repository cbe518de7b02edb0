// SPDX-License-Identifier: GPL-2.0-or-later
#include "journal.h"

#include <stdio.h>
#include <sys/stat.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "../util.h"
#include "line.h"

bool journal_is_stream(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;
	char rest;

	if (!stream || sscanf(stream, "%llu:%llu%c", &dev, &ino, &rest) != 2)
		return false;
	return fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

int journal_write(int priority, const char *text, size_t len)
{
	static const char key[] = "MESSAGE=", identifier[] = "SYSLOG_IDENTIFIER=spliced";
	char message[LOG_LINE_MAX + sizeof(key)], level[sizeof("PRIORITY=") + 1];
	struct iovec fields[3];
	int n = snprintf(message, sizeof(message), "%s%.*s", key, (int)len, text);

	fields[0] = (struct iovec){message, MIN((size_t)n, sizeof(message) - 1)};
	n = snprintf(level, sizeof(level), "PRIORITY=%d", priority);
	fields[1] = (struct iovec){level, (size_t)n};
	fields[2] = (struct iovec){(char *)identifier, sizeof(identifier) - 1};
	return MIN(sd_journal_sendv(fields, ARRAY_SIZE(fields)), 0);
}
