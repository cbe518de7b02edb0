// SPDX-License-Identifier: GPL-2.0-or-later
#include "page.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "../util.h"
#include "json.h"
#include "snapshot.h"

#define MARK "@NONCE@"

/* Made of the files in page/ by the Makefile. */
static const char page_text[] =
#include "page.inc"
    ;

void page_nonce(char ret[PAGE_NONCE_MAX])
{
	unsigned char random[(PAGE_NONCE_MAX - 1) / 2];

	/* So few bytes come whole or, before the kernel has any, late: never in part. */
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		memset(random, 0, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", random[i]);
}

char *page_html(const char *nonce, size_t *ret_len)
{
	size_t len = strlen(nonce), n = 0;
	char *html, *at;

	for (const char *mark = page_text; (mark = strstr(mark, MARK)); mark += strlen(MARK))
		n++;
	html = malloc(sizeof(page_text) + n * len);
	if (!html)
		return NULL;
	at = html;
	for (const char *from = page_text, *mark;; from = mark + strlen(MARK)) {
		mark = strstr(from, MARK);
		if (!mark) {
			*ret_len = (size_t)(stpcpy(at, from) - html);
			return html;
		}
		at = mempcpy(at, from, (size_t)(mark - from));
		at = mempcpy(at, nonce, len);
	}
}

char *page_json(struct daemon *d, const struct doctor *doctor, const struct addr *where,
		const char *not_ready, size_t *ret_len)
{
	struct status_snapshot status;
	struct stats_snapshot stats;
	json_t *all = NULL;
	char *text;

	snapshot_stats(d, doctor, &stats);
	if (snapshot_status(d, doctor, &status) == 0) {
		status.status = where;
		all = json_pack("{s:o, s:o, s:s}", "status", json_of_status(&status), "stats",
				json_of_stats(&stats), "not_ready", not_ready);
	}
	snapshot_status_free(&status);
	text = all ? json_dumps(all, JSON_COMPACT) : NULL;
	json_decref(all);
	*ret_len = text ? strlen(text) : 0;
	return text;
}
