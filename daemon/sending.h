/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `source = client` takes: a capability that the process keeps when it gives up the others. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

struct config;

/* Whether some pool's connections are made from its clients' addresses. */
bool sending_is_wanted(const struct config *c);
/* Whether this process may make them; `later`: it was without when it gave up its capabilities. 0,
 * or a negative errno and lines in `errors`, each about a pool. */
int sending_check(const struct config *c, bool later, FILE *errors);
/* The capability to keep, once that is so: of the two that do, the one that may less. */
int sending_capability(void);
