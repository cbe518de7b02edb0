/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of the configuration a splice goes by, from its beginning to its end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;

/* How much one read by hand takes: bounds what waits for a target that has stopped reading. */
#define STREAM_READ (128 * 1024)

struct splice_settings {
	uint64_t low, high, hard, window; /* bytes: splice_low and so on */
	uint64_t engage_after;            /* ns */
	uint64_t early_bytes; /* one that moved this much goes to the kernel before its time */
	uint64_t budget;      /* of a new lane: how much the kernel may move on its own */
	size_t read_size;     /* bytes of one read by hand; see stream_read_size() */
	uint64_t bypass_high, bypass_low; /* bytes */
	uint32_t bypass_messages;
	bool bypass_trusts_all; /* blocking applications, too */
	bool copy_only;         /* engine = copy */
};

/* Those that a configuration asks for. */
void splice_settings_init(struct splice_settings *ret, const struct config *c);
