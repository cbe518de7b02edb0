/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of the control socket: status, sessions, pools, stats, doctor, reload, upgrade; and
 * those of orders.h. */
#pragma once

struct control;
struct control_request;
struct daemon;
struct doctor;
struct event;
struct event_base;
struct identity;
struct mailbox;
struct message_upgraded;
struct metrics;
struct reload;
struct status;
struct tally;

struct commands {
	struct daemon *daemon;
	struct reload *reload;
	const struct doctor *doctor;
	struct metrics *metrics;
	const struct status *status; /* NULL: none */
	struct tally *tally;
	struct mailbox *mail; /* of the main thread; its letters' owner is not used */
	struct control *control;
	void (*upgraded)(void *arg); /* `upgrade` is answered */
	void *arg;
	struct control_request *upgrade; /* whoever asked for one, and waits */
	struct event *upgrade_late;
};

/*
 * Opens the control socket at `path` and gives it to `owner` (NULL: keeps it); the other fields are
 * the caller's to have set. The mailbox must be read in the thread of `base`. 0 or a negative errno
 * after logging.
 */
int commands_open(struct commands *c, struct event_base *base, const char *path,
		  const struct identity *owner);
/* The parent says how an upgrade went: whoever asked is answered. */
void commands_upgraded(struct commands *c, const struct message_upgraded *u);
void commands_close(struct commands *c); /* one that was not opened is fine */
