// SPDX-License-Identifier: GPL-2.0-or-later
#include "slate.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"

/* The beginning of the file, written by one call. */
struct head {
	uint64_t number;  /* of texts so far */
	uint32_t at, len; /* of the one that counts, in bytes */
};

/* A writer who is faster than so many tries is none of ours. */
#define TRIES 100

int slate_new(void)
{
	int fd = memfd_create("spliced-slate", MFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int write_all(int fd, const void *from, size_t len, off_t at)
{
	const char *next = from;

	while (len) {
		ssize_t n = pwrite(fd, next, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		next += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* -EBADMSG: there are fewer bytes. */
static int read_all(int fd, void *to, size_t len, off_t at)
{
	char *next = to;

	while (len) {
		ssize_t n = pread(fd, next, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		next += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* All zero of one that was never written. */
static int read_head(int fd, struct head *ret)
{
	struct stat st;

	*ret = (struct head){0};
	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_size ? read_all(fd, ret, sizeof(*ret), 0) : 0;
}

int slate_write(int fd, const char *text, size_t len)
{
	struct head head;
	int err = len && len <= SLATE_MAX ? read_head(fd, &head) : -EFBIG;
	uint32_t at = sizeof(head);

	if (err)
		return err;
	/* Beside the one that counts: before it, if there is room, or behind it. */
	if (head.number && at + len > head.at)
		at = head.at + head.len;
	err = write_all(fd, text, len, at);
	if (err)
		return err;
	head = (struct head){.number = head.number + 1, .at = at, .len = (uint32_t)len};
	return write_all(fd, &head, sizeof(head), 0);
}

static int read_text(int fd, const struct head *head, char **ret)
{
	char *text;
	int err;

	if (!head->number)
		return -ENODATA;
	if (!head->len || head->len > SLATE_MAX)
		return -EBADMSG;
	text = malloc(head->len + 1);
	if (!text)
		return -ENOMEM;
	err = read_all(fd, text, head->len, head->at);
	text[head->len] = '\0';
	if (err)
		free(text);
	else
		*ret = text;
	return err;
}

int slate_read(int fd, char **ret)
{
	struct head head, after;
	int err = read_head(fd, &head);

	for (int i = 0; !err && i < TRIES; i++) {
		err = read_text(fd, &head, ret);
		if (err)
			return err;
		/* Meanwhile its place may have got another one. */
		err = read_head(fd, &after);
		if (!err && memcmp(&head, &after, sizeof(head)) == 0)
			return 0;
		free(*ret);
		*ret = NULL;
		head = after;
	}
	return err ? err : -EAGAIN;
}
