// SPDX-License-Identifier: GPL-2.0-or-later
#include "ledger.h"

#include <stdlib.h>

#include "log.h"

/* A build with sanitizers is one for finding faults. clang says so in another way than gcc. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define IS_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(IS_SANITIZED)
static bool checking = true;
#else
static bool checking;
#endif

void ledger_check_bytes(void)
{
	checking = true;
}

bool ledger_is_checking(void)
{
	return checking;
}

void ledger_check(const char *whose, uint64_t claimed, uint64_t taken)
{
	if (taken >= claimed)
		return;
	log_error("%s: %llu bytes were counted as moved, and its TCP has taken %llu", whose,
		  (unsigned long long)claimed, (unsigned long long)taken);
	abort();
}
