// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine.h"

#include <errno.h>
#include <stdio.h>

#include "bypass/maps.h"
#include "config/config.h"
#include "conn.h"
#include "daemon.h"
#include "doctor/doctor.h"
#include "intercept/mark.h"
#include "interception.h"
#include "log.h"
#include "splice/maps.h"
#include "spreading.h"
#include "steering.h"

bool engine_wants_bypass(const struct config *c)
{
	for (size_t i = 0; i < c->n_listeners; i++)
		if (c->listeners[i].local_bypass)
			return *c->bypass_cgroup;
	return false;
}

static void open_bypass(struct daemon *d, struct doctor *doctor, unsigned int workers)
{
	const struct bypass_maps_options o = {.max_sessions = d->config->max_sessions,
					      .workers = workers,
					      .cgroup = d->config->bypass_cgroup,
					      .blocking =
						  d->config->bypass_trust == BYPASS_TRUST_ALL};

	if (engine_wants_bypass(d->config))
		doctor_load_bypass(doctor, &o, &d->bypass);
}

/* It concerns who intercepts, this daemon or another one. Where it may not be had, nobody is told
 * who did not ask for it; who did is told why nothing is intercepted. */
static void open_mark(struct daemon *d, struct doctor *doctor)
{
	if (mark_open(&d->mark, doctor->unmarked) != 0)
		log_debug("the daemon's sockets have no mark: %s", doctor->unmarked);
}

/* Between these: a reload may bring listeners, and the kernel's tables stay as they are. */
#define WAITING_MIN 8192
#define WAITING_MAX 65536

/* How many clients can wait to be accepted: each worker's socket has a queue. */
static uint32_t waiting_clients(const struct config *c, unsigned int workers)
{
	uint64_t n = 0;

	for (size_t i = 0; i < c->n_listeners; i++)
		n += (uint64_t)c->listeners[i].n_binds * workers * c->listeners[i].backlog;
	return (uint32_t)MIN(MAX(n, (uint64_t)WAITING_MIN), (uint64_t)WAITING_MAX);
}

int engine_open(struct daemon *d, struct doctor *doctor, unsigned int workers)
{
	const struct config *c = d->config;
	struct maps_options o = {.max_sessions = c->max_sessions,
				 .waiting = waiting_clients(c, workers),
				 .workers = workers,
				 .numa_node = c->numa_node,
				 .debug = d->debug,
				 .collecting = !c->engage_after};

	doctor_begin(doctor, c->engine);
	open_mark(d, doctor);
	open_bypass(d, doctor, workers);
	if (c->engine == ENGINE_COPY)
		return 0;
	doctor_load(doctor, &o, &d->maps);
	if (!d->maps && c->engine == ENGINE_KERNEL) {
		log_error("engine = kernel: %s", doctor->reason);
		return -ENOTSUP;
	}
	return 0;
}

static void prove_bypass(struct daemon *d, struct doctor *doctor)
{
	bool works =
	    d->debug & SPLICE_DEBUG_NO_CANARY || doctor_prove_bypass(doctor, d->bypass, d->maps);

	bypass_maps_proved(d->bypass);
	if (works)
		return;
	bypass_maps_close(d->bypass);
	d->bypass = NULL;
}

static int prove_kernel(struct daemon *d, struct doctor *doctor)
{
	if (!d->maps)
		return 0;
	if (!(d->debug & SPLICE_DEBUG_NO_CANARY))
		doctor_canary(doctor, d->maps);
	if (doctor->kernel) {
		mark_keep_made(d->mark);
		return 0;
	}
	if (d->config->engine == ENGINE_KERNEL) {
		log_error("engine = kernel: %s", doctor->reason);
		return -ENOTSUP;
	}
	maps_close(d->maps);
	d->maps = NULL;
	return 0;
}

/* The bypass last: of an application that is joined alone one stream is the kernel engine's. */
int engine_prove(struct daemon *d, struct doctor *doctor)
{
	int err = prove_kernel(d, doctor);

	if (!err && d->bypass)
		prove_bypass(d, doctor);
	return err;
}

int engine_steer(struct daemon *d, struct doctor *doctor)
{
	const struct config *c = d->config;
	char why[256];
	int err = -ENOTSUP;

	if (!steering_is_wanted(c))
		return 0;
	if (d->debug & SPLICE_DEBUG_NO_CANARY || doctor_try_steering(doctor, why)) {
		(void)snprintf(why, sizeof(why),
			       "the daemon's own sockets cannot be marked: %.180s",
			       doctor->unmarked);
		if (d->mark)
			err = steering_open(d->link, &d->steering, why);
	}
	if (err)
		steering_refuse(c, why);
	else
		conn_need_mark();
	return err;
}

void engine_spread(struct daemon *d, unsigned int workers)
{
	const struct config *c = d->config;
	char why[256];

	if (!spreading_is_wanted(c, workers) || spreading_open(c, workers, &d->spreading, why) == 0)
		return;
	if (c->spread == SPREAD_SESSIONS)
		log_warn("spread = sessions: %s; clients are spread by hash", why);
	else
		log_debug("clients are spread by hash: %s", why);
}

int engine_intercept(struct daemon *d, struct doctor *doctor)
{
	const struct config *c = d->config;
	char why[256];

	if (!c->n_intercepts)
		return 0;
	if (!(d->debug & SPLICE_DEBUG_NO_CANARY) && !doctor_try_interception(doctor, why))
		return interception_refuse(c, why);
	if (d->mark)
		return interception_open(c, d->link, &d->interception);
	(void)snprintf(why, sizeof(why), "the daemon's own sockets cannot be marked: %.180s",
		       doctor->unmarked);
	return interception_refuse(c, why);
}
