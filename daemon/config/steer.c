// SPDX-License-Identifier: GPL-2.0-or-later
#include "steer.h"

#include <errno.h>
#include <string.h>

#include "array.h"

#define BLANKS " \t"

static bool networks_meet(const struct cidr *a, const struct cidr *b)
{
	struct cidr longer = a->prefix > b->prefix ? *a : *b;
	const struct cidr *shorter = a->prefix > b->prefix ? b : a;

	if (!a->family || !b->family)
		return true;
	if (a->family != b->family)
		return false;
	for (unsigned int i = shorter->prefix; i < 128; i++)
		longer.bytes[i / 8] &= (uint8_t) ~(0x80u >> (i % 8));
	return memcmp(longer.bytes, shorter->bytes, sizeof(longer.bytes)) == 0;
}

/* Whether every address of the second is one of the first. */
static bool network_holds(const struct cidr *a, const struct cidr *b)
{
	return !a->family || (b->family && a->prefix <= b->prefix && networks_meet(a, b));
}

static bool meets(const struct destination *a, const struct destination *b)
{
	return networks_meet(&a->network, &b->network) && a->first <= b->last &&
	       b->first <= a->last;
}

static int add_except(struct steer *s, const char *text, struct text *why)
{
	struct destination *d = array_grow(&s->except, s->n_except, sizeof(*d));
	int err = d ? destination_parse(text, d, why) : -ENOMEM;

	if (err)
		return err;
	s->n_except++;
	if (meets(d, &s->what))
		return 0;
	text_add_quoted(why, text);
	text_add(why, ": nothing of it is steered here, so it cannot be excepted");
	return -EINVAL;
}

static int parse(char *text, struct steer *s, struct text *why)
{
	char *rest = text, *word = strsep(&rest, BLANKS);
	bool excepting = false;
	int err = destination_parse(word, &s->what, why);

	while (!err && (word = strsep(&rest, BLANKS))) {
		if (!*word)
			continue;
		if (excepting) {
			err = add_except(s, word, why);
		} else if (strcmp(word, "except") != 0) {
			text_add_quoted(why, word);
			text_add(why, ": is not except");
			err = -EINVAL;
		}
		excepting = true;
	}
	if (err || !excepting || s->n_except)
		return err;
	text_add(why, "nothing follows except");
	return -EINVAL;
}

int steer_parse(const char *text, struct steer *ret, struct text *why)
{
	_cleanup_free_ char *copy = strdup(text);
	struct steer s = {0};
	int err = copy ? parse(copy, &s, why) : -ENOMEM;

	if (err)
		steer_clear(&s);
	else
		*ret = s;
	return err;
}

int steer_of(const struct addr *a, struct steer *ret)
{
	struct text why = {0};

	return steer_parse(addr_steered_text(a), ret, &why);
}

void steer_clear(struct steer *s)
{
	free(s->except);
	*s = (struct steer){0};
}

/* The first port from there on that is not excepted in all of the network. */
static unsigned int skip_excepted(const struct steer *s, const struct cidr *network,
				  unsigned int port)
{
	for (size_t i = 0; i < s->n_except; i++) {
		const struct destination *e = &s->except[i];

		if (port < e->first || port > e->last || !network_holds(&e->network, network))
			continue;
		port = e->last + 1u;
		i = (size_t)-1; /* the others once more */
	}
	return port;
}

bool steer_overlaps(const struct steer *a, const struct steer *b)
{
	const struct cidr *x = &a->what.network, *y = &b->what.network;
	const struct cidr *both = network_holds(x, y) ? y : x;
	unsigned int port = MAX(a->what.first, b->what.first), before;
	unsigned int last = MIN(a->what.last, b->what.last);

	if (!meets(&a->what, &b->what))
		return false;
	do {
		before = port;
		port = skip_excepted(a, both, port);
		port = skip_excepted(b, both, port);
	} while (port != before);
	return port <= last;
}

bool listener_config_is_steered(const struct listener_config *l)
{
	return l->n_binds && addr_is_steered(&l->binds[0]);
}
