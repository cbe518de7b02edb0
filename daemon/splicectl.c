/* SPDX-License-Identifier: GPL-2.0-or-later */
/* splicectl: asks a running spliced over its control socket, and prints the answer. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "report/controlpath.h"
#include "report/doctor_print.h"
#include "util.h"

/* From connecting to the last byte of the answer. */
#define DEADLINE_NS (10 * NSEC_PER_SEC)
/* Some 400 bytes a session: far more than any daemon holds. */
#define ANSWER_MAX  ((size_t)256 << 20)
#define COLUMNS_MAX 10
#define CELL_MAX    128

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* ---- fields of a JSON object: what is missing or of another type has a value all the same ---- */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && *text ? text : "-";
}

static int64_t int_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* ---- numbers for people ---- */

static const char *format_bytes(int64_t n, char *buf, size_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	double value = (double)n;
	size_t unit = 0;

	for (; value >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
		value /= 1024;
	(void)snprintf(buf, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buf;
}

static const char *format_age(int64_t ms, char *buf, size_t size)
{
	int64_t s = ms / 1000;

	if (s < 60)
		(void)snprintf(buf, size, "%" PRId64 ".%" PRId64 "s", s, ms % 1000 / 100);
	else if (s < 3600)
		(void)snprintf(buf, size, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
	else if (s < 86400)
		(void)snprintf(buf, size, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
	else
		(void)snprintf(buf, size, "%" PRId64 "d%02" PRId64 "h", s / 86400, s / 3600 % 24);
	return buf;
}

/* ---- tables ---- */

struct column {
	const char *title;
	bool right; /* numbers */
};

struct table {
	const struct column *columns;
	size_t n_columns;
	size_t n_rows;
	char (*cells)[COLUMNS_MAX][CELL_MAX];
};

static int table_init(struct table *t, const struct column *columns, size_t n_columns, size_t rows)
{
	*t = (struct table){.columns = columns, .n_columns = n_columns};
	t->cells = calloc(rows ? rows : 1, sizeof(*t->cells));
	return t->cells ? 0 : -ENOMEM;
}

static void table_free(struct table *t)
{
	free(t->cells);
}

/* Sets a cell of the last row. What a peer sent must not steer the terminal. */
static void _printf_(3, 4) table_set(struct table *t, size_t column, const char *fmt, ...)
{
	char *cell = t->cells[t->n_rows - 1][column];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(cell, CELL_MAX, fmt, args);
	va_end(args);
	for (; *cell; cell++)
		if ((unsigned char)*cell < 0x20 || *cell == 0x7f)
			*cell = '?';
}

static void put_cell(const char *text, size_t width, bool right, bool last)
{
	if (right)
		(void)printf("%*s", (int)width, text);
	else
		(void)printf("%-*s", last ? 0 : (int)width, text);
	(void)fputs(last ? "\n" : "  ", stdout);
}

static void table_print(const struct table *t)
{
	size_t widths[COLUMNS_MAX];
	size_t c;
	size_t r;

	for (c = 0; c < t->n_columns; c++) {
		widths[c] = strlen(t->columns[c].title);
		for (r = 0; r < t->n_rows; r++)
			widths[c] = MAX(widths[c], strlen(t->cells[r][c]));
	}
	for (c = 0; c < t->n_columns; c++)
		put_cell(t->columns[c].title, widths[c], t->columns[c].right,
			 c + 1 == t->n_columns);
	for (r = 0; r < t->n_rows; r++)
		for (c = 0; c < t->n_columns; c++)
			put_cell(t->cells[r][c], widths[c], t->columns[c].right,
				 c + 1 == t->n_columns);
}

/* ---- status ---- */

static void join_texts(const json_t *array, char *buf, size_t size)
{
	const json_t *item;
	size_t used = 0;
	size_t i;

	(void)snprintf(buf, size, "-");
	json_array_foreach(array, i, item)
	{
		const char *text = json_string_value(item);
		int n =
		    snprintf(buf + used, size - used, "%s%s", used ? ", " : "", text ? text : "-");

		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

static int print_listeners(const json_t *listeners)
{
	static const struct column columns[] = {
	    {"LISTENER", false}, {"PROTOCOL", false}, {"BIND", false},
	    {"POOL", false},     {"ACTIVE", true},    {"TOTAL", true},
	};
	const json_t *l;
	struct table t;
	size_t i;

	if (table_init(&t, columns, ARRAY_SIZE(columns), json_array_size(listeners)) < 0)
		return -ENOMEM;
	json_array_foreach(listeners, i, l)
	{
		char bind[CELL_MAX];

		join_texts(json_object_get(l, "bind"), bind, sizeof(bind));
		t.n_rows++;
		table_set(&t, 0, "%s", text_of(l, "name"));
		table_set(&t, 1, "%s", text_of(l, "protocol"));
		table_set(&t, 2, "%s", bind);
		table_set(&t, 3, "%s", text_of(l, "pool"));
		table_set(&t, 4, "%" PRId64, int_of(l, "sessions_active"));
		table_set(&t, 5, "%" PRId64, int_of(l, "sessions_total"));
	}
	(void)putchar('\n');
	table_print(&t);
	table_free(&t);
	return 0;
}

/* "up", "down 12s": passed over for so long; "up, 2 of 3 down": of its addresses. */
static void server_standing(const json_t *server, char *buf, size_t size)
{
	const json_t *targets = json_object_get(server, "targets"), *target;
	const char *state = text_of(server, "state");
	size_t i, n = json_array_size(targets), down = 0;
	int64_t left = INT64_MAX;

	json_array_foreach(targets, i, target)
	{
		if (strcmp(text_of(target, "state"), "up") == 0)
			continue;
		down++;
		left = MIN(left, int_of(target, "passed_over_ms"));
	}
	if (down && strcmp(state, "down") == 0)
		(void)snprintf(buf, size, "%s %" PRId64 "s", state, (left + 999) / 1000);
	else if (down && strcmp(state, "up") == 0)
		(void)snprintf(buf, size, "%s, %zu of %zu down", state, down, n);
	else
		(void)snprintf(buf, size, "%s", state);
}

static void server_row(struct table *t, const json_t *pool, const json_t *server)
{
	char addresses[CELL_MAX], standing[CELL_MAX];

	join_texts(json_object_get(server, "addresses"), addresses, sizeof(addresses));
	t->n_rows++;
	table_set(t, 0, "%s", text_of(pool, "name"));
	table_set(t, 1, "%s", text_of(pool, "balance"));
	table_set(t, 2, "%s", text_of(server, "name"));
	table_set(t, 3, "%s", text_of(server, "address"));
	table_set(t, 4, "%s", addresses);
	server_standing(server, standing, sizeof(standing));
	table_set(t, 5, "%s", standing);
	table_set(t, 6, "%" PRId64, int_of(server, "sessions_active"));
	table_set(t, 7, "%" PRId64, int_of(server, "sessions_total"));
	table_set(t, 8, "%" PRId64, int_of(server, "connect_failures"));
}

static int print_pools(const json_t *pools)
{
	static const struct column columns[] = {
	    {"POOL", false},    {"BALANCE", false},  {"SERVER", false},
	    {"ADDRESS", false}, {"RESOLVED", false}, {"STATE", false},
	    {"ACTIVE", true},   {"TOTAL", true},     {"FAILURES", true},
	};
	const json_t *pool;
	const json_t *server;
	struct table t;
	size_t rows = 0;
	size_t i;
	size_t j;

	json_array_foreach(pools, i, pool) rows +=
	    json_array_size(json_object_get(pool, "servers"));
	if (table_init(&t, columns, ARRAY_SIZE(columns), rows) < 0)
		return -ENOMEM;
	json_array_foreach(pools, i, pool) json_array_foreach(json_object_get(pool, "servers"), j,
							      server) server_row(&t, pool, server);
	table_print(&t);
	table_free(&t);
	return 0;
}

static void put_pair(const char *name, const char *value)
{
	(void)printf("%-10s ", name);
	for (; *value; value++)
		(void)putchar((unsigned char)*value < 0x20 || *value == 0x7f ? '?' : *value);
	(void)putchar('\n');
}

static int print_status(const json_t *status)
{
	char buf[CELL_MAX];
	int r;

	put_pair("Version", text_of(status, "version"));
	(void)snprintf(buf, sizeof(buf), "%" PRId64, int_of(status, "pid"));
	put_pair("PID", buf);
	put_pair("Uptime", format_age(int_of(status, "uptime_ms"), buf, sizeof(buf)));
	put_pair("State",
		 json_is_true(json_object_get(status, "draining")) ? "draining" : "running");
	put_pair("Engine", text_of(status, "engine"));
	put_pair("Because", text_of(status, "engine_reason"));
	(void)snprintf(buf, sizeof(buf), "%" PRId64, int_of(status, "workers"));
	put_pair("Workers", buf);
	(void)snprintf(buf, sizeof(buf), "%" PRId64 " of at most %" PRId64,
		       int_of(status, "sessions_active"), int_of(status, "max_sessions"));
	put_pair("Sessions", buf);
	put_pair("Config", text_of(status, "config"));

	r = print_listeners(json_object_get(status, "listeners"));
	if (r < 0 || !json_array_size(json_object_get(status, "pools")))
		return r;
	(void)putchar('\n');
	return print_pools(json_object_get(status, "pools"));
}

/* ---- sessions ---- */

static void session_row(struct table *t, const json_t *s)
{
	const json_t *id = json_object_get(s, "id");
	char buf[CELL_MAX];

	t->n_rows++;
	if (json_is_string(id))
		table_set(t, 0, "%s", json_string_value(id));
	else
		table_set(t, 0, "%" PRId64, (int64_t)json_integer_value(id));
	table_set(t, 1, "%s", text_of(s, "listener"));
	table_set(t, 2, "%s/%s", text_of(s, "pool"), text_of(s, "server"));
	table_set(t, 3, "%s", text_of(s, "client"));
	table_set(t, 4, "%s", text_of(s, "engine"));
	table_set(t, 5, "%s", text_of(s, "state"));
	table_set(t, 6, "%s", format_age(int_of(s, "age_ms"), buf, sizeof(buf)));
	table_set(t, 7, "%s", format_bytes(int_of(s, "bytes_up"), buf, sizeof(buf)));
	table_set(t, 8, "%s", format_bytes(int_of(s, "bytes_down"), buf, sizeof(buf)));
	table_set(t, 9, "%" PRId64, int_of(s, "pauses"));
}

static int print_sessions(const json_t *sessions)
{
	static const struct column columns[COLUMNS_MAX] = {
	    {"ID", true},      {"LISTENER", false}, {"POOL/SERVER", false}, {"CLIENT", false},
	    {"ENGINE", false}, {"STATE", false},    {"AGE", true},          {"UP", true},
	    {"DOWN", true},    {"PAUSES", true},
	};
	const json_t *s;
	struct table t;
	size_t i;

	if (table_init(&t, columns, ARRAY_SIZE(columns), json_array_size(sessions)) < 0)
		return -ENOMEM;
	json_array_foreach(sessions, i, s) session_row(&t, s);
	table_print(&t);
	table_free(&t);
	return 0;
}

/* ---- stats ---- */

static size_t longest_key(const json_t *object)
{
	size_t longest = 0;
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		size_t n = json_is_object(value) ? longest_key(value) + 2 : strlen(key);

		longest = MAX(longest, n);
	}
	return longest;
}

static void put_stat(const char *key, const json_t *value, int indent, size_t width)
{
	(void)printf("%*s%-*s  ", indent, "", (int)width - indent, key);
	if (json_is_integer(value))
		(void)printf("%20" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
	else if (json_is_real(value))
		(void)printf("%20.3f\n", json_real_value(value));
	else if (json_is_boolean(value))
		(void)printf("%20s\n", json_is_true(value) ? "yes" : "no");
	else
		(void)printf("%20s\n", json_is_string(value) ? json_string_value(value) : "-");
}

/* Plain values first, then each nested object as a group of its own. */
static void put_stats(const json_t *object, int indent, size_t width)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value) if (!json_is_object(value))
	    put_stat(key, value, indent, width);
	json_object_foreach((json_t *)object, key, value)
	{
		if (!json_is_object(value))
			continue;
		(void)printf("\n%*s%s\n", indent, "", key);
		put_stats(value, indent + 2, width);
	}
}

static int print_stats(const json_t *stats)
{
	put_stats(stats, 0, longest_key(stats));
	return 0;
}

static int print_doctor(const json_t *doctor)
{
	doctor_print(doctor, stdout);
	return 0;
}

/* ---- asking the daemon ---- */

static const struct command {
	const char *name;
	const char *help;
	json_type shape;
	int (*print)(const json_t *answer);
} commands[] = {
    {"status", "the daemon, its listeners and pools", JSON_OBJECT, print_status},
    {"sessions", "every session there is now", JSON_ARRAY, print_sessions},
    {"pools", "every server, and whether it is passed over", JSON_ARRAY, print_pools},
    {"stats", "all counters", JSON_OBJECT, print_stats},
    {"doctor", "what this kernel can do, proven by trying", JSON_OBJECT, print_doctor},
};

static int wait_for(int fd, short events, uint64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};
	uint64_t now;
	int r;

	do {
		now = now_ns();
		r = now < deadline ? poll(&p, 1, (int)((deadline - now) / NSEC_PER_MSEC) + 1) : 0;
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return r == 0 ? -ETIMEDOUT : 0;
}

/* A unix connect is done at once, or EAGAIN while the daemon's queue is full: ask again. */
static int connect_unix(int fd, const struct sockaddr_un *un, uint64_t deadline)
{
	const struct timespec pause = {.tv_nsec = 20000000};

	while (connect(fd, (const struct sockaddr *)un, sizeof(*un)) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (now_ns() >= deadline)
			return -ETIMEDOUT;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

static int send_line(int fd, const char *command, uint64_t deadline)
{
	char line[64];
	size_t len = (size_t)snprintf(line, sizeof(line), "%s\n", command);
	size_t done = 0;

	while (done < len) {
		ssize_t n = send(fd, line + done, len - done, MSG_NOSIGNAL);
		int r;

		if (n >= 0) {
			done += (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		r = wait_for(fd, POLLOUT, deadline);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Reads up to the end of the stream. The caller owns *buf, which is NULL at first, even on failure.
 */
static int receive_all(int fd, uint64_t deadline, char **buf, size_t *ret_len)
{
	size_t size = 0;
	size_t len = 0;

	for (;;) {
		ssize_t n;
		int r;

		if (len == size) {
			size_t more = size ? size * 2 : 65536;
			char *bigger = more <= ANSWER_MAX ? realloc(*buf, more) : NULL;

			if (!bigger)
				return -ENOMEM;
			*buf = bigger;
			size = more;
		}
		r = wait_for(fd, POLLIN, deadline);
		if (r < 0)
			return r;
		n = recv(fd, *buf + len, size - len, 0);
		if (n == 0)
			break;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		len += n > 0 ? (size_t)n : 0;
	}
	*ret_len = len;
	return 0;
}

/* As receive_all(); a failure is explained on stderr. */
static int ask(const char *path, const char *command, char **buf, size_t *ret_len)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	uint64_t deadline = now_ns() + DEADLINE_NS;
	int r;

	if (strlen(path) >= sizeof(un.sun_path)) {
		(void)fprintf(stderr, "splicectl: %s: too long for a unix socket\n", path);
		return -ENAMETOOLONG;
	}
	(void)memcpy(un.sun_path, path, strlen(path) + 1);

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	r = fd < 0 ? -errno : connect_unix(fd, &un, deadline);
	if (r < 0) {
		(void)fprintf(stderr, "splicectl: cannot connect to %s: %s\n", path, strerror(-r));
		return r;
	}
	r = send_line(fd, command, deadline);
	/* A daemon with too many clients answers and closes before it has read the line. */
	if (r == 0 || r == -EPIPE)
		r = receive_all(fd, deadline, buf, ret_len);
	if (r < 0)
		(void)fprintf(stderr, "splicectl: no answer from %s: %s\n", path, strerror(-r));
	return r;
}

static int show(const struct command *cmd, const char *path, const json_t *answer, bool as_json)
{
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (error) {
		(void)fprintf(stderr, "splicectl: the daemon at %s says: %s\n", path, error);
		return -EREMOTEIO;
	}
	if (as_json) {
		if (json_dumpf(answer, stdout, JSON_INDENT(2)) < 0)
			return -EIO;
		(void)putchar('\n');
		return 0;
	}
	if (json_typeof(answer) != cmd->shape) {
		(void)fprintf(stderr, "splicectl: the answer from %s is not what %s looks like\n",
			      path, cmd->name);
		return -EBADMSG;
	}
	if (cmd->print(answer) < 0) {
		(void)fprintf(stderr, "splicectl: out of memory\n");
		return -ENOMEM;
	}
	return 0;
}

static int run(const struct command *cmd, const char *path, bool as_json)
{
	json_t *answer = NULL;
	json_error_t error;
	char *text = NULL;
	size_t len = 0;
	int r;

	r = ask(path, cmd->name, &text, &len);
	if (r == 0)
		answer = json_loadb(text, len, 0, &error);
	free(text);
	if (r < 0)
		return EXIT_FAILED;
	if (!answer) {
		(void)fprintf(stderr, "splicectl: the answer from %s is not JSON: %s\n", path,
			      error.text);
		return EXIT_FAILED;
	}
	r = show(cmd, path, answer, as_json);
	json_decref(answer);
	if (r == 0 && (fflush(stdout) == EOF || ferror(stdout))) {
		(void)fprintf(stderr, "splicectl: cannot write: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}

/* ---- command line ---- */

static void usage(FILE *out)
{
	(void)fputs("Usage: splicectl [-s SOCKET] [--json] COMMAND\n"
		    "\n"
		    "Commands:\n",
		    out);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		(void)fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
	(void)fputs("\n"
		    "Options:\n"
		    "  -s, --socket=SOCKET  the control socket (" CONTROL_PATH_DEFAULT ",\n"
		    "                       or that of your own daemon)\n"
		    "  -j, --json           print the daemon's JSON document\n"
		    "  -h, --help           print this text\n"
		    "  -V, --version        print the version\n",
		    out);
}

static int usage_error(const char *text, const char *word)
{
	(void)fprintf(stderr, "splicectl: %s%s (try --help)\n", text, word);
	return EXIT_USAGE;
}

/* A user's own daemon goes before the system's. */
static const char *default_path(char own[CONTROL_PATH_MAX])
{
	if (geteuid() != 0 && control_path_of_user(own, false) == 0 && access(own, F_OK) == 0)
		return own;
	return CONTROL_PATH_DEFAULT;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"socket", required_argument, NULL, 's'},
	    {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0},
	};
	char own[CONTROL_PATH_MAX];
	const char *path = default_path(own);
	bool as_json = false;
	int c;

	while ((c = getopt_long(argc, argv, "s:jhV", options, NULL)) >= 0) {
		switch (c) {
		case 's':
			path = optarg;
			break;
		case 'j':
			as_json = true;
			break;
		case 'h':
			usage(stdout);
			return EXIT_OK;
		case 'V':
			(void)puts("splicectl " SPLICED_VERSION);
			return EXIT_OK;
		default:
			(void)fputs("Try splicectl --help\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc)
		return usage_error("which command?", "");
	if (optind + 1 < argc)
		return usage_error("too many arguments: ", argv[optind + 1]);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, argv[optind]) == 0)
			return run(&commands[i], path, as_json);
	return usage_error("unknown command: ", argv[optind]);
}
