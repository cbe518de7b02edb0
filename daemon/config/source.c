/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "source.h"

#include <errno.h>
#include <string.h>

#include "../util.h"
#include "array.h"
#include "table.h"

int source_add(struct config *c, enum config_source_kind kind, const char *name)
{
	struct config_source *s;

	if (kind == SOURCE_FILE && c->n_sources >= SOURCES_MAX)
		return -E2BIG;
	s = array_grow(&c->sources, c->n_sources, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->kind = kind;
	s->name = strdup(name);
	if (!s->name)
		return -ENOMEM;
	return (int)c->n_sources++ << PLACE_LINE_BITS;
}

int source_add_item(struct config *c, const char *name)
{
	struct config_source *s = &c->sources[c->n_sources - 1];
	char **item;

	if (s->n_items == PLACE_LINE_MAX)
		return -ENOMEM;
	item = array_grow(&s->items, s->n_items, sizeof(*item));
	if (!item)
		return -ENOMEM;
	*item = strdup(name);
	if (!*item)
		return -ENOMEM;
	return ((int)(c->n_sources - 1) << PLACE_LINE_BITS) + (int)++s->n_items;
}

void sources_free(struct config *c)
{
	for (size_t i = 0; i < c->n_sources; i++) {
		struct config_source *s = &c->sources[i];

		for (size_t j = 0; j < s->n_items; j++)
			free(s->items[j]);
		free(s->items);
		free(s->name);
	}
	free(c->sources);
}

enum config_source_kind place_kind(const struct config *c, int place)
{
	return c->sources[place_source(place)].kind;
}

const char *config_where(const struct config *c, int place, char buf[static CONFIG_WHERE_MAX])
{
	const struct config_source *s;
	int line = place_line(place);

	if (!place || (size_t)place_source(place) >= c->n_sources) {
		(void)snprintf(buf, CONFIG_WHERE_MAX, "default");
		return buf;
	}
	s = &c->sources[place_source(place)];
	if (s->kind == SOURCE_FILE)
		(void)snprintf(buf, CONFIG_WHERE_MAX, "%s:%d", s->name, line);
	else
		(void)snprintf(buf, CONFIG_WHERE_MAX, "%s%s",
			       s->kind == SOURCE_ARGUMENT ? "-o " : "", s->items[line - 1]);
	return buf;
}

int listener_config_bind_place(const struct listener_config *c, size_t bind)
{
	const int *places = c->items ? c->items[OPTION_ID_LISTENER_bind] : NULL;

	return places ? places[bind] : c->where.line;
}
