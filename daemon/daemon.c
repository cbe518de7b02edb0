// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "accept.h"
#include "config/config.h"
#include "listener.h"
#include "log.h"
#include "splice/maps.h"
#include "upstream/pool.h"
#include "worker.h"

static int init_pools(struct daemon *d)
{
	d->pools = calloc(d->config->n_pools + 1, sizeof(*d->pools));
	if (!d->pools)
		return -ENOMEM;
	for (size_t i = 0; i < d->config->n_pools; i++) {
		d->pools[i] = pool_new(&d->config->pools[i]);
		if (!d->pools[i])
			return -ENOMEM;
		d->n_pools++;
		for (size_t j = 0; j < d->pools[i]->n_servers; j++)
			d->pools[i]->servers[j].index = d->n_servers++;
	}
	return 0;
}

void daemon_own(struct daemon *d, int fd)
{
	int err;

	if (!d->maps || !d->maps->collected || d->config->engage_after)
		return;
	err = maps_own(d->maps, fd);
	if (err && !atomic_exchange(&d->told_unmarked, true))
		log_warn(
		    "sockets cannot be marked for sockops: %s; they are added one by one, which "
		    "is slower%s",
		    strerror(-err), err == -ENOMEM ? " (net.core.optmem_max is small)" : "");
}

int daemon_init(struct daemon *d, unsigned int n_workers)
{
	uint32_t max = d->config->max_sessions;
	int err;

	d->started_ns = now_ns();
	if (getrandom(&d->instance, sizeof(d->instance), 0) != (ssize_t)sizeof(d->instance))
		d->instance = d->started_ns;
	splice_settings_init(&d->settings, d->config);
	atomic_store(&d->access_log, d->config->access_log != NULL);
	atomic_store(&d->log_empty, d->config->log_empty);
	memory_init(&d->memory, d->config);
	d->workers = calloc(n_workers, sizeof(*d->workers));
	err = d->workers ? slots_init(&d->slots, max) : -ENOMEM;
	if (!err)
		err = init_pools(d);
	if (err)
		return log_errno(err, "setting up for %u sessions", max);
	for (unsigned int i = 0; i < n_workers; i++)
		d->workers[i].loop.poll_fd = d->workers[i].loop.timer_fd =
		    d->workers[i].reserve_fd = -1;
	d->n_workers = n_workers;
	return 0;
}

int daemon_listen(struct daemon *d)
{
	const struct config *c = d->config;
	int err;

	d->listeners = calloc(c->n_listeners + 1, sizeof(*d->listeners));
	if (!d->listeners)
		return log_errno(-ENOMEM, "listeners");
	for (size_t i = 0; i < c->n_listeners; i++) {
		d->n_listeners++;
		err = accept_open(&d->listeners[i], d, &c->listeners[i]);
		if (err)
			return err;
	}
	return 0;
}

int daemon_start(struct daemon *d)
{
	int err;

	for (unsigned int i = 0; i < d->n_workers; i++) {
		err = worker_init(&d->workers[i], d, i);
		for (size_t j = 0; !err && j < d->n_listeners; j++)
			err = accept_start(&d->listeners[j], &d->workers[i]);
		if (err)
			return err;
	}
	for (unsigned int i = 0; i < d->n_workers; i++) {
		err = worker_run_thread(&d->workers[i]);
		if (err)
			return log_errno(err, "worker %u: starting its thread", i);
	}
	return 0;
}

void daemon_fini(struct daemon *d)
{
	for (unsigned int i = 0; i < d->n_workers; i++)
		worker_stop(&d->workers[i]);
	memory_watch_fini(&d->memory_watch);
	for (size_t i = 0; i < d->n_listeners; i++)
		for (unsigned int j = 0; j < d->n_workers; j++)
			accept_stop(&d->listeners[i], &d->workers[j]);
	for (unsigned int i = 0; i < d->n_workers; i++)
		worker_fini(&d->workers[i]);
	for (size_t i = 0; i < d->n_listeners; i++)
		accept_close(&d->listeners[i]);
	for (size_t i = 0; i < d->n_pools; i++)
		pool_free(d->pools[i]);
	slots_fini(&d->slots);
	memory_fini(&d->memory);
	free(d->listeners);
	free(d->pools);
	free(d->workers);
	*d = (struct daemon){.config = d->config, .maps = d->maps};
}
