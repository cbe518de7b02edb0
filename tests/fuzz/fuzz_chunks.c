/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chunked bodies with their trailers. Whole, in pieces, and with their data moved by somebody else,
 * the same goes on; and what goes on is such a body again, of the same data.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../daemon/http/body.h"
#include "../../daemon/http/error.h"

#define INPUT_MAX (72 * 1024)
#define GATHERED  (16 * 1024)

struct reading {
	char out[2 * INPUT_MAX];
	size_t len;     /* of out */
	size_t used;    /* of the input */
	uint64_t moved; /* payload */
	bool done;
	uint8_t error;
};

static void must(bool true_of_every_input)
{
	if (!true_of_every_input)
		abort();
}

static void put(struct reading *r, const char *data, size_t len)
{
	must(r->len + len <= sizeof(r->out));
	memcpy(r->out + r->len, data, len);
	r->len += len;
}

/* What is there of the input, in memory of just that size. */
static size_t offer(struct http_body *b, struct reading *r, const char *in, size_t len)
{
	static char gathered[GATHERED];
	char *copy = malloc(len ? len : 1);
	struct body_spans spans;
	size_t used;

	must(copy);
	memcpy(copy, in, len);
	body_spans_init(&spans, gathered, sizeof(gathered));
	used = body_take(b, copy, len, &spans);
	must(used <= len && spans.n <= BODY_SPANS && spans.at <= sizeof(gathered));
	for (int i = 0; i < spans.n; i++)
		put(r, spans.iov[i].iov_base, spans.iov[i].iov_len);
	free(copy);
	return used;
}

/* Somebody else moves what he can of the data. */
static size_t skip(struct http_body *b, struct reading *r, const char *in, size_t len)
{
	struct body_spans spans;
	char line[BODY_SETTLE_ROOM];
	uint64_t n = body_run(b);

	if (n > len)
		n = len;
	put(r, in, n);
	body_skip(b, n);
	body_spans_init(&spans, line, sizeof(line));
	body_settle(b, &spans);
	must(spans.at <= sizeof(line));
	for (int i = 0; i < spans.n; i++)
		put(r, spans.iov[i].iov_base, spans.iov[i].iov_len);
	return n;
}

static void read_body(struct reading *r, const char *in, size_t len, size_t step, bool plain,
		      bool others)
{
	struct http_body b;
	size_t there = 0, n;

	r->len = r->used = 0;
	body_begin(&b, BODY_CHUNKED, 0);
	b.plain = plain;
	while (!b.done && !b.error) {
		n = others ? skip(&b, r, in + r->used, there - r->used) : 0;
		n += offer(&b, r, in + r->used + n, there - r->used - n);
		r->used += n;
		if (n && r->used < there)
			continue;
		if (there == len)
			break;
		there = step < len - there ? there + step : len;
	}
	r->moved = b.moved;
	r->done = b.done;
	r->error = b.error;
	must(b.error < _HTTP_ERROR_MAX && (!b.error || !b.done));
}

static void same(const struct reading *a, const struct reading *b)
{
	must(a->done == b->done && a->error == b->error && a->moved == b->moved);
	must(a->len == b->len && memcmp(a->out, b->out, a->len) == 0);
	must(a->error || a->used == b->used);
}

/* What went on is read again: the same; of a body that ended too soon, as far as lines are whole.
 */
static void check_written(const struct reading *whole)
{
	static struct reading again;

	read_body(&again, whole->out, whole->len, whole->len, false, false);
	must(!again.error && again.done == whole->done && again.moved == whole->moved);
	must(!again.done || again.used == whole->len);
	must(again.len == whole->len || (!again.done && again.len < whole->len));
	must(memcmp(again.out, whole->out, again.len) == 0);
}

/* Without the framing: just the data, as it is in what went on with it. */
static void check_plain(const struct reading *whole, const char *in, size_t len)
{
	static struct reading plain, again;

	read_body(&plain, in, len, len, true, false);
	must(plain.len == whole->moved && plain.moved == whole->moved);
	must(plain.done == whole->done && plain.error == whole->error);
	read_body(&again, whole->out, whole->len, whole->len, true, false);
	must(again.len == plain.len && memcmp(again.out, plain.out, plain.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct reading whole, pieces;
	const char *in = (const char *)data;
	size_t step = 1 + (len ? data[len - 1] % 31 : 0);

	if (len > INPUT_MAX)
		return 0;
	read_body(&whole, in, len, len ? len : 1, false, false);
	for (int others = 0; others < 2; others++) {
		read_body(&pieces, in, len, step, false, others);
		same(&whole, &pieces);
		if (len > 4096)
			continue;
		read_body(&pieces, in, len, 1, false, others);
		same(&whole, &pieces);
	}
	check_written(&whole);
	check_plain(&whole, in, len);
	return 0;
}
