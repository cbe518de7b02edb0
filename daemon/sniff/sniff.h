/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading just enough of a client to know where it belongs. What is read stays in the session's
 * upward stream, as pending bytes, and goes to the server unchanged.
 */
#pragma once

struct session;

/* A session begins: it is routed at once where nothing has to be read for it. */
void sniff_start(struct session *s);
