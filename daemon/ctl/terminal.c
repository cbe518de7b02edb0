// SPDX-License-Identifier: GPL-2.0-or-later
#include "terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "../util.h"

/* Its own screen, without a cursor; and back. */
#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"

/* Signal handlers look at these. */
static volatile sig_atomic_t entered, has_keys;
static struct termios before;

/* ---- in and out: called by signal handlers, too ---- */

static void put(const char *text)
{
	/* A terminal that is gone cannot be put right. */
	if (write(STDOUT_FILENO, text, strlen(text)) < 0)
		return;
}

static void enter(void)
{
	struct termios keys = before;

	keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	keys.c_cc[VMIN] = 1;
	keys.c_cc[VTIME] = 0;
	if (has_keys)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &keys); /* then a key needs a newline */
	put(ENTER);
	entered = true;
}

void terminal_leave(void)
{
	if (!entered)
		return;
	entered = false;
	put(LEAVE);
	if (has_keys)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &before); /* fails: it is gone */
}

/* ---- signals ---- */

static void handle(int sig, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};

	/* It cannot fail: these signals have handlers. */
	(void)sigaction(sig, &action, NULL);
}

/* The signal does what it would have done. */
static void on_end(int sig)
{
	int err = errno;

	terminal_leave();
	handle(sig, SIG_DFL);
	(void)raise(sig); /* when this returns */
	errno = err;
}

static void on_stop(int sig)
{
	int err = errno;
	sigset_t set;

	terminal_leave();
	handle(sig, SIG_DFL);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, sig);
	(void)raise(sig);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL); /* here it stops */
	handle(sig, on_stop);
	enter();
	errno = err;
}

/* That it came is all: it ends the wait. */
static void on_resize(int sig _unused_)
{
}

bool terminal_is_there(void)
{
	return isatty(STDOUT_FILENO);
}

void terminal_enter(void)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};

	has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		handle(ends[i], on_end);
	handle(SIGTSTP, on_stop);
	handle(SIGWINCH, on_resize);
	/* Full: then exit() leaves it as it is, and those who call it leave it before. */
	(void)atexit(terminal_leave);
	enter();
}

/* ---- what is on it ---- */

void terminal_size(size_t *ret_rows, size_t *ret_columns)
{
	struct winsize size;
	bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;

	*ret_rows = known && size.ws_row ? size.ws_row : 24;
	*ret_columns = known && size.ws_col ? size.ws_col : 80;
}

/* How many bytes of a line fit: those that go on with a character take no column. */
static size_t fitting(const char *line, size_t len, size_t columns)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++) {
		if (((unsigned char)line[i] & 0xc0) == 0x80)
			continue;
		if (n++ == columns)
			break;
	}
	return i;
}

void terminal_show(const char *text, size_t rows, size_t columns)
{
	(void)fputs("\033[H", stdout);
	for (size_t row = 0; *text && row < rows; row++) {
		size_t len = strcspn(text, "\n");

		/* Behind the last row nothing: it would scroll. */
		(void)printf("%s%.*s\033[K", row ? "\r\n" : "", (int)fitting(text, len, columns),
			     text);
		text += len + (text[len] == '\n');
	}
	(void)fputs("\033[J", stdout);
	(void)fflush(stdout); /* fails: the next one does, too, and the terminal is gone */
}

int terminal_wait(uint64_t until_ns)
{
	struct pollfd p = {.fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN};
	uint64_t now = now_ns();
	char key;
	ssize_t n;

	if (poll(&p, 1, now < until_ns ? (int)((until_ns - now) / NSEC_PER_MSEC) + 1 : 0) <= 0)
		return TERMINAL_NO_KEY;
	n = read(STDIN_FILENO, &key, 1);
	if (n == 1)
		return (unsigned char)key;
	return n < 0 && (errno == EINTR || errno == EAGAIN) ? TERMINAL_NO_KEY : TERMINAL_ENDED;
}
