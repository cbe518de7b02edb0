/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configuration files. Whatever the bytes are, they are refused with a message or mean something
 * that can be written down; what is written down is read again, and means the same.
 */
#include <stdint.h>
#include <string.h>

#include "../../daemon/config/config.h"

/* Returns what config_load_stream() does; *messages is what went to the errors. */
static int load(const void *text, size_t len, struct config **ret, char **messages)
{
	FILE *stream = fmemopen((void *)(uintptr_t)text, len, "r");
	size_t size;
	FILE *errors = open_memstream(messages, &size);
	int r;

	if (!stream || !errors)
		abort();
	r = config_load_stream("fuzz.conf", stream, ret, errors);
	(void)fclose(stream);
	(void)fclose(errors);
	if ((r < 0) != (size > 0))
		abort();
	return r;
}

static char *dumped(const struct config *c)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	config_dump(c, out);
	(void)fclose(out);
	return text;
}

/* Every line of the messages is FILE:LINE: what is wrong, without a byte that a terminal obeys. */
static void check_messages(const char *messages)
{
	for (const char *line = messages; *line; line += strcspn(line, "\n") + 1)
		if (strncmp(line, "fuzz.conf:", strlen("fuzz.conf:")) != 0 ||
		    line[strcspn(line, "\n")] != '\n')
			abort();
	for (const char *c = messages; *c; c++)
		if (((unsigned char)*c < ' ' && *c != '\n') || *c == 0x7f)
			abort();
}

static void check_dump(const struct config *c)
{
	_cleanup_free_ char *text = dumped(c), *messages = NULL, *text_again = NULL;
	_cleanup_config_ struct config *again = NULL;

	if (load(text, strlen(text), &again, &messages) < 0) {
		fprintf(stderr, "%s\n%s", text, messages);
		abort();
	}
	text_again = dumped(again);
	if (strcmp(text, text_again) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_config_ struct config *c = NULL;
	_cleanup_free_ char *messages = NULL;

	if (load(data, size, &c, &messages) < 0)
		check_messages(messages);
	else
		check_dump(c);
	return 0;
}
