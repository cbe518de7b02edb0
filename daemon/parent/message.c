// SPDX-License-Identifier: GPL-2.0-or-later
#include "message.h"

#include <errno.h>
#include <string.h>

void message_attach(struct msghdr *msg, union message_control *control, int fd)
{
	*control = (union message_control){0};
	msg->msg_control = control;
	msg->msg_controllen = sizeof(*control);
	control->header = (struct cmsghdr){
	    .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(fd))};
	memcpy(CMSG_DATA(&control->header), &fd, sizeof(fd));
}

int message_send(int socket, struct message *m, int fd)
{
	struct iovec io = {.iov_base = m, .iov_len = sizeof(*m)};
	union message_control control;
	struct msghdr msg = {.msg_iov = &io, .msg_iovlen = 1};
	ssize_t n;

	m->version = MESSAGE_VERSION;
	if (fd >= 0)
		message_attach(&msg, &control, fd);
	do
		n = sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int message_send_surely(int socket, struct message *m, int fd)
{
	const struct timespec pause = {.tv_nsec = 20 * (long)NSEC_PER_MSEC};
	int err;

	for (int i = 0; i < 50; i++) {
		err = message_send(socket, m, fd);
		if (err != -ENOMEM && err != -ENOBUFS && err != -EAGAIN)
			break;
		(void)nanosleep(&pause, NULL); /* shorter: then there are fewer of them */
	}
	return err;
}

static int descriptor_of(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	int fd = -1;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

int message_receive(int socket, struct message *ret, int *ret_fd)
{
	struct iovec io = {.iov_base = ret, .iov_len = sizeof(*ret)};
	union message_control control = {0};
	/* The kernel gives no more descriptors than there is space for, and CMSG_SPACE() has it for
	 * two. The other end is not trusted not to send them. */
	struct msghdr msg = {.msg_iov = &io,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = CMSG_LEN(sizeof(int))};
	ssize_t n;

	*ret_fd = -1;
	do
		n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	if (n == 0)
		return 0;
	*ret_fd = descriptor_of(&msg);
	if ((size_t)n == sizeof(*ret) && ret->version == MESSAGE_VERSION)
		return 1;
	closep_(ret_fd);
	*ret_fd = -1;
	return -EPROTO;
}
