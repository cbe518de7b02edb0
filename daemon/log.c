/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log, to stderr or to the journal. Levels and target may change while other threads log. */
#include "log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "log/entry.h"
#include "log/journal.h"
#include "log/limit.h"
#include "log/sink.h"
#include "log/text.h"

static _Atomic enum log_level max_level = LOG_LVL_INFO;
static _Atomic enum log_format access_format_now = LOG_FORMAT_TEXT;
static atomic_bool access_is_on;
static _Atomic enum log_target target_now = LOG_TO_AUTO;

static struct {
	pthread_mutex_t lock;
	char text[LOG_LINE_MAX];
} last_error = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Where lines go; changed under the lock for writing. */
static struct {
	pthread_rwlock_t lock;
	struct sink *messages;           /* NULL: nothing was logged yet */
	struct sink *access;             /* NULL: with the messages */
	enum log_place_kind access_kind; /* where it is to be, whatever becomes of the messages */
	bool started;
} to = {.lock = PTHREAD_RWLOCK_INITIALIZER};

/* ---- where lines go --------------------------------------------------------------------- */

static bool emit_message(enum log_level level, const struct log_about *about, const char *text);

static bool on_lost(const struct sink *s, uint64_t lines, int reason)
{
	char text[LOG_LINE_MAX];

	if (!log_enabled(LOG_LVL_WARNING))
		return true;
	(void)snprintf(text, sizeof(text), "log to %s: %llu lines were lost: %s", sink_name(s),
		       (unsigned long long)lines,
		       reason ? strerror(reason) : "its reader or disk was too slow");
	return emit_message(LOG_LVL_WARNING, NULL, text);
}

static void on_reopened(const struct sink *s, int err)
{
	if (err)
		log_error("log to %s: cannot open it again, the old one is kept: %s", sink_name(s),
			  strerror(-err));
	else
		log_info("log to %s: opened again", sink_name(s));
}

static void tell_left_out_of_all(bool all);
static void tell_news(void);

static const struct sink_owner sink_owner = {
    .lost = on_lost,
    .reopened = on_reopened,
    .has_news = limit_has_left_out,
    .tell_news = tell_news,
};

/* Puts a sink in the place of another, whose lines are written before it is gone. */
static void replace(struct sink **old, struct sink *new)
{
	struct sink *gone;

	(void)pthread_rwlock_wrlock(&to.lock);
	/* Without its thread it writes lines all the same, but at once. */
	if (to.started && new)
		(void)sink_start(new);
	gone = *old;
	*old = new;
	(void)pthread_rwlock_unlock(&to.lock);
	sink_free(gone);
}

/*
 * Messages go to the new sink, which is of that place. Access lines stay where they are: on the
 * stream that messages leave, or on the one that they come to, of which there is one sink.
 */
static void move_messages(struct sink *new, const struct log_place *place)
{
	const struct log_place access = {.kind = to.access_kind};
	struct sink *gone, *unused = NULL;

	(void)pthread_rwlock_wrlock(&to.lock);
	gone = to.messages;
	if (to.access && sink_is(to.access, place)) {
		unused = new;
		new = to.access;
		to.access = NULL;
	} else if (!to.access && gone && sink_is(gone, &access) && !sink_is(gone, place)) {
		to.access = gone;
		gone = NULL;
	}
	if (to.started)
		(void)sink_start(new);
	to.messages = new;
	(void)pthread_rwlock_unlock(&to.lock);
	sink_free(unused);
	sink_free(gone);
}

/* 0, or a negative errno: then what is there goes on. */
static int set_messages(enum log_place_kind kind)
{
	const struct log_place place = {.kind = kind};
	struct sink *new = sink_open(&place, (uid_t)-1, (gid_t)-1, &sink_owner);

	if (!new)
		return -errno;
	if (to.messages && sink_is(to.messages, &place) &&
	    sink_style(to.messages) == sink_style(new)) {
		sink_free(new);
		return 0;
	}
	move_messages(new, &place);
	return 0;
}

void log_setup(enum log_target target, enum log_level level)
{
	int saved = errno, err = 0;
	bool journal =
	    target == LOG_TO_JOURNAL || (target == LOG_TO_AUTO && journal_is_stream(STDERR_FILENO));

	if (journal)
		err = set_messages(LOG_PLACE_JOURNAL);
	if (!journal || err)
		(void)set_messages(LOG_PLACE_STDERR); /* no memory for it: as it was */
	atomic_store(&max_level, level);
	atomic_store(&target_now, target);
	if (err)
		log_warn("no journal is running here (%s: %s): logging to stderr", JOURNAL_SOCKET,
			 strerror(-err));
	errno = saved;
}

int log_access_setup(const char *text, enum log_format format, uid_t uid, gid_t gid)
{
	struct sink *sink = NULL;
	struct log_place place;
	char why[128];

	if (log_place_parse(text ? text : "no", &place, why) < 0)
		return -EINVAL;
	if (place.kind != LOG_PLACE_NONE && place.kind != LOG_PLACE_WITH &&
	    !(to.messages && sink_is(to.messages, &place))) {
		if (to.access && sink_is(to.access, &place)) {
			atomic_store(&access_format_now, format);
			return 0;
		}
		sink = sink_open(&place, uid, gid, &sink_owner);
		if (!sink)
			return -errno;
	}
	atomic_store(&access_format_now, format);
	atomic_store(&access_is_on, place.kind != LOG_PLACE_NONE);
	to.access_kind = place.kind;
	replace(&to.access, sink);
	return 0;
}

/* A message for a stream of JSON objects is one, too. */
static bool is_json(void)
{
	return log_access_format() == LOG_FORMAT_JSON && !to.access && atomic_load(&access_is_on);
}

void log_manner(struct log_manner *ret)
{
	(void)pthread_rwlock_rdlock(&to.lock);
	*ret = (struct log_manner){.target = atomic_load(&target_now),
				   .level = atomic_load(&max_level),
				   .json = is_json()};
	(void)pthread_rwlock_unlock(&to.lock);
}

void log_set_manner(const struct log_manner *m)
{
	log_setup(m->target, m->level);
	atomic_store(&access_format_now, m->json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT);
	atomic_store(&access_is_on, m->json);
}

int log_start(void)
{
	int err;

	(void)pthread_rwlock_wrlock(&to.lock);
	err = to.messages ? sink_start(to.messages) : 0;
	if (!err && to.access)
		err = sink_start(to.access);
	to.started = true;
	(void)pthread_rwlock_unlock(&to.lock);
	return err;
}

bool log_has_news(void)
{
	bool any;

	(void)pthread_rwlock_rdlock(&to.lock);
	any = limit_has_left_out() || (to.messages && sink_owes(to.messages)) ||
	      (to.access && sink_owes(to.access));
	(void)pthread_rwlock_unlock(&to.lock);
	return any;
}

void log_tell(bool all)
{
	tell_left_out_of_all(all);
	(void)pthread_rwlock_rdlock(&to.lock);
	if (to.access)
		sink_tell_lost(to.access, all);
	if (to.messages)
		sink_tell_lost(to.messages, all);
	(void)pthread_rwlock_unlock(&to.lock);
}

uint64_t log_lost(void)
{
	return sinks_lost();
}

void log_stop(void)
{
	log_tell(true);
	to.started = false;
	replace(&to.access, NULL);
	replace(&to.messages, NULL);
}

void log_begin_anew(void)
{
	struct left_out out;

	while (limit_take_left_out(true, &out))
		; /* see log.h */
	replace(&to.access, NULL);
	replace(&to.messages, NULL);
	to.access_kind = LOG_PLACE_NONE;
	sinks_forget_lost();       /* they are the parent's, which tells them as its own */
	last_error.text[0] = '\0'; /* so is this one; there is no other thread yet */
	atomic_store(&max_level, LOG_LVL_INFO);
	atomic_store(&access_format_now, LOG_FORMAT_TEXT);
	atomic_store(&access_is_on, false);
	atomic_store(&target_now, LOG_TO_AUTO);
}

bool log_reopen(void)
{
	bool any;

	(void)pthread_rwlock_rdlock(&to.lock);
	any = to.access && sink_has_file(to.access);
	if (any)
		sink_reopen(to.access);
	(void)pthread_rwlock_unlock(&to.lock);
	return any;
}

enum log_format log_access_format(void)
{
	return atomic_load_explicit(&access_format_now, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

/* ---- lines ------------------------------------------------------------------------------ */

/* False: it is lost. */
static bool emit(const struct log_text *t, bool is_access)
{
	bool taken = false;

	(void)pthread_rwlock_rdlock(&to.lock);
	if (!to.messages) {
		(void)pthread_rwlock_unlock(&to.lock);
		(void)set_messages(LOG_PLACE_STDERR);
		(void)pthread_rwlock_rdlock(&to.lock);
	}
	if (!to.messages)
		; /* no memory for a sink: nothing can be said */
	else if (is_access)
		taken = log_text_put(to.access ? to.access : to.messages, t);
	else if (is_json())
		taken = log_text_put_json(to.messages, t);
	else
		taken = log_text_put(to.messages, t);
	(void)pthread_rwlock_unlock(&to.lock);
	return taken;
}

/* ---- messages --------------------------------------------------------------------------- */

static bool emit_message(enum log_level level, const struct log_about *about, const char *text)
{
	static const struct log_about nothing;
	struct access_entry e;
	struct log_text line = {.level = level, .text = text, .about = &e, .hurry = true};

	if (!about)
		about = &nothing;
	access_begin(&e, about->event ? about->event : "message");
	if (about->session)
		access_number(&e, "id", about->session);
	if (about->listener)
		access_text(&e, "listener", about->listener);
	if (about->pool)
		access_text(&e, "pool", about->pool);
	if (about->server)
		access_text(&e, "server", about->server);
	if (about->state)
		access_text(&e, "state", about->state);
	return emit(&line, false);
}

/* What was left out before a message that is written; `last` of it. */
static void tell_left_out(enum log_level level, unsigned int n, const char *last)
{
	char text[512];

	(void)snprintf(text, sizeof(text), "%u more like this were left out: %.400s", n, last);
	(void)emit_message(level, NULL, text); /* what is lost is counted */
}

static void tell_left_out_of_all(bool all)
{
	struct left_out out;

	while (limit_take_left_out(all, &out))
		tell_left_out(out.level, out.n, out.last);
}

static void tell_news(void)
{
	tell_left_out_of_all(false);
}

static void keep_error(const char *text)
{
	(void)pthread_mutex_lock(&last_error.lock);
	(void)snprintf(last_error.text, sizeof(last_error.text), "%s", text);
	(void)pthread_mutex_unlock(&last_error.lock);
}

void log_last_error(char *buf, size_t size)
{
	(void)pthread_mutex_lock(&last_error.lock);
	(void)snprintf(buf, size, "%s", last_error.text);
	(void)pthread_mutex_unlock(&last_error.lock);
}

static void _printf_(4, 0)
    write_message(bool limited, enum log_level level, const struct log_about *about,
		  const char *fmt, va_list args)
{
	int saved = errno;
	char text[LOG_LINE_MAX];
	struct left_out before = {.n = 0};

	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		(void)snprintf(text, sizeof(text), "(a message that cannot be formatted: %s)", fmt);
	if (level == LOG_LVL_ERROR)
		keep_error(text);
	if (!limited || level > LOG_LVL_WARNING || limit_allows(level, fmt, text, &before)) {
		if (before.n)
			tell_left_out(level, before.n, text);
		(void)emit_message(level, about, text); /* what is lost is counted */
	}
	errno = saved;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, fmt);
	write_message(true, level, NULL, fmt, args);
	va_end(args);
}

void log_about(enum log_level level, const struct log_about *about, const char *fmt, ...)
{
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, fmt);
	write_message(true, level, about, fmt, args);
	va_end(args);
}

void log_write_all(enum log_level level, const char *fmt, ...)
{
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, fmt);
	write_message(false, level, NULL, fmt, args);
	va_end(args);
}

void log_lines(enum log_level level, const char *before, const char *text)
{
	for (size_t len; *text; text += len + (text[len] == '\n')) {
		len = strcspn(text, "\n");
		if (len)
			log_write_all(level, "%s%.*s", before, (int)len, text);
	}
}

int log_errno(int err, const char *fmt, ...)
{
	int saved = errno;
	char text[LOG_LINE_MAX / 2];
	char reason[128];
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		text[0] = '\0';
	va_end(args);
	log_write_all(LOG_LVL_ERROR, "%s: %s", text, strerror_r(-err, reason, sizeof(reason)));
	errno = saved;
	return err;
}

void log_access(const struct access_entry *e, const char *text)
{
	const struct log_text line = {.level = LOG_LVL_INFO,
				      .text = text,
				      .about = e,
				      .json = log_access_format() == LOG_FORMAT_JSON};
	int saved = errno;

	(void)emit(&line, true); /* what is lost is counted */
	errno = saved;
}
