// SPDX-License-Identifier: GPL-2.0-or-later
#include "waiting.h"

#include <stdlib.h>

#include "../loop.h"
#include "../session.h"
#include "state.h"

void sniff_done(struct session *s)
{
	struct home *h = s->home;

	if (!s->sniff)
		return;
	h->n_sniffing--;
	TAILQ_REMOVE(&h->sniffing, s->sniff, link);
	loop_not_again(h->loop, &s->sniff->again);
	free(s->sniff);
	s->sniff = NULL;
}

void sniff_leave(struct session *s)
{
	loop_not_again(s->home->loop, &s->sniff->again);
}

/* Where there are too many, the one that has waited longest is ended. */
void sniff_wait(struct session *s)
{
	struct home *h = s->home;
	struct session *oldest;

	TAILQ_INSERT_TAIL(&h->sniffing, s->sniff, link);
	h->n_sniffing++;
	if (h->n_sniffing <= h->sniffing_max)
		return;
	oldest = TAILQ_FIRST(&h->sniffing)->session;
	sniff_done(oldest);
	session_end(oldest, END_SNIFF_LIMIT);
}
