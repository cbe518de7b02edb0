/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A splice on real sockets over loopback, whose turns and time are the test's, and so is the
 * kernel's half: the maps remember what the daemon put there, fail when they are told to, and the
 * verdicts are what the test writes into the lanes. It takes the place of libbpf's calls by their
 * names: they are called through the program's own symbols.
 */
#pragma once

#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../daemon/memory.h"
#include "../../daemon/splice/maps.h"
#include "../../daemon/splice/splice.h"
#include "../../daemon/splice/splicer.h"
#include "../../daemon/stats.h"
#include "../../daemon/util.h"
#include "turns.h"

enum { SOCKETS_FD = 100000, ENGAGED_FD, LANE_OF_FD, _FAKE_FD_MAX, GATE_FD };
#define FAKE_ENTRIES 8

struct splice_test;

/* What the maps hold, and what happens to calls. */
static struct {
	uint64_t keys[3][FAKE_ENTRIES];        /* of each map */
	int fail_put[3], fail_remove[3];       /* errno that every call fails with; 0: none does */
	unsigned int puts[3], removes[3];      /* calls, those that failed included */
	unsigned int fail_puts_after;          /* this many of ENGAGED_FD succeed first */
	unsigned int gates;                    /* sockets that got one */
	int fail_gate;                         /* errno that every call for one fails with */
	int fail_mss;                          /* what a send of nothing fails with */
	unsigned int mss;                      /* sends of nothing */
	void (*on_mss)(struct splice_test *t); /* sockops runs, under the socket's lock */
	void (*on_ack)(struct splice_test *t); /* ... in a read that opens the receive window */
	void (*on_remove)(struct splice_test *t); /* a delete by system call is about to be done */
	struct splice_test *test;
} fake;

static inline uint64_t *entry(int fd, uint64_t key)
{
	for (int i = 0; i < FAKE_ENTRIES; i++)
		if (fake.keys[fd - SOCKETS_FD][i] == key)
			return &fake.keys[fd - SOCKETS_FD][i];
	return NULL;
}

static inline bool is_in(int fd, const struct conn *c)
{
	return c->cookie && entry(fd, c->cookie);
}

static inline bool is_fake(int fd)
{
	return fd >= SOCKETS_FD && fd < _FAKE_FD_MAX;
}

int bpf_map_update_elem(int fd, const void *key, const void *value _unused_, __u64 flags _unused_)
{
	int map = fd - SOCKETS_FD;
	uint64_t *place;

	assert_true(is_fake(fd));
	if (fake.fail_put[map] && fake.puts[map]++ >= fake.fail_puts_after) {
		errno = fake.fail_put[map];
		return -1;
	}
	fake.puts[map] += !fake.fail_put[map];
	place = entry(fd, *(const uint64_t *)key);
	if (!place)
		place = entry(fd, 0);
	assert_non_null(place);
	*place = *(const uint64_t *)key;
	return 0;
}

int bpf_map_delete_elem(int fd, const void *key)
{
	int map = fd - SOCKETS_FD;
	uint64_t *place;

	assert_true(is_fake(fd));
	fake.removes[map]++;
	if (fd == ENGAGED_FD && fake.on_remove)
		fake.on_remove(fake.test);
	place = entry(fd, *(const uint64_t *)key);
	if (fake.fail_remove[map] || !place) {
		errno = fake.fail_remove[map] ? fake.fail_remove[map] : ENOENT;
		return -1;
	}
	*place = 0;
	return 0;
}

int bpf_map_lookup_elem(int fd, const void *key, void *value _unused_)
{
	assert_true(is_fake(fd));
	if (entry(fd, *(const uint64_t *)key))
		return 0;
	errno = ENOENT;
	return -1;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (level != SOL_SOCKET || name != SO_ATTACH_BPF)
		return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
	assert_int_equal(*(const int *)value, GATE_FD);
	if (fake.fail_gate) {
		errno = fake.fail_gate;
		return -1;
	}
	fake.gates++;
	return 0;
}

/* A send of nothing has the MSS computed, which runs sockops; an error of the socket it tells. */
ssize_t send(int fd, const void *data, size_t len, int flags)
{
	if (len)
		return sendto(fd, data, len, flags, NULL, 0);
	fake.mss++;
	if (fake.fail_mss) {
		errno = fake.fail_mss;
		return -1;
	}
	if (fake.on_mss)
		fake.on_mss(fake.test);
	return sendto(fd, data, 0, flags, NULL, 0);
}

/* Where the window opens by it, its end is a segment that says so; and sockops runs before. */
ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	ssize_t n = syscall(SYS_recvmsg, fd, m, flags);

	if (n > 0 && fake.on_ack)
		fake.on_ack(fake.test);
	return n;
}

/* ---- the splice ------------------------------------------------------------------------- */

#define WINDOW (256 * 1024)

struct splice_test {
	struct turns turns;
	struct memory memory;
	struct stats stats;
	struct maps maps;
	struct lane lanes[2];
	uint32_t leaving, unheard;
	__u64 alert_ns;
	struct splice *owners[1];
	uint32_t generations[1];
	struct splicer by;
	struct splice_settings settings;
	struct splice sp;
	struct stream streams[2];
	struct conn client, server;
	int client_end, server_end; /* the peers' sockets */
	struct conn *failed;        /* what the owner was told */
	int error;
	unsigned int n_failed, n_corrupt, n_delivered, n_done;
};

static inline struct splice_test *test_of(struct splice *sp)
{
	return container_of(sp, struct splice_test, sp);
}

/* As a session does for plain bytes: what the source left is copied, or the end. */
static void on_failed(struct splice *sp, struct conn *c, int err)
{
	struct splice_test *t = test_of(sp);

	t->failed = c;
	t->error = err;
	t->n_failed++;
	c->failed = true;
	splice_stop(sp);
}

static void on_corrupt(struct splice *sp)
{
	test_of(sp)->n_corrupt++;
	splice_stop(sp);
}

static void on_delivered(struct splice *sp)
{
	test_of(sp)->n_delivered++;
	splice_stop(sp);
}

static void on_done(struct splice *sp)
{
	struct splice_test *t = test_of(sp);

	if (++t->n_done == 2)
		splice_stop(sp);
}

static const struct splice_owner test_owner = {
    .failed = on_failed, .corrupt = on_corrupt, .delivered = on_delivered, .done = on_done};

/* Two ends of a connection over loopback; the first is non-blocking. */
static inline void connect_pair(int *ours, int *peer)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listening, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(listening, 1), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&in, &len), 0);
	*peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*peer, (struct sockaddr *)&in, sizeof(in)), 0);
	*ours = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(*ours >= 0);
	assert_int_equal(close(listening), 0);
}

static inline void begin(struct splice_test *t)
{
	*t = (struct splice_test){
	    .maps = {.sockets_fd = SOCKETS_FD,
		     .engaged_fd = ENGAGED_FD,
		     .lane_of_fd = LANE_OF_FD,
		     .gate_fd = GATE_FD},
	    .settings = {.low = 64 * 1024,
			 .high = 128 * 1024,
			 .hard = 512 * 1024,
			 .window = WINDOW,
			 .early_bytes = UINT64_MAX,
			 .budget = UINT64_MAX,
			 .read_size = STREAM_READ},
	};
	memset(&fake, 0, sizeof(fake));
	fake.test = t;
	turns_begin(&t->turns);
	t->maps.lanes = t->lanes;
	t->maps.n_lanes = 2;
	t->maps.leaving = &t->leaving;
	t->maps.alert_ns = &t->alert_ns;
	t->maps.unheard = &t->unheard;
	t->maps.owners = t->owners;
	t->maps.generations = t->generations;
	t->maps.collected = true;
	assert_int_equal(splicer_init(&t->by, &t->turns.loop, NULL, 3, &t->stats, &t->memory), 0);
	t->by.maps = &t->maps; /* without a ring */
	t->client = (struct conn){.side = SIDE_CLIENT, .tcp = true, .writable = true};
	t->server = (struct conn){.side = SIDE_BACKEND, .tcp = true, .writable = true};
	connect_pair(&t->client.fd, &t->client_end);
	connect_pair(&t->server.fd, &t->server_end);
	t->sp.by = &t->by;
	t->sp.settings = &t->settings;
	t->sp.owner = &test_owner;
	t->sp.streams = t->streams;
	splice_begin(&t->sp, &t->client);
	splice_attach(&t->sp, &t->server);
}

/* Both streams are the kernel's. */
static inline void begin_engaged(struct splice_test *t)
{
	begin(t);
	splice_open(&t->sp);
	assert_int_equal(t->streams[UP].state, STREAM_ENGAGED);
	assert_int_equal(t->streams[DOWN].state, STREAM_ENGAGED);
}

static inline void end(struct splice_test *t)
{
	splice_close(&t->sp);
	(void)close(t->client.fd);
	(void)close(t->server.fd);
	(void)close(t->client_end);
	(void)close(t->server_end);
	memset(&fake.fail_remove, 0, sizeof(fake.fail_remove));
	assert_int_equal(splice_forget(&t->sp), 0);
	splice_fini(&t->sp);
	loop_timer_cancel(&t->turns.loop, &t->by.adopt_timer);
	turns_end(&t->turns);
}

/* What waits for the next turn is done; what that puts there is not. How much it was. */
static inline unsigned int run_tasks(struct splice_test *t)
{
	struct loop *l = &t->turns.loop;
	unsigned int n = l->n_again;
	struct task *task;

	for (unsigned int i = 0; i < n && (task = TAILQ_FIRST(&l->again)); i++) {
		loop_not_again(l, task);
		task->run(task);
	}
	return n;
}

/* So much later: what is due by then is done at its time, and until no more is put off. */
static inline void pass(struct splice_test *t, uint64_t ns)
{
	uint64_t until = t->turns.loop.now + ns;
	const struct timer *first;

	for (;;) {
		for (int i = 0; i < 100 && run_tasks(t); i++)
			;
		first = t->turns.loop.timers.first;
		if (!first || first->at > until)
			break;
		turns_pass(&t->turns, first->at - MIN(first->at, t->turns.loop.now));
	}
	t->turns.loop.now = until;
}

static inline bool is_all_read(const struct conn *c)
{
	char byte;

	return recv(c->fd, &byte, 1, MSG_PEEK) < 0;
}

/* sockops takes the source out, as leave_as_asked() in leave.h does: if nothing more was handed up,
 * or if nothing is unread. */
static inline void sockops_leaves(struct splice_test *t)
{
	for (int i = 0; i < 2; i++) {
		struct conn *source = t->streams[i].source;
		struct lane *lane = &t->lanes[i];
		uint64_t *place = entry(ENGAGED_FD, source->cookie);

		if (lane->leave == lane->left || !place)
			continue;
		if (lane->taken == LANE_ALL_READ ? !is_all_read(source)
						 : lane->passed != lane->taken)
			continue;
		*place = 0;
		lane->left = lane->leave;
	}
}

/* As stop() in leave.h: the stream's source leaves, since too much waits for its target. */
static inline void sockops_stops(struct stream *s)
{
	uint64_t *place = entry(ENGAGED_FD, s->source->cookie);

	assert_true(place);
	*place = 0;
	s->lane->beyond = LANE_STOPPED;
	s->lane->pause_wanted++;
}

/* ---- bytes and sockets ------------------------------------------------------------------ */

static inline char pattern_at(uint64_t at)
{
	return (char)((at * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

/* Bytes `from` to `from + n` of the pattern are written to a peer's socket and have arrived. */
static inline void say(int peer, struct conn *to, uint64_t from, size_t n)
{
	uint64_t there = 0;
	char buf[64 * 1024];

	assert_true(n <= sizeof(buf));
	for (size_t i = 0; i < n; i++)
		buf[i] = pattern_at(from + i);
	assert_int_equal(sendto(peer, buf, n, 0, NULL, 0), n);
	for (int i = 0; i < 1000 && there < n; i++) {
		there = (uint64_t)MAX(recv(to->fd, buf, sizeof(buf), MSG_PEEK), 0);
		if (there < n)
			(void)usleep(1000);
	}
	assert_true(there >= n);
}

/* The peer gets exactly bytes `from` to `from + n` of the pattern. */
static inline void expect(int peer, uint64_t from, size_t n)
{
	char buf[64 * 1024];

	assert_true(n <= sizeof(buf));
	assert_int_equal(recv(peer, buf, n, MSG_WAITALL), n);
	for (size_t i = 0; i < n; i++)
		if (buf[i] != pattern_at(from + i))
			fail_msg("byte %zu is wrong", i);
	assert_int_equal(recv(peer, buf, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

static inline int option_of(const struct conn *c, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(c->fd, level, name, &value, &len), 0);
	return value;
}

/* Verdicts are held off, or run. */
static inline bool is_held(const struct conn *c)
{
	return option_of(c, SOL_SOCKET, SO_RCVLOWAT) > 1;
}
