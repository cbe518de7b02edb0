/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "list.h"

#include <errno.h>
#include <string.h>

#include "array.h"
#include "file.h"
#include "matchers.h"
#include "server.h"
#include "steer.h"

#define DNS_PORT 53

/* The item that `text` is, written to `item`, which is zeroed. */
typedef int (*item_parse_fn)(const char *text, void *item, struct text *why);

static int invalid(struct text *why, const char *text, const char *problem)
{
	text_add_quoted(why, text);
	text_add(why, ": %s", problem);
	return -EINVAL;
}

/* Whether it can be steered is found here; the address keeps the text. */
static int parse_steered(const char *text, struct addr *a, struct text *why)
{
	_cleanup_steer_ struct steer s = {0};
	const char *problem;
	int err = addr_parse_steered(text, a, &problem);

	return err < 0 ? invalid(why, text, problem) : steer_parse(addr_steered_text(a), &s, why);
}

static int parse_bind(const char *text, void *item, struct text *why)
{
	const char *problem;

	if (addr_means_steered(text))
		return parse_steered(text, item, why);
	return (addr_means_passed(text) ? addr_parse_passed(text, item, &problem)
					: addr_parse(text, item, &problem)) < 0
		   ? invalid(why, text, problem)
		   : 0;
}

/* A bare address is given the port of DNS, and a bare IPv6 address its brackets. */
static int parse_nameserver(const char *text, void *item, struct text *why)
{
	const char *colon = strchr(text, ':');
	const char *problem = "not an address";
	struct addr *a = item;
	char full[ADDR_STR_MAX] = "";

	if (!colon)
		(void)snprintf(full, sizeof(full), "%s:%d", text, DNS_PORT);
	else if (text[0] != '[' && strchr(colon + 1, ':'))
		(void)snprintf(full, sizeof(full), "[%s]:%d", text, DNS_PORT);
	else if (text[0] == '[' && text[strlen(text) - 1] == ']')
		(void)snprintf(full, sizeof(full), "%s:%d", text, DNS_PORT);
	else
		(void)snprintf(full, sizeof(full), "%s", text);

	if (addr_parse(full, a, &problem) < 0)
		return invalid(why, text, problem);
	if (a->sa.sa_family == AF_UNIX)
		return invalid(why, text, "not an IP address");
	if (addr_port(a) == 0)
		return invalid(why, text, "port is not 1-65535");
	return 0;
}

static int parse_cidr(const char *text, void *item, struct text *why)
{
	const char *problem;

	return cidr_parse(text, item, &problem) < 0 ? invalid(why, text, problem) : 0;
}

static int parse_destination(const char *text, void *item, struct text *why)
{
	return destination_parse(text, item, why);
}

static int parse_server(const char *text, void *item, struct text *why)
{
	return server_parse(text, item, why);
}

static int parse_include(const char *text, void *item, struct text *why _unused_)
{
	struct include_config *i = item;

	i->pattern = strdup(text);
	return i->pattern ? 0 : -ENOMEM;
}

static int parse_route(const char *text, void *item, struct text *why)
{
	return route_parse(text, item, why);
}

/* What there is to know about the items of each type of list. */
static const struct item {
	item_parse_fn parse;
	size_t size;
	bool whole_line; /* the value is one item, commas and all */
} items[_OPTION_TYPE_MAX] = {
    [OPTION_BINDS] = {parse_bind, sizeof(struct addr), false},
    [OPTION_NAMESERVERS] = {parse_nameserver, sizeof(struct addr), false},
    [OPTION_CIDRS] = {parse_cidr, sizeof(struct cidr), false},
    [OPTION_DESTINATIONS] = {parse_destination, sizeof(struct destination), false},
    [OPTION_SERVERS] = {parse_server, sizeof(struct server_config), true},
    [OPTION_ROUTES] = {parse_route, sizeof(struct route_config), true},
    [OPTION_INCLUDES] = {parse_include, sizeof(struct include_config), false},
};

static int append(const struct option *o, const char *text, void *base, struct text *why)
{
	size_t n = option_count(o, base);
	void *item;
	int r;

	item = array_grow((char *)base + o->field, n, items[o->type].size);
	if (!item)
		return -ENOMEM;

	r = items[o->type].parse(text, item, why);
	if (r < 0)
		return r;

	n++;
	memcpy((char *)base + o->count, &n, sizeof(n));
	return 0;
}

int list_parse(const struct option *o, const char *text, void *base, struct text *why)
{
	_cleanup_free_ char *copy = NULL;
	char *rest, *word;

	if (!*text && !o->may_be_empty) {
		text_add(why, "needs a value");
		return -EINVAL;
	}
	if (!*text)
		return 0;
	if (items[o->type].whole_line)
		return append(o, text, base, why);

	copy = strdup(text);
	if (!copy)
		return -ENOMEM;

	rest = copy;
	while ((word = strsep(&rest, ","))) {
		int r;

		word = file_trim(word);
		if (!*word) {
			text_add(why, "a value is missing beside a comma");
			return -EINVAL;
		}
		r = append(o, word, base, why);
		if (r < 0)
			return r;
	}
	return 0;
}

void list_format(const struct option *o, const void *base, size_t i, FILE *out)
{
	char buf[ADDR_STR_MAX];
	const char *array;
	const void *item;

	memcpy(&array, (const char *)base + o->field, sizeof(array));
	item = array + i * items[o->type].size;

	switch (o->type) {
	case OPTION_BINDS:
	case OPTION_NAMESERVERS:
		fputs(addr_write(item, buf), out);
		break;
	case OPTION_CIDRS:
		fputs(cidr_format(item, buf), out);
		break;
	case OPTION_DESTINATIONS:
		destination_format(item, out);
		break;
	case OPTION_ROUTES:
		route_format(item, out);
		break;
	case OPTION_SERVERS:
		server_format(item, out);
		break;
	case OPTION_INCLUDES:
		fputs(((const struct include_config *)item)->pattern, out);
		break;
	default:
		break;
	}
}

static void clear_item(enum option_type type, void *item)
{
	switch (type) {
	case OPTION_ROUTES:
		route_clear(item);
		break;
	case OPTION_SERVERS:
		server_clear(item);
		break;
	case OPTION_INCLUDES:
		free(((struct include_config *)item)->pattern);
		break;
	default:
		break;
	}
}

void list_clear(const struct option *o, void *base)
{
	static const size_t none = 0;
	static const void *const null = NULL;
	size_t n = option_count(o, base);
	char *array;

	memcpy(&array, (const char *)base + o->field, sizeof(array));
	for (size_t i = 0; i < n; i++)
		clear_item(o->type, array + i * items[o->type].size);
	free(array);
	memcpy((char *)base + o->field, &null, sizeof(null));
	memcpy((char *)base + o->count, &none, sizeof(none));
}
