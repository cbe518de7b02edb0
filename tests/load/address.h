/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Socket addresses. The load tool has its own reader of them, so that a mistake in the daemon's
 * is not made twice.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

struct address {
	socklen_t len;
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
};

#define ADDRESS_TEXT 160

/* Reads IP:PORT, [IP]:PORT, unix:PATH or unix:@NAME. */
bool address_parse(const char *text, struct address *ret);
/* Writes what address_parse() reads; returns buf. */
const char *address_format(const struct address *a, char buf[ADDRESS_TEXT]);
