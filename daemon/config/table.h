/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The option table: what a row of options.h means. Everything that knows an option's name, default
 * or range works from these rows: the parser, the checks, --dump-config, the sample file and the
 * manual page.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config.h"

/* SERVER is not written as a section: its options are the words after NAME ADDRESS in a server. */
enum section {
	SECTION_SPLICED,
	SECTION_LISTENER,
	SECTION_POOL,
	SECTION_INTERCEPT,
	SECTION_SERVER,
	_SECTION_MAX
};

/* The struct an option of a section is a field of. */
#define STRUCT_SPLICED   struct config
#define STRUCT_LISTENER  struct listener_config
#define STRUCT_POOL      struct pool_config
#define STRUCT_INTERCEPT struct intercept_config
#define STRUCT_SERVER    struct server_config

enum option_type {
	OPTION_BOOL,
	OPTION_UINT,
	OPTION_DURATION,
	OPTION_SIZE,
	OPTION_MODE,
	OPTION_ENUM,
	OPTION_PATH, /* of a unix socket */
	OPTION_FOLDER,
	OPTION_ADDRESS,
	OPTION_USER,
	OPTION_GROUP,
	OPTION_KEEPALIVE,
	OPTION_NAME,     /* of a pool */
	OPTION_LISTENER, /* the name of one */
	OPTION_LOG,
	OPTION_TOKEN,
	OPTION_FIELD,
	OPTION_TARGET, /* of a request */
	OPTION_AUTHORITY,
	OPTION_STATUSES,
	OPTION_BINDS,
	OPTION_NAMESERVERS,
	OPTION_CIDRS,
	OPTION_DESTINATIONS,
	OPTION_SERVERS,
	OPTION_ROUTES,
	OPTION_INCLUDES,
	_OPTION_TYPE_MAX
};

/* RELOAD: a changed value counts from a reload on; RESTART: only from the next start on, or of a
 * listener that is new. */
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
	const char *other_word; /* a second one; of folders */
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
	bool optional;       /* ... as a comment: no such section is needed */
	const char *help;
};
extern const struct section_info sections[_SECTION_MAX];

/* The options of a section in the table's order: the first one after NULL, NULL after the last. */
const struct option *option_next(enum section section, const struct option *after);
const struct option *option_find(enum section section, const char *key);
/* ONLY_*: `only`, or, of a listener's option whose help begins with "http: ", ONLY_HTTP. */
unsigned int option_only(const struct option *o);
/* The key of the section that `key` is most likely a misspelling of, or NULL. */
const char *option_nearest(enum section section, const char *key);
/* The kind of named section that `name` is most likely a misspelling of, or NULL. */
const char *section_nearest(const char *name);
/* How many values the option has: a list's length, or 1. */
size_t option_count(const struct option *o, const void *base);
