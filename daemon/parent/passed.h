/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The descriptors that the service manager passes when it starts this process (sd_listen_fds(3)):
 * those of socket units, which stay its own, and those of its descriptor store (store.h), which an
 * earlier process of this service has bound.
 */
#pragma once

struct holder;

/* Hands all of them to the holder, and no child hears of them. 0, or a negative errno after
 * logging. */
int passed_take(struct holder *h);
