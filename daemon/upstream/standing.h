/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a server is worth at the moment: what an operator has said of it, and its addresses' health.
 */
#pragma once

#include "server.h"

extern const char *const server_mode_str[_SERVER_MODE_MAX];

/* True: kept connections to it are useless from now on. */
bool server_set_mode(struct server *s, enum server_mode mode, uint64_t now);
void server_set_weight(struct server *s, unsigned int weight);

/* These under the lock. */

/* Whether it may have another session, wherever its addresses stand. */
bool server_has_room(const struct server *s);
/* Its share at the moment, in TARGET_WHOLEs of its weight: less while it is new, which it is if all
 * of its addresses that may be had are. */
unsigned int server_share(const struct server *s, uint64_t now);
/* Of an operator "drain" and "maint"; "unresolved" without an address; else its best address
 * counts: see health_state_str. */
const char *server_state(const struct server *s);
/* Whether sessions choose it as usual, for the metric of that name. */
bool server_is_up(const struct server *s);
/* Why it is not: of its addresses one that is as its state says; NULL: it is up, or an operator
 * wants that. */
const struct target *server_culprit(const struct server *s);
