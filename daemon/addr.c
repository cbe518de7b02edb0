/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "decimal.h"

#define UNIX_PREFIX   "unix:"
#define PASSED_PREFIX "systemd:"
#define STEER_PREFIX  "steer:"
#define UNIX_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path))

static int invalid(const char **why, const char *phrase)
{
	*why = phrase;
	return -EINVAL;
}

size_t addr_tidy_path(const char *path, char *ret, size_t size)
{
	size_t n = 0;

	for (const char *c = path; *c; c++) {
		while (c[0] == '/' && (c[1] == '/' || (c[1] == '.' && c[2] == '/')))
			c += c[1] == '/' ? 1 : 2;
		if (n < size)
			ret[n] = *c;
		n++;
	}
	if (size)
		ret[MIN(n, size - 1)] = '\0';
	return n;
}

/* The path may use all of sun_path but the last byte, so that every reader finds a NUL. */
static int parse_unix(const char *name, struct addr *ret, const char **why)
{
	struct addr a = {.un.sun_family = AF_UNIX};
	size_t len = strlen(name);

	if (name[0] != '/' && name[0] != '@')
		return invalid(why, "unix: needs an absolute path or @name");
	if (name[0] == '@' && len == 1)
		return invalid(why, "unix:@ needs a name");
	if (name[0] == '/' && name[len - 1] == '/')
		return invalid(why, "unix: a path that ends with / is a folder's");
	if (name[0] == '/')
		len = addr_tidy_path(name, a.un.sun_path, UNIX_PATH_MAX);
	if (len >= UNIX_PATH_MAX)
		return invalid(why, "unix path is longer than 107 bytes");

	if (name[0] == '@')
		memcpy(a.un.sun_path, name, len);
	a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (name[0] == '@')
		a.un.sun_path[0] = '\0';
	else
		a.len++; /* the NUL counts, as in getsockname() */

	*ret = a;
	return 0;
}

bool addr_means_passed(const char *text)
{
	return strncmp(text, PASSED_PREFIX, strlen(PASSED_PREFIX)) == 0;
}

bool addr_is_passed(const struct addr *a)
{
	return a->len > offsetof(struct sockaddr_un, sun_path) && a->sa.sa_family == AF_UNSPEC;
}

int addr_parse_passed(const char *text, struct addr *ret, const char **why)
{
	const char *name = text + strlen(PASSED_PREFIX);
	struct addr a = {.un.sun_family = AF_UNSPEC};
	size_t len = strlen(name);

	if (!len)
		return invalid(why, "systemd: needs the FileDescriptorName= of a socket");
	if (name[0] == '/' && name[len - 1] == '/')
		return invalid(why, "unix: a path that ends with / is a folder's");
	if (len >= UNIX_PATH_MAX)
		return invalid(why, "the name of a passed socket is longer than 107 bytes");
	for (const char *c = name; *c; c++)
		if (*c <= ' ' || *c >= 0x7f || *c == ':')
			return invalid(why, "the name of a passed socket has printable ASCII "
					    "without blanks and colons");
	if (strncmp(name, ADDR_RESERVED, strlen(ADDR_RESERVED)) == 0)
		return invalid(why, "names that begin with " ADDR_RESERVED
				    " are those of the descriptor store");

	memcpy(a.un.sun_path, name, len);
	a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	*ret = a;
	return 0;
}

bool addr_means_steered(const char *text)
{
	return strncmp(text, STEER_PREFIX, strlen(STEER_PREFIX)) == 0;
}

bool addr_is_steered(const struct addr *a)
{
	return a->len && a->sa.sa_family == AF_STEERED;
}

const char *addr_steered_text(const struct addr *a)
{
	return a->un.sun_path;
}

int addr_parse_steered(const char *text, struct addr *ret, const char **why)
{
	struct addr a = {.un.sun_family = AF_STEERED};
	size_t n = 0;

	text += strlen(STEER_PREFIX);
	text += strspn(text, " \t");
	while (*text) {
		if (n + 1 == UNIX_PATH_MAX)
			return invalid(why, "what is steered is longer than 107 bytes");
		a.un.sun_path[n++] = *text == '\t' ? ' ' : *text;
		text += *text == ' ' || *text == '\t' ? strspn(text, " \t") : 1;
	}
	a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	*ret = a;
	return 0;
}

/* The scope of a link-local address: an interface name, or its number. */
static int parse_scope(const char *scope, uint32_t *ret)
{
	unsigned int index = if_nametoindex(scope);

	if (!index && decimal_parse(scope, INT32_MAX, &index) < 0)
		return -EINVAL;
	if (!index)
		return -EINVAL;

	*ret = index;
	return 0;
}

/* `text` is what stands between the brackets. */
static int parse_host6(char *text, struct addr *ret, const char **why)
{
	struct addr a = {.len = sizeof(a.in6), .in6.sin6_family = AF_INET6};
	char *scope = strchr(text, '%');

	if (scope) {
		*scope++ = '\0';
		if (parse_scope(scope, &a.in6.sin6_scope_id) < 0)
			return invalid(why, "no such interface after %");
	}
	if (inet_pton(AF_INET6, text, &a.in6.sin6_addr) != 1)
		return invalid(why, "not a valid IPv6 address");

	*ret = a;
	return 0;
}

static int parse_host4(const char *text, struct addr *ret, const char **why)
{
	struct addr a = {.len = sizeof(a.in4), .in4.sin_family = AF_INET};

	if (strchr(text, ':'))
		return invalid(why, "an IPv6 address with a port needs brackets: [::1]:80");
	if (inet_pton(AF_INET, text, &a.in4.sin_addr) != 1)
		return invalid(why, "not a valid IPv4 address");

	*ret = a;
	return 0;
}

int addr_parse(const char *text, struct addr *ret, const char **why)
{
	char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 4];
	const char *colon;
	unsigned int port;
	struct addr a;
	size_t len;
	int r;

	if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
		return parse_unix(text + strlen(UNIX_PREFIX), ret, why);

	colon = strrchr(text, ':');
	if (!colon || (text[0] == '[' && colon > text && colon[-1] != ']'))
		return invalid(why, "port is missing");

	len = (size_t)(colon - text);
	if (len == 0)
		return invalid(why, "address before the port is missing");
	if (len >= sizeof(host))
		return invalid(why, "address is too long");
	memcpy(host, text, len);
	host[len] = '\0';

	if (host[0] == '[') {
		host[len - 1] = '\0';
		r = parse_host6(host + 1, &a, why);
	} else {
		r = parse_host4(host, &a, why);
	}
	if (r < 0)
		return r;

	if (decimal_parse(colon + 1, UINT16_MAX, &port) < 0)
		return invalid(why, "port is not 0-65535");

	addr_set_port(&a, (uint16_t)port);
	*ret = a;
	return 0;
}

/*
 * A peer chooses its own unix name, and the text goes to logs: control bytes become '?', and the
 * NULs that an abstract name may hold become '@'.
 */
static void format_unix(const struct addr *a, char buf[ADDR_STR_MAX])
{
	const char *path = a->un.sun_path;
	size_t len = a->len - offsetof(struct sockaddr_un, sun_path), n = strlen(UNIX_PREFIX);
	bool abstract = len > 0 && path[0] == '\0';

	memcpy(buf, UNIX_PREFIX, n);
	for (size_t i = 0; i < MIN(len, UNIX_PATH_MAX); i++) {
		unsigned char c = (unsigned char)path[i];

		if (c == '\0' && !abstract)
			break;
		if (c == '\0')
			c = '@';
		else if (c < 0x20 || c >= 0x7f)
			c = '?';
		buf[n++] = (char)c;
	}
	buf[n] = '\0';
}

static void format_in6(const struct sockaddr_in6 *in6, char buf[ADDR_STR_MAX])
{
	char host[INET6_ADDRSTRLEN] = "?", scope[16] = "";

	(void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
	/* The number, not the name: naming an interface takes system calls, and this is logged. */
	if (in6->sin6_scope_id)
		(void)snprintf(scope, sizeof(scope), "%%%u", in6->sin6_scope_id);
	(void)snprintf(buf, ADDR_STR_MAX, "[%s%s]:%u", host, scope, ntohs(in6->sin6_port));
}

const char *addr_format(const struct addr *a, char buf[ADDR_STR_MAX])
{
	char host[INET_ADDRSTRLEN] = "?";

	if (a->len < sizeof(a->sa.sa_family)) {
		(void)snprintf(buf, ADDR_STR_MAX, "-");
		return buf;
	}

	switch (a->sa.sa_family) {
	case AF_INET:
		(void)inet_ntop(AF_INET, &a->in4.sin_addr, host, sizeof(host));
		(void)snprintf(buf, ADDR_STR_MAX, "%s:%u", host, ntohs(a->in4.sin_port));
		break;
	case AF_INET6:
		format_in6(&a->in6, buf);
		break;
	case AF_UNIX:
		format_unix(a, buf);
		break;
	case AF_UNSPEC:
		(void)snprintf(buf, ADDR_STR_MAX, "%s%.*s", addr_is_passed(a) ? PASSED_PREFIX : "?",
			       addr_is_passed(a) ? (int)UNIX_PATH_MAX : 0, a->un.sun_path);
		break;
	case AF_STEERED:
		(void)snprintf(buf, ADDR_STR_MAX, STEER_PREFIX "%s", addr_steered_text(a));
		break;
	default:
		(void)snprintf(buf, ADDR_STR_MAX, "?");
		break;
	}
	return buf;
}

/* The kernel counts the NUL of a path or not, depending on the call; it is not part of the name. */
static size_t unix_name_len(const struct addr *a)
{
	size_t len = a->len - offsetof(struct sockaddr_un, sun_path);

	if (len == 0 || a->un.sun_path[0] == '\0')
		return len;
	return strnlen(a->un.sun_path, MIN(len, UNIX_PATH_MAX));
}

const char *addr_write(const struct addr *a, char buf[ADDR_STR_MAX])
{
	const char *name = a->un.sun_path;
	int len = (int)unix_name_len(a);

	if (!a->len || a->sa.sa_family != AF_UNIX)
		return addr_format(a, buf);
	if (len && !*name)
		(void)snprintf(buf, ADDR_STR_MAX, UNIX_PREFIX "@%.*s", len - 1, name + 1);
	else
		(void)snprintf(buf, ADDR_STR_MAX, UNIX_PREFIX "%.*s", len, name);
	return buf;
}

static int order_bytes(const void *a, size_t len_a, const void *b, size_t len_b)
{
	int order = memcmp(a, b, MIN(len_a, len_b));

	return order ? order : (len_a > len_b) - (len_a < len_b);
}

int addr_order(const struct addr *a, const struct addr *b)
{
	int order = a->sa.sa_family - b->sa.sa_family;

	if (order || addr_equal(a, b))
		return order;
	switch (a->sa.sa_family) {
	case AF_INET:
		order = memcmp(&a->in4.sin_addr, &b->in4.sin_addr, sizeof(a->in4.sin_addr));
		return order ? order : addr_port(a) - addr_port(b);
	case AF_INET6:
		order = memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr));
		if (!order)
			order = addr_port(a) - addr_port(b);
		return order ? order
			     : (a->in6.sin6_scope_id > b->in6.sin6_scope_id) -
				   (a->in6.sin6_scope_id < b->in6.sin6_scope_id);
	case AF_UNIX:
		return order_bytes(a->un.sun_path, unix_name_len(a), b->un.sun_path,
				   unix_name_len(b));
	default:
		return strcmp(a->un.sun_path, b->un.sun_path);
	}
}

bool addr_ipv6_host(const char *host, size_t len, char ret[ADDR_IPV6_HOST_MAX])
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr bytes;

	if (len < 2 || len - 2 >= sizeof(text) || host[0] != '[' || host[len - 1] != ']')
		return false;
	memcpy(text, host + 1, len - 2);
	text[len - 2] = '\0';
	if (inet_pton(AF_INET6, text, &bytes) != 1 ||
	    !inet_ntop(AF_INET6, &bytes, text, sizeof(text)))
		return false;
	(void)snprintf(ret, ADDR_IPV6_HOST_MAX, "[%s]", text);
	return true;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	size_t len;

	if (a->len == 0 || b->len == 0)
		return a->len == b->len;
	if (a->sa.sa_family != b->sa.sa_family)
		return false;

	switch (a->sa.sa_family) {
	case AF_INET:
		return a->in4.sin_port == b->in4.sin_port &&
		       a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
	case AF_INET6:
		return a->in6.sin6_port == b->in6.sin6_port &&
		       a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
		       IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr);
	case AF_UNIX:
		len = unix_name_len(a);
		return len == unix_name_len(b) && memcmp(a->un.sun_path, b->un.sun_path, len) == 0;
	case AF_STEERED:
		return strcmp(a->un.sun_path, b->un.sun_path) == 0;
	case AF_UNSPEC:
		return addr_is_passed(a) && addr_is_passed(b) &&
		       strcmp(a->un.sun_path, b->un.sun_path) == 0;
	default:
		return false;
	}
}

bool addr_has_port(const struct addr *a)
{
	return a->len && (a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6);
}

uint16_t addr_port(const struct addr *a)
{
	if (a->len == 0)
		return 0;
	if (a->sa.sa_family == AF_INET)
		return ntohs(a->in4.sin_port);
	if (a->sa.sa_family == AF_INET6)
		return ntohs(a->in6.sin6_port);
	return 0;
}

void addr_set_port(struct addr *a, uint16_t port)
{
	if (a->len == 0)
		return;
	if (a->sa.sa_family == AF_INET)
		a->in4.sin_port = htons(port);
	else if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons(port);
}

void addr_unmap(struct addr *a)
{
	const struct sockaddr_in6 mapped = a->in6;

	if (a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&mapped.sin6_addr))
		return;
	*a = (struct addr){.len = sizeof(a->in4),
			   .in4 = {.sin_family = AF_INET, .sin_port = mapped.sin6_port}};
	memcpy(&a->in4.sin_addr, mapped.sin6_addr.s6_addr + 12, sizeof(a->in4.sin_addr));
}

bool addr_is_loopback(const struct addr *a)
{
	if (a->sa.sa_family == AF_INET)
		return ntohl(a->in4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	if (a->sa.sa_family != AF_INET6)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
		return a->in6.sin6_addr.s6_addr[12] == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}
