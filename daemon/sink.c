// SPDX-License-Identifier: GPL-2.0-or-later
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "log.h"

/* What may wait to be written: some thousand lines. */
#define QUEUE_BYTES (1u << 20)
/* Written with one call: to a pipe no more than PIPE_BUF, up to which writes do not mix. */
#define CHUNK_BYTES (64u << 10)
/* How long lines that are in no hurry wait for more. */
#define GATHER_NS NSEC_PER_MSEC
/* A stuck reader is asked this often, and whoever lost lines is told no more often than that. */
#define TICK_MS 250
#define TOLD_NS NSEC_PER_SEC
/* What is left at the end has this long. */
#define LINGER_NS (2 * NSEC_PER_SEC)
#define FILE_MODE 0640

/* In the queue before each line. */
struct record {
	uint32_t len;
	int priority;
};

struct sink {
	struct log_place place;
	uid_t uid;
	gid_t gid;
	int fd; /* -1: the journal's, or none */
	enum sink_style style;
	bool is_regular; /* a file: writing never says EAGAIN */
	bool torn;       /* the last line was written in part */

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	char *queue; /* a ring of QUEUE_BYTES */
	size_t head, used;
	bool waiting, hurry, stop, reopen;
	bool started;
	pthread_t thread;
	char *chunk; /* CHUNK_BYTES, the thread's */

	atomic_uint_fast64_t lost;
	uint64_t told_lost, told_ns;
	int reason; /* errno of the last loss; 0: the queue was full */
	uint64_t stop_at;
};

static atomic_uint_fast64_t all_lost;

uint64_t sinks_lost(void)
{
	return atomic_load(&all_lost);
}

static void lose(struct sink *s, unsigned int lines, int reason)
{
	s->reason = reason;
	atomic_fetch_add(&s->lost, lines);
	atomic_fetch_add(&all_lost, lines);
}

const char *sink_name(const struct sink *s)
{
	static const char *const names[] = {
	    [LOG_PLACE_STDERR] = "standard error",
	    [LOG_PLACE_STDOUT] = "standard output",
	    [LOG_PLACE_JOURNAL] = "the journal",
	    [LOG_PLACE_SYSLOG] = "syslog",
	};

	return s->place.kind == LOG_PLACE_FILE ? s->place.path : names[s->place.kind];
}

enum sink_style sink_style(const struct sink *s)
{
	return s->style;
}

bool sink_is(const struct sink *s, const struct log_place *p)
{
	const struct log_place *own = &s->place;

	if (own->kind != p->kind)
		return false;
	if (p->kind == LOG_PLACE_FILE)
		return strcmp(own->path, p->path) == 0;
	if (p->kind != LOG_PLACE_SYSLOG)
		return true;
	return own->syslog.len == p->syslog.len && own->syslog.priority == p->syslog.priority &&
	       own->syslog.rfc5424 == p->syslog.rfc5424 &&
	       strcmp(own->syslog.tag, p->syslog.tag) == 0 &&
	       memcmp(&own->syslog.addr, &p->syslog.addr, p->syslog.len) == 0;
}

/* ---- opening ---------------------------------------------------------------------------- */

/* Is the descriptor the stream that systemd connected to the journal, and not redirected since? */
static bool is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;
	char rest;

	if (!stream || sscanf(stream, "%llu:%llu%c", &dev, &ino, &rest) != 2)
		return false;
	return fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

/* Whether only root and the process may put something into the folder of a path. */
static bool in_trusted_folder(const char *path)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	struct stat st;

	(void)snprintf(dir, sizeof(dir), "%.*s", len ? (int)len : 1, len ? path : "/");
	return stat(dir, &st) == 0 && (st.st_uid == 0 || st.st_uid == geteuid()) &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/*
 * O_NONBLOCK: a FIFO without a reader is an error and not a wait. A symbolic link is followed only
 * where nobody else can have put it: root may be asked here to open what another user names.
 */
static int open_file(const struct sink *s)
{
	int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	const char *path = s->place.path;
	int fd;

	if (!in_trusted_folder(path))
		flags |= O_NOFOLLOW;
	fd = open(path, flags | O_CREAT | O_EXCL, FILE_MODE);
	if (fd >= 0) {
		/* Later it is that user who makes it. */
		if (geteuid() == 0 && (s->uid != (uid_t)-1 || s->gid != (gid_t)-1) &&
		    fchown(fd, s->uid, s->gid) < 0) {
			int err = errno;

			(void)close(fd);
			errno = err;
			return -1;
		}
		return fd;
	}
	return errno == EEXIST ? open(path, flags) : -1;
}

static int open_syslog(const struct sink *s)
{
	int fd =
	    socket(s->place.syslog.addr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 &&
	    connect(fd, (const struct sockaddr *)&s->place.syslog.addr, s->place.syslog.len) < 0) {
		int err = errno;

		(void)close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

/* A new descriptor for what has one of its own; -1 with errno set. */
static int open_place(const struct sink *s)
{
	return s->place.kind == LOG_PLACE_FILE ? open_file(s) : open_syslog(s);
}

bool sink_has_file(const struct sink *s)
{
	return s->place.kind == LOG_PLACE_FILE || s->place.kind == LOG_PLACE_SYSLOG;
}

static void look_at_fd(struct sink *s)
{
	struct stat st;

	s->is_regular = s->fd >= 0 && fstat(s->fd, &st) == 0 && S_ISREG(st.st_mode);
}

struct sink *sink_open(const struct log_place *place, uid_t uid, gid_t gid)
{
	struct sink *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->place = *place;
	s->uid = uid;
	s->gid = gid;
	s->fd = place->kind == LOG_PLACE_STDOUT ? STDOUT_FILENO : STDERR_FILENO;
	if (place->kind == LOG_PLACE_JOURNAL)
		s->fd = -1;
	if (sink_has_file(s)) {
		s->fd = open_place(s);
		if (s->fd < 0) {
			int err = errno;

			free(s);
			errno = err;
			return NULL;
		}
	}
	look_at_fd(s);
	s->style = s->fd < 0 || place->kind == LOG_PLACE_SYSLOG ? SINK_BARE
		   : is_journal(s->fd)                          ? SINK_PREFIXED
								: SINK_PLAIN;
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->wake, NULL);
	return s;
}

/* ---- writing ---------------------------------------------------------------------------- */

/* Whether there is room for a line; a file always has it. With a thread it is waited for, until the
 * sink is to end and its time is over. */
static bool await_room(struct sink *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLOUT};

	if (s->is_regular)
		return true;
	for (;;) {
		bool stop;

		/* An error is readiness, too: the write will name it. */
		if (poll(&p, 1, s->started ? TICK_MS : 0) != 0)
			return true;
		if (!s->started)
			return false;
		(void)pthread_mutex_lock(&s->lock);
		stop = s->stop && now_ns() >= s->stop_at;
		(void)pthread_mutex_unlock(&s->lock);
		if (stop)
			return false;
	}
}

static unsigned int count_lines(const char *data, size_t len)
{
	unsigned int n = 0;

	for (const char *end = data + len; (data = memchr(data, '\n', (size_t)(end - data)));
	     data++)
		n++;
	return n;
}

/* Whole lines. A line of which a part was written is ended before the next one begins. */
static void write_stream(struct sink *s, const char *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n;

		if (!await_room(s)) {
			errno = EAGAIN;
			break;
		}
		if (s->torn && write(s->fd, "\n", 1) == 1)
			s->torn = false;
		n = write(s->fd, data + done, len - done);
		if (n > 0)
			done += (size_t)n;
		else if (n < 0 && errno != EINTR && !(errno == EAGAIN && s->started))
			break;
	}
	if (done == len)
		return;
	s->torn = s->torn || (done && data[done - 1] != '\n');
	lose(s, count_lines(data + done, len - done), errno == EAGAIN ? 0 : errno);
}

static void write_journal(struct sink *s, int priority, const char *text, size_t len)
{
	static const char key[] = "MESSAGE=", identifier[] = "SYSLOG_IDENTIFIER=spliced";
	char message[LOG_LINE_MAX + sizeof(key)], level[sizeof("PRIORITY=") + 1];
	struct iovec fields[3];
	int n = snprintf(message, sizeof(message), "%s%.*s", key, (int)len, text), err;

	fields[0] = (struct iovec){message, MIN((size_t)n, sizeof(message) - 1)};
	n = snprintf(level, sizeof(level), "PRIORITY=%d", priority);
	fields[1] = (struct iovec){level, (size_t)n};
	fields[2] = (struct iovec){(char *)identifier, sizeof(identifier) - 1};
	err = sd_journal_sendv(fields, ARRAY_SIZE(fields));
	if (err < 0)
		lose(s, 1, -err);
}

static size_t syslog_header(const struct sink *s, char *out, size_t size)
{
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	struct timespec now;
	char host[256] = "";
	struct tm tm;
	int n;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (!s->place.syslog.rfc5424) {
		(void)localtime_r(&now.tv_sec, &tm);
		n = snprintf(out, size,
			     "<%d>%s %2d %02d:%02d:%02d %s[%d]: ", s->place.syslog.priority,
			     months[tm.tm_mon], tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
			     s->place.syslog.tag, (int)getpid());
		return (size_t)n;
	}
	(void)gmtime_r(&now.tv_sec, &tm);
	if (gethostname(host, sizeof(host) - 1) < 0 || !host[0])
		(void)snprintf(host, sizeof(host), "-");
	n = snprintf(out, size, "<%d>1 %04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s %s %d - - ",
		     s->place.syslog.priority, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		     tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000, host,
		     s->place.syslog.tag, (int)getpid());
	return (size_t)n;
}

/* A syslog daemon that was started again has a new socket; an earlier datagram's error is reported
 * here as well. So once more, with a new connection. */
static void write_syslog(struct sink *s, const char *text, size_t len)
{
	char line[LOG_LINE_MAX + 512];
	size_t n = syslog_header(s, line, sizeof(line));

	n += (size_t)snprintf(line + n, sizeof(line) - n, "%.*s", (int)len, text);
	n = MIN(n, sizeof(line) - 1);
	for (int i = 0; i < 2; i++) {
		int fd;

		if (!await_room(s)) {
			errno = EAGAIN;
			break;
		}
		if (send(s->fd, line, n, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return;
		if (errno == EAGAIN || i)
			break;
		fd = open_place(s);
		if (fd < 0)
			break;
		(void)close(s->fd);
		s->fd = fd;
	}
	lose(s, 1, errno == EAGAIN ? 0 : errno);
}

static void write_one(struct sink *s, int priority, const char *line, size_t len)
{
	if (s->fd < 0)
		write_journal(s, priority, line, len);
	else if (s->place.kind == LOG_PLACE_SYSLOG)
		write_syslog(s, line, len);
	else
		write_stream(s, line, len);
}

/* ---- the queue, under the lock ---------------------------------------------------------- */

static void ring_in(struct sink *s, const void *data, size_t len)
{
	size_t at = (s->head + s->used) % QUEUE_BYTES, first = MIN(len, QUEUE_BYTES - at);

	memcpy(s->queue + at, data, first);
	memcpy(s->queue, (const char *)data + first, len - first);
	s->used += len;
}

static void ring_out(struct sink *s, void *data, size_t len)
{
	size_t first = MIN(len, QUEUE_BYTES - s->head);

	memcpy(data, s->queue + s->head, first);
	memcpy((char *)data + first, s->queue, len - first);
	s->head = (s->head + len) % QUEUE_BYTES;
	s->used -= len;
}

static struct record ring_peek(const struct sink *s)
{
	struct record r;
	size_t first = MIN(sizeof(r), QUEUE_BYTES - s->head);

	memcpy(&r, s->queue + s->head, first);
	memcpy((char *)&r + first, s->queue, sizeof(r) - first);
	return r;
}

/* As many lines as one write takes, or the one that a datagram takes. */
static size_t take_chunk(struct sink *s, int *priority)
{
	bool stream = s->style != SINK_BARE;
	size_t max = s->is_regular ? CHUNK_BYTES : PIPE_BUF, len = 0;

	while (s->used) {
		struct record r = ring_peek(s);

		if (len && (!stream || len + r.len > max))
			break;
		ring_out(s, &r, sizeof(r));
		ring_out(s, s->chunk + len, r.len);
		len += r.len;
		*priority = r.priority;
	}
	return len;
}

void sink_put(struct sink *s, int priority, const char *line, size_t len, bool hurry)
{
	const struct record r = {.len = (uint32_t)len, .priority = priority};

	(void)pthread_mutex_lock(&s->lock);
	if (!s->started) {
		write_one(s, priority, line, len);
	} else if (s->used + sizeof(r) + len > QUEUE_BYTES) {
		lose(s, 1, 0);
	} else {
		ring_in(s, &r, sizeof(r));
		ring_in(s, line, len);
		s->hurry |= hurry;
		if (s->waiting)
			(void)pthread_cond_signal(&s->wake);
	}
	(void)pthread_mutex_unlock(&s->lock);
}

/* ---- the thread ------------------------------------------------------------------------- */

/* Tells of losses since the last time, wherever the daemon's messages go. */
static void tell_lost(struct sink *s)
{
	uint64_t lost = atomic_load(&s->lost), now = now_ns();
	int reason = s->reason;

	if (lost == s->told_lost || now - s->told_ns < TOLD_NS)
		return;
	log_warn("log to %s: %llu lines were lost: %s", sink_name(s),
		 (unsigned long long)(lost - s->told_lost),
		 reason ? strerror(reason) : "its reader or disk was too slow");
	s->told_lost = lost;
	s->told_ns = now;
}

static void open_again(struct sink *s)
{
	int fd;

	if (!sink_has_file(s))
		return;
	fd = open_place(s);
	if (fd < 0) {
		log_error("log to %s: cannot open it again, the old one is kept: %s", sink_name(s),
			  strerror(errno));
		return;
	}
	(void)close(s->fd);
	s->fd = fd;
	s->torn = false;
	look_at_fd(s);
	log_info("log to %s: opened again", sink_name(s));
}

/* Waits for something to do. False: there is nothing more, and the sink is to end. */
static bool await_work(struct sink *s)
{
	while (!s->used && !s->stop && !s->reopen) {
		struct timespec at;

		(void)clock_gettime(CLOCK_REALTIME, &at);
		at.tv_sec++;
		s->waiting = true;
		if (atomic_load(&s->lost) == s->told_lost && !log_has_left_out())
			(void)pthread_cond_wait(&s->wake, &s->lock);
		else
			(void)pthread_cond_timedwait(&s->wake, &s->lock, &at);
		s->waiting = false;
		(void)pthread_mutex_unlock(&s->lock);
		tell_lost(s);
		log_tell_left_out();
		(void)pthread_mutex_lock(&s->lock);
	}
	return s->used || s->reopen || !s->stop;
}

static void *sink_main(void *arg)
{
	const struct timespec gather = {.tv_nsec = GATHER_NS};
	struct sink *s = arg;

	(void)pthread_mutex_lock(&s->lock);
	while (await_work(s)) {
		bool reopen = s->reopen, wait = !s->hurry && !s->stop && s->used;
		int priority = LOG_INFO;
		size_t len;

		s->reopen = false;
		if (wait) {
			(void)pthread_mutex_unlock(&s->lock);
			(void)nanosleep(&gather, NULL);
			(void)pthread_mutex_lock(&s->lock);
		}
		/* What was logged before the file is to be opened again belongs to the old one. */
		while (s->used) {
			s->hurry = false;
			len = take_chunk(s, &priority);
			(void)pthread_mutex_unlock(&s->lock);
			write_one(s, priority, s->chunk, len);
			tell_lost(s);
			(void)pthread_mutex_lock(&s->lock);
		}
		if (reopen) {
			(void)pthread_mutex_unlock(&s->lock);
			open_again(s);
			(void)pthread_mutex_lock(&s->lock);
		}
	}
	(void)pthread_mutex_unlock(&s->lock);
	return NULL;
}

int sink_start(struct sink *s)
{
	sigset_t all, old;
	int err;

	if (s->started)
		return 0;
	s->queue = malloc(QUEUE_BYTES);
	s->chunk = malloc(CHUNK_BYTES);
	if (!s->queue || !s->chunk)
		return -ENOMEM;
	s->stop = false;
	s->started = true;
	/* Signals go to the main thread. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&s->thread, NULL, sink_main, s);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		s->started = false;
		return -err;
	}
	(void)pthread_setname_np(s->thread, "log");
	return 0;
}

void sink_reopen(struct sink *s)
{
	if (!s->started) {
		open_again(s);
		return;
	}
	(void)pthread_mutex_lock(&s->lock);
	s->reopen = true;
	(void)pthread_cond_signal(&s->wake);
	(void)pthread_mutex_unlock(&s->lock);
}

/* False: the thread hangs in a write, and what it uses must stay. */
static bool stop_thread(struct sink *s)
{
	struct timespec at;

	if (!s->started)
		return true;
	(void)clock_gettime(CLOCK_REALTIME, &at);
	at.tv_sec += LINGER_NS / NSEC_PER_SEC + 1;
	(void)pthread_mutex_lock(&s->lock);
	s->stop = true;
	s->stop_at = now_ns() + LINGER_NS;
	(void)pthread_cond_signal(&s->wake);
	(void)pthread_mutex_unlock(&s->lock);
	if (pthread_timedjoin_np(s->thread, NULL, &at) != 0) {
		(void)pthread_detach(s->thread);
		return false;
	}
	s->started = false;
	return true;
}

void sink_free(struct sink *s)
{
	if (!s || !stop_thread(s))
		return;
	if (sink_has_file(s))
		closep_(&s->fd);
	(void)pthread_mutex_destroy(&s->lock);
	(void)pthread_cond_destroy(&s->wake);
	free(s->queue);
	free(s->chunk);
	free(s);
}
