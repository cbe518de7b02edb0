/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the configuration says of routes, HTTP and the PROXY protocol. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "../../daemon/config/config.h"
#include "../../daemon/config/option.h"

#define POOLS  "[pool p]\nserver = a 10.0.0.1:80\n[pool q]\nserver = a 10.0.0.2:80\n"
#define LISTEN "[listener l]\nbind = 127.0.0.1:80\n"
#define AUTO   LISTEN "protocol = auto\n" /* a route behind it is on line 4 */

/* Loads a text as the file t.conf; *messages is what went to the errors. */
static int load_text(const char *text, struct config **ret, char **messages)
{
	FILE *stream = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	size_t size;
	FILE *errors = open_memstream(messages, &size);
	int r;

	assert_non_null(stream);
	assert_non_null(errors);
	r = config_load_stream("t.conf", stream, ret, errors);
	assert_int_equal(fclose(errors), 0);
	assert_int_equal(fclose(stream), 0);
	return r;
}

static struct config *loaded(const char *text)
{
	_cleanup_free_ char *messages = NULL;
	struct config *c = NULL;

	if (load_text(text, &c, &messages) < 0)
		fail_msg("%s", messages);
	assert_string_equal(messages, "");
	return c;
}

/* The file is refused, and the messages are exactly these. */
static void assert_errors(const char *text, const char *expected)
{
	_cleanup_free_ char *messages = NULL;
	struct config *c = NULL;

	assert_int_equal(load_text(text, &c, &messages), -EINVAL);
	assert_null(c);
	assert_string_equal(messages, expected);
}

/* The file is refused with one message, which starts like this. */
static void assert_error(const char *text, const char *expected)
{
	_cleanup_free_ char *messages = NULL;
	struct config *c = NULL;

	assert_int_equal(load_text(text, &c, &messages), -EINVAL);
	assert_null(c);
	if (strncmp(messages, expected, strlen(expected)) != 0)
		fail_msg("got:      %s\nexpected: %s", messages, expected);
	assert_non_null(strstr(messages, "; "));
	assert_ptr_equal(strchr(messages, '\n'), messages + strlen(messages) - 1);
}

static void spliced_error(const char *line, const char *expected)
{
	char text[8192];

	(void)snprintf(text, sizeof(text), "[spliced]\n%s\n" LISTEN "pool = p\n" POOLS, line);
	assert_error(text, expected);
}

/* A line of a listener that is otherwise well, and takes whatever can be routed by; line 4. */
static void listener_error(const char *line, const char *expected)
{
	char text[8192];

	(void)snprintf(text, sizeof(text), AUTO "%s\npool = p\n" POOLS, line);
	assert_error(text, expected);
}

/* The same where what is wrong may be the only route. */
static void route_error(const char *route, const char *expected)
{
	char text[8192], message[1024];

	(void)snprintf(text, sizeof(text), AUTO "route = %s\n" POOLS, route);
	(void)snprintf(message, sizeof(message), "t.conf:4: route: %s", expected);
	assert_error(text, message);
}

static char *dumped(const struct config *c)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	config_dump(c, f);
	assert_int_equal(fclose(f), 0);
	return text;
}

/* ---- values ----------------------------------------------------------------------------- */

static void assert_default_http(const struct listener_config *l)
{
	assert_int_equal(l->head_timeout, 10 * NSEC_PER_SEC);
	assert_int_equal(l->request_timeout, 60 * NSEC_PER_SEC);
	assert_int_equal(l->response_timeout, 60 * NSEC_PER_SEC);
	assert_int_equal(l->keepalive_timeout, 60 * NSEC_PER_SEC);
	assert_int_equal(l->idle_close, IDLE_CLOSE_AUTO);
	assert_int_equal(l->tunnel_timeout, 3600 * NSEC_PER_SEC);
	assert_int_equal(l->head_max, 32 << 10);
	assert_int_equal(l->fields_max, 128);
	assert_int_equal(l->body_max, 0);
	assert_int_equal(l->body_splice_min, 1 << 20);
	assert_int_equal(l->x_forwarded_for, FORWARD_NO);
	assert_false(l->x_forwarded_proto);
	assert_int_equal(l->forwarded, FORWARD_NO);
	assert_string_equal(l->via, "");
	assert_string_equal(l->request_id, "");
	assert_int_equal(l->traceparent, TRACEPARENT_PASS);
	assert_int_equal(l->traceparent_sample, 100);
	assert_int_equal(l->h2, H2_AUTO);
	assert_false(l->underscores_in_headers || l->abort_on_close);
}

static void assert_defaults(const struct config *c)
{
	const struct listener_config *l = &c->listeners[0];

	assert_int_equal(c->max_sniffing, 4096);
	assert_int_equal(c->access_log_format, LOG_FORMAT_TEXT);
	assert_int_equal(l->protocol, PROTOCOL_TCP);
	assert_int_equal(l->n_routes, 0);
	assert_int_equal(l->accept_proxy, PROXY_ACCEPT_NO);
	assert_int_equal(l->n_trusted, 0);
	assert_int_equal(l->sniff_timeout, 5 * NSEC_PER_SEC);
	assert_int_equal(l->auto_wait, 500 * NSEC_PER_MSEC);
	assert_default_http(l);
	assert_int_equal(c->pools[0].send_proxy, PROXY_SEND_NO);
	assert_int_equal(c->pools[0].keepalive, 64);
	assert_int_equal(c->pools[0].keepalive_timeout, 30 * NSEC_PER_SEC);
}

static void defaults(void **state _unused_)
{
	_cleanup_config_ struct config *c = loaded(LISTEN "pool = p\n" POOLS), *again = NULL;
	_cleanup_free_ char *text = dumped(c);

	assert_defaults(c);
	again = loaded(text);
	assert_defaults(again);
}

static const char full[] = "[spliced]\n"
			   "max_sniffing = 7\n"
			   "access_log_format = json\n"
			   "[listener l]\n"
			   "bind = 127.0.0.1:80\n"
			   "route =\thost:A.Example.  path:/a;b\t->  q ; and a comment\n"
			   "route = src:10.0.0.0/8 header:X-A=b=c header:x-b method:GET -> p\n"
			   "protocol = http\n"
			   "accept_proxy = any\n"
			   "trusted = 10.0.0.0/8, ::1\n"
			   "trusted = unix\n"
			   "sniff_timeout = 1s\n"
			   "auto_wait = 20ms\n"
			   "head_timeout = 2s\n"
			   "request_timeout = 3s\n"
			   "response_timeout = 4s\n"
			   "keepalive_timeout = 5s\n"
			   "idle_close = response\n"
			   "tunnel_timeout = 0\n"
			   "head_max = 64K\n"
			   "fields_max = 1000\n"
			   "body_max = 1G\n"
			   "body_splice_min = 512K\n"
			   "x_forwarded_for = append\n"
			   "x_forwarded_proto = yes\n"
			   "forwarded = replace\n"
			   "via = spliced.example\n"
			   "request_id = X-Request-Id\n"
			   "traceparent = replace\n"
			   "traceparent_sample = 7\n"
			   "underscores_in_headers = yes\n"
			   "abort_on_close = yes\n"
			   "h2 = tunnel\n"
			   "[pool p]\n"
			   "server = a 10.0.0.1:80\n"
			   "send_proxy = v2\n"
			   "keepalive = 0\n"
			   "keepalive_timeout = 1m\n"
			   "[pool q]\n"
			   "server = a 10.0.0.2:80\n"
			   "send_proxy = v1\n";

static void assert_full_http(const struct listener_config *l)
{
	assert_int_equal(l->head_timeout, 2 * NSEC_PER_SEC);
	assert_int_equal(l->request_timeout, 3 * NSEC_PER_SEC);
	assert_int_equal(l->response_timeout, 4 * NSEC_PER_SEC);
	assert_int_equal(l->keepalive_timeout, 5 * NSEC_PER_SEC);
	assert_int_equal(l->idle_close, IDLE_CLOSE_RESPONSE);
	assert_int_equal(l->tunnel_timeout, 0);
	assert_int_equal(l->head_max, 64 << 10);
	assert_int_equal(l->fields_max, 1000);
	assert_int_equal(l->body_max, 1 << 30);
	assert_int_equal(l->body_splice_min, 512 << 10);
	assert_int_equal(l->x_forwarded_for, FORWARD_APPEND);
	assert_true(l->x_forwarded_proto);
	assert_int_equal(l->forwarded, FORWARD_REPLACE);
	assert_string_equal(l->via, "spliced.example");
	assert_string_equal(l->request_id, "X-Request-Id");
	assert_int_equal(l->traceparent, TRACEPARENT_REPLACE);
	assert_int_equal(l->traceparent_sample, 7);
	assert_int_equal(l->h2, H2_TUNNEL);
	assert_true(l->underscores_in_headers && l->abort_on_close);
}

static void assert_full_routes(const struct listener_config *l)
{
	const struct route_match *m;

	assert_int_equal(l->n_routes, 2);
	assert_string_equal(l->routes[0].pool, "q");
	assert_int_equal(l->routes[0].pool_index, 1);
	assert_int_equal(l->routes[0].n_matches, 2);
	m = l->routes[0].matches;
	assert_int_equal(m[0].kind, MATCH_HOST);
	assert_int_equal(m[0].host, HOST_EXACT);
	assert_string_equal(m[0].text, "a.example");
	assert_int_equal(m[1].kind, MATCH_PATH);
	assert_string_equal(m[1].text, "/a;b");

	assert_string_equal(l->routes[1].pool, "p");
	assert_int_equal(l->routes[1].pool_index, 0);
	assert_int_equal(l->routes[1].n_matches, 4);
	m = l->routes[1].matches;
	assert_int_equal(m[0].kind, MATCH_METHOD);
	assert_string_equal(m[0].text, "GET");
	assert_int_equal(m[1].kind, MATCH_SOURCE);
	assert_int_equal(m[1].network.prefix, 8);
	assert_int_equal(m[2].kind, MATCH_HEADER);
	assert_string_equal(m[2].text, "X-A");
	assert_string_equal(m[2].value, "b=c");
	assert_string_equal(m[3].text, "x-b");
	assert_null(m[3].value);
}

static void assert_full(const struct config *c)
{
	const struct listener_config *l = &c->listeners[0];

	assert_int_equal(c->max_sniffing, 7);
	assert_int_equal(c->access_log_format, LOG_FORMAT_JSON);
	assert_null(l->pool);
	assert_true(l->pool_index == SIZE_MAX);
	assert_int_equal(l->protocol, PROTOCOL_HTTP);
	assert_int_equal(l->accept_proxy, PROXY_ACCEPT_ANY);
	assert_int_equal(l->n_trusted, 3);
	assert_int_equal(l->trusted[2].family, AF_UNIX);
	assert_int_equal(l->sniff_timeout, NSEC_PER_SEC);
	assert_int_equal(l->auto_wait, 20 * NSEC_PER_MSEC);
	assert_full_http(l);
	assert_full_routes(l);
	assert_int_equal(c->pools[0].send_proxy, PROXY_SEND_V2);
	assert_int_equal(c->pools[0].keepalive, 0);
	assert_int_equal(c->pools[0].keepalive_timeout, 60 * NSEC_PER_SEC);
	assert_int_equal(c->pools[1].send_proxy, PROXY_SEND_V1);
}

static void every_option(void **state _unused_)
{
	_cleanup_config_ struct config *c = loaded(full), *again = NULL;
	_cleanup_free_ char *text = dumped(c), *text_again = NULL;

	assert_full(c);
	assert_int_equal(c->listeners[0].routes[0].where.line, 6);
	assert_int_equal(c->listeners[0].routes[1].where.line, 7);

	again = loaded(text);
	assert_full(again);
	text_again = dumped(again);
	assert_string_equal(text, text_again);
}

/* Whatever the protocol is: a listener that is switched to another keeps its options. */
static void options_of_other_protocols(void **state _unused_)
{
	static const char *const protocols[] = {"tcp", "tls", "http", "auto"};

	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		char text[512];
		struct config *c;

		(void)snprintf(text, sizeof(text),
			       LISTEN "protocol = %s\npool = p\nhead_max = 8K\nvia = x\n"
				      "auto_wait = 1s\nroute = src:10.0.0.1 -> q\n" POOLS,
			       protocols[i]);
		c = loaded(text);
		assert_int_equal(c->listeners[0].protocol, i);
		config_free(c);
	}
}

/* What the listener would not do to HTTP/2 turns it off, unless it is asked for. */
static void tunnels_of_h2(void **state _unused_)
{
	static const struct {
		const char *options;
		bool tunnels;
	} all[] = {
	    {"", true},
	    {"body_max = 0\nhead_max = 8K\nunderscores_in_headers = no\ndeny = 10.0.0.1\n", true},
	    {"route = host:a src:10.0.0.0/8 -> q\nroute = sni:b alpn:h2 -> q\n", true},
	    {"route = host:a -> q\nroute = host:a path:/x -> q\n", false},
	    {"route = method:GET -> q\n", false},
	    {"route = header:a -> q\n", false},
	    {"body_max = 1\n", false},
	    {"x_forwarded_for = append\n", false},
	    {"x_forwarded_proto = yes\n", false},
	    {"forwarded = replace\n", false},
	    {"via = x\n", false},
	    {"request_id = X-Id\n", false},
	    {"traceparent = begin\n", false},
	    {"traceparent = replace\n", false},
	    {"traceparent = pass\n", true},
	    {"h2 = tunnel\nbody_max = 1\nroute = path:/ -> q\nvia = x\n", true},
	    {"h2 = no\n", false},
	    {"h2 = auto\nvia = x\n", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		char text[512];
		struct config *c;

		(void)snprintf(text, sizeof(text), AUTO "pool = p\n%s" POOLS, all[i].options);
		c = loaded(text);
		if (listener_config_tunnels_h2(&c->listeners[0]) != all[i].tunnels)
			fail_msg("%s", all[i].options);
		config_free(c);
	}
}

static void bad_values(void **state _unused_)
{
	spliced_error("max_sniffing = 0", "t.conf:2: max_sniffing: \"0\" is out of range; "
					  "allowed: 1 to 1048576 sessions\n");
	spliced_error("access_log_format = xml", "t.conf:2: access_log_format: \"xml\" is not one "
						 "of the choices; allowed: text or json\n");
	listener_error("accept_proxy = yes", "t.conf:4: accept_proxy: \"yes\" is not one of the "
					     "choices; allowed: no, v1, v2 or any\n");
	listener_error("trusted = everyone", "t.conf:4: trusted: \"everyone\": not an IPv4");
	listener_error("sniff_timeout = 0", "t.conf:4: sniff_timeout: \"0");
	listener_error("head_timeout = 10", "t.conf:4: head_timeout: \"10\" has no unit");
	listener_error("head_max = 1023", "t.conf:4: head_max: \"1023\" is out of range");
	listener_error("fields_max = 0", "t.conf:4: fields_max: \"0\" is out of range");
	listener_error("body_max = 1025G", "t.conf:4: body_max: \"1025G\" is out of range; "
					   "allowed: 0 to 1024G bytes");
	listener_error("x_forwarded_for = yes", "t.conf:4: x_forwarded_for: \"yes\" is not one of "
						"the choices; allowed: no, append or replace\n");
	listener_error("x_forwarded_proto = append", "t.conf:4: x_forwarded_proto: \"append\" is "
						     "neither yes nor no; allowed: yes or no\n");
}

static void bad_tokens(void **state _unused_)
{
	char line[80] = "via = ";

	listener_error("via = a b", "t.conf:4: via: \"a b\" is not a token; allowed: 1 to 63 "
				    "letters, digits or any of !#$%&'*+-.^_`|~, or empty\n");
	listener_error("via = a:80", "t.conf:4: via: \"a:80\" is not a token");
	listener_error("via = \xc3\xa9", "t.conf:4: via: \"\xc3\xa9\" is not a token");
	memset(line + 6, 'x', 64);
	listener_error(line, "t.conf:4: via: \"xxx");
	listener_error("request_id = X-Id:", "t.conf:4: request_id: \"X-Id:\" is not a token; "
					     "allowed: the name of a field that HTTP and the other "
					     "options do not use, or empty\n");
	listener_error("request_id = HOST", "t.conf:4: request_id: \"HOST\" is a field with a "
					    "meaning of its own");
	listener_error("request_id = Content-length", "t.conf:4: request_id: \"Content-length\"");
}

/* ---- routes ----------------------------------------------------------------------------- */

static void hosts(void **state _unused_)
{
	_cleanup_config_ struct config *c =
	    loaded(AUTO "route = sni:A.b -> p\nroute = sni:*.Ex_ample. -> p\nroute = sni:* -> p\n"
			"route = host:[2001:DB8::1] -> p\nroute = host:10.0.0.1 -> p\n" POOLS);
	const struct route_config *r = c->listeners[0].routes;

	assert_int_equal(r[0].matches[0].host, HOST_EXACT);
	assert_string_equal(r[0].matches[0].text, "a.b");
	assert_int_equal(r[1].matches[0].host, HOST_SUFFIX);
	assert_string_equal(r[1].matches[0].text, ".ex_ample");
	assert_int_equal(r[2].matches[0].host, HOST_ANY);
	assert_string_equal(r[3].matches[0].text, "[2001:db8::1]");
	assert_string_equal(r[4].matches[0].text, "10.0.0.1");
}

static void bad_hosts(void **state _unused_)
{
	static const char *const bad[] = {
	    "",           "a.example:80", "a..b", ".b",        "*.",       "*a.b",    "a.*.b",
	    "*.*.b",      "-a.b",         "a/b",  "a,b",       ".",        "a..",     "**",
	    "\xc3\xa9.b", "[::1",         "[]",   "[1.2.3.4]", "[::1]:80", "*.[::1]", "::1",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char route[64], message[128];

		(void)snprintf(route, sizeof(route), "host:%s -> p", bad[i]);
		(void)snprintf(message, sizeof(message),
			       "\"host:%s\": not a host name without a port, *.SUFFIX or *; "
			       "allowed: MATCHERS -> POOL, where ",
			       bad[i]);
		route_error(route, message);
	}
	route_error("sni:[::1] -> p", "\"sni:[::1]\": not a host name");
}

static void bad_matchers(void **state _unused_)
{
	char path[1100] = "path:/", alpn[300] = "alpn:";

	route_error(
	    "a.example -> p",
	    "\"a.example\": not a matcher, which is KIND:VALUE; allowed: "
	    "MATCHERS -> POOL, where MATCHERS are none or more of "
	    "sni:HOST, alpn:NAME, host:HOST, path:/PREFIX, method:NAME, "
	    "src:NETWORK, dst:NETWORK, dport:PORT, header:NAME[=VALUE], with blanks between, or "
	    "empty\n");
	route_error("Host:a -> p", "\"Host:a\": there is no such matcher; allowed: ");
	route_error(":a -> p", "\":a\": there is no such matcher; allowed: ");
	route_error("path:a -> p", "\"path:a\": not the beginning of a path, which is a /");
	route_error("path: -> p", "\"path:\": not the beginning of a path");
	route_error("path:/\x01 -> p", "\"path:/?\": not the beginning of a path");
	route_error("method: -> p", "\"method:\": not a method of HTTP");
	route_error("method:GET/ -> p", "\"method:GET/\": not a method of HTTP");
	route_error("method:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA -> p", "\"method:AAAA");
	route_error("header: -> p", "\"header:\": not the name of a header field");
	route_error("header:=a -> p", "\"header:=a\": not the name of a header field");
	route_error("header:a: -> p", "\"header:a:\": not the name of a header field");
	route_error("header:a= -> p", "\"header:a=\": not a value of a header field");
	route_error("alpn: -> p", "\"alpn:\": not the name of an ALPN protocol");
	route_error("src: -> p", "\"src:\": not an IPv4 or IPv6 network");
	route_error("src:10.0.0.1/8 -> p", "\"src:10.0.0.1/8\": bits are set beyond the prefix");

	memset(path + 6, 'x', 1000);
	strcat(path, " -> p");
	route_error(path, "\"path:/xxx");
	memset(alpn + 5, 'x', 256);
	strcat(alpn, " -> p");
	route_error(alpn, "\"alpn:xxx");
}

static void bad_routes(void **state _unused_)
{
	char route[4100] = "";

	route_error("host:a", "\"->\" and a pool are missing; allowed: ");
	route_error("host:a->p", "\"host:a->p\": not a host name");
	route_error("path:/a->p", "\"->\" and a pool are missing; allowed: ");
	route_error("host:a ->", "the pool behind \"->\" is missing; allowed: ");
	route_error("host:a -> p q", "\"q\": there is more behind the pool; allowed: ");
	route_error("-> p path:/", "\"path:/\": there is more behind the pool; allowed: ");
	route_error("-> p/q", "\"p/q\": not the name of a pool, which is 1 to 63 letters");
	route_error("-> -> p", "\"p\": there is more behind the pool; allowed: ");
	route_error("host:a host:b -> p", "host is given twice; allowed: ");
	route_error("src:::1 path:/ src:10.0.0.1 -> p", "src is given twice; allowed: ");
	route_error("header:a=b header:c header:A=b -> p", "header is given twice; allowed: ");
	route_error("alpn:h2 alpn:h2 -> p", "alpn is given twice; allowed: ");
	memset(route, 'x', 4070);
	memcpy(route, "path:/", 6);
	route_error(route, "is longer than 4000 bytes; allowed: ");

	config_free(loaded(AUTO "route = alpn:a alpn:b header:a=b header:a=c -> p\n" POOLS));
	config_free(loaded(AUTO "route = path:/a->b -> p\nroute = path:/-> -> p\n" POOLS));
	config_free(loaded(AUTO "route = -> p\n" POOLS));
}

/* A route of the most bytes can be written back and read again. */
static void long_routes(void **state _unused_)
{
	_cleanup_config_ struct config *c = NULL, *again = NULL;
	_cleanup_free_ char *dump = NULL;
	char text[4300] = AUTO "route=";
	size_t at = strlen(text), len = 0;

	while (len < 3900)
		len += (size_t)snprintf(text + at + len, sizeof(text) - at - len,
					"header:a%zu=xxxxxxxx ", len);
	(void)snprintf(text + at + len, sizeof(text) - at - len, "%*s\n" POOLS, (int)(4000 - len),
		       "-> p");
	c = loaded(text);
	assert_int_equal(strlen(c->listeners[0].routes[0].text), 4000);
	dump = dumped(c);
	again = loaded(dump);
	assert_string_equal(again->listeners[0].routes[0].text, c->listeners[0].routes[0].text);
}

static void pools_of_routes(void **state _unused_)
{
	assert_errors(AUTO "route = host:a -> p\nroute = host:b -> r\npool = s\n" POOLS,
		      "t.conf:5: route: there is no [pool r]; allowed: p, q\n"
		      "t.conf:6: pool: there is no [pool s]; allowed: p, q\n");
}

static void neither_pool_nor_route(void **state _unused_)
{
	assert_errors("[spliced]\nworkers = x\n" LISTEN POOLS,
		      "t.conf:2: workers: \"x\" is not a whole number; allowed: auto, or 1 to 256 "
		      "threads\n"
		      "t.conf:3: [listener l] has neither pool nor route; needed: pool = POOL, or "
		      "route = MATCHERS -> POOL\n");
	assert_error(LISTEN "pool =\nroute =\n" POOLS, "t.conf:1: [listener l] has neither pool");
	/* One that is wrong is there. */
	assert_error(LISTEN "pool = /\n" POOLS, "t.conf:3: pool: \"/\" is not a valid name");
	assert_error(LISTEN "route = -> /\n" POOLS, "t.conf:3: route: \"/\": not the name of a");
}

/* The protocol may be written behind the route. */
static void matchers_that_see_nothing(void **state _unused_)
{
	static const struct {
		const char *matcher, *protocols; /* those that see it */
	} all[] = {
	    {"sni:a", "tls auto"},
	    {"alpn:a", "tls auto"},
	    {"host:a", "http auto"},
	    {"path:/", "http auto"},
	    {"method:A", "http auto"},
	    {"header:a", "http auto"},
	    {"src:10.0.0.1", "tcp tls http auto"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		for (unsigned int j = 0; j < _PROTOCOL_MAX; j++) {
			char text[512], message[512];

			(void)snprintf(text, sizeof(text),
				       LISTEN "route = %s -> p\nprotocol = %s\n" POOLS,
				       all[i].matcher, protocol_str[j]);
			(void)snprintf(message, sizeof(message),
				       "t.conf:3: route: %.*s: is not seen with protocol = %s; "
				       "allowed: src, dst and dport with any protocol, sni and "
				       "alpn with tls or "
				       "auto, the others with http or auto\n",
				       (int)strcspn(all[i].matcher, ":"), all[i].matcher,
				       protocol_str[j]);
			if (strstr(all[i].protocols, protocol_str[j]))
				config_free(loaded(text));
			else
				assert_errors(text, message);
		}
	}
}

static void routes_never_taken(void **state _unused_)
{
	assert_errors(AUTO "route = host:A path:/ header:x-a=b -> p\n"
			   "route = host:b path:/ -> p\n"
			   "route = header:X-A=b path:/ host:a. -> q\n"
			   "route = header:X-A=B path:/ host:a -> q\n"
			   "route = path:/ host:*.a -> q\n" POOLS,
		      "t.conf:6: route: the one on line 4 has the same matchers, and is taken "
		      "before it; allowed: different matchers in each route\n");
	assert_errors(AUTO "route = -> p\nroute = -> q\nroute = host:a -> q\n" POOLS,
		      "t.conf:5: route: the one on line 4 has no matchers, and takes all; allowed: "
		      "no route behind such a one\n");
	/* Another listener's are its own. */
	config_free(loaded(AUTO
			   "route = host:a -> p\nroute = -> p\n[listener m]\n"
			   "protocol = http\nbind = 127.0.0.1:81\nroute = host:a -> p\n" POOLS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(defaults),
	    cmocka_unit_test(every_option),
	    cmocka_unit_test(options_of_other_protocols),
	    cmocka_unit_test(tunnels_of_h2),
	    cmocka_unit_test(bad_values),
	    cmocka_unit_test(bad_tokens),
	    cmocka_unit_test(hosts),
	    cmocka_unit_test(bad_hosts),
	    cmocka_unit_test(bad_matchers),
	    cmocka_unit_test(bad_routes),
	    cmocka_unit_test(long_routes),
	    cmocka_unit_test(pools_of_routes),
	    cmocka_unit_test(neither_pool_nor_route),
	    cmocka_unit_test(matchers_that_see_nothing),
	    cmocka_unit_test(routes_never_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
