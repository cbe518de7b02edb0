/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration file: what it means, what is wrong with it, and what is written back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pwd.h>
#include <string.h>

#include "../../daemon/config/config.h"
#include "../../daemon/config/option.h"

#define CONF   "t.conf" /* in a directory of the test's own, so that messages are the same */
#define POOL   "[pool p]\nserver = a 10.0.0.1:80\n"
#define LISTEN "[listener l]\nbind = 127.0.0.1:80\npool = p\n"

static char dir[] = "/tmp/test_config.XXXXXX";

static int enter_dir(void **state _unused_)
{
	return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int leave_dir(void **state _unused_)
{
	(void)unlink(CONF);
	return chdir("/") == 0 && rmdir(dir) == 0 ? 0 : -1;
}

static void write_file(const void *text, size_t len)
{
	FILE *f = fopen(CONF, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

/* Loads PATH; *messages is what went to the errors. */
static int load_input(const struct config_input *in, struct config **ret, char **messages)
{
	size_t size;
	FILE *f = open_memstream(messages, &size);
	int r;

	assert_non_null(f);
	r = config_load(in, ret, f);
	assert_int_equal(fclose(f), 0);
	return r;
}

static int load_path(const char *path, struct config **ret, char **messages)
{
	return load_input(&(struct config_input){.path = path}, ret, messages);
}

static struct config *loaded_bytes(const void *text, size_t len)
{
	_cleanup_free_ char *messages = NULL;
	struct config *c = NULL;

	write_file(text, len);
	if (load_path(CONF, &c, &messages) < 0)
		fail_msg("%s", messages);
	assert_string_equal(messages, "");
	return c;
}

static struct config *loaded(const char *text)
{
	return loaded_bytes(text, strlen(text));
}

/* The file is refused, and the messages are exactly these. */
static void assert_errors(const char *text, const char *expected)
{
	_cleanup_free_ char *messages = NULL;
	struct config *c = NULL;

	write_file(text, strlen(text));
	assert_int_equal(load_path(CONF, &c, &messages), -EINVAL);
	assert_null(c);
	assert_string_equal(messages, expected);
}

/* The file is refused with one message, which starts like this. */
static void assert_error(const char *text, const char *expected)
{
	_cleanup_free_ char *messages = NULL;
	struct config *c = NULL;

	write_file(text, strlen(text));
	assert_int_equal(load_path(CONF, &c, &messages), -EINVAL);
	assert_null(c);
	if (strncmp(messages, expected, strlen(expected)) != 0)
		fail_msg("got:      %s\nexpected: %s", messages, expected);
	assert_non_null(strstr(messages, "; "));
	if (strchr(messages, '\n') != messages + strlen(messages) - 1)
		fail_msg("more than one message: %s", messages);
}

/* The same for a line of a section that is otherwise well; the line is number 2, 5 or 3. */
static void spliced_error(const char *line, const char *expected)
{
	char text[8192];

	(void)snprintf(text, sizeof(text), "[spliced]\n%s\n" LISTEN POOL, line);
	assert_error(text, expected);
}

static void listener_error(const char *line, const char *expected)
{
	char text[8192];

	(void)snprintf(text, sizeof(text), "\n" LISTEN "%s\n" POOL, line);
	assert_error(text, expected);
}

static void pool_error(const char *line, const char *expected)
{
	char text[8192];

	(void)snprintf(text, sizeof(text), POOL "%s\n" LISTEN, line);
	assert_error(text, expected);
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

static bool user_exists(const char *name)
{
	return getpwnam(name) != NULL;
}

/* ---- values ----------------------------------------------------------------------------- */

static void assert_default_listener(const struct listener_config *l)
{
	assert_int_equal(l->protocol, PROTOCOL_TCP);
	assert_int_equal(l->n_allow, 0);
	assert_int_equal(l->n_deny, 0);
	assert_int_equal(l->max_sessions, 0);
	assert_int_equal(l->backlog, 4096);
	assert_int_equal(l->unix_mode, 0666);
	assert_int_equal(l->idle_timeout, 600 * NSEC_PER_SEC);
	assert_int_equal(l->half_close_timeout, 60 * NSEC_PER_SEC);
}

static void assert_default_spliced(const struct config *c)
{
	assert_int_equal(c->workers, 0);
	assert_int_equal(c->engine, ENGINE_AUTO);
	assert_int_equal(c->max_sessions, 65536);
	assert_string_equal(c->control, "/run/spliced/control.sock");
	assert_int_equal(c->status.len, 0);
	assert_int_equal(c->log_target, LOG_TO_AUTO);
	assert_int_equal(c->log_level, LOG_LVL_INFO);
	assert_string_equal(c->access_log, "yes");
	assert_string_equal(c->user, "spliced");
	assert_int_equal(c->user_where.line, 0);
	assert_int_equal(c->shutdown_grace, 30 * NSEC_PER_SEC);
	assert_int_equal(c->drain_delay, 0);
	assert_int_equal(c->n_nameservers, 0);
	assert_int_equal(c->engage_after, 10 * NSEC_PER_MSEC);
	assert_int_equal(c->splice_high, 1 << 20);
	assert_int_equal(c->splice_low, 512 << 10);
	assert_int_equal(c->splice_hard, 16 << 20);
	assert_int_equal(c->splice_window, 2 << 20);
	assert_int_equal(c->numa_node, -1);
}

static void defaults(void **state _unused_)
{
	_cleanup_config_ struct config *c = loaded(LISTEN POOL), *fresh = config_new();

	assert_non_null(fresh);
	assert_default_spliced(fresh);
	assert_int_equal(fresh->n_listeners, 0);
	assert_int_equal(fresh->n_pools, 0);

	assert_default_spliced(c);
	assert_string_equal(c->path, CONF);
	assert_int_equal(c->n_listeners, 1);
	assert_string_equal(c->listeners[0].name, "l");
	assert_int_equal(c->listeners[0].where.line, 1);
	assert_string_equal(c->listeners[0].pool, "p");
	assert_int_equal(c->listeners[0].pool_index, 0);
	assert_int_equal(c->listeners[0].pool_where.line, 3);
	assert_default_listener(&c->listeners[0]);

	assert_int_equal(c->n_pools, 1);
	assert_int_equal(c->pools[0].where.line, 4);
	assert_int_equal(c->pools[0].balance, BALANCE_ROUND_ROBIN);
	assert_int_equal(c->pools[0].connect_timeout, 5 * NSEC_PER_SEC);
	assert_int_equal(c->pools[0].retries, 2);
	assert_int_equal(c->pools[0].n_servers, 1);
	assert_int_equal(c->pools[0].servers[0].weight, 1);
	assert_int_equal(c->pools[0].servers[0].max_sessions, 0);
	assert_false(c->pools[0].servers[0].backup);
	assert_int_equal(c->pools[0].servers[0].where.line, 5);
}

/* Every option with a value that is not its default; the lists in each of their ways. */
static const char full[] = "[spliced]\n"
			   "workers = 256\n"
			   "spread = hash\n"
			   "engine = copy ; a comment\n"
			   "max_sessions=1\n"
			   "control = none\n"
			   "status = 9180\n"
			   "log_target = stderr\n"
			   "log_level = debug\n"
			   "access_log = no\n"
			   "user =\n"
			   "shutdown_grace = 90s\n"
			   "drain_delay = 5s\n"
			   "nameserver = 9.9.9.9, 1.1.1.1:54\n"
			   "nameserver = ::1, [::2], [::3]:55\n"
			   "engage_after = 0\n"
			   "splice_high = 128K\n"
			   "splice_low = 65536\n"
			   "splice_hard = 1G\n"
			   "splice_window = 16M\n"
			   "numa_node = 0\n"
			   "[ listener\tone ] # comment\n"
			   "  bind = 0.0.0.0:443, [::]:443\n"
			   "\tbind = unix:/run/a b.sock\n"
			   "protocol : tcp\n"
			   "pool = second\n"
			   "allow = 10.0.0.0/8,::1\n"
			   "allow = unix\n"
			   "deny = 10.1.0.0/16\n"
			   "max_sessions = 1048576\n"
			   "backlog = 1\n"
			   "unix_mode = 600\n"
			   "idle_timeout = 1d\n"
			   "half_close_timeout = 0\n"
			   "[listener two]\n"
			   "bind = 127.0.0.1:0, 127.0.0.1:0, unix:@x\n"
			   "pool = first\n"
			   "[pool first]\n"
			   "server = a 10.0.0.1:80\n"
			   "[pool second]\n"
			   "balance = least_sessions\n"
			   "connect_timeout = 250ms\n"
			   "retries = 0\n"
			   "server = a   [::1]:80 weight=256\tbackup\n"
			   "server = b back-end_1.example.:65535 max_sessions=7\n"
			   "server = c unix:/run/c.sock backup=no\n"
			   "server = d internal:hello\n";

static void assert_full_spliced(const struct config *c)
{
	static const char *const nameservers[] = {"9.9.9.9:53", "1.1.1.1:54", "[::1]:53",
						  "[::2]:53", "[::3]:55"};
	char buf[ADDR_STR_MAX];

	assert_int_equal(c->workers, 256);
	assert_int_equal(c->spread, SPREAD_HASH);
	assert_int_equal(c->engine, ENGINE_COPY);
	assert_int_equal(c->max_sessions, 1);
	assert_null(c->control);
	assert_string_equal(addr_format(&c->status, buf), "127.0.0.1:9180");
	assert_int_equal(c->status_where.line, 7);
	assert_int_equal(c->log_target, LOG_TO_STDERR);
	assert_int_equal(c->log_level, LOG_LVL_DEBUG);
	assert_null(c->access_log);
	assert_string_equal(c->user, "");
	assert_int_equal(c->shutdown_grace, 90 * NSEC_PER_SEC);
	assert_int_equal(c->drain_delay, 5 * NSEC_PER_SEC);
	assert_int_equal(c->engage_after, 0);
	assert_int_equal(c->splice_high, 128 << 10);
	assert_int_equal(c->splice_low, 64 << 10);
	assert_int_equal(c->splice_hard, 1 << 30);
	assert_int_equal(c->splice_window, 16 << 20);
	assert_int_equal(c->numa_node, 0);
	assert_int_equal(c->n_nameservers, ARRAY_SIZE(nameservers));
	for (size_t i = 0; i < ARRAY_SIZE(nameservers); i++)
		assert_string_equal(addr_format(&c->nameservers[i], buf), nameservers[i]);
}

static void assert_full_listeners(const struct config *c)
{
	const struct listener_config *l = &c->listeners[0];
	char buf[ADDR_STR_MAX];

	assert_int_equal(c->n_listeners, 2);
	assert_string_equal(l->name, "one");
	assert_int_equal(l->n_binds, 3);
	assert_string_equal(addr_format(&l->binds[0], buf), "0.0.0.0:443");
	assert_string_equal(addr_format(&l->binds[1], buf), "[::]:443");
	assert_string_equal(addr_format(&l->binds[2], buf), "unix:/run/a b.sock");
	assert_string_equal(l->pool, "second");
	assert_int_equal(l->pool_index, 1);
	assert_int_equal(l->n_allow, 3);
	assert_string_equal(cidr_format(&l->allow[0], buf), "10.0.0.0/8");
	assert_string_equal(cidr_format(&l->allow[1], buf), "::1/128");
	assert_string_equal(cidr_format(&l->allow[2], buf), "unix");
	assert_int_equal(l->n_deny, 1);
	assert_string_equal(cidr_format(&l->deny[0], buf), "10.1.0.0/16");
	assert_int_equal(l->max_sessions, 1048576);
	assert_int_equal(l->backlog, 1);
	assert_int_equal(l->unix_mode, 0600);
	assert_int_equal(l->idle_timeout, 86400 * NSEC_PER_SEC);
	assert_int_equal(l->half_close_timeout, 0);

	assert_string_equal(c->listeners[1].name, "two");
	assert_int_equal(c->listeners[1].n_binds, 3);
	assert_int_equal(c->listeners[1].pool_index, 0);
	assert_default_listener(&c->listeners[1]);
}

static void assert_full_pools(const struct config *c)
{
	const struct pool_config *p = &c->pools[1];
	char buf[ADDR_STR_MAX];

	assert_int_equal(c->n_pools, 2);
	assert_string_equal(c->pools[0].name, "first");
	assert_string_equal(p->name, "second");
	assert_int_equal(p->balance, BALANCE_LEAST_SESSIONS);
	assert_int_equal(p->connect_timeout, 250 * NSEC_PER_MSEC);
	assert_int_equal(p->retries, 0);
	assert_int_equal(p->n_servers, 4);

	assert_string_equal(p->servers[0].name, "a");
	assert_string_equal(p->servers[0].text, "[::1]:80");
	assert_int_equal(p->servers[0].endpoint.kind, ENDPOINT_ADDR);
	assert_string_equal(addr_format(&p->servers[0].endpoint.addr, buf), "[::1]:80");
	assert_int_equal(p->servers[0].weight, 256);
	assert_true(p->servers[0].backup);

	assert_int_equal(p->servers[1].endpoint.kind, ENDPOINT_NAME);
	assert_string_equal(p->servers[1].endpoint.host, "back-end_1.example.");
	assert_int_equal(p->servers[1].endpoint.port, 65535);
	assert_int_equal(p->servers[1].max_sessions, 7);
	assert_false(p->servers[1].backup);

	assert_int_equal(p->servers[2].endpoint.kind, ENDPOINT_ADDR);
	assert_int_equal(p->servers[2].endpoint.addr.sa.sa_family, AF_UNIX);
	assert_false(p->servers[2].backup);
	assert_int_equal(p->servers[3].endpoint.kind, ENDPOINT_INTERNAL);
	assert_string_equal(p->servers[3].endpoint.host, "hello");
}

static void assert_full(const struct config *c)
{
	assert_full_spliced(c);
	assert_full_listeners(c);
	assert_full_pools(c);
}

static void every_option(void **state _unused_)
{
	_cleanup_config_ struct config *c = loaded(full);

	assert_full(c);
	assert_int_equal(c->user_where.line, 11);
	assert_int_equal(c->listeners[0].where.line, 22);
	assert_int_equal(c->listeners[0].pool_where.line, 26);
	assert_int_equal(c->pools[1].servers[3].where.line, 47);
}

static void named_user(void **state _unused_)
{
	_cleanup_config_ struct config *c = loaded("[spliced]\nuser = root\n" LISTEN POOL);

	assert_string_equal(c->user, "root");
	assert_int_equal(c->user_where.line, 2);
}

/* ---- what is written back --------------------------------------------------------------- */

static void dump_of_everything(void **state _unused_)
{
	_cleanup_config_ struct config *c = loaded(full), *again = NULL;
	_cleanup_free_ char *text = dumped(c), *text_again = NULL;

	again = loaded(text);
	assert_full(again);
	text_again = dumped(again);
	assert_string_equal(text, text_again);
}

static void dump_of_defaults(void **state _unused_)
{
	_cleanup_config_ struct config *c = loaded(LISTEN POOL), *again = NULL;
	_cleanup_free_ char *text = dumped(c), *text_again = NULL;

	for (const struct option *o = options; o < options + _OPTION_ID_MAX; o++)
		assert_true(strstr(text, o->key) || o->section >= SECTION_INTERCEPT);
	again = loaded(text);
	assert_default_spliced(again);
	assert_default_listener(&again->listeners[0]);
	text_again = dumped(again);
	assert_string_equal(text, text_again);
}

/* More networks than a line may hold. */
static void dump_of_a_long_list(void **state _unused_)
{
	_cleanup_config_ struct config *c = NULL, *again = NULL;
	_cleanup_free_ char *text = NULL, *dump = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	fprintf(f, POOL LISTEN);
	for (int i = 0; i < 2000; i++)
		fprintf(f, "allow = 10.%d.%d.0/24\n", i / 250, i % 250);
	(void)fclose(f);

	c = loaded(text);
	dump = dumped(c);
	again = loaded(dump);
	assert_int_equal(again->listeners[0].n_allow, 2000);
	assert_memory_equal(c->listeners[0].allow, again->listeners[0].allow,
			    2000 * sizeof(struct cidr));
}

static char *sample(void)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	config_print_sample(f);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void sample_is_valid(void **state _unused_)
{
	_cleanup_free_ char *text = sample();
	_cleanup_config_ struct config *c = loaded(text);

	assert_default_spliced(c);
	assert_int_equal(c->n_listeners, 1);
	assert_int_equal(c->n_pools, 1);
	assert_int_equal(c->pools[0].servers[0].endpoint.kind, ENDPOINT_INTERNAL);
	for (char *line = text; *line; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 100);
}

/* Every `#key = value` of the sample is a line that can be used as it is. */
static void sample_shows_the_defaults(void **state _unused_)
{
	_cleanup_config_ struct config *c = NULL;
	_cleanup_free_ char *text = sample();
	size_t shown = 0, expected = 0;

	for (char *line = text; *line; line += strcspn(line, "\n") + 1) {
		if (line[0] != '#' || line[1] == ' ')
			continue;
		shown++;
		if (strncmp(line, "#user ", 6) != 0 || user_exists("spliced"))
			line[0] = ' ';
	}
	for (const struct option *o = options; o < options + _OPTION_ID_MAX; o++)
		expected +=
		    (!o->example || sections[o->section].optional) && o->section != SECTION_SERVER;
	for (enum section s = SECTION_SPLICED; s < SECTION_SERVER; s++)
		expected += sections[s].optional; /* its heading */
	assert_int_equal(shown, expected);

	c = loaded(text);
	c->user_where.line = 0;
	assert_default_spliced(c);
	assert_default_listener(&c->listeners[0]);
}

/* config_keep() knows nothing of these sections. */
static void sections_take_effect_at_a_reload(void **state _unused_)
{
	for (const struct option *o = options; o < options + _OPTION_ID_MAX; o++)
		if (o->section != SECTION_SPLICED && o->section != SECTION_INTERCEPT)
			assert_int_equal(o->reload, RELOAD);
}

static void man_names_every_option(void **state _unused_)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	config_print_man(f);
	assert_int_equal(fclose(f), 0);
	for (const struct option *o = options; o < options + _OPTION_ID_MAX; o++) {
		char heading[64];

		(void)snprintf(heading, sizeof(heading), "\n.TP\n\\fB%s\\fR\n", o->key);
		assert_non_null(strstr(text, heading));
	}
	/* No line of text may be taken for a request. */
	for (char *line = text; *line; line += strcspn(line, "\n") + 1)
		if (line[0] == '.')
			assert_true(
			    strncmp(line, ".SH ", 4) == 0 || strncmp(line, ".SS ", 4) == 0 ||
			    strncmp(line, ".TP\n", 4) == 0 || strncmp(line, ".br\n", 4) == 0 ||
			    strncmp(line, ".RS\n", 4) == 0 || strncmp(line, ".RE\n", 4) == 0);
}

static void table_is_complete(void **state _unused_)
{
	for (const struct option *o = options; o < options + _OPTION_ID_MAX; o++) {
		assert_non_null(o->key);
		assert_non_null(o->help);
		assert_true(o->def || o->example);
		assert_true(o->max > 0 || o->n_choices || o->count || o->type == OPTION_BOOL ||
			    o->type == OPTION_PATH || o->type == OPTION_FOLDER ||
			    o->type == OPTION_USER || o->type == OPTION_NAME ||
			    o->type == OPTION_GROUP || o->type == OPTION_LOG ||
			    o->type == OPTION_TOKEN || o->type == OPTION_FIELD ||
			    o->type == OPTION_TARGET || o->type == OPTION_AUTHORITY ||
			    o->type == OPTION_STATUSES || o->type == OPTION_KEEPALIVE ||
			    o->type == OPTION_ADDRESS || o->type == OPTION_LISTENER);
		assert_ptr_equal(option_find(o->section, o->key), o);
		/* -t warns of it where there is no HTTP. */
		if (o->section == SECTION_LISTENER && strncmp(o->help, "http: ", 6) == 0)
			assert_int_equal(option_only(o), ONLY_HTTP);
	}
}

/* ---- bad values ------------------------------------------------------------------------- */

static void bad_bool(void **state _unused_)
{
	spliced_error("log_empty = maybe", "t.conf:2: log_empty: \"maybe\" is neither yes nor no; "
					   "allowed: yes or no\n");
	spliced_error("log_empty = true", "t.conf:2: log_empty: \"true\" is neither");
	spliced_error("log_empty = Yes", "t.conf:2: log_empty: \"Yes\" is neither");
	spliced_error("log_empty =", "t.conf:2: log_empty: needs a value; allowed: yes or no\n");
}

static void bad_log(void **state _unused_)
{
	spliced_error("access_log = maybe", "t.conf:2: access_log: neither a known word nor an "
					    "absolute path: \"maybe\"; allowed: yes, no, stderr, "
					    "stdout, journal, /PATH, or syslog:ADDRESS");
	spliced_error("access_log = Yes", "t.conf:2: access_log: neither a known word");
	spliced_error("access_log = /var/log/", "t.conf:2: access_log: not the path of a file");
	spliced_error("access_log =", "t.conf:2: access_log: needs a value");
	spliced_error("access_log = syslog:", "t.conf:2: access_log: syslog: has no address");
	spliced_error("access_log = syslog:host:514", "t.conf:2: access_log: ");
	spliced_error("access_log = syslog:127.0.0.1:0", "t.conf:2: access_log: port is not");
	spliced_error("access_log = syslog:/dev/log,facility=loud",
		      "t.conf:2: access_log: unknown facility \"loud\"");
	spliced_error("access_log = syslog:/dev/log,severity=loud",
		      "t.conf:2: access_log: unknown severity \"loud\"");
	spliced_error("access_log = syslog:/dev/log,tag=a b", "t.conf:2: access_log: a tag is");
	spliced_error("access_log = syslog:/dev/log,x", "t.conf:2: access_log: unknown option");
}

static void bad_uint(void **state _unused_)
{
	spliced_error("workers = many", "t.conf:2: workers: \"many\" is not a whole number; "
					"allowed: auto, or 1 to 256 threads\n");
	spliced_error("workers = 0", "t.conf:2: workers: \"0\" is out of range; allowed: auto, or "
				     "1 to 256 threads\n");
	spliced_error("workers = 257", "t.conf:2: workers: \"257\" is out of range");
	spliced_error("workers = 99999999999999999999999",
		      "t.conf:2: workers: \"99999999999999999");
	spliced_error("workers = 4294967297", "t.conf:2: workers: \"4294967297\" is out of range");
	spliced_error("workers = -1", "t.conf:2: workers: \"-1\" is not a whole number");
	spliced_error("workers = +1", "t.conf:2: workers: \"+1\" is not a whole number");
	spliced_error("workers = 1.5", "t.conf:2: workers: \"1.5\" is not a whole number");
	spliced_error("workers = 0x10", "t.conf:2: workers: \"0x10\" is not a whole number");
	spliced_error("workers = 4 # four",
		      "t.conf:2: workers: \"4 # four\" is not a whole number");
	spliced_error("workers = any", "t.conf:2: workers: \"any\" is not a whole number");
	spliced_error("workers =", "t.conf:2: workers: needs a value");
	spliced_error("max_sessions = 1048577", "t.conf:2: max_sessions: \"1048577\" is out of");
	spliced_error("max_sessions = 0", "t.conf:2: max_sessions: \"0\" is out of range");
	spliced_error("numa_node = 1024", "t.conf:2: numa_node: \"1024\" is out of range; allowed: "
					  "any, or 0 to 1023\n");
	spliced_error("numa_node = -1", "t.conf:2: numa_node: \"-1\" is not a whole number");
	listener_error("backlog = 0", "t.conf:5: backlog: \"0\" is out of range");
	listener_error("backlog = 65536", "t.conf:5: backlog: \"65536\" is out of range");
	listener_error("max_sessions = 1048577", "t.conf:5: max_sessions: \"1048577\" is out");
	pool_error("retries = 17", "t.conf:3: retries: \"17\" is out of range; allowed: 0 to 16 "
				   "attempts\n");
}

static void bad_duration(void **state _unused_)
{
	spliced_error(
	    "shutdown_grace = 30",
	    "t.conf:2: shutdown_grace: \"30\" has no unit; allowed: 0 to 1d, written with "
	    "a unit like 250ms, 5s, 10m, 1h or 1d\n");
	spliced_error("shutdown_grace = 1.5s", "t.conf:2: shutdown_grace: \"1.5s\" is not a whole");
	spliced_error("shutdown_grace = s", "t.conf:2: shutdown_grace: \"s\" is not a whole number "
					    "with a unit");
	spliced_error("shutdown_grace = -5s", "t.conf:2: shutdown_grace: \"-5s\" is not a whole");
	spliced_error("shutdown_grace = 5 s", "t.conf:2: shutdown_grace: \"5 s\" is not a whole");
	spliced_error("shutdown_grace = 5S", "t.conf:2: shutdown_grace: \"5S\" is not a whole");
	spliced_error("shutdown_grace = 1m30s", "t.conf:2: shutdown_grace: \"1m30s\" is not a");
	spliced_error("shutdown_grace = 25h", "t.conf:2: shutdown_grace: \"25h\" is out of range");
	spliced_error("shutdown_grace = 18446744073709551615d",
		      "t.conf:2: shutdown_grace: \"18446744073709551615d\" is out of range");
	spliced_error("shutdown_grace = 213503982335d",
		      "t.conf:2: shutdown_grace: \"213503982335d\" is out of range");
	spliced_error("shutdown_grace =", "t.conf:2: shutdown_grace: needs a value");
	spliced_error("engage_after = 10001ms", "t.conf:2: engage_after: \"10001ms\" is out of");
	listener_error("idle_timeout = 31d", "t.conf:5: idle_timeout: \"31d\" is out of range");
	listener_error("half_close_timeout = 1", "t.conf:5: half_close_timeout: \"1\" has no unit");
	pool_error("connect_timeout = 0", "t.conf:3: connect_timeout: \"0");
	pool_error("connect_timeout = 601s", "t.conf:3: connect_timeout: \"601s\" is out of range; "
					     "allowed: 1ms to 10m,");
}

static void bad_size(void **state _unused_)
{
	spliced_error("splice_window = 2m", "t.conf:2: splice_window: \"2m\" is not a whole number "
					    "with a unit; allowed: 64K to 16M bytes, written like "
					    "65536, 64K, 2M or 1G\n");
	spliced_error("splice_window = 2MB", "t.conf:2: splice_window: \"2MB\" is not a whole");
	spliced_error("splice_window = M", "t.conf:2: splice_window: \"M\" is not a whole number");
	spliced_error("splice_window = 17M", "t.conf:2: splice_window: \"17M\" is out of range");
	spliced_error("splice_window = 65535",
		      "t.conf:2: splice_window: \"65535\" is out of range");
	spliced_error("splice_window = 17179869184G",
		      "t.conf:2: splice_window: \"17179869184G\" is "
		      "out of range");
	spliced_error("splice_hard = 2G", "t.conf:2: splice_hard: \"2G\" is out of range");
	spliced_error("splice_low = 0", "t.conf:2: splice_low: \"0\" is out of range");
	spliced_error("splice_high = 63K", "t.conf:2: splice_high: \"63K\" is out of range");
}

static void bad_mode(void **state _unused_)
{
	listener_error("unix_mode = 0888", "t.conf:5: unix_mode: \"0888\" is not an octal number; "
					   "allowed: octal, 0000 to 0777\n");
	listener_error("unix_mode = 1777", "t.conf:5: unix_mode: \"1777\" is out of range");
	listener_error("unix_mode = rw", "t.conf:5: unix_mode: \"rw\" is not an octal number");
	listener_error("unix_mode =", "t.conf:5: unix_mode: needs a value");
}

static void bad_enum(void **state _unused_)
{
	spliced_error("engine = fast", "t.conf:2: engine: \"fast\" is not one of the choices; "
				       "allowed: auto, kernel or copy\n");
	spliced_error("engine = Copy", "t.conf:2: engine: \"Copy\" is not one of the choices");
	spliced_error("engine =", "t.conf:2: engine: needs a value");
	spliced_error("log_level = warn",
		      "t.conf:2: log_level: \"warn\" is not one of the choices; "
		      "allowed: error, warning, info or debug\n");
	spliced_error("log_target = syslog", "t.conf:2: log_target: \"syslog\" is not one of the "
					     "choices; allowed: auto, journal or stderr\n");
	listener_error("protocol = ftp", "t.conf:5: protocol: \"ftp\" is not one of the choices; "
					 "allowed: tcp, tls, http or auto\n");
	pool_error("balance = random", "t.conf:3: balance: \"random\" is not one of the choices; "
				       "allowed: round_robin or least_sessions\n");
}

static void bad_strings(void **state _unused_)
{
	char line[160] = "control = /";

	spliced_error("control = run/x",
		      "t.conf:2: control: \"run/x\" is not an absolute path; "
		      "allowed: none, or an absolute path of at most 107 bytes\n");
	spliced_error("control =", "t.conf:2: control: needs a value");
	memset(line + 11, 'x', 107);
	spliced_error(line, "t.conf:2: control: \"/xxx");
	spliced_error("user = no such", "t.conf:2: user: \"no such\" is not a user name; allowed: "
					"the name of a user, or empty\n");
	spliced_error("user = nosuchuser", "t.conf:2: user: there is no user \"nosuchuser\"");
	assert_error(
	    "[listener l]\nbind = 1.2.3.4:5\npool = a b\n" POOL,
	    "t.conf:3: pool: \"a b\" is not a valid name; allowed: the NAME of a [pool NAME] "
	    "section, or empty\n");
	assert_error(
	    "[listener l]\nbind = 1.2.3.4:5\npool =\n" POOL,
	    "t.conf:1: [listener l] has neither pool nor route; needed: pool = POOL, or route = "
	    "MATCHERS -> POOL\n");
}

static void bad_lists(void **state _unused_)
{
	listener_error("bind = 1.2.3.4", "t.conf:5: bind: \"1.2.3.4\": port is missing; allowed: "
					 "IPV4:PORT, [IPV6]:PORT, unix:/PATH, unix:@NAME, "
					 "systemd:NAME or steer:[NETWORK:]PORTS [except "
					 "[NETWORK:]PORTS...]\n");
	listener_error("bind = localhost:80", "t.conf:5: bind: \"localhost:80\": not a valid IPv4");
	listener_error("bind = 1.2.3.4:1, ::1:80", "t.conf:5: bind: \"::1:80\": an IPv6 address "
						   "with a port needs brackets");
	listener_error("bind = systemd:", "t.conf:5: bind: \"systemd:\": systemd: needs the "
					  "FileDescriptorName= of a socket; allowed:");
	listener_error("bind =", "t.conf:5: bind: needs a value");
	listener_error("bind = 1.2.3.4:1,", "t.conf:5: bind: a value is missing beside a comma");
	listener_error("allow = 10.0.0.0/8,,::1", "t.conf:5: allow: a value is missing beside a");
	listener_error("allow = 10.0.0.1/8", "t.conf:5: allow: \"10.0.0.1/8\": bits are set beyond "
					     "the prefix length; allowed: networks like 10.0.0.0/8 "
					     "or fd00::/8, addresses, or unix, or empty\n");
	listener_error("deny = all", "t.conf:5: deny: \"all\": not an IPv4 or IPv6 network");
	spliced_error("status = here", "t.conf:2: status: \"here\": port is missing");
	spliced_error("status = localhost:1",
		      "t.conf:2: status: \"localhost:1\": not a valid IPv4 "
		      "address; allowed: none, or IPV4:PORT, [IPV6]:PORT or "
		      "PORT");
	spliced_error("status = 65536", "t.conf:2: status: \"65536\": port is not");
	spliced_error("status = 127.0.0.1", "t.conf:2: status: \"127.0.0.1\": port is missing");
	spliced_error("status = unix:/x", "t.conf:2: status: \"unix:/x\" is not an IP address");
	spliced_error("status =", "t.conf:2: status: needs a value");
	spliced_error("nameserver = dns.example", "t.conf:2: nameserver: \"dns.example\": not a");
	spliced_error("nameserver = unix:/x", "t.conf:2: nameserver: \"unix:/x\": not an IP");
	spliced_error("nameserver = 1.1.1.1:0", "t.conf:2: nameserver: \"1.1.1.1:0\": port is not "
						"1-65535; allowed: IPV4, IPV4:PORT, IPV6 or "
						"[IPV6]:PORT, or empty\n");
	spliced_error("nameserver = 1.1.1.1:x", "t.conf:2: nameserver: \"1.1.1.1:x\": port is");
}

static void bad_health(void **state _unused_)
{
	pool_error("health_check = ping", "t.conf:3: health_check: \"ping\" is not one of the "
					  "choices; allowed: none, tcp, http or tls\n");
	pool_error("all_down = wait", "t.conf:3: all_down: \"wait\" is not one of the choices; "
				      "allowed: try or refuse\n");
	pool_error("slow_start = 30", "t.conf:3: slow_start: \"30\" has no unit");
	pool_error("health_path = healthz",
		   "t.conf:3: health_path: \"healthz\" does not start with /; allowed: a path that "
		   "starts with /, of at most 1024 printable bytes without blanks\n");
	pool_error("health_path = /a b", "t.conf:3: health_path: \"/a b\" has a byte that no path");
	pool_error("health_path = /a#b", "t.conf:3: health_path: \"/a#b\" has a byte that no path");
	pool_error("health_path = /\xc3\xa4", "t.conf:3: health_path: \"/");
	pool_error("health_path =", "t.conf:3: health_path: needs a value");
	pool_error("health_host = a b",
		   "t.conf:3: health_host: \"a b\" is not a host; allowed: HOST "
		   "or HOST:PORT, or empty\n");
	pool_error("health_host = a:x", "t.conf:3: health_host: \"a:x\" is not a host");
	pool_error("health_host = a:65536", "t.conf:3: health_host: \"a:65536\" is not a host");
	pool_error("health_host = unix:/a", "t.conf:3: health_host: \"unix:/a\" is not a host");
	pool_error("health_host = 1.2.3.256", "t.conf:3: health_host: \"1.2.3.256\" is not a host");
	pool_error(
	    "health_status = ok",
	    "t.conf:3: health_status: \"ok\" is not a status from 100 to 599; allowed: codes "
	    "and ranges from 100 to 599, like 200-299, 404\n");
	pool_error("health_status = 200-", "t.conf:3: health_status: \"200-\" is not a range of");
	pool_error("health_status = 200-600",
		   "t.conf:3: health_status: \"200-600\" is not a range");
	pool_error("health_status = 299-200", "t.conf:3: health_status: \"299-200\" ends before");
	pool_error("health_status = 099", "t.conf:3: health_status: \"099\" is not a status");
	pool_error("health_status = 2000", "t.conf:3: health_status: \"2000\" is not a status");
	pool_error("health_status = 200x", "t.conf:3: health_status: \"200x\" is not a status or");
	pool_error("health_status = 200,", "t.conf:3: health_status: \"\" is not a status");
	pool_error("health_interval = 9ms", "t.conf:3: health_interval: \"9ms\" is out of range");
	pool_error("health_timeout = 0", "t.conf:3: health_timeout: \"0");
	pool_error("health_rise = 0", "t.conf:3: health_rise: \"0\" is out of range; allowed: 1 to "
				      "1000 checks\n");
	pool_error("health_fall = many", "t.conf:3: health_fall: \"many\" is not a whole number");
}

/* What checks are, as it is read and written back. */
static void good_health(void **state _unused_)
{
	static const char *const hosts[] = {
	    "shop.example", "shop.example:8080", "10.0.0.1", "10.0.0.1:80", "[::1]", "[::1]:80"};
	struct config *c = loaded(LISTEN POOL "health_check = http\n"
					      "health_status = 404 ,200-204,203-206, 599\n"
					      "health_path = /a?b=%20c\n"
					      "all_down = refuse\nslow_start = 1m\n");
	_cleanup_free_ char *text = dumped(c);

	assert_non_null(strstr(text, "health_status = 200-206, 404, 599\n"));
	assert_non_null(strstr(text, "health_path = /a?b=%20c\n"));
	assert_true(statuses_has(&c->pools[0].health_status, 206));
	assert_false(statuses_has(&c->pools[0].health_status, 207));
	assert_false(statuses_has(&c->pools[0].health_status, 99));
	assert_false(statuses_has(&c->pools[0].health_status, 600));
	assert_int_equal(c->pools[0].slow_start, 60 * NSEC_PER_SEC);
	config_free(c);
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		char file[512];

		(void)snprintf(file, sizeof(file),
			       LISTEN POOL "health_check = tls\n"
					   "health_host = %s\n",
			       hosts[i]);
		c = loaded(file);
		assert_string_equal(c->pools[0].health_host, hosts[i]);
		config_free(c);
	}
}

static void warnings_of_health(void **state _unused_)
{
	static const struct {
		const char *lines, *warning;
	} cases[] = {
	    {"health_path = /x",
	     "health_path does nothing in [pool p]: it needs health_check = http"},
	    {"health_check = tls\nhealth_status = 200",
	     "health_status does nothing in [pool p]: it needs health_check = http"},
	    {"health_check = tcp\nhealth_host = x",
	     "health_host does nothing in [pool p]: it needs health_check = http or tls"},
	    {"health_interval = 1s",
	     "health_interval does nothing in [pool p]: it needs health_check = tcp, http or tls"},
	    {"health_check = tls\nhealth_host = x\nhealth_rise = 1", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char file[512];
		struct config *c;
		bool found = false;

		(void)snprintf(file, sizeof(file), LISTEN POOL "%s\n", cases[i].lines);
		c = loaded(file);
		for (size_t j = 0; j < c->n_warnings; j++) {
			const char *text = c->warnings[j].text;

			/* The others are of this host's users. */
			if (strstr(text, "does nothing")) {
				assert_non_null(cases[i].warning);
				assert_string_equal(text, cases[i].warning);
				found = true;
			}
		}
		assert_int_equal(found, cases[i].warning != NULL);
		config_free(c);
	}
}

static void bad_servers(void **state _unused_)
{
	pool_error("server = b", "t.conf:3: server: the server's address is missing; allowed: NAME "
				 "ADDRESS [weight=1-256] [max_sessions=0-1048576] [backup], where "
				 "ADDRESS is IPV4:PORT, ");
	pool_error("server =", "t.conf:3: server: needs a value");
	pool_error("server = b/c h:1", "t.conf:3: server: \"b/c\" is not a valid server name");
	pool_error("server = b 1.2.3.4", "t.conf:3: server: \"1.2.3.4\": port is missing");
	pool_error("server = b host", "t.conf:3: server: \"host\": port is missing");
	pool_error("server = b 1.2.3.4:0", "t.conf:3: server: \"1.2.3.4:0\": port is not 1-65535");
	pool_error("server = b [::1]:0", "t.conf:3: server: \"[::1]:0\": port is not 1-65535");
	pool_error("server = b [::x]:1", "t.conf:3: server: \"[::x]:1\": not a valid IPv6 address");
	pool_error("server = b ::1:80",
		   "t.conf:3: server: \"::1:80\": an IPv6 address with a port");
	pool_error("server = b 1.2.3.256:1", "t.conf:3: server: \"1.2.3.256:1\": not a valid IPv4");
	pool_error("server = b host:0", "t.conf:3: server: \"host:0\": port is not 1-65535");
	pool_error("server = b host:65536", "t.conf:3: server: \"host:65536\": port is not 1-");
	pool_error("server = b host:99999999999",
		   "t.conf:3: server: \"host:99999999999\": port is");
	pool_error("server = b host:http", "t.conf:3: server: \"host:http\": port is not 1-65535");
	pool_error("server = b host:", "t.conf:3: server: \"host:\": port is not 1-65535");
	pool_error("server = b -host:1", "t.conf:3: server: \"-host:1\": not a valid host name");
	pool_error("server = b ho..st:1", "t.conf:3: server: \"ho..st:1\": not a valid host name");
	pool_error("server = b ho/st:1", "t.conf:3: server: \"ho/st:1\": not a valid host name");
	pool_error("server = b :1", "t.conf:3: server: \":1\": not a valid host name");
	pool_error("server = b unix:x",
		   "t.conf:3: server: \"unix:x\": unix: needs an absolute path");
	pool_error("server = b internal:x", "t.conf:3: server: \"internal:x\": the only internal "
					    "server is internal:hello");
	pool_error("server = b h:1 wieght=2", "t.conf:3: server: \"wieght\" is unknown, did you "
					      "mean weight?");
	pool_error("server = b h:1 check", "t.conf:3: server: \"check\" is unknown; allowed");
	pool_error("server = b h:1 weight", "t.conf:3: server: weight: needs a value");
	pool_error("server = b h:1 weight=", "t.conf:3: server: weight: needs a value");
	pool_error("server = b h:1 weight=0", "t.conf:3: server: weight: \"0\" is out of range");
	pool_error("server = b h:1 weight=257",
		   "t.conf:3: server: weight: \"257\" is out of range");
	pool_error("server = b h:1 max_sessions=x", "t.conf:3: server: max_sessions: \"x\" is not");
	pool_error("server = b h:1 weight=1 weight=1", "t.conf:3: server: weight is given twice");
	pool_error("server = b h:1 backup=x", "t.conf:3: server: backup: \"x\" is neither yes");
}

static void host_name_lengths(void **state _unused_)
{
	char label[65] = "", line[400];
	struct config *c;

	memset(label, 'a', 64);
	(void)snprintf(line, sizeof(line), "server = b %s:1", label);
	pool_error(line, "t.conf:3: server: \"aaaa");
	label[63] = '\0';
	(void)snprintf(line, sizeof(line), "server = b %s.%s.%s.%s:1", label, label, label, label);
	pool_error(line, "t.conf:3: server: \"aaaa");

	/* 63 + 1 + 63 + 1 + 63 + 1 + 61 = 253 */
	(void)snprintf(line, sizeof(line), LISTEN "[pool p]\nserver = b %s.%s.%s.%.61s:1\n", label,
		       label, label, label);
	c = loaded(line);
	assert_int_equal(strlen(c->pools[0].servers[0].endpoint.host), 253);
	config_free(c);
}

/* ---- keys and sections ------------------------------------------------------------------ */

static void unknown_keys(void **state _unused_)
{
	static const char *const later[] = {"session_rate", "remote_bypass"};

	pool_error("balanse = x",
		   "t.conf:3: unknown key \"balanse\" in [pool NAME], did you mean "
		   "balance?; allowed: balance, server, connect_timeout, retries, "
		   "max_fails, fail_timeout, all_down, slow_start, health_check, health_path, "
		   "health_host, health_status, health_interval, health_timeout, health_rise, "
		   "health_fall, "
		   "source, send_proxy, tcp_keepalive, keepalive, keepalive_timeout, reuse\n");
	pool_error("backlog = 1", "t.conf:3: unknown key \"backlog\" in [pool NAME], it belongs in "
				  "[listener NAME]; allowed: ");
	pool_error("x = 1", "t.conf:3: unknown key \"x\" in [pool NAME]; allowed: balance, ");
	pool_error("Retries = 1", "t.conf:3: unknown key \"Retries\" in [pool NAME], did you mean "
				  "retries?");
	pool_error("server a 1.2.3.4:80", "t.conf:3: unknown key \"server a 1.2.3.4\" in [pool "
					  "NAME], is its = missing?");
	/* What follows an address is no key of a section. */
	pool_error("weight = 1", "t.conf:3: unknown key \"weight\" in [pool NAME]; allowed: ");
	pool_error("= 1", "t.conf:3: no key before the =; allowed: KEY = VALUE\n");
	for (size_t i = 0; i < ARRAY_SIZE(later); i++) {
		char line[64];

		(void)snprintf(line, sizeof(line), "%s = x", later[i]);
		spliced_error(line, "t.conf:2: unknown key \"");
		listener_error(line, "t.conf:5: unknown key \"");
		pool_error(line, "t.conf:3: unknown key \"");
	}
}

static void lines_that_are_no_key(void **state _unused_)
{
	spliced_error("workers", "t.conf:2: not a line of the form KEY = VALUE; allowed: ");
	/* An indented line is a line like any other, not more of the last value. */
	listener_error("  10.0.0.0/8", "t.conf:5: not a line of the form KEY = VALUE; allowed: ");
	assert_error(LISTEN POOL "the end", "t.conf:6: not a line of the form KEY = VALUE; ");
	assert_error("workers = 1\n" LISTEN POOL,
		     "t.conf:1: \"workers\" is outside any section; allowed: a section first, ");
}

static void repeated_keys(void **state _unused_)
{
	spliced_error("workers = 1\nworkers = 1",
		      "t.conf:3: workers is already on line 2; allowed: "
		      "once in a section\n");
	listener_error("pool = p", "t.conf:5: pool is already on line 4; allowed: once");
}

static void bad_sections(void **state _unused_)
{
	char text[256] = LISTEN POOL "[listener ";

	assert_error(LISTEN POOL "[server x]\nq = 1\n", "t.conf:6: unknown section [server x]; "
							"allowed: [spliced], [listener NAME], "
							"[pool NAME] or [intercept NAME]\n");
	assert_error(LISTEN POOL "[Spliced]\n", "t.conf:6: unknown section [Spliced]; allowed");
	assert_error(LISTEN POOL "[]\n", "t.conf:6: unknown section []; allowed");
	assert_error(LISTEN POOL "[pool]\n",
		     "t.conf:6: [pool] has no name; allowed: [pool NAME]\n");
	assert_error(LISTEN POOL "[spliced x]\n", "t.conf:6: [spliced] takes no name; allowed: ");
	assert_error(LISTEN POOL "[pool a b]\n",
		     "t.conf:6: \"a b\" is not a valid name; allowed: 1 "
		     "to 63 letters, digits, '_', '.' or '-'\n");
	assert_error(LISTEN POOL "[pool \xc3\xa9]\n", "t.conf:6: \"\xc3\xa9\" is not a valid name");
	assert_error(LISTEN POOL "[pool x\nq = 1",
		     "t.conf:6: section without a closing ]; allowed");
	assert_error(LISTEN POOL "[pool x] y\n", "t.conf:6: text after the section's ]; allowed");
	assert_error(LISTEN POOL "[spliced]\n[spliced]\n", "t.conf:7: [spliced] is already on line "
							   "6; allowed: one section\n");
	memset(text + strlen(text), 'n', 64);
	strcat(text, "]\n");
	assert_error(text, "t.conf:6: \"nnnn");
}

/* inih alone would cut the name after 49 bytes with its word, and take both for one. */
static void long_section_names(void **state _unused_)
{
	static const char name[] = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn";
	char text[512];
	struct config *c;

	(void)snprintf(text, sizeof(text),
		       "[listener %s1]\nbind = 127.0.0.1:0\npool = p\n"
		       "[listener %s2]\nbind = 127.0.0.1:0\npool = p\n" POOL,
		       name, name);
	c = loaded(text);
	assert_int_equal(c->n_listeners, 2);
	assert_int_equal(strlen(c->listeners[1].name), 63);
	assert_string_not_equal(c->listeners[0].name, c->listeners[1].name);
	config_free(c);
}

static void missing_options(void **state _unused_)
{
	assert_errors(
	    "[listener l]\n[pool p]\n",
	    "t.conf:1: [listener l] has no bind; needed: bind = IPV4:PORT, [IPV6]:PORT, "
	    "unix:/PATH, unix:@NAME, systemd:NAME or steer:[NETWORK:]PORTS [except "
	    "[NETWORK:]PORTS...]\n"
	    "t.conf:1: [listener l] has neither pool nor route; needed: pool = POOL, or route = "
	    "MATCHERS -> POOL\n"
	    "t.conf:2: [pool p] has no server; needed: server = NAME ADDRESS "
	    "[weight=1-256] [max_sessions=0-1048576] [backup], where ADDRESS is IPV4:PORT, "
	    "[IPV6]:PORT, HOST:PORT, unix:/PATH, unix:@NAME, internal:hello or original:\n");
	assert_error(POOL,
		     "t.conf:2: no listener; allowed: at least one [listener NAME] section\n");
	assert_error("", "t.conf:1: no listener; allowed: ");
}

/* ---- what only the whole shows ---------------------------------------------------------- */

static void names_used_twice(void **state _unused_)
{
	assert_error(LISTEN "[listener l]\nbind = 127.0.0.1:81\npool = p\n" POOL,
		     "t.conf:4: listener l is already on line 1; allowed: each name once\n");
	assert_error(LISTEN POOL POOL,
		     "t.conf:6: pool p is already on line 4; allowed: each name once\n");
	pool_error("server = a 10.0.0.2:80", "t.conf:3: server a is already on line 2; allowed: ");
}

static void unknown_pools(void **state _unused_)
{
	assert_error("[pool q]\nserver = a h:1\n" POOL "[listener l]\nbind = 1.2.3.4:1\npool = r\n",
		     "t.conf:7: pool: there is no [pool r]; allowed: q, p\n");
	assert_error(LISTEN,
		     "t.conf:3: pool: there is no [pool p]; allowed: a [pool p] section has "
		     "to be written\n");
}

static void binds_used_twice(void **state _unused_)
{
	listener_error("bind = 127.0.0.1:80", "t.conf:5: bind: 127.0.0.1:80 is already bound by "
					      "listener l on line 3; allowed: each address once\n");
	listener_error("bind = unix:/r/a\nbind = unix:/r/.//a",
		       "t.conf:6: bind: unix:/r/a is already bound by listener");
	listener_error("bind = unix:/a\nbind = unix:@a, unix:/a", "t.conf:6: bind: unix:/a is "
								  "already bound by listener l on "
								  "line 5");
	assert_error(LISTEN "[listener m]\nbind = [::1]:80\nbind = 127.0.0.1:81, 127.0.0.1:80\n"
			    "pool = p\n" POOL,
		     "t.conf:6: bind: 127.0.0.1:80 is already bound by listener l on line 2");
}

static void splice_limits(void **state _unused_)
{
	spliced_error("splice_low = 1M", "t.conf:2: splice_low (1M) is not less than splice_high "
					 "(1M); allowed: splice_low < splice_high < splice_hard\n");
	spliced_error("splice_hard = 1M\n", "t.conf:2: splice_high (1M) is not less than "
					    "splice_hard (1M)");
	spliced_error("splice_high = 16M\nsplice_low = 8M\nsplice_hard = 9M",
		      "t.conf:4: splice_high (16M) is not less than splice_hard (9M)");
	/* A value that is wrong by itself is blamed once. */
	spliced_error("splice_low = 4M\nsplice_high = 4m", "t.conf:3: splice_high: \"4m\" is not");
}

/* All of it in one go. */
static void errors_are_collected(void **state _unused_)
{
	assert_errors(
	    "[spliced]\nworkers = x\nengine = y\n[nope]\nz = 1\n" LISTEN
	    "unix_mode = 9\n[pool p]\nretries = 17\n",
	    "t.conf:2: workers: \"x\" is not a whole number; allowed: auto, or 1 to 256 "
	    "threads\n"
	    "t.conf:3: engine: \"y\" is not one of the choices; allowed: auto, kernel or "
	    "copy\n"
	    "t.conf:4: unknown section [nope]; allowed: [spliced], [listener NAME], "
	    "[pool NAME] or [intercept NAME]\n"
	    "t.conf:9: unix_mode: \"9\" is not an octal number; allowed: octal, 0000 to "
	    "0777\n"
	    "t.conf:11: retries: \"17\" is out of range; allowed: 0 to 16 attempts\n"
	    "t.conf:10: [pool p] has no server; needed: server = NAME ADDRESS "
	    "[weight=1-256] [max_sessions=0-1048576] [backup], where ADDRESS is IPV4:PORT, "
	    "[IPV6]:PORT, HOST:PORT, unix:/PATH, unix:@NAME, internal:hello or original:\n");
}

static void errors_are_limited(void **state _unused_)
{
	_cleanup_free_ char *messages = NULL;
	char text[4000] = "";
	struct config *c = NULL;
	size_t lines = 0;

	memset(text, 'x', sizeof(text));
	for (size_t i = 1; i < sizeof(text); i += 2)
		text[i] = '\n';
	write_file(text, sizeof(text));
	assert_int_equal(load_path(CONF, &c, &messages), -EINVAL);
	for (char *p = messages; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 101);
	assert_non_null(strstr(messages, "t.conf:100: not a line"));
	assert_non_null(strstr(messages, "too many errors"));
}

/* ---- bytes ------------------------------------------------------------------------------ */

static void line_ends(void **state _unused_)
{
	struct config *c;

	c = loaded("[spliced]\r\nworkers = 7\r\nuser =\r\n\r\n[listener l]\r\nbind = 1.2.3.4:1\r\n"
		   "pool = p\r\n[pool p]\r\nserver = a 10.0.0.1:80 backup\r\n");
	assert_int_equal(c->workers, 7);
	assert_string_equal(c->user, "");
	assert_string_equal(c->listeners[0].pool, "p");
	assert_true(c->pools[0].servers[0].backup);
	config_free(c);

	c = loaded(LISTEN POOL "retries = 7");
	assert_int_equal(c->pools[0].retries, 7);
	config_free(c);

	assert_error("[spliced]\r\nworkers = x\r\n" LISTEN POOL, "t.conf:2: workers: \"x\" is not");
	assert_error(LISTEN POOL "retries = x", "t.conf:6: retries: \"x\" is not");
}

static void comments_and_blanks(void **state _unused_)
{
	struct config *c =
	    loaded("\xef\xbb\xbf# first\n;second\n\n   \t\n  # third = 1\n[spliced];\n"
		   "control = /a;b ; the comment\nworkers = auto ;\n" LISTEN POOL);

	assert_string_equal(c->control, "/a;b");
	config_free(c);

	c = loaded("\xef\xbb\xbf" LISTEN POOL);
	assert_int_equal(c->n_listeners, 1);
	config_free(c);
}

/* 4096 bytes are a line and 4097 are none; lines behind a long one keep their numbers. */
static void long_lines(void **state _unused_)
{
	char line[4098], text[2 * sizeof(line)];
	struct config *c;

	(void)snprintf(line, sizeof(line), "%-4096s", "retries = 5");
	(void)snprintf(text, sizeof(text), LISTEN POOL "%s\n", line);
	c = loaded(text);
	assert_int_equal(c->pools[0].retries, 5);
	config_free(c);

	(void)snprintf(line, sizeof(line), "%-4096s;", "retries = 5");
	pool_error(line,
		   "t.conf:3: line is longer than 4096 bytes; allowed: a long list on several "
		   "lines\n");
	(void)snprintf(text, sizeof(text), LISTEN POOL "%s\nbalance = x", line);
	assert_errors(text, "t.conf:6: line is longer than 4096 bytes; allowed: a long list on "
			    "several lines\n"
			    "t.conf:7: balance: \"x\" is not one of the choices; allowed: "
			    "round_robin or least_sessions\n");
}

static void nul_bytes(void **state _unused_)
{
	static const char text[] = LISTEN POOL "retries = 5\0 6\nretries = x\n";
	_cleanup_free_ char *messages = NULL;
	struct config *c = NULL;

	write_file(text, sizeof(text) - 1);
	assert_int_equal(load_path(CONF, &c, &messages), -EINVAL);
	assert_string_equal(messages,
			    "t.conf:6: line has a NUL byte; allowed: plain text in UTF-8, up to "
			    "4096 bytes\n"
			    "t.conf:7: retries: \"x\" is not a whole number; allowed: 0 to 16 "
			    "attempts\n");
}

/* What a terminal would obey does not reach it. */
static void control_bytes_in_messages(void **state _unused_)
{
	pool_error("retries = \x1b[2J", "t.conf:3: retries: \"?[2J\" is not a whole number");
}

static void files_that_cannot_be_read(void **state _unused_)
{
	_cleanup_free_ char *missing = NULL, *directory = NULL, *device = NULL, *endless = NULL;
	struct config *c = NULL;

	assert_int_equal(load_path("/nonexistent/x", &c, &missing), -ENOENT);
	assert_string_equal(missing, "/nonexistent/x: cannot open: No such file or directory\n");
	assert_true(load_path("/tmp", &c, &directory) < 0);
	assert_string_equal(directory, "/tmp: cannot open: Is a directory\n");
	assert_true(load_path("/dev/zero", &c, &device) < 0);
	assert_string_equal(device, "/dev/zero: cannot open: not a regular file: it is read again "
				    "with each reload\n");
	assert_true(load_input(&(struct config_input){.path = "/dev/zero", .once = true}, &c,
			       &endless) < 0);
	assert_non_null(strstr(endless, "file is too large; allowed: 16 MiB\n"));
	assert_null(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(defaults),
	    cmocka_unit_test(every_option),
	    cmocka_unit_test(named_user),
	    cmocka_unit_test(dump_of_everything),
	    cmocka_unit_test(dump_of_defaults),
	    cmocka_unit_test(dump_of_a_long_list),
	    cmocka_unit_test(sample_is_valid),
	    cmocka_unit_test(sample_shows_the_defaults),
	    cmocka_unit_test(sections_take_effect_at_a_reload),
	    cmocka_unit_test(man_names_every_option),
	    cmocka_unit_test(table_is_complete),
	    cmocka_unit_test(bad_bool),
	    cmocka_unit_test(bad_log),
	    cmocka_unit_test(bad_uint),
	    cmocka_unit_test(bad_duration),
	    cmocka_unit_test(bad_size),
	    cmocka_unit_test(bad_mode),
	    cmocka_unit_test(bad_enum),
	    cmocka_unit_test(bad_strings),
	    cmocka_unit_test(bad_lists),
	    cmocka_unit_test(bad_servers),
	    cmocka_unit_test(bad_health),
	    cmocka_unit_test(good_health),
	    cmocka_unit_test(warnings_of_health),
	    cmocka_unit_test(host_name_lengths),
	    cmocka_unit_test(unknown_keys),
	    cmocka_unit_test(lines_that_are_no_key),
	    cmocka_unit_test(repeated_keys),
	    cmocka_unit_test(bad_sections),
	    cmocka_unit_test(long_section_names),
	    cmocka_unit_test(missing_options),
	    cmocka_unit_test(names_used_twice),
	    cmocka_unit_test(unknown_pools),
	    cmocka_unit_test(binds_used_twice),
	    cmocka_unit_test(splice_limits),
	    cmocka_unit_test(errors_are_collected),
	    cmocka_unit_test(errors_are_limited),
	    cmocka_unit_test(line_ends),
	    cmocka_unit_test(comments_and_blanks),
	    cmocka_unit_test(long_lines),
	    cmocka_unit_test(nul_bytes),
	    cmocka_unit_test(control_bytes_in_messages),
	    cmocka_unit_test(files_that_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, enter_dir, leave_dir);
}
