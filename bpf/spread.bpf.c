// SPDX-License-Identifier: GPL-2.0-only
/* Who of the workers gets a client. See spread-api.h. */
/* No type of the kernel is looked into: loading it would take the time to read them all. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "spread-api.h"

char LICENSE[] SEC("license") = "GPL";

/* Of a TCP header. */
#define FLAGS_AT 13
#define FLAG_SYN 0x02
#define FLAG_RST 0x04
#define FLAG_ACK 0x10

/* A second, roughly: a power of two of nanoseconds. */
#define SECOND_SHIFT 30

/* Fixed before load. */
const volatile __u32 n_workers = 1;

volatile struct spread_state state = {};
volatile struct spread_worker workers[SPREAD_WORKERS] __attribute__((aligned(128))) = {};

/* How many there may be is said before load. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 1024);
	__type(key, struct spread_key);
	__type(value, __u64);
} queues SEC(".maps");

/* Of all sockets of a group, by the cookie: the program is told of one of them. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} groups SEC(".maps");

/* ---- what is on its way -------------------------------------------------------------------- */

static __always_inline __s64 waiting(volatile struct spread_worker *w)
{
	return (__s64)(w->chosen - w->arrived) - w->lost;
}

/*
 * Once a second, by one processor: what was chosen a second ago and has not arrived never will: a
 * scanner's, or a handshake's that takes too long to wait for. And what arrived without having been
 * chosen is not set off against what was.
 */
static __always_inline void settle(void)
{
	__u32 now = (__u32)(bpf_ktime_get_coarse_ns() >> SECOND_SHIFT), before = state.second;

	if (now == before || __sync_val_compare_and_swap(&state.second, before, now) != before)
		return;
	for (__u32 i = 0; i < n_workers && i < SPREAD_WORKERS; i++) {
		volatile struct spread_worker *w = &workers[i];
		__u64 chosen = w->chosen, old = now - before > 1 ? chosen : w->chosen_before;
		__s64 gone = (__s64)(old - w->arrived) - w->lost, there = waiting(w);

		if (gone > 0)
			w->lost += gone;
		else if (there < 0)
			w->lost += there;
		w->chosen_before = chosen;
	}
}

/* ---- who gets it --------------------------------------------------------------------------- */

static __always_inline __u64 load_of(volatile struct spread_worker *w)
{
	__s64 n = waiting(w);

	/* None, if it is negative: a branch would double what the verifier follows. */
	return (__u64)(n & ~(n >> 63)) + w->sessions + w->incoming;
}

static __always_inline __u32 choose(__u32 hash)
{
	__u32 first = hash % n_workers, best = first;
	__u64 least = ~0ull;

	for (__u32 i = 0; i < n_workers && i < SPREAD_WORKERS; i++) {
		__u32 at = first + i;
		__u64 load;

		at = (at < n_workers ? at : at - n_workers) & (SPREAD_WORKERS - 1);
		load = load_of(&workers[at]);
		if (load < least) {
			least = load;
			best = at;
		}
	}
	return best & (SPREAD_WORKERS - 1);
}

/* The third segment of a handshake that was answered with a cookie is asked for, too, and what
 * comes for a connection that is over: neither is one more. */
static __always_inline int is_first(const struct sk_reuseport_md *md)
{
	const __u8 *tcp = md->data;

	return (const void *)(tcp + FLAGS_AT + 1) <= md->data_end &&
	       (tcp[FLAGS_AT] & (FLAG_SYN | FLAG_ACK | FLAG_RST)) == FLAG_SYN;
}

SEC("sk_reuseport")
int spread(struct sk_reuseport_md *md)
{
	struct spread_key key;
	__u32 *group, worker;
	__u64 cookie;

	if (!state.on)
		return SK_PASS;
	cookie = bpf_get_socket_cookie(md->sk);
	group = bpf_map_lookup_elem(&groups, &cookie);
	if (!group)
		return SK_PASS;
	settle();
	worker = choose(md->hash);
	key.group = *group;
	key.worker = worker;
	if (bpf_sk_select_reuseport(md, &queues, &key, 0))
		__sync_fetch_and_add(&state.missed, 1);
	else if (is_first(md))
		__sync_fetch_and_add(&workers[worker].chosen, 1);
	return SK_PASS;
}
