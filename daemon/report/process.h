/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel knows of this process. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct process;

struct process_figures {
	double cpu_seconds;
	double start_seconds; /* since 1970 */
	uint64_t open_fds, max_fds, resident_bytes, virtual_bytes;
	bool has_fds, has_memory; /* they could be read */
};

/* Opens what it will read, so that it can be when there are no descriptors left. NULL: out of
 * memory.
 */
struct process *process_open(void);
void process_close(struct process *p); /* NULL is allowed */
void process_read(struct process *p, struct process_figures *ret);
