// SPDX-License-Identifier: GPL-2.0-or-later
#include "sandbox.h"

#include <errno.h>
#include <linux/bpf.h>
#include <seccomp.h>
#include <stddef.h>

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
    "ioctl",
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
    "socket",
    "socketpair",
    "bind",
    "listen",
    "accept",
    "accept4",
    "connect",
    "getsockname",
    "getpeername",
    "setsockopt",
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

static int allow_all(scmp_filter_ctx ctx, bool runs_programs)
{
	int err = 0;

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

int sandbox_enter(bool kill, bool runs_programs)
{
	scmp_filter_ctx ctx = seccomp_init(kill ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(ENOSYS));
	int err;

	if (!ctx)
		return -ENOMEM;
	err = allow_all(ctx, runs_programs);
	/* Told by the kernel; and a tree instead of a list. Neither is worth failing for. */
	if (!err) {
		(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1);
		(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
		err = seccomp_load(ctx);
	}
	seccomp_release(ctx);
	return err;
}
