// SPDX-License-Identifier: GPL-2.0-or-later
#include "held.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../log.h"

static int option_of(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) < 0 ? -1 : value;
}

void held_look(struct held *item)
{
	struct addr *a = &item->bound.addr;
	int fd = item->bound.fd, flags = fcntl(fd, F_GETFL);

	*a = (struct addr){.len = sizeof(a->un)};
	if (getsockname(fd, &a->sa, &a->len) < 0) {
		*a = (struct addr){0};
		return;
	}
	item->tcp = addr_has_port(a);
	if (item->tcp)
		bound_mark(fd);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		log_warn("%s: O_NONBLOCK: %s", item->name, strerror(errno));
}

bool held_is_sound(const struct held *item, char why[MESSAGE_CALL_MAX])
{
	int fd = item->bound.fd, family = item->bound.addr.sa.sa_family;
	const char *problem = NULL;

	if (!item->bound.addr.len)
		problem = "not a socket";
	else if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		problem = "a socket of another family than IPv4, IPv6 and unix";
	else if (option_of(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM)
		problem = "not a stream socket (ListenStream=)";
	else if (family != AF_UNIX && option_of(fd, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_TCP)
		problem = "not a TCP socket";
	else if (option_of(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1)
		problem = "not a listening socket (Accept=no)";
	if (problem)
		(void)snprintf(why, MESSAGE_CALL_MAX, "what was passed is %s", problem);
	return !problem;
}

bool held_fits(const struct held *item, const struct bind_request *r)
{
	const struct addr *is = &item->bound.addr;
	struct addr wanted = r->addr;
	int fd = item->bound.fd;

	if (!is->len || option_of(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM)
		return false;
	/* The port that the kernel chose the first time. */
	if (r->addr.sa.sa_family != AF_UNIX && !addr_port(&wanted))
		addr_set_port(&wanted, addr_port(is));
	if (!addr_equal(is, &wanted))
		return false;
	if (is->sa.sa_family == AF_UNIX)
		return true;
	if (option_of(fd, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_TCP ||
	    option_of(fd, SOL_SOCKET, SO_REUSEPORT) != r->shared || bound_is_hidden(fd))
		return false;
	return is->sa.sa_family != AF_INET6 ||
	       option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY) == r->ipv6_only;
}

static bool is_wildcard(const struct addr *a)
{
	return a->sa.sa_family == AF_INET ? a->in4.sin_addr.s_addr == htonl(INADDR_ANY)
					  : IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

static bool is_ipv6_only(const struct held *item)
{
	return option_of(item->bound.fd, IPPROTO_IPV6, IPV6_V6ONLY) == 1;
}

bool held_overlaps(const struct held *item, const struct bind_request *r)
{
	const struct addr *a = &item->bound.addr, *b = &r->addr;

	if (addr_port(a) != addr_port(b))
		return false;
	if (a->sa.sa_family == b->sa.sa_family)
		return addr_equal(a, b) || is_wildcard(a) || is_wildcard(b);
	return a->sa.sa_family == AF_INET6 ? is_wildcard(a) && !is_ipv6_only(item)
					   : is_wildcard(b) && !r->ipv6_only;
}

/* ---- for the program that this process becomes ------------------------------------------ */

int held_write(const struct held *item, FILE *f)
{
	const struct unix_file *file = &item->bound.file;

	return fprintf(
		   f,
		   "held fd=%d index=%u stays=%d passed=%d stored=%d foreign=%d born=%u "
		   "wanted=%u,%u file=%d dir=%d pin=%d dev=%" PRIuMAX " ino=%" PRIuMAX " name=%s\n",
		   item->bound.fd, item->index, item->stays, item->passed, item->stored,
		   item->foreign, item->born, item->wanted[0], item->wanted[1], file->ours,
		   file->dir, file->pin, (uintmax_t)file->dev, (uintmax_t)file->ino, item->name) < 0
		   ? -ENOMEM
		   : 0;
}

static int set_survives(int fd, bool survive)
{
	return fcntl(fd, F_SETFD, survive ? 0 : FD_CLOEXEC) < 0 ? -errno : 0;
}

int held_survive(const struct held *item, bool survive)
{
	const struct bound *b = &item->bound;
	int err = set_survives(b->fd, survive);

	if (!err && b->file.ours)
		err = set_survives(b->file.dir, survive);
	if (!err && b->file.ours)
		err = set_survives(b->file.pin, survive);
	return err;
}

int held_read(struct held *item, const char *line)
{
	int fd, stays, passed, stored, foreign, ours, dir, pin, at = 0;
	uintmax_t dev, ino;

	*item = (struct held){0};
	if (sscanf(
		line,
		"held fd=%d index=%u stays=%d passed=%d stored=%d foreign=%d born=%u wanted=%u,%u "
		"file=%d "
		"dir=%d pin=%d dev=%" SCNuMAX " ino=%" SCNuMAX " name=%n",
		&fd, &item->index, &stays, &passed, &stored, &foreign, &item->born,
		&item->wanted[0], &item->wanted[1], &ours, &dir, &pin, &dev, &ino, &at) != 14 ||
	    !at || strlen(line + at) >= sizeof(item->name))
		return -EINVAL;
	memcpy(item->name, line + at, strlen(line + at) + 1);
	item->stays = stays;
	item->passed = passed;
	item->stored = stored;
	item->foreign = foreign;
	item->bound.fd = fd;
	if (ours)
		item->bound.file = (struct unix_file){
		    .ours = true, .dev = (dev_t)dev, .ino = (ino_t)ino, .dir = dir, .pin = pin};
	item->bound.addr.len = sizeof(item->bound.addr.un);
	if (getsockname(fd, &item->bound.addr.sa, &item->bound.addr.len) < 0)
		return -EINVAL;
	item->tcp = item->bound.addr.sa.sa_family != AF_UNIX;
	return 0;
}
