// SPDX-License-Identifier: GPL-2.0-or-later
#include "date.h"

#include <stdio.h>
#include <time.h>

#include "../home.h"

/* Not with strftime(): its names are the locale's. */
const char *http_date(struct home *h)
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t now = time(NULL);
	struct tm t;

	if (now == h->date_at || !gmtime_r(&now, &t))
		return h->date;
	h->date_at = now;
	(void)snprintf(h->date, sizeof(h->date), "%s, %02u %s %04u %02u:%02u:%02u GMT",
		       days[t.tm_wday % 7], (unsigned int)t.tm_mday % 100, months[t.tm_mon % 12],
		       (unsigned int)(t.tm_year + 1900) % 10000, (unsigned int)t.tm_hour % 100,
		       (unsigned int)t.tm_min % 100, (unsigned int)t.tm_sec % 100);
	return h->date;
}
