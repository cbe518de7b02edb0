/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log, to stderr or to the journal. Levels and target may change while other threads log. */
#include "log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>

/* The location of every message would be log.c: it tells nothing, so it is left out. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* A message is cut where its line would pass PIPE_BUF, up to which writes to a pipe do not mix. */
#define LINE_BYTES PIPE_BUF

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

static const int priorities[_LOG_LVL_MAX] = {
    [LOG_LVL_ERROR] = LOG_ERR,
    [LOG_LVL_WARNING] = LOG_WARNING,
    [LOG_LVL_INFO] = LOG_INFO,
    [LOG_LVL_DEBUG] = LOG_DEBUG,
};

/* What log_setup() made of the target. */
enum sink {
	SINK_STDERR,         /* a terminal or a file: with the time and the level */
	SINK_STDERR_JOURNAL, /* stderr that the journal reads: "<priority>text" */
	SINK_JOURNAL,        /* the journal's own protocol */
};

static _Atomic enum log_level max_level = LOG_LVL_INFO;
static _Atomic enum sink current_sink = SINK_STDERR;

/* Is stderr the stream that systemd connected to the journal, and not redirected since? */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev;
	unsigned long long ino;
	struct stat st;
	char rest;

	if (!stream || sscanf(stream, "%llu:%llu%c", &dev, &ino, &rest) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_setup(enum log_target target, enum log_level level)
{
	int saved = errno;
	bool journal = stderr_is_journal();
	bool missing = false;
	enum sink sink = journal ? SINK_STDERR_JOURNAL : SINK_STDERR;

	if (target == LOG_TO_JOURNAL || (target == LOG_TO_AUTO && journal)) {
		/* libsystemd drops messages silently where no journal runs (a container). */
		missing = access(JOURNAL_SOCKET, W_OK) < 0;
		if (!missing)
			sink = SINK_JOURNAL;
	}
	atomic_store(&current_sink, sink);
	atomic_store(&max_level, level);
	if (missing)
		log_warn("no journal is running here (%s): logging to stderr", JOURNAL_SOCKET);
	errno = saved;
}

bool log_enabled(enum log_level level)
{
	return level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

/*
 * Copies text into out with every byte that is not printable ASCII as \xNN: what a peer sent
 * (a host name, a path) must neither start a line of its own nor steer a terminal.
 */
static size_t escape(char *out, size_t size, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	static const char cut[] = "...";
	size_t n = 0;

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (n + 4 + sizeof(cut) > size) {
			memcpy(out + n, cut, sizeof(cut));
			return n + sizeof(cut) - 1;
		}
		if (c >= 0x20 && c < 0x7f) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	out[n] = '\0';
	return n;
}

static void write_stderr(const char *line, size_t len)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
	ssize_t n;

	/* A reader that is gone or too slow loses lines; the daemon does not wait for it. A pipe
	 * that is writable takes a line (it is no longer than PIPE_BUF) without blocking, but not
	 * two: what poll() says must hold until the write. */
	(void)pthread_mutex_lock(&lock);
	if (poll(&p, 1, 0) != 0) {
		do
			n = write(STDERR_FILENO, line, len);
		while (n < 0 && errno == EINTR);
	}
	(void)pthread_mutex_unlock(&lock);
}

static size_t prefix(char *out, size_t size, enum sink sink, enum log_level level)
{
	struct timespec now;
	struct tm tm;
	size_t n;

	if (sink == SINK_STDERR_JOURNAL)
		return (size_t)snprintf(out, size, "<%d>", priorities[level]);

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	n = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
	return n + (size_t)snprintf(out + n, size - n, ".%03ldZ %s ", now.tv_nsec / 1000000,
				    log_level_str[level]);
}

static void emit_stderr(enum sink sink, enum log_level level, const char *text)
{
	char line[LINE_BYTES];
	size_t n = prefix(line, sizeof(line), sink, level);

	n += escape(line + n, sizeof(line) - n - 1, text);
	line[n++] = '\n';
	write_stderr(line, n);
}

/* Returns 0 or a negative errno. */
static int emit_journal(enum log_level level, const char *text)
{
	static const char key[] = "MESSAGE=";
	static const char identifier[] = "SYSLOG_IDENTIFIER=spliced";
	char message[LINE_BYTES];
	char priority[sizeof("PRIORITY=") + 1];
	struct iovec fields[3];
	size_t n = sizeof(key) - 1;

	memcpy(message, key, n);
	n += escape(message + n, sizeof(message) - n, text);
	fields[0] = (struct iovec){message, n};
	n = (size_t)snprintf(priority, sizeof(priority), "PRIORITY=%d", priorities[level]);
	fields[1] = (struct iovec){priority, n};
	fields[2] = (struct iovec){(char *)identifier, sizeof(identifier) - 1};
	return sd_journal_sendv(fields, ARRAY_SIZE(fields));
}

static void emit(enum log_level level, const char *text)
{
	enum sink sink = atomic_load(&current_sink);

	if (sink == SINK_JOURNAL && emit_journal(level, text) >= 0)
		return;
	emit_stderr(sink == SINK_JOURNAL ? SINK_STDERR : sink, level, text);
}

static void _printf_(2, 0) emit_fmt(enum log_level level, const char *fmt, va_list args)
{
	int saved = errno;
	char text[LINE_BYTES];

	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		(void)snprintf(text, sizeof(text), "(a message that cannot be formatted: %s)", fmt);
	emit(level, text);
	errno = saved;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, fmt);
	emit_fmt(level, fmt, args);
	va_end(args);
}

int log_errno(int err, const char *fmt, ...)
{
	int saved = errno;
	char text[LINE_BYTES / 2];
	char reason[128];
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		text[0] = '\0';
	va_end(args);
	log_write(LOG_LVL_ERROR, "%s: %s", text, strerror_r(-err, reason, sizeof(reason)));
	errno = saved;
	return err;
}

void log_access(const char *line)
{
	int saved = errno;

	emit(LOG_LVL_INFO, line);
	errno = saved;
}
