/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A set of HTTP status codes, as an option has it: 200-299, 404. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct text;

#define STATUSES_MIN 100
#define STATUSES_MAX 599

struct statuses {
	uint64_t bits[(STATUSES_MAX - STATUSES_MIN) / 64 + 1];
};

bool statuses_has(const struct statuses *s, unsigned int status);
bool statuses_equal(const struct statuses *a, const struct statuses *b);
/* 0, or -EINVAL with the reason added to *why. */
int statuses_parse(const char *text, struct statuses *ret, struct text *why);
/* Writes it the way statuses_parse() reads it, with this between codes and ranges. */
void statuses_format(const struct statuses *s, const char *separator, FILE *out);
