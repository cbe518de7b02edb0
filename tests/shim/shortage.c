// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * LD_PRELOAD: calls that fail now and then, as they do on a machine that is short of something.
 *
 * SPLICED_SHORTAGE names a file with the table below, which a test maps as well: it says which
 * calls fail, how often and how, while the program runs, and reads what happened. See
 * tests/lib/shortage.py.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* In the order of the table: the same list is in tests/lib/shortage.py. */
enum call {
	CALL_MALLOC,
	CALL_CALLOC,
	CALL_REALLOC,
	CALL_EPOLL_CTL,
	CALL_BPF,
	CALL_SEND,
	CALL_SENDMSG,
	CALL_RECV,
	CALL_ACCEPT,
	CALL_SOCKET,
	CALL_CONNECT,
	CALL_SETSOCKOPT,
	CALL_GETSOCKOPT,
	CALL_SHUTDOWN,
	_CALL_MAX,
};

struct row {
	_Atomic uint32_t one_in; /* fails one call in so many, at random; 0: none */
	_Atomic uint32_t left;   /* failures that are left; UINT32_MAX: no end */
	_Atomic int32_t error;   /* the errno */
	_Atomic uint32_t arg;    /* only calls with this argument (see the calls); 0: all */
	_Atomic uint32_t calls, failures;
};

struct table {
	_Atomic uint32_t seed;
	uint32_t n;
	struct row rows[_CALL_MAX];
};

static struct table *table;

__attribute__((constructor)) static void open_table(void)
{
	const char *path = getenv("SPLICED_SHORTAGE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (at != MAP_FAILED)
		table = at;
}

/* A number that follows from the seed, the call and its count alone. */
static uint32_t draw(uint32_t seed, uint32_t call, uint32_t count)
{
	uint64_t x = ((uint64_t)seed << 32 | count) + call * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)(x >> 32);
}

/* Whether this call is to fail; errno is set then. */
static bool fails(enum call call, uint32_t arg)
{
	struct row *row;
	uint32_t one_in, count, left;

	if (!table)
		return false;
	row = &table->rows[call];
	one_in = atomic_load_explicit(&row->one_in, memory_order_relaxed);
	if (!one_in || (row->arg && row->arg != arg))
		return false;
	count = atomic_fetch_add(&row->calls, 1);
	if (draw(table->seed, call, count) % one_in)
		return false;
	do {
		left = atomic_load(&row->left);
		if (!left)
			return false;
	} while (left != UINT32_MAX && !atomic_compare_exchange_weak(&row->left, &left, left - 1));
	atomic_fetch_add(&row->failures, 1);
	errno = row->error;
	return true;
}

/* ---- memory ----------------------------------------------------------------------------- */

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
	return fails(CALL_MALLOC, 0) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return fails(CALL_CALLOC, 0) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return fails(CALL_REALLOC, 0) ? NULL : __libc_realloc(p, n);
}

/* ---- system calls ----------------------------------------------------------------------- */

/* The real function behind this one. */
#define NEXT(name)                                                                  \
	({                                                                          \
		static __typeof__(&name) next;                                      \
		__typeof__(&name) found = __atomic_load_n(&next, __ATOMIC_RELAXED); \
		if (!found) {                                                       \
			found = (__typeof__(&name))dlsym(RTLD_NEXT, #name);         \
			__atomic_store_n(&next, found, __ATOMIC_RELAXED);           \
		}                                                                   \
		found;                                                              \
	})

/* arg: the operation. */
int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	return fails(CALL_EPOLL_CTL, (uint32_t)op) ? -1 : NEXT(epoll_ctl)(epfd, op, fd, event);
}

/* bpf(2) has no function of its own. arg: the command. */
long syscall(long number, ...)
{
	long a[6];
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_bpf && fails(CALL_BPF, (uint32_t)a[0]))
		return -1;
	return NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* arg: 1 where nothing is sent (the daemon's way to make the kernel look at a socket), else 2. */
ssize_t send(int fd, const void *data, size_t n, int flags)
{
	return fails(CALL_SEND, n ? 2 : 1) ? -1 : NEXT(send)(fd, data, n, flags);
}

/* arg: the second word of what is sent, which in the daemon's own messages is their kind. */
ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	uint32_t words[2] = {0};

	if (m->msg_iovlen && m->msg_iov[0].iov_len >= sizeof(words))
		memcpy(words, m->msg_iov[0].iov_base, sizeof(words));
	return fails(CALL_SENDMSG, words[1]) ? -1 : NEXT(sendmsg)(fd, m, flags);
}

ssize_t recv(int fd, void *data, size_t n, int flags)
{
	return fails(CALL_RECV, 0) ? -1 : NEXT(recv)(fd, data, n, flags);
}

int accept4(int fd, struct sockaddr *a, socklen_t *len, int flags)
{
	return fails(CALL_ACCEPT, 0) ? -1 : NEXT(accept4)(fd, a, len, flags);
}

int socket(int family, int type, int protocol)
{
	return fails(CALL_SOCKET, 0) ? -1 : NEXT(socket)(family, type, protocol);
}

int connect(int fd, const struct sockaddr *a, socklen_t len)
{
	return fails(CALL_CONNECT, 0) ? -1 : NEXT(connect)(fd, a, len);
}

/*
 * arg: the option. Not those that set a field of the socket and cannot fail, and without which
 * there is no other way: SO_LINGER says that an end is none, SO_RCVLOWAT lets a source go on.
 */
int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	bool cannot = level == SOL_SOCKET && (name == SO_LINGER || name == SO_RCVLOWAT);

	if (!cannot && fails(CALL_SETSOCKOPT, (uint32_t)name))
		return -1;
	return NEXT(setsockopt)(fd, level, name, value, len);
}

/* arg: the option. */
int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	return fails(CALL_GETSOCKOPT, (uint32_t)name)
		   ? -1
		   : NEXT(getsockopt)(fd, level, name, value, len);
}

int shutdown(int fd, int how)
{
	return fails(CALL_SHUTDOWN, 0) ? -1 : NEXT(shutdown)(fd, how);
}
