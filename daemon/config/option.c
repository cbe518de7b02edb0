/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "option.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "../logplace.h"
#include "list.h"
#include "matchers.h"
#include "value.h"

const char *const engine_choice_str[_ENGINE_CHOICE_MAX] = {
    [ENGINE_AUTO] = "auto",
    [ENGINE_KERNEL] = "kernel",
    [ENGINE_COPY] = "copy",
};
const char *const local_congestion_str[_LOCAL_CONGESTION_MAX] = {
    [LOCAL_CONGESTION_AUTO] = "auto",
    [LOCAL_CONGESTION_SYSTEM] = "system",
};
const char *const balance_str[_BALANCE_MAX] = {
    [BALANCE_ROUND_ROBIN] = "round_robin",
    [BALANCE_LEAST_SESSIONS] = "least_sessions",
};
const char *const protocol_str[_PROTOCOL_MAX] = {
    [PROTOCOL_TCP] = "tcp",
    [PROTOCOL_TLS] = "tls",
    [PROTOCOL_HTTP] = "http",
    [PROTOCOL_AUTO] = "auto",
};
const char *const proxy_accept_str[_PROXY_ACCEPT_MAX] = {
    [PROXY_ACCEPT_NO] = "no",
    [PROXY_ACCEPT_V1] = "v1",
    [PROXY_ACCEPT_V2] = "v2",
    [PROXY_ACCEPT_ANY] = "any",
};
const char *const reuse_str[_REUSE_MAX] = {
    [REUSE_NEVER] = "never",
    [REUSE_SAFE] = "safe",
    [REUSE_ALWAYS] = "always",
};

const char *const proxy_send_str[_PROXY_SEND_MAX] = {
    [PROXY_SEND_NO] = "no",
    [PROXY_SEND_V1] = "v1",
    [PROXY_SEND_V2] = "v2",
};
const char *const h2_mode_str[_H2_MODE_MAX] = {
    [H2_AUTO] = "auto", [H2_NO] = "no", [H2_TUNNEL] = "tunnel"};

const char *const forward_mode_str[_FORWARD_MODE_MAX] = {
    [FORWARD_NO] = "no",
    [FORWARD_APPEND] = "append",
    [FORWARD_REPLACE] = "replace",
};

/* Of log.h's enums; kept here so that the configuration stands without the log. */
static const char *const log_level_choices[_LOG_LVL_MAX] = {
    [LOG_LVL_ERROR] = "error",
    [LOG_LVL_WARNING] = "warning",
    [LOG_LVL_INFO] = "info",
    [LOG_LVL_DEBUG] = "debug",
};
static const char *const log_target_choices[_LOG_TO_MAX] = {
    [LOG_TO_AUTO] = "auto",
    [LOG_TO_JOURNAL] = "journal",
    [LOG_TO_STDERR] = "stderr",
};

const struct section_info sections[_SECTION_MAX] = {
    [SECTION_SPLICED] = {"spliced", false, NULL, "The daemon itself."},
    [SECTION_LISTENER] =
	{"listener", true, "web",
	 "Where clients are accepted, and which pool serves them. There may be any "
	 "number of these sections, each with a name of its own."},
    [SECTION_POOL] = {"pool", true, "hello",
		      "Servers that do the same work. There may be any number of these sections, "
		      "each with a name of its own."},
    [SECTION_SERVER] = {"server", false, NULL, NULL},
};

#define CHOICES(array) .choices = (array), .n_choices = ARRAY_SIZE(array)
#define OPTION(sec, name, member, kind, text, when, what, ...)                 \
	[OPTION_ID_##sec##_##name] = {.section = SECTION_##sec,                \
				      .key = #name,                            \
				      .type = OPTION_##kind,                   \
				      .def = (text),                           \
				      .reload = (when),                        \
				      .help = what,                            \
				      .field = offsetof(STRUCT_##sec, member), \
				      __VA_ARGS__},
#define OPTION_LIST(sec, name, member, kind, text, when, what, ...) \
	OPTION(sec, name, member, kind, text, when, what,           \
	       .count = offsetof(STRUCT_##sec, n_##member), __VA_ARGS__)
const struct option options[_OPTION_ID_MAX] = {
#include "options.h"
};
#undef OPTION
#undef OPTION_LIST

/* What value_parse_*() writes through the field's address must be what the field is. */
#define C_TYPE_BOOL        bool
#define C_TYPE_UINT        unsigned int
#define C_TYPE_DURATION    uint64_t
#define C_TYPE_SIZE        uint64_t
#define C_TYPE_MODE        unsigned int
#define C_TYPE_ENUM        unsigned int
#define C_TYPE_PATH        char *
#define C_TYPE_USER        char *
#define C_TYPE_GROUP       char *
#define C_TYPE_KEEPALIVE   struct tcp_keepalive
#define C_TYPE_NAME        char *
#define C_TYPE_LOG         char *
#define C_TYPE_TOKEN       char *
#define C_TYPE_FIELD       char *
#define C_TYPE_ROUTES      struct route_config *
#define C_TYPE_BINDS       struct addr *
#define C_TYPE_NAMESERVERS struct addr *
#define C_TYPE_CIDRS       struct cidr *
#define C_TYPE_SERVERS     struct server_config *
#define OPTION(sec, name, member, kind, ...)                                           \
	static_assert(sizeof(((STRUCT_##sec *)NULL)->member) == sizeof(C_TYPE_##kind), \
		      #sec "." #name ": the field does not fit the option's type");
#define OPTION_LIST OPTION
#include "options.h"
#undef OPTION
#undef OPTION_LIST

typedef int (*value_parse_fn)(const struct option *, const char *, void *, struct text *);

/* The types with one value. Lists are in list.c. */
static const value_parse_fn value_parse[_OPTION_TYPE_MAX] = {
    [OPTION_BOOL] = value_parse_bool,         [OPTION_UINT] = value_parse_uint,
    [OPTION_DURATION] = value_parse_duration, [OPTION_SIZE] = value_parse_size,
    [OPTION_MODE] = value_parse_mode,         [OPTION_ENUM] = value_parse_enum,
    [OPTION_PATH] = value_parse_path,         [OPTION_USER] = value_parse_user,
    [OPTION_NAME] = value_parse_name,         [OPTION_TOKEN] = value_parse_token,
    [OPTION_FIELD] = value_parse_field,       [OPTION_GROUP] = value_parse_group,
    [OPTION_LOG] = value_parse_log,           [OPTION_KEEPALIVE] = value_parse_tcp_keepalive,
};

void text_add(struct text *t, const char *fmt, ...)
{
	size_t room = sizeof(t->s) - t->len;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->s + t->len, room, fmt, args);
	va_end(args);

	if (n > 0)
		t->len += MIN((size_t)n, room - 1);
}

void text_add_quoted(struct text *t, const char *value)
{
	if (strlen(value) > 80)
		text_add(t, "\"%.80s...\"", value);
	else
		text_add(t, "\"%s\"", value);
}

const struct option *option_next(enum section section, const struct option *after)
{
	const struct option *o = after ? after + 1 : options;

	while (o < options + _OPTION_ID_MAX && o->section != section)
		o++;
	return o < options + _OPTION_ID_MAX ? o : NULL;
}

const struct option *option_find(enum section section, const char *key)
{
	for (const struct option *o = option_next(section, NULL); o; o = option_next(section, o))
		if (strcmp(o->key, key) == 0)
			return o;
	return NULL;
}

unsigned int option_only(const struct option *o)
{
	if (!o->only && o->section == SECTION_LISTENER && strncmp(o->help, "http: ", 6) == 0)
		return ONLY_HTTP;
	return o->only;
}

/* Levenshtein's distance; keys longer than any of ours are as far as can be. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[32], n = strlen(b);

	if (n >= ARRAY_SIZE(row) || strlen(a) >= ARRAY_SIZE(row))
		return SIZE_MAX;

	for (size_t j = 0; j <= n; j++)
		row[j] = j;

	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < n; j++) {
			size_t change = diagonal + (a[i] != b[j]);

			diagonal = row[j + 1];
			row[j + 1] = MIN(change, MIN(row[j], diagonal) + 1);
		}
	}
	return row[n];
}

const char *option_nearest(enum section section, const char *key)
{
	const char *nearest = NULL;
	size_t best = SIZE_MAX;

	for (const struct option *o = option_next(section, NULL); o; o = option_next(section, o)) {
		size_t distance;

		distance = edit_distance(key, o->key);
		if (distance < best && distance <= MAX((size_t)1, strlen(o->key) / 3)) {
			best = distance;
			nearest = o->key;
		}
	}
	return nearest;
}

static void add_choices(const struct option *o, struct text *t)
{
	for (unsigned int i = 0; i < o->n_choices; i++)
		text_add(t, "%s%s",
			 i == 0                  ? ""
			 : i + 1 == o->n_choices ? " or "
						 : ", ",
			 o->choices[i]);
}

static void add_server_syntax(struct text *t)
{
	text_add(t, "NAME ADDRESS");
	for (const struct option *o = option_next(SECTION_SERVER, NULL); o;
	     o = option_next(SECTION_SERVER, o)) {
		if (o->type == OPTION_BOOL)
			text_add(t, " [%s]", o->key);
		else
			text_add(t, " [%s=%" PRIu64 "-%" PRIu64 "]", o->key, o->min, o->max);
	}
	text_add(t, ", where ADDRESS is IPV4:PORT, [IPV6]:PORT, HOST:PORT, unix:/PATH, unix:@NAME "
		    "or internal:hello");
}

#define KEEPALIVE_ALLOWED \
	"no, yes, auto or IDLE:INTERVAL:COUNT like 30m:10s:5, of which parts may be left out"

/* For types whose values are the same kind of thing in every option. */
static const char *const allowed_phrase[_OPTION_TYPE_MAX] = {
    [OPTION_BOOL] = "yes or no",
    [OPTION_PATH] = "an absolute path of at most 107 bytes",
    [OPTION_USER] = "the name of a user",
    [OPTION_GROUP] = "the name of a group",
    [OPTION_LOG] = LOG_PLACE_ALLOWED,
    [OPTION_KEEPALIVE] = KEEPALIVE_ALLOWED,
    [OPTION_NAME] = "the NAME of a [pool NAME] section",
    [OPTION_TOKEN] = "1 to 63 letters, digits or any of !#$%&'*+-.^_`|~",
    [OPTION_FIELD] = "the name of a field that HTTP and the other options do not use",
    [OPTION_BINDS] = "IPV4:PORT, [IPV6]:PORT, unix:/PATH or unix:@NAME",
    [OPTION_NAMESERVERS] = "IPV4, IPV4:PORT, IPV6 or [IPV6]:PORT",
    [OPTION_CIDRS] = "networks like 10.0.0.0/8 or fd00::/8, addresses, or unix",
};

void option_add_allowed(const struct option *o, struct text *t)
{
	char min[VALUE_STR_MAX], max[VALUE_STR_MAX];

	if (o->word && o->type != OPTION_LOG)
		text_add(t, "%s, or ", o->word);

	switch (o->type) {
	case OPTION_UINT:
		text_add(t, "%" PRIu64 " to %" PRIu64, o->min, o->max);
		if (o->unit)
			text_add(t, " %s", o->unit);
		break;
	case OPTION_DURATION:
		text_add(t, "%s to %s, written with a unit like 250ms, 5s, 10m, 1h or 1d",
			 value_format_duration(o->min, min), value_format_duration(o->max, max));
		break;
	case OPTION_SIZE:
		text_add(t, "%s to %s bytes, written like 65536, 64K, 2M or 1G",
			 value_format_size(o->min, min), value_format_size(o->max, max));
		break;
	case OPTION_MODE:
		text_add(t, "octal, %04o to %04o", (unsigned int)o->min, (unsigned int)o->max);
		break;
	case OPTION_ENUM:
		add_choices(o, t);
		break;
	case OPTION_ROUTES:
		route_add_allowed(t);
		break;
	case OPTION_SERVERS:
		add_server_syntax(t);
		break;
	default:
		text_add(t, "%s", allowed_phrase[o->type]);
		break;
	}

	if (o->may_be_empty)
		text_add(t, ", or empty");
}

int option_set(const struct option *o, void *base, const char *text, struct text *why)
{
	void *field = (char *)base + o->field;

	if (!*text && !o->may_be_empty) {
		text_add(why, "needs a value");
		return -EINVAL;
	}

	if (!value_parse[o->type])
		return list_parse(o, text, base, why);
	return value_parse[o->type](o, text, field, why);
}

/* A default that does not parse is a mistake in the table: the unit test sets them all. */
int option_set_defaults(enum section section, void *base)
{
	for (const struct option *o = option_next(section, NULL); o; o = option_next(section, o)) {
		struct text why = {0};
		int r;

		if (!o->def)
			continue;
		r = option_set(o, base, o->def, &why);
		if (r < 0)
			return r;
	}
	return 0;
}

size_t option_count(const struct option *o, const void *base)
{
	size_t n = 1;

	if (o->count)
		memcpy(&n, (const char *)base + o->count, sizeof(n));
	return n;
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

void option_format(const struct option *o, const void *base, size_t i, FILE *out)
{
	const void *field = (const char *)base + o->field;
	char buf[VALUE_STR_MAX];

	switch (o->type) {
	case OPTION_BOOL:
		fputs(*(const bool *)field ? "yes" : "no", out);
		break;
	case OPTION_UINT:
		format_uint(o, *(const unsigned int *)field, out);
		break;
	case OPTION_DURATION:
		fputs(value_format_duration(*(const uint64_t *)field, buf), out);
		break;
	case OPTION_SIZE:
		fputs(value_format_size(*(const uint64_t *)field, buf), out);
		break;
	case OPTION_MODE:
		fprintf(out, "%04o", *(const unsigned int *)field);
		break;
	case OPTION_ENUM:
		fputs(o->choices[*(const unsigned int *)field], out);
		break;
	case OPTION_KEEPALIVE:
		value_format_tcp_keepalive(field, out);
		break;
	case OPTION_PATH:
	case OPTION_USER:
	case OPTION_GROUP:
	case OPTION_LOG:
	case OPTION_NAME:
	case OPTION_TOKEN:
	case OPTION_FIELD:
		format_string(o, *(char *const *)field, out);
		break;
	default:
		list_format(o, base, i, out);
		break;
	}
}
