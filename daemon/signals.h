/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signals. Those in the table of signals.c are blocked in every thread and read from a signalfd in
 * the loop of the main thread, so none of them has its default action, which for most is the end of
 * the process, and none interrupts a system call. Those of a crash (SEGV, ABRT, ...), and STOP,
 * TSTP and KILL, are left alone.
 */
#pragma once

#include <event2/event.h>

enum signal_action {
	SIGNAL_END,     /* drain, and at the second one end */
	SIGNAL_RELOAD,  /* read the configuration again */
	SIGNAL_REOPEN,  /* open the log files again */
	SIGNAL_UPGRADE, /* start the program and the file that are there now */
	SIGNAL_CHILD,   /* a child has ended, or several */
	SIGNAL_IGNORE,  /* told in the log, at most once in a while for each, and nothing else */
};

typedef void (*signal_fn)(enum signal_action action, int sig, void *arg);

struct signals {
	struct event *event;
	int fd;
	signal_fn act; /* is not called for SIGNAL_IGNORE */
	void *arg;
};

/* Blocks them; what comes from now on waits for signals_open(). Before any thread is started: they
 * inherit it. */
void signals_block(void);
/* 0 or a negative errno. */
int signals_open(struct signals *s, struct event_base *base, signal_fn act, void *arg);
/* They stay blocked: one that comes now must not find the default action. A zeroed struct is fine.
 */
void signals_close(struct signals *s);
