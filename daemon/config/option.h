/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options: what a row of the option table (options.h) means, and how a value gets from text into
 * the configuration and back. Everything that knows an option's name, default or range works
 * from these rows: the parser, the checks, --dump-config, the sample file and the manual page.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config.h"

/* SERVER is not written as a section: its options are the words after NAME ADDRESS in a server. */
enum section { SECTION_SPLICED, SECTION_LISTENER, SECTION_POOL, SECTION_SERVER, _SECTION_MAX };

/* The struct an option of a section is a field of. */
#define STRUCT_SPLICED  struct config
#define STRUCT_LISTENER struct listener_config
#define STRUCT_POOL     struct pool_config
#define STRUCT_SERVER   struct server_config

enum option_type {
	OPTION_BOOL,
	OPTION_UINT,
	OPTION_DURATION,
	OPTION_SIZE,
	OPTION_MODE,
	OPTION_ENUM,
	OPTION_PATH,
	OPTION_USER,
	OPTION_GROUP,
	OPTION_KEEPALIVE,
	OPTION_NAME,
	OPTION_LOG,
	OPTION_TOKEN,
	OPTION_FIELD,
	OPTION_BINDS,
	OPTION_NAMESERVERS,
	OPTION_CIDRS,
	OPTION_SERVERS,
	OPTION_ROUTES,
	_OPTION_TYPE_MAX
};

/* RELOAD: a changed value counts from SIGHUP on; RESTART: only from the next start on. */
enum option_reload { RELOAD, RESTART };

/* What a listener must be for an option to do anything; of several, one is enough. */
#define ONLY_TLS  (1u << PROTOCOL_TLS)
#define ONLY_HTTP (1u << PROTOCOL_HTTP | 1u << PROTOCOL_AUTO)
#define ONLY_AUTO (1u << PROTOCOL_AUTO)
#define ONLY_RAW  (1u << PROTOCOL_TCP | 1u << PROTOCOL_TLS | 1u << PROTOCOL_AUTO)
#define ONLY_UNIX (1u << _PROTOCOL_MAX) /* it binds a unix socket */
#define ONLY_IPV6 (2u << _PROTOCOL_MAX) /* it binds an IPv6 address */

/* One row of the table: a field of the section's struct. */
struct option {
	enum section section;
	const char *key;
	enum option_type type;
	const char *def;     /* in the file's syntax; NULL: must be written */
	const char *example; /* for the sample file, where def is NULL */
	enum option_reload reload;
	bool may_be_empty;
	uint64_t min, max;
	const char *const *choices; /* OPTION_ENUM */
	unsigned int n_choices;
	const char *word; /* a word allowed besides the numbers or paths */
	uint64_t word_value;
	const char *unit;
	unsigned int only; /* ONLY_*: of what listeners it is; 0: of all */
	const char *help;
	size_t field; /* offsets in the section's struct */
	size_t count; /* ... of a list's length */
	size_t where; /* ... of a struct config_where, 0: none */
};

#define OPTION(section, key, ...) OPTION_ID_##section##_##key,
#define OPTION_LIST               OPTION
enum option_id {
#include "options.h"
	_OPTION_ID_MAX
};
#undef OPTION
#undef OPTION_LIST

extern const struct option options[_OPTION_ID_MAX];

struct section_info {
	const char *name;
	bool named;          /* [listener NAME]; NAME is the first field of its struct */
	const char *example; /* the name the sample file uses */
	const char *help;
};
extern const struct section_info sections[_SECTION_MAX];

/* A message being put together; what does not fit is cut. */
struct text {
	size_t len;
	char s[1024];
};
void text_add(struct text *t, const char *fmt, ...) _printf_(2, 3);
/* Adds "value", shortened when it is long. */
void text_add_quoted(struct text *t, const char *value);

/* The options of a section in the table's order: the first one after NULL, NULL after the last. */
const struct option *option_next(enum section section, const struct option *after);
const struct option *option_find(enum section section, const char *key);
/* ONLY_*: `only`, or, of a listener's option whose help begins with "http: ", ONLY_HTTP. */
unsigned int option_only(const struct option *o);
/* The key of the section that `key` is most likely a misspelling of, or NULL. */
const char *option_nearest(enum section section, const char *key);
/* Adds what a value may be: "auto, or 1 to 256". */
void option_add_allowed(const struct option *o, struct text *t);

/*
 * Parses `text` into the option's field of `base`, the section's struct; the items of a list are
 * appended. Returns 0, -ENOMEM, or -EINVAL with the reason added to *why ("\"x\" is not a number").
 */
int option_set(const struct option *o, void *base, const char *text, struct text *why);
/* Sets every option of the section that has a default. */
int option_set_defaults(enum section section, void *base);

/* How many values the option has: a list's length, or 1. */
size_t option_count(const struct option *o, const void *base);
/* Writes value number i the way option_set() reads it. */
void option_format(const struct option *o, const void *base, size_t i, FILE *out);

/* [A-Za-z0-9_.-]{1,63} */
bool name_is_valid(const char *name);
#define NAME_ALLOWED "1 to 63 letters, digits, '_', '.' or '-'"
