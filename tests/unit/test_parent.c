// SPDX-License-Identifier: GPL-2.0-or-later
/* What the parent knows of a worker, and whose sockets it holds. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../daemon/parent/child.h"
#include "../../daemon/parent/holder.h"
#include "../../daemon/parent/parent.h"
#include "../../daemon/parent/store.h"

static void test_child(void **state _unused_)
{
	const struct child was = {.pid = 4711,
				  .channel = 17,
				  .generation = 3,
				  .since_ns = 123456789012345,
				  .drain_ns = 60 * NSEC_PER_SEC,
				  .delay_ns = 20 * NSEC_PER_SEC,
				  .file = "/etc/spliced/spliced.conf",
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
	assert_int_equal(is.delay_ns, was.delay_ns);
	assert_int_equal(is.state, was.state);
	assert_string_equal(is.file, was.file);
	/* As a parent has written it that knew of no file, nor of a delay. */
	*strstr(text, " file=") = '\0';
	assert_int_equal(child_read(&is, text), 0);
	assert_int_equal(is.delay_ns, was.delay_ns);
	assert_string_equal(is.file, "");
	*strstr(text, " delay=") = '\0';
	assert_int_equal(child_read(&is, text), 0);
	assert_int_equal(is.drain_ns, was.drain_ns);
	assert_int_equal(is.delay_ns, 0);
	assert_int_equal(is.state, was.state);
	free(text);
}

/* ---- what a worker is told, and says ----------------------------------------------------- */

static struct {
	struct parent parent;
	struct child *child;
	int worker; /* its end of the channel */
	int manager;
} family;

/* A parent, and a worker that serves, for which the test speaks. */
static int begin_family(void **state _unused_)
{
	struct parent *p = &family.parent;
	struct child *c = &p->children[0];
	int ends[2];

	*p = (struct parent){.base = event_base_new(), .upgrade.said_fd = -1};
	assert_non_null(p->base);
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		p->children[i].channel = -1;
	p->delay = evtimer_new(p->base, ending_due, p);
	p->again = evtimer_new(p->base, ending_due, p); /* which is never added */
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	*c = (struct child){.pid = INT32_MAX, /* nobody has that */
			    .channel = ends[0],
			    .generation = 1,
			    .accepts = true,
			    .state = CHILD_SERVING};
	p->serving = family.child = c;
	family.worker = ends[1];
	assert_int_equal(workers_watch(p, c), 0);
	family.manager = -1;
	return 0;
}

static int end_family(void **state _unused_)
{
	struct parent *p = &family.parent;

	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (p->children[i].state != CHILD_NONE)
			child_gone(&p->children[i]);
	event_free(p->delay);
	event_free(p->again);
	event_base_free(p->base);
	(void)close(family.worker);
	if (family.manager >= 0)
		(void)close(family.manager);
	(void)unsetenv("NOTIFY_SOCKET");
	return 0;
}

/* The worker says it, and the parent has heard. */
static void say(struct message m)
{
	assert_int_equal(message_send(family.worker, &m, -1), 0);
	assert_int_equal(event_base_loop(family.parent.base, EVLOOP_ONCE), 0);
}

/* The next one that it was told, waiting for it if it is still to be sent. */
static struct message hear(int *fd)
{
	struct message m;
	int got, passed;

	while ((got = message_receive(family.worker, &m, &passed)) == -EAGAIN)
		assert_int_equal(event_base_loop(family.parent.base, EVLOOP_ONCE), 0);
	assert_int_equal(got, 1);
	if (fd)
		*fd = passed;
	else
		assert_int_equal(passed, -1);
	return m;
}

/* Its parent waits for no worker, and what was not told yet is told when there is room, in order.
 */
static void test_worker_that_does_not_read(void **state _unused_)
{
	struct message held = {.kind = MESSAGE_HELD}, facts = {.kind = MESSAGE_FACTS}, m;
	struct child *c = family.child;
	uint64_t began = now_ns();
	int fd, n = 0;

	for (int more = 3; more; more -= !outbox_is_empty(&c->outbox)) {
		m = (struct message){.kind = MESSAGE_SIGNAL, .signal = n++};
		child_tell(c, &m, -1);
	}
	for (facts.facts.deaths = 1; facts.facts.deaths < 1000; facts.facts.deaths++)
		child_tell(c, &facts, -1);
	child_tell(c, &held, STDERR_FILENO);
	assert_true(child_ask(c)); /* and it gets no answer */
	assert_true(now_ns() - began < NSEC_PER_SEC);
	for (int i = 0; i < n; i++) {
		m = hear(NULL);
		assert_int_equal(m.kind, MESSAGE_SIGNAL);
		assert_int_equal(m.signal, i);
	}
	m = hear(NULL);
	assert_int_equal(m.kind, MESSAGE_FACTS);
	assert_int_equal(m.facts.deaths, 999);
	assert_int_equal(hear(&fd).kind, MESSAGE_HELD);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_true(outbox_is_empty(&c->outbox));
	/* No more is kept than what is kept for anybody, and it goes with the worker. */
	for (int i = 0; i < 1000; i++)
		child_tell(c, &held, STDERR_FILENO);
	assert_int_equal(c->outbox.n, OUTBOX_MAX);
}

/* In ns from now on. */
static int64_t deadline(void)
{
	struct timeval at, now;

	if (!evtimer_pending(family.child->deadline, &at))
		return INT64_MAX;
	(void)gettimeofday(&now, NULL);
	return (at.tv_sec - now.tv_sec) * (int64_t)NSEC_PER_SEC +
	       (at.tv_usec - now.tv_usec) * (int64_t)NSEC_PER_USEC;
}

/* drain_delay is not for one that makes way for another. */
static void test_time_of_one_that_makes_way(void **state _unused_)
{
	struct child *c = family.child;

	c->delay_ns = 1000 * NSEC_PER_SEC;
	c->drain_ns = c->delay_ns + 30 * NSEC_PER_SEC;
	child_become(c, CHILD_RETIRING);
	say((struct message){.kind = MESSAGE_RETIRED});
	assert_int_equal(c->state, CHILD_DRAINING);
	assert_true(deadline() < (int64_t)(60 * NSEC_PER_SEC));
	assert_true(deadline() > (int64_t)(30 * NSEC_PER_SEC));
}

/* The first signal begins drain_delay, in which it is watched; the second the drain. */
static void test_signals_of_the_end(void **state _unused_)
{
	struct parent *p = &family.parent;
	struct child *c = family.child;
	struct message m;

	p->delay_ns = c->delay_ns = 1000 * NSEC_PER_SEC;
	c->drain_ns = c->delay_ns + 30 * NSEC_PER_SEC;
	ending_signal(p, SIGTERM);
	m = hear(NULL);
	assert_int_equal(m.kind, MESSAGE_ENDING);
	assert_in_range(m.ending, 999 * NSEC_PER_SEC, 1000 * NSEC_PER_SEC);
	assert_int_equal(c->state, CHILD_SERVING);
	workers_beat(p);
	assert_int_equal(hear(NULL).kind, MESSAGE_BEAT);
	ending_signal(p, SIGINT);
	m = hear(NULL);
	assert_int_equal(m.kind, MESSAGE_ENDING);
	assert_int_equal(m.ending, 0);
	assert_int_equal(c->state, CHILD_DRAINING);
	assert_true(deadline() < (int64_t)(60 * NSEC_PER_SEC));
	ending_signal(p, SIGTERM);
	m = hear(NULL);
	assert_int_equal(m.kind, MESSAGE_SIGNAL);
	assert_int_equal(m.signal, SIGTERM);
}

/* One that waits for drain_delay by itself has both times. */
static void test_signal_for_a_worker_of_before(void **state _unused_)
{
	struct child *c = family.child;

	c->drain_ns = 1000 * NSEC_PER_SEC;
	ending_signal(&family.parent, SIGTERM);
	assert_int_equal(hear(NULL).kind, MESSAGE_SIGNAL);
	assert_true(deadline() > (int64_t)(1000 * NSEC_PER_SEC));
}

/* What the service manager is told next, "" if it is nothing. */
static const char *told(char text[512])
{
	ssize_t n = recv(family.manager, text, 511, MSG_DONTWAIT);

	text[MAX(n, (ssize_t)0)] = '\0';
	return text;
}

static void watch_manager(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(a);
	char name[sizeof(a.sun_path) + 1];

	family.manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(family.manager >= 0);
	/* The kernel gives it a name. */
	assert_int_equal(bind(family.manager, (struct sockaddr *)&a, sizeof(a.sun_family)), 0);
	assert_int_equal(getsockname(family.manager, (struct sockaddr *)&a, &len), 0);
	(void)snprintf(name, sizeof(name), "@%.*s",
		       (int)(len - offsetof(struct sockaddr_un, sun_path) - 1), a.sun_path + 1);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
}

/* The service manager, who waits for the end of a reload, hears of it all the same. */
static void test_reload_whose_end_is_lost(void **state _unused_)
{
	struct message alive = {.kind = MESSAGE_ALIVE, .reloaded = {.manner.level = LOG_LVL_ERROR}};
	char text[512];

	watch_manager();
	say((struct message){.kind = MESSAGE_RELOADING, .reloading = 4711});
	assert_non_null(strstr(told(text), "RELOADING=1"));
	say(alive); /* it is not over */
	assert_string_equal(told(text), "");
	(void)snprintf(alive.reloaded.status, sizeof(alive.reloaded.status), "engine copy");
	alive.reloaded.drain_ns = 17;
	say(alive);
	assert_non_null(strstr(told(text), "READY=1"));
	assert_non_null(strstr(text, "STATUS=engine copy"));
	assert_int_equal(family.child->drain_ns, 17);
	say(alive);
	assert_string_equal(told(text), "");
}

/* That it ends is the last that the service manager hears. */
static void test_reload_while_it_ends(void **state _unused_)
{
	struct message over = {
	    .kind = MESSAGE_RELOADED,
	    .reloaded = {.manner.level = LOG_LVL_ERROR, .status = "engine copy"}};
	char text[512];

	watch_manager();
	family.parent.delay_ns = 1000 * NSEC_PER_SEC;
	ending_signal(&family.parent, SIGTERM);
	assert_non_null(strstr(told(text), "STOPPING=1"));
	say((struct message){.kind = MESSAGE_RELOADING, .reloading = 4711});
	say(over);
	assert_string_equal(told(text), "");
}

/* ---- whose sockets it holds ------------------------------------------------------------- */

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

static int hold_unix(struct holder *h, const char *name, const char *path, unsigned int generation)
{
	struct bind_request r = {.addr.un.sun_family = AF_UNIX};
	struct message_held held;
	int fd;

	(void)snprintf(r.name, sizeof(r.name), "%s", name);
	memcpy(r.addr.un.sun_path + 1, path, strlen(path));
	r.addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(path));
	fd = holder_hold(h, &r, generation, &held);
	assert_int_equal(held.error, 0);
	return fd;
}

/* A socket that was held under a name that stands for several is known by its address. */
static void test_names_of_before(void **state _unused_)
{
	char one[64], other[64];
	struct holder h = {0};
	int fd;

	(void)snprintf(one, sizeof(one), "spliced-test-%d-\xc3\xa4", (int)getpid());
	(void)snprintf(other, sizeof(other), "spliced-test-%d-\xc3\xb6", (int)getpid());
	fd = hold_unix(&h, "unix:@??", one, 1);
	holder_keep(&h, 1);
	assert_int_not_equal(hold_unix(&h, "other", other, 2), fd);
	assert_int_equal(hold_unix(&h, "one", one, 2), fd);
	holder_keep(&h, 2);
	assert_int_equal(h.n, 2);
	for (size_t i = 0; i < h.n; i++)
		assert_string_not_equal(h.items[i].name, "unix:@??");
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

#define FAMILY(f) cmocka_unit_test_setup_teardown(f, begin_family, end_family)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_path_of_another_length),
	    cmocka_unit_test(test_child),
	    cmocka_unit_test(test_two_descriptors),
	    cmocka_unit_test(test_wanted),
	    cmocka_unit_test(test_store_names),
	    cmocka_unit_test(test_names_of_before),
	    FAMILY(test_worker_that_does_not_read),
	    FAMILY(test_time_of_one_that_makes_way),
	    FAMILY(test_signals_of_the_end),
	    FAMILY(test_signal_for_a_worker_of_before),
	    FAMILY(test_reload_whose_end_is_lost),
	    FAMILY(test_reload_while_it_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
