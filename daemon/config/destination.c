// SPDX-License-Identifier: GPL-2.0-or-later
#include "destination.h"

#include <errno.h>
#include <string.h>

const char destination_allowed[] =
    "ports like 443, 8000-8999 or *, networks like 10.0.0.0/8 or fd00::/8, or both like "
    "10.0.0.0/8:5432, 192.0.2.7:* and [fd00::/8]:80-90";

static int invalid(struct text *why, const char *text, const char *problem)
{
	text_add_quoted(why, text);
	text_add(why, ": %s", problem);
	return -EINVAL;
}

/* A port and what is behind it. 0: there is none. */
static unsigned long take_port(const char *text, const char **rest)
{
	unsigned long port = 0;
	const char *p = text;

	while (*p >= '0' && *p <= '9' && port <= UINT16_MAX)
		port = port * 10 + (unsigned long)(*p++ - '0');
	*rest = p;
	return port;
}

int ports_parse(const char *text, uint16_t *first, uint16_t *last)
{
	unsigned long from, to;
	const char *rest;

	if (strcmp(text, "*") == 0) {
		*first = 1;
		*last = UINT16_MAX;
		return 0;
	}
	from = to = take_port(text, &rest);
	if (*rest == '-')
		to = take_port(rest + 1, &rest);
	if (*rest || !from || from > to || to > UINT16_MAX)
		return -EINVAL;
	*first = (uint16_t)from;
	*last = (uint16_t)to;
	return 0;
}

/* Cuts the ports off a network that has some, in place; NULL: it has none. Of an IPv6 network they
 * are behind its brackets. */
static char *cut_ports(char **network)
{
	char *colon = strrchr(*network, ':'), *end;

	if ((*network)[0] == '[') {
		end = strchr(*network, ']');
		if (!end)
			return NULL;
		*end = '\0';
		(*network)++;
		return end[1] == ':' ? end + 2 : end[1] ? end + 1 : NULL;
	}
	if (!colon || strchr(*network, ':') != colon)
		return NULL;
	*colon = '\0';
	return colon + 1;
}

int destination_parse(const char *text, struct destination *ret, struct text *why)
{
	_cleanup_free_ char *copy = strdup(text);
	struct destination d = {.first = 1, .last = UINT16_MAX};
	char *network = copy, *ports;
	const char *problem;

	if (!copy)
		return -ENOMEM;
	if (!strpbrk(text, ".:[")) {
		if (ports_parse(text, &d.first, &d.last) < 0)
			return invalid(why, text, "not a port, FIRST-LAST or *");
		*ret = d;
		return 0;
	}
	ports = cut_ports(&network);
	if (ports && ports_parse(ports, &d.first, &d.last) < 0)
		return invalid(why, text,
			       "what is behind the network is not a port, FIRST-LAST or *");
	if (strcmp(network, "*") != 0 && cidr_parse(network, &d.network, &problem) < 0)
		return invalid(why, text, problem);
	if (d.network.family == AF_UNIX)
		return invalid(why, text, "not an IP network");
	*ret = d;
	return 0;
}

static void format_ports(const struct destination *d, FILE *out)
{
	if (d->first == 1 && d->last == UINT16_MAX)
		fputs("*", out);
	else if (d->first == d->last)
		fprintf(out, "%u", d->first);
	else
		fprintf(out, "%u-%u", d->first, d->last);
}

void destination_format(const struct destination *d, FILE *out)
{
	char buf[ADDR_STR_MAX];

	if (d->network.family == AF_INET6)
		fprintf(out, "[%s]:", cidr_format(&d->network, buf));
	else if (d->network.family)
		fprintf(out, "%s:", cidr_format(&d->network, buf));
	format_ports(d, out);
}
