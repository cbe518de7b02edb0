/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a check has failed, in words of its own. */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../cgroup.h"

/* A call has, with errno; 0: it gave what it should not. The negative errno. */
static inline int failed(char why[256], const char *what)
{
	int err = errno ? -errno : -EPROTO;

	(void)snprintf(why, 256, "%s: %s", what, strerror(-err));
	return err;
}

/* What came out is not what should. -EPROTO. */
static inline int wrong(char why[256], const char *what)
{
	(void)snprintf(why, 256, "%s", what);
	return -EPROTO;
}

/* Of a trial that has failed: where no mount shows the daemon's cgroup, its programs were attached
 * to another, and that is why. */
static inline void blame_mounts(char why[256])
{
	char own[512];

	if (cgroup_self_path(own, sizeof(own)) == -EXDEV)
		(void)snprintf(why, 256, "finding the daemon's cgroup: %s",
			       cgroup_strerror(-EXDEV));
}
