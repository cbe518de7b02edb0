// SPDX-License-Identifier: GPL-2.0-or-later
#include "bypass.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "../util.h"
#include "direct.h"
#include "look.h"
#include "maps.h"
#include "meet.h"
#include "outlet.h"
#include "pair.h"

/*
 * The receive buffer of the daemon's sockets: it bounds the tokens it takes to stop a source, and
 * before that what an application sends without being read. Set before TCP has made it larger, for
 * a window that was offered is not taken back: what has grown before, as for the requests in front
 * of a tunnel, stays as it is. TCP makes none larger for what fits into it.
 */
#define BUFFER     65536
#define BUFFER_MAX (2 << 20) /* as the kernel counts it */
/* How long the last bytes may take to be read before a connection is reset. */
#define FAREWELL_NS (2 * NSEC_PER_SEC)

static void begin_side(struct bypass *b, enum direction d)
{
	struct bypass_stream *side = &b->sides[d];
	struct splice *sp = b->splice;

	side->stream = &sp->streams[d];
	side->index = sp->slot * 2 + d;
	side->way = &sp->by->bypass->ways[side->index];
	bypass_way_set(side->way, &(const struct way){0});
	side->stream->hand = &engine_meeting;
}

/* The size of its receive buffer, as the kernel counts it: twice of what it is set to. */
static int buffer_of(const struct conn *c)
{
	int size = 0;
	socklen_t len = sizeof(size);

	return getsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &size, &len) < 0 ? INT_MAX : size;
}

/* Whether a direction's source is an application that may be joined. */
static bool may_join(const struct splice *sp, enum direction d)
{
	return sp->local == LOCAL_BYPASS_BOTH ||
	       sp->local == (d == UP ? LOCAL_BYPASS_CLIENT : LOCAL_BYPASS_SERVER);
}

bool bypass_expect(struct splice *sp)
{
	const struct bypass_maps *m = sp->by->bypass;

	if (!m || !sp->streams[UP].source->tcp || !sp->streams[UP].target->tcp ||
	    (sp->local != LOCAL_BYPASS_BOTH && !m->has_outlets))
		return false;
	for (int d = UP; d <= DOWN; d++) {
		struct conn *c = sp->streams[d].source;

		if (!may_join(sp, d))
			continue;
		bypass_buffer(c, c->received > BUFFER ? buffer_of(c) / 2 : BUFFER);
	}
	return true;
}

static bool is_too_large(const struct splice *sp, enum direction d)
{
	const struct conn *c = sp->streams[d].source;

	return may_join(sp, d) && c->received > BUFFER && buffer_of(c) > BUFFER_MAX;
}

bool bypass_begin(struct splice *sp)
{
	struct bypass *b = calloc(1, sizeof(*b));

	if (!b)
		return false;
	b->splice = sp;
	b->alone = sp->local != LOCAL_BYPASS_BOTH;
	b->from = sp->local == LOCAL_BYPASS_SERVER ? DOWN : UP;
	sp->bypass = b;
	begin_side(b, UP);
	begin_side(b, DOWN);
	/* They are joined with the next movement: a session that only ends does not pay for it. */
	if (is_too_large(sp, UP) || is_too_large(sp, DOWN))
		bypass_refuse(b, WAY_BUFFER);
	else if (!bypass_know(b))
		bypass_refuse(b, b->why);
	return true;
}

void bypass_stop(struct splice *sp)
{
	struct bypass *b = sp->bypass;

	if (!b)
		return;
	if (!b->stopped_at)
		b->stopped_at = sp->by->loop->now;
	loop_timer_cancel(sp->by->loop, &b->timer);
	bypass_unwait(&b->sides[UP]);
	bypass_unwait(&b->sides[DOWN]);
}

/* What is on its way to an application whose stream has not ended properly. */
static bool has_unread(struct bypass_stream *side)
{
	if (side->state == BYPASS_MEETING || side->state == BYPASS_OVER ||
	    side->stream->state == STREAM_DONE)
		return false;
	(void)bypass_look(side);
	return bypass_unread(side) > 0;
}

bool bypass_is_unread(struct splice *sp)
{
	struct bypass *b = sp->bypass;
	bool up, down;

	if (!b || !b->joined)
		return false;
	up = has_unread(&b->sides[UP]);
	down = has_unread(&b->sides[DOWN]);
	return up || down;
}

void bypass_bound(const struct splice *sp)
{
	const struct bypass *b = sp->bypass;

	if (b && b->alone && b->joined && !sp->ended && b->sides[b->from].state != BYPASS_OVER)
		outlet_bound(&sp->streams[b->from]);
}

bool bypass_may_close(struct splice *sp)
{
	struct bypass *b = sp->bypass;

	if (!b || !b->joined || sp->by->loop->now - b->stopped_at >= FAREWELL_NS)
		return true;
	/* What they send now is TCP's, and will not be read. */
	bypass_close(sp);
	return !has_unread(&b->sides[UP]) && !has_unread(&b->sides[DOWN]);
}

void bypass_close(struct splice *sp)
{
	struct bypass *b = sp->bypass;

	if (!b)
		return;
	for (int d = UP; d <= DOWN; d++)
		__atomic_store_n(&b->sides[d].way->on, 0, __ATOMIC_SEQ_CST);
}

static bool is_in_use(const struct bypass_stream *side)
{
	return __atomic_load_n(&side->way->inside, __ATOMIC_SEQ_CST);
}

static int clear_refs(const struct bypass *b)
{
	const struct splice *sp = b->splice;
	int err = 0;

	for (int d = UP; d <= DOWN; d++) {
		const uint64_t cookies[] = {
		    b->sides[d].app, b->joined && !b->alone ? sp->streams[d].target->cookie : 0};

		for (int i = 0; i < 2; i++) {
			int r = cookies[i] ? bypass_ref_clear(sp->by->bypass, cookies[i]) : 0;

			if (r && r != -ENOENT)
				err = r;
		}
	}
	return err;
}

int bypass_forget(struct splice *sp)
{
	struct bypass *b = sp->bypass;
	int err = b && !b->forgotten ? clear_refs(b) : 0;

	if (!b || err)
		return err;
	b->forgotten = true;
	/* A program that runs still may write to a way: nobody else gets it meanwhile. */
	return is_in_use(&b->sides[UP]) || is_in_use(&b->sides[DOWN]) ? -EAGAIN : 0;
}

void bypass_free(struct splice *sp)
{
	free(sp->bypass);
	sp->bypass = NULL;
}

bool bypass_was_joined(const struct splice *sp)
{
	return sp->bypass && sp->bypass->joined;
}

bool bypass_is_open(const struct splice *sp)
{
	return sp->wants_bypass && (!sp->bypass || (!sp->bypass->joined && !sp->bypass->why));
}

enum way_why bypass_why(const struct stream *s)
{
	const struct bypass *b = s->splice->bypass;

	if (!may_join(s->splice, stream_direction(s)))
		return WAY_NOT_LEFT;
	if (bypass_is_open(s->splice))
		return b && b->blocks ? WAY_BLOCKING : WAY_YOUNG;
	if (b && b->why)
		return b->why;
	if (!s->bypass)
		return WAY_NOT_LEFT;
	return s->bypass->why ? s->bypass->why : (enum way_why)s->bypass->way->why;
}

const char *bypass_word(const struct splice *sp)
{
	enum way_why up = bypass_why(&sp->streams[UP]), down = bypass_why(&sp->streams[DOWN]);

	return up || down ? way_why_str[up ? up : down] : "yes";
}
