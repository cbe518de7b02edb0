/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "table.h"

#include <assert.h>
#include <string.h>

const char *const engine_choice_str[_ENGINE_CHOICE_MAX] = {
    [ENGINE_AUTO] = "auto",
    [ENGINE_KERNEL] = "kernel",
    [ENGINE_COPY] = "copy",
};
const char *const spread_by_str[_SPREAD_BY_MAX] = {
    [SPREAD_AUTO] = "auto",
    [SPREAD_HASH] = "hash",
    [SPREAD_SESSIONS] = "sessions",
};
const char *const local_congestion_str[_LOCAL_CONGESTION_MAX] = {
    [LOCAL_CONGESTION_AUTO] = "auto",
    [LOCAL_CONGESTION_SYSTEM] = "system",
};
const char *const bypass_trust_str[_BYPASS_TRUST_MAX] = {
    [BYPASS_TRUST_NONBLOCKING] = "nonblocking",
    [BYPASS_TRUST_ALL] = "all",
};
const char *const local_bypass_str[_LOCAL_BYPASS_MAX] = {
    [LOCAL_BYPASS_NO] = "no",
    [LOCAL_BYPASS_BOTH] = "both",
    [LOCAL_BYPASS_CLIENT] = "client",
    [LOCAL_BYPASS_SERVER] = "server",
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

const char *const pool_source_str[_POOL_SOURCE_MAX] = {
    [SOURCE_OWN] = "own",
    [SOURCE_CLIENT] = "client",
};
const char *const proxy_send_str[_PROXY_SEND_MAX] = {
    [PROXY_SEND_NO] = "no",
    [PROXY_SEND_V1] = "v1",
    [PROXY_SEND_V2] = "v2",
};
const char *const h2_mode_str[_H2_MODE_MAX] = {
    [H2_AUTO] = "auto", [H2_NO] = "no", [H2_TUNNEL] = "tunnel"};
const char *const idle_close_str[_IDLE_CLOSE_MAX] = {
    [IDLE_CLOSE_AUTO] = "auto",
    [IDLE_CLOSE_RESPONSE] = "response",
    [IDLE_CLOSE_NOW] = "now",
};

const char *const health_check_str[_HEALTH_CHECK_MAX] = {
    [HEALTH_CHECK_NONE] = "none",
    [HEALTH_CHECK_TCP] = "tcp",
    [HEALTH_CHECK_HTTP] = "http",
    [HEALTH_CHECK_TLS] = "tls",
};
const char *const all_down_str[_ALL_DOWN_MAX] = {
    [ALL_DOWN_TRY] = "try",
    [ALL_DOWN_REFUSE] = "refuse",
};

const char *const intercept_mode_str[_INTERCEPT_MODE_MAX] = {
    [INTERCEPT_WHILE_READY] = "while_ready",
    [INTERCEPT_REQUIRE] = "require",
};

const char *const forward_mode_str[_FORWARD_MODE_MAX] = {
    [FORWARD_NO] = "no",
    [FORWARD_APPEND] = "append",
    [FORWARD_REPLACE] = "replace",
};

const char *const traceparent_mode_str[_TRACEPARENT_MODE_MAX] = {
    [TRACEPARENT_PASS] = "pass",
    [TRACEPARENT_BEGIN] = "begin",
    [TRACEPARENT_REPLACE] = "replace",
};

const struct section_info sections[_SECTION_MAX] = {
    [SECTION_SPLICED] = {"spliced", false, NULL, false, "The daemon itself."},
    [SECTION_LISTENER] =
	{"listener", true, "web", false,
	 "Where clients are accepted, and which pool serves them. There may be any "
	 "number of these sections, each with a name of its own."},
    [SECTION_POOL] = {"pool", true, "hello", false,
		      "Servers that do the same work. There may be any number of these sections, "
		      "each with a name of its own."},
    [SECTION_INTERCEPT] =
	{"intercept", true, "outbound", true,
	 "Connects of other programs of this host that go to a listener instead, without their "
	 "knowledge: see Interception in operations.md. There may be any number of these sections, "
	 "and none is needed."},
    [SECTION_SERVER] = {"server", false, NULL, false, NULL},
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

/* What value_set() writes through the field's address must be what the field is. */
#define C_TYPE_BOOL         bool
#define C_TYPE_UINT         unsigned int
#define C_TYPE_DURATION     uint64_t
#define C_TYPE_SIZE         uint64_t
#define C_TYPE_MODE         unsigned int
#define C_TYPE_ENUM         unsigned int
#define C_TYPE_ADDRESS      struct addr
#define C_TYPE_PATH         char *
#define C_TYPE_FOLDER       char *
#define C_TYPE_USER         char *
#define C_TYPE_GROUP        char *
#define C_TYPE_KEEPALIVE    struct tcp_keepalive
#define C_TYPE_NAME         char *
#define C_TYPE_LISTENER     char *
#define C_TYPE_LOG          char *
#define C_TYPE_TOKEN        char *
#define C_TYPE_FIELD        char *
#define C_TYPE_TARGET       char *
#define C_TYPE_AUTHORITY    char *
#define C_TYPE_STATUSES     struct statuses
#define C_TYPE_ROUTES       struct route_config *
#define C_TYPE_BINDS        struct addr *
#define C_TYPE_NAMESERVERS  struct addr *
#define C_TYPE_CIDRS        struct cidr *
#define C_TYPE_DESTINATIONS struct destination *
#define C_TYPE_SERVERS      struct server_config *
#define C_TYPE_INCLUDES     struct include_config *
#define OPTION(sec, name, member, kind, ...)                                           \
	static_assert(sizeof(((STRUCT_##sec *)NULL)->member) == sizeof(C_TYPE_##kind), \
		      #sec "." #name ": the field does not fit the option's type");
#define OPTION_LIST OPTION
#include "options.h"
#undef OPTION
#undef OPTION_LIST

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

static bool is_near(size_t distance, const char *name)
{
	return distance <= MAX((size_t)1, strlen(name) / 3);
}

const char *option_nearest(enum section section, const char *key)
{
	const char *nearest = NULL;
	size_t best = SIZE_MAX;

	for (const struct option *o = option_next(section, NULL); o; o = option_next(section, o)) {
		size_t distance;

		distance = edit_distance(key, o->key);
		if (distance < best && is_near(distance, o->key)) {
			best = distance;
			nearest = o->key;
		}
	}
	return nearest;
}

const char *section_nearest(const char *name)
{
	for (int i = 0; i < _SECTION_MAX; i++)
		if (sections[i].named &&
		    is_near(edit_distance(name, sections[i].name), sections[i].name))
			return sections[i].name;
	return NULL;
}

size_t option_count(const struct option *o, const void *base)
{
	size_t n = 1;

	if (o->count)
		memcpy(&n, (const char *)base + o->count, sizeof(n));
	return n;
}
