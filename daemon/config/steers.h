/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

struct config_file;

/* Blames what is wrong with what is steered, by the addresses of all listeners. */
void check_steering(struct config_file *f);
