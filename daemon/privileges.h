/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who the process is after set-up. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "addr.h"

struct identity {
	bool change; /* false: stay who we are */
	uid_t uid;
	gid_t gid;
};

/* For messages, from <linux/capability.h>: ": CAP_CHOWN is missing" where that capability is not
 * effective here, else "". Of those that this file speaks of. */
const char *privileges_missing(int capability);
/* The same for a bind() that failed with this negative errno: what it takes, or "". */
const char *privileges_for_bind(const struct addr *a, int err);
/*
 * Whom `user = name` means. "" is nobody else. A name that does not exist is -ENOENT; a process
 * that is not root stays who it is. 0 or a negative errno.
 */
int privileges_lookup(const char *name, struct identity *ret);
/* Makes use of every capability that the process may have: one that comes from the program's file,
 * in a container, is permitted and no more. Before threads start. */
void privileges_take(void);
/* Whether this process may become another user. */
bool privileges_may_change(void);
/* The name of the user that this process is, or its number. */
const char *privileges_own_name(char buf[64]);
/* The ids of a file's owner by name; a name that is empty is -1, and the group of a user that has
 * none of its own is that user's. -ENOENT: there is no such name. 0 or a negative errno. */
int privileges_owner(const char *user, const char *group, uid_t *uid, gid_t *gid);
/* Becomes that user with its groups, gives up every capability but `kept` (PRIVILEGES_NONE: every
 * one), and the ways to get new ones (the bounding set, where CAP_SETPCAP allows it, and
 * no_new_privs). Call before threads start. 0 or a negative errno after logging. */
#define PRIVILEGES_NONE (-1)
int privileges_drop(const struct identity *who, const char *name, int kept);
/* Raises the soft limit on descriptors to what `sessions` sessions need, no further than the hard
 * limit, which is the administrator's word; logs when that is less. */
void privileges_raise_nofile(uint32_t sessions);
