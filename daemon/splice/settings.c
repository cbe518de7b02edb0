// SPDX-License-Identifier: GPL-2.0-or-later
#include "settings.h"

#include "../config/config.h"

/* One that has moved this much by hand is worth the kernel before it is old enough. */
#define EARLY_BYTES (64 * 1024)

void splice_settings_init(struct splice_settings *ret, const struct config *c)
{
	*ret = (struct splice_settings){
	    .low = c->splice_low,
	    .high = c->splice_high,
	    .hard = c->splice_hard,
	    .window = c->splice_window,
	    .engage_after = c->engage_after,
	    .early_bytes = EARLY_BYTES,
	    .budget = UINT64_MAX,
	    .read_size = STREAM_READ,
	    .bypass_high = c->bypass_high,
	    .bypass_low = c->bypass_low,
	    .bypass_messages = c->bypass_messages,
	    .bypass_trusts_all = c->bypass_trust == BYPASS_TRUST_ALL,
	    .copy_only = c->engine == ENGINE_COPY,
	};
}
