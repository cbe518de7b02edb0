/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers to health checks, as HTTP and as TLS: what is made of the whole is made of every
 * beginning of it, too, or more is awaited.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../daemon/health/answer.h"

static void must(bool true_of_every_input)
{
	if (!true_of_every_input)
		abort();
}

struct verdict {
	enum answer answer;
	unsigned int status;
	int alert;
};

/* In memory of just that size, so that a read beyond its end is seen. */
static struct verdict judge(const uint8_t *data, size_t len, bool tls)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct verdict v = {.alert = -1};

	must(copy);
	if (len)
		memcpy(copy, data, len);
	v.answer = tls ? answer_tls(copy, len, &v.alert) : answer_http(copy, len, &v.status);
	free(copy);
	must(v.answer == ANSWER_MORE || v.answer == ANSWER_GOOD || v.answer == ANSWER_BAD);
	if (v.answer == ANSWER_GOOD && !tls)
		must(v.status >= 100 && v.status <= 999);
	if (v.answer == ANSWER_MORE)
		must(len < ANSWER_MAX);
	return v;
}

static void check(const uint8_t *data, size_t len, bool tls)
{
	struct verdict whole = judge(data, len, tls);
	struct verdict now = {0};

	for (size_t n = 0; n <= len; n++) {
		now = judge(data, n, tls);
		if (now.answer != ANSWER_MORE)
			break;
	}
	/* As soon as it is known it stays so; but a head that is too long is known by its length.
	 */
	must(now.answer == whole.answer);
	if (now.answer == ANSWER_GOOD && !tls)
		must(now.status == whole.status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > ANSWER_MAX)
		return 0;
	check(data, size, false);
	check(data, size, true);
	return 0;
}
