// SPDX-License-Identifier: GPL-2.0-or-later
#include "passed.h"

#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "../log.h"
#include "holder.h"
#include "store.h"

static int take(struct holder *h, const char *fd_name, int fd)
{
	char name[BIND_NAME_MAX + sizeof("systemd:")];

	if (store_is_name(fd_name))
		return holder_add_stored(h, fd_name, fd);
	(void)snprintf(name, sizeof(name), "systemd:%s", fd_name);
	return holder_add_passed(h, name, fd);
}

int passed_take(struct holder *h)
{
	char **names = NULL;
	int err = 0, n = sd_listen_fds_with_names(1, &names);

	if (n < 0)
		return log_errno(n, "LISTEN_FDS");
	for (int i = 0; i < n; i++) {
		int failed = take(h, names[i], SD_LISTEN_FDS_START + i);

		err = err ? err : failed;
		free(names[i]);
	}
	free(names);
	return err ? log_errno(err, "taking what the service manager passed") : 0;
}
