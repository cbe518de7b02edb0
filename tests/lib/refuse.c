// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Preloaded into the daemon: system calls that the kernel refuses now and then. See refuse.py.
 *
 *   REFUSE        CALL:ERRNO:EVERY,...  every EVERYth call fails so
 *   REFUSE_WHILE  a file: calls fail only while it exists
 *
 * CALL is epoll_ctl (what sessions are watched for), epoll_ask (one that watches for what was
 * watched for already, to be told anew), send0 (a send of no bytes), or one of bpf(2)'s commands:
 * bpf_update, bpf_delete.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum call {
	CALL_EPOLL_CTL,
	CALL_EPOLL_ASK,
	CALL_SEND0,
	CALL_BPF_UPDATE,
	CALL_BPF_DELETE,
	_CALL_MAX
};

static const char *const names[_CALL_MAX] = {"epoll_ctl", "epoll_ask", "send0", "bpf_update",
					     "bpf_delete"};
static struct {
	int error;
	unsigned int every;
	atomic_uint n;
} rules[_CALL_MAX];
static const char *while_path;
/* Of each socket. */
#define FDS 4096
static uint32_t watched[FDS];

__attribute__((constructor)) static void begin(void)
{
	char *text = getenv("REFUSE"), *word, *rest;

	while_path = getenv("REFUSE_WHILE");
	text = text ? strdup(text) : NULL;
	for (word = text ? strtok_r(text, ",", &rest) : NULL; word;
	     word = strtok_r(NULL, ",", &rest)) {
		size_t len = strcspn(word, ":");
		char *at = word + len + 1;

		for (int i = 0; i < _CALL_MAX; i++)
			if (strlen(names[i]) == len && memcmp(names[i], word, len) == 0) {
				rules[i].error = (int)strtol(at, &at, 10);
				rules[i].every = (unsigned int)strtoul(at + 1, NULL, 10);
			}
	}
	free(text);
}

/* Sets errno where this call is to fail. */
static int refuse(enum call call)
{
	if (!rules[call].every || !while_path || access(while_path, F_OK) < 0)
		return 0;
	if (atomic_fetch_add(&rules[call].n, 1) % rules[call].every)
		return 0;
	errno = rules[call].error;
	return 1;
}

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	int (*real)(int, int, int, struct epoll_event *) = dlsym(RTLD_NEXT, "epoll_ctl");

	bool known = fd >= 0 && fd < FDS, again;
	int err;

	if (op == EPOLL_CTL_DEL || !(event->events & EPOLLET))
		return real(epfd, op, fd, event);
	again = op == EPOLL_CTL_MOD && known && watched[fd] == event->events;
	if (refuse(CALL_EPOLL_CTL) || (again && refuse(CALL_EPOLL_ASK)))
		return -1;
	err = real(epfd, op, fd, event);
	if (!err && known)
		watched[fd] = event->events;
	return err;
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
	ssize_t (*real)(int, const void *, size_t, int) = dlsym(RTLD_NEXT, "send");

	if (!len && refuse(CALL_SEND0))
		return -1;
	return real(fd, data, len, flags);
}

long syscall(long number, ...)
{
	long (*real)(long, ...) = dlsym(RTLD_NEXT, "syscall");
	long arg[6];
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		arg[i] = va_arg(args, long);
	va_end(args);
	if (number == __NR_bpf && ((arg[0] == BPF_MAP_DELETE_ELEM && refuse(CALL_BPF_DELETE)) ||
				   (arg[0] == BPF_MAP_UPDATE_ELEM && refuse(CALL_BPF_UPDATE))))
		return -1;
	return real(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}
