/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/un.h>

#include "../logplace.h"

#define HOST_NAME_LEN 253
#define LABEL_LEN     63

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* Smallest first. */
static const struct unit durations[] = {
    {"ms", NSEC_PER_MSEC},      {"s", NSEC_PER_SEC},         {"m", 60 * NSEC_PER_SEC},
    {"h", 3600 * NSEC_PER_SEC}, {"d", 86400 * NSEC_PER_SEC},
};
static const struct unit sizes[] = {
    {"", 1},
    {"K", UINT64_C(1) << 10},
    {"M", UINT64_C(1) << 20},
    {"G", UINT64_C(1) << 30},
};

static int invalid(struct text *why, const char *text, const char *problem)
{
	text_add_quoted(why, text);
	text_add(why, " %s", problem);
	return -EINVAL;
}

/* Takes the leading digits; *rest is what follows. A number beyond 64 bits is UINT64_MAX. */
static bool take_number(const char *text, int base, uint64_t *n, const char **rest)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;

	*n = strtoull(text, &end, base);
	*rest = end;
	return true;
}

static bool in_range(const struct option *o, uint64_t n)
{
	return n >= o->min && n <= o->max;
}

int value_parse_bool(const struct option *o _unused_, const char *text, void *field,
		     struct text *why)
{
	bool *ret = field;

	if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
		return invalid(why, text, "is neither yes nor no");

	*ret = text[0] == 'y';
	return 0;
}

int value_parse_uint(const struct option *o, const char *text, void *field, struct text *why)
{
	unsigned int *ret = field;
	const char *rest;
	uint64_t n;

	if (o->word && strcmp(text, o->word) == 0) {
		*ret = (unsigned int)o->word_value;
		return 0;
	}

	if (!take_number(text, 10, &n, &rest) || *rest)
		return invalid(why, text, "is not a whole number");
	if (!in_range(o, n))
		return invalid(why, text, "is out of range");

	*ret = (unsigned int)n;
	return 0;
}

int value_parse_mode(const struct option *o, const char *text, void *field, struct text *why)
{
	unsigned int *ret = field;
	const char *rest;
	uint64_t n;

	if (!take_number(text, 8, &n, &rest) || *rest)
		return invalid(why, text, "is not an octal number");
	if (!in_range(o, n))
		return invalid(why, text, "is out of range");

	*ret = (unsigned int)n;
	return 0;
}

int value_parse_enum(const struct option *o, const char *text, void *field, struct text *why)
{
	unsigned int *ret = field;

	for (unsigned int i = 0; i < o->n_choices; i++) {
		if (strcmp(text, o->choices[i]) != 0)
			continue;
		*ret = i;
		return 0;
	}

	return invalid(why, text, "is not one of the choices");
}

/* A number and one of the units. Returns -EINVAL with the reason added. */
static int parse_scaled(const struct option *o, const char *text, const struct unit *units,
			size_t n_units, uint64_t *ret, struct text *why)
{
	const char *suffix;
	uint64_t n;

	if (!take_number(text, 10, &n, &suffix))
		return invalid(why, text, "is not a whole number with a unit");

	for (size_t i = 0; i < n_units; i++) {
		if (strcmp(suffix, units[i].suffix) != 0)
			continue;
		if (__builtin_mul_overflow(n, units[i].factor, &n) || !in_range(o, n))
			return invalid(why, text, "is out of range");
		*ret = n;
		return 0;
	}

	if (!*suffix)
		return invalid(why, text, "has no unit");
	return invalid(why, text, "is not a whole number with a unit");
}

int value_parse_duration(const struct option *o, const char *text, void *field, struct text *why)
{
	/* Zero is zero in every unit. */
	if (strcmp(text, "0") == 0)
		text = "0s";
	return parse_scaled(o, text, durations, ARRAY_SIZE(durations), field, why);
}

int value_parse_size(const struct option *o, const char *text, void *field, struct text *why)
{
	return parse_scaled(o, text, sizes, ARRAY_SIZE(sizes), field, why);
}

static int replace_string(void *field, const char *text)
{
	char **string = field, *copy = NULL;

	if (text) {
		copy = strdup(text);
		if (!copy)
			return -ENOMEM;
	}

	free(*string);
	*string = copy;
	return 0;
}

int value_parse_path(const struct option *o, const char *text, void *field, struct text *why)
{
	if (o->word && strcmp(text, o->word) == 0)
		return replace_string(field, NULL);

	if (text[0] != '/')
		return invalid(why, text, "is not an absolute path");
	if (strlen(text) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return invalid(why, text, "is too long for a unix socket");

	return replace_string(field, text);
}

int value_parse_log(const struct option *o, const char *text, void *field, struct text *why)
{
	struct log_place place;
	char problem[128];

	if (strcmp(text, o->word) == 0)
		return replace_string(field, NULL);
	if (log_place_parse(text, &place, problem) < 0) {
		text_add(why, "%s", problem);
		return -EINVAL;
	}
	return replace_string(field, text);
}

int value_parse_group(const struct option *o _unused_, const char *text, void *field,
		      struct text *why)
{
	if (strpbrk(text, " \t:/"))
		return invalid(why, text, "is not a group name");
	return replace_string(field, text);
}

/* Whether there is such a user is for the check to find out. */
int value_parse_user(const struct option *o _unused_, const char *text, void *field,
		     struct text *why)
{
	if (strpbrk(text, " \t:/"))
		return invalid(why, text, "is not a user name");
	return replace_string(field, text);
}

bool name_is_valid(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= 63 &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") ==
		   len;
}

/* A label of a host name: letters, digits, '-' inside, and '_', which container names use. */
static bool label_is_valid(const char *label, size_t len)
{
	if (len < 1 || len > LABEL_LEN || label[0] == '-' || label[len - 1] == '-')
		return false;

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)label[i]) && label[i] != '-' && label[i] != '_')
			return false;
	return true;
}

bool host_is_valid(const char *host, size_t len, bool *numeric)
{
	const char *end = host + len;

	if (len > 1 && end[-1] == '.')
		end--;
	if (end - host > HOST_NAME_LEN)
		return false;

	for (;;) {
		const char *dot = memchr(host, '.', (size_t)(end - host));
		size_t n = (size_t)((dot ? dot : end) - host);

		if (!label_is_valid(host, n))
			return false;
		*numeric = strspn(host, "0123456789") >= n;
		if (!dot)
			return true;
		host = dot + 1;
	}
}

#define TOKEN_BYTES                                                      \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" \
	"!#$%&'*+-.^_`|~"

bool token_is_valid(const char *text, size_t max)
{
	size_t len = strlen(text);

	return len >= 1 && len <= max && strspn(text, TOKEN_BYTES) == len;
}

int value_parse_token(const struct option *o _unused_, const char *text, void *field,
		      struct text *why)
{
	if (*text && !token_is_valid(text, TOKEN_MAX))
		return invalid(why, text, "is not a token");
	return replace_string(field, text);
}

/* Fields that say how a message is read, or that have options of their own. */
static const char *const reserved_fields[] = {
    "Connection",
    "Content-Length",
    "Expect",
    "Forwarded",
    "Host",
    "HTTP2-Settings",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
};

int value_parse_field(const struct option *o, const char *text, void *field, struct text *why)
{
	for (size_t i = 0; i < ARRAY_SIZE(reserved_fields); i++)
		if (strcasecmp(text, reserved_fields[i]) == 0)
			return invalid(why, text, "is a field with a meaning of its own");
	return value_parse_token(o, text, field, why);
}

int value_parse_name(const struct option *o _unused_, const char *text, void *field,
		     struct text *why)
{
	if (!*text)
		return replace_string(field, NULL);
	if (!name_is_valid(text))
		return invalid(why, text, "is not a valid name");
	return replace_string(field, text);
}

static const char *format_scaled(uint64_t n, const struct unit *units, size_t n_units,
				 char buf[VALUE_STR_MAX])
{
	const struct unit *best = units;

	for (size_t i = 1; i < n_units; i++)
		if (n % units[i].factor == 0)
			best = &units[i];

	(void)snprintf(buf, VALUE_STR_MAX, "%" PRIu64 "%s", n / best->factor,
		       n == 0 ? "" : best->suffix);
	return buf;
}

const char *value_format_duration(uint64_t ns, char buf[VALUE_STR_MAX])
{
	return format_scaled(ns, durations, ARRAY_SIZE(durations), buf);
}

const char *value_format_size(uint64_t bytes, char buf[VALUE_STR_MAX])
{
	return format_scaled(bytes, sizes, ARRAY_SIZE(sizes), buf);
}
