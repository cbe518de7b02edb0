// SPDX-License-Identifier: GPL-2.0-or-later
#include "queue.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../util.h"

/* In the queue before each line. */
struct record {
	uint32_t len;
};

int line_queue_init(struct line_queue *q)
{
	*q = (struct line_queue){.bytes = malloc(QUEUE_BYTES)};
	return q->bytes ? 0 : -ENOMEM;
}

void line_queue_fini(struct line_queue *q)
{
	free(q->bytes);
}

static void ring_in(struct line_queue *q, const void *data, size_t len)
{
	size_t at = (q->head + q->used) % QUEUE_BYTES, first = MIN(len, QUEUE_BYTES - at);

	memcpy(q->bytes + at, data, first);
	memcpy(q->bytes, (const char *)data + first, len - first);
	q->used += len;
}

static void ring_peek(const struct line_queue *q, void *data, size_t len)
{
	size_t first = MIN(len, QUEUE_BYTES - q->head);

	memcpy(data, q->bytes + q->head, first);
	memcpy((char *)data + first, q->bytes, len - first);
}

static void ring_out(struct line_queue *q, void *data, size_t len)
{
	ring_peek(q, data, len);
	q->head = (q->head + len) % QUEUE_BYTES;
	q->used -= len;
}

bool line_queue_put(struct line_queue *q, const char *line, size_t len)
{
	const struct record r = {.len = (uint32_t)len};

	if (q->used + sizeof(r) + len > QUEUE_BYTES)
		return false;
	ring_in(q, &r, sizeof(r));
	ring_in(q, line, len);
	return true;
}

size_t line_queue_take(struct line_queue *q, char *out, size_t max, bool single)
{
	size_t len = 0;

	while (q->used) {
		struct record r;

		ring_peek(q, &r, sizeof(r));
		if (len && (single || len + r.len > max))
			break;
		ring_out(q, &r, sizeof(r));
		ring_out(q, out + len, r.len);
		len += r.len;
	}
	return len;
}
