// SPDX-License-Identifier: GPL-2.0-or-later
/* What [intercept NAME] sections say, and routes by where a client wanted to go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../../daemon/config/config.h"
#include "../../daemon/config/option.h"
#include "../../daemon/intercept/origin.h"
#include "../../daemon/intercept/programs.h"
#include "../../daemon/route.h"

#define LISTENER                                                      \
	"[listener web]\nbind = 127.0.0.1:80, [::1]:80\npool = out\n" \
	"[pool out]\nserver = any original:\n"
#define SECTION "[intercept i]\ncgroup = self\nlistener = web\n"

static int load(const char *text, struct config **ret, char **messages)
{
	FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r"), *out;
	size_t size;
	int err;

	out = open_memstream(messages, &size);
	assert_non_null(in);
	assert_non_null(out);
	err = config_load_stream("t.conf", in, ret, out);
	(void)fclose(in);
	(void)fclose(out);
	return err;
}

static struct config *loaded(const char *text)
{
	_cleanup_free_ char *messages = NULL;
	struct config *c = NULL;

	if (load(text, &c, &messages) < 0)
		fail_msg("%s", messages);
	return c;
}

/* The first message begins so. */
static void assert_refused(const char *text, const char *message)
{
	_cleanup_free_ char *messages = NULL;
	struct config *c = NULL;

	assert_int_equal(load(text, &c, &messages), -EINVAL);
	if (strncmp(messages, message, strlen(message)) != 0)
		fail_msg("got:      %s\nexpected: %s", messages, message);
}

/* ---- sections --------------------------------------------------------------------------- */

static void assert_destination(const struct destination *d, const char *text)
{
	_cleanup_free_ char *written = NULL;
	size_t size;
	FILE *f = open_memstream(&written, &size);

	destination_format(d, f);
	(void)fclose(f);
	assert_string_equal(written, text);
}

static void destinations(void **state _unused_)
{
	static const struct {
		const char *text, *written;
	} all[] = {
	    {"80", "80"},
	    {"8000-8999", "8000-8999"},
	    {"*", "*"},
	    {"*:443", "443"},
	    {"10.0.0.0/8", "10.0.0.0/8:*"},
	    {"10.0.0.0/8:*", "10.0.0.0/8:*"},
	    {"192.0.2.7:5432", "192.0.2.7/32:5432"},
	    {"fd00::/8", "[fd00::/8]:*"},
	    {"[fd00::/8]", "[fd00::/8]:*"},
	    {"[::1]:1-2", "[::1/128]:1-2"},
	    {"0.0.0.0/0:25", "0.0.0.0/0:25"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct destination d, again;
		struct text why = {0};

		assert_int_equal(destination_parse(all[i].text, &d, &why), 0);
		assert_destination(&d, all[i].written);
		assert_int_equal(destination_parse(all[i].written, &again, &why), 0);
		assert_memory_equal(&d, &again, sizeof(d));
	}
}

static void bad_destinations(void **state _unused_)
{
	static const char *const bad[] = {
	    "0",        "65536",         "5-4",          "80-",
	    "x",        "10.0.0.1/8:80", "10.0.0.0/8:x", "[fd00::/8:80",
	    "[::1]x80", "unix",          "10.0.0.0/8:",  "99999999999999999999",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct text why = {0};
		struct destination d;

		if (destination_parse(bad[i], &d, &why) == 0)
			fail_msg("%s was taken", bad[i]);
		assert_true(why.len > 0);
	}
}

/* The first but that this machine has no user for the daemon. */
static const char *warning(const struct config *c)
{
	for (size_t i = 0; i < c->n_warnings; i++)
		if (strncmp(c->warnings[i].text, "user:", 5) != 0)
			return c->warnings[i].text;
	return NULL;
}

static void a_section(void **state _unused_)
{
	_cleanup_config_ struct config *c =
	    loaded(LISTENER SECTION "outbound = 80, 443\noutbound = 10.0.0.0/8:*\nexcept = ::1\n");
	const struct intercept_config *i = c->intercepts;

	assert_int_equal(c->n_intercepts, 1);
	assert_string_equal(i->name, "i");
	assert_string_equal(i->cgroup, "self");
	assert_int_equal(i->n_outbound, 3);
	assert_destination(&i->outbound[2], "10.0.0.0/8:*");
	assert_int_equal(i->n_except, 1);
	assert_int_equal(i->intercept, INTERCEPT_WHILE_READY);
	assert_false(i->whole_host);
	assert_true(config_intercepts_to(c, "web"));
	assert_false(config_intercepts_to(c, "i"));
	assert_int_equal(c->pools[0].servers[0].endpoint.kind, ENDPOINT_ORIGINAL);
	assert_null(warning(c));
}

static void bad_sections(void **state _unused_)
{
	assert_refused(LISTENER SECTION, "t.conf:6: [intercept i] has no outbound; needed: ");
	assert_refused(LISTENER "[intercept i]\noutbound = 80\nlistener = web\n",
		       "t.conf:6: [intercept i] has no cgroup; needed: cgroup = self, pod, or an "
		       "absolute path\n");
	assert_refused(LISTENER "[intercept i]\ncgroup = x\noutbound = 80\nlistener = web\n",
		       "t.conf:7: cgroup: \"x\" is not an absolute path; allowed: self, pod, or ");
	assert_refused(LISTENER "[intercept i]\ncgroup = self\noutbound = 80\nlistener = x\n",
		       "t.conf:9: listener: there is no [listener x]; allowed: web\n");
	assert_refused(LISTENER SECTION "outbound = 80\n" SECTION "outbound = 80\n",
		       "t.conf:10: intercept i is already on line 6; allowed: each name once\n");
	assert_refused("[listener web]\nbind = unix:/x\npool = out\n[pool out]\nserver = any "
		       "original:\n" SECTION "outbound = 80\n",
		       "t.conf:8: listener: web binds no IP address; allowed: a listener that "
		       "does\n");
}

static void too_many_rules(void **state _unused_)
{
	char text[4096] = LISTENER SECTION "outbound = 1";

	for (int i = 2; i <= 65; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), ", %d", i);
	(void)strcat(text, "\n");
	assert_refused(text, "t.conf:9: outbound: has 65 values; allowed: 64\n");
}

static void one_family(void **state _unused_)
{
	_cleanup_config_ struct config *c =
	    loaded("[listener web]\nbind = 127.0.0.1:80\npool = out\n[pool out]\n"
		   "server = any original:\n" SECTION "outbound = 80\n");

	assert_string_equal(warning(c), "listener: web binds no address of IPv6: connects "
					"by IPv6 are not intercepted");
}

/* ---- reloads ---------------------------------------------------------------------------- */

static char *kept(const char *old_text, const char *new_text, struct config **ret)
{
	_cleanup_config_ struct config *old = loaded(old_text);
	char *names = NULL;
	size_t size;
	FILE *f = open_memstream(&names, &size);

	*ret = loaded(new_text);
	assert_int_equal(config_keep(old, *ret, f, stderr), 0);
	(void)fclose(f);
	return names;
}

static void sections_stay(void **state _unused_)
{
	static const char first[] = LISTENER SECTION "outbound = 80\n";
	_cleanup_config_ struct config *same = NULL, *other = NULL, *none = NULL, *more = NULL;
	_cleanup_free_ char *a = kept(first, first, &same);
	_cleanup_free_ char *b = kept(first, LISTENER SECTION "outbound = 81, 82\n", &other);
	_cleanup_free_ char *c = kept(first, LISTENER, &none);
	_cleanup_free_ char *d = kept(LISTENER, first, &more);

	assert_string_equal(a, "");
	assert_string_equal(b, "[intercept NAME]");
	assert_int_equal(other->n_intercepts, 1);
	assert_int_equal(other->intercepts[0].n_outbound, 1);
	assert_destination(&other->intercepts[0].outbound[0], "80");
	assert_string_equal(c, "[intercept NAME]");
	assert_int_equal(none->n_intercepts, 1);
	assert_true(config_intercepts_to(none, "web"));
	assert_string_equal(d, "[intercept NAME]");
	assert_int_equal(more->n_intercepts, 0);
}

/* ---- routes ----------------------------------------------------------------------------- */

static size_t found(const struct routes *r, const char *dst)
{
	struct route_query q = {0};
	struct addr a;
	const char *why;

	if (dst) {
		assert_int_equal(addr_parse(dst, &a, &why), 0);
		q.dst = &a;
	}
	return routes_find(r, &q);
}

static void by_destination(void **state _unused_)
{
	_cleanup_config_ struct config *c =
	    loaded("[listener web]\nbind = 127.0.0.1:80\n"
		   "route = dst:10.0.0.0/8 dport:5432 -> p0\nroute = dst:10.0.0.0/8 -> p1\n"
		   "route = dst:fd00::/8 -> p1\nroute = dport:8000-8999 -> p2\n"
		   "[pool p0]\nserver = a 127.0.0.1:1\n[pool p1]\nserver = a 127.0.0.1:1\n"
		   "[pool p2]\nserver = a 127.0.0.1:1\n");
	struct routes *r = routes_new(&c->listeners[0]);

	assert_int_equal(found(r, "10.1.2.3:5432"), 0);
	assert_int_equal(found(r, "10.1.2.3:80"), 1);
	assert_int_equal(found(r, "[::ffff:10.1.2.3]:80"), 1);
	assert_int_equal(found(r, "[fd00::1]:80"), 1);
	assert_int_equal(found(r, "11.1.2.3:8000"), 2);
	assert_int_equal(found(r, "11.1.2.3:8999"), 2);
	assert_int_equal(found(r, "11.1.2.3:9000"), SIZE_MAX);
	assert_int_equal(found(r, NULL), SIZE_MAX);
	routes_free(r);
}

static void bad_routes(void **state _unused_)
{
	static const struct {
		const char *route, *message;
	} bad[] = {
	    {"dst:x -> out", "t.conf:4: route: \"dst:x\": not an IPv4 or IPv6 network"},
	    {"dport:0 -> out", "t.conf:4: route: \"dport:0\": not a port or FIRST-LAST"},
	    {"dport:9-8 -> out", "t.conf:4: route: \"dport:9-8\": not a port or FIRST-LAST"},
	    {"dport:1 dport:2 -> out", "t.conf:4: route: dport is given twice"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char text[512];

		(void)snprintf(text, sizeof(text),
			       "[listener web]\nbind = 127.0.0.1:80\npool = out\nroute = %s\n"
			       "[pool out]\nserver = any original:\n",
			       bad[i].route);
		assert_refused(text, bad[i].message);
	}
}

/* ---- addresses -------------------------------------------------------------------------- */

static void places(void **state _unused_)
{
	static const char *const all[] = {"192.0.2.1:80", "[2001:db8::1]:443", "127.0.0.1:1"};
	struct intercept_place p;
	struct addr a, again;
	const char *why;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		assert_int_equal(addr_parse(all[i], &a, &why), 0);
		place_of(&a, &p);
		place_to_addr(&p, &again);
		assert_true(addr_equal(&a, &again));
	}
	assert_int_equal(addr_parse("[::ffff:192.0.2.1]:80", &a, &why), 0);
	place_of(&a, &p);
	place_to_addr(&p, &again);
	assert_int_equal(again.sa.sa_family, AF_INET);
}

/* ---- where connects are sent to ---------------------------------------------------------- */

/* What counts is not written: all of the other place is, and counts then. */
static void aims_at_once(void **state _unused_)
{
	struct intercept_orders orders = {0};
	struct programs p = {.orders = &orders};
	struct addr ipv4 = {.sa.sa_family = AF_INET, .len = sizeof(struct sockaddr_in)};

	ipv4.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ipv4.in4.sin_port = htons(80);
	assert_true(programs_aim(&p, &ipv4, NULL));
	assert_int_equal(orders.version, 1);
	assert_int_equal(orders.targets[1][0].port, htons(80));
	assert_int_equal(orders.targets[1][1].port, 0);
	assert_false(programs_aim(&p, &ipv4, NULL));
	assert_int_equal(orders.version, 1);
	ipv4.in4.sin_port = htons(81);
	assert_true(programs_aim(&p, &ipv4, NULL));
	assert_int_equal(orders.version, 2);
	assert_int_equal(orders.targets[0][0].port, htons(81));
	assert_int_equal(orders.targets[1][0].port, htons(80));
	assert_true(programs_aim(&p, NULL, NULL));
	assert_int_equal(orders.version, 3);
	assert_int_equal(orders.targets[1][0].port, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(destinations),   cmocka_unit_test(bad_destinations),
	    cmocka_unit_test(a_section),      cmocka_unit_test(bad_sections),
	    cmocka_unit_test(too_many_rules), cmocka_unit_test(one_family),
	    cmocka_unit_test(sections_stay),  cmocka_unit_test(by_destination),
	    cmocka_unit_test(bad_routes),     cmocka_unit_test(places),
	    cmocka_unit_test(aims_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
