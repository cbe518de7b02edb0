// SPDX-License-Identifier: GPL-2.0-or-later
#include "question.h"

#include <stdio.h>
#include <string.h>

#include "../config/config.h"
#include "../config/names.h"
#include "../sniff/proxyheader.h"
#include "clienthello.h"

/* The header that says that no client is behind this connection. */
static size_t put_proxy_header(uint8_t *buf, enum proxy_send send)
{
	const struct proxy_header self = {.command = PROXY_LOCAL};

	if (send == PROXY_SEND_NO)
		return 0;
	return proxy_header_build(buf, QUESTION_MAX, send == PROXY_SEND_V1 ? 1 : 2, &self);
}

/* What the file calls the server; the path of a unix socket is no host. */
static const char *host_of(const struct pool_config *pool, const char *text)
{
	if (*pool->health_host)
		return pool->health_host;
	if (strncmp(text, "unix:", 5) == 0 || strncmp(text, "internal:", 9) == 0)
		return "localhost";
	return text;
}

static size_t put_request(uint8_t *buf, size_t size, const struct pool_config *pool,
			  const char *text)
{
	int n = snprintf((char *)buf, size,
			 "GET %s HTTP/1.1\r\n"
			 "Host: %s\r\n"
			 "User-Agent: spliced/" SPLICED_VERSION " (health check)\r\n"
			 "Accept: */*\r\n"
			 "Connection: close\r\n\r\n",
			 pool->health_path, host_of(pool, text));

	return (size_t)n;
}

/* A host's name without its port; "": it is an address, which no client sends as its SNI. */
static void name_of(const char *host, char *buf, size_t size)
{
	size_t len = strcspn(host, ":");
	bool numeric;

	buf[0] = '\0';
	if (host[0] == '[' || !len || len >= size || !host_is_valid(host, len, &numeric) || numeric)
		return;
	memcpy(buf, host, len);
	buf[len - (host[len - 1] == '.')] = '\0';
}

size_t question_build(uint8_t *buf, const struct pool_config *pool, const char *text)
{
	size_t len = put_proxy_header(buf, pool->send_proxy);
	char name[256];

	switch (pool->health_check) {
	case HEALTH_CHECK_HTTP:
		return len + put_request(buf + len, QUESTION_MAX - len, pool, text);
	case HEALTH_CHECK_TLS:
		name_of(host_of(pool, text), name, sizeof(name));
		return len + client_hello_build(buf + len, QUESTION_MAX - len, name);
	default:
		return len;
	}
}
