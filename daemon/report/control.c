/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket: a line in, a JSON document out, one request a connection. */
#include "control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "../log.h"
#include "../unixfile.h"
#include "../util.h"

#define CLIENTS_MAX 64
#define LINE_BYTES  4096
#define SOCKET_MODE 0660

/* For a client to send its line, and again to take the answer. */
static const struct timeval client_patience = {.tv_sec = 10};
/* How long accepting rests after it failed (no descriptors left, say). */
static const struct timeval accept_rest = {.tv_sec = 1};

/*
 * A request is in one of three states, in this order:
 *   reading    the line is not complete; the deadline runs, reading is on
 *   running    the command has it; neither deadline nor reading: a client that has gone away or
 *              has closed its sending side is noticed when it is answered
 *   answering  the answer is being written; the deadline runs
 * control_close() ends the first and last, and orphans a running one (control is NULL): its
 * command still holds the pointer and will hand it to control_reply().
 */
enum request_state { REQUEST_READING, REQUEST_RUNNING, REQUEST_ANSWERING };

struct control_request {
	LIST_ENTRY(control_request) link;
	struct control *control;
	struct bufferevent *bev;
	struct event *deadline;
	enum request_state state;
	char *line; /* what argv points into */
};

struct control {
	struct event_base *base;
	const struct control_command *commands;
	void *arg;
	char *path;
	struct addr where;
	struct unix_file file;
	struct evconnlistener *listener;
	struct event *accept_again;
	unsigned int n_requests;
	LIST_HEAD(, control_request) requests;
};

static void request_free(struct control_request *req)
{
	LIST_REMOVE(req, link);
	req->control->n_requests--;
	if (req->deadline)
		event_free(req->deadline);
	if (req->bev)
		bufferevent_free(req->bev);
	free(req->line);
	free(req);
}

static void on_deadline(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	request_free(arg);
}

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

static void run_line(struct control_request *req)
{
	const struct control_command *cmd;
	_cleanup_free_ char **argv = NULL;
	int argc = split_words(req->line, &argv);

	if (argc == -EINVAL) {
		control_reply_error(req, "expected a command and its arguments, with one space "
					 "between them");
		return;
	}
	if (argc < 0) {
		control_reply_error(req, "out of memory");
		return;
	}
	for (cmd = req->control->commands; cmd->name; cmd++) {
		if (strcmp(cmd->name, argv[0]) == 0) {
			cmd->run(req, argc, argv, req->control->arg);
			return;
		}
	}
	control_reply_error(req, "unknown command \"%s\"", argv[0]);
}

/* The reading is over, well or not; line is NULL where there was none that fits. */
static void request_run(struct control_request *req, char *line, size_t len)
{
	req->state = REQUEST_RUNNING;
	req->line = line;
	(void)bufferevent_disable(req->bev, EV_READ);
	(void)event_del(req->deadline);

	if (!line)
		control_reply_error(req, "the line is longer than %d bytes", LINE_BYTES);
	else if (strlen(line) != len)
		control_reply_error(req, "the line has a NUL byte");
	else
		run_line(req);
}

static void on_readable(struct bufferevent *bev, void *arg)
{
	struct control_request *req = arg;
	struct evbuffer *input = bufferevent_get_input(bev);
	size_t len = 0;
	char *line;

	if (req->state != REQUEST_READING)
		return;
	line = evbuffer_readln(input, &len, EVBUFFER_EOL_CRLF);
	/* One byte more: the '\r' of an end that is not complete yet. */
	if (!line && evbuffer_get_length(input) <= LINE_BYTES + 1)
		return;
	if (line && len > LINE_BYTES) {
		free(line);
		line = NULL;
	}
	request_run(req, line, len);
}

static void on_written(struct bufferevent *bev _unused_, void *arg)
{
	struct control_request *req = arg;

	/* libevent calls this once at the start, too, with nothing to write yet. */
	if (req->state == REQUEST_ANSWERING)
		request_free(req);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct control_request *req = arg;
	struct evbuffer *input = bufferevent_get_input(bev);
	size_t len = evbuffer_get_length(input);
	char *line;

	if (req->state == REQUEST_RUNNING)
		return;
	if (req->state == REQUEST_ANSWERING || !(what & BEV_EVENT_EOF) || len == 0) {
		request_free(req);
		return;
	}

	/* `printf status | nc -N -U SOCKET`: the end of the stream ends the line as well. */
	line = malloc(len + 1);
	if (!line) {
		request_free(req);
		return;
	}
	(void)evbuffer_remove(input, line, len);
	line[len] = '\0';
	request_run(req, line, len);
}

static void refuse(evutil_socket_t fd)
{
	static const char text[] = "{\"error\": \"too many clients at once\"}\n";

	(void)send(fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)close(fd);
}

/* Takes fd, whether it succeeds or not. */
static int request_new(struct control *c, evutil_socket_t fd)
{
	struct control_request *req = calloc(1, sizeof(*req));

	if (!req) {
		(void)close(fd);
		return -ENOMEM;
	}
	req->control = c;
	LIST_INSERT_HEAD(&c->requests, req, link);
	c->n_requests++;

	req->bev = bufferevent_socket_new(c->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!req->bev)
		(void)close(fd);
	req->deadline = evtimer_new(c->base, on_deadline, req);
	if (!req->bev || !req->deadline) {
		request_free(req);
		return -ENOMEM;
	}
	bufferevent_setcb(req->bev, on_readable, on_written, on_event, req);
	/* Enough to tell that a line is too long, and no more. Not by a high watermark: libevent
	 * needs memory for that, and does not look whether it got it. */
	(void)bufferevent_set_max_single_read(req->bev, LINE_BYTES + 3); /* cannot fail */
	/* Without a deadline a silent client would stay for ever. */
	if (event_add(req->deadline, &client_patience) < 0 ||
	    bufferevent_enable(req->bev, EV_READ) < 0) {
		request_free(req);
		return -ENOMEM;
	}
	return 0;
}

static void on_accept(struct evconnlistener *listener _unused_, evutil_socket_t fd,
		      struct sockaddr *sa _unused_, int len _unused_, void *arg)
{
	struct control *c = arg;
	int r;

	if (c->n_requests >= CLIENTS_MAX) {
		refuse(fd);
		return;
	}
	r = request_new(c, fd);
	if (r < 0)
		(void)log_errno(r, "cannot serve a client of %s", c->path);
}

static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	struct control *c = arg;
	int err = errno;

	/* The listener stays readable, so without a rest the loop would spin. */
	log_warn("cannot accept on %s, trying again in a second: %s", c->path, strerror(err));
	/* Without the timer it would rest for ever: rather let it spin. */
	if (event_add(c->accept_again, &accept_rest) == 0)
		(void)evconnlistener_disable(listener); /* fails: it is tried again at once */
}

static void on_accept_again(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct control *c = arg;

	/* Its timer has just given its place free: it has one again. */
	if (evconnlistener_enable(c->listener) < 0)
		(void)event_add(c->accept_again, &accept_rest);
}

/* On success the caller owns *ret_fd. */
static int listen_unix(const char *path, struct addr *where, struct unix_file *file, int *ret_fd)
{
	const struct unix_access access = {.mode = SOCKET_MODE, .uid = (uid_t)-1, .gid = (gid_t)-1};
	_cleanup_close_ int fd = -1;
	int r;

	if (*path == '\0')
		return -EINVAL;
	if (strlen(path) >= sizeof(where->un.sun_path))
		return -ENAMETOOLONG;
	*where = (struct addr){.len = sizeof(where->un), .un.sun_family = AF_UNIX};
	(void)memcpy(where->un.sun_path, path, strlen(path) + 1);

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = unix_file_bind(fd, where, &access, file);
	if (r < 0)
		return r;
	if (listen(fd, CLIENTS_MAX) < 0) {
		r = -errno;
		unix_file_remove(where, file);
		return r;
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int control_listen(struct control *c)
{
	_cleanup_close_ int fd = -1;
	int r;

	r = listen_unix(c->path, &c->where, &c->file, &fd);
	if (r < 0)
		return r;
	c->accept_again = evtimer_new(c->base, on_accept_again, c);
	c->listener = evconnlistener_new(c->base, on_accept, c,
					 LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (c->listener)
		(void)TAKE_FD(fd);
	if (!c->accept_again || !c->listener)
		return -ENOMEM;
	evconnlistener_set_error_cb(c->listener, on_accept_error);
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

int control_open(struct event_base *base, const char *path, const struct control_command *commands,
		 void *arg, struct control **ret)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return log_errno(-ENOMEM, "cannot open the control socket %s", path);
	c->base = base;
	c->commands = commands;
	c->arg = arg;
	LIST_INIT(&c->requests);
	c->path = strdup(path);
	r = c->path ? control_listen(c) : -ENOMEM;
	if (r < 0) {
		log_error("cannot open the control socket %s: %s", path, listen_problem(r));
		control_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

int control_chown(const struct control *c, uid_t uid, gid_t gid)
{
	return unix_file_chown(&c->file, uid, gid);
}

void control_close(struct control *c)
{
	struct control_request *next;
	struct control_request *req;

	if (!c)
		return;
	unix_file_remove(&c->where, &c->file);
	if (c->listener)
		evconnlistener_free(c->listener);
	if (c->accept_again)
		event_free(c->accept_again);

	for (req = LIST_FIRST(&c->requests); req; req = next) {
		next = LIST_NEXT(req, link);
		if (req->state != REQUEST_RUNNING) {
			request_free(req);
			continue;
		}
		LIST_REMOVE(req, link);
		req->control = NULL;
		event_free(req->deadline);
		req->deadline = NULL;
		bufferevent_free(req->bev);
		req->bev = NULL;
	}
	free(c->path);
	free(c);
}

static int append(const char *data, size_t len, void *arg)
{
	return evbuffer_add(arg, data, len);
}

void control_reply(struct control_request *req, json_t *answer)
{
	struct evbuffer *output;

	if (!req->control) {
		json_decref(answer);
		free(req->line);
		free(req);
		return;
	}

	output = bufferevent_get_output(req->bev);
	req->state = REQUEST_ANSWERING;
	if (!answer ||
	    json_dump_callback(answer, append, output, JSON_COMPACT | JSON_ENCODE_ANY) < 0) {
		(void)evbuffer_drain(output, evbuffer_get_length(output));
		(void)evbuffer_add_printf(output, "{\"error\": \"no memory for the answer\"}");
	}
	json_decref(answer);
	(void)evbuffer_add(output, "\n", 1);
	(void)event_add(req->deadline, &client_patience);
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
