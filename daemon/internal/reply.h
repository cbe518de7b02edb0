/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the server inside the daemon answers: see server.h for the paths. */
#pragma once

#include <stdint.h>

#define PERIOD 65536 /* of the pattern */

struct event_base;
struct evhttp_request;

struct replies {
	struct event_base *base;
	uint8_t pattern[PERIOD]; /* of GET /bytes/N; replies refer to it */
};

void replies_init(struct replies *r, struct event_base *base);
/* Answers a request; `replies` is a struct replies, which outlives every connection. */
void replies_answer(struct evhttp_request *req, void *replies);
