/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the main thread of the worker process has, for run.c, which sets it up, and obey.c. */
#pragma once

#include <event2/event.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "addresses.h"
#include "daemon.h"
#include "doctor/doctor.h"
#include "health/checks.h"
#include "mailbox.h"
#include "privileges.h"
#include "reload.h"
#include "report/commands.h"
#include "signals.h"
#include "tally.h"

struct config;
struct link;
struct metrics;
struct status;

struct run {
	struct daemon daemon;
	struct link *link;
	struct config *config; /* until the daemon has it */
	struct identity identity;
	struct event_base *base;
	struct signals signals;
	struct event *grace;
	struct event *delay;    /* until the drain begins */
	struct event *handover; /* a moment between what retire() or a signal does */
	struct mailbox mail;    /* its letters' owner is the run */
	struct doctor doctor;
	struct tally tally;
	struct metrics *metrics;
	struct status *status;
	struct commands commands;
	struct addresses addresses;
	struct checks checks;
	struct reload reload;
	unsigned int busy_workers; /* that still have sessions while draining */
	atomic_uint accepting;     /* workers that have not stopped, while retiring */
	struct letter retired;     /* from the last of them */
	unsigned int beating;      /* workers that have not said that they are alive */
	bool orphan;               /* the parent is gone */
	bool serves;               /* it was told to, and does or did */
	bool failed;               /* it was told to serve, and cannot */
	bool hurried;              /* sessions were told to end at once */
	bool yielded;              /* it intercepts no more, for another process is ready */
	bool retiring;             /* draining because another process serves */
	bool told;                 /* ... and then to end */
	bool log_later;            /* the access log is opened after privileges were dropped */
};
