// SPDX-License-Identifier: GPL-2.0-or-later
#include "holder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../log.h"
#include "store.h"

/* The first with that name and, unless it is ANY, that index. */
#define ANY UINT32_MAX
static struct held *find(const struct holder *h, const char *name, uint32_t index)
{
	for (size_t i = 0; i < h->n; i++)
		if (strcmp(h->items[i].name, name) == 0 &&
		    (index == ANY || h->items[i].index == index))
			return &h->items[i];
	return NULL;
}

static uint32_t count(const struct holder *h, const char *name)
{
	uint32_t n = 0;

	for (size_t i = 0; i < h->n; i++)
		n += strcmp(h->items[i].name, name) == 0;
	return n;
}

/*
 * Whether the address is our own already, under whatever name: then the question who else listens
 * there cannot be asked, for the answer would be we.
 */
static bool has_address(const struct holder *h, const struct bind_request *r)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->items[i].tcp && held_overlaps(&h->items[i], r))
			return true;
	return false;
}

/* The kernel binds the path as far as the length goes: one that is cut would be another file than
 * the one that is looked at then. */
static bool is_path(const struct addr *a)
{
	size_t len = strnlen(a->un.sun_path, sizeof(a->un.sun_path));

	return len < sizeof(a->un.sun_path) &&
	       len <= a->len - offsetof(struct sockaddr_un, sun_path);
}

/* What a worker says is checked as far as memory and the kernel depend on it. */
static bool is_sound(const struct bind_request *r)
{
	if (!memchr(r->name, '\0', sizeof(r->name)) || !r->name[0] || strchr(r->name, '\n'))
		return false;
	switch (r->addr.sa.sa_family) {
	case AF_INET:
		return r->addr.len == sizeof(r->addr.in4);
	case AF_INET6:
		return r->addr.len == sizeof(r->addr.in6);
	case AF_UNIX:
		return r->addr.len > sizeof(sa_family_t) && r->addr.len <= sizeof(r->addr.un) &&
		       (!r->addr.un.sun_path[0] || is_path(&r->addr));
	default:
		return addr_is_passed(&r->addr);
	}
}

static struct held *add(struct holder *h)
{
	size_t space = h->space ? 2 * h->space : 16;
	struct held *items;

	if (h->n == h->space) {
		items = reallocarray(h->items, space, sizeof(*items));
		if (!items)
			return NULL;
		h->items = items;
		h->space = space;
	}
	h->items[h->n] = (struct held){.bound.fd = -1};
	return &h->items[h->n++];
}

static void drop(struct holder *h, size_t i)
{
	if (h->items[i].stored)
		store_remove(&h->items[i]);
	bound_close(&h->items[i].bound);
	h->items[i] = h->items[--h->n];
}

static int open_new(struct holder *h, const struct bind_request *asked, unsigned int generation,
		    struct held **ret, const char **call)
{
	const struct held *first = find(h, asked->name, ANY);
	struct bind_request r = *asked;
	bool unused = r.shared && addr_port(&r.addr) && !has_address(h, &r);
	struct bound bound;
	struct held *item;
	int err;

	if (first)
		r.addr = first->bound.addr; /* with the port that the kernel chose for the first */
	err = bound_open(&r, unused, &bound, call);
	if (err)
		return err;
	item = add(h);
	if (!item) {
		bound_close(&bound);
		*call = "memory";
		return -ENOMEM;
	}
	*item = (struct held){.index = r.index,
			      .stays = r.stays,
			      .tcp = r.addr.sa.sa_family != AF_UNIX,
			      .bound = bound,
			      .born = generation};
	memcpy(item->name, r.name, sizeof(item->name));
	item->stored = !item->stays && !r.hidden && store_put(item);
	*ret = item;
	return 0;
}

/* The file of a unix socket is as who serves wants it, as far as this process may see to it. */
static void renew_file(struct held *item)
{
	int err = unix_file_change(&item->bound.file, &item->access);

	item->access_by = 0;
	if (err)
		log_warn("%s: its owner or mode is not as wanted: %s", item->name, strerror(-err));
}

/* One that somebody has removed or replaced is none, and one of the store must be what is wanted
 * now. */
static bool is_there(const struct held *item, const struct bind_request *r)
{
	if (item->returned && !held_fits(item, r))
		return false;
	/* It was given up, and is wanted again. */
	if (item->tcp && bound_is_hidden(item->bound.fd) && bound_show(item->bound.fd) < 0)
		return false;
	return !item->bound.file.ours || unix_file_is_there(&item->bound.addr, &item->bound.file);
}

/* ---- who wants it ----------------------------------------------------------------------- */

/* One that serves and one that is to: what older ones wanted is nobody's any more. */
static void want(struct held *item, unsigned int generation)
{
	unsigned int *oldest = &item->wanted[item->wanted[1] < item->wanted[0]];

	if (item->wanted[0] != generation && item->wanted[1] != generation)
		*oldest = generation;
}

/* Whether it was in the service manager's store when this daemon was started, which has not come to
 * serve: a start that fails leaves that there for the next try, and nothing that is its own. */
static bool is_found(const struct holder *h, const struct held *item)
{
	return !h->serving && item->stored && item->foreign;
}

/* Those generations want it no more; if nobody is left it is closed. */
static void unwant(struct holder *h, size_t i, unsigned int from, unsigned int to)
{
	struct held *item = &h->items[i];

	for (size_t k = 0; k < ARRAY_SIZE(item->wanted); k++)
		if (item->wanted[k] >= from && item->wanted[k] <= to)
			item->wanted[k] = 0;
	if (!item->wanted[0] && !item->wanted[1] && !item->passed && !is_found(h, item))
		drop(h, i);
}

/* The same path or name under another name: as an earlier version called it, for which all bytes
 * that are not ASCII were the same. The service manager's store hears of it. */
static struct held *find_renamed(struct holder *h, const struct bind_request *r)
{
	for (size_t i = 0; i < h->n; i++) {
		struct held *item = &h->items[i];
		bool stored = item->stored;

		if (r->addr.sa.sa_family != AF_UNIX || item->passed || item->stays != r->stays ||
		    item->index != r->index || !addr_equal(&item->bound.addr, &r->addr))
			continue;
		if (stored)
			store_remove(item);
		memcpy(item->name, r->name, sizeof(item->name));
		item->stored = stored && store_put(item);
		return item;
	}
	return NULL;
}

/* The one that was asked for, which is bound if it is not there. 0, or a negative errno and *call.
 */
static int get(struct holder *h, const struct bind_request *r, unsigned int generation,
	       struct held **ret, const char **call)
{
	struct held *item = find(h, r->name, r->index);

	if (!item)
		item = find_renamed(h, r);
	/* A worker that is not proven yet has it: that would be a third state. */
	if (item && item->born > generation) {
		*call = "an upgrade has it";
		return -EBUSY;
	}
	if (item && !is_there(item, r)) {
		drop(h, (size_t)(item - h->items));
		item = NULL;
	}
	if (!item)
		return open_new(h, r, generation, ret, call);
	item->access = r->access;
	item->access_by = generation;
	if (generation == h->serving)
		renew_file(item);
	item->returned = false;
	*ret = item;
	return 0;
}

/* Which there are, each name once. */
static void list_passed(const struct holder *h, char text[MESSAGE_CALL_MAX])
{
	size_t used =
	    (size_t)snprintf(text, MESSAGE_CALL_MAX, "no such socket was passed; passed:");
	bool any = false;

	for (size_t i = 0; i < h->n && used < MESSAGE_CALL_MAX; i++) {
		const struct held *item = &h->items[i];

		if (!item->passed || find(h, item->name, ANY) != item)
			continue;
		used += (size_t)snprintf(text + used, MESSAGE_CALL_MAX - used, "%s %s",
					 any ? "," : "", item->name);
		any = true;
	}
	if (!any)
		(void)snprintf(text + used, MESSAGE_CALL_MAX - used, " none");
}

/* One of those that were passed. 0, or a negative errno and what is wrong in words. */
static int get_passed(struct holder *h, const struct bind_request *r, unsigned int generation,
		      struct held **ret, char why[MESSAGE_CALL_MAX])
{
	struct held *item = find(h, r->name, r->index);

	if (!item) {
		list_passed(h, why);
		return -ENOENT;
	}
	if (!held_is_sound(item, why))
		return -EINVAL;
	/* One that serves and reads its file again is before one that is tried and may fail. */
	if (!item->born || item->born > generation)
		item->born = generation;
	*ret = item;
	return 0;
}

int holder_hold(struct holder *h, const struct bind_request *r, unsigned int generation,
		struct message_held *ret)
{
	const char *call = "request";
	char why[MESSAGE_CALL_MAX];
	struct held *item = NULL;
	const struct held *first;
	int err = -EINVAL;

	*ret = (struct message_held){0};
	if (is_sound(r) && addr_is_passed(&r->addr)) {
		err = get_passed(h, r, generation, &item, why);
		call = why;
	} else if (is_sound(r)) {
		err = get(h, r, generation, &item, &call);
	}
	if (err) {
		ret->error = err;
		(void)snprintf(ret->call, sizeof(ret->call), "%s", call);
		return -1;
	}
	want(item, generation);
	first = find(h, r->name, ANY);
	/* What the program before handed over knows getsockname() alone: see unix_file_bind(). */
	if (item->bound.file.ours)
		item->bound.addr = r->addr;
	ret->addr = item->bound.addr;
	ret->n = count(h, r->name);
	ret->old = first->born != generation;
	ret->foreign = item->foreign;
	ret->outlives = item->passed || item->stored;
	return item->bound.fd;
}

int holder_change(struct holder *h, const struct bind_request *r, unsigned int generation)
{
	struct held *item = memchr(r->name, '\0', sizeof(r->name)) ? find(h, r->name, ANY) : NULL;

	if (!item || item->tcp)
		return -ENOENT;
	/* What one that is to follow wants is for later. */
	if (generation == h->serving)
		return unix_file_change(&item->bound.file, &r->access);
	item->access = r->access;
	item->access.mode &= 0777;
	item->access_by = generation;
	return 0;
}

/* The first worker of this service serves, and some of what was passed is nobody's. */
static void close_unused(struct holder *h)
{
	for (size_t i = h->n; i-- > 0;) {
		if (!h->items[i].passed || h->items[i].born)
			continue;
		log_warn("%s: the socket was passed, and no listener has it: it is closed",
			 h->items[i].name);
		drop(h, i);
	}
}

void holder_keep(struct holder *h, unsigned int generation)
{
	h->serving = generation;
	for (size_t i = 0; i < h->n; i++)
		if (h->items[i].access_by == generation)
			renew_file(&h->items[i]);
	for (size_t i = h->n; i-- > 0;)
		unwant(h, i, 0, generation - 1);
	close_unused(h);
}

void holder_forget(struct holder *h, unsigned int generation)
{
	for (size_t i = h->n; i-- > 0;)
		unwant(h, i, generation, generation);
}

void holder_release(struct holder *h, const char *name, unsigned int generation)
{
	for (size_t i = h->n; i-- > 0;)
		if (strcmp(h->items[i].name, name) == 0)
			unwant(h, i, generation, generation);
}

void holder_close_doors(struct holder *h)
{
	for (size_t i = 0; i < h->n; i++) {
		struct held *item = &h->items[i];

		if (item->stays)
			continue;
		closep_(&item->bound.fd);
		item->bound.fd = -1;
	}
}

void holder_close(struct holder *h)
{
	while (h->n) {
		struct held *item = &h->items[h->n - 1];

		/* The store outlives who has served, and what it had before. */
		if (item->stored && (h->serving || is_found(h, item))) {
			unix_file_leave(&item->bound.file);
			item->stored = false;
		}
		drop(h, h->n - 1);
	}
	free(h->items);
	*h = (struct holder){0};
}

void holder_leave(struct holder *h)
{
	for (size_t i = 0; i < h->n; i++) {
		closep_(&h->items[i].bound.fd);
		unix_file_leave(&h->items[i].bound.file);
	}
	free(h->items);
	*h = (struct holder){0};
}

/* ---- what the service manager passed ---------------------------------------------------- */

int holder_add_passed(struct holder *h, const char *name, int fd)
{
	struct held *item = add(h);

	if (!item) {
		closep_(&fd);
		return -ENOMEM;
	}
	item->passed = item->foreign = true;
	(void)snprintf(item->name, sizeof(item->name), "%s", name);
	item->index = count(h, name) - 1;
	item->bound.fd = fd;
	held_look(item);
	return 0;
}

int holder_add_stored(struct holder *h, const char *name, int fd)
{
	struct held *item = add(h), *twin;
	int err;

	if (!item) {
		closep_(&fd);
		return -ENOMEM;
	}
	item->bound.fd = fd;
	item->stored = item->returned = item->foreign = true;
	err = store_get(item, name);
	if (err) {
		/* Of another version, or its file is gone. */
		log_warn("%s: not taken over from the service manager's store: %s",
			 *item->name ? item->name : name, strerror(-err));
		store_remove_name(name);
		closep_(&fd);
		h->n--;
		return 0;
	}
	twin = find(h, item->name, item->index);
	if (twin == item)
		return 0;
	/* Removing takes both, and one of them is to be there. */
	drop(h, h->n - 1);
	twin->stored = store_put(twin);
	return 0;
}

/* ---- for the program that this process becomes ------------------------------------------ */

int holder_write(const struct holder *h, FILE *f)
{
	int err = 0;

	for (size_t i = 0; !err && i < h->n; i++)
		err = held_write(&h->items[i], f);
	return err;
}

int holder_survive(const struct holder *h, bool survive)
{
	int err = 0;

	for (size_t i = 0; !err && i < h->n; i++)
		err = held_survive(&h->items[i], survive);
	return err;
}

int holder_read(struct holder *h, const char *line)
{
	struct held item, *place;
	int err = held_read(&item, line);

	if (err)
		return err;
	place = add(h);
	if (!place)
		return -ENOMEM;
	*place = item;
	return 0;
}
