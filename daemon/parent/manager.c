// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "../util.h"
#include "message.h"
#include "notify.h"

/* As WatchdogSec= of the unit. */
#define OWN_USEC (30 * UINT64_C(1000000))

/* What cannot be told is not, where the socket is gone: nothing depends on it but the manager's
 * view. */

static void on_timer(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	const struct manager *m = arg;

	notify_again();
	m->due(m->arg);
}

int manager_open(struct manager *m, struct event_base *base, void (*due)(void *arg), void *arg)
{
	uint64_t usec;
	struct timeval tv;

	/* The variables stay for the program that this process may become. */
	*m = (struct manager){.due = due, .arg = arg, .watches = sd_watchdog_enabled(0, &usec) > 0};
	if (!m->watches)
		usec = OWN_USEC;
	usec = MAX(usec / 4, (uint64_t)1);
	tv = timeval_of(usec * NSEC_PER_USEC);
	m->timer = event_new(base, -1, EV_PERSIST, on_timer, m);
	return !m->timer || event_add(m->timer, &tv) < 0 ? -ENOMEM : 0;
}

void manager_close(struct manager *m)
{
	if (m->timer)
		event_free(m->timer);
	m->timer = NULL;
}

void manager_ready(const char *status)
{
	char text[STATUS_MAX + 64];

	(void)snprintf(text, sizeof(text), "READY=1\nMAINPID=%d\nSTATUS=%s", (int)getpid(), status);
	notify_state(text);
}

void manager_reloading(uint64_t since)
{
	char text[96];

	(void)snprintf(text, sizeof(text),
		       "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading", since);
	notify_state(text);
}

void manager_stopping(void)
{
	notify_state("STOPPING=1\nSTATUS=draining");
}

void manager_feed(const struct manager *m)
{
	if (m->watches)
		(void)notify("WATCHDOG=1", -1);
}
