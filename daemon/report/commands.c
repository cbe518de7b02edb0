// SPDX-License-Identifier: GPL-2.0-or-later
#include "commands.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../daemon.h"
#include "../doctor/doctor.h"
#include "../log.h"
#include "../mailbox.h"
#include "../parent/link.h"
#include "../privileges.h"
#include "../reload.h"
#include "../setup.h"
#include "../tally.h"
#include "../util.h"
#include "../worker.h"
#include "control.h"
#include "json.h"
#include "metrics.h"
#include "orders.h"
#include "snapshot.h"
#include "status.h"

/* ---- sessions: each worker tells its own ------------------------------------------------ */

/* Of one worker. */
struct share {
	struct letter letter; /* to the worker */
	struct worker_snapshot snapshot;
};

/* One command on its way through the workers. The last of them sends it home. */
struct gather {
	struct commands *commands;
	struct control_request *request;
	atomic_uint remaining;
	struct letter answer; /* from the last of them */
	unsigned int n_workers;
	struct share shares[];
};

/* Home again, in the main thread. */
static void gathered(void *owner _unused_, void *arg)
{
	struct gather *g = arg;
	json_t *all = json_array();
	bool complete = true;

	for (unsigned int i = 0; i < g->n_workers; i++) {
		struct worker_snapshot *w = &g->shares[i].snapshot;

		complete = complete && !w->incomplete;
		json_append_sessions(all, w);
		snapshot_worker_free(w);
	}
	if (!complete) {
		json_decref(all);
		all = NULL;
	}
	control_reply(g->request, all);
	setups_unpin(&g->commands->daemon->setups);
	free(g);
}

static void gather_letter(void *owner, void *arg)
{
	struct worker *w = owner;
	struct gather *g = arg;

	snapshot_worker(w, &g->shares[w->index].snapshot);
	if (atomic_fetch_sub(&g->remaining, 1) == 1)
		mailbox_post(g->commands->mail, &g->answer, gathered, g);
}

static void cmd_sessions(struct control_request *req, int argc _unused_, char **argv _unused_,
			 void *arg)
{
	struct commands *c = arg;
	unsigned int n = c->daemon->n_workers;
	struct gather *g = calloc(1, sizeof(*g) + n * sizeof(g->shares[0]));

	if (!g) {
		control_reply(req, NULL);
		return;
	}
	g->commands = c;
	g->request = req;
	g->n_workers = n;
	atomic_store(&g->remaining, n);
	setups_pin(&c->daemon->setups);
	for (unsigned int i = 0; i < n; i++)
		mailbox_post(&c->daemon->workers[i].mail, &g->shares[i].letter, gather_letter, g);
}

/* ---- stats: when they are up to date ---------------------------------------------------- */

struct tallied {
	struct tally_wait wait;
	const struct commands *commands;
	struct control_request *request;
};

static struct tallied *tallied_of(struct tally_wait *w)
{
	return container_of(w, struct tallied, wait);
}

static void stats_tallied(struct tally_wait *w, bool complete _unused_)
{
	struct tallied *t = tallied_of(w);
	struct stats_snapshot stats;

	snapshot_stats(t->commands->daemon, t->commands->doctor, &stats);
	control_reply(t->request, json_of_stats(&stats));
	free(t);
}

static void metrics_tallied(struct tally_wait *w, bool complete _unused_)
{
	struct tallied *t = tallied_of(w);
	size_t len;
	_cleanup_free_ char *text = metrics_text(t->commands->metrics, &len);

	control_reply(t->request, text ? json_pack("{s:s%}", "prometheus", text, len) : NULL);
	free(t);
}

static void cmd_stats(struct control_request *req, int argc, char **argv, void *arg)
{
	const struct commands *c = arg;
	bool prometheus = argc == 2 && strcmp(argv[1], "prometheus") == 0;
	struct tallied *t;

	if (argc > 1 && !prometheus) {
		control_reply_error(req, "stats: \"%s\" is not prometheus", argv[1]);
		return;
	}
	t = calloc(1, sizeof(*t));
	if (!t) {
		control_reply(req, NULL);
		return;
	}
	*t = (struct tallied){.commands = c, .request = req};
	t->wait.done = prometheus ? metrics_tallied : stats_tallied;
	tally_ask(c->tally, &t->wait);
}

/* ---- commands --------------------------------------------------------------------------- */

static void cmd_status(struct control_request *req, int argc _unused_, char **argv _unused_,
		       void *arg)
{
	const struct commands *c = arg;
	struct status_snapshot status;
	int err = snapshot_status(c->daemon, c->doctor, &status);

	status.status = c->status ? status_address(c->status) : NULL;
	control_reply(req, err ? NULL : json_of_status(&status));
	snapshot_status_free(&status);
}

static void cmd_pools(struct control_request *req, int argc _unused_, char **argv _unused_,
		      void *arg)
{
	const struct commands *c = arg;
	struct pools_snapshot pools;
	int err = snapshot_pools(c->daemon, &pools);

	control_reply(req, err ? NULL : json_of_pools(&pools));
	snapshot_pools_free(&pools);
}

static void cmd_doctor(struct control_request *req, int argc _unused_, char **argv _unused_,
		       void *arg)
{
	const struct commands *c = arg;

	control_reply(req, doctor_json(c->doctor));
}

/* ---- reload: when all workers have it --------------------------------------------------- */

struct reloading {
	struct reload_wait wait;
	struct control_request *request;
};

static void reload_over(struct reload_wait *w, const struct reload_result *r)
{
	struct reloading *asked = container_of(w, struct reloading, wait);

	control_reply(asked->request, json_of_reload(r));
	free(asked);
}

static void cmd_reload(struct control_request *req, int argc _unused_, char **argv _unused_,
		       void *arg)
{
	const struct commands *c = arg;
	struct reloading *asked = calloc(1, sizeof(*asked));

	if (!asked) {
		control_reply(req, NULL);
		return;
	}
	asked->wait.over = reload_over;
	asked->request = req;
	reload_ask(c->reload, &asked->wait);
}

/* ---- orders ----------------------------------------------------------------------------- */

static struct orders orders_of(const struct commands *c)
{
	return (struct orders){.daemon = c->daemon, .mail = c->mail};
}

static void cmd_drain(struct control_request *req, int argc, char **argv, void *arg)
{
	const struct orders o = orders_of(arg);

	order_mode(&o, req, argc, argv, MODE_DRAIN);
}

static void cmd_maint(struct control_request *req, int argc, char **argv, void *arg)
{
	const struct orders o = orders_of(arg);

	order_mode(&o, req, argc, argv, MODE_MAINT);
}

static void cmd_ready(struct control_request *req, int argc, char **argv, void *arg)
{
	const struct orders o = orders_of(arg);

	order_mode(&o, req, argc, argv, MODE_READY);
}

static void cmd_weight(struct control_request *req, int argc, char **argv, void *arg)
{
	const struct orders o = orders_of(arg);

	order_weight(&o, req, argc, argv);
}

static void cmd_kill(struct control_request *req, int argc, char **argv, void *arg)
{
	const struct orders o = orders_of(arg);

	order_kill(&o, req, argc, argv);
}

/* The parent gives the new program 60 s for the check, the same for its start, and 17 s until it
 * accepts. What it says of the end of that may be lost. */
#define UPGRADE_NS (180 * NSEC_PER_SEC)

/* For tests: nobody else wants to wait for less. */
static struct timeval upgrade_patience(void)
{
	const char *text = getenv("SPLICED_UPGRADE_SECONDS");
	unsigned int seconds;

	if (!text || sscanf(text, "%u", &seconds) != 1 || !seconds)
		seconds = UPGRADE_NS / NSEC_PER_SEC;
	return (struct timeval){.tv_sec = seconds};
}

static void on_upgrade_late(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	static const struct message_upgraded late = {
	    .failed = true, .text = "the parent has not said how it went: see the log"};

	log_warn("upgrade: %s", late.text);
	commands_upgraded(arg, &late);
}

/* One asks at a time: the parent says so to all others at once. */
static void cmd_upgrade(struct control_request *req, int argc _unused_, char **argv _unused_,
			void *arg)
{
	struct message m = {.kind = MESSAGE_UPGRADE};
	const struct timeval patience = upgrade_patience();
	struct commands *c = arg;
	int err;

	if (!c->daemon->link) {
		control_reply_error(req, "there is no parent process");
		return;
	}
	if (c->upgrade) {
		control_reply_error(req, "an upgrade is under way already");
		return;
	}
	if (evtimer_add(c->upgrade_late, &patience) < 0) {
		control_reply(req, NULL);
		return;
	}
	err = link_send(c->daemon->link, &m);
	if (!err) {
		c->upgrade = req; /* answered by commands_upgraded() */
		return;
	}
	(void)event_del(c->upgrade_late); /* takes no memory */
	control_reply_error(req, "telling the parent: %s", strerror(-err));
}

void commands_upgraded(struct commands *c, const struct message_upgraded *u)
{
	struct control_request *req = TAKE_PTR(c->upgrade);

	if (!req)
		return;
	(void)event_del(c->upgrade_late); /* takes no memory */
	if (u->failed)
		control_reply_error(req, "%.*s", (int)sizeof(u->text) - 1, u->text);
	else
		control_reply(req, json_pack("{s:b}", "upgraded", 1));
	c->upgraded(c->arg);
}

static const struct control_command commands[] = {
    {"status", 0, cmd_status},   {"sessions", 0, cmd_sessions},
    {"pools", 0, cmd_pools},     {"stats", 1, cmd_stats},
    {"doctor", 0, cmd_doctor},   {"reload", 0, cmd_reload},
    {"upgrade", 0, cmd_upgrade}, {"drain", 1, cmd_drain},
    {"maint", 1, cmd_maint},     {"ready", 1, cmd_ready},
    {"enable", 1, cmd_ready},    {"weight", 2, cmd_weight},
    {"kill", 1, cmd_kill},       {NULL, 0, NULL},
};

/* ---- the socket ------------------------------------------------------------------------- */

/* It serves whoever may connect to it all the same. */
static void say_not_given(const char *what, int err)
{
	log_warn("control: %s stays root's, and only root may use splicectl: chown: %s%s", what,
		 strerror(-err), privileges_missing(CAP_CHOWN));
}

/*
 * /run/spliced is made by systemd or tmpfiles.d; a daemon started by hand makes it itself. It is
 * given away through a descriptor: by then the name may be another folder's.
 */
static int make_directory(const char *path, const struct identity *owner)
{
	_cleanup_free_ char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (!dir)
		return log_errno(-ENOMEM, "control %s", path);
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	if (mkdir(dir, 0755) < 0)
		return errno == EEXIST ? 0 : log_errno(-errno, "control %s: mkdir %s", path, dir);
	if (!owner)
		return 0;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return log_errno(-errno, "control %s: opening %s", path, dir);
	if (st.st_uid != geteuid())
		return log_errno(-ESTALE, "control %s: %s was replaced", path, dir);
	if (fchown(fd, owner->uid, owner->gid) < 0)
		say_not_given(dir, -errno);
	return 0;
}

int commands_open(struct commands *c, struct event_base *base, const char *path,
		  const struct identity *owner)
{
	int err = make_directory(path, owner);
	struct stat st;

	c->upgrade_late = evtimer_new(base, on_upgrade_late, c);
	if (!err && !c->upgrade_late)
		return log_errno(-ENOMEM, "control %s", path);
	if (!err)
		err = control_open(base, c->daemon->link, path, owner ? owner->uid : (uid_t)-1,
				   owner ? owner->gid : (gid_t)-1, commands, c, &c->control);
	if (!err && owner && stat(path, &st) == 0 && st.st_uid != owner->uid)
		say_not_given(path, -EPERM);
	return err;
}

void commands_close(struct commands *c)
{
	if (c->upgrade_late)
		event_free(c->upgrade_late);
	c->upgrade_late = NULL;
	control_close(c->control);
	c->control = NULL;
}
