/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "matchers.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "array.h"
#include "names.h"

#define BLANKS      " \t"
#define ARROW       "->"
#define ROUTE_BYTES 4000 /* with "route = " it is a line that can be read back */
#define ALPN_BYTES  255
/* Of HTTP/2 no longer ones are kept for routing. */
#define METHOD_BYTES 31
#define PATH_BYTES   1000

const char *const match_kind_str[_MATCH_KIND_MAX] = {
    [MATCH_SNI] = "sni",         [MATCH_ALPN] = "alpn",     [MATCH_HOST] = "host",
    [MATCH_PATH] = "path",       [MATCH_METHOD] = "method", [MATCH_SOURCE] = "src",
    [MATCH_DESTINATION] = "dst", [MATCH_PORT] = "dport",    [MATCH_HEADER] = "header",
};

const struct match_info match_infos[_MATCH_KIND_MAX] = {
    [MATCH_SNI] = {"sni:HOST", "the server name in a TLS ClientHello. HOST is a name, *.SUFFIX for "
			       "every name that has more in front, or * for any name at all"},
    [MATCH_ALPN] = {"alpn:NAME",
		    "a protocol that a TLS client offers, like h2. May be written several times"},
    [MATCH_HOST] = {"host:HOST", "the host, without its port, that an HTTP request is for. HOST "
				 "is as above, or [IPV6]"},
    [MATCH_PATH] = {"path:/PREFIX", "how the path of an HTTP request begins, byte for byte"},
    [MATCH_METHOD] = {"method:NAME", "the method of an HTTP request, in the same case. CONNECT is "
				     "taken only by routes with method:CONNECT"},
    [MATCH_SOURCE] = {"src:NETWORK", "where the client is: 10.0.0.0/8, ::1 or unix, for example"},
    [MATCH_DESTINATION] = {"dst:NETWORK",
			   "where the client wanted to go: what a PROXY header says, "
			   "or the destination of an intercepted connect, or "
			   "else the address of this host that it connected to"},
    [MATCH_PORT] = {"dport:PORT", "the port there, or ports: 8000-8999"},
    [MATCH_HEADER] = {"header:NAME[=VALUE]",
		      "a field of an HTTP request's head, with exactly this value if one is "
		      "written. May be written several times"},
};

static void route_clearp_(struct route_config *r)
{
	route_clear(r);
}

static int wrong(struct text *why, const char *word, const char *problem)
{
	text_add_quoted(why, word);
	text_add(why, ": %s", problem);
	return -EINVAL;
}

void route_add_allowed(struct text *t)
{
	text_add(t, "MATCHERS " ARROW " POOL, where MATCHERS are none or more of");
	for (int i = 0; i < _MATCH_KIND_MAX; i++)
		text_add(t, "%s %s", i ? "," : "", match_infos[i].form);
	text_add(t, ", with blanks between");
}

/* ---- one matcher ------------------------------------------------------------------------ */

static int keep(struct route_match *m, const char *text)
{
	m->text = strdup(text);
	return m->text ? 0 : -ENOMEM;
}

/* Nothing that a terminal or a later line would obey. */
static bool is_printable(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f)
			return false;
	return true;
}

/* A name, *.SUFFIX or *: the text is kept in lower case, without a trailing dot; an address of IPv6
 * in one spelling. */
static int parse_host(char *value, struct route_match *m, struct text *why, const char *word)
{
	size_t len = strlen(value), skip = 0;
	char ipv6[ADDR_IPV6_HOST_MAX];
	bool numeric;

	m->host = HOST_EXACT;
	if (m->kind == MATCH_HOST && addr_ipv6_host(value, len, ipv6))
		return keep(m, ipv6);
	if (strcmp(value, "*") == 0) {
		m->host = HOST_ANY;
		return 0;
	}
	if (strncmp(value, "*.", 2) == 0) {
		m->host = HOST_SUFFIX;
		skip = 2;
	}
	if (!host_is_valid(value + skip, len - skip, &numeric))
		return wrong(why, word, "not a host name without a port, *.SUFFIX or *");

	if (value[len - 1] == '.')
		value[len - 1] = '\0';
	for (char *c = value; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return keep(m, skip ? value + 1 : value); /* a suffix with its dot */
}

static int parse_header(char *value, struct route_match *m, struct text *why, const char *word)
{
	char *equals = strchr(value, '=');

	if (equals)
		*equals++ = '\0';
	if (!token_is_valid(value, TOKEN_MAX))
		return wrong(why, word, "not the name of a header field, or that with =VALUE");
	if (equals && (!*equals || !is_printable(equals)))
		return wrong(why, word, "not a value of a header field");
	if (equals) {
		m->value = strdup(equals);
		if (!m->value)
			return -ENOMEM;
	}
	return keep(m, value);
}

static int parse_value(char *value, struct route_match *m, struct text *why, const char *word)
{
	const char *problem;

	switch (m->kind) {
	case MATCH_SNI:
	case MATCH_HOST:
		return parse_host(value, m, why, word);
	case MATCH_HEADER:
		return parse_header(value, m, why, word);
	case MATCH_ALPN:
		if (!*value || strlen(value) > ALPN_BYTES || !is_printable(value))
			return wrong(why, word, "not the name of an ALPN protocol");
		return keep(m, value);
	case MATCH_METHOD:
		if (!token_is_valid(value, METHOD_BYTES))
			return wrong(why, word, "not a method of HTTP");
		return keep(m, value);
	case MATCH_PATH:
		if (value[0] != '/' || strlen(value) > PATH_BYTES || !is_printable(value))
			return wrong(why, word, "not the beginning of a path, which is a /");
		return keep(m, value);
	case MATCH_SOURCE:
	case MATCH_DESTINATION:
		if (cidr_parse(value, &m->network, &problem) < 0)
			return wrong(why, word, problem);
		return 0;
	case MATCH_PORT:
		if (ports_parse(value, &m->first, &m->last) < 0)
			return wrong(why, word, "not a port or FIRST-LAST, from 1 to 65535");
		return 0;
	default:
		return -EINVAL;
	}
}

static int parse_match(const char *word, struct route_match *m, struct text *why)
{
	_cleanup_free_ char *copy = strdup(word);
	char *colon = copy ? strchr(copy, ':') : NULL;

	if (!copy)
		return -ENOMEM;
	if (!colon)
		return wrong(why, word, "not a matcher, which is KIND:VALUE");
	*colon = '\0';
	for (int i = 0; i < _MATCH_KIND_MAX; i++) {
		if (strcmp(copy, match_kind_str[i]) != 0)
			continue;
		m->kind = (enum match_kind)i;
		return parse_value(colon + 1, m, why, word);
	}
	return wrong(why, word, "there is no such matcher");
}

/* ---- a route ---------------------------------------------------------------------------- */

static int compare_text(const char *a, const char *b)
{
	if (!a || !b)
		return (a != NULL) - (b != NULL);
	return strcmp(a, b);
}

static int compare_number(int a, int b)
{
	return (a > b) - (a < b);
}

static int compare_matches(const void *a, const void *b)
{
	const struct route_match *x = a, *y = b;
	int order = compare_number((int)x->kind, (int)y->kind);

	if (!order)
		order = compare_number((int)x->host, (int)y->host);
	/* The names of header fields are the same in any case. */
	if (!order && x->kind == MATCH_HEADER)
		order = strcasecmp(x->text, y->text);
	else if (!order)
		order = compare_text(x->text, y->text);
	if (!order)
		order = compare_text(x->value, y->value);
	if (!order)
		order = compare_number(x->first, y->first);
	if (!order)
		order = compare_number(x->last, y->last);
	if (!order)
		order = compare_number(x->network.family, y->network.family);
	if (!order)
		order = compare_number(x->network.prefix, y->network.prefix);
	return order ? order : memcmp(x->network.bytes, y->network.bytes, sizeof(x->network.bytes));
}

int route_compare(const struct route_config *a, const struct route_config *b)
{
	for (size_t i = 0; i < a->n_matches && i < b->n_matches; i++) {
		int order = compare_matches(&a->matches[i], &b->matches[i]);

		if (order)
			return order;
	}
	return (a->n_matches > b->n_matches) - (a->n_matches < b->n_matches);
}

/* Two values of one thing never hold together; a client may offer several protocols, though. */
static int check_matches(const struct route_config *r, struct text *why)
{
	for (size_t i = 1; i < r->n_matches; i++) {
		const struct route_match *m = &r->matches[i];
		bool several = m->kind == MATCH_ALPN || m->kind == MATCH_HEADER;

		if (several ? compare_matches(m, m - 1) != 0 : m->kind != m[-1].kind)
			continue;
		text_add(why, "%s is given twice", match_kind_str[m->kind]);
		return -EINVAL;
	}
	return 0;
}

/* Takes the words up to the arrow off *rest. */
static int parse_matches(char **rest, struct route_config *r, struct text *why)
{
	char *word;
	int err;

	while ((word = strsep(rest, BLANKS)) && strcmp(word, ARROW) != 0) {
		struct route_match *m;

		if (!*word)
			continue;
		m = array_grow(&r->matches, r->n_matches, sizeof(*m));
		if (!m)
			return -ENOMEM;
		r->n_matches++;
		err = parse_match(word, m, why);
		if (err < 0)
			return err;
	}
	if (!word) {
		text_add(why, "\"" ARROW "\" and a pool are missing");
		return -EINVAL;
	}
	if (r->n_matches)
		qsort(r->matches, r->n_matches, sizeof(*r->matches), compare_matches);
	return check_matches(r, why);
}

static int parse_pool(char *rest, struct route_config *r, struct text *why)
{
	char *name;

	if (rest)
		rest += strspn(rest, BLANKS);
	name = strsep(&rest, BLANKS);
	if (!name || !*name) {
		text_add(why, "the pool behind \"" ARROW "\" is missing");
		return -EINVAL;
	}
	if (rest)
		rest += strspn(rest, BLANKS);
	if (rest && *rest)
		return wrong(why, rest, "there is more behind the pool");
	if (!name_is_valid(name))
		return wrong(why, name, "not the name of a pool, which is " NAME_ALLOWED);
	r->pool = strdup(name);
	return r->pool ? 0 : -ENOMEM;
}

int route_parse(const char *text, struct route_config *ret, struct text *why)
{
	_cleanup_(route_clearp_) struct route_config r = {.pool_index = SIZE_MAX};
	_cleanup_free_ char *copy = strdup(text);
	char *rest = copy;
	int err;

	if (strlen(text) > ROUTE_BYTES) {
		text_add(why, "is longer than %d bytes", ROUTE_BYTES);
		return -EINVAL;
	}
	r.text = strdup(text);
	if (!copy || !r.text)
		return -ENOMEM;
	err = parse_matches(&rest, &r, why);
	if (err == 0)
		err = parse_pool(rest, &r, why);
	if (err < 0)
		return err;

	*ret = r;
	r = (struct route_config){0};
	return 0;
}

void route_format(const struct route_config *r, FILE *out)
{
	fputs(r->text, out);
}

void route_clear(struct route_config *r)
{
	for (size_t i = 0; i < r->n_matches; i++) {
		free(r->matches[i].text);
		free(r->matches[i].value);
	}
	free(r->matches);
	free(r->pool);
	free(r->text);
}

static bool is_seen(enum match_kind kind, enum listener_protocol protocol)
{
	switch (kind) {
	case MATCH_SOURCE:
	case MATCH_DESTINATION:
	case MATCH_PORT:
		return true;
	case MATCH_SNI:
	case MATCH_ALPN:
		return protocol == PROTOCOL_TLS || protocol == PROTOCOL_AUTO;
	default:
		return protocol == PROTOCOL_HTTP || protocol == PROTOCOL_AUTO;
	}
}

const struct route_match *route_unseen(const struct route_config *r,
				       enum listener_protocol protocol)
{
	for (size_t i = 0; i < r->n_matches; i++)
		if (!is_seen(r->matches[i].kind, protocol))
			return &r->matches[i];
	return NULL;
}
