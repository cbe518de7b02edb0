/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "names.h"

#include <ctype.h>
#include <string.h>

#define HOST_NAME_LEN 253
#define LABEL_LEN     63

bool name_is_valid(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= 63 &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") ==
		   len;
}

/* A label of a host name: letters, digits, '-' inside, and '_', which container names use. */
static bool label_is_valid(const char *label, size_t len)
{
	if (len < 1 || len > LABEL_LEN || label[0] == '-' || label[len - 1] == '-')
		return false;

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)label[i]) && label[i] != '-' && label[i] != '_')
			return false;
	return true;
}

bool host_is_valid(const char *host, size_t len, bool *numeric)
{
	const char *end = host + len;

	if (len > 1 && end[-1] == '.')
		end--;
	if (end - host > HOST_NAME_LEN)
		return false;

	for (;;) {
		const char *dot = memchr(host, '.', (size_t)(end - host));
		size_t n = (size_t)((dot ? dot : end) - host);

		if (!label_is_valid(host, n))
			return false;
		*numeric = strspn(host, "0123456789") >= n;
		if (!dot)
			return true;
		host = dot + 1;
	}
}

#define TOKEN_BYTES                                                      \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" \
	"!#$%&'*+-.^_`|~"

bool token_is_valid(const char *text, size_t max)
{
	size_t len = strlen(text);

	return len >= 1 && len <= max && strspn(text, TOKEN_BYTES) == len;
}
