// SPDX-License-Identifier: GPL-2.0-or-later
#include "news.h"

#include <stdio.h>

#include "../config/config.h"
#include "../conn.h"
#include "../log.h"

/* A server that comes and goes all the time has this many lines in this time. */
#define TELL_MAX    10
#define TELL_PERIOD (10 * NSEC_PER_SEC)

void news_note(struct news *n, struct news_quota *quota, const struct health *h,
	       const struct pool_config *c, enum health_state was, uint64_t now)
{
	enum health_state is = health_state_of(h);

	/* That it is as was to be expected is no news. */
	if (was == HEALTH_UNCHECKED && is == HEALTH_UP)
		return;
	if (!quota->since_ns || now - quota->since_ns >= TELL_PERIOD) {
		quota->since_ns = now;
		quota->told = 0;
	}
	if (quota->told++ >= TELL_MAX) {
		quota->quiet++;
		return;
	}
	*n = (struct news){
	    .any = true,
	    .was = was,
	    .is = is,
	    .fails = h->fails,
	    .row = h->row,
	    .need = is == HEALTH_RISING ? c->health_rise : c->health_fall,
	    .quiet = quota->quiet,
	    .time_ns = h->time_ns,
	};
	(void)snprintf(n->why, sizeof(n->why), "%s",
		       is == HEALTH_EJECTED ? conn_strerror(h->err) : h->check.words);
	quota->quiet = 0;
}

static const char *plural(unsigned int n)
{
	return n == 1 ? "" : "s";
}

static void format_time(uint64_t ns, char *buf, size_t size)
{
	if (ns % NSEC_PER_SEC)
		(void)snprintf(buf, size, "%llums", (unsigned long long)(ns / NSEC_PER_MSEC));
	else
		(void)snprintf(buf, size, "%llus", (unsigned long long)(ns / NSEC_PER_SEC));
}

/* What has happened to it. */
static void describe(const struct news *n, char *buf, size_t size)
{
	char time[32];

	switch (n->is) {
	case HEALTH_EJECTED:
		format_time(n->time_ns, time, sizeof(time));
		(void)snprintf(buf, size, "failed %u time%s (%s), passed over for %s", n->fails,
			       plural(n->fails), n->why, time);
		break;
	case HEALTH_FALLING:
		(void)snprintf(buf, size, "going down: check failed (%s), %u of %u", n->why, n->row,
			       n->need);
		break;
	case HEALTH_DOWN:
		(void)snprintf(buf, size, "down: %u check%s failed (%s)", n->row, plural(n->row),
			       n->why);
		break;
	case HEALTH_RISING:
		(void)snprintf(buf, size, "going up: check passed (%s), %u of %u", n->why, n->row,
			       n->need);
		break;
	default:
		if (n->was == HEALTH_FALLING)
			(void)snprintf(buf, size, "not going down: check passed (%s)", n->why);
		else if (n->was == HEALTH_EJECTED)
			(void)snprintf(buf, size, "is back");
		else
			(void)snprintf(buf, size, "is back: %u check%s passed (%s)", n->row,
				       plural(n->row), n->why);
	}
}

void news_tell(const struct news *n, const char *pool, const char *server, const struct addr *where)
{
	char text[ADDR_STR_MAX], address[ADDR_STR_MAX + 16] = "", quiet[64] = "", what[256];
	enum log_level level =
	    n->is == HEALTH_DOWN || n->is == HEALTH_EJECTED ? LOG_LVL_WARNING : LOG_LVL_INFO;

	if (!n->any)
		return;
	if (where)
		(void)snprintf(address, sizeof(address), " address %s", addr_format(where, text));
	if (n->quiet)
		(void)snprintf(quiet, sizeof(quiet), " (%u changes before were not logged)",
			       n->quiet);
	describe(n, what, sizeof(what));
	log_about(level,
		  LOG_ABOUT(.event = "server", .pool = pool, .server = server,
			    .state = health_state_str[n->is]),
		  "server %s/%s:%s %s%s", pool, server, address, what, quiet);
}
