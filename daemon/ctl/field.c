// SPDX-License-Identifier: GPL-2.0-or-later
#include "field.h"

#include <inttypes.h>
#include <stdio.h>

#include "../util.h"

const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && *text ? text : "-";
}

int64_t int_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

const char *format_bytes(int64_t n, char *buf, size_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	double value = (double)n;
	size_t unit = 0;

	for (; value >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
		value /= 1024;
	(void)snprintf(buf, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buf;
}

const char *format_age(int64_t ms, char *buf, size_t size)
{
	int64_t s = ms / 1000;

	if (s < 60)
		(void)snprintf(buf, size, "%" PRId64 ".%" PRId64 "s", s, ms % 1000 / 100);
	else if (s < 3600)
		(void)snprintf(buf, size, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
	else if (s < 86400)
		(void)snprintf(buf, size, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
	else
		(void)snprintf(buf, size, "%" PRId64 "d%02" PRId64 "h", s / 86400, s / 3600 % 24);
	return buf;
}

const char *format_state(const json_t *status, char *buf, size_t size)
{
	int64_t drain_in_ms = int_of(status, "drain_in_ms");
	char age[32];

	if (json_is_true(json_object_get(status, "draining")))
		(void)snprintf(buf, size, "draining");
	else if (drain_in_ms)
		(void)snprintf(buf, size, "ending, drains in %s",
			       format_age(drain_in_ms, age, sizeof(age)));
	else
		(void)snprintf(buf, size, "running");
	return buf;
}
