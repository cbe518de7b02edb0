/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Single values as text. The parsers return 0, or -EINVAL with the reason added to *why; the
 * field is written on success only.
 */
#pragma once

#include "option.h"

int value_parse_bool(const struct option *o, const char *text, void *field, struct text *why);
int value_parse_uint(const struct option *o, const char *text, void *field, struct text *why);
int value_parse_duration(const struct option *o, const char *text, void *field, struct text *why);
int value_parse_size(const struct option *o, const char *text, void *field, struct text *why);
int value_parse_mode(const struct option *o, const char *text, void *field, struct text *why);
/* In tcpkeepalive.c, both. */
int value_parse_tcp_keepalive(const struct option *o, const char *text, void *field,
			      struct text *why);
void value_format_tcp_keepalive(const struct tcp_keepalive *k, FILE *out);
int value_parse_enum(const struct option *o, const char *text, void *field, struct text *why);
/* These replace an owned string; -ENOMEM is possible. */
int value_parse_path(const struct option *o, const char *text, void *field, struct text *why);
int value_parse_user(const struct option *o, const char *text, void *field, struct text *why);
int value_parse_group(const struct option *o, const char *text, void *field, struct text *why);
int value_parse_log(const struct option *o, const char *text, void *field, struct text *why);
int value_parse_token(const struct option *o, const char *text, void *field, struct text *why);
int value_parse_field(const struct option *o, const char *text, void *field, struct text *why);
int value_parse_name(const struct option *o, const char *text, void *field, struct text *why);

/* The text of a number of nanoseconds or bytes, in the largest unit that divides it. */
#define VALUE_STR_MAX 32
const char *value_format_duration(uint64_t ns, char buf[VALUE_STR_MAX]);
const char *value_format_size(uint64_t bytes, char buf[VALUE_STR_MAX]);

/*
 * Letters, digits, '_' and '-' in labels, and perhaps a dot at the end. *numeric: the last label
 * is a number, so this is or was meant to be an IPv4 address.
 */
bool host_is_valid(const char *host, size_t len, bool *numeric);

/* What HTTP calls a token, of 1 to `max` bytes. */
#define TOKEN_MAX 63
bool token_is_valid(const char *text, size_t max);
