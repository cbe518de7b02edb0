// SPDX-License-Identifier: GPL-2.0-or-later
#include "hiding.h"

#include <linux/capability.h>
#include <string.h>

#include "../log.h"
#include "../privileges.h"

static bool is_wanted(const struct held *item, unsigned int generation)
{
	return generation && (item->wanted[0] == generation || item->wanted[1] == generation);
}

static void hide(const struct held *item)
{
	int err = item->tcp && !item->passed ? bound_hide(item->bound.fd) : 0;

	if (err)
		log_warn("%s: hiding the socket: %s", item->name, strerror(-err));
}

void hiding_others(const struct holder *h, unsigned int generation)
{
	for (size_t i = 0; i < h->n; i++)
		if (!is_wanted(&h->items[i], generation))
			hide(&h->items[i]);
}

void hiding_ends(const struct holder *h, unsigned int generation)
{
	for (size_t i = 0; i < h->n; i++) {
		const struct held *item = &h->items[i];
		int err = 0;

		if (item->tcp && is_wanted(item, generation) && bound_is_hidden(item->bound.fd))
			err = bound_show(item->bound.fd);
		if (err)
			log_warn("%s: nobody reaches the socket, which was given up: %s",
				 item->name, strerror(-err));
	}
}

static void unwant(struct held *item, unsigned int generation)
{
	for (size_t k = 0; k < ARRAY_SIZE(item->wanted); k++)
		if (item->wanted[k] == generation)
			item->wanted[k] = 0;
}

/* By one that may only come to need it. It is hidden until then, if that can be undone. */
static bool stays_in_sight(const struct held *item)
{
	return (item->wanted[0] || item->wanted[1]) && *privileges_missing(CAP_NET_RAW);
}

void hiding_given_up(struct holder *h, const char *name, unsigned int generation,
		     unsigned int needs)
{
	for (size_t i = 0; i < h->n; i++) {
		struct held *item = &h->items[i];

		if (strcmp(item->name, name) != 0)
			continue;
		unwant(item, generation);
		if (!is_wanted(item, needs) && !stays_in_sight(item))
			hide(item);
	}
}
