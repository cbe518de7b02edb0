// SPDX-License-Identifier: GPL-2.0-or-later
#include "flush.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "drain.h"
#include "wait.h"

/* Writes `len` bytes; *ret is how many fitted, also in failure. 0 or a negative errno of the
 * target. */
static int write_some(struct stream *s, const char *data, size_t len, size_t *ret)
{
	size_t done = 0;
	int err = 0;

	while (!err && done < len && s->target->writable) {
		ssize_t n = send(s->target->fd, data + done, len - done, MSG_NOSIGNAL);

		if (n >= 0) {
			done += (size_t)n;
			continue;
		}
		if (errno == EAGAIN)
			s->target->writable = false;
		else if (errno != EINTR)
			err = -errno;
	}
	s->target->sent += done;
	s->copied += done;
	*ret = done;
	return err;
}

int stream_flush(struct stream *s)
{
	size_t n;
	int err = write_some(s, s->pending + s->pending_at, s->pending_len, &n);

	if (err)
		return err;
	s->pending_at += (uint32_t)n;
	s->pending_len -= (uint32_t)n;
	if (!s->pending_len) {
		free(s->pending);
		s->pending = NULL;
		s->pending_at = 0;
	}
	return 0;
}

int stream_write(struct stream *s, const char *data, size_t len)
{
	size_t written;
	int err = write_some(s, data, len, &written);

	if (!err && written < len)
		err = stream_keep(s, data + written, len - written);
	if (written < len)
		s->plenty = false;
	return err;
}

void copy_flush(struct stream *s)
{
	int err;

	if (!stream_target_drained(s))
		return;
	err = stream_flush(s);
	if (err)
		stream_failed(s, s->target, -err);
	else if (!s->pending_len)
		stream_again(s);
	else
		stream_wait_drain(s, s->pending_len, 0);
}
