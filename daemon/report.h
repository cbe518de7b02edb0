/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of the control socket: status, sessions, stats, doctor. */
#pragma once

#include "control.h"
#include "daemon.h"
#include "mailbox.h"
#include "privileges.h"
#include "splice/doctor.h"

struct report {
	struct daemon *daemon;
	struct control *control;
	struct mailbox *mail; /* of the main thread; its letters' owner is not used */
	struct doctor doctor;
};

/*
 * Opens the control socket at `path` and gives it to `owner` (NULL: keeps it). `mail` must be
 * read in the thread of `base`. 0 or a negative errno after logging.
 */
int report_open(struct report *r, struct daemon *d, struct event_base *base, struct mailbox *mail,
		const char *path, const struct identity *owner);
void report_close(struct report *r); /* a report that was not opened is fine */
