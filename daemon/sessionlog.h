/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of a session that has ended. Its streams are closed: see stream_close(). */
#pragma once

struct session;

/* Its line in the access log, where that is wanted. */
void session_log(const struct session *s);
/* Its bytes, its end and its engine in the worker's counters. */
void session_count(const struct session *s);
