// SPDX-License-Identifier: GPL-2.0-or-later
#include "claims.h"

#include <bpf/bpf.h>

#include "binding.h"
#include "intercept/origin.h"
#include "listener.h"
#include "setup.h"

static void claim(int arrivals_fd, const struct listen_socket *s, bool looked_up)
{
	struct intercept_place nowhere = {0};

	if (s->fd < 0 || s->bound.sa.sa_family == AF_UNIX)
		return;
	if (looked_up)
		(void)bpf_map_update_elem(arrivals_fd, &s->fd, &nowhere, BPF_ANY);
	else
		(void)bpf_map_delete_elem(arrivals_fd, &s->fd);
}

void claims_write(const struct intercept_maps *maps, const struct setup *s)
{
	for (size_t i = 0; maps->arrivals_fd >= 0 && i < s->n_listeners; i++) {
		const struct listener *l = &s->listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++)
			for (unsigned int k = 0; k < l->bindings[j]->n_sockets; k++)
				claim(maps->arrivals_fd, &l->bindings[j]->sockets[k],
				      l->intercepts);
	}
}

bool claims_allow(const struct intercept_maps *maps, const struct binding *b)
{
	struct intercept_place nowhere;

	if (!b->old)
		return true;
	/* Of several, some may be of this process alone: it has more threads. */
	for (unsigned int i = 0; i < b->n_sockets; i++)
		if (bpf_map_lookup_elem(maps->arrivals_fd, &b->sockets[i].fd, &nowhere) == 0)
			return true;
	return false;
}
