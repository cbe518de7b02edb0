/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the Connection fields of a head name. */
#pragma once

#include "head.h"

/*
 * Marks each field of the head that a Connection field names, in whatever spelling: see
 * names_alike(). The options are at most HTTP_CONNECTION_OPTIONS; the work is one look-up for each
 * field, whatever the names are.
 */
void http_mark_named(struct http_head *head, const char *buf);
