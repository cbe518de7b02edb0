/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

struct worker;

/* The time of day for a Date field (RFC 9110 5.6.7); valid until the worker's next call. */
const char *http_date(struct worker *w);
