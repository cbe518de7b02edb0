/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers as addresses have them. */
#pragma once

#include <errno.h>

/* Digits only, no sign and no space: strtoul() takes more than an address may hold. 0, -EINVAL, or
 * -ERANGE beyond `max`. */
static inline int decimal_parse(const char *text, unsigned int max, unsigned int *ret)
{
	unsigned int n = 0;

	if (!*text)
		return -EINVAL;

	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9')
			return -EINVAL;
		n = n * 10 + (unsigned int)(*p - '0');
		if (n > max)
			return -ERANGE;
	}

	*ret = n;
	return 0;
}
