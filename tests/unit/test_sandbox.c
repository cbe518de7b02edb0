/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The seccomp filter: what goes through, what does not, and how that is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../../daemon/sandbox.h"
#include "../../daemon/util.h"

static int bpf(int command)
{
	union bpf_attr attr;

	memset(&attr, 0xff, sizeof(attr));
	return syscall(SYS_bpf, command, &attr, sizeof(attr)) < 0 ? errno : 0;
}

/* In the child: the number of the first thing that is not as it should be, 0: none. */
static int look_around(bool runs_programs)
{
	char *const argv[] = {(char *)"true", NULL};
	void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (page == MAP_FAILED || fd < 0 || close(fd) < 0)
		return 1;
	if (execve("/bin/true", argv, NULL) == 0 || errno != ENOSYS)
		return 2;
	if (syscall(SYS_ptrace, 0, 0, 0, 0) == 0 || errno != ENOSYS)
		return 3;
	if (syscall(SYS_mount, "", "", "", 0, NULL) == 0 || errno != ENOSYS)
		return 4;
	if (bpf(BPF_PROG_LOAD) != ENOSYS || bpf(BPF_PROG_ATTACH) != ENOSYS ||
	    bpf(BPF_LINK_CREATE) != ENOSYS || bpf(BPF_MAP_GET_FD_BY_ID) != ENOSYS)
		return 5;
	if ((bpf(BPF_PROG_TEST_RUN) == ENOSYS) == runs_programs)
		return 7;
	/* These reach the kernel, which does not like the arguments. */
	if (bpf(BPF_MAP_LOOKUP_ELEM) == ENOSYS || bpf(BPF_MAP_DELETE_ELEM) == ENOSYS)
		return 6;
	return 0;
}

/* The same of one that keeps a capability over the network. */
static int look_around_capable(void)
{
	int tcp = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int udp = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
	struct ifreq ifr = {.ifr_name = "lo"};

	if (tcp < 0 || udp < 0)
		return 1;
	if (socket(AF_NETLINK, SOCK_RAW, 0) >= 0 || errno != ENOSYS)
		return 2;
	if (socket(AF_PACKET, SOCK_DGRAM, 0) >= 0 || errno != ENOSYS)
		return 3;
	if (socket(AF_INET, SOCK_RAW, IPPROTO_TCP) >= 0 || errno != ENOSYS)
		return 4;
	if (setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		return 5;
	/* The kernel may not like it, but has seen it. */
	if (setsockopt(tcp, IPPROTO_IPV6, IPV6_TRANSPARENT, &one, sizeof(one)) < 0 &&
	    errno == ENOSYS)
		return 6;
	if (setsockopt(udp, IPPROTO_IP, 64, &one, sizeof(one)) == 0 || errno != ENOSYS)
		return 7; /* IPT_SO_SET_REPLACE */
	if (ioctl(udp, SIOCGIFINDEX, &ifr) < 0 || ioctl(udp, FIONREAD, &one) < 0)
		return 8;
	if (ioctl(udp, SIOCSIFFLAGS, &ifr) == 0 || errno != ENOSYS)
		return 9;
	return 0;
}

/* Runs it in a child under the filter; its wait status. */
static int in_child(bool kill, bool runs_programs, bool capable)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    sandbox_enter(kill, runs_programs, capable) < 0)
			_exit(100);
		_exit(capable ? look_around_capable() : look_around(runs_programs));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_calls(void **state)
{
	int status;

	if (!sandbox_is_possible()) {
		print_message("not in a build with sanitizers\n");
		skip();
	}
	status = in_child(false, *state, false);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_calls_with_a_capability(void **state _unused_)
{
	int status;

	if (!sandbox_is_possible()) {
		print_message("not in a build with sanitizers\n");
		skip();
	}
	status = in_child(false, false, true);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_kill(void **state _unused_)
{
	int status;

	if (!sandbox_is_possible()) {
		print_message("not in a build with sanitizers\n");
		skip();
	}
	status = in_child(true, false, false);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_calls),
	    {.name = "test_calls_of_the_bypass",
	     .test_func = test_calls,
	     .initial_state = &test_calls},
	    cmocka_unit_test(test_calls_with_a_capability),
	    cmocka_unit_test(test_kill),
	};

	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
