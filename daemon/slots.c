// SPDX-License-Identifier: GPL-2.0-or-later
#include "slots.h"

#include <errno.h>
#include <stdlib.h>

int slots_init(struct slots *s, uint32_t total)
{
	*s = (struct slots){.total = total};
	/* calloc: pages of the stack that are never used are never resident. */
	s->free = calloc(total, sizeof(*s->free));
	if (!s->free)
		return -ENOMEM;
	return -pthread_mutex_init(&s->lock, NULL);
}

void slots_fini(struct slots *s)
{
	if (!s->free)
		return;
	(void)pthread_mutex_destroy(&s->lock);
	free(s->free);
	s->free = NULL;
}

uint32_t slots_take(struct slots *s)
{
	uint32_t slot = SLOT_NONE;

	(void)pthread_mutex_lock(&s->lock);
	if (s->n_free)
		slot = s->free[--s->n_free];
	else if (s->fresh < s->total)
		slot = s->fresh++;
	(void)pthread_mutex_unlock(&s->lock);
	return slot;
}

void slots_return(struct slots *s, uint32_t slot)
{
	(void)pthread_mutex_lock(&s->lock);
	s->free[s->n_free++] = slot;
	(void)pthread_mutex_unlock(&s->lock);
}

void slots_use(struct slots *s)
{
	atomic_fetch_add(&s->used, 1);
}

void slots_give(struct slots *s, uint32_t slot)
{
	/* Before somebody else has it: no more than `total` are counted. */
	atomic_fetch_sub(&s->used, 1);
	slots_return(s, slot);
}

uint32_t slots_used(const struct slots *s)
{
	return atomic_load(&s->used);
}
