// SPDX-License-Identifier: GPL-2.0-or-later
#include "sink.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../util.h"
#include "file.h"
#include "journal.h"
#include "queue.h"
#include "syslogd.h"

/* Written with one call: to a pipe no more than PIPE_BUF, up to which writes do not mix. */
#define CHUNK_BYTES (64u << 10)
/* How long lines that are in no hurry wait for more: to wake up for each millisecond's lines costs
 * more than to write them. */
#define GATHER_NS (10 * NSEC_PER_MSEC)
/* A stuck reader is asked this often, and whoever lost lines is told no more often than that. It is
 * also how long the first line waits for the journal where there is no thread. */
#define TICK_MS 250
#define TOLD_NS NSEC_PER_SEC
/* A datagram is tried so often, at such a distance, where room was found and then there was none.
 */
#define SEND_TRIES     50
#define SEND_MOMENT_NS NSEC_PER_MSEC
/* What is left at the end has this long. */
#define LINGER_NS (2 * NSEC_PER_SEC)

struct sink {
	const struct sink_owner *owner;
	struct log_place place;
	uid_t uid;
	gid_t gid;
	int fd;
	enum sink_style style;
	bool is_regular; /* a file: writing never says EAGAIN */
	bool torn;       /* the last line was written in part */
	bool stuck;      /* the last datagram found no room */

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	struct line_queue queue;
	bool waiting, hurry, stop, reopen;
	bool first_tells; /* the first line that is queued is one that tells of losses */
	bool started;
	pthread_t thread;
	char *chunk; /* CHUNK_BYTES, the thread's */

	atomic_uint_fast64_t lost;
	uint64_t told_lost, told_before, told_ns;
	int reason; /* errno of the last loss; 0: the queue was full */
	uint64_t stop_at;
};

static atomic_uint_fast64_t all_lost;

uint64_t sinks_lost(void)
{
	return atomic_load(&all_lost);
}

void sinks_forget_lost(void)
{
	atomic_store(&all_lost, 0);
}

/* This thread tells of this sink's losses. The line that does is no loss itself: it is told again,
 * which would have no end. But in a queue behind others it is a line like them. */
static _Thread_local const struct sink *telling;

/* False. */
static bool lose(struct sink *s, unsigned int lines, int reason)
{
	if (telling)
		return false;
	s->reason = reason;
	atomic_fetch_add(&s->lost, lines);
	atomic_fetch_add(&all_lost, lines);
	return false;
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

static bool is_standard(const struct sink *s)
{
	return s->place.kind == LOG_PLACE_STDERR || s->place.kind == LOG_PLACE_STDOUT;
}

/* A descriptor, of its own where it is no standard one; -1 with errno set. */
static int open_place(const struct sink *s)
{
	switch (s->place.kind) {
	case LOG_PLACE_FILE:
		return log_file_open(s->place.path, s->uid, s->gid);
	case LOG_PLACE_SYSLOG:
		return syslogd_open(&s->place);
	case LOG_PLACE_JOURNAL:
		return journal_open();
	default:
		return s->place.kind == LOG_PLACE_STDOUT ? STDOUT_FILENO : STDERR_FILENO;
	}
}

bool sink_has_file(const struct sink *s)
{
	return s->place.kind == LOG_PLACE_FILE || s->place.kind == LOG_PLACE_SYSLOG;
}

static enum sink_style style_of(const struct sink *s)
{
	if (s->place.kind == LOG_PLACE_JOURNAL)
		return SINK_RECORD;
	if (s->place.kind == LOG_PLACE_SYSLOG)
		return SINK_BARE;
	return journal_is_stream(s->fd) ? SINK_PREFIXED : SINK_PLAIN;
}

static void look_at_fd(struct sink *s)
{
	struct stat st;

	s->is_regular = s->fd >= 0 && fstat(s->fd, &st) == 0 && S_ISREG(st.st_mode);
}

struct sink *sink_open(const struct log_place *place, uid_t uid, gid_t gid,
		       const struct sink_owner *owner)
{
	struct sink *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->place = *place;
	s->owner = owner;
	s->uid = uid;
	s->gid = gid;
	s->fd = open_place(s);
	if (s->fd < 0) {
		int err = errno;

		free(s);
		errno = err;
		return NULL;
	}
	look_at_fd(s);
	s->style = style_of(s);
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
	/* Without a thread what is said of a failure must not be lost because the journal has much
	 * to do. */
	bool patient = s->started || (s->place.kind == LOG_PLACE_JOURNAL && !s->stuck);

	if (s->is_regular)
		return true;
	for (;;) {
		bool stop;

		/* An error is readiness, too: the write will name it. */
		if (poll(&p, 1, patient ? TICK_MS : 0) != 0)
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

/* What writes says whether all of it is written. */

/* Whole lines. A line of which a part was written is ended before the next one begins. */
static bool write_stream(struct sink *s, const char *data, size_t len)
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
		return true;
	s->torn = s->torn || (done && data[done - 1] != '\n');
	return lose(s, count_lines(data + done, len - done), errno == EAGAIN ? 0 : errno);
}

/* 0, or the errno; EAGAIN: there was no room in time. Others that write there may take the room
 * that was found. */
static int send_patiently(struct sink *s, const char *data, size_t len)
{
	const struct timespec moment = {.tv_nsec = SEND_MOMENT_NS};

	for (int i = 0; i < SEND_TRIES; i++) {
		s->stuck = !await_room(s);
		if (s->stuck)
			break;
		if (send(s->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return 0;
		if (errno != EAGAIN)
			return errno;
		(void)nanosleep(&moment, NULL);
	}
	return EAGAIN;
}

/* A daemon that was started again may have a new socket; an earlier datagram's error is reported
 * here as well. So once more, with a new connection. */
static bool write_datagram(struct sink *s, const char *data, size_t len)
{
	int err = send_patiently(s, data, len);

	if (err && err != EAGAIN) {
		int fd = open_place(s);

		if (fd >= 0) {
			(void)close(s->fd);
			s->fd = fd;
			err = send_patiently(s, data, len);
		}
	}
	return !err || lose(s, 1, err == EAGAIN ? 0 : err);
}

static bool write_syslog(struct sink *s, const char *text, size_t len)
{
	char line[SYSLOGD_LINE_MAX];

	return write_datagram(s, line, syslogd_format(&s->place, text, len, line));
}

static bool write_one(struct sink *s, const char *line, size_t len)
{
	switch (s->style) {
	case SINK_RECORD:
		return write_datagram(s, line, len);
	case SINK_BARE:
		return write_syslog(s, line, len);
	default:
		return write_stream(s, line, len);
	}
}

bool sink_put(struct sink *s, const char *line, size_t len, bool hurry)
{
	bool taken = true, first;

	(void)pthread_mutex_lock(&s->lock);
	first = !s->queue.used;
	if (!s->started) {
		taken = write_one(s, line, len);
	} else if (!line_queue_put(&s->queue, line, len)) {
		taken = lose(s, 1, 0);
	} else {
		s->first_tells |= first && telling == s;
		s->hurry |= hurry;
		if (s->waiting)
			(void)pthread_cond_signal(&s->wake);
	}
	(void)pthread_mutex_unlock(&s->lock);
	return taken;
}

/* ---- the thread ------------------------------------------------------------------------- */

/* Tells of losses since the last time, wherever the daemon's messages go. */
static void tell_lost(struct sink *s)
{
	uint64_t lost = atomic_load(&s->lost), before = s->told_lost, now = now_ns();
	int reason = s->reason;

	if (lost == before || now - s->told_ns < TOLD_NS)
		return;
	telling = s;
	if (s->owner->lost(s, lost - before, reason)) {
		s->told_before = before;
		s->told_lost = lost;
	}
	telling = NULL;
	s->told_ns = now;
}

bool sink_owes(const struct sink *s)
{
	return !s->started && atomic_load(&s->lost) != s->told_lost;
}

void sink_tell_lost(struct sink *s, bool now)
{
	if (!sink_owes(s) || !await_room(s))
		return;
	if (now)
		s->told_ns = 0;
	tell_lost(s);
}

static void open_again(struct sink *s)
{
	int fd;

	if (!sink_has_file(s))
		return;
	fd = open_place(s);
	if (fd < 0) {
		s->owner->reopened(s, -errno);
		return;
	}
	(void)close(s->fd);
	s->fd = fd;
	s->torn = false;
	look_at_fd(s);
	s->owner->reopened(s, 0);
}

/* Waits for something to do. False: there is nothing more, and the sink is to end. */
static bool await_work(struct sink *s)
{
	while (!s->queue.used && !s->stop && !s->reopen) {
		struct timespec at;

		(void)clock_gettime(CLOCK_REALTIME, &at);
		at.tv_sec++;
		s->waiting = true;
		if (atomic_load(&s->lost) == s->told_lost && !s->owner->has_news())
			(void)pthread_cond_wait(&s->wake, &s->lock);
		else
			(void)pthread_cond_timedwait(&s->wake, &s->lock, &at);
		s->waiting = false;
		(void)pthread_mutex_unlock(&s->lock);
		tell_lost(s);
		s->owner->tell_news();
		(void)pthread_mutex_lock(&s->lock);
	}
	return s->queue.used || s->reopen || !s->stop;
}

static void write_chunk(struct sink *s, size_t len, bool tells)
{
	telling = tells ? s : NULL;
	if (!write_one(s, s->chunk, len) && tells)
		s->told_lost = s->told_before;
	telling = NULL;
}

/* Writes all that is queued. The lock is held, but for the writing. */
static void write_queued(struct sink *s)
{
	while (s->queue.used) {
		bool tells = s->first_tells;
		bool single = tells || s->style == SINK_BARE || s->style == SINK_RECORD;
		size_t len;

		s->hurry = s->first_tells = false;
		len = line_queue_take(&s->queue, s->chunk, s->is_regular ? CHUNK_BYTES : PIPE_BUF,
				      single);
		(void)pthread_mutex_unlock(&s->lock);
		write_chunk(s, len, tells);
		tell_lost(s);
		(void)pthread_mutex_lock(&s->lock);
	}
}

static void *sink_main(void *arg)
{
	const struct timespec gather = {.tv_nsec = GATHER_NS};
	struct sink *s = arg;

	(void)pthread_mutex_lock(&s->lock);
	while (await_work(s)) {
		bool reopen = s->reopen, wait = !s->hurry && !s->stop && s->queue.used;

		s->reopen = false;
		if (wait) {
			(void)pthread_mutex_unlock(&s->lock);
			(void)nanosleep(&gather, NULL);
			(void)pthread_mutex_lock(&s->lock);
		}
		/* What was logged before the file is to be opened again belongs to the old one. */
		write_queued(s);
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
	s->chunk = malloc(CHUNK_BYTES);
	if (!s->chunk || line_queue_init(&s->queue) < 0)
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
	if (!is_standard(s))
		closep_(&s->fd);
	(void)pthread_mutex_destroy(&s->lock);
	(void)pthread_cond_destroy(&s->wake);
	line_queue_fini(&s->queue);
	free(s->chunk);
	free(s);
}
