// SPDX-License-Identifier: GPL-2.0-or-later
#include "doctor.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "../cgroup.h"
#include "../log.h"
#include "../splice/obstacle.h"
#include "../util.h"
#include "bypasscanary.h"
#include "canary.h"
#include "interceptcheck.h"
#include "steercheck.h"

/* libbpf's own messages go out one level below ours: its warnings are our debug lines. */
static int libbpf_print(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char line[512];
	int n;

	if (level > LIBBPF_WARN || !log_enabled(LOG_LVL_DEBUG))
		return 0;
	n = vsnprintf(line, sizeof(line), fmt, args);
	while (n > 0 && n < (int)sizeof(line) && line[n - 1] == '\n')
		line[--n] = '\0';
	log_debug("%s", line);
	return 0;
}

static void add(struct doctor *d, const char *name, const char *answer, const char *why,
		const char *fact)
{
	(void)json_array_append_new(d->checks,
				    json_pack("{s:s, s:s, s:s, s:s}", "name", name, "answer",
					      answer, "why", why, "fact", fact));
}

static void check_obstacle(struct doctor *d, enum obstacle o)
{
	char why[128];
	bool there = obstacle_is_there(o, why);

	add(d, obstacle_check[o], there ? "no" : "yes", why, obstacle_fact[o]);
}

static void check_kernel(struct doctor *d)
{
	char path[512];
	int err;

	check_obstacle(d, OBSTACLE_NO_BTF);
	err = cgroup_own_path(path, sizeof(path));
	add(d, "cgroup2", err ? "no" : "yes", err ? cgroup_strerror(err) : path,
	    "sockops is attached to the daemon's own cgroup");
}

void doctor_begin(struct doctor *d, enum engine_choice choice)
{
	*d = (struct doctor){.checks = json_array()};
	libbpf_set_print(libbpf_print);
	if (choice == ENGINE_COPY) {
		(void)snprintf(d->reason, sizeof(d->reason), "engine = copy is configured");
		(void)snprintf(d->canary, sizeof(d->canary), "not run: engine = copy");
	}
	check_kernel(d);
}

void doctor_load(struct doctor *d, const struct maps_options *options, struct maps **maps)
{
	char why[256];
	int err;

	for (int i = 0; i < OBSTACLE_NO_BTF; i++)
		check_obstacle(d, (enum obstacle)i);
	err = maps_open(options, maps, why);
	add(d, "programs", err ? "no" : "yes", err ? why : "",
	    "sk_skb stream_verdict, sockops, sockhash, ring buffer and bpf_loop() load");
	if (err) {
		(void)snprintf(d->reason, sizeof(d->reason), "the kernel engine is off: %s", why);
		(void)snprintf(d->canary, sizeof(d->canary), "not run: %s", why);
		return;
	}
	add(d, "sockops", (*maps)->collected ? "yes" : "no", why,
	    "sources leave the verdict map under their lock; without it a delete can meet a "
	    "verdict");
	if (!(*maps)->collected)
		log_warn("sockops is not attached: %s: sources leave the kernel without their "
			 "lock (unlocked_deletes), and a segment that comes at that moment may be "
			 "lost, which ends its session with a reset (integrity_aborts)",
			 why);
	d->kernel = true;
	(void)snprintf(d->reason, sizeof(d->reason), "the canary was switched off");
	(void)snprintf(d->canary, sizeof(d->canary), "not run: switched off");
}

void doctor_load_bypass(struct doctor *d, const struct bypass_maps_options *options,
			struct bypass_maps **maps)
{
	char why[256];
	int err = bypass_maps_open(options, maps, why);

	add(d, "bypass", err ? "no" : "yes",
	    err               ? why
	    : options->cgroup ? options->cgroup
			      : "",
	    "sk_msg, sockops of the applications' cgroup, and a program that looks at sockets "
	    "load");
	if (err)
		log_warn("there is no bypass: %s", why);
}

bool doctor_prove_bypass(struct doctor *d, struct bypass_maps *maps, struct maps *kernel)
{
	struct canary_time time = CANARY_TIME;
	struct canary_result result = {.ok = true};
	bool works = true;

	for (int i = 0; i < _BYPASS_CHECK_MAX; i++) {
		if (!result.ok) {
			add(d, bypass_check_name[i], "-", "not run", bypass_check_fact[i]);
			continue;
		}
		bypass_check_run(maps, kernel, (enum bypass_check)i, &time, &result);
		add(d, bypass_check_name[i], result.ok ? "yes" : "no", result.why,
		    bypass_check_fact[i]);
		if (!result.ok)
			log_warn("there is no bypass%s: %s: %s",
				 i == BYPASS_CHECK_OUTLET ? " of one application alone" : "",
				 bypass_check_name[i], result.why);
		/* The last one, which the others do without. */
		if (i == BYPASS_CHECK_OUTLET)
			maps->has_outlets = result.ok;
		else
			works = result.ok;
	}
	return works;
}

bool doctor_try_interception(struct doctor *d, char why[256])
{
	int err = intercept_check_run(why);

	add(d, intercept_check_name, err ? "no" : "yes", err ? why : "", intercept_check_fact);
	return !err;
}

bool doctor_try_steering(struct doctor *d, char why[256])
{
	int err = steer_check_run(why);

	add(d, steer_check_name, err ? "no" : "yes", err ? why : "", steer_check_fact);
	return !err;
}

/* The first check that fails settles the answer: the others are named, and not run. */
void doctor_canary(struct doctor *d, struct maps *maps)
{
	struct canary_time time = CANARY_TIME;
	uint64_t took = 0;
	struct canary_result result;

	for (int i = 0; i < _CANARY_MAX; i++) {
		if (!d->kernel) {
			add(d, canary_name[i], "-", "not run", canary_fact[i]);
			continue;
		}
		canary_run(maps, (enum canary_check)i, &time, &result);
		took += result.took_ns;
		add(d, canary_name[i], result.ok ? "yes" : "no", result.why, canary_fact[i]);
		if (result.ok)
			continue;
		d->kernel = false;
		(void)snprintf(d->canary, sizeof(d->canary), "failed: %s: %s", canary_name[i],
			       result.why);
		(void)snprintf(d->reason, sizeof(d->reason), "the kernel engine is off: %s: %s",
			       canary_name[i], result.why);
	}
	if (!d->kernel)
		return;
	(void)snprintf(d->canary, sizeof(d->canary), "passed");
	(void)snprintf(d->reason, sizeof(d->reason), "the canary passed (%d checks, %llu ms)",
		       _CANARY_MAX, (unsigned long long)(took / NSEC_PER_MSEC));
}

json_t *doctor_json(const struct doctor *d)
{
	struct utsname u = {0};

	(void)uname(&u);
	return json_pack("{s:s, s:s, s:s, s:s, s:O}", "kernel", u.release, "engine",
			 d->kernel ? "kernel" : "copy", "engine_reason", d->reason, "canary",
			 d->canary, "checks", d->checks);
}

void doctor_end(struct doctor *d)
{
	json_decref(d->checks);
	d->checks = NULL;
}
