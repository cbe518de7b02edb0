// SPDX-License-Identifier: GPL-2.0-or-later
#include "reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addresses.h"
#include "binding.h"
#include "config/config.h"
#include "config/table.h"
#include "daemon.h"
#include "engine.h"
#include "health/checks.h"
#include "interception.h"
#include "log.h"
#include "parent/link.h"
#include "sending.h"
#include "setup.h"
#include "spreading.h"
#include "standings.h"
#include "steering.h"
#include "util.h"
#include "worker.h"

/* ---- who is told ------------------------------------------------------------------------ */

void reload_say_warnings(const struct config *c)
{
	for (size_t i = 0; i < c->n_warnings; i++)
		log_write_all(LOG_LVL_WARNING, "%s: %s", c->warnings[i].where, c->warnings[i].text);
}

/* The parent, which tells the service manager. */
static void tell_begun(struct daemon *d)
{
	struct message m = {.kind = MESSAGE_RELOADING, .reloading = now_ns() / NSEC_PER_USEC};

	link_tell(d->link, &m);
}

static void describe(const struct reload *r, struct message_reloaded *ret)
{
	const struct daemon *d = r->daemon;

	*ret = (struct message_reloaded){.drain_ns = daemon_drain_ns(d->config),
					 .delay_ns = d->config->drain_delay};
	log_manner(&ret->manner);
	(void)snprintf(ret->status, sizeof(ret->status), "engine %s%s", d->maps ? "kernel" : "copy",
		       r->failure);
	(void)snprintf(ret->file, sizeof(ret->file), "%s", config_optional_file(d->config));
}

void reload_state(const struct reload *r, struct message_reloaded *ret)
{
	if (r->remaining)
		*ret = (struct message_reloaded){0};
	else
		describe(r, ret);
}

static void tell_over(struct reload *r, const struct reload_result *res)
{
	struct message m = {.kind = MESSAGE_RELOADED};
	const char *why = res->done ? "" : res->messages;

	(void)snprintf(r->failure, sizeof(r->failure), "%s%.*s",
		       res->done ? "" : "; the last reload failed: ", (int)strcspn(why, "\n"), why);
	describe(r, &m.reloaded);
	link_tell(r->daemon->link, &m);
}

/* What is still as it was is told, so that nobody believes it has taken effect. */
static void say_done(const struct reload_result *res)
{
	const char *path =
	    *res->config->path ? res->config->path : "the configuration without a file";

	if (*res->restart)
		log_warn("reload: %s is valid, and in effect but for what waits for a restart: %s",
			 path, res->restart);
	else
		log_info("reload: %s is valid, and all of it is in effect", path);
}

static void say_failed(const struct reload_result *res)
{
	log_lines(LOG_LVL_ERROR, "", res->messages);
	log_error("reload: nothing is changed");
}

static void run(struct reload *r);

static void finish(struct reload *r, const struct reload_result *res)
{
	struct reload_waiting all = TAILQ_HEAD_INITIALIZER(all);
	struct reload_wait *w;

	if (res->done)
		say_done(res);
	else
		say_failed(res);
	tell_over(r, res);
	TAILQ_CONCAT(&all, &r->waiting, link);
	while ((w = TAILQ_FIRST(&all))) {
		TAILQ_REMOVE(&all, w, link);
		w->over(w, res);
	}
	free(r->restart);
	r->restart = NULL;
}

/* ---- the workers ------------------------------------------------------------------------ */

/* Home again: the last one ends it. */
static void on_adopted(void *owner _unused_, void *arg)
{
	struct reload *r = arg;
	struct daemon *d = r->daemon;
	struct setup *was = d->retiring;

	if (--r->remaining)
		return;
	spreading_retire(d->spreading, was);
	bindings_retire(d->link, d->bypass, was);
	d->retiring = NULL;
	setup_unref(was);
	finish(r,
	       &(struct reload_result){.done = true, .restart = r->restart, .config = d->config});
	if (r->again)
		run(r);
}

/* The addresses that it has no more are free as far as it is concerned. In its thread. */
static void on_shut(struct lingering *l)
{
	struct worker *w = container_of(l, struct worker, lingering);
	struct reload *r = w->reloading;

	mailbox_post(r->mail, &w->letters.adopted, on_adopted, r);
}

/* In the worker's thread, between two turns. */
static void on_setup(void *owner, void *arg)
{
	struct worker *w = owner;
	struct reload *r = arg;

	worker_adopt(w, setup_ref(w->daemon->setup));
	w->reloading = r;
	lingering_when_over(&w->lingering, on_shut);
}

static void hand_out(struct reload *r)
{
	struct daemon *d = r->daemon;

	r->remaining = d->n_workers;
	for (unsigned int i = 0; i < d->n_workers; i++)
		mailbox_post(&d->workers[i].mail, &d->workers[i].letters.setup, on_setup, r);
}

/* ---- the setup -------------------------------------------------------------------------- */

/* From here on nothing fails. */
static void commit(struct reload *r, struct setup *s)
{
	struct daemon *d = r->daemon;
	const struct config *c = s->config;

	log_setup(c->log_target, c->log_level);
	atomic_store(&d->access_log, c->access_log != NULL);
	atomic_store(&d->log_empty, c->log_empty);
	reload_say_warnings(c);
	setup_commit(s, d->setup);
	daemon_commit_bindings(d, s, d->setup);
	if (d->maps)
		bindings_say_copied(s);
	d->retiring = d->setup;
	d->setup = s;
	d->config = c;
	interception_aim(d->interception, s);
	steering_commit(d->steering);
	bindings_hide(d->link, d->bypass, d->retiring, BINDING_LEFT);
	addresses_retire(r->addresses);
	/* Who is not checked for want of memory is told there, and used all the same. */
	if (d->checks)
		(void)checks_follow(d->checks);
	standings_write(d);
	hand_out(r);
}

/* The access log last: it is the one that cannot be undone. */
static int prepare(struct reload *r, struct setup *s, FILE *errors)
{
	struct daemon *d = r->daemon;
	const struct config *c = s->config;
	char where[CONFIG_WHERE_MAX];
	int err = d->sends_for_clients ? 0 : sending_check(c, true, errors);

	if (!err)
		err = daemon_bind(d, s, errors);
	if (err)
		return err;
	err = steering_prepare(d->steering, s, errors);
	if (err) {
		bindings_undo(d->link, d->bypass, s);
		return err;
	}
	err = addresses_add(r->addresses, s);
	if (err)
		(void)fprintf(errors, "%s: looking its names up: %s\n", c->path, strerror(-err));
	if (!err) {
		err = log_access_setup(c->access_log, c->access_log_format, (uid_t)-1, (gid_t)-1);
		if (err)
			(void)fprintf(
			    errors, "%s: access_log = %s: %s\n",
			    config_where(c, c->written[OPTION_ID_SPLICED_access_log], where),
			    c->access_log ? c->access_log : "no", strerror(-err));
	}
	if (!err)
		return 0;
	addresses_undo(r->addresses);
	bindings_undo(d->link, d->bypass, s);
	return err;
}

/* Where nobody has asked for it at the start there are no programs for it. */
static void keep_bypass(const struct daemon *d, struct config *fresh, FILE *f)
{
	if (d->bypass || engine_wants_bypass(d->config) || !engine_wants_bypass(fresh))
		return;
	(void)fprintf(f, "%slocal_bypass", ftell(f) ? ", " : "");
	for (size_t i = 0; i < fresh->n_listeners; i++)
		fresh->listeners[i].local_bypass = LOCAL_BYPASS_NO;
}

/* The same. Who has asked for it at the start, and was told that it cannot be, is not told again.
 */
static void keep_spread(const struct daemon *d, struct config *fresh, FILE *f)
{
	if (d->spreading || spreading_is_wanted(d->config, d->n_workers) ||
	    !spreading_is_wanted(fresh, d->n_workers))
		return;
	(void)fprintf(f, "%sspread", ftell(f) ? ", " : "");
	fresh->spread = SPREAD_HASH;
}

/* What does not change while the daemon runs is as it was in `fresh`, and named. */
static int keep(struct reload *r, struct config *fresh, FILE *errors)
{
	const struct daemon *d = r->daemon;
	size_t size = 0;
	FILE *f = open_memstream(&r->restart, &size);
	int err;

	if (!f)
		return -ENOMEM;
	err = config_keep(d->config, fresh, f, errors);
	if (!err) {
		keep_bypass(d, fresh, f);
		keep_spread(d, fresh, f);
	}
	return fclose(f) == 0 ? err : -ENOMEM;
}

/* Where a file is gone that need not be there nothing is changed. */
static int read_again(const struct config *was, struct config **ret, FILE *errors)
{
	int err = config_load(was->input, ret, errors);

	if (err || !*was->path || *(*ret)->path)
		return err;
	(void)fprintf(errors, FILE_IS_GONE "\n", was->path, strerror(ENOENT));
	config_free(*ret);
	return -ENOENT;
}

/* 0: it is on its way. */
static int load(struct reload *r, FILE *errors)
{
	struct daemon *d = r->daemon;
	struct config *fresh = NULL;
	struct setup *s;
	int err = read_again(d->config, &fresh, errors);

	if (err < 0)
		return err;
	err = keep(r, fresh, errors);
	if (err) {
		config_free(fresh);
	} else {
		s = setup_new(&d->setups, fresh, d->n_workers, d->setup);
		err = s ? prepare(r, s, errors) : -ENOMEM;
		if (!err)
			commit(r, s);
		else if (s)
			setup_drop(s);
	}
	if (err == -ENOMEM)
		(void)fprintf(errors, "%s: %s\n", d->config->path, strerror(ENOMEM));
	return err;
}

static void run(struct reload *r)
{
	char *messages = NULL;
	size_t size = 0;
	FILE *errors = open_memstream(&messages, &size);
	int err = -ENOMEM;

	r->again = false;
	TAILQ_CONCAT(&r->waiting, &r->next, link);
	tell_begun(r->daemon);
	if (daemon_is_ending(r->daemon)) {
		err = -ESHUTDOWN;
		if (errors)
			(void)fprintf(errors, "the daemon is ending, and takes no other file\n");
	} else if (errors) {
		err = load(r, errors);
	}
	if (errors)
		(void)fclose(errors);
	if (err)
		finish(r,
		       &(struct reload_result){.messages = messages ? messages : "out of memory"});
	free(messages);
}

/* ---- who asks --------------------------------------------------------------------------- */

void reload_init(struct reload *r, struct daemon *d, struct addresses *a, struct mailbox *mail)
{
	*r = (struct reload){.daemon = d, .addresses = a, .mail = mail};
	TAILQ_INIT(&r->waiting);
	TAILQ_INIT(&r->next);
}

void reload_fini(struct reload *r)
{
	if (!r->daemon)
		return;
	TAILQ_CONCAT(&r->waiting, &r->next, link);
	if (!TAILQ_EMPTY(&r->waiting))
		finish(r, &(struct reload_result){.messages = "the daemon ends"});
	free(r->restart);
	r->restart = NULL;
}

void reload_ask(struct reload *r, struct reload_wait *w)
{
	if (w)
		TAILQ_INSERT_TAIL(&r->next, w, link);
	r->again = true;
	if (!r->remaining)
		run(r);
}
