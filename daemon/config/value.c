/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "value.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/un.h>

#include "../log/place.h"
#include "names.h"
#include "statuses.h"
#include "tcpkeepalive.h"
#include "units.h"

static int parse_bool(const struct option *o _unused_, const char *text, void *field,
		      struct text *why)
{
	bool *ret = field;

	if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
		return text_invalid(why, text, "is neither yes nor no");

	*ret = text[0] == 'y';
	return 0;
}

static int parse_uint(const struct option *o, const char *text, void *field, struct text *why)
{
	unsigned int *ret = field;
	const char *rest;
	uint64_t n;

	if (o->word && strcmp(text, o->word) == 0) {
		*ret = (unsigned int)o->word_value;
		return 0;
	}

	if (!units_take_number(text, 10, &n, &rest) || *rest)
		return text_invalid(why, text, "is not a whole number");
	if (!units_in_range(o, n))
		return text_invalid(why, text, "is out of range");

	*ret = (unsigned int)n;
	return 0;
}

static int parse_mode(const struct option *o, const char *text, void *field, struct text *why)
{
	unsigned int *ret = field;
	const char *rest;
	uint64_t n;

	if (!units_take_number(text, 8, &n, &rest) || *rest)
		return text_invalid(why, text, "is not an octal number");
	if (!units_in_range(o, n))
		return text_invalid(why, text, "is out of range");

	*ret = (unsigned int)n;
	return 0;
}

static int parse_enum(const struct option *o, const char *text, void *field, struct text *why)
{
	unsigned int *ret = field;

	for (unsigned int i = 0; i < o->n_choices; i++) {
		if (strcmp(text, o->choices[i]) != 0)
			continue;
		*ret = i;
		return 0;
	}

	return text_invalid(why, text, "is not one of the choices");
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

static int parse_path(const struct option *o, const char *text, void *field, struct text *why)
{
	if (o->word && strcmp(text, o->word) == 0)
		return replace_string(field, NULL);

	if (text[0] != '/')
		return text_invalid(why, text, "is not an absolute path");
	if (strlen(text) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return text_invalid(why, text, "is too long for a unix socket");

	return replace_string(field, text);
}

static int parse_folder(const struct option *o, const char *text, void *field, struct text *why)
{
	if ((o->may_be_empty && !*text) || (o->word && strcmp(text, o->word) == 0) ||
	    (o->other_word && strcmp(text, o->other_word) == 0))
		return replace_string(field, text);
	if (text[0] != '/')
		return text_invalid(why, text, "is not an absolute path");
	return replace_string(field, text);
}

/* A port alone is one of this host's own. */
static int parse_address(const struct option *o, const char *text, void *field, struct text *why)
{
	bool port = strspn(text, "0123456789") == strlen(text);
	struct addr a = {0};
	char full[ADDR_STR_MAX];
	const char *problem;

	if (o->word && strcmp(text, o->word) == 0) {
		*(struct addr *)field = a;
		return 0;
	}
	/* A longer one is wrong, and so is a part of it. */
	(void)snprintf(full, sizeof(full), "127.0.0.1:%s", text);
	if (addr_parse(port ? full : text, &a, &problem) < 0) {
		text_add_quoted(why, text);
		text_add(why, ": %s", problem);
		return -EINVAL;
	}
	if (a.sa.sa_family == AF_UNIX)
		return text_invalid(why, text, "is not an IP address");
	*(struct addr *)field = a;
	return 0;
}

static int parse_log(const struct option *o, const char *text, void *field, struct text *why)
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

static int parse_group(const struct option *o _unused_, const char *text, void *field,
		       struct text *why)
{
	if (strpbrk(text, " \t:/"))
		return text_invalid(why, text, "is not a group name");
	return replace_string(field, text);
}

/* Whether there is such a user is for the check to find out. */
static int parse_user(const struct option *o _unused_, const char *text, void *field,
		      struct text *why)
{
	if (strpbrk(text, " \t:/"))
		return text_invalid(why, text, "is not a user name");
	return replace_string(field, text);
}

static int parse_token(const struct option *o _unused_, const char *text, void *field,
		       struct text *why)
{
	if (*text && !token_is_valid(text, TOKEN_MAX))
		return text_invalid(why, text, "is not a token");
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
    "Traceparent",
    "Tracestate",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
};

static int parse_field(const struct option *o, const char *text, void *field, struct text *why)
{
	for (size_t i = 0; i < ARRAY_SIZE(reserved_fields); i++)
		if (strcasecmp(text, reserved_fields[i]) == 0)
			return text_invalid(why, text, "is a field with a meaning of its own");
	return parse_token(o, text, field, why);
}

/* Of a request line. */
static int parse_target(const struct option *o _unused_, const char *text, void *field,
			struct text *why)
{
	if (text[0] != '/')
		return text_invalid(why, text, "does not start with /");
	if (strlen(text) > TARGET_MAX)
		return text_invalid(why, text, "is too long");
	for (const char *p = text; *p; p++)
		if (*p <= ' ' || *p > '~' || *p == '#')
			return text_invalid(why, text, "has a byte that no path has");
	return replace_string(field, text);
}

static int parse_authority(const struct option *o _unused_, const char *text, void *field,
			   struct text *why)
{
	if (*text && !host_port_is_valid(text))
		return text_invalid(why, text, "is not a host");
	return replace_string(field, text);
}

static int parse_statuses(const struct option *o _unused_, const char *text, void *field,
			  struct text *why)
{
	return statuses_parse(text, field, why);
}

static int parse_name(const struct option *o _unused_, const char *text, void *field,
		      struct text *why)
{
	if (!*text)
		return replace_string(field, NULL);
	if (!name_is_valid(text))
		return text_invalid(why, text, "is not a valid name");
	return replace_string(field, text);
}

typedef int (*parse_fn)(const struct option *, const char *, void *, struct text *);

/* Of the types with one value. */
static const parse_fn parsers[_OPTION_TYPE_MAX] = {
    [OPTION_BOOL] = parse_bool,
    [OPTION_UINT] = parse_uint,
    [OPTION_DURATION] = units_parse_duration,
    [OPTION_SIZE] = units_parse_size,
    [OPTION_MODE] = parse_mode,
    [OPTION_ENUM] = parse_enum,
    [OPTION_PATH] = parse_path,
    [OPTION_FOLDER] = parse_folder,
    [OPTION_ADDRESS] = parse_address,
    [OPTION_USER] = parse_user,
    [OPTION_NAME] = parse_name,
    [OPTION_LISTENER] = parse_name,
    [OPTION_TOKEN] = parse_token,
    [OPTION_FIELD] = parse_field,
    [OPTION_GROUP] = parse_group,
    [OPTION_TARGET] = parse_target,
    [OPTION_AUTHORITY] = parse_authority,
    [OPTION_STATUSES] = parse_statuses,
    [OPTION_LOG] = parse_log,
    [OPTION_KEEPALIVE] = tcpkeepalive_parse,
};

bool value_is_single(const struct option *o)
{
	return parsers[o->type] != NULL;
}

int value_set(const struct option *o, void *base, const char *text, struct text *why)
{
	if (!*text && !o->may_be_empty) {
		text_add(why, "needs a value");
		return -EINVAL;
	}
	return parsers[o->type](o, text, (char *)base + o->field, why);
}

/* A default that does not parse is a mistake in the table: the unit test sets them all. */
int value_set_defaults(enum section section, void *base)
{
	for (const struct option *o = option_next(section, NULL); o; o = option_next(section, o)) {
		struct text why = {0};
		int r;

		if (!o->def || !value_is_single(o))
			continue;
		r = value_set(o, base, o->def, &why);
		if (r < 0)
			return r;
	}
	return 0;
}

static void format_uint(const struct option *o, unsigned int n, FILE *out)
{
	if (o->word && n == (unsigned int)o->word_value)
		fputs(o->word, out);
	else
		fprintf(out, "%u", n);
}

static void format_string(const struct option *o, const char *string, FILE *out)
{
	if (string)
		fputs(string, out);
	else if (o->word)
		fputs(o->word, out);
}

static void format_address(const struct option *o, const struct addr *a, FILE *out)
{
	char buf[ADDR_STR_MAX];

	fputs(a->len ? addr_write(a, buf) : o->word, out);
}

void value_format(const struct option *o, const void *base, FILE *out)
{
	const void *field = (const char *)base + o->field;
	char buf[UNITS_STR_MAX];

	switch (o->type) {
	case OPTION_BOOL:
		fputs(*(const bool *)field ? "yes" : "no", out);
		break;
	case OPTION_UINT:
		format_uint(o, *(const unsigned int *)field, out);
		break;
	case OPTION_DURATION:
		fputs(units_format_duration(*(const uint64_t *)field, buf), out);
		break;
	case OPTION_SIZE:
		if (o->word && *(const uint64_t *)field == o->word_value)
			fputs(o->word, out);
		else
			fputs(units_format_size(*(const uint64_t *)field, buf), out);
		break;
	case OPTION_MODE:
		fprintf(out, "%04o", *(const unsigned int *)field);
		break;
	case OPTION_ENUM:
		fputs(o->choices[*(const unsigned int *)field], out);
		break;
	case OPTION_ADDRESS:
		format_address(o, field, out);
		break;
	case OPTION_KEEPALIVE:
		tcpkeepalive_format(field, out);
		break;
	case OPTION_STATUSES:
		statuses_format(field, ", ", out);
		break;
	case OPTION_PATH:
	case OPTION_FOLDER:
	case OPTION_USER:
	case OPTION_GROUP:
	case OPTION_LOG:
	case OPTION_NAME:
	case OPTION_LISTENER:
	case OPTION_TOKEN:
	case OPTION_FIELD:
	case OPTION_TARGET:
	case OPTION_AUTHORITY:
		format_string(o, *(char *const *)field, out);
		break;
	default:
		break;
	}
}
