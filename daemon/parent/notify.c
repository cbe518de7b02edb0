// SPDX-License-Identifier: GPL-2.0-or-later
#include "notify.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "../util.h"
#include "message.h"

#define PATIENCE_USEC 500000
/* What is in the midst of a reload, and how that ended; and once more. The oldest is left out. */
#define KEPT_MAX  4
#define STATE_MAX (STATUS_MAX + 64)

static bool stuck; /* it was waited for */

static struct {
	char text[KEPT_MAX][STATE_MAX];
	unsigned int n;
} kept;

/* False: it is no unix socket, or none. */
static bool address_of(const char *name, struct sockaddr_un *ret, socklen_t *len)
{
	size_t n = name ? strlen(name) : 0;

	if (n < 2 || n >= sizeof(ret->sun_path) || !strchr("/@", name[0]))
		return false;
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret->sun_path, name, n);
	if (name[0] == '@')
		ret->sun_path[0] = '\0';
	/* An abstract name is as long as it is said to be. */
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (name[0] == '/'));
	return true;
}

static int send_to(const struct sockaddr_un *where, socklen_t len, const char *text, int fd)
{
	union message_control control;
	const struct timeval patience = {.tv_usec = PATIENCE_USEC};
	_cleanup_close_ int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct iovec io = {.iov_base = (void *)text, .iov_len = strlen(text)};
	struct msghdr msg = {
	    .msg_name = (void *)where, .msg_namelen = len, .msg_iov = &io, .msg_iovlen = 1};

	if (sock < 0 || setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	if (fd >= 0)
		message_attach(&msg, &control, fd);
	return sendmsg(sock, &msg, MSG_NOSIGNAL | (stuck ? MSG_DONTWAIT : 0)) < 0 ? -errno : 1;
}

int notify(const char *text, int fd)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un where;
	socklen_t len;
	int err;

	/* A manager outside of a virtual machine (vsock): nobody's but sd_notify()'s affair. */
	if (!address_of(name, &where, &len))
		return sd_pid_notify_with_fds(0, 0, text, &fd, fd >= 0);
	err = send_to(&where, len, text, fd);
	stuck = err == -EAGAIN;
	return err;
}

void notify_state(const char *text)
{
	/* Nothing overtakes what waits. */
	if (!kept.n && notify(text, -1) != -EAGAIN)
		return;
	if (kept.n == KEPT_MAX)
		memmove(kept.text[0], kept.text[1], sizeof(kept.text[0]) * --kept.n);
	(void)snprintf(kept.text[kept.n++], STATE_MAX, "%s", text);
}

void notify_again(void)
{
	unsigned int told = 0;

	while (told < kept.n && notify(kept.text[told], -1) != -EAGAIN)
		told++;
	kept.n -= told;
	memmove(kept.text[0], kept.text[told], sizeof(kept.text[0]) * kept.n);
}
