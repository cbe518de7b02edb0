/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spliced-load: both ends of a proxy in one program, every byte of both checked.
 * One thread: an epoll loop over the listeners, the endpoints, stdin and SIGUSR1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "../../daemon/util.h"
#include "run.h"

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void prepare(struct run *run)
{
	TAILQ_INIT(&run->sleepers);
	report_init(&run->report);
	run->random = run->opt.seed;
	run->started = now_ns();
	run->deadline = run->started + run->opt.timeout;
	run->epoll = epoll_create1(EPOLL_CLOEXEC);
	run->buf = malloc(CHUNK);
	run->clients = calloc(run->opt.sessions, sizeof(*run->clients));
	if (run->epoll < 0 || !run->buf || !run->clients) {
		perror("spliced-load");
		exit(1);
	}
}

static void clean_up(struct run *run)
{
	for (unsigned int i = 0; i < run->n_servers; i++)
		free(run->servers[i]);
	free(run->servers);
	free(run->clients);
	free(run->buf);
}

int main(int argc, char **argv)
{
	static struct run run;
	int status;

	options_parse(argc, argv, &run.opt);
	raise_descriptor_limit();
	prepare(&run);
	sessions_listen(&run);
	report_backends(&run);
	if (run.opt.direct) {
		run.n_targets = run.opt.n_listen;
		memcpy(run.targets, run.backends, sizeof(run.targets));
		run.targets_known = true;
	}
	run_loop(&run);
	sessions_judge(&run);
	status = report_result(&run);
	clean_up(&run);
	return status;
}
