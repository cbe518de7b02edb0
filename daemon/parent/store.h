/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The service manager's descriptor store (sd_notify(3), FDSTORE=1): it has a copy of each listening
 * socket, and passes them to the next process of the service. So nobody is refused while that
 * starts. Names there have a form of their own, which tells them from sockets of socket units:
 *
 *     spliced-store/INDEX/DEVICE.INODE/NAME
 *
 * Used where the environment has FDSTORE=, as systemd 254 sets it. NAME is that
 * of the holder's item; the inode is that of a unix socket's file, or 0. In NAME a byte that the
 * store does not take is %XX.
 */
#pragma once

#include "held.h"

#define STORE_NAME_MAX 256 /* with the NUL: what systemd takes */

bool store_is_name(const char *name);
/* 0, or -ENAMETOOLONG. */
int store_name(const struct held *item, char ret[STORE_NAME_MAX]);
/* Has a copy kept. False: there is no such manager, or it cannot be told. */
bool store_put(const struct held *item);
void store_remove(const struct held *item);
void store_remove_name(const char *name);
/* Fills in name, index, address and file of an item whose descriptor has come back with that name.
 * 0, or -EINVAL: it is no such name, or the file is another one. */
int store_get(struct held *item, const char *name);
