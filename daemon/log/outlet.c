// SPDX-License-Identifier: GPL-2.0-or-later
#include "outlet.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../util.h"
#include "file.h"
#include "journal.h"
#include "syslogd.h"

/* A stuck reader is asked this often. It is also how long the first line waits for the journal
 * where there is no thread. */
#define TICK_MS 250
/* A datagram is tried so often, at such a distance, where room was found and then there was none.
 */
#define SEND_TRIES     50
#define SEND_MOMENT_NS NSEC_PER_MSEC

const char *outlet_name(const struct outlet *o)
{
	static const char *const names[] = {
	    [LOG_PLACE_STDERR] = "standard error",
	    [LOG_PLACE_STDOUT] = "standard output",
	    [LOG_PLACE_JOURNAL] = "the journal",
	    [LOG_PLACE_SYSLOG] = "syslog",
	};

	return o->place.kind == LOG_PLACE_FILE ? o->place.path : names[o->place.kind];
}

bool outlet_is(const struct outlet *o, const struct log_place *p)
{
	const struct log_place *own = &o->place;

	if (own->kind != p->kind)
		return false;
	if (p->kind == LOG_PLACE_FILE)
		return strcmp(own->path, p->path) == 0;
	if (p->kind != LOG_PLACE_SYSLOG)
		return true;
	return own->syslog.len == p->syslog.len && own->syslog.priority == p->syslog.priority &&
	       own->syslog.rfc5424 == p->syslog.rfc5424 &&
	       strcmp(own->syslog.tag, p->syslog.tag) == 0 &&
	       memcmp(&own->syslog.addr, &p->syslog.addr, p->syslog.len) == 0;
}

/* ---- opening ---------------------------------------------------------------------------- */

static bool is_standard(const struct outlet *o)
{
	return o->place.kind == LOG_PLACE_STDERR || o->place.kind == LOG_PLACE_STDOUT;
}

/* A descriptor, of its own where it is no standard one; -1 with errno set. */
static int open_place(const struct outlet *o)
{
	switch (o->place.kind) {
	case LOG_PLACE_FILE:
		return log_file_open(o->place.path, o->uid, o->gid);
	case LOG_PLACE_SYSLOG:
		return syslogd_open(&o->place);
	case LOG_PLACE_JOURNAL:
		return journal_open();
	default:
		return o->place.kind == LOG_PLACE_STDOUT ? STDOUT_FILENO : STDERR_FILENO;
	}
}

bool outlet_has_file(const struct outlet *o)
{
	return o->place.kind == LOG_PLACE_FILE || o->place.kind == LOG_PLACE_SYSLOG;
}

static enum sink_style style_of(const struct outlet *o)
{
	if (o->place.kind == LOG_PLACE_JOURNAL)
		return SINK_RECORD;
	if (o->place.kind == LOG_PLACE_SYSLOG)
		return SINK_BARE;
	return journal_is_stream(o->fd) ? SINK_PREFIXED : SINK_PLAIN;
}

static void look_at_fd(struct outlet *o)
{
	struct stat st;

	o->is_regular = o->fd >= 0 && fstat(o->fd, &st) == 0 && S_ISREG(st.st_mode);
}

int outlet_open(struct outlet *o, const struct log_place *place, uid_t uid, gid_t gid)
{
	*o = (struct outlet){.place = *place, .uid = uid, .gid = gid};
	o->fd = open_place(o);
	if (o->fd < 0)
		return -errno;
	look_at_fd(o);
	o->style = style_of(o);
	return 0;
}

int outlet_open_again(struct outlet *o)
{
	int fd = open_place(o);

	if (fd < 0)
		return -errno;
	(void)close(o->fd);
	o->fd = fd;
	o->torn = false;
	look_at_fd(o);
	return 0;
}

void outlet_close(struct outlet *o)
{
	if (!is_standard(o))
		closep_(&o->fd);
}

/* ---- writing ---------------------------------------------------------------------------- */

bool outlet_has_room(struct outlet *o)
{
	struct pollfd p = {.fd = o->fd, .events = POLLOUT};
	/* Where nobody waits what is said of a failure must not be lost because the journal has
	 * much to do. */
	bool patient = o->waits || (o->place.kind == LOG_PLACE_JOURNAL && !o->stuck);

	if (o->is_regular)
		return true;
	for (;;) {
		/* An error is readiness, too: the write will name it. */
		if (poll(&p, 1, patient ? TICK_MS : 0) != 0)
			return true;
		if (!o->waits || !o->waits(o->arg))
			return false;
	}
}

static unsigned int count_lines(const char *data, size_t len)
{
	unsigned int n = 0;

	for (const char *end = data + len; (data = memchr(data, '\n', (size_t)(end - data)));
	     data++)
		n++;
	return n;
}

/* What writes says how many lines are lost. */

/* Whole lines. A line of which a part was written is ended before the next one begins. */
static unsigned int write_stream(struct outlet *o, const char *data, size_t len, int *reason)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n;

		if (!outlet_has_room(o)) {
			errno = EAGAIN;
			break;
		}
		if (o->torn && write(o->fd, "\n", 1) == 1)
			o->torn = false;
		n = write(o->fd, data + done, len - done);
		if (n > 0)
			done += (size_t)n;
		else if (n < 0 && errno != EINTR && !(errno == EAGAIN && o->waits))
			break;
	}
	if (done == len)
		return 0;
	*reason = errno == EAGAIN ? 0 : errno;
	o->torn = o->torn || (done && data[done - 1] != '\n');
	return count_lines(data + done, len - done);
}

/* 0, or the errno; EAGAIN: there was no room in time. Others that write there may take the room
 * that was found. */
static int send_patiently(struct outlet *o, const char *data, size_t len)
{
	const struct timespec moment = {.tv_nsec = SEND_MOMENT_NS};

	for (int i = 0; i < SEND_TRIES; i++) {
		o->stuck = !outlet_has_room(o);
		if (o->stuck)
			break;
		if (send(o->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return 0;
		if (errno != EAGAIN)
			return errno;
		(void)nanosleep(&moment, NULL);
	}
	return EAGAIN;
}

/* A daemon that was started again may have a new socket; an earlier datagram's error is reported
 * here as well. So once more, with a new connection. */
static unsigned int write_datagram(struct outlet *o, const char *data, size_t len, int *reason)
{
	int err = send_patiently(o, data, len);

	if (err && err != EAGAIN) {
		int fd = open_place(o);

		if (fd >= 0) {
			(void)close(o->fd);
			o->fd = fd;
			err = send_patiently(o, data, len);
		}
	}
	if (err)
		*reason = err == EAGAIN ? 0 : err;
	return err != 0;
}

static unsigned int write_syslog(struct outlet *o, const char *text, size_t len, int *reason)
{
	char line[SYSLOGD_LINE_MAX];

	return write_datagram(o, line, syslogd_format(&o->place, text, len, line), reason);
}

unsigned int outlet_write(struct outlet *o, const char *data, size_t len, int *reason)
{
	switch (o->style) {
	case SINK_RECORD:
		return write_datagram(o, data, len, reason);
	case SINK_BARE:
		return write_syslog(o, data, len, reason);
	default:
		return write_stream(o, data, len, reason);
	}
}
