// SPDX-License-Identifier: GPL-2.0-or-later
#include "fault.h"

#include <uthash.h>

#include "../conn.h"
#include "../log.h"

/* Whether the last line of the kind is a second ago; if so, `*reported_ns` is now. */
static bool is_due(atomic_uint_fast64_t *reported_ns, uint64_t now)
{
	uint64_t last = atomic_load(reported_ns);

	return (!last || (int64_t)(now - last) >= (int64_t)NSEC_PER_SEC) &&
	       atomic_compare_exchange_strong(reported_ns, &last, now);
}

/* Behind a server that is `original:` every destination is one: what is said of one of them is not
 * to hide another, but for the few that share a place here. */
static atomic_uint_fast64_t *place_of(struct server *s, const struct addr *where)
{
	static atomic_uint_fast64_t destinations[256];
	unsigned int hash;

	if (!server_is_original(s))
		return &s->reported_ns;
	HASH_VALUE(&where->sa, where->len, hash);
	return &destinations[hash % ARRAY_SIZE(destinations)];
}

void fault_report(const char *pool, struct server *s, const struct addr *where,
		  const struct addr *client, int err, uint64_t now)
{
	char at[ADDR_STR_MAX], from[ADDR_STR_MAX];

	if (!is_due(place_of(s, where), now))
		return;
	log_about(LOG_LVL_WARNING, LOG_ABOUT(.pool = pool, .server = s->name),
		  "pool %s: server %s: connecting to %s%s%s: %s", pool, s->name,
		  addr_format(where, at), client ? " from the address of " : "",
		  client ? addr_format(client, from) : "", conn_strerror(err));
}

void fault_report_unknown(const char *pool, uint64_t now)
{
	static atomic_uint_fast64_t reported_ns;

	if (!is_due(&reported_ns, now))
		return;
	log_warn("pool %s: nobody knows where the client wanted to go: its connect was not "
		 "intercepted, but made to the listener itself",
		 pool);
}
