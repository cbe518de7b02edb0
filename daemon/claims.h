/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where who serves expects what is intercepted. A listening socket is claimed by the worker process
 * that accepts there, if it looks up where its clients were to go; the claim is the socket's, so
 * that the next worker sees it, which has the same sockets, and sends no connects to one who does
 * not know that they were sent. It is an entry for the listening socket in `arrivals`, which what
 * is accepted does not inherit. Main thread only.
 */
#pragma once

#include <stdbool.h>

struct binding;
struct intercept_maps;
struct setup;

/* This process accepts at what the setup has: its sockets are claimed, or not any more. What fails
 * is not claimed. */
void claims_write(const struct intercept_maps *maps, const struct setup *s);
/* Whether connects may be sent there before this process serves: nobody else accepts there, or who
 * does looks them up. */
bool claims_allow(const struct intercept_maps *maps, const struct binding *b);
