// SPDX-License-Identifier: GPL-2.0-or-later
#include "sink.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "../util.h"
#include "queue.h"

/* Written with one call: to a pipe no more than PIPE_BUF, up to which writes do not mix. */
#define CHUNK_BYTES (64u << 10)
/* How long lines that are in no hurry wait for more: to wake up for each millisecond's lines costs
 * more than to write them. */
#define GATHER_NS (10 * NSEC_PER_MSEC)
/* Whoever lost lines is told no more often than that. */
#define TOLD_NS NSEC_PER_SEC
/* What is left at the end has this long. */
#define LINGER_NS (2 * NSEC_PER_SEC)

struct sink {
	const struct sink_owner *owner;
	struct outlet outlet;

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
	return outlet_name(&s->outlet);
}

enum sink_style sink_style(const struct sink *s)
{
	return s->outlet.style;
}

bool sink_is(const struct sink *s, const struct log_place *p)
{
	return outlet_is(&s->outlet, p);
}

bool sink_has_file(const struct sink *s)
{
	return outlet_has_file(&s->outlet);
}

/* ---- opening ---------------------------------------------------------------------------- */

struct sink *sink_open(const struct log_place *place, uid_t uid, gid_t gid,
		       const struct sink_owner *owner)
{
	struct sink *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return NULL;
	s->owner = owner;
	err = outlet_open(&s->outlet, place, uid, gid);
	if (err) {
		free(s);
		errno = -err;
		return NULL;
	}
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->wake, NULL);
	return s;
}

/* ---- writing ---------------------------------------------------------------------------- */

/* With a thread room is waited for, until the sink is to end and its time is over. */
static bool waits(void *arg)
{
	struct sink *s = arg;
	bool over;

	(void)pthread_mutex_lock(&s->lock);
	over = s->stop && now_ns() >= s->stop_at;
	(void)pthread_mutex_unlock(&s->lock);
	return !over;
}

/* Whether all of it is written. */
static bool write_one(struct sink *s, const char *line, size_t len)
{
	int reason = 0;
	unsigned int lost = outlet_write(&s->outlet, line, len, &reason);

	return !lost || lose(s, lost, reason);
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
	if (!sink_owes(s) || !outlet_has_room(&s->outlet))
		return;
	if (now)
		s->told_ns = 0;
	tell_lost(s);
}

static void open_again(struct sink *s)
{
	if (outlet_has_file(&s->outlet))
		s->owner->reopened(s, outlet_open_again(&s->outlet));
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
		bool single =
		    tells || s->outlet.style == SINK_BARE || s->outlet.style == SINK_RECORD;
		size_t len;

		s->hurry = s->first_tells = false;
		len = line_queue_take(&s->queue, s->chunk,
				      s->outlet.is_regular ? CHUNK_BYTES : PIPE_BUF, single);
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
	s->outlet.waits = waits;
	s->outlet.arg = s;
	/* Signals go to the main thread. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&s->thread, NULL, sink_main, s);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		s->started = false;
		s->outlet.waits = NULL;
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
	s->outlet.waits = NULL;
	return true;
}

void sink_free(struct sink *s)
{
	if (!s || !stop_thread(s))
		return;
	outlet_close(&s->outlet);
	(void)pthread_mutex_destroy(&s->lock);
	(void)pthread_cond_destroy(&s->wake);
	line_queue_fini(&s->queue);
	free(s->chunk);
	free(s);
}
