// SPDX-License-Identifier: GPL-2.0-or-later
#include "deposit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* What a worker says is no more than a name. */
static bool is_sound(const char name[BIND_NAME_MAX])
{
	return memchr(name, '\0', BIND_NAME_MAX) && name[0] && !strchr(name, '\n');
}

static struct deposit *add(struct deposits *d)
{
	size_t space = d->space ? 2 * d->space : 16;
	struct deposit *items;

	if (d->n == DEPOSITS_MAX)
		return NULL;
	if (d->n == d->space) {
		items = reallocarray(d->items, space, sizeof(*items));
		if (!items)
			return NULL;
		d->items = items;
		d->space = space;
	}
	return &d->items[d->n++];
}

int deposits_leave(struct deposits *d, const char name[BIND_NAME_MAX], unsigned int generation,
		   int fd)
{
	int err = fd < 0 ? -EMFILE : is_sound(name) ? 0 : -EINVAL;
	struct deposit *item = err ? NULL : add(d);

	if (!item) {
		closep_(&fd);
		return err ? err : -ENOSPC;
	}
	*item = (struct deposit){.generation = generation, .fd = fd};
	memcpy(item->name, name, strlen(name) + 1);
	return 0;
}

int deposits_find(const struct deposits *d, const char name[BIND_NAME_MAX])
{
	const struct deposit *newest = NULL;

	if (!is_sound(name))
		return -1;
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->items[i].name, name) == 0 &&
		    (!newest || d->items[i].generation >= newest->generation))
			newest = &d->items[i];
	return newest ? newest->fd : -1;
}

static void drop(struct deposits *d, unsigned int from, unsigned int to)
{
	for (size_t i = d->n; i-- > 0;)
		if (d->items[i].generation >= from && d->items[i].generation <= to) {
			closep_(&d->items[i].fd);
			d->items[i] = d->items[--d->n];
		}
}

void deposits_keep(struct deposits *d, unsigned int generation)
{
	drop(d, 0, generation - 1);
}

void deposits_forget(struct deposits *d, unsigned int generation)
{
	drop(d, generation, generation);
}

void deposits_close(struct deposits *d)
{
	drop(d, 0, UINT32_MAX);
	free(d->items);
	*d = (struct deposits){0};
}

/* ---- for the program that this process becomes ------------------------------------------ */

int deposits_write(const struct deposits *d, FILE *f)
{
	for (size_t i = 0; i < d->n; i++)
		if (fprintf(f, "left fd=%d generation=%u name=%s\n", d->items[i].fd,
			    d->items[i].generation, d->items[i].name) < 0)
			return -ENOMEM;
	return 0;
}

int deposits_survive(const struct deposits *d, bool survive)
{
	for (size_t i = 0; i < d->n; i++)
		if (fcntl(d->items[i].fd, F_SETFD, survive ? 0 : FD_CLOEXEC) < 0)
			return -errno;
	return 0;
}

int deposits_read(struct deposits *d, const char *line)
{
	char name[BIND_NAME_MAX];
	unsigned int generation;
	int fd, at = 0;

	if (sscanf(line, "left fd=%d generation=%u name=%n", &fd, &generation, &at) != 2 || !at ||
	    strlen(line + at) >= sizeof(name) || fcntl(fd, F_GETFD) < 0)
		return -EINVAL;
	memcpy(name, line + at, strlen(line + at) + 1);
	return deposits_leave(d, name, generation, fd);
}
