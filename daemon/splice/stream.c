// SPDX-License-Identifier: GPL-2.0-or-later
#include "stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "../log.h"
#include "../util.h"

/* Waits below this are left to the timer alone: arming EPOLLOUT costs two system calls. */
#define WAIT_ARM_NS (400 * NSEC_PER_USEC)

const char *const stream_state_str[_STREAM_STATE_MAX] = {
    [STREAM_NEW] = "new",         [STREAM_COPY] = "copy",     [STREAM_ENGAGED] = "engaged",
    [STREAM_SERVING] = "serving", [STREAM_PAUSED] = "paused", [STREAM_ENDING] = "ending",
    [STREAM_DONE] = "done",
};

const char *const copy_reason_str[_COPY_REASON_MAX] = {
    [COPY_NONE] = "none",
    [COPY_YOUNG] = "young",
    [COPY_CONFIG] = "config",
    [COPY_UNAVAILABLE] = "unavailable",
    [COPY_UNIX] = "unix",
    [COPY_FOREIGN] = "foreign",
    [COPY_HALF_CLOSED] = "half_closed",
    [COPY_MAP_FULL] = "map_full",
    [COPY_MEMORY] = "memory",
    [COPY_UNLOCKED] = "unlocked",
    [COPY_REFUSED] = "refused",
};

#define TO(state) (1u << STREAM_##state)
static const uint8_t next_states[_STREAM_STATE_MAX] = {
    [STREAM_NEW] = TO(COPY),
    [STREAM_COPY] = TO(ENGAGED) | TO(ENDING),
    [STREAM_ENGAGED] = TO(SERVING) | TO(PAUSED) | TO(ENDING) | TO(COPY),
    [STREAM_SERVING] = TO(COPY),
    [STREAM_PAUSED] = TO(ENGAGED) | TO(COPY),
    [STREAM_ENDING] = TO(DONE),
    [STREAM_DONE] = 0,
};
#undef TO

bool stream_may_enter(enum stream_state from, enum stream_state next)
{
	return next_states[from] >> next & 1;
}

void stream_enter(struct stream *s, enum stream_state next)
{
	assert(stream_may_enter(s->state, next));
	/* In HTTP a stream is without a source, or a target, between requests. */
	log_session(LOG_LVL_DEBUG, s->splice->id, " %s: %s -> %s",
		    stream_direction(s) == UP ? "up" : "down", stream_state_str[s->state],
		    stream_state_str[next]);
	s->state = next;
}

uint64_t stream_redirected(const struct stream *s)
{
	return s->lane ? __atomic_load_n(&s->lane->redirected, __ATOMIC_ACQUIRE) : 0;
}

uint64_t stream_moved_by_kernel(const struct stream *s)
{
	return s->closed ? s->redirected_end
			 : s->redirected_before + stream_redirected(s) - s->lost;
}

uint64_t stream_trimmed(const struct stream *s)
{
	return s->trimmed_before + (s->lane ? s->lane->trimmed : 0);
}

uint64_t stream_moved_directly(const struct stream *s)
{
	return s->way && !s->closed ? __atomic_load_n(&s->way->direct_bytes, __ATOMIC_RELAXED)
				    : s->direct_end;
}

uint64_t stream_moved(const struct stream *s)
{
	return s->copied + stream_moved_by_kernel(s) + stream_moved_directly(s);
}

uint64_t stream_active_ns(const struct stream *s)
{
	if (s->closed)
		return 0;
	if (s->way)
		return __atomic_load_n(&s->way->active_ns, __ATOMIC_RELAXED);
	return s->lane ? __atomic_load_n(&s->lane->active_ns, __ATOMIC_RELAXED) : 0;
}

size_t stream_read_size(const struct stream *s)
{
	size_t usual = s->splice->settings->read_size;

	if (!s->plenty || usual < STREAM_READ || !s->target || conn_room(s->target) < LOOP_BUFFER)
		return usual;
	return LOOP_BUFFER;
}

int stream_room(struct stream *s, size_t want)
{
	char *bigger;

	if (s->pending_at) {
		memmove(s->pending, s->pending + s->pending_at, s->pending_len);
		s->pending_at = 0;
	}
	bigger = realloc(s->pending, s->pending_len + want);
	if (!bigger)
		return -ENOMEM;
	s->pending = bigger;
	return 0;
}

int stream_keep(struct stream *s, const char *data, size_t len)
{
	if (stream_room(s, len) < 0)
		return -ENOMEM;
	memcpy(s->pending + s->pending_len, data, len);
	s->pending_len += (uint32_t)len;
	return 0;
}

int stream_put_first(struct stream *s, const void *data, size_t len)
{
	char *all = malloc(len + s->pending_len);

	if (!all)
		return -ENOMEM;
	memcpy(all, data, len);
	if (s->pending_len)
		memcpy(all + len, s->pending + s->pending_at, s->pending_len);
	free(s->pending);
	s->pending = all;
	s->pending_at = 0;
	s->pending_len += (uint32_t)len;
	return 0;
}

void stream_pass(struct stream *s, char **data, size_t *len, bool ended)
{
	if (!s->filter || s->filter->pass(s->filter, data, len, ended))
		return;
	free(s->filter);
	s->filter = NULL;
}

void stream_again(struct stream *s)
{
	if (!s->splice->ended)
		loop_again(s->splice->by->loop, &s->again);
}

void stream_not_again(struct stream *s)
{
	loop_not_again(s->splice->by->loop, &s->again);
}

/* What a stream needs of its source's readiness, and of its target's. */
static bool wants_source(const struct stream *s)
{
	return s->state == STREAM_COPY || s->state == STREAM_SERVING || s->state == STREAM_NEW;
}

static bool wants_target(const struct stream *s)
{
	return wants_source(s) || (s->waiting && (s->signal || s->backoff >= WAIT_ARM_NS));
}

/* `from` flows from this socket, and `to` to it. */
static void watch_conn(struct conn *c, const struct stream *from, const struct stream *to)
{
	uint32_t events = EPOLLRDHUP | EPOLLET;

	if (!c || c->fd < 0)
		return;
	if (wants_source(from))
		events |= EPOLLIN | EPOLLPRI;
	if (wants_target(to))
		events |= EPOLLOUT;
	loop_watch(from->splice->by->loop, c, events);
}

void stream_watch(struct stream *s)
{
	watch_conn(s->source, s, stream_opposite(s));
	watch_conn(s->target, stream_opposite(s), s);
}

void stream_fini(struct stream *s)
{
	free(s->pending);
	s->pending = NULL;
	s->pending_at = s->pending_len = 0;
	free(s->filter);
	s->filter = NULL;
}

void splice_enlist(struct splice *sp, struct splice_list *list)
{
	if (sp->list)
		TAILQ_REMOVE(sp->list, sp, link);
	sp->list = list;
	if (list)
		TAILQ_INSERT_TAIL(list, sp, link);
}
