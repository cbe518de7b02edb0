// SPDX-License-Identifier: GPL-2.0-or-later
#include "lookup.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "../netns.h"
#include "../util.h"
#include "object.h"
#include "origin.h"
#include "steer.skel.h"

#define NETNS_PATH "/proc/self/ns/net"

/* ---- loading ---------------------------------------------------------------------------- */

static int set_up(struct lookup *l, bool trial, struct lookup_maps *maps)
{
	struct steer_bpf *skel = l->skeleton;
	int err;

	skel->rodata->netns = netns_cookie();
	if (!skel->rodata->netns)
		return -EOPNOTSUPP;
	if (getrandom(&l->generation, sizeof(l->generation), 0) != (ssize_t)sizeof(l->generation))
		return -errno;
	skel->rodata->generation = l->generation;
	skel->rodata->trial = trial;
	err = object_take_map(skel->maps.own, &maps->own_fd);
	return err ? err : object_take_map(skel->maps.serving, &maps->serving_fd);
}

static int attach_to_cgroup(struct lookup *l, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno
		      : object_attach(l->skeleton->progs.exempt, fd, &l->skeleton->links.exempt);
}

static int attach_to_netns(struct lookup *l)
{
	_cleanup_close_ int fd = open(NETNS_PATH, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	l->skeleton->links.steer = bpf_program__attach_netns(l->skeleton->progs.steer, fd);
	return l->skeleton->links.steer ? 0 : -errno;
}

static int load(struct lookup *l, bool trial, struct lookup_maps *maps, const char **step)
{
	int err;

	*step = "opening the programs";
	l->skeleton = steer_bpf__open();
	err = l->skeleton ? set_up(l, trial, maps) : -errno;
	if (err)
		return err;
	*step = "loading the programs";
	err = steer_bpf__load(l->skeleton);
	if (err)
		return err;
	l->orders = (void *)&l->skeleton->bss->orders;
	l->counts = (void *)&l->skeleton->bss->counts;
	err = object_keep_map(l->skeleton->maps.own, &maps->own_fd);
	return err ? err : object_keep_map(l->skeleton->maps.serving, &maps->serving_fd);
}

int lookup_open(struct lookup *l, const char *cgroup, bool trial, struct lookup_maps *maps,
		char why[256])
{
	const char *step;
	int err;

	*l = (struct lookup){0};
	err = load(l, trial, maps, &step);
	/* What knows the daemon's connects first. */
	if (!err) {
		step = "attaching a program to the daemon's cgroup";
		err = attach_to_cgroup(l, cgroup);
	}
	if (!err) {
		step = "attaching a program to the network namespace (" NETNS_PATH ")";
		err = attach_to_netns(l);
	}
	if (err)
		object_explain(err, step, why);
	else
		object_drop_programs(l->skeleton->obj);
	return err;
}

void lookup_close(struct lookup *l)
{
	steer_bpf__destroy(l->skeleton);
	*l = (struct lookup){0};
}

void lookup_detach(struct lookup *l)
{
	(void)bpf_link__destroy(l->skeleton->links.steer); /* NULL is fine */
	l->skeleton->links.steer = NULL;
}

int lookup_link(const struct lookup *l)
{
	return bpf_link__fd(l->skeleton->links.steer);
}

int lookup_exempt_link(const struct lookup *l)
{
	return bpf_link__fd(l->skeleton->links.exempt);
}

/* ---- orders ----------------------------------------------------------------------------- */

static unsigned int next_set(const struct lookup *l)
{
	return !l->orders->set;
}

/* Of a set that no program looks at. */
static void forget_listeners(struct lookup *l, unsigned int set)
{
	int map = bpf_map__fd(l->skeleton->maps.listeners);

	for (uint32_t n = 0; n < l->n_listeners[set]; n++) {
		uint32_t key = STEER_LISTENER(set, n);

		/* One that was closed has left the map by itself. */
		(void)bpf_map_delete_elem(map, &key);
	}
	l->n_listeners[set] = 0;
}

static int forget_places(struct lookup *l, unsigned int set)
{
	int map = bpf_map__fd(l->skeleton->maps.places);
	struct steer_place last, next;
	bool any = false;

	while (bpf_map_get_next_key(map, any ? &last : NULL, &next) == 0) {
		if (next.set != set) {
			last = next;
			any = true;
		} else if (bpf_map_delete_elem(map, &next) < 0) {
			return -errno;
		}
	}
	return errno == ENOENT ? 0 : -errno;
}

int lookup_begin(struct lookup *l)
{
	unsigned int set = next_set(l);

	l->orders->n[set] = 0;
	forget_listeners(l, set);
	return forget_places(l, set);
}

int lookup_add_listener(struct lookup *l, unsigned int n, int fd)
{
	int map = bpf_map__fd(l->skeleton->maps.listeners);
	unsigned int set = next_set(l);
	uint32_t key = STEER_LISTENER(set, n);
	uint64_t value = (uint64_t)fd;

	if (n >= STEER_RULES)
		return -ENOSPC;
	if (bpf_map_update_elem(map, &key, &value, BPF_ANY) < 0)
		return -errno;
	l->n_listeners[set] = MAX(l->n_listeners[set], n + 1);
	return 0;
}

int lookup_add_rule(struct lookup *l, const struct destination *d, enum steer_kind kind,
		    unsigned int n)
{
	unsigned int set = next_set(l), at = l->orders->n[set];
	struct steer_rule r = {.kind = kind, .listener = n};

	if (at == STEER_RULES)
		return -ENOSPC;
	rule_of(d, &r.what);
	l->orders->rules[set][at] = r;
	l->orders->n[set] = at + 1;
	return 0;
}

static int add_place(struct lookup *l, const struct intercept_place *p, enum steer_own what)
{
	struct steer_place key = {.port = p->port, .set = (uint16_t)next_set(l)};
	uint32_t value = what;

	memcpy(key.addr, p->addr, sizeof(key.addr));
	return bpf_map_update_elem(bpf_map__fd(l->skeleton->maps.places), &key, &value, BPF_ANY) < 0
		   ? -errno
		   : 0;
}

int lookup_add_place(struct lookup *l, const struct addr *bound, bool ipv6_only,
		     enum steer_own what)
{
	struct addr all = {.len = sizeof(all.in4), .in4.sin_family = AF_INET};
	struct intercept_place p;
	int err;

	place_of(bound, &p);
	err = add_place(l, &p, what);
	if (err || ipv6_only || bound->sa.sa_family != AF_INET6 ||
	    !IN6_IS_ADDR_UNSPECIFIED(&bound->in6.sin6_addr))
		return err;
	addr_set_port(&all, addr_port(bound));
	place_of(&all, &p);
	return add_place(l, &p, what);
}

/* A program that is looking at the set before has done so long before that is written again: in
 * between all workers have taken a setup. */
void lookup_commit(struct lookup *l)
{
	unsigned int before = l->orders->set;

	atomic_thread_fence(memory_order_seq_cst);
	l->orders->set = !before;
	atomic_thread_fence(memory_order_seq_cst);
}

int lookup_serve(struct lookup *l)
{
	uint32_t zero = 0;

	return bpf_map_update_elem(bpf_map__fd(l->skeleton->maps.serving), &zero, &l->generation,
				   BPF_ANY) < 0
		   ? -errno
		   : 0;
}
