/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "option.h"

#include <inttypes.h>

#include "../log/place.h"
#include "list.h"
#include "matchers.h"
#include "units.h"
#include "value.h"

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
	text_add(t, ", where ADDRESS is IPV4:PORT, [IPV6]:PORT, HOST:PORT, unix:/PATH, unix:@NAME, "
		    "internal:hello or original:");
}

#define KEEPALIVE_ALLOWED \
	"no, yes, auto or IDLE:INTERVAL:COUNT like 30m:10s:5, of which parts may be left out"

/* For types whose values are the same kind of thing in every option. */
static const char *const allowed_phrase[_OPTION_TYPE_MAX] = {
    [OPTION_BOOL] = "yes or no",
    [OPTION_PATH] = "an absolute path of at most 107 bytes",
    [OPTION_FOLDER] = "an absolute path",
    [OPTION_ADDRESS] = "IPV4:PORT, [IPV6]:PORT or PORT",
    [OPTION_USER] = "the name of a user",
    [OPTION_GROUP] = "the name of a group",
    [OPTION_LOG] = log_place_allowed,
    [OPTION_KEEPALIVE] = KEEPALIVE_ALLOWED,
    [OPTION_NAME] = "the NAME of a [pool NAME] section",
    [OPTION_LISTENER] = "the NAME of a [listener NAME] section",
    [OPTION_TOKEN] = "1 to 63 letters, digits or any of !#$%&'*+-.^_`|~",
    [OPTION_FIELD] = "the name of a field that HTTP and the other options do not use",
    [OPTION_TARGET] = "a path that starts with /, of at most 1024 printable bytes without blanks",
    [OPTION_AUTHORITY] = "HOST or HOST:PORT",
    [OPTION_STATUSES] = "codes and ranges from 100 to 599, like 200-299, 404",
    [OPTION_BINDS] = ("IPV4:PORT, [IPV6]:PORT, unix:/PATH, unix:@NAME, systemd:NAME or "
		      "steer:[NETWORK:]PORTS [except [NETWORK:]PORTS...]"),
    [OPTION_NAMESERVERS] = "IPV4, IPV4:PORT, IPV6 or [IPV6]:PORT",
    [OPTION_INCLUDES] = "paths of files, or patterns with *, ? or [...]",
    [OPTION_DESTINATIONS] = destination_allowed,
    [OPTION_CIDRS] = "networks like 10.0.0.0/8 or fd00::/8, addresses, or unix",
};

void option_add_allowed(const struct option *o, struct text *t)
{
	char min[UNITS_STR_MAX], max[UNITS_STR_MAX];

	if (o->word && o->type != OPTION_LOG)
		text_add(t, "%s, ", o->word);
	if (o->other_word)
		text_add(t, "%s, ", o->other_word);
	if (o->word && o->type != OPTION_LOG)
		text_add(t, "or ");

	switch (o->type) {
	case OPTION_UINT:
		text_add(t, "%" PRIu64 " to %" PRIu64, o->min, o->max);
		if (o->unit)
			text_add(t, " %s", o->unit);
		break;
	case OPTION_DURATION:
		text_add(t, "%s to %s, written with a unit like 250ms, 5s, 10m, 1h or 1d",
			 units_format_duration(o->min, min), units_format_duration(o->max, max));
		break;
	case OPTION_SIZE:
		text_add(t, "%s to %s bytes, written like 65536, 64K, 2M or 1G",
			 units_format_size(o->min, min), units_format_size(o->max, max));
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
	return value_is_single(o) ? value_set(o, base, text, why) : list_parse(o, text, base, why);
}

void option_format(const struct option *o, const void *base, size_t i, FILE *out)
{
	if (value_is_single(o))
		value_format(o, base, out);
	else
		list_format(o, base, i, out);
}
