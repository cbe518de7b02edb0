/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket: a unix stream socket (mode 0660). A client sends one line, the command and
 * its arguments separated by single spaces, and gets one JSON document and the end of the stream.
 * A failure is {"error": "text"}. Runs in the thread of the event base; a command may answer later.
 */
#pragma once

#include <event2/event.h>
#include <jansson.h>
#include <sys/types.h>

struct control;
struct link;
struct oneshot;
struct control_request;

struct control_command {
	const char *name;
	int most; /* words behind the name; with more it is not run */
	/* argv[0] is the name. Must lead to exactly one control_reply(), now or later. */
	void (*run)(struct control_request *req, int argc, char **argv, void *arg);
};

/*
 * Creates the socket, through the parent if there is one (`link`, else NULL), replacing a stale one
 * (one on which connect() is refused); a live one is an error that says so. It belongs to `uid` and
 * `gid` (-1: to this process). `commands` ends with a NULL name and must outlive the control.
 * Limits: 64 clients at once, 4 KiB a line, 10 s for a client to send its line or take the answer.
 * Returns 0 or a negative errno after logging.
 */
int control_open(struct event_base *base, struct link *link, const char *path, uid_t uid, gid_t gid,
		 const struct control_command *commands, void *arg, struct control **ret);
/* Its server: accepting is begun and stopped there. NULL for a NULL control. */
struct oneshot *control_server(const struct control *c);
/* Closes the socket, and unlinks it where it has no parent; requests not yet answered are dropped.
 * NULL is allowed. */
void control_close(struct control *c);

/* Answers and takes the reference to `answer`; NULL: there was no memory for one, which is told. A
 * client that has gone away meanwhile is fine. */
void control_reply(struct control_request *req, json_t *answer);
void control_reply_error(struct control_request *req, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
