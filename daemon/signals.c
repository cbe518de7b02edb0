// SPDX-License-Identifier: GPL-2.0-or-later
#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

#include "log.h"

/*
 * What is ignored is what would end or stop a daemon that somebody sent it by mistake, or that the
 * kernel sends for a reason that is no reason to end: a terminal (TTIN, TTOU), a write to a peer
 * that has gone (PIPE) or beyond a limit of file sizes (XFSZ; the call fails as well), a soft limit
 * of CPU time (XCPU). What is ignored by default anyway (WINCH, URG, CONT) is not here.
 */
static const struct {
	int sig;
	enum signal_action action;
} table[] = {
    {SIGTERM, SIGNAL_END},      {SIGINT, SIGNAL_END},       {SIGQUIT, SIGNAL_END},
    {SIGHUP, SIGNAL_RELOAD},    {SIGUSR1, SIGNAL_REOPEN},   {SIGUSR2, SIGNAL_UPGRADE},
    {SIGCHLD, SIGNAL_CHILD},    {SIGALRM, SIGNAL_IGNORE},   {SIGIO, SIGNAL_IGNORE},
    {SIGPIPE, SIGNAL_IGNORE},   {SIGPROF, SIGNAL_IGNORE},   {SIGPWR, SIGNAL_IGNORE},
    {SIGSTKFLT, SIGNAL_IGNORE}, {SIGTTIN, SIGNAL_IGNORE},   {SIGTTOU, SIGNAL_IGNORE},
    {SIGXCPU, SIGNAL_IGNORE},   {SIGVTALRM, SIGNAL_IGNORE}, {SIGXFSZ, SIGNAL_IGNORE},
};

/* Each ignored signal has one line in this time. */
#define TOLD_NS (10 * NSEC_PER_SEC)

static enum signal_action action_of(int sig)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].sig == sig)
			return table[i].action;
	return SIGNAL_IGNORE; /* a real-time one */
}

static void fill(sigset_t *set)
{
	(void)sigemptyset(set);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		(void)sigaddset(set, table[i].sig);
	for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++)
		(void)sigaddset(set, sig);
}

/*
 * The two signals that the C library keeps for its threads (32, 33) can be neither blocked nor
 * ignored through it. It sets its own handlers where it needs them, and these look at who sent the
 * signal; until then the default action would end the process. The struct is the kernel's, for
 * architectures where the handler is its first field.
 */
static void ignore_reserved(void)
{
#if defined(__x86_64__) || defined(__aarch64__) || defined(__riscv)
	const struct {
		void (*handler)(int);
		unsigned long flags;
		void (*restorer)(void);
		uint64_t mask;
	} ignore = {.handler = SIG_IGN};

	for (int sig = 32; sig < SIGRTMIN; sig++)
		if (syscall(SYS_rt_sigaction, sig, &ignore, NULL, sizeof(ignore.mask)) < 0)
			log_debug("signal %d cannot be ignored: %s", sig, strerror(errno));
#endif
}

void signals_block(void)
{
	sigset_t set;

	fill(&set);
	/* Cannot fail: the set is valid. */
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	ignore_reserved();
}

static const char *name_of(int sig, char buf[32])
{
	const char *name = sigabbrev_np(sig);

	if (name)
		(void)snprintf(buf, 32, "SIG%s", name);
	else
		(void)snprintf(buf, 32, "SIGRTMIN+%d", sig - SIGRTMIN);
	return buf;
}

static void tell_ignored(const struct signalfd_siginfo *info)
{
	static uint64_t told[_NSIG + 1];
	static unsigned int untold[_NSIG + 1];
	uint64_t now = now_ns();
	uint32_t sig = info->ssi_signo;
	char name[32], more[64] = "";

	/* The kernel's word to this very thread about a call of its own, which fails as well. */
	if (info->ssi_pid == (uint32_t)getpid() || sig > _NSIG)
		return;
	if (told[sig] && now - told[sig] < TOLD_NS) {
		untold[sig]++;
		return;
	}
	if (untold[sig])
		(void)snprintf(more, sizeof(more), " (and %u more since the last line)",
			       untold[sig]);
	log_write_all(LOG_LVL_WARNING, "signal %u (%s) from process %u of user %u: ignored%s", sig,
		      name_of((int)sig, name), info->ssi_pid, info->ssi_uid, more);
	told[sig] = now;
	untold[sig] = 0;
}

static void on_signal(evutil_socket_t fd, short what _unused_, void *arg)
{
	struct signalfd_siginfo info;
	struct signals *s = arg;
	enum signal_action action;

	/* One a turn: a flood of them leaves time for everything else. */
	if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	action = action_of((int)info.ssi_signo);
	if (action == SIGNAL_IGNORE)
		tell_ignored(&info);
	else
		s->act(action, (int)info.ssi_signo, s->arg);
}

int signals_open(struct signals *s, struct event_base *base, signal_fn act, void *arg)
{
	sigset_t set;

	fill(&set);
	*s = (struct signals){.fd = -1, .act = act, .arg = arg};
	s->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (s->fd < 0)
		return -errno;
	s->event = event_new(base, s->fd, EV_READ | EV_PERSIST, on_signal, s);
	if (!s->event || event_add(s->event, NULL) < 0) {
		signals_close(s);
		return -ENOMEM;
	}
	return 0;
}

void signals_close(struct signals *s)
{
	if (!s->act)
		return;
	if (s->event)
		event_free(s->event);
	closep_(&s->fd);
	s->act = NULL;
}
