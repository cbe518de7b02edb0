/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a busy machine keeps from this process. */
#pragma once

#include <stdint.h>

/*
 * How many ns those threads of this process that live have been ready to run, and had no processor:
 * the sum of the second numbers of /proc/self/task/TID/schedstat (run_delay, kernel/sched/stats.h).
 * What a cgroup's quota keeps from them is part of it. 0 where the kernel does not tell.
 */
uint64_t starved_ns(void);
