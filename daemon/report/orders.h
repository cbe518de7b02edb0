/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of the control socket that change something about servers and sessions. */
#pragma once

struct control_request;

/* As in struct control_command; arg is the struct commands. */
void cmd_drain(struct control_request *req, int argc, char **argv, void *arg);
void cmd_maint(struct control_request *req, int argc, char **argv, void *arg);
void cmd_ready(struct control_request *req, int argc, char **argv, void *arg);
void cmd_weight(struct control_request *req, int argc, char **argv, void *arg);
void cmd_kill(struct control_request *req, int argc, char **argv, void *arg);
