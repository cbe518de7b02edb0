/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two applications that are to be joined, or are, or one: what a splice has of the bypass. */
#pragma once

#include "../splice/stream.h"
#include "side.h"

struct bypass {
	struct splice *splice;
	struct bypass_stream sides[2]; /* by enum direction */
	struct handshake ours[2];      /* of the sockets that these come from */
	/* MEETING */
	uint64_t held_since; /* nothing is copied, so that nothing is on its way; 0: it is */
	uint64_t hold_ns;    /* ... for how long until the next look */
	uint64_t try_at;     /* when the next try is, after one in vain */
	unsigned int tries, laters;
	unsigned int blocks; /* looks that found an application's socket without O_NONBLOCK */
	struct timer timer;
	uint64_t stopped_at; /* it has ended; 0: it has not */
	enum direction from; /* alone */
	enum way_why why;    /* its applications will not be joined */
	bool alone;          /* one application: at the source of streams[from] */
	bool joined;         /* they were */
	bool forgotten;      /* nothing of it is in the maps */
};
