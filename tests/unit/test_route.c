/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which route is taken, and what finding it costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "../../daemon/config/config.h"
#include "../../daemon/route.h"

#define NONE SIZE_MAX

/* Routes of one listener; route N leads to pool N. */
struct fixture {
	struct config *config;
	struct routes *routes;
};

static struct fixture from_text(const char *text, size_t len)
{
	FILE *stream = fmemopen((void *)(uintptr_t)text, len, "r");
	struct fixture f = {0};

	assert_non_null(stream);
	assert_int_equal(config_load_stream("t.conf", stream, &f.config, stderr), 0);
	assert_int_equal(fclose(stream), 0);
	f.routes = routes_new(&f.config->listeners[0]);
	assert_non_null(f.routes);
	return f;
}

static void write_pools(FILE *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fprintf(out, "[pool p%zu]\nserver = a 10.0.0.1:80\n", i);
}

static struct fixture with_routes(const char *const *routes, size_t n)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fprintf(out, "[listener l]\nbind = 127.0.0.1:0\nprotocol = auto\n");
	for (size_t i = 0; i < n; i++)
		fprintf(out, "route = %s -> p%zu\n", routes[i], i);
	write_pools(out, n);
	assert_int_equal(fclose(out), 0);
	return from_text(text, size);
}
#define WITH_ROUTES(...)                                \
	with_routes((const char *const[]){__VA_ARGS__}, \
		    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void drop(struct fixture *f)
{
	routes_free(f->routes);
	config_free(f->config);
}
#define _cleanup_fixture_ _cleanup_(drop)

static size_t by_host(const struct fixture *f, const char *host)
{
	return routes_find(f->routes, &(struct route_query){.host = host});
}

static size_t by_sni(const struct fixture *f, const char *sni)
{
	return routes_find(f->routes, &(struct route_query){.sni = sni});
}

static size_t by_path(const struct fixture *f, const char *path)
{
	return routes_find(f->routes,
			   &(struct route_query){.path = path, .path_len = strlen(path)});
}

/* `wire`: names, each after its length. */
static size_t by_alpn(const struct fixture *f, const char *wire, size_t len)
{
	return routes_find(f->routes,
			   &(struct route_query){.alpn = wire, .alpn_len = (uint16_t)len});
}

static struct addr address(const char *text)
{
	const char *why;
	struct addr a;

	assert_int_equal(addr_parse(text, &a, &why), 0);
	return a;
}

static size_t by_src(const struct fixture *f, const char *text)
{
	struct addr a = address(text);

	return routes_find(f->routes, &(struct route_query){.src = &a});
}

/* ---- matchers --------------------------------------------------------------------------- */

/* Of one address there is one spelling in a route, whichever it was written in. */
static void ipv6_hosts(void **state _unused_)
{
	_cleanup_fixture_ struct fixture f =
	    WITH_ROUTES("host:[2001:DB8:0:0::1]", "host:[::FFFF:1:2]", "host:[0:0:0:0:0:0:0:1]",
			"host:[2001:0db8:0000:0000:0000:0000:0000:0002]");

	assert_int_equal(by_host(&f, "[2001:db8::1]"), 0);
	assert_int_equal(by_host(&f, "[::ffff:0.1.0.2]"), 1);
	assert_int_equal(by_host(&f, "[::1]"), 2);
	assert_int_equal(by_host(&f, "[2001:db8::2]"), 3);
	assert_int_equal(by_host(&f, "[2001:db8::3]"), NONE);
}

static void names(void **state _unused_)
{
	_cleanup_fixture_ struct fixture f =
	    WITH_ROUTES("host:a.example", "host:*.b.example", "host:C.Example.", "host:[::1]");

	assert_int_equal(by_host(&f, "a.example"), 0);
	assert_int_equal(by_host(&f, "xa.example"), NONE);
	assert_int_equal(by_host(&f, "x.a.example"), NONE);
	assert_int_equal(by_host(&f, "a.example.x"), NONE);
	assert_int_equal(by_host(&f, "x.b.example"), 1);
	assert_int_equal(by_host(&f, "x.y.z.b.example"), 1);
	assert_int_equal(by_host(&f, "b.example"), NONE);
	assert_int_equal(by_host(&f, ".b.example"), NONE);
	assert_int_equal(by_host(&f, "xb.example"), NONE);
	assert_int_equal(by_host(&f, "c.example"), 2);
	assert_int_equal(by_host(&f, "[::1]"), 3);
	assert_int_equal(by_host(&f, ""), NONE);
	assert_int_equal(by_host(&f, "."), NONE);
	assert_int_equal(by_host(&f, NULL), NONE);
	assert_int_equal(by_sni(&f, "a.example"), NONE);
}

static void any_name(void **state _unused_)
{
	_cleanup_fixture_ struct fixture f = WITH_ROUTES("sni:*");

	assert_int_equal(by_sni(&f, "a"), 0);
	assert_int_equal(by_sni(&f, ""), NONE);
	assert_int_equal(by_sni(&f, NULL), NONE);
	assert_int_equal(by_host(&f, "a"), NONE);
}

/* Names longer than any that can be written, as a client may send them. */
static void long_names(void **state _unused_)
{
	_cleanup_fixture_ struct fixture f = WITH_ROUTES("host:*.b", "host:*.a.a");
	char name[2001];

	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 2 ? '.' : 'a';
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(by_host(&f, name), NONE); /* it ends in a dot */
	name[sizeof(name) - 2] = '\0';
	assert_int_equal(by_host(&f, name), 1);
	name[sizeof(name) - 3] = 'b';
	assert_int_equal(by_host(&f, name), 0);
	memset(name, 'a', sizeof(name) - 3);
	name[sizeof(name) - 3] = 'b';
	assert_int_equal(by_host(&f, name), NONE);
}

static void alpn(void **state _unused_)
{
	_cleanup_fixture_ struct fixture f =
	    WITH_ROUTES("alpn:h2 alpn:http/1.1", "alpn:h2", "alpn:acme-tls/1");

	assert_int_equal(by_alpn(&f, "\x02h2\x08http/1.1", 12), 0);
	assert_int_equal(by_alpn(&f, "\x08http/1.1\x02h2", 12), 0);
	assert_int_equal(by_alpn(&f, "\x08http/1.1\x02h3\x02h2", 15), 0);
	assert_int_equal(by_alpn(&f, "\x02h2", 3), 1);
	assert_int_equal(by_alpn(&f, "\x02H2", 3), NONE);
	assert_int_equal(by_alpn(&f, "\x03h2x", 4), NONE);
	assert_int_equal(by_alpn(&f,
				 "\x0a"
				 "acme-tls/1",
				 11),
			 2);
	assert_int_equal(by_alpn(&f, NULL, 0), NONE);
	/* A name that is cut is none, and a length that is too large leads nowhere. */
	assert_int_equal(by_alpn(&f, "\x02h", 2), NONE);
	assert_int_equal(by_alpn(&f, "\xff\x02h2", 4), NONE);
	assert_int_equal(by_alpn(&f, "\x00\x02h2", 4), 1);
}

static void sources(void **state _unused_)
{
	_cleanup_fixture_ struct fixture f =
	    WITH_ROUTES("src:10.1.0.0/16", "src:10.0.0.0/8", "src:fd00::/8", "src:unix", "src:::1");

	assert_int_equal(by_src(&f, "10.1.2.3:4"), 0);
	assert_int_equal(by_src(&f, "10.2.2.3:4"), 1);
	assert_int_equal(by_src(&f, "[::ffff:10.1.2.3]:4"), 0);
	assert_int_equal(by_src(&f, "11.0.0.1:4"), NONE);
	assert_int_equal(by_src(&f, "[fdff::1]:4"), 2);
	assert_int_equal(by_src(&f, "[fe80::1]:4"), NONE);
	assert_int_equal(by_src(&f, "[::1]:4"), 4);
	assert_int_equal(by_src(&f, "[::2]:4"), NONE);
	assert_int_equal(by_src(&f, "unix:@x"), 3);
	assert_int_equal(by_host(&f, "a"), NONE); /* not known */
}

static void paths(void **state _unused_)
{
	_cleanup_fixture_ struct fixture f = WITH_ROUTES("path:/a/b", "path:/a", "path:/c/");

	assert_int_equal(by_path(&f, "/a"), 1);
	assert_int_equal(by_path(&f, "/a/"), 1);
	assert_int_equal(by_path(&f, "/abc?d"), 1);
	assert_int_equal(by_path(&f, "/a/b"), 0);
	assert_int_equal(by_path(&f, "/a/bc"), 0);
	assert_int_equal(by_path(&f, "/A"), NONE);
	assert_int_equal(by_path(&f, "/"), NONE);
	assert_int_equal(by_path(&f, ""), NONE);
	assert_int_equal(by_path(&f, "*"), NONE);
	assert_int_equal(by_path(&f, "/c"), NONE);
	assert_int_equal(by_path(&f, "/c/"), 2);
	/* What is behind the path's end does not count. */
	assert_int_equal(routes_find(f.routes, &(struct route_query){.path = "/c/", .path_len = 2}),
			 NONE);
}

static void methods(void **state _unused_)
{
	_cleanup_fixture_ struct fixture f = WITH_ROUTES("method:GET", "method:PUT");
	struct route_query q = {.method = "GETPUT", .method_len = 3};

	assert_int_equal(routes_find(f.routes, &q), 0);
	q.method_len = 2;
	assert_int_equal(routes_find(f.routes, &q), NONE);
	q.method_len = 6;
	assert_int_equal(routes_find(f.routes, &q), NONE);
	q = (struct route_query){.method = "put", .method_len = 3};
	assert_int_equal(routes_find(f.routes, &q), NONE);
	q.method = "PUT";
	assert_int_equal(routes_find(f.routes, &q), 1);
}

/* A tunnel is for those routes alone that say so, wherever they stand. */
static void connects(void **state _unused_)
{
	_cleanup_fixture_ struct fixture f =
	    WITH_ROUTES("host:a.test", "host:a.test method:CONNECT", "src:127.0.0.1 method:GET",
			"method:CONNECT src:127.0.0.1");
	struct addr here = {.len = sizeof(struct sockaddr_in)};
	struct route_query q = {
	    .host = "a.test", .method = "CONNECT", .method_len = 7, .src = &here};

	here.in4.sin_family = AF_INET;
	here.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(routes_find(f.routes, &q), 1);
	q.host = "b.test";
	assert_int_equal(routes_find(f.routes, &q), 3);
	here.in4.sin_addr.s_addr = htonl(0x0a000001);
	assert_int_equal(routes_find(f.routes, &q), NONE);
	q.host = "a.test";
	q.method = "connect"; /* another method */
	assert_int_equal(routes_find(f.routes, &q), 0);
}

/* A head with the field X-A: b. */
static bool has_field(void *arg, const char *name, const char *value)
{
	unsigned int *asked = arg;

	(*asked)++;
	return strcmp(name, "X-A") == 0 && (!value || strcmp(value, "b") == 0);
}

static void headers(void **state _unused_)
{
	_cleanup_fixture_ struct fixture f = WITH_ROUTES(
	    "header:X-B", "header:X-A=c", "header:X-A=b", "header:X-A", "header:X-A header:X-C");
	_cleanup_fixture_ struct fixture present = WITH_ROUTES("header:X-A");
	_cleanup_fixture_ struct fixture late = WITH_ROUTES("header:X-A host:a", "host:b");
	unsigned int asked = 0;
	struct route_query q = {.host = "b", .header = has_field, .arg = &asked};

	assert_int_equal(routes_find(f.routes, &q), 2);
	assert_int_equal(asked, 3);
	assert_int_equal(routes_find(present.routes, &q), 0);
	/* The head is searched only where everything else holds. */
	asked = 0;
	assert_int_equal(routes_find(late.routes, &q), 1);
	assert_int_equal(asked, 0);
	q.header = NULL;
	assert_int_equal(routes_find(f.routes, &q), NONE);
}

/* ---- which one -------------------------------------------------------------------------- */

static void all_must_hold(void **state _unused_)
{
	_cleanup_fixture_ struct fixture f =
	    WITH_ROUTES("host:a path:/x method:GET src:10.0.0.0/8", "host:a path:/x");
	struct addr near = address("10.0.0.1:1"), far = address("11.0.0.1:1");
	struct route_query q = {.host = "a",
				.path = "/xy",
				.path_len = 3,
				.method = "GET",
				.method_len = 3,
				.src = &near};

	assert_int_equal(routes_find(f.routes, &q), 0);
	q.src = &far;
	assert_int_equal(routes_find(f.routes, &q), 1);
	q.src = &near;
	q.method = "PUT";
	assert_int_equal(routes_find(f.routes, &q), 1);
	q.path = NULL;
	assert_int_equal(routes_find(f.routes, &q), NONE);
	q.path = "/x";
	q.path_len = 2;
	q.host = "b";
	assert_int_equal(routes_find(f.routes, &q), NONE);
}

/* The file's order decides, not how a route is found or how much it says. */
static void first_wins(void **state _unused_)
{
	_cleanup_fixture_ struct fixture f =
	    WITH_ROUTES("host:a.b.c path:/first", "path:/second", "host:*.c path:/f",
			"host:a.b.c path:/f", "host:*.b.c", "host:a.b.c", "host:*.c", "host:*", "");
	struct route_query q = {.host = "a.b.c", .path = "/first", .path_len = 6};

	assert_int_equal(routes_find(f.routes, &q), 0);
	q.path = "/second";
	q.path_len = 7;
	assert_int_equal(routes_find(f.routes, &q), 1);
	q.path = "/fi";
	q.path_len = 3;
	assert_int_equal(routes_find(f.routes, &q), 2);
	q.host = "c";
	assert_int_equal(routes_find(f.routes, &q), 7);
	assert_int_equal(by_host(&f, "a.b.c"), 4);
	assert_int_equal(by_host(&f, "x.c"), 6);
	assert_int_equal(by_host(&f, "c"), 7);
	assert_int_equal(by_host(&f, NULL), 8);
}

static void sni_and_host(void **state _unused_)
{
	_cleanup_fixture_ struct fixture f =
	    WITH_ROUTES("sni:a host:b", "host:b", "sni:a", "sni:*.b");
	struct route_query q = {.sni = "a", .host = "b"};

	assert_int_equal(routes_find(f.routes, &q), 0);
	assert_int_equal(by_host(&f, "b"), 1);
	assert_int_equal(by_sni(&f, "a"), 2);
	assert_int_equal(by_host(&f, "a"), NONE); /* a name of the other kind */
	assert_int_equal(by_host(&f, "x.b"), NONE);
	q = (struct route_query){.sni = "x.b", .host = "c"};
	assert_int_equal(routes_find(f.routes, &q), 3);
}

static void no_routes(void **state _unused_)
{
	struct listener_config l = {0};
	struct routes *r = routes_new(&l);

	assert_non_null(r);
	assert_int_equal(routes_find(r, &(struct route_query){.host = "a", .sni = "a"}), NONE);
	routes_free(r);
	routes_free(NULL);
}

static void known_hosts(void **state _unused_)
{
	_cleanup_fixture_ struct fixture some =
	    WITH_ROUTES("host:a path:/x", "host:*.b method:GET");
	_cleanup_fixture_ struct fixture every = WITH_ROUTES("host:a", "path:/x");
	struct listener_config l = {0};
	struct routes *none = routes_new(&l);

	assert_true(routes_know_host(some.routes, "a"));
	assert_true(routes_know_host(some.routes, "x.b"));
	assert_false(routes_know_host(some.routes, "b"));
	assert_false(routes_know_host(some.routes, NULL));
	assert_true(routes_know_host(every.routes, "b"));
	assert_true(routes_know_host(none, "b"));
	routes_free(none);
}

/* ---- against the plain meaning ---------------------------------------------------------- */

/* The first route in the file of which all matchers hold: as operations.md says it. */
static bool plainly_holds(const struct route_match *m, const struct route_query *q)
{
	size_t len = strlen(m->text ? m->text : ""), host;

	switch (m->kind) {
	case MATCH_HOST:
		host = q->host ? strlen(q->host) : 0;
		if (m->host == HOST_ANY || !host)
			return host;
		if (m->host == HOST_EXACT)
			return strcmp(q->host, m->text) == 0;
		return host > len && strcmp(q->host + host - len, m->text) == 0;
	case MATCH_PATH:
		return q->path && q->path_len >= len && memcmp(q->path, m->text, len) == 0;
	case MATCH_METHOD:
		return q->method && q->method_len == len && memcmp(q->method, m->text, len) == 0;
	default:
		fail();
		return false;
	}
}

static size_t plainly(const struct fixture *f, const struct route_query *q)
{
	const struct listener_config *l = &f->config->listeners[0];

	for (size_t i = 0; i < l->n_routes; i++) {
		const struct route_config *r = &l->routes[i];
		size_t held = 0;

		while (held < r->n_matches && plainly_holds(&r->matches[held], q))
			held++;
		if (held == r->n_matches)
			return r->pool_index;
	}
	return NONE;
}

/* Of a few pieces, so that many are prefixes, suffixes or the same. */
static const char *pick(const char *const *from, unsigned int n, unsigned int *seed)
{
	return from[(unsigned int)rand_r(seed) % n];
}

static void random_path(char *path, size_t size, unsigned int *seed)
{
	static const char *const pieces[] = {"a", "b", "ab", "/", "a/", "~", "!"};
	size_t n = (size_t)rand_r(seed) % 6;

	(void)snprintf(path, size, "/");
	while (n--)
		(void)strcat(path, pick(pieces, ARRAY_SIZE(pieces), seed));
}

static const char *const random_hosts[] = {"a.x", "b.x", "a.b.x", "c.b.x", "x", "y", "b.x.y"};
static const char *const random_methods[] = {"GET", "POST"};

static char *random_route(unsigned int *seed)
{
	static const char *const hosts[] = {"",       "", "host:a.x ", "host:*.x ", "host:*.b.x ",
					    "host:* "};
	static const char *const methods[] = {"", "", "method:GET "};
	char path[64];
	char *text;
	unsigned int what;
	const char *host = pick(hosts, ARRAY_SIZE(hosts), seed);
	const char *method = pick(methods, ARRAY_SIZE(methods), seed);

	random_path(path, sizeof(path), seed);
	what = (unsigned int)rand_r(seed) % 8;
	if (!what && !*host && !*method)
		what = 1;
	assert_true(
	    asprintf(&text, "%s%s%s%s", host, method, what ? "path:" : "", what ? path : "") > 0);
	return text;
}

/* No two are the same. Returns how many there are. */
static size_t random_routes(char **routes, size_t wanted, unsigned int *seed)
{
	size_t n = 0;

	for (size_t i = 0; i < wanted; i++) {
		char *text = random_route(seed);
		size_t j = 0;

		while (j < n && strcmp(routes[j], text) != 0)
			j++;
		if (j < n)
			free(text);
		else
			routes[n++] = text;
	}
	return n;
}

/* Routes of all kinds, few and many, and what they are asked for. */
static void random_routes_are_right(void **state _unused_)
{
	unsigned int seed = 1;

	for (int round = 0; round < 300; round++) {
		char *routes[200];
		size_t wanted = 1 + (size_t)rand_r(&seed) % (round % 2 ? 12 : ARRAY_SIZE(routes));
		size_t n = random_routes(routes, wanted, &seed);
		struct fixture f;

		f = with_routes((const char *const *)routes, n);
		for (int i = 0; i < 200; i++) {
			char path[64];
			struct route_query q = {.path = path};

			random_path(path, sizeof(path), &seed);
			q.path_len = strlen(path);
			q.host =
			    i % 10 ? pick(random_hosts, ARRAY_SIZE(random_hosts), &seed) : NULL;
			q.method = pick(random_methods, ARRAY_SIZE(random_methods), &seed);
			q.method_len = strlen(q.method);
			assert_int_equal(routes_find(f.routes, &q), plainly(&f, &q));
			q.path = i % 20 ? path : NULL;
			assert_int_equal(routes_find(f.routes, &q), plainly(&f, &q));
		}
		drop(&f);
		for (size_t i = 0; i < n; i++)
			free(routes[i]);
	}
}

/* ---- what it costs ---------------------------------------------------------------------- */

#define MANY 10000

/* As many names as asked for, every second one with all that is below it. */
static struct fixture with_hosts(size_t n)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fprintf(out, "[listener l]\nbind = 127.0.0.1:0\nprotocol = http\n");
	for (size_t i = 0; i < n; i++)
		fprintf(out, "route = host:%shost%zu.example path:/ -> p%zu\n", i % 2 ? "*." : "",
			i, i % 10);
	write_pools(out, 10);
	assert_int_equal(fclose(out), 0);
	return from_text(text, size);
}

/* The nanoseconds of a lookup, in the quickest of some runs: others use this machine too. */
static double cost(const struct fixture *f, size_t n)
{
	static char hosts[64][32];
	uint64_t best = UINT64_MAX;

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		size_t route = i * 7919 % n;

		(void)snprintf(hosts[i], sizeof(hosts[i]), "%shost%zu.example",
			       route % 2 ? "x." : "", route);
	}
	for (int run = 0; run < 50; run++) {
		uint64_t start = now_ns();

		for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
			assert_true(routes_find(f->routes, &(struct route_query){.host = hosts[i],
										 .path = "/",
										 .path_len = 1}) <
				    10);
			assert_true(routes_know_host(f->routes, hosts[i]));
			assert_false(routes_know_host(f->routes, "unknown.example"));
		}
		best = MIN(best, now_ns() - start);
	}
	return (double)best / ARRAY_SIZE(hosts);
}

/* Without the hash tables it would be a thousand times as much. */
static void many_routes(void **state _unused_)
{
	_cleanup_fixture_ struct fixture few = with_hosts(10), many = with_hosts(MANY);
	double some = cost(&few, 10), more = cost(&many, MANY);

	print_message("a lookup in 10 routes: %.0f ns, in %d: %.0f ns\n", some, MANY, more);
	assert_true(more < 20 * some);
	assert_int_equal(by_host(&many, "host9999.example"), NONE);
}

/* All of them are found, and by nothing but their own name. */
static void many_routes_are_right(void **state _unused_)
{
	_cleanup_fixture_ struct fixture f = with_hosts(MANY);

	for (size_t i = 0; i < MANY; i++) {
		struct route_query q = {.path = "/", .path_len = 1};
		char host[64];

		(void)snprintf(host, sizeof(host), "host%zu.example", i);
		q.host = host;
		assert_int_equal(routes_find(f.routes, &q), i % 2 ? NONE : i % 10);
		(void)snprintf(host, sizeof(host), "x.host%zu.example", i);
		assert_int_equal(routes_find(f.routes, &q), i % 2 ? i % 10 : NONE);
	}
}

/* As many paths as asked for, of no host. */
static struct fixture with_paths(size_t n)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fprintf(out, "[listener l]\nbind = 127.0.0.1:0\nprotocol = http\n");
	for (size_t i = 0; i < n; i++)
		fprintf(out, "route = path:/service/%zu/ -> p%zu\n", i, i % 10);
	write_pools(out, 10);
	assert_int_equal(fclose(out), 0);
	return from_text(text, size);
}

static double cost_of_paths(const struct fixture *f, size_t n)
{
	static char paths[64][64];
	uint64_t best = UINT64_MAX;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		(void)snprintf(paths[i], sizeof(paths[i]), "/service/%zu/x?y", i * 7919 % n);
	for (int run = 0; run < 50; run++) {
		uint64_t start = now_ns();

		for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
			assert_int_equal(by_path(f, paths[i]), i * 7919 % n % 10);
			assert_int_equal(by_path(f, "/service/x/"), NONE);
		}
		best = MIN(best, now_ns() - start);
	}
	return (double)best / ARRAY_SIZE(paths);
}

/* Without their order it would be a thousand times as much. */
static void many_paths(void **state _unused_)
{
	_cleanup_fixture_ struct fixture few = with_paths(10), many = with_paths(MANY);
	double some = cost_of_paths(&few, 10), more = cost_of_paths(&many, MANY);

	print_message("a lookup in 10 paths: %.0f ns, in %d: %.0f ns\n", some, MANY, more);
	assert_true(more < 20 * some);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names),
	    cmocka_unit_test(ipv6_hosts),
	    cmocka_unit_test(any_name),
	    cmocka_unit_test(long_names),
	    cmocka_unit_test(alpn),
	    cmocka_unit_test(sources),
	    cmocka_unit_test(paths),
	    cmocka_unit_test(methods),
	    cmocka_unit_test(connects),
	    cmocka_unit_test(headers),
	    cmocka_unit_test(all_must_hold),
	    cmocka_unit_test(first_wins),
	    cmocka_unit_test(sni_and_host),
	    cmocka_unit_test(no_routes),
	    cmocka_unit_test(known_hosts),
	    cmocka_unit_test(many_routes),
	    cmocka_unit_test(many_routes_are_right),
	    cmocka_unit_test(many_paths),
	    cmocka_unit_test(random_routes_are_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
