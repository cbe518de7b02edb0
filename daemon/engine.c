// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine.h"

#include <errno.h>

#include "config/config.h"
#include "daemon.h"
#include "doctor/doctor.h"
#include "log.h"
#include "splice/maps.h"

int engine_open(struct daemon *d, struct doctor *doctor, unsigned int workers)
{
	const struct config *c = d->config;
	struct maps_options o = {.max_sessions = c->max_sessions,
				 .workers = workers,
				 .numa_node = c->numa_node,
				 .debug = d->debug,
				 .collecting = !c->engage_after};

	doctor_begin(doctor, c->engine);
	if (c->engine == ENGINE_COPY)
		return 0;
	doctor_load(doctor, &o, &d->maps);
	if (!d->maps && c->engine == ENGINE_KERNEL) {
		log_error("engine = kernel: %s", doctor->reason);
		return -ENOTSUP;
	}
	return 0;
}

int engine_prove(struct daemon *d, struct doctor *doctor)
{
	if (!d->maps)
		return 0;
	if (!(d->debug & SPLICE_DEBUG_NO_CANARY))
		doctor_canary(doctor, d->maps);
	if (doctor->kernel)
		return 0;
	if (d->config->engine == ENGINE_KERNEL) {
		log_error("engine = kernel: %s", doctor->reason);
		return -ENOTSUP;
	}
	maps_close(d->maps);
	d->maps = NULL;
	return 0;
}
