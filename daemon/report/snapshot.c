// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../binding.h"
#include "../bypass/bypass.h"
#include "../bypass/side.h"
#include "../config/config.h"
#include "../daemon.h"
#include "../doctor/doctor.h"
#include "../listener.h"
#include "../log/sink.h"
#include "../parent/link.h"
#include "../protocol.h"
#include "../session.h"
#include "../setup.h"
#include "../upstream/pool.h"
#include "../worker.h"
#include "counter.h"

/* ---- sessions --------------------------------------------------------------------------- */

static void take_session(const struct session *s, uint64_t now, struct session_snapshot *ret)
{
	const struct stream *up = &s->streams[UP], *down = &s->streams[DOWN];
	const struct addr *backend = session_backend(s);
	const struct server *server = session_server(s);
	enum way_why why = bypass_why(up) ? bypass_why(up) : bypass_why(down);
	enum copy_reason reason = up->why_copy ? up->why_copy : down->why_copy;

	*ret = (struct session_snapshot){
	    .id = s->id,
	    .age_ns = now - s->began_ns,
	    .bytes_up = stream_moved(up),
	    .bytes_down = stream_moved(down),
	    .listener = s->listener->config->name,
	    .pool = s->pool ? s->pool->config->name : "",
	    .server = server ? server->name : "",
	    .client = s->client_conn.peer,
	    .pauses = up->pauses + down->pauses,
	    .engine = session_engine(s),
	    .state = s->protocol->describe(s),
	    .engine_reason = why      ? way_why_str[why]
			     : reason ? copy_reason_str[reason]
				      : "",
	};
	if (backend)
		ret->backend = *backend;
	if (s->original)
		ret->original = *s->original;
}

void snapshot_worker(const struct worker *w, struct worker_snapshot *ret)
{
	uint64_t now = now_ns();
	const struct session *s;

	*ret = (struct worker_snapshot){.sessions = calloc(w->home.n + 1, sizeof(*ret->sessions))};
	ret->incomplete = !ret->sessions;
	TAILQ_FOREACH (s, &w->home.live, link)
		if (ret->sessions && ret->n_sessions < w->home.n)
			take_session(s, now, &ret->sessions[ret->n_sessions++]);
}

void snapshot_worker_free(struct worker_snapshot *w)
{
	free(w->sessions);
}

/* ---- stats ------------------------------------------------------------------------------ */

void snapshot_stats(const struct daemon *d, const struct doctor *doctor, struct stats_snapshot *ret)
{
	*ret = (struct stats_snapshot){.verdicts = d->maps != NULL, .canary = doctor->canary};
	for (unsigned int i = 0; i < d->n_workers; i++)
		counter_sum(&ret->stats, &d->workers[i].stats, sizeof(ret->stats));
	ret->stats.log_lost = sinks_lost() + link_facts(d->link)->log_lost;
	for (int i = 0; d->maps && i < _VERDICT_MAX; i++)
		ret->stats.verdicts[i] = maps_verdicts(d->maps, (enum verdict_why)i);
}

/* ---- pools ------------------------------------------------------------------------------ */

static void take_target(const struct target *t, uint64_t now, struct target_snapshot *ret)
{
	const struct health *h = &t->health;
	uint64_t left =
	    health_state_of(h) == HEALTH_EJECTED && h->until_ns > now ? h->until_ns - now : 0;

	*ret = (struct target_snapshot){
	    .addr = t->addr,
	    .state = health_state_str[health_state_of(h)],
	    .last_error = h->err ? conn_strerror(h->err) : "",
	    .fails = h->fails,
	    .passed_over = h->times,
	    .passed_over_ms = (left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC,
	    .checked = h->check.at_ns,
	    .check = h->check.outcome,
	    .check_ms = h->check.took_ns / NSEC_PER_MSEC,
	    .check_ago_ms = now > h->check.at_ns ? (now - h->check.at_ns) / NSEC_PER_MSEC : 0,
	};
	memcpy(ret->check_words, h->check.words, sizeof(ret->check_words));
}

/* Sessions said so, or checks. */
static void take_reason(const struct server *s, char ret[CHECK_WORDS_MAX])
{
	const struct target *t = server_culprit(s);
	enum health_state state = t ? health_state_of(&t->health) : HEALTH_UP;

	if (state == HEALTH_EJECTED || state == HEALTH_PROBING)
		(void)snprintf(ret, CHECK_WORDS_MAX, "%s", conn_strerror(t->health.err));
	else if (t)
		memcpy(ret, t->health.check.words, CHECK_WORDS_MAX);
}

static int take_server(const struct server *s, uint64_t now, struct server_snapshot *ret)
{
	*ret = (struct server_snapshot){
	    .name = s->name,
	    .address = s->text,
	    .state = server_state(s),
	    .mode = server_mode_str[s->mode],
	    .weight = s->weight,
	    .backup = s->config.backup,
	    .sessions_active = s->active,
	    .sessions_total = s->total,
	    .connect_failures = s->connect_failures,
	    .targets = calloc((size_t)__builtin_popcountll(s->used) + 1, sizeof(*ret->targets)),
	};
	take_reason(s, ret->reason);
	if (!ret->targets)
		return -ENOMEM;
	for (uint64_t rest = server_is_original(s) ? 0 : s->used; rest; rest &= rest - 1)
		take_target(&s->targets[__builtin_ctzll(rest)], now,
			    &ret->targets[ret->n_targets++]);
	return 0;
}

static int take_pool(struct pool *p, uint64_t now, struct pool_snapshot *ret)
{
	int err = 0;

	*ret = (struct pool_snapshot){
	    .name = p->config->name,
	    .balance = balance_str[p->config->balance],
	    .servers = calloc(p->n_servers + 1, sizeof(*ret->servers)),
	};
	if (!ret->servers)
		return -ENOMEM;
	(void)pthread_mutex_lock(&p->lock->mutex);
	while (!err && ret->n_servers < p->n_servers) {
		err = take_server(p->servers[ret->n_servers], now, &ret->servers[ret->n_servers]);
		ret->n_servers++;
	}
	(void)pthread_mutex_unlock(&p->lock->mutex);
	return err;
}

int snapshot_pools(const struct daemon *d, struct pools_snapshot *ret)
{
	uint64_t now = now_ns();
	int err = 0;

	*ret = (struct pools_snapshot){.pools = calloc(d->setup->n_pools + 1, sizeof(*ret->pools))};
	if (!ret->pools)
		return -ENOMEM;
	while (!err && ret->n_pools < d->setup->n_pools) {
		err = take_pool(d->setup->pools[ret->n_pools], now, &ret->pools[ret->n_pools]);
		ret->n_pools++;
	}
	return err;
}

void snapshot_pools_free(struct pools_snapshot *p)
{
	for (size_t i = 0; i < p->n_pools; i++) {
		for (size_t j = 0; j < p->pools[i].n_servers; j++)
			free(p->pools[i].servers[j].targets);
		free(p->pools[i].servers);
	}
	free(p->pools);
}

/* ---- status ----------------------------------------------------------------------------- */

static int take_listener(const struct listener *l, struct listener_snapshot *ret)
{
	*ret = (struct listener_snapshot){
	    .name = l->config->name,
	    .protocol = protocol_str[l->config->protocol],
	    .pool = l->pool ? l->pool->config->name : "",
	    .sessions_active = atomic_load(&l->account->active),
	    .sessions_total = atomic_load(&l->account->total),
	    .binds = calloc(l->config->n_binds + 1, sizeof(*ret->binds)),
	};
	if (!ret->binds)
		return -ENOMEM;
	for (; ret->n_binds < l->config->n_binds; ret->n_binds++)
		ret->binds[ret->n_binds] =
		    l->steered ? l->config->binds[ret->n_binds] : l->bindings[ret->n_binds]->bound;
	return 0;
}

/* Rounded up: what is to come is never 0. */
static uint64_t drain_in_ms(const struct daemon *d)
{
	uint64_t now = now_ns();

	if (!d->drain_due_ns || atomic_load(&d->draining))
		return 0;
	return d->drain_due_ns <= now ? 1
				      : (d->drain_due_ns - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
}

int snapshot_status(struct daemon *d, const struct doctor *doctor, struct status_snapshot *ret)
{
	int err = 0;

	*ret = (struct status_snapshot){
	    .pid = link_facts(d->link)->parent,
	    .worker_pid = (int)getpid(),
	    .generation = link_facts(d->link)->generation,
	    .worker_deaths = link_facts(d->link)->deaths,
	    .uptime_ms = (now_ns() - d->started_ns) / NSEC_PER_MSEC,
	    .engine = d->maps ? "kernel" : "copy",
	    .engine_reason = doctor->reason,
	    .canary = doctor->canary,
	    .config = d->config->path ? d->config->path : "",
	    .workers = d->n_workers,
	    .sessions_active = slots_used(&d->slots),
	    .max_sessions = d->config->max_sessions,
	    .memory_used = atomic_load(&d->memory.used),
	    .memory_max = d->memory.max,
	    .draining = atomic_load(&d->draining),
	    .drain_in_ms = drain_in_ms(d),
	    .setups = setups_count(&d->setups),
	    .interception = d->interception,
	    .steering = d->steering,
	    .spreading = d->spreading,
	    .worker_sessions = calloc(d->n_workers, sizeof(*ret->worker_sessions)),
	    .listeners = calloc(d->setup->n_listeners + 1, sizeof(*ret->listeners)),
	};
	if (!ret->listeners || !ret->worker_sessions)
		return -ENOMEM;
	for (unsigned int i = 0; i < d->n_workers; i++)
		ret->worker_sessions[i] = atomic_load(&d->workers[i].home.n);
	while (!err && ret->n_listeners < d->setup->n_listeners) {
		err = take_listener(&d->setup->listeners[ret->n_listeners],
				    &ret->listeners[ret->n_listeners]);
		ret->n_listeners++;
	}
	return err ? err : snapshot_pools(d, &ret->pools);
}

void snapshot_status_free(struct status_snapshot *s)
{
	for (size_t i = 0; i < s->n_listeners; i++)
		free(s->listeners[i].binds);
	free(s->listeners);
	free(s->worker_sessions);
	snapshot_pools_free(&s->pools);
}
