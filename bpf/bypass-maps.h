/* SPDX-License-Identifier: GPL-2.0-only */
/* The bypass's maps, see bypass-api.h, and what its programs read of a socket. */
#ifndef BYPASS_MAPS_H
#define BYPASS_MAPS_H

#include "kernel-types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bypass-api.h"
#include "intercept-api.h"

#define TCP_ESTABLISHED   1
#define TCP_NEW_SYN_RECV  12
#define TCP_NOTSENT_LOWAT 25
#define IPPROTO_TCP       6
#define AF_INET6          10
#define RCV_SHUTDOWN      1
#define SEND_SHUTDOWN     2
#define SHUTDOWN_BOTH     3
#define PSOCK_FLAGS       7ULL /* in the pointer to it */
#define O_NONBLOCK        04000

/*
 * Sockets of this network namespace, the daemon's, come into `joined` when they are to be bypassed;
 * those of others when they are established, for `admit` would not find them; 0: all of them.
 */
const volatile __u64 late_netns = 0;

/* The daemon's own sockets are enrolled, too: see bypass_maps_proved(). */
volatile __u32 proving = 0;

/* Where a socket is; not shared: whoever could write an address here could read the kernel's
 * memory. */
struct place {
	__u64 cookie; /* 0: it is not established yet */
	__u64 addr;
	struct bpf_sock_tuple tuple; /* as what comes to it has it */
	__u32 size;                  /* of the tuple; 0: the socket is in `joined` already */
};

/* Sizes are placeholders: the daemon sets them from max_sessions before load. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct handshake);
} joining SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} listening SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct handshake);
	__type(value, struct place);
} expected SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u64);
} joined SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u64);
} outlet SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct bypass_ref);
} bypass_of SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct way);
} ways SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct place);
} aims SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64); /* elements are 8 bytes apart, whatever they are */
} looks SEC(".maps");

#define READ(dest, base, type, field)                \
	bpf_probe_read_kernel(&(dest), sizeof(dest), \
			      (const void *)((base) + bpf_core_field_offset(type, field)))

#endif
