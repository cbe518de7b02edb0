/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket: a line in, a JSON document out, one request a connection. */
#include "control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "../log.h"
#include "../parent/link.h"
#include "../util.h"
#include "oneshot.h"

#define CLIENTS_MAX 64
#define LINE_BYTES  4096
#define SOCKET_MODE 0660

struct control {
	const struct control_command *commands;
	void *arg;
	char *path;
	struct bound bound;
	struct oneshot *server;
};

/* ---- a request -------------------------------------------------------------------------- */

/* Every line is a command: words with one space between them. */
static int split_words(char *line, char ***ret)
{
	size_t n = 1;
	char **argv;
	int argc = 0;

	for (const char *p = line; *p; p++)
		n += *p == ' ';
	argv = calloc(n + 1, sizeof(*argv));
	if (!argv)
		return -ENOMEM;

	for (char *word; (word = strsep(&line, " "));) {
		if (*word == '\0') {
			free(argv);
			return -EINVAL;
		}
		argv[argc++] = word;
	}
	*ret = argv;
	return argc;
}

/* It is struct control_request to those who answer. */
static struct control_request *request_of(struct oneshot_request *req)
{
	return (struct control_request *)req;
}

static struct oneshot_request *oneshot_of(struct control_request *req)
{
	return (struct oneshot_request *)req;
}

static void run_line(struct control *c, struct control_request *req, char *line)
{
	const struct control_command *cmd;
	_cleanup_free_ char **argv = NULL;
	int argc = split_words(line, &argv);

	if (argc == -EINVAL) {
		control_reply_error(req, "expected a command and its arguments, with one space "
					 "between them");
		return;
	}
	if (argc < 0) {
		control_reply_error(req, "out of memory");
		return;
	}
	for (cmd = c->commands; cmd->name; cmd++) {
		if (strcmp(cmd->name, argv[0]) != 0)
			continue;
		if (argc - 1 > cmd->most)
			control_reply_error(req, "%s: too many arguments: \"%s\"", cmd->name,
					    argv[cmd->most + 1]);
		else
			cmd->run(req, argc, argv, c->arg);
		return;
	}
	control_reply_error(req, "unknown command \"%s\"", argv[0]);
}

/* A line, or what comes before the end of the stream. */
static size_t line_length(const char *data, size_t len, bool ended)
{
	const char *end = memchr(data, '\n', len);

	if (end)
		return (size_t)(end - data) + 1;
	return ended ? len : 0;
}

static void on_line(struct oneshot_request *oneshot, char *line, size_t len, void *arg)
{
	struct control_request *req = request_of(oneshot);

	if (line[len - 1] == '\n')
		len--;
	if (len && line[len - 1] == '\r' && line[len] == '\n')
		len--;
	line[len] = '\0';
	if (len > LINE_BYTES)
		control_reply_error(req, "the line is longer than %d bytes", LINE_BYTES);
	else if (strlen(line) != len)
		control_reply_error(req, "the line has a NUL byte");
	else
		run_line(arg, req, line);
}

static const struct oneshot_kind control_kind = {
    .length = line_length,
    .run = on_line,
    .clients_max = CLIENTS_MAX,
    .request_max = LINE_BYTES + 1, /* the '\r' of an end that is not complete yet */
    .busy = "{\"error\": \"too many clients at once\"}\n",
};

/* ---- the socket ------------------------------------------------------------------------- */

static int bind_request_of(const char *path, uid_t uid, gid_t gid, struct bind_request *r)
{
	if (*path == '\0')
		return -EINVAL;
	if (strlen(path) >= sizeof(r->addr.un.sun_path))
		return -ENAMETOOLONG;
	*r = (struct bind_request){
	    .addr = {.len = sizeof(r->addr.un), .un.sun_family = AF_UNIX},
	    .access = {.mode = SOCKET_MODE, .uid = uid, .gid = gid},
	    .stays = true,
	};
	(void)snprintf(r->addr.un.sun_path, sizeof(r->addr.un.sun_path), "%s", path);
	(void)snprintf(r->name, sizeof(r->name), "control %s", path);
	return 0;
}

static int control_listen(struct control *c, struct event_base *base, struct link *link, uid_t uid,
			  gid_t gid)
{
	struct message_held held;
	struct bind_request r;
	const char *call;
	int err;

	err = bind_request_of(c->path, uid, gid, &r);
	if (!err)
		err = link_hold(link, &r, &c->bound, &held, &call);
	if (err)
		return err;
	if (listen(c->bound.fd, CLIENTS_MAX) < 0)
		return -errno;
	c->server = oneshot_open(base, c->bound.fd, c->path, &control_kind, c);
	if (!c->server)
		return -ENOMEM;
	c->bound.fd = -1; /* the server's */
	return 0;
}

static const char *listen_problem(int err)
{
	switch (-err) {
	case EADDRINUSE:
		return "another daemon is answering there";
	case ENOTSOCK:
		return "the file exists and is not a socket";
	case ENAMETOOLONG:
		return "the path is too long for a unix socket";
	default:
		return strerror(-err);
	}
}

int control_open(struct event_base *base, struct link *link, const char *path, uid_t uid, gid_t gid,
		 const struct control_command *commands, void *arg, struct control **ret)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return log_errno(-ENOMEM, "cannot open the control socket %s", path);
	c->bound.fd = -1;
	c->commands = commands;
	c->arg = arg;
	c->path = strdup(path);
	r = c->path ? control_listen(c, base, link, uid, gid) : -ENOMEM;
	if (r < 0) {
		log_error("cannot open the control socket %s: %s", path, listen_problem(r));
		control_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

struct oneshot *control_server(const struct control *c)
{
	return c ? c->server : NULL;
}

void control_close(struct control *c)
{
	if (!c)
		return;
	bound_close(&c->bound);
	oneshot_close(c->server);
	free(c->path);
	free(c);
}

/* ---- answers ---------------------------------------------------------------------------- */

static int append(const char *data, size_t len, void *arg)
{
	return evbuffer_add(arg, data, len);
}

void control_reply(struct control_request *req, json_t *answer)
{
	struct evbuffer *output = oneshot_output(oneshot_of(req));

	if (output) {
		if (!answer || json_dump_callback(answer, append, output,
						  JSON_COMPACT | JSON_ENCODE_ANY) < 0) {
			(void)evbuffer_drain(output, evbuffer_get_length(output));
			(void)evbuffer_add_printf(output,
						  "{\"error\": \"no memory for the answer\"}");
		}
		(void)evbuffer_add(output, "\n", 1);
	}
	json_decref(answer);
	oneshot_answer(oneshot_of(req));
}

void control_reply_error(struct control_request *req, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vasprintf(&text, fmt, args);
	va_end(args);
	if (n < 0) {
		text = NULL;
		control_reply(req, NULL);
		return;
	}
	/* What the client sent comes back in some of these; JSON is UTF-8 and nothing else. */
	for (char *p = text; *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	control_reply(req, json_pack("{s:s}", "error", text));
}
