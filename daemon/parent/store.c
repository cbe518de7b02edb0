// SPDX-License-Identifier: GPL-2.0-or-later
#include "store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../log.h"
#include "notify.h"

/* A number beyond those of processors, so that a name that is not ours cannot ask for much. */
#define INDEX_MAX 65535

bool store_is_name(const char *name)
{
	return strncmp(name, ADDR_RESERVED, strlen(ADDR_RESERVED)) == 0;
}

int store_name(const struct held *item, char ret[STORE_NAME_MAX])
{
	const struct unix_file *f = &item->bound.file;
	int n = snprintf(ret, STORE_NAME_MAX, "%s%u/%" PRIxMAX ".%" PRIxMAX "/", ADDR_RESERVED,
			 item->index, (uintmax_t)(f->ours ? f->dev : 0),
			 (uintmax_t)(f->ours ? f->ino : 0));
	size_t used = (size_t)n;

	for (const char *c = item->name; *c; c++) {
		bool plain = *c >= ' ' && *c < 0x7f && !strchr(":%\\\"'", *c);

		if (used + 4 > STORE_NAME_MAX)
			return -ENAMETOOLONG;
		n = snprintf(ret + used, STORE_NAME_MAX - used, plain ? "%c" : "%%%02X",
			     (unsigned char)*c);
		used += (size_t)n;
	}
	return 0;
}

bool store_put(const struct held *item)
{
	char name[STORE_NAME_MAX], text[STORE_NAME_MAX + 64];
	const char *room = getenv("FDSTORE");
	int err;

	if (!room || strcmp(room, "0") == 0)
		return false; /* no store, and systemd would warn of each socket */
	err = store_name(item, name);
	/* FDPOLL: a socket that does not listen yet looks like one that was hung up. */
	(void)snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	if (!err)
		err = notify(text, item->bound.fd);
	if (err < 0)
		log_warn("%s: it is not kept over a restart: %s", item->name, strerror(-err));
	return err > 0;
}

void store_remove_name(const char *name)
{
	char text[STORE_NAME_MAX + 64];
	int err;

	(void)snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	err = notify(text, -1);
	if (err < 0)
		log_warn("%s: the service manager keeps it: %s", name, strerror(-err));
}

void store_remove(const struct held *item)
{
	char name[STORE_NAME_MAX];

	if (store_name(item, name) == 0)
		store_remove_name(name);
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int unescape(const char *text, char ret[BIND_NAME_MAX])
{
	size_t n = 0;

	for (const char *c = text; *c; c++) {
		int high, low;

		if (n + 1 >= BIND_NAME_MAX)
			return -EINVAL;
		if (*c != '%') {
			ret[n++] = *c;
			continue;
		}
		high = hex(c[1]);
		low = high < 0 ? -1 : hex(c[2]);
		if (low < 0 || high + low == 0)
			return -EINVAL;
		ret[n++] = (char)(high * 16 + low);
		c += 2;
	}
	ret[n] = '\0';
	return n && !strchr(ret, '\n') ? 0 : -EINVAL;
}

/* One that was bound through a descriptor of the process before says no more than that of itself:
 * the path is its name. Whether the file is there, and is that, is looked at. */
static void find_path(struct held *item)
{
	struct addr *is = &item->bound.addr, path;
	const char *why;

	if (is->sa.sa_family == AF_UNIX &&
	    strncmp(is->un.sun_path, UNIX_FILE_PROC, strlen(UNIX_FILE_PROC)) == 0 &&
	    addr_parse(item->name, &path, &why) == 0 && path.sa.sa_family == AF_UNIX)
		*is = path;
}

int store_get(struct held *item, const char *name)
{
	uintmax_t dev, ino;
	int at = 0;

	if (sscanf(name, ADDR_RESERVED "%u/%" SCNxMAX ".%" SCNxMAX "/%n", &item->index, &dev, &ino,
		   &at) != 3 ||
	    !at || item->index > INDEX_MAX || unescape(name + at, item->name) < 0 ||
	    addr_means_passed(item->name))
		return -EINVAL;
	held_look(item);
	if (!item->bound.addr.len)
		return -EINVAL;
	find_path(item);
	if (item->tcp || !item->bound.addr.un.sun_path[0])
		return 0;
	return unix_file_take(&item->bound.addr, (dev_t)dev, (ino_t)ino, &item->bound.file);
}
