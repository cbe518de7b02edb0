// SPDX-License-Identifier: GPL-2.0-or-later
#include "ledger.h"

#include <stdlib.h>

#include "log.h"
#include "tcpstate.h"

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

void ledger_claim(struct conn *c, uint64_t end)
{
	c->claimed = MAX(c->claimed, end);
}

bool ledger_taken(const struct conn *c, uint64_t *ret)
{
	/* What stands for zero bytes: a SYN that was sent, and acknowledged, counts as one. */
	uint64_t written, base = c->based ? c->base : c->side == SIDE_BACKEND;

	if (!c->tcp) {
		*ret = c->sent;
		return true;
	}
	if (tcp_written(c->fd, &written) < 0)
		return false;
	*ret = written - base - c->ended;
	return true;
}

void ledger_close(const struct conn *c)
{
	uint64_t taken;

	if (!checking || !c->claimed || !ledger_taken(c, &taken) || taken >= c->claimed)
		return;
	log_error("%s: %llu bytes were counted as moved, and its TCP has taken %llu",
		  c->side == SIDE_CLIENT ? "client" : "server", (unsigned long long)c->claimed,
		  (unsigned long long)taken);
	abort();
}
