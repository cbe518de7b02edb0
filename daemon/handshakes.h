/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handshakes of TCP that are under way with a listening socket: whose SYN was answered, and who has
 * not answered that. The socket is not asked for them (TCP_INFO has its queue alone).
 */
#pragma once

#include <stdint.h>

/* A listening socket of this network namespace, by the number of its inode (fstat()); `references`
 * is how many handshakes are under way, and how many others the socket has, at least 1. */
typedef void (*handshakes_fn)(void *arg, uint64_t inode, unsigned int references);

/*
 * Calls fn for each. In /proc/net/tcp those that listen come first, and only they are read
 * (tcp_seq_start()); with its references, among which each request is one that has not been
 * accepted yet (reqsk_attach in inet_reqsk_alloc()), and the length of its queue, which is not
 * counted here. 0 or a negative errno.
 */
int handshakes_each(handshakes_fn fn, void *arg);
