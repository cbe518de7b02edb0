/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of a session, and of one that has ended, whose streams are closed: see
 * stream_close(). */
#pragma once

struct session;

/* Its line in the access log, where that is wanted. */
void session_log(const struct session *s);
/* Its bytes, its end and its engine in the worker's counters. */
void session_count(struct session *s);
/* Of one that lives, too: what its streams have moved since they were last counted. */
void session_tally(struct session *s);
