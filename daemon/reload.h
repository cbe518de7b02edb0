/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A configuration that is read again while the daemon runs. */
#pragma once

struct config;
struct daemon;

/*
 * Reads and checks the daemon's file. What can change while sessions run is the log; the rest is
 * told, so that nobody believes it has taken effect. A file with mistakes changes nothing.
 */
void reload(struct daemon *d);
/* Logs what in the file is hardly meant. */
void reload_say_warnings(const struct config *c);
