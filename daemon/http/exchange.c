// SPDX-License-Identifier: GPL-2.0-or-later
/* What an exchange is: its phases, its times, and what it holds. */
#include "exchange.h"

#include <assert.h>
#include <stdlib.h>

#include "../log.h"
#include "../silence.h"

const char *const http_phase_str[_HTTP_PHASE_MAX] = {
    [HTTP_IDLE] = "idle",
    [HTTP_HEAD] = "head",
    [HTTP_CONNECTING] = "connecting",
    [HTTP_WAITING] = "waiting",
    [HTTP_ANSWERING] = "answering",
    [HTTP_CLOSING] = "closing",
    [HTTP_LINGERING] = "lingering",
};

#define TO(phase) (1u << HTTP_##phase)
static const uint8_t next_phases[_HTTP_PHASE_MAX] = {
    [HTTP_IDLE] = TO(HEAD) | TO(CONNECTING) | TO(CLOSING),
    [HTTP_HEAD] = TO(CONNECTING) | TO(CLOSING),
    [HTTP_CONNECTING] = TO(WAITING) | TO(CLOSING),
    [HTTP_WAITING] = TO(CONNECTING) | TO(ANSWERING) | TO(CLOSING),
    [HTTP_ANSWERING] = TO(IDLE) | TO(CLOSING),
    [HTTP_CLOSING] = TO(LINGERING),
    [HTTP_LINGERING] = 0,
};
#undef TO

bool http_may_enter(enum http_phase from, enum http_phase next)
{
	return next_phases[from] >> next & 1;
}

void http_enter(struct session *s, enum http_phase next)
{
	struct http *h = s->http;

	assert(http_may_enter(h->phase, next));
	log_session(LOG_LVL_DEBUG, s->id, ": %s -> %s", http_phase_str[h->phase],
		    http_phase_str[next]);
	h->phase = next;
	h->expired = false;
}

/* ---- times ------------------------------------------------------------------------------ */

void http_look_in(struct session *s, uint64_t ns)
{
	s->http->by_silence = true;
	session_arm(s, ns);
}

void http_deadline(struct session *s, uint64_t ns)
{
	s->http->by_silence = false;
	session_arm(s, ns);
}

void http_silence(struct session *s, uint64_t ns)
{
	http_look_in(s, silence_begin(s, ns));
}

/* ---- what it holds ---------------------------------------------------------------------- */

void http_replay_end(struct http_request *r)
{
	free(r->replay.body);
	r->replay.body = NULL;
	r->replay.len = r->replay.room = 0;
	r->replay.lost = true;
}

void http_out_free(struct http_out *out)
{
	free(out->data);
	*out = (struct http_out){0};
}

void http_free(struct session *s)
{
	struct http *h = s->http;

	if (h->request)
		http_replay_end(h->request);
	free(h->request);
	http_out_free(&h->out[SIDE_CLIENT]);
	http_out_free(&h->out[SIDE_BACKEND]);
	trailer_rules_fini(&h->trailers[UP]);
	trailer_rules_fini(&h->trailers[DOWN]);
	free(h);
}
