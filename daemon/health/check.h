/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One check of one address of a server: a connection of its own, what is sent on it (question.h)
 * and what is made of the answer (answer.h). It needs no session, no worker and no lane, and is
 * done in the thread of the event base. Within the pool's health_timeout it is over.
 */
#pragma once

#include <event2/event.h>
#include <sys/queue.h>

#include "../upstream/server.h"
#include "answer.h"
#include "question.h"

enum check_phase { CHECK_CONNECTING, CHECK_SENDING, CHECK_READING };

struct check {
	enum health_check kind; /* as is what follows, of the pool when it began */
	uint64_t timeout;
	struct statuses expected;
	struct check_turn turn; /* of that server: which address */
	/* Told once, never from within check_begin(), and to free it. `r` is NULL: nothing was
	 * found out, for this host is short of something. */
	void (*done)(struct check *c, const struct check_result *r);
	void *owner;
	LIST_ENTRY(check) link; /* the owner's */
	enum check_phase phase;
	int fd; /* -1: none */
	struct event_base *base;
	struct event *io, *timer; /* of the socket; and what ends or repeats a wait */
	uint64_t began_ns;
	size_t len, sent, got; /* of the question, of it, of the answer */
	bool extended;         /* it has got more time, because its thread was late: once */
	bool over, known;      /* `result` is there; it is one */
	struct check_result result;
	uint8_t question[QUESTION_MAX];
	uint8_t answer[ANSWER_MAX];
};

/* Begins one, of an address of a server of that pool, which is written so (`text`); they are not
 * needed later. NULL: out of memory, and nobody is told. */
struct check *check_begin(struct event_base *base, const struct pool_config *pool, const char *text,
			  const struct check_turn *turn,
			  void (*done)(struct check *, const struct check_result *), void *owner);
/* Ends it, if it is not over, and frees it. NULL is none. */
void check_free(struct check *c);
