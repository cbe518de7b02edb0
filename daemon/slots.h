/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Session slots: the limit on sessions and the numbering of lanes at once. Slot n owns the lanes
 * 2n (client to backend) and 2n + 1. Last in, first out, so that few pages of `lanes` are touched.
 * Any thread.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define SLOT_NONE UINT32_MAX

struct slots {
	pthread_mutex_t lock;
	uint32_t *free;
	uint32_t n_free, total, fresh; /* slots from `fresh` on were never used */
	atomic_uint used;
};

int slots_init(struct slots *s, uint32_t total);
void slots_fini(struct slots *s);
/* For a session that may come; SLOT_NONE when all are taken. slots_use() follows, or
 * slots_return(). */
uint32_t slots_take(struct slots *s);
/* None has come. */
void slots_return(struct slots *s, uint32_t slot);
/* One has come: its slot counts from now on. slots_give() ends it. */
void slots_use(struct slots *s);
void slots_give(struct slots *s, uint32_t slot);
/* Sessions; slots that are only taken are none. */
uint32_t slots_used(const struct slots *s);
