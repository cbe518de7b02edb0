// SPDX-License-Identifier: GPL-2.0-or-later
#include "fault.h"

#include "../conn.h"
#include "../log.h"

void fault_report(const char *pool, struct server *s, const struct addr *where,
		  const struct addr *client, int err, uint64_t now)
{
	uint64_t last = atomic_load(&s->reported_ns);
	char at[ADDR_STR_MAX], from[ADDR_STR_MAX];

	if ((last && (int64_t)(now - last) < (int64_t)NSEC_PER_SEC) ||
	    !atomic_compare_exchange_strong(&s->reported_ns, &last, now))
		return;
	log_about(LOG_LVL_WARNING, LOG_ABOUT(.pool = pool, .server = s->name),
		  "pool %s: server %s: connecting to %s%s%s: %s", pool, s->name,
		  addr_format(where, at), client ? " from the address of " : "",
		  client ? addr_format(client, from) : "", conn_strerror(err));
}

void fault_report_unknown(const char *pool, uint64_t now)
{
	static atomic_uint_fast64_t reported_ns;
	uint64_t last = atomic_load(&reported_ns);

	if ((last && (int64_t)(now - last) < (int64_t)NSEC_PER_SEC) ||
	    !atomic_compare_exchange_strong(&reported_ns, &last, now))
		return;
	log_warn("pool %s: nobody knows where the client wanted to go: its connect was not "
		 "intercepted, but made to the listener itself",
		 pool);
}
