// SPDX-License-Identifier: GPL-2.0-or-later
#include "sending.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "config/config.h"
#include "privileges.h"
#include "sender.h"

bool sending_is_wanted(const struct config *c)
{
	for (size_t i = 0; i < c->n_pools; i++)
		if (c->pools[i].source == SOURCE_CLIENT)
			return true;
	return false;
}

int sending_check(const struct config *c, bool later, FILE *errors)
{
	char from[CONFIG_WHERE_MAX];
	int err = sending_is_wanted(c) ? sender_may_be_client() : 0;
	const char *why = strerror(-err);

	if (err == -EPERM)
		why = later ? "the worker has given up CAP_NET_RAW and CAP_NET_ADMIN, as none "
			      "needed them: it takes an upgrade or a restart"
			    : "CAP_NET_RAW or CAP_NET_ADMIN is missing";

	for (size_t i = 0; err && i < c->n_pools; i++)
		if (c->pools[i].source == SOURCE_CLIENT)
			(void)fprintf(errors, "%s: source = client: %s\n",
				      config_where(c, c->pools[i].source_where.line, from), why);
	return err;
}

int sending_capability(void)
{
	return *privileges_missing(CAP_NET_RAW) ? CAP_NET_ADMIN : CAP_NET_RAW;
}
