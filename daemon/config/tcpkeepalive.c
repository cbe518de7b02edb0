/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tcpkeepalive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

/* The kernel's own limits: MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL, MAX_TCP_KEEPCNT. */
#define SECONDS_MAX 32767
#define COUNT_MAX   127

static const char *const mode_str[_TCP_KEEPALIVE_MAX] = {
    [TCP_KEEPALIVE_NO] = "no",
    [TCP_KEEPALIVE_YES] = "yes",
    [TCP_KEEPALIVE_AUTO] = "auto",
};

/* How many seconds a unit has; 0: it is none. A number alone is seconds, as nginx has it. */
static unsigned long unit_of(const char *text)
{
	static const struct {
		const char *suffix;
		unsigned long seconds;
	} units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strcmp(text, units[i].suffix) == 0)
			return units[i].seconds;
	return 0;
}

/* One part: "" leaves *ret at 0. False: it is not one. */
static bool parse_part(const char *part, bool is_time, unsigned long max, unsigned int *ret)
{
	unsigned long n, unit;
	char *rest;

	if (!*part)
		return true;
	if (*part < '0' || *part > '9')
		return false;
	n = strtoul(part, &rest, 10);
	unit = is_time ? unit_of(rest) : !*rest;
	if (!unit || n < 1 || n > max / unit)
		return false;
	*ret = (unsigned int)(n * unit);
	return true;
}

int tcpkeepalive_parse(const struct option *o _unused_, const char *text, void *field,
		       struct text *why)
{
	struct tcp_keepalive k = {.mode = TCP_KEEPALIVE_YES}, *ret = field;
	_cleanup_free_ char *copy = NULL;
	char *rest, *idle, *interval, *count;

	for (int i = 0; i < _TCP_KEEPALIVE_MAX; i++) {
		if (strcmp(text, mode_str[i]) != 0)
			continue;
		*ret = (struct tcp_keepalive){.mode = (enum tcp_keepalive_mode)i};
		return 0;
	}
	rest = copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	idle = strsep(&rest, ":");
	interval = strsep(&rest, ":");
	count = strsep(&rest, ":");
	if (!count || rest)
		return text_invalid(why, text,
				    "is neither a word nor three parts with colons between");
	if (!parse_part(idle, true, SECONDS_MAX, &k.idle))
		return text_invalid(why, text, "does not begin with 1s to 32767s");
	if (!parse_part(interval, true, SECONDS_MAX, &k.interval))
		return text_invalid(why, text, "has an interval that is not 1s to 32767s");
	if (!parse_part(count, false, COUNT_MAX, &k.count))
		return text_invalid(why, text, "has a count that is not 1 to 127");
	if (!k.idle && !k.interval && !k.count)
		return text_invalid(why, text, "has no part that says something");
	*ret = k;
	return 0;
}

static void format_seconds(unsigned int seconds, FILE *out)
{
	char buf[UNITS_STR_MAX];

	if (seconds)
		fputs(units_format_duration(seconds * NSEC_PER_SEC, buf), out);
	fputc(':', out);
}

void tcpkeepalive_format(const struct tcp_keepalive *k, FILE *out)
{
	if (!k->idle && !k->interval && !k->count) {
		fputs(mode_str[k->mode], out);
		return;
	}
	format_seconds(k->idle, out);
	format_seconds(k->interval, out);
	if (k->count)
		fprintf(out, "%u", k->count);
}
