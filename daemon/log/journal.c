// SPDX-License-Identifier: GPL-2.0-or-later
#include "journal.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../util.h"

#define NAME_MAX_LEN 64
/* Values are not cut shorter than this: all fields with so much fit. */
#define SHORTEST_VALUE 64

bool journal_is_stream(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;
	char rest;

	if (!stream || sscanf(stream, "%llu:%llu%c", &dev, &ino, &rest) != 2)
		return false;
	return fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

int journal_open(void)
{
	static const struct sockaddr_un where = {AF_UNIX, JOURNAL_SOCKET};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)&where, sizeof(where)) < 0) {
		int err = errno;

		(void)close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

/* ---- a datagram ------------------------------------------------------------------------- */

/* What is written so far; length grows beyond size, as snprintf() counts. */
struct record {
	char *buf;
	size_t size, length;
};

static void put(struct record *r, const void *data, size_t len)
{
	if (r->length + len <= r->size)
		memcpy(r->buf + r->length, data, len);
	r->length += len;
}

/* A value with a newline has its length before it: else what a peer sent could be fields of its
 * own. */
static void put_field(struct record *r, const char *name, const char *value, size_t len,
		      const char *end)
{
	size_t end_len = strlen(end);

	put(r, name, strlen(name));
	if (memchr(value, '\n', len)) {
		uint64_t size = htole64(len + end_len);

		put(r, "\n", 1);
		put(r, &size, sizeof(size));
	} else {
		put(r, "=", 1);
	}
	put(r, value, len);
	put(r, end, end_len);
	put(r, "\n", 1);
}

static void put_number(struct record *r, const char *name, uint64_t number)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)number);

	put_field(r, name, text, (size_t)n, "");
}

static void put_text(struct record *r, const char *name, const char *text, size_t limit)
{
	size_t n = strnlen(text, limit + 1);
	bool cut = n > limit;

	n = MIN(n, limit);
	/* Not in the middle of a character. */
	while (cut && n && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	put_field(r, name, text, n, cut ? "..." : "");
}

static void name_of(const char *key, char name[NAME_MAX_LEN])
{
	size_t n = (size_t)snprintf(name, NAME_MAX_LEN, "SPLICED_");

	if (strcmp(key, "id") == 0)
		key = "session";
	for (; *key && n + 1 < NAME_MAX_LEN; key++)
		name[n++] = (char)(*key >= 'a' && *key <= 'z' ? *key - 'a' + 'A' : *key);
	name[n] = '\0';
}

static void put_entry(struct record *r, const struct access_entry *e, size_t limit)
{
	char name[NAME_MAX_LEN];

	put_text(r, "SPLICED_EVENT", e->kind, limit);
	for (size_t i = 0; i < e->n_fields; i++) {
		const struct access_field *f = &e->fields[i];

		name_of(f->key, name);
		if (f->is_number)
			put_number(r, name, f->number);
		else if (f->text)
			put_text(r, name, f->text, limit);
	}
}

size_t journal_format(int priority, const char *text, size_t len, const struct access_entry *e,
		      char out[JOURNAL_RECORD_MAX])
{
	size_t limit = JOURNAL_RECORD_MAX;
	struct record r;

	do {
		r = (struct record){.buf = out, .size = JOURNAL_RECORD_MAX};
		put_field(&r, "MESSAGE", text, len, "");
		put_number(&r, "PRIORITY", (uint64_t)priority);
		put_field(&r, "SYSLOG_IDENTIFIER", "spliced", strlen("spliced"), "");
		put_entry(&r, e, limit);
		limit /= 2;
	} while (r.length > r.size && limit >= SHORTEST_VALUE);
	return MIN(r.length, r.size);
}
