/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dialling a session's backend: one server after the other until one is connected. */
#pragma once

struct session;

/* Starts with the next server of the session's pool; ends the session when none is left. */
void dial(struct session *s);
/* The backend socket has become writable, without an error. */
void dial_connected(struct session *s);
/* This try has failed with `err` (positive errno): on to the next. */
void dial_failed(struct session *s, int err);
/* The time of session_dial_timeout() is up: this try has failed; or, when descriptors had run out,
 * the next look whether there is one. */
void dial_timeout(struct session *s);
