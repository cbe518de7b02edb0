/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

struct home;

/* The time of day for a Date field (RFC 9110 5.6.7); valid until the home's next call. */
const char *http_date(struct home *h);
