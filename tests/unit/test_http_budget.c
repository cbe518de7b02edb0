/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ends of HTTP connections while the kernel has a part of the request: its half is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../daemon/http/exchange.h"
#include "fakekernel.h"
#include "stage.h"

#define DATE "Date: Thu, 26 Nov 2026 10:00:00 GMT\r\n"

static struct lane lanes[32];
static struct splice *owners[16];
static uint32_t generations[16], leaving, unheard;
static __u64 alert_ns;
static const struct maps maps = {.sockets_fd = SOCKETS_FD,
				 .engaged_fd = ENGAGED_FD,
				 .lane_of_fd = LANE_OF_FD,
				 .gate_fd = GATE_FD,
				 .lanes = lanes,
				 .n_lanes = ARRAY_SIZE(lanes),
				 .owners = owners,
				 .generations = generations,
				 .leaving = &leaving,
				 .unheard = &unheard,
				 .alert_ns = &alert_ns,
				 .collected = true};

/* An upload of which the kernel has all that is still to come. */
struct upload {
	struct stage stage;
	struct session *session;
	struct stream *stream;
	int client, server;
};

/* The upload's source leaves the map as sockops lets it: nothing more was handed up, and it is
 * ESTABLISHED. */
static struct upload *of_sockops;

static void leave(struct splice_test *t _unused_)
{
	struct stream *s = of_sockops->stream;
	uint64_t *place = entry(ENGAGED_FD, s->source->cookie);

	if (!place || !s->lane || s->lane->taken != s->lane->passed || s->source->ended)
		return;
	*place = 0;
	s->lane->left = s->lane->leave;
}

static void begin_upload(struct upload *u)
{
	stage_begin(&u->stage, "protocol = http\nbody_splice_min = 1");
	memset(&fake, 0, sizeof(fake));
	of_sockops = u;
	fake.on_mss = leave;
	u->stage.daemon.settings.copy_only = false;
	stage_worker(&u->stage)->splicer.maps = &maps;
	u->client = stage_client(&u->stage);
	u->session = TAILQ_FIRST(&stage_worker(&u->stage)->home.live);
	u->stream = &u->session->streams[UP];
	stage_say(&u->stage, u->client,
		  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\n\r\n");
	u->server = stage_server(&u->stage);
	(void)stage_heard(&u->stage, u->server, "\r\n\r\n");
	assert_int_equal(u->stream->state, STREAM_ENGAGED);
}

static const uint64_t *ends(struct upload *u)
{
	return stage_worker(&u->stage)->stats.ends;
}

/* Its client ends it, if it has not ended yet. */
static void end_upload(struct upload *u)
{
	assert_int_equal(close(u->client), 0);
	stage_settle(&u->stage);
	assert_int_equal(ends(u)[END_DONE], 1);
	assert_int_equal(leaving, 0);
	stage_worker(&u->stage)->splicer.maps = NULL;
	stage_end(&u->stage);
}

static bool is_alive(struct upload *u)
{
	return !TAILQ_EMPTY(&stage_worker(&u->stage)->home.live);
}

/* The server has said `answer` and is gone. Meanwhile ten bytes more of the request were handed up,
 * which come into the client's queue later. */
static void answered_early(struct upload *u, const char *answer)
{
	u->stream->lane->passed += 10;
	assert_int_equal(send(u->server, answer, strlen(answer), MSG_NOSIGNAL), strlen(answer));
	stage_reset(u->server);
	stage_settle(&u->stage);
	assert_true(is_alive(u));
	assert_int_equal(u->stream->state, STREAM_SERVING);
	/* A socket that has ended its output cannot leave the map. */
	assert_false(u->session->client_conn.ended);
}

/* What was handed up is there, and the client goes on sending. The connection is no failed one. */
static void goes_on(struct upload *u)
{
	/* By then it has stopped growing. */
	stage_pass(&u->stage, NSEC_PER_MSEC);
	say(u->client, &u->session->client_conn, 0, 10);
	stage_settle(&u->stage);
	stage_pass(&u->stage, 10 * NSEC_PER_MSEC);
	assert_int_equal(ends(u)[END_CLIENT_RESET], 0);
	assert_true(is_alive(u));
	stage_say(&u->stage, u->client, "and more of it");
	assert_true(is_alive(u));
	assert_int_equal(u->session->http->phase, HTTP_LINGERING);
}

static void an_early_answer_is_no_reset(void **state _unused_)
{
	struct upload u;

	begin_upload(&u);
	answered_early(&u, "HTTP/1.1 413 No\r\n" DATE "Content-Length: 5\r\n\r\nearly");
	goes_on(&u);
	stage_hears_last(
	    &u.stage, u.client,
	    "HTTP/1.1 413 No\r\n" DATE "Content-Length: 5\r\nConnection: close\r\n\r\nearly", 1);
	end_upload(&u);
}

static void an_answer_of_the_daemons_own_is_none(void **state _unused_)
{
	struct upload u;

	begin_upload(&u);
	answered_early(&u, "");
	goes_on(&u);
	assert_non_null(strstr(stage_heard_last(&u.stage, u.client, 1), "\r\n\r\nThe server "));
	end_upload(&u);
}

/* What never comes is not waited for longer than for a client that never ends. */
static void bytes_that_never_come(void **state _unused_)
{
	struct upload u;

	begin_upload(&u);
	answered_early(&u, "");
	assert_non_null(strstr(stage_heard(&u.stage, u.client, "\n"), " 502 Bad Gateway\r\n"));
	stage_pass(&u.stage, 2 * NSEC_PER_SEC - NSEC_PER_MSEC);
	assert_true(is_alive(&u));
	stage_pass(&u.stage, NSEC_PER_MSEC);
	assert_int_equal(ends(&u)[END_DONE], 1);
	stage_hears_last(&u.stage, u.client, "", 1);
	end_upload(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_early_answer_is_no_reset),
	    cmocka_unit_test(an_answer_of_the_daemons_own_is_none),
	    cmocka_unit_test(bytes_that_never_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
