/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../daemon/util.h"
#include "endpoint.h"
#include "options.h"

#define MAX_SESSIONS 1000000
#define IDLE_ROOM    4096 /* more than an idle session exchanges before `go` */

const char *const side_str[_SIDE_MAX] = {
    [SIDE_CLIENT] = "client",
    [SIDE_SERVER] = "server",
    [SIDE_BOTH] = "both",
    [SIDE_NONE] = "none",
};

enum {
	OPT_LISTEN = 256,
	OPT_DIRECT,
	OPT_SESSIONS,
	OPT_CONCURRENCY,
	OPT_SEED,
	OPT_TIMEOUT,
	OPT_BYTES_UP,
	OPT_BYTES_DOWN,
	OPT_WRITE_SIZE,
	OPT_PAUSE,
	OPT_EARLY_DATA,
	OPT_SERVER_FIRST,
	OPT_NODELAY,
	OPT_ONE_BYTE,
	OPT_ECHO,
	OPT_PINGPONG,
	OPT_SLOW_READER,
	OPT_SLEEP_READER,
	OPT_NEVER_READ,
	OPT_HOLD,
	OPT_IDLE,
	OPT_HALF_CLOSE,
	OPT_CONCURRENT,
	OPT_FIN_DELAY,
	OPT_RST,
	OPT_RCVBUF,
	OPT_SNDBUF,
	OPT_HELP,
};

/* One row an option: the parser and --help are made from it. */
static const struct row {
	int id;
	const char *name;
	unsigned int words; /* of the value; more than one: the others follow as own arguments */
	const char *value;
	const char *help;
} rows[] = {
    {OPT_LISTEN, "listen", 1, "ADDR", "backend at IP:PORT, [IP]:PORT, unix:PATH; repeatable"},
    {OPT_DIRECT, "direct", 0, NULL, "connect to the own backend, with no proxy"},
    {OPT_SESSIONS, "sessions", 1, "N", "sessions in all (1)"},
    {OPT_CONCURRENCY, "concurrency", 1, "N", "sessions at once (all of them)"},
    {OPT_SEED, "seed", 1, "N", "of the content and of every random choice (1)"},
    {OPT_TIMEOUT, "timeout", 1, "SECONDS", "deadline of the whole run (60)"},
    {OPT_BYTES_UP, "bytes-up", 1, "BYTES", "client to server, a session; K M G (1M)"},
    {OPT_BYTES_DOWN, "bytes-down", 1, "BYTES", "server to client, a session (1M)"},
    {OPT_WRITE_SIZE, "write-size", 1, "MIN-MAX", "bytes a write, at random (1-65536)"},
    {OPT_PAUSE, "pause", 1, "PROB:MIN-MAX", "pause so many us after a read or write"},
    {OPT_EARLY_DATA, "early-data", 0, NULL, "send all that fits right after connect()"},
    {OPT_SERVER_FIRST, "server-first", 0, NULL, "the server does not wait for the client"},
    {OPT_NODELAY, "nodelay", 0, NULL, "TCP_NODELAY"},
    {OPT_ONE_BYTE, "one-byte", 0, NULL, "writes of one byte, with TCP_NODELAY"},
    {OPT_ECHO, "echo", 0, NULL, "the server sends back what it received"},
    {OPT_PINGPONG, "pingpong", 2, "SIZE COUNT", "a request, its response, and so on"},
    {OPT_SLOW_READER, "slow-reader", 2, "SIDE RATE", "read that many bytes a second"},
    {OPT_SLEEP_READER, "sleep-reader", 3, "SIDE BYTES SECONDS", "stop reading for a while"},
    {OPT_NEVER_READ, "never-read", 1, "SIDE", "stop reading until the line `resume`"},
    {OPT_HOLD, "hold", 0, NULL, "what --never-read does; kept for clarity"},
    {OPT_IDLE, "idle", 0, NULL, "exchange a few bytes, then nothing until the line `go`"},
    {OPT_HALF_CLOSE, "half-close", 1, "SIDE", "who ends its stream first; none: close() (both)"},
    {OPT_CONCURRENT, "concurrent", 0, NULL, "with --half-close: the other sends meanwhile"},
    {OPT_FIN_DELAY, "fin-delay", 1, "MS", "pause before a stream's end"},
    {OPT_RST, "rst", 2, "SIDE BYTES", "reset after it has moved that many bytes"},
    {OPT_RCVBUF, "rcvbuf", 1, "BYTES", "SO_RCVBUF"},
    {OPT_SNDBUF, "sndbuf", 1, "BYTES", "SO_SNDBUF"},
    {OPT_HELP, "help", 0, NULL, "this text"},
};

static _Noreturn _printf_(1, 2) void usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "spliced-load: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "; see --help\n");
	va_end(ap);
	exit(2);
}

static _Noreturn void help(void)
{
	printf("spliced-load --listen ADDR [OPTION]...\n"
	       "Plays client and server on both sides of a proxy and checks every byte.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		printf("  --%-12s %-18s %s\n", rows[i].name, rows[i].value ? rows[i].value : "",
		       rows[i].help);
	}
	printf("\nOn stdout: {\"backend\": ADDR}, then events, then the result, a line each.\n"
	       "On stdin: the proxy's addresses, one line; later go, resume, stats.\n");
	exit(0);
}

static double number(const char *text, const char *what, const char **rest)
{
	char *end;
	double value;

	errno = 0;
	value = strtod(text, &end);
	if (end == text || errno || !isfinite(value) || value < 0)
		usage("%s: \"%s\" is not a number", what, text);
	*rest = end;
	return value;
}

/* A number and an optional K, M or G. */
static uint64_t size(const char *text, const char *what, const char **ret_rest)
{
	const char *rest;
	double value = number(text, what, &rest);
	const char *unit = *rest ? strchr("KMG", *rest) : NULL;

	if (unit) {
		value *= (double)(UINT64_C(1) << (10 * (unit - "KMG" + 1)));
		rest++;
	}
	if (ret_rest)
		*ret_rest = rest;
	else if (*rest)
		usage("%s: \"%s\" is not a size", what, text);
	return (uint64_t)value;
}

static void range(const char *text, const char *what, uint64_t *ret_min, uint64_t *ret_max)
{
	const char *rest;

	*ret_min = size(text, what, &rest);
	*ret_max = *rest == '-' ? size(rest + 1, what, NULL) : *ret_min;
	if ((*rest && *rest != '-') || *ret_max < *ret_min)
		usage("%s: \"%s\" is not a range", what, text);
}

static uint64_t nanoseconds(const char *text, const char *what, uint64_t unit)
{
	const char *rest;
	double value = number(text, what, &rest);

	if (*rest)
		usage("%s: \"%s\" is not a number", what, text);
	return (uint64_t)(value * (double)unit);
}

static enum side side(const char *text, const char *what)
{
	for (enum side s = 0; s < _SIDE_MAX; s++) {
		if (strcmp(text, side_str[s]) == 0)
			return s;
	}
	usage("%s: \"%s\" is not client, server, both or none", what, text);
}

static void parse_pause(const char *text, struct options *o)
{
	const char *rest;

	o->pause_probability = number(text, "pause", &rest);
	if (*rest != ':')
		usage("pause: \"%s\" is not PROB:MIN-MAX", text);
	range(rest + 1, "pause", &o->pause_min, &o->pause_max);
	o->pause_min *= NSEC_PER_USEC;
	o->pause_max *= NSEC_PER_USEC;
}

/* The run as a whole, and what is sent. False if `id` is not one of these. */
static bool apply_traffic(struct options *o, int id, char *const v[])
{
	switch (id) {
	case OPT_LISTEN:
		if (o->n_listen == MAX_ADDRS)
			usage("listen: at most %d addresses", MAX_ADDRS);
		o->listen[o->n_listen++] = v[0];
		return true;
	case OPT_DIRECT:
		o->direct = true;
		return true;
	case OPT_SESSIONS:
		o->sessions = (unsigned int)MIN(size(v[0], "sessions", NULL), MAX_SESSIONS);
		return true;
	case OPT_CONCURRENCY:
		o->concurrency = (unsigned int)MIN(size(v[0], "concurrency", NULL), MAX_SESSIONS);
		return true;
	case OPT_SEED:
		o->seed = strtoull(v[0], NULL, 0);
		return true;
	case OPT_TIMEOUT:
		o->timeout = nanoseconds(v[0], "timeout", NSEC_PER_SEC);
		return true;
	case OPT_BYTES_UP:
		o->bytes_up = size(v[0], "bytes-up", NULL);
		return true;
	case OPT_BYTES_DOWN:
		o->bytes_down = size(v[0], "bytes-down", NULL);
		return true;
	case OPT_WRITE_SIZE:
		range(v[0], "write-size", &o->write_min, &o->write_max);
		return true;
	case OPT_PAUSE:
		parse_pause(v[0], o);
		return true;
	default:
		return false;
	}
}

/* The shape of the exchange. */
static bool apply_exchange(struct options *o, int id, char *const v[])
{
	switch (id) {
	case OPT_EARLY_DATA:
		o->early_data = true;
		return true;
	case OPT_SERVER_FIRST:
		o->server_first = true;
		return true;
	case OPT_NODELAY:
		o->nodelay = true;
		return true;
	case OPT_ONE_BYTE:
		o->write_min = o->write_max = 1;
		o->nodelay = true;
		return true;
	case OPT_ECHO:
		o->echo = true;
		return true;
	case OPT_PINGPONG:
		o->pingpong_size = size(v[0], "pingpong", NULL);
		o->bytes_up = o->bytes_down = o->pingpong_size * size(v[1], "pingpong", NULL);
		o->nodelay = true;
		return true;
	case OPT_IDLE:
		o->idle = true;
		return true;
	case OPT_RCVBUF:
		o->rcvbuf = (int)size(v[0], "rcvbuf", NULL);
		return true;
	case OPT_SNDBUF:
		o->sndbuf = (int)size(v[0], "sndbuf", NULL);
		return true;
	default:
		return false;
	}
}

/* Readers that do not read, and ends. */
static void apply_trouble(struct options *o, int id, char *const v[])
{
	switch (id) {
	case OPT_SLOW_READER:
		o->slow_reader = side(v[0], "slow-reader");
		o->slow_rate = size(v[1], "slow-reader", NULL);
		break;
	case OPT_SLEEP_READER:
		o->sleep_reader = side(v[0], "sleep-reader");
		o->sleep_after = size(v[1], "sleep-reader", NULL);
		o->sleep_time = nanoseconds(v[2], "sleep-reader", NSEC_PER_SEC);
		break;
	case OPT_NEVER_READ:
		o->never_read = side(v[0], "never-read");
		break;
	case OPT_HALF_CLOSE:
		o->half_close = side(v[0], "half-close");
		break;
	case OPT_CONCURRENT:
		o->concurrent = true;
		break;
	case OPT_FIN_DELAY:
		o->fin_delay = nanoseconds(v[0], "fin-delay", NSEC_PER_MSEC);
		break;
	case OPT_RST:
		o->rst = side(v[0], "rst");
		o->rst_at = size(v[1], "rst", NULL);
		break;
	default: /* OPT_HOLD: nothing to do */
		break;
	}
}

static bool has_unix(const struct options *o)
{
	for (unsigned int i = 0; i < o->n_listen; i++) {
		if (strncmp(o->listen[i], "unix:", 5) == 0)
			return true;
	}
	return false;
}

/* Turns away what cannot work, and fills in what one choice says about another. */
static void settle(struct options *o)
{
	if (o->n_listen == 0)
		usage("--listen is missing");
	if (o->sessions == 0 || o->write_min == 0)
		usage("sessions and write-size start at 1");
	if (o->echo)
		o->bytes_down = o->bytes_up;
	/* A server that must speak before it has read cannot know the session's number. */
	if (o->bytes_up == 0 || o->half_close == SIDE_SERVER)
		o->server_first = true;
	if ((o->bytes_up && o->bytes_up < PATTERN_HEAD) ||
	    (o->bytes_down && o->bytes_down < PATTERN_HEAD))
		usage("a stream has no bytes, or at least %u", PATTERN_HEAD);
	if (o->pingpong_size && (o->pingpong_size < PATTERN_HEAD || o->server_first))
		usage("a request has at least %u bytes and comes first", PATTERN_HEAD);
	if (o->echo && (o->server_first || o->pingpong_size))
		usage("--echo excludes --server-first and --pingpong");
	if (o->bytes_up == 0 && o->bytes_down == 0)
		usage("one of the directions must have bytes");
	if (o->rst < SIDE_BOTH && o->rst_at >= o->bytes_up + o->bytes_down)
		usage("--rst must come before the end");
	if (o->rst == SIDE_SERVER && has_unix(o))
		usage("a unix socket cannot be reset");
	if (o->idle)
		o->concurrent = true;
	if (o->idle && o->pingpong_size > IDLE_BYTES)
		usage("--idle exchanges %u bytes: no larger requests", IDLE_BYTES);
	if (o->idle && o->bytes_up + o->bytes_down < IDLE_ROOM)
		usage("--idle needs %d bytes to exchange", IDLE_ROOM);
	if (o->concurrency == 0 || o->concurrency > o->sessions)
		o->concurrency = o->sessions;
}

static void apply(struct options *o, const struct row *row, int argc, char **argv)
{
	char *values[3] = {optarg};

	if (row->id == OPT_HELP)
		help();
	for (unsigned int i = 1; i < row->words; i++) {
		if (optind >= argc)
			usage("--%s needs %s", row->name, row->value);
		values[i] = argv[optind++];
	}
	if (!apply_traffic(o, row->id, values) && !apply_exchange(o, row->id, values))
		apply_trouble(o, row->id, values);
}

void options_parse(int argc, char **argv, struct options *ret)
{
	struct option longopts[ARRAY_SIZE(rows) + 1] = {0};
	int index, c;

	*ret = (struct options){
	    .sessions = 1,
	    .seed = 1,
	    .timeout = 60 * NSEC_PER_SEC,
	    .bytes_up = 1 << 20,
	    .bytes_down = 1 << 20,
	    .write_min = 1,
	    .write_max = 65536,
	    .slow_reader = SIDE_NONE,
	    .sleep_reader = SIDE_NONE,
	    .never_read = SIDE_NONE,
	    .half_close = SIDE_BOTH,
	    .rst = SIDE_NONE,
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		longopts[i] = (struct option){
		    .name = rows[i].name,
		    .has_arg = rows[i].words ? required_argument : no_argument,
		    .val = rows[i].id,
		};
	}
	/* "+": the second word of a value is ours, getopt must not move it. */
	while ((c = getopt_long(argc, argv, "+", longopts, &index)) != -1) {
		if (c == '?')
			exit(2);
		apply(ret, &rows[index], argc, argv);
	}
	if (optind < argc)
		usage("\"%s\" is not an option", argv[optind]);
	settle(ret);
}
