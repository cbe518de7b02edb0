/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "names.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../addr.h"

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

bool host_port_is_valid(const char *text)
{
	char full[ADDR_STR_MAX];
	const char *colon = strrchr(text, ':'), *why;
	size_t len = strlen(text);
	struct addr a;
	bool numeric;

	/* A literal address, with its port or with one. */
	if (len + 3 < sizeof(full)) {
		(void)snprintf(full, sizeof(full), "%s:80", text);
		if (addr_parse(text, &a, &why) == 0 || addr_parse(full, &a, &why) == 0)
			return a.sa.sa_family != AF_UNIX;
	}
	if (colon) {
		size_t digits = strspn(colon + 1, "0123456789");

		if (!digits || digits > 5 || colon[1 + digits] ||
		    strtoul(colon + 1, NULL, 10) > UINT16_MAX)
			return false;
		len = (size_t)(colon - text);
	}
	return host_is_valid(text, len, &numeric) && !numeric;
}
