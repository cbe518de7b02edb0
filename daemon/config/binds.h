/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

struct config_file;

/* Addresses of listeners that cannot be bound beside each other, or beside the control socket and
 * `status`. */
void check_binds(struct config_file *f);
