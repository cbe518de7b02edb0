// SPDX-License-Identifier: GPL-2.0-or-later
#include "orders.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../config/config.h"
#include "../daemon.h"
#include "../health/checks.h"
#include "../mailbox.h"
#include "../setup.h"
#include "../standings.h"
#include "../upstream/pool.h"
#include "../upstream/standing.h"
#include "../util.h"
#include "../worker.h"
#include "control.h"

/* A number of digits alone; false: it is none, or not of that range. */
static bool parse(const char *text, uint64_t least, uint64_t most, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return !errno && *text >= '0' && *text <= '9' && !*end && *ret >= least && *ret <= most;
}

/* ---- servers ---------------------------------------------------------------------------- */

/* The server called POOL/SERVER, of the newest setup. NULL: there is none, which was answered. */
static struct server *find_server(const struct orders *o, struct control_request *req,
				  const char *name)
{
	const struct setup *s = o->daemon->setup;
	const char *slash = strchr(name, '/');
	size_t len = slash ? (size_t)(slash - name) : 0;
	bool pool_exists = false;

	if (!slash) {
		control_reply_error(req, "\"%s\" is not of the form POOL/SERVER", name);
		return NULL;
	}
	for (size_t i = 0; i < s->n_pools; i++) {
		const struct pool *p = s->pools[i];

		if (strlen(p->config->name) != len || strncmp(p->config->name, name, len) != 0)
			continue;
		pool_exists = true;
		for (size_t j = 0; j < p->n_servers; j++)
			if (strcmp(p->servers[j]->name, slash + 1) == 0)
				return p->servers[j];
	}
	if (pool_exists)
		control_reply_error(req, "pool %.*s has no server \"%s\"", (int)len, name,
				    slash + 1);
	else
		control_reply_error(req, "there is no pool \"%.*s\"", (int)len, name);
	return NULL;
}

static json_t *describe(const char *name, const struct server *s)
{
	return json_pack("{s:s, s:s, s:i}", "server", name, "mode", server_mode_str[s->mode],
			 "weight", (int)s->weight);
}

void order_mode(const struct orders *o, struct control_request *req, int argc, char **argv,
		enum server_mode mode)
{
	struct server *s;

	if (argc != 2) {
		control_reply_error(req, "%s: which POOL/SERVER?", argv[0]);
		return;
	}
	s = find_server(o, req, argv[1]);
	if (!s)
		return;
	if (server_set_mode(s, mode, now_ns()))
		workers_check_kept(o->daemon);
	checks_look(s);
	standings_write(o->daemon);
	control_reply(req, describe(argv[1], s));
}

void order_weight(const struct orders *o, struct control_request *req, int argc, char **argv)
{
	struct server *s;
	uint64_t weight;

	if (argc != 3) {
		control_reply_error(req, "weight: which POOL/SERVER, and what weight?");
		return;
	}
	if (!parse(argv[2], 1, WEIGHT_MAX, &weight)) {
		control_reply_error(req,
				    "weight: \"%s\" is not 1 to %d; a server that is to get "
				    "nothing is drained",
				    argv[2], WEIGHT_MAX);
		return;
	}
	s = find_server(o, req, argv[1]);
	if (!s)
		return;
	server_set_weight(s, (unsigned int)weight);
	standings_write(o->daemon);
	control_reply(req, describe(argv[1], s));
}

/* ---- sessions --------------------------------------------------------------------------- */

/* A session is some worker's: each looks, and the last one sends the answer home. */
struct killing {
	struct mailbox *mail;
	struct control_request *request;
	uint64_t id;
	atomic_bool found;
	atomic_uint remaining;
	struct letter answer;
	struct letter letters[]; /* to each worker */
};

static void killed(void *owner _unused_, void *arg)
{
	struct killing *k = arg;

	if (atomic_load(&k->found))
		control_reply(k->request, json_pack("{s:I}", "killed", (json_int_t)k->id));
	else
		control_reply_error(k->request, "there is no session %" PRIu64, k->id);
	free(k);
}

static void kill_letter(void *owner, void *arg)
{
	struct killing *k = arg;

	if (worker_kill(owner, k->id))
		atomic_store(&k->found, true);
	if (atomic_fetch_sub(&k->remaining, 1) == 1)
		mailbox_post(k->mail, &k->answer, killed, k);
}

void order_kill(const struct orders *o, struct control_request *req, int argc, char **argv)
{
	struct daemon *d = o->daemon;
	struct killing *k;
	uint64_t id;

	if (argc != 2 || !parse(argv[1], 1, INT64_MAX, &id)) {
		control_reply_error(req, "kill: which session? By its number, as in `sessions`");
		return;
	}
	k = calloc(1, sizeof(*k) + d->n_workers * sizeof(k->letters[0]));
	if (!k) {
		control_reply(req, NULL);
		return;
	}
	k->mail = o->mail;
	k->request = req;
	k->id = id;
	atomic_store(&k->remaining, d->n_workers);
	for (unsigned int i = 0; i < d->n_workers; i++)
		mailbox_post(&d->workers[i].mail, &k->letters[i], kill_letter, k);
}
