/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Socket addresses and networks, as text and as sockaddr. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "util.h"

/*
 * One concrete socket address: IPv4, IPv6 or unix (a path, or @name for the abstract space). Where
 * it says whom to accept, it may be the name of sockets that the service manager passes instead
 * (AF_UNSPEC), or say what is steered to a listener (AF_STEERED): the name or the text with its NUL
 * is where a unix path is.
 */
#define AF_STEERED (AF_MAX + 1) /* no family of the kernel's */

struct addr {
	socklen_t len; /* 0: unset */
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
};

#define ADDR_STR_MAX 128 /* "unix:" and a full sun_path fit */

/*
 * Parses "1.2.3.4:80", "[::1]:80", "unix:/path" or "unix:@name". Port 0 is allowed.
 * Returns 0, or -EINVAL and sets *why to a static English phrase ("port is not 0-65535").
 * A host name is -EINVAL here: see endpoint_parse() in config.
 */
int addr_parse(const char *text, struct addr *ret, const char **why);

/*
 * The one spelling of an absolute path that does not depend on what is there: "/run//x/./a" is
 * "/run/x/a". addr_parse() gives the paths of unix sockets that. Cut to fit; returns how long it
 * is.
 */
size_t addr_tidy_path(const char *path, char *ret, size_t size);

/* Writes the text form that addr_parse() reads, for people: bytes of a unix name that are not
 * printable ASCII are "?", and a peer with no unix path is "unix:". Returns buf. */
const char *addr_format(const struct addr *a, char buf[ADDR_STR_MAX]);
/* The same of an address that was parsed, byte for byte: no other address has that text. */
const char *addr_write(const struct addr *a, char buf[ADDR_STR_MAX]);

/* What such names begin with that are no administrator's: see parent/store.h. */
#define ADDR_RESERVED "spliced-store/"
/* Parses "systemd:NAME": the sockets with FileDescriptorName=NAME. Otherwise as addr_parse(). */
int addr_parse_passed(const char *text, struct addr *ret, const char **why);
/* Whether the text is such a name, or is meant to be one. */
bool addr_means_passed(const char *text);
bool addr_is_passed(const struct addr *a);

/* Takes "steer:TEXT", white space being one blank. What TEXT may be is config/steer.h's to know.
 * Otherwise as addr_parse(). */
int addr_parse_steered(const char *text, struct addr *ret, const char **why);
/* Whether the text is meant to be such a one. */
bool addr_means_steered(const char *text);
bool addr_is_steered(const struct addr *a);
/* TEXT; a->un's. */
const char *addr_steered_text(const struct addr *a);

/* "[", an address of IPv6, "]" and the NUL. */
#define ADDR_IPV6_HOST_MAX 48
/*
 * The one spelling in which a host is compared that is an address of IPv6: "[2001:DB8:0::1]" is
 * "[2001:db8::1]". False, and nothing in ret: it is no such thing.
 */
bool addr_ipv6_host(const char *host, size_t len, char ret[ADDR_IPV6_HOST_MAX]);

bool addr_equal(const struct addr *a, const struct addr *b);
/* An order for sorting, in which only equal addresses are equal. */
int addr_order(const struct addr *a, const struct addr *b);
/* An IPv4 client of an IPv6 socket (::ffff:192.0.2.1) becomes one of IPv4; others stay as they are.
 */
void addr_unmap(struct addr *a);
/* 127.0.0.0/8 and ::1. */
bool addr_is_loopback(const struct addr *a);
/* Whether it is one of IPv4 or IPv6. */
bool addr_has_port(const struct addr *a);
/* The port in host order; 0 for unix sockets. */
uint16_t addr_port(const struct addr *a);
void addr_set_port(struct addr *a, uint16_t port);
