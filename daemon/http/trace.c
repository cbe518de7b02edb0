// SPDX-License-Identifier: GPL-2.0-or-later
#include "trace.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "../config/config.h"

#define VERSION_LEN 2
#define SPAN_ID_LEN 16
#define FLAGS_LEN   2
#define TRACE_ID_AT (VERSION_LEN + 1)
#define SPAN_ID_AT  (TRACE_ID_AT + TRACE_ID_LEN + 1)
#define FLAGS_AT    (SPAN_ID_AT + SPAN_ID_LEN + 1)

/* Digits as they must be written, in lower case. */
static bool is_hex(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
			return false;
	return true;
}

/* An id, which is no id if it is all zeros. */
static bool is_id(const char *text, size_t len)
{
	size_t zeros = 0;

	while (zeros < len && text[zeros] == '0')
		zeros++;
	return zeros < len && is_hex(text, len);
}

const char *trace_parse(const char *value, size_t len)
{
	if (len < TRACE_PARENT_LEN || !is_hex(value, VERSION_LEN) || memcmp(value, "ff", 2) == 0 ||
	    value[TRACE_ID_AT - 1] != '-' || value[SPAN_ID_AT - 1] != '-' ||
	    value[FLAGS_AT - 1] != '-' || !is_id(value + TRACE_ID_AT, TRACE_ID_LEN) ||
	    !is_id(value + SPAN_ID_AT, SPAN_ID_LEN) || !is_hex(value + FLAGS_AT, FLAGS_LEN))
		return NULL;
	/* A later version may have more, behind another dash. */
	if (len > TRACE_PARENT_LEN &&
	    (memcmp(value, "00", 2) == 0 || value[TRACE_PARENT_LEN] != '-'))
		return NULL;
	return value + TRACE_ID_AT;
}

/* The client's; NULL: it says none, one that is not valid, or several. */
static const char *sent_id(const struct http_head *head, const char *in)
{
	const char *id = NULL;
	bool found = false;

	for (unsigned int i = 0; i < head->n_fields; i++) {
		const struct http_field *f = &head->fields[i];

		/* One that is named in Connection does not go on. */
		if (f->id != FIELD_TRACEPARENT || f->named)
			continue;
		if (found)
			return NULL;
		found = true;
		id = trace_parse(in + f->value.at, f->value.len);
	}
	return id;
}

/* Never 0, which is no id; where the kernel gives none it is at least that. */
static uint64_t random_id(void)
{
	uint64_t n = 0;

	if (getrandom(&n, sizeof(n), 0) != (ssize_t)sizeof(n))
		n = 0;
	return n ? n : 1;
}

static void begin(unsigned int percent, struct trace *ret)
{
	uint64_t high = random_id(), low = random_id(), span = random_id();

	(void)snprintf(ret->parent, sizeof(ret->parent), "00-%016llx%016llx-%016llx-%02x",
		       (unsigned long long)high, (unsigned long long)low, (unsigned long long)span,
		       random_id() % 100 < percent);
	(void)memcpy(ret->id, ret->parent + TRACE_ID_AT, TRACE_ID_LEN);
}

void trace_of(const struct listener_config *c, const struct http_head *head, const char *in,
	      struct trace *ret)
{
	const char *id = c->traceparent == TRACEPARENT_REPLACE ? NULL : sent_id(head, in);

	*ret = (struct trace){0};
	if (id)
		(void)memcpy(ret->id, id, TRACE_ID_LEN);
	else if (c->traceparent != TRACEPARENT_PASS)
		begin(c->traceparent_sample, ret);
}
