/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a side has sent and nobody has used yet: the stream's pending bytes, or one read into the
 * worker's buffer. What is not used is kept as pending.
 */
#pragma once

#include "exchange.h"

enum input_result {
	INPUT_SOME, /* in->data holds in->len bytes */
	INPUT_NONE, /* nothing for now */
	INPUT_END,  /* the source has ended, properly or not: see its conn */
};

struct input {
	const char *data;
	size_t len;
	bool pending; /* they are the stream's pending bytes */
};

/* The pending bytes, or, where there are none, what a read gives. */
enum input_result input_get(struct session *s, struct stream *st, struct input *in);
/* The pending bytes together with what a read gives: INPUT_SOME only if it gave something. */
enum input_result input_more(struct session *s, struct stream *st, struct input *in);
/* The first `used` bytes are dealt with. 0 or -ENOMEM. */
int input_used(struct session *s, struct stream *st, const struct input *in, size_t used);
