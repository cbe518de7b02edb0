// SPDX-License-Identifier: GPL-2.0-or-later
#include "interceptcheck.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "../addr.h"
#include "../cgroup.h"
#include "../intercept/origin.h"
#include "../intercept/programs.h"
#include "../util.h"
#include "why.h"

#define WAIT_MS 2000
/* Of Linux's netfilter headers, which go with no other ones. */
#define SO_ORIGINAL_DST      80
#define IP6T_SO_ORIGINAL_DST 80

const char intercept_check_name[] = "intercept";
const char intercept_check_fact[] =
    "cgroup/connect4 and 6, getpeername, getsockopt and sockops: a connect goes to a listener, "
    "and who made it does not notice";

/* Of documentation (RFC 5737, RFC 3849): nobody else connects there. */
static const char *const there[] = {"192.0.2.1:9", "[2001:db8::1]:9"};
static const char *const here[] = {"127.0.0.1:0", "[::1]:0"};

static int listen_at(const char *text, struct addr *bound)
{
	_cleanup_close_ int fd = -1;
	const char *problem;

	if (addr_parse(text, bound, &problem) < 0)
		return -1;
	fd = socket(bound->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, &bound->sa, bound->len) < 0 || listen(fd, 1) < 0 ||
	    getsockname(fd, &bound->sa, &bound->len) < 0)
		return -1;
	return TAKE_FD(fd);
}

/* What the application is told. */
static int check_answers(int fd, const struct addr *wanted, char why[256])
{
	bool ipv6 = wanted->sa.sa_family == AF_INET6;
	struct addr peer = {.len = sizeof(peer.in6)}, original = {.len = sizeof(original.in6)};

	if (getpeername(fd, &peer.sa, &peer.len) < 0)
		return failed(why, "getpeername()");
	if (!addr_equal(&peer, wanted))
		return wrong(why, "getpeername() does not say where the connect was to go");
	original.len = ipv6 ? sizeof(original.in6) : sizeof(original.in4);
	if (getsockopt(fd, ipv6 ? SOL_IPV6 : SOL_IP, ipv6 ? IP6T_SO_ORIGINAL_DST : SO_ORIGINAL_DST,
		       &original.sa, &original.len) < 0)
		return failed(why, "getsockopt(SO_ORIGINAL_DST)");
	return addr_equal(&original, wanted)
		   ? 0
		   : wrong(why, "SO_ORIGINAL_DST does not say where the connect was to go");
}

/* What the daemon is told. */
static int check_origin(int fd, const struct addr *client, const struct addr *wanted,
			const struct intercept_maps *maps, char why[256])
{
	struct intercept_key key;
	struct addr original;
	int err = origin_find(maps, fd, client, &original);

	if (err || !addr_equal(&original, wanted))
		return wrong(why, "it cannot be found where the connect was to go");
	return bpf_map_get_next_key(maps->flows_fd, NULL, &key) < 0 && errno == ENOENT
		   ? 0
		   : wrong(why, "where it was to go is not kept with the accepted socket");
}

static int try_one(int listener, const char *where, volatile struct intercept_orders *orders,
		   const struct intercept_maps *maps, char why[256])
{
	struct addr wanted, client = {.len = sizeof(client.in6)};
	_cleanup_close_ int fd = -1, accepted = -1;
	struct pollfd p = {.fd = listener, .events = POLLIN};
	const char *problem;
	int mark = (int)INTERCEPT_MARK, err;
	socklen_t len = sizeof(uint64_t);
	uint64_t cookie;

	errno = 0;
	if (addr_parse(where, &wanted, &problem) < 0)
		return wrong(why, problem);
	fd = socket(wanted.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Another daemon, that intercepts this one's cgroup, is not to have it. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &mark, sizeof(mark)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		return failed(why, "marking a socket");
	orders->tried = cookie;
	if (connect(fd, &wanted.sa, wanted.len) < 0 && errno != EINPROGRESS)
		return failed(why, "connect()");
	if (poll(&p, 1, WAIT_MS) != 1)
		return wrong(why, "a connect did not come to the listener");
	accepted = accept4(listener, &client.sa, &client.len, SOCK_CLOEXEC);
	if (accepted < 0)
		return failed(why, "accept()");
	p = (struct pollfd){.fd = fd, .events = POLLOUT};
	if (poll(&p, 1, WAIT_MS) != 1)
		return wrong(why, "a connect that was accepted did not succeed");
	err = check_answers(fd, &wanted, why);
	return err ? err : check_origin(accepted, &client, &wanted, maps, why);
}

/* IPv6 may be off. */
static int try_all(struct programs *p, const struct intercept_maps *maps, char why[256])
{
	struct addr bound[2] = {0};
	int listeners[2], err = 0;

	for (int i = 0; i < 2; i++)
		listeners[i] = listen_at(here[i], &bound[i]);
	(void)programs_aim(p, listeners[0] >= 0 ? &bound[0] : NULL,
			   listeners[1] >= 0 ? &bound[1] : NULL);
	p->orders->ready = 1;
	if (listeners[0] < 0)
		err = failed(why, "listening at 127.0.0.1");
	for (int i = 0; !err && i < 2; i++)
		if (listeners[i] >= 0)
			err = try_one(listeners[i], there[i], p->orders, maps, why);
	closep_(&listeners[0]);
	closep_(&listeners[1]);
	return err;
}

int intercept_check_run(char why[256])
{
	const struct destination outbound[] = {
	    {.network = {.family = AF_INET, .prefix = 32, .bytes = {192, 0, 2, 1}},
	     .first = 9,
	     .last = 9},
	    {.network = {.family = AF_INET6,
			 .prefix = 128,
			 .bytes = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}},
	     .first = 9,
	     .last = 9},
	};
	struct programs_options o = {.outbound = outbound,
				     .n_outbound = ARRAY_SIZE(outbound),
				     .max_flows = 16,
				     .trial = true};
	struct intercept_maps maps = INTERCEPT_NO_MAPS;
	struct programs p = {0};
	char own[512];
	int err = cgroup_own_path(own, sizeof(own));

	if (err) {
		(void)snprintf(why, 256, "finding the daemon's cgroup: %s", cgroup_strerror(err));
		return err;
	}
	o.cgroup = o.own = own;
	err = programs_open(&p, &o, &maps, why);
	if (!err) {
		err = try_all(&p, &maps, why);
		if (err)
			blame_mounts(why);
	}
	programs_close(&p);
	closep_(&maps.flows_fd);
	closep_(&maps.origins_fd);
	closep_(&maps.arrivals_fd);
	return err;
}
