/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bypass's canary: two sockets of the daemon's own are joined, before it is offered to any. */
#pragma once

#include "../bypass/maps.h"
#include "stage.h"

enum bypass_check {
	BYPASS_CHECK_ACCOUNT, /* bytes that are sent directly count as memory of the receiver */
	BYPASS_CHECK_TOKENS,  /* a sender whose receiver is late waits, and goes on */
	BYPASS_CHECK_END,     /* an end does not overtake what waits unread */
	BYPASS_CHECK_OUTLET,  /* the same of a client that is joined alone */
	_BYPASS_CHECK_MAX,
};

extern const char *const bypass_check_name[_BYPASS_CHECK_MAX];
extern const char *const bypass_check_fact[_BYPASS_CHECK_MAX];

/* As canary_run(). The daemon's own sockets must be enrolled: see bypass_maps_proved(). `kernel`:
 * the kernel engine that what comes for a client that is alone is given to, or NULL. */
void bypass_check_run(struct bypass_maps *maps, struct maps *kernel, enum bypass_check check,
		      struct canary_time *time, struct canary_result *ret);
