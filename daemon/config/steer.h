/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is steered to a listener: `bind = steer:10.0.0.0/24:8000-8999 except 8080`. */
#pragma once

#include "config.h"
#include "destination.h"
#include "text.h"

struct steer {
	struct destination what;
	struct destination *except;
	size_t n_except;
};

/* `text` is what follows "steer:". 0, or -EINVAL with the reason added, or -ENOMEM; *ret is the
 * caller's to clear if it is 0, and untouched otherwise. */
int steer_parse(const char *text, struct steer *ret, struct text *why);
/* The same of an address of which addr_is_steered() is true: it was parsed before. */
int steer_of(const struct addr *a, struct steer *ret);
void steer_clear(struct steer *s);
static inline void steer_clearp_(struct steer *s)
{
	steer_clear(s);
}
#define _cleanup_steer_ _cleanup_(steer_clearp_)

/* Whether there is an address and port that both want. Exceptions from a part of the addresses that
 * both have count as none. */
bool steer_overlaps(const struct steer *a, const struct steer *b);

/* Whether the listener gets what is steered; its addresses are of one kind. */
bool listener_config_is_steered(const struct listener_config *l);
