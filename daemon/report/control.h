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
struct control_request;

struct control_command {
	const char *name;
	/* argv[0] is the name. Must lead to exactly one control_reply(), now or later. */
	void (*run)(struct control_request *req, int argc, char **argv, void *arg);
};

/*
 * Creates the socket, replacing a stale one (one on which connect() is refused); a live one is an
 * error that says so. `commands` ends with a NULL name and must outlive the control.
 * Limits: 64 clients at once, 4 KiB a line, 10 s for a client to send its line or take the answer.
 * Returns 0 or a negative errno after logging.
 */
int control_open(struct event_base *base, const char *path, const struct control_command *commands,
		 void *arg, struct control **ret);
/* Gives the socket's file to somebody, -1: as it is. 0 or a negative errno. */
int control_chown(const struct control *c, uid_t uid, gid_t gid);
/* Closes and unlinks the socket; requests not yet answered are dropped. NULL is allowed. */
void control_close(struct control *c);

/* Answers and takes the reference to `answer`; NULL: there was no memory for one, which is told. A
 * client that has gone away meanwhile is fine. */
void control_reply(struct control_request *req, json_t *answer);
void control_reply_error(struct control_request *req, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
