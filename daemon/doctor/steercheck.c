// SPDX-License-Identifier: GPL-2.0-or-later
#include "steercheck.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "../addr.h"
#include "../cgroup.h"
#include "../intercept/lookup.h"
#include "../util.h"
#include "why.h"

#define WAIT_MS 2000

const char steer_check_name[] = "steer";
const char steer_check_fact[] =
    "sk_lookup, bpf_sk_assign() of a socket in a sockhash, and sockops: what comes to another port "
    "goes to a listener, and what the daemon connects does not";

/* A trial: a listener, and ports that are bound and not listened at, one of each family. */
struct trial {
	struct lookup lookup;
	struct addr listening;
	int listener;
	struct addr there[2];
	int bound[2];
};

/* The descriptor; -1: this host has no such address. */
static int bind_at(const char *text, struct addr *bound)
{
	_cleanup_close_ int fd = -1;
	int none = 0;
	const char *problem;

	if (addr_parse(text, bound, &problem) < 0)
		return -1;
	fd = socket(bound->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (bound->sa.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &none, sizeof(none));
	if (bind(fd, &bound->sa, bound->len) < 0 || getsockname(fd, &bound->sa, &bound->len) < 0)
		return -1;
	return TAKE_FD(fd);
}

/* As the daemon's hidden addresses: of both families, where there are both. */
static int set_up(struct trial *t, char why[256])
{
	errno = 0;
	t->listener = bind_at("[::ffff:127.0.0.1]:0", &t->listening);
	if (t->listener < 0)
		t->listener = bind_at("127.0.0.1:0", &t->listening);
	t->bound[0] = bind_at("127.0.0.1:0", &t->there[0]);
	t->bound[1] = bind_at("[::1]:0", &t->there[1]);
	if (t->listener < 0 || listen(t->listener, 4) < 0 || t->bound[0] < 0)
		return failed(why, "listening at 127.0.0.1");
	if (t->listening.sa.sa_family != AF_INET6) {
		closep_(&t->bound[1]);
		t->bound[1] = -1;
	}
	return 0;
}

static int give_orders(struct trial *t)
{
	struct lookup *l = &t->lookup;
	int err = lookup_begin(l);

	if (!err)
		err = lookup_add_listener(l, 0, t->listener);
	for (int i = 0; !err && i < 2; i++) {
		struct destination d = {.first = addr_port(&t->there[i])};

		if (t->bound[i] < 0)
			continue;
		d.last = d.first;
		d.network.family = t->there[i].sa.sa_family;
		d.network.prefix = i ? 128 : 32;
		if (i)
			memcpy(d.network.bytes, &t->there[i].in6.sin6_addr, 16);
		else
			memcpy(d.network.bytes, &t->there[i].in4.sin_addr, 4);
		err = lookup_add_rule(l, &d, STEER_TAKE, 0);
	}
	if (err)
		return err;
	lookup_commit(l);
	l->orders->ready = 1;
	return lookup_serve(l);
}

/* Connects as the daemon does, or as somebody else would. 0 or a negative errno of the connect. */
static int dial(const struct addr *where, bool own, int *ret_fd)
{
	int fd = socket(where->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int priority = own ? (int)INTERCEPT_MARK : 0, err = 0;
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	socklen_t len = sizeof(err);

	*ret_fd = fd;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority)) < 0)
		return -errno;
	if (connect(fd, &where->sa, where->len) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	if (poll(&p, 1, WAIT_MS) != 1)
		return -ETIMEDOUT;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 ? -errno : -err;
}

static int try_one(struct trial *t, const struct addr *where, char why[256])
{
	struct addr local = {.len = sizeof(local.un)};
	_cleanup_close_ int client = -1, own = -1, accepted = -1;
	struct pollfd p = {.fd = t->listener, .events = POLLIN};
	int err;

	errno = -dial(where, false, &client);
	if (errno)
		return failed(why, "a connection did not come to the listener");
	if (poll(&p, 1, WAIT_MS) != 1)
		return wrong(why, "a connection did not come to the listener");
	accepted = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC);
	if (accepted < 0 || getsockname(accepted, &local.sa, &local.len) < 0)
		return failed(why, "accept()");
	addr_unmap(&local);
	if (!addr_equal(&local, where))
		return wrong(why, "an accepted connection does not say where it was to go");
	/* It is refused, but where another daemon steers it. */
	err = dial(where, true, &own);
	if (err && err != -ECONNREFUSED) {
		errno = -err;
		return failed(why, "connecting as the daemon does");
	}
	return poll(&p, 1, 0) == 0 ? 0 : wrong(why, "what the daemon connects comes back to it");
}

int steer_check_run(char why[256])
{
	struct trial t = {.listener = -1, .bound = {-1, -1}};
	struct lookup_maps maps = LOOKUP_NO_MAPS;
	char own[512];
	int err = cgroup_own_path(own, sizeof(own));

	if (err) {
		(void)snprintf(why, 256, "finding the daemon's cgroup: %s", cgroup_strerror(err));
		return err;
	}
	err = lookup_open(&t.lookup, own, true, &maps, why);
	if (!err)
		err = set_up(&t, why);
	if (!err) {
		errno = -give_orders(&t);
		err = errno ? failed(why, "giving orders to the programs") : 0;
	}
	for (int i = 0; !err && i < 2; i++) {
		if (t.bound[i] >= 0)
			err = try_one(&t, &t.there[i], why);
		if (err)
			blame_mounts(why);
	}
	lookup_close(&t.lookup);
	closep_(&t.listener);
	closep_(&t.bound[0]);
	closep_(&t.bound[1]);
	closep_(&maps.own_fd);
	closep_(&maps.serving_fd);
	return err;
}
