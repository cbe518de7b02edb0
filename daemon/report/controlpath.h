/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the control socket is when nobody says so: in /run/spliced, or of a daemon that may not
 * write there in $XDG_RUNTIME_DIR/spliced, or else in /tmp/spliced-UID. For the daemon and for
 * splicectl.
 */
#pragma once

#include <stdbool.h>
#include <sys/un.h>

#define CONTROL_PATH_DEFAULT "/run/spliced/control.sock"
#define CONTROL_PATH_MAX     sizeof(((struct sockaddr_un *)0)->sun_path)

/* Whether this process may make a socket there: whoever may write to its folder or make it. A root
 * without CAP_DAC_OVERRIDE is nobody special. */
bool control_path_is_usable(const char *path);
/*
 * The path of this user's own daemon. A folder in /tmp must be this user's and nobody else's to
 * write to: -EPERM if not. With `make` it is created if it is missing. 0 or a negative errno; then
 * buf has the folder.
 */
int control_path_of_user(char buf[CONTROL_PATH_MAX], bool make);
