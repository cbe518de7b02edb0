// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "accept.h"
#include "binding.h"
#include "config/config.h"
#include "intercept/mark.h"
#include "log.h"
#include "splice/maps.h"
#include "spreading.h"
#include "steering.h"
#include "worker.h"

void daemon_own(struct daemon *d, int fd)
{
	int err = mark_listener(d->mark, fd);

	if (err && !atomic_exchange(&d->told_unmarked, true))
		log_warn("what is accepted cannot be marked: %s%s", strerror(-err),
			 err == -ENOMEM ? " (net.core.optmem_max is small)" : "");
	if (!d->maps || !d->maps->collected || d->settings.engage_after)
		return;
	err = maps_own(d->maps, fd);
	if (err && !atomic_exchange(&d->told_unmarked, true))
		log_warn(
		    "sockets cannot be marked for sockops: %s; they are added one by one, which "
		    "is slower%s",
		    strerror(-err), err == -ENOMEM ? " (net.core.optmem_max is small)" : "");
}

static int init_setup(struct daemon *d, struct config *config, unsigned int n_workers)
{
	LIST_INIT(&d->setups.list);
	d->setup = setup_new(&d->setups, config, n_workers, NULL);
	d->config = d->setup ? d->setup->config : NULL;
	if (!d->setup)
		return -ENOMEM;
	setup_commit(d->setup, NULL);
	return 0;
}

int daemon_init(struct daemon *d, struct config *config, unsigned int n_workers)
{
	int err = init_setup(d, config, n_workers);

	if (err)
		return log_errno(err, "setting up the configuration");
	d->started_ns = now_ns();
	if (getrandom(&d->instance, sizeof(d->instance), 0) != (ssize_t)sizeof(d->instance))
		d->instance = d->started_ns;
	splice_settings_init(&d->settings, d->config);
	atomic_store(&d->access_log, d->config->access_log != NULL);
	atomic_store(&d->log_empty, d->config->log_empty);
	memory_init(&d->memory, d->config);
	d->workers = calloc(n_workers, sizeof(*d->workers));
	err = d->workers ? slots_init(&d->slots, d->config->max_sessions) : -ENOMEM;
	if (err)
		return log_errno(err, "setting up for %u sessions", d->config->max_sessions);
	for (unsigned int i = 0; i < n_workers; i++)
		d->workers[i].loop.poll_fd = d->workers[i].loop.timer_fd =
		    d->workers[i].reserve_fd = -1;
	d->n_workers = n_workers;
	return 0;
}

bool daemon_disown_socket(struct daemon *d, int fd)
{
	return d->maps && maps_disown(d->maps, fd) == 0;
}

static struct binder binder_of(struct daemon *d, FILE *errors)
{
	return (struct binder){.daemon = d,
			       .link = d->link,
			       .n_workers = d->n_workers,
			       .serving = atomic_load(&d->serving),
			       .own = daemon_own,
			       .disown = daemon_disown_socket,
			       .bypass = d->bypass,
			       .errors = errors};
}

int daemon_bind(struct daemon *d, struct setup *s, FILE *errors)
{
	const struct binder by = binder_of(d, errors);

	return bindings_open(&by, s, s == d->setup ? NULL : d->setup);
}

void daemon_commit_bindings(struct daemon *d, struct setup *s, struct setup *was)
{
	const struct binder by = binder_of(d, NULL);

	bindings_commit(&by, s, was);
	/* Before, another process may accept at what it has, too. */
	if (by.serving)
		spreading_follow(d->spreading, s);
}

/* Does one thing with the listeners of the setup, and logs what is written of it, line by line. */
static int with_errors(struct daemon *d, int (*deed)(struct daemon *d, FILE *errors))
{
	char *errors = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&errors, &size);
	int err;

	if (!f)
		return log_errno(-ENOMEM, "listeners");
	err = deed(d, f);
	/* What there was no memory for is not said. */
	(void)fclose(f);
	log_lines(LOG_LVL_ERROR, "", errors ? errors : "");
	free(errors);
	return err;
}

static int listen_all(struct daemon *d, FILE *errors)
{
	int err = daemon_bind(d, d->setup, errors);

	if (!err)
		daemon_commit_bindings(d, d->setup, NULL);
	return err;
}

int daemon_listen(struct daemon *d)
{
	return with_errors(d, listen_all);
}

int daemon_start(struct daemon *d)
{
	int err;

	for (unsigned int i = 0; i < d->n_workers; i++) {
		err = worker_init(&d->workers[i], d, i);
		if (err)
			return err;
		worker_adopt(&d->workers[i], setup_ref(d->setup));
	}
	for (unsigned int i = 0; i < d->n_workers; i++) {
		err = worker_run_thread(&d->workers[i]);
		if (err)
			return log_errno(err, "worker %u: starting its thread", i);
	}
	return 0;
}

static void serve_letter(void *owner, void *arg _unused_)
{
	worker_serve(owner);
}

static int take_over(struct daemon *d, FILE *errors)
{
	const struct binder by = binder_of(d, errors);

	int err = bindings_serve(&by, d->setup);

	return err ? err : steering_prepare(d->steering, d->setup, errors);
}

int daemon_serve(struct daemon *d)
{
	int err = with_errors(d, take_over);

	if (err)
		return err;
	spreading_follow(d->spreading, d->setup);
	steering_commit(d->steering);
	err = steering_serve(d->steering);
	if (err)
		return err;
	atomic_store(&d->serving, true);
	for (unsigned int i = 0; i < d->n_workers; i++) {
		struct worker *w = &d->workers[i];

		mailbox_post(&w->mail, &w->letters.serve, serve_letter, NULL);
	}
	return 0;
}

bool daemon_disown(struct daemon *d)
{
	const struct binder by = binder_of(d, NULL); /* it has nothing to tell */

	return bindings_disown(&by, d->setup);
}

bool daemon_is_ending(const struct daemon *d)
{
	return d->drain_due_ns || d->handing_over || atomic_load(&d->draining);
}

uint64_t daemon_drain_ns(const struct config *c)
{
	return c->drain_delay + c->shutdown_grace;
}

void daemon_fini(struct daemon *d)
{
	for (unsigned int i = 0; i < d->n_workers; i++)
		worker_stop(&d->workers[i]);
	memory_watch_fini(&d->memory_watch);
	for (unsigned int i = 0; d->setup && i < d->n_workers; i++) {
		if (d->retiring)
			accept_stop(&d->workers[i], d->retiring);
		accept_stop(&d->workers[i], d->setup);
	}
	for (unsigned int i = 0; i < d->n_workers; i++)
		worker_fini(&d->workers[i]);
	if (d->retiring)
		bindings_retire(NULL, d->bypass, d->retiring); /* the parent goes by who serves */
	if (d->setup)
		bindings_close(d->setup);
	setups_fini(&d->setups);
	slots_fini(&d->slots);
	memory_fini(&d->memory);
	free(d->workers);
	*d = (struct daemon){.maps = d->maps};
}
