// SPDX-License-Identifier: GPL-2.0-or-later
#include "sandbox.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/socket.h>

#include "util.h"

/* By what they are for. A name that an architecture does not have is left out there. */
static const char *const allowed[] = {
    /* descriptors and bytes */
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "pwrite64",
    "close",
    "close_range",
    "dup",
    "dup2",
    "dup3",
    "fcntl",
    "fcntl64",
    "lseek",
    "_llseek",
    "pipe",
    "pipe2",
    "splice",
    "tee",
    "vmsplice",
    "sendfile",
    "sendfile64",
    /* sockets */
    "socketpair",
    "bind",
    "listen",
    "accept",
    "accept4",
    "connect",
    "getsockname",
    "getpeername",
    "getsockopt",
    "shutdown",
    "recvfrom",
    "recvmsg",
    "recvmmsg",
    "recvmmsg_time64",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "recv",
    "send",
    /* files: logs, /etc, /proc, the control socket */
    "open",
    "openat",
    "openat2",
    "stat",
    "lstat",
    "fstat",
    "fstatat64",
    "newfstatat",
    "statx",
    "statfs",
    "fstatfs",
    "access",
    "faccessat",
    "faccessat2",
    "readlink",
    "readlinkat",
    "unlink",
    "unlinkat",
    "getdents",
    "getdents64",
    "getcwd",
    "fsync",
    "fdatasync",
    "fadvise64",
    "flock",
    "memfd_create",
    "umask",
    "inotify_init",
    "inotify_init1",
    "inotify_add_watch",
    "inotify_rm_watch",
    /* waiting */
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "poll",
    "ppoll",
    "ppoll_time64",
    "select",
    "_newselect",
    "pselect6",
    "pselect6_time64",
    "eventfd",
    "eventfd2",
    "timerfd_create",
    "timerfd_settime",
    "timerfd_settime64",
    "timerfd_gettime",
    "timerfd_gettime64",
    "signalfd",
    "signalfd4",
    /* time */
    "clock_gettime",
    "clock_gettime64",
    "clock_getres",
    "clock_getres_time64",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "nanosleep",
    "gettimeofday",
    "time",
    "times",
    /* memory */
    "mmap",
    "mmap2",
    "munmap",
    "mremap",
    "mprotect",
    "madvise",
    "brk",
    "membarrier",
    "mincore",
    /* threads */
    "futex",
    "futex_time64",
    "futex_waitv",
    "set_robust_list",
    "get_robust_list",
    "rseq",
    "clone",
    "clone3",
    "exit",
    "exit_group",
    "set_tid_address",
    "gettid",
    "getpid",
    "getppid",
    "tgkill",
    "tkill",
    "prctl",
    "arch_prctl",
    "sched_yield",
    "sched_getaffinity",
    "sched_setaffinity",
    "sched_getattr",
    "sched_setattr",
    "sched_getparam",
    "sched_getscheduler",
    "getcpu",
    "restart_syscall",
    /* signals */
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigtimedwait_time64",
    "sigaltstack",
    "sigreturn",
    /* who and where */
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getresuid",
    "getresgid",
    "getgroups",
    "capget",
    "getrlimit",
    "ugetrlimit",
    "prlimit64",
    "getrusage",
    "uname",
    "sysinfo",
    "getrandom",
};

/* Entries of maps, and what a map is. No program can be loaded or attached with these. */
static const int bpf_commands[] = {
    BPF_MAP_LOOKUP_ELEM,  BPF_MAP_UPDATE_ELEM,  BPF_MAP_DELETE_ELEM,
    BPF_MAP_GET_NEXT_KEY, BPF_MAP_LOOKUP_BATCH, BPF_MAP_LOOKUP_AND_DELETE_ELEM,
    BPF_MAP_UPDATE_BATCH, BPF_MAP_DELETE_BATCH, BPF_OBJ_GET_INFO_BY_FD,
};

bool sandbox_is_possible(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
	return false;
#else
	return true;
#endif
#else
	return true;
#endif
}

static int allow_bpf(scmp_filter_ctx ctx, int command)
{
	/* What SCMP_A0() makes leaves out a field, of which clang warns. */
	const struct scmp_arg_cmp is = {
	    .arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)command};

	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(bpf), 1, is);
}

/* What a process with CAP_NET_ADMIN or CAP_NET_RAW could do more than one without. */

/* Other families: those of netlink, and of packets as they are on the wire; and raw sockets. */
static int allow_sockets(scmp_filter_ctx ctx)
{
	static const int families[] = {AF_UNIX, AF_INET, AF_INET6};
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
	int err = 0;

	for (size_t i = 0; !err && i < ARRAY_SIZE(families) * ARRAY_SIZE(types); i++) {
		const struct scmp_arg_cmp is[] = {
		    {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)families[i / 2]},
		    {.arg = 1,
		     .op = SCMP_CMP_MASKED_EQ,
		     .datum_a = ~(scmp_datum_t)(SOCK_NONBLOCK | SOCK_CLOEXEC),
		     .datum_b = (scmp_datum_t)types[i % 2]}};

		err = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), ARRAY_SIZE(is),
					     is);
	}
	return err;
}

/* Packet filters have their commands from 64 on, at the levels of IP. */
#define FILTERS_FROM 64

static int allow_options(scmp_filter_ctx ctx)
{
	const struct scmp_arg_cmp below = {.arg = 2, .op = SCMP_CMP_LT, .datum_a = FILTERS_FROM};
	const struct scmp_arg_cmp socket = {.arg = 1, .op = SCMP_CMP_EQ, .datum_a = SOL_SOCKET};
	const struct scmp_arg_cmp transparent = {
	    .arg = 2, .op = SCMP_CMP_EQ, .datum_a = IPV6_TRANSPARENT};
	int err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 1, below);

	if (!err)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 1, socket);
	if (!err)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 1, transparent);
	return err;
}

/* From SIOCADDRT on they change what the host is; but for these. */
static int allow_ioctls(scmp_filter_ctx ctx)
{
	static const unsigned int others[] = {SIOCGIFNAME, SIOCGIFINDEX, SIOCOUTQNSD};
	const struct scmp_arg_cmp below = {.arg = 1, .op = SCMP_CMP_LT, .datum_a = SIOCADDRT};
	int err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, below);

	for (size_t i = 0; !err && i < ARRAY_SIZE(others); i++) {
		const struct scmp_arg_cmp is = {.arg = 1, .op = SCMP_CMP_EQ, .datum_a = others[i]};

		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, is);
	}
	return err;
}

static int allow_network(scmp_filter_ctx ctx, bool capable)
{
	static const int calls[] = {SCMP_SYS(socket), SCMP_SYS(setsockopt), SCMP_SYS(ioctl)};
	int err = 0;

	if (!capable) {
		for (size_t i = 0; !err && i < ARRAY_SIZE(calls); i++)
			err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
		return err;
	}
	err = allow_sockets(ctx);
	if (!err)
		err = allow_options(ctx);
	return err ? err : allow_ioctls(ctx);
}

static int allow_all(scmp_filter_ctx ctx, bool runs_programs, bool capable)
{
	int err = allow_network(ctx, capable);

	for (size_t i = 0; !err && i < ARRAY_SIZE(allowed); i++) {
		int number = seccomp_syscall_resolve_name(allowed[i]);

		/* Negative: not one of this architecture. */
		if (number >= 0)
			err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 0);
	}
	for (size_t i = 0; !err && i < ARRAY_SIZE(bpf_commands); i++)
		err = allow_bpf(ctx, bpf_commands[i]);
	if (!err && runs_programs)
		err = allow_bpf(ctx, BPF_PROG_TEST_RUN);
	return err;
}

int sandbox_enter(bool kill, bool runs_programs, bool capable)
{
	scmp_filter_ctx ctx = seccomp_init(kill ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(ENOSYS));
	int err;

	if (!ctx)
		return -ENOMEM;
	err = allow_all(ctx, runs_programs, capable);
	/* Told by the kernel; and a tree instead of a list. Neither is worth failing for. */
	if (!err) {
		(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1);
		(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
		err = seccomp_load(ctx);
	}
	seccomp_release(ctx);
	return err;
}
