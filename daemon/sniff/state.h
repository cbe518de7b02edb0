/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session whose client has not said enough: how far its first bytes have been read, so that the
 * next ones are not read from the beginning again. All zeros at its beginning.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "../loop.h"
#include "guess.h"
#include "h2.h"
#include "hello.h"

struct session;

struct sniff_state {
	struct session *session;
	TAILQ_ENTRY(sniff_state) link; /* of its home's */
	union {                        /* one of them follows: never both */
		struct hello_reader hello;
		struct h2_reader h2;
	};
	struct task again;  /* there is more to read, after others have had their turn */
	size_t scanned;     /* of a line: of a PROXY header, and after that of HTTP */
	uint64_t heard_ns;  /* when the last byte came, or what was before was dealt with */
	uint32_t room;      /* bytes that the pending buffer has */
	enum guess guessed; /* GUESS_MORE: nothing so far */
	bool acking;        /* its segments are acknowledged at once */
	bool is_h2;         /* it is h2 that is valid */
	bool settled;       /* was sent SETTINGS in its server's place: see h2ack.h */
};
