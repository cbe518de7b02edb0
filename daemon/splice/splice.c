// SPDX-License-Identifier: GPL-2.0-or-later
#include "splice.h"

#include "../bypass/bypass.h"
#include "../util.h"
#include "adopt.h"
#include "copy.h"
#include "ending.h"
#include "engage.h"
#include "kernel.h"
#include "maps.h"

/* ---- events ----------------------------------------------------------------------------- */

void stream_pump(struct stream *s)
{
	if (s->splice->ended)
		return;
	/* HTTP goes on without it: a request whose server is gone still has a client. */
	if (s->target && s->target->failed && !stream_is_budgeted(s))
		return;
	if (stream_in_kernel(s))
		kernel_pump(s);
	else if (s->state == STREAM_COPY)
		s->hand->pump(s);
	else if (s->state == STREAM_ENDING)
		stream_finish(s);
	else if (s->state == STREAM_DONE && s->source->failed)
		stream_farewell(s);
}

static void on_again(struct task *t)
{
	struct stream *s = container_of(t, struct stream, again);

	stream_pump(s);
	stream_pumped(s);
}

/* ---- beginning -------------------------------------------------------------------------- */

void splice_begin(struct splice *sp, struct conn *client)
{
	for (int i = 0; i < 2; i++) {
		struct stream *s = &sp->streams[i];

		s->splice = sp;
		s->hand = &engine_copy;
		s->again.run = on_again;
		s->drained = true;
	}
	sp->streams[UP].source = client;
	sp->streams[DOWN].target = client;
}

void splice_attach(struct splice *sp, struct conn *backend)
{
	sp->streams[UP].target = backend;
	sp->streams[DOWN].source = backend;
}

void splice_by_hand(struct splice *sp, const struct engine *hand)
{
	for (int i = 0; i < 2; i++)
		sp->streams[i].hand = hand;
}

void splice_open(struct splice *sp)
{
	splice_by_hand(sp, &engine_copy);
	for (int i = 0; i < 2; i++) {
		struct stream *s = &sp->streams[i];

		s->by_hand = 0;
		if (s->state == STREAM_NEW)
			stream_enter(s, STREAM_COPY);
	}
	sp->wants_bypass = sp->wants_bypass && bypass_expect(sp);
	splice_choose_engine(sp);
	stream_pump(&sp->streams[UP]);
	stream_pump(&sp->streams[DOWN]);
}

/* ---- end -------------------------------------------------------------------------------- */

void splice_stop(struct splice *sp)
{
	sp->ended = true;
	splice_enlist(sp, NULL);
	bypass_stop(sp);
	for (int i = 0; i < 2; i++) {
		stream_unwait(&sp->streams[i]);
		stream_not_again(&sp->streams[i]);
	}
}

bool splice_is_unread(struct splice *sp)
{
	return bypass_is_unread(sp);
}

bool splice_may_close(struct splice *sp)
{
	return bypass_may_close(sp);
}

void splice_close(struct splice *sp)
{
	/* What was begun since it ended. */
	splice_stop(sp);
	bypass_close(sp);
	for (int i = 0; i < 2; i++)
		stream_close(&sp->streams[i]);
}

int splice_forget(struct splice *sp)
{
	struct conn *conns[2] = {sp->streams[UP].source, sp->streams[UP].target};
	const struct maps *m = sp->by->maps;
	int err = bypass_forget(sp);

	if (err || !m)
		return err;
	for (int i = 0; i < 2; i++) {
		if (sp->streams[i].lane)
			kernel_unshare(&sp->streams[i]);
		if (!err && conns[i])
			err = kernel_forget_conn(m, conns[i]);
	}
	if (!err && sp->generation)
		m->owners[sp->slot] = NULL;
	return err;
}

void splice_fini(struct splice *sp)
{
	bypass_free(sp);
	for (int i = 0; i < 2; i++)
		stream_fini(&sp->streams[i]);
}

const char *splice_engine(const struct splice *sp)
{
	return bypass_was_joined(sp) ? "bypass" : engine_str(sp->adopted);
}
