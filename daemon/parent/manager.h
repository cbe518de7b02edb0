/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the service manager (systemd) is told: by the parent alone, whose process id is the
 * service's. Without one nothing is told to anybody. See sd_notify(3).
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

/* Its watchdog, if the service has one: the process is ended that has not fed it for a time. */
struct manager {
	struct event *timer;
	bool watches; /* there is one */
	void (*due)(void *arg);
	void *arg;
};

/* `due` is called four times in the watchdog's time, or in 30 s where there is none: then it is to
 * be fed, if all is well. 0 or a negative errno. */
int manager_open(struct manager *m, struct event_base *base, void (*due)(void *arg), void *arg);
void manager_close(struct manager *m); /* one that was not opened is fine */

/* A worker serves, or its reload is over; `status` is a line about it. */
void manager_ready(const char *status);
/* The file is being read again, since that time of CLOCK_MONOTONIC in us. */
void manager_reloading(uint64_t since);
void manager_stopping(void);
/* The watchdog is fed, if there is one. */
void manager_feed(const struct manager *m);
