/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"

static bool parse_unix(const char *path, struct address *ret)
{
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(ret->un.sun_path))
		return false;
	ret->un.sun_family = AF_UNIX;
	memcpy(ret->un.sun_path, path, len + 1);
	ret->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	if (path[0] == '@') {
		ret->un.sun_path[0] = '\0';
		ret->len--;
	}
	return true;
}

bool address_parse(const char *text, struct address *ret)
{
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2], *end;
	unsigned long port;
	size_t len;

	memset(ret, 0, sizeof(*ret));
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, ret);
	if (!colon || colon[1] == '\0')
		return false;
	port = strtoul(colon + 1, &end, 10);
	len = (size_t)(colon - text);
	if (*end || port > UINT16_MAX || len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		ret->in6.sin6_family = AF_INET6;
		ret->in6.sin6_port = htons((uint16_t)port);
		ret->len = sizeof(ret->in6);
		return inet_pton(AF_INET6, host + 1, &ret->in6.sin6_addr) == 1;
	}
	ret->in4.sin_family = AF_INET;
	ret->in4.sin_port = htons((uint16_t)port);
	ret->len = sizeof(ret->in4);
	return inet_pton(AF_INET, host, &ret->in4.sin_addr) == 1;
}

const char *address_format(const struct address *a, char buf[ADDRESS_TEXT])
{
	char host[INET6_ADDRSTRLEN] = "";

	if (a->sa.sa_family == AF_UNIX) {
		const char *path = a->un.sun_path;
		size_t len = a->len - offsetof(struct sockaddr_un, sun_path);

		if (path[0] == '\0')
			snprintf(buf, ADDRESS_TEXT, "unix:@%.*s", (int)len - 1, path + 1);
		else
			snprintf(buf, ADDRESS_TEXT, "unix:%s", path);
	} else if (a->sa.sa_family == AF_INET6) {
		(void)inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host));
		snprintf(buf, ADDRESS_TEXT, "[%s]:%u", host, ntohs(a->in6.sin6_port));
	} else {
		(void)inet_ntop(AF_INET, &a->in4.sin_addr, host, sizeof(host));
		snprintf(buf, ADDRESS_TEXT, "%s:%u", host, ntohs(a->in4.sin_port));
	}
	return buf;
}
