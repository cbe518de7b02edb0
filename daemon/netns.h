/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>

/* The cookie of this process's network namespace, as BPF programs have it; 0: unknown. */
uint64_t netns_cookie(void);
