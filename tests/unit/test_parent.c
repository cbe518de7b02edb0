// SPDX-License-Identifier: GPL-2.0-or-later
/* What the parent knows of a worker, and whose sockets it holds. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../daemon/parent/child.h"
#include "../../daemon/parent/holder.h"
#include "../../daemon/parent/store.h"

static void test_child(void **state _unused_)
{
	const struct child was = {.pid = 4711,
				  .channel = 17,
				  .generation = 3,
				  .since_ns = 123456789012345,
				  .drain_ns = 60 * NSEC_PER_SEC,
				  .state = CHILD_DRAINING};
	struct child is;
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	assert_int_equal(child_write(&was, f), 0);
	assert_int_equal(fclose(f), 0);
	text[strcspn(text, "\n")] = '\0';
	assert_int_equal(child_read(&is, text), 0);
	assert_int_equal(is.pid, was.pid);
	assert_int_equal(is.channel, was.channel);
	assert_int_equal(is.generation, was.generation);
	assert_int_equal(is.since_ns, was.since_ns);
	assert_int_equal(is.drain_ns, was.drain_ns);
	assert_int_equal(is.state, was.state);
	free(text);
}

static int lowest_unused(void)
{
	int fd = dup(0);

	assert_true(fd >= 0);
	(void)close(fd);
	return fd;
}

/* A worker that sends two descriptors where one is expected leaves none of them open. */
static void test_two_descriptors(void **state _unused_)
{
	struct message m = {.version = MESSAGE_VERSION, .kind = MESSAGE_LEAVE}, got;
	char space[CMSG_SPACE(2 * sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec io = {.iov_base = &m, .iov_len = sizeof(m)};
	struct msghdr msg = {
	    .msg_iov = &io, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int ends[2], fds[2] = {0, 0}, fd, before;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	before = lowest_unused();
	assert_int_equal(sendmsg(ends[0], &msg, 0), sizeof(m));
	assert_int_equal(message_receive(ends[1], &got, &fd), 1);
	assert_int_equal(got.kind, MESSAGE_LEAVE);
	if (fd >= 0)
		(void)close(fd);
	assert_int_equal(lowest_unused(), before);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void ask(struct holder *h, const char *name, unsigned int generation, int error)
{
	struct bind_request r = {
	    .addr = {.len = sizeof(struct sockaddr_in), .in4 = {.sin_family = AF_INET}},
	    .shared = true};
	struct message_held held;

	(void)snprintf(r.name, sizeof(r.name), "%s", name);
	(void)holder_hold(h, &r, generation, &held);
	assert_int_equal(held.error, error);
}

/* Which of the names a and b are held. */
static const char *names(const struct holder *h)
{
	bool a = false, b = false;

	for (size_t i = 0; i < h->n; i++) {
		a |= strcmp(h->items[i].name, "a") == 0;
		b |= strcmp(h->items[i].name, "b") == 0;
	}
	return a ? (b ? "ab" : "a") : (b ? "b" : "");
}

static void test_wanted(void **state _unused_)
{
	struct holder h = {0};

	ask(&h, "a", 1, 0);
	ask(&h, "b", 1, 0);
	holder_keep(&h, 1);
	holder_release(&h, "b", 1);
	assert_string_equal(names(&h), "a");
	/* The next one wants what the one that serves gives up meanwhile, and comes to nothing. */
	ask(&h, "a", 2, 0);
	holder_release(&h, "a", 1);
	assert_string_equal(names(&h), "a");
	holder_forget(&h, 2);
	assert_string_equal(names(&h), "");
	/* It comes to nothing, and the one that serves wants it still. */
	ask(&h, "a", 1, 0);
	ask(&h, "a", 3, 0);
	ask(&h, "b", 3, 0);
	ask(&h, "b", 1, -EBUSY); /* nobody has proven yet what has it */
	holder_forget(&h, 3);
	assert_string_equal(names(&h), "a");
	/* It dies, and those that are to replace it do at first. */
	ask(&h, "a", 4, 0);
	holder_forget(&h, 4);
	assert_string_equal(names(&h), "a");
	/* The one that drains has no say any more. */
	ask(&h, "a", 5, 0);
	ask(&h, "b", 5, 0);
	holder_keep(&h, 5);
	holder_release(&h, "a", 1);
	assert_string_equal(names(&h), "ab");
	/* The one that serves asks for what it has given up, and the next one has. */
	ask(&h, "a", 6, 0);
	holder_release(&h, "a", 5);
	ask(&h, "a", 5, 0);
	holder_keep(&h, 6);
	assert_string_equal(names(&h), "a");
	holder_close(&h);
}

/* What is bound and what is looked at afterwards must be one name. */
static void test_path_of_another_length(void **state _unused_)
{
	struct bind_request r = {.name = "unix", .addr.un.sun_family = AF_UNIX};
	struct holder h = {0};
	struct message_held held;
	size_t len;

	(void)snprintf(r.addr.un.sun_path, sizeof(r.addr.un.sun_path), "/nowhere/%d/sock", 1);
	len = strlen(r.addr.un.sun_path);
	for (size_t cut = 0; cut < len + 4; cut++) {
		r.addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + cut);
		assert_int_equal(holder_hold(&h, &r, 1, &held), -1);
		assert_int_equal(held.error, cut < len ? -EINVAL : -ENOENT);
	}
	memset(r.addr.un.sun_path, 'x', sizeof(r.addr.un.sun_path)); /* no NUL at all */
	r.addr.len = sizeof(r.addr.un);
	assert_int_equal(holder_hold(&h, &r, 1, &held), -1);
	assert_int_equal(held.error, -EINVAL);
	holder_close(&h);
}

/* What the store is told a socket is called tells all of it, and nothing that is not ours is taken.
 */
static void test_store_names(void **state _unused_)
{
	static const char *const bad[] = {"spliced-store/",           "spliced-store/1",
					  "spliced-store/1/0.0/",     "spliced-store/65536/0.0/a",
					  "spliced-store/1/0.0/a%3",  "spliced-store/1/0.0/a%00b",
					  "spliced-store/1/0.0/a%0Ab"};
	struct held was = {.index = 17, .bound.fd = -1}, is;
	char name[STORE_NAME_MAX];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	(void)snprintf(was.name, sizeof(was.name), "[::1%%2]:80 \\\"only' \xc3\xa4");
	assert_int_equal(store_name(&was, name), 0);
	assert_true(store_is_name(name));
	assert_null(strchr(name, ':'));
	assert_null(strchr(name, '\\'));
	is = (struct held){.bound.fd = fd};
	assert_int_equal(store_get(&is, name), 0);
	assert_string_equal(is.name, was.name);
	assert_int_equal(is.index, was.index);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(store_get(&is, bad[i]), -EINVAL);
	memset(was.name, ':', 100);
	was.name[100] = '\0';
	assert_int_equal(store_name(&was, name), -ENAMETOOLONG);
	assert_int_equal(close(fd), 0);
	assert_false(store_is_name("web"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_path_of_another_length),
	    cmocka_unit_test(test_child),
	    cmocka_unit_test(test_two_descriptors),
	    cmocka_unit_test(test_wanted),
	    cmocka_unit_test(test_store_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
