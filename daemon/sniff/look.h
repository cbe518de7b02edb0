/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside sniffing: looking at what a session's client has sent so far. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../session.h"

enum step {
	STEP_MORE,    /* not enough has come */
	STEP_ON,      /* this part is done, the next may begin */
	STEP_DECIDED, /* the session was routed, refused, or has ended */
};

/* What has come and is not dealt with. */
const uint8_t *sniff_at_hand(const struct session *s, size_t *len);
/* The first n bytes of it are dealt with, and not the server's. */
void sniff_consume(struct session *s, size_t n);
/* Ends the session, and says why at debug level. */
enum step sniff_refuse(struct session *s, enum session_end end, const char *what, const char *why);
/* Sends it to a server as it is: no name is known. */
enum step sniff_as_tcp(struct session *s);

/* Whether the client speaks HTTP/2 and has nothing more to say before a server's SETTINGS. */
bool sniff_awaits_settings(const struct session *s);

/* A PROXY header, where the listener wants or takes one: see proxied.c. */
enum step sniff_proxy(struct session *s);
/* What the listener's protocol says; STEP_ON is no answer of it. */
enum step sniff_protocol(struct session *s);
