/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines that wait to be written: a ring of bytes. Whoever has it locks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* What may wait: some thousand lines. */
#define QUEUE_BYTES (1u << 20)

struct line_queue {
	char *bytes; /* QUEUE_BYTES */
	size_t head, used;
};

/* 0 or -ENOMEM. */
int line_queue_init(struct line_queue *q);
void line_queue_fini(struct line_queue *q);
/* False: there is no room for it. */
bool line_queue_put(struct line_queue *q, const char *line, size_t len);
/*
 * Takes as many whole lines as `max` bytes hold, or a single one that is longer, and with `single`
 * never more than one. How many bytes; 0: the queue is empty.
 */
size_t line_queue_take(struct line_queue *q, char *out, size_t max, bool single);
