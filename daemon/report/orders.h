/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of the control socket that change something about servers and sessions. */
#pragma once

#include "../upstream/server.h"

struct control_request;
struct daemon;
struct mailbox;

struct orders {
	struct daemon *daemon;
	struct mailbox *mail; /* of the main thread */
};

/* As the `run` of a struct control_command: each leads to one answer. */
void order_mode(const struct orders *o, struct control_request *req, int argc, char **argv,
		enum server_mode mode);
void order_weight(const struct orders *o, struct control_request *req, int argc, char **argv);
void order_kill(const struct orders *o, struct control_request *req, int argc, char **argv);
