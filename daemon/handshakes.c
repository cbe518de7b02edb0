// SPDX-License-Identifier: GPL-2.0-or-later
#include "handshakes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

/* TCP_LISTEN, see tcpstate.c. */
#define LISTENING 10

/* False: it is no socket that listens, and none comes after it. */
static bool look_at(const char *line, handshakes_fn fn, void *arg)
{
	unsigned int state, queue, references;
	uint64_t inode;

	/* "  12: LOCAL:PORT REMOTE:PORT STATE TX:QUEUE TIMER:WHEN RETRANSMITS UID TIMEOUT INODE
	 * REFERENCES ..." (get_tcp4_sock()) */
	if (sscanf(line,
		   " %*[0-9]: %*[0-9A-F]:%*4X %*[0-9A-F]:%*4X %2X %*8X:%8X %*X:%*8X %*8X %*u %*u "
		   "%" SCNu64 " %u",
		   &state, &queue, &inode, &references) != 4 ||
	    state != LISTENING)
		return false;
	if (references > queue)
		fn(arg, inode, references - queue);
	return true;
}

/* Of one family. */
static int each(const char *path, handshakes_fn fn, void *arg)
{
	FILE *f = fopen(path, "re");
	char line[512];
	int err;

	if (!f)
		return -errno;
	/* The first line is the table's head. */
	if (fgets(line, sizeof(line), f))
		while (fgets(line, sizeof(line), f) && look_at(line, fn, arg))
			;
	err = ferror(f) ? -EIO : 0;
	(void)fclose(f);
	return err;
}

int handshakes_each(handshakes_fn fn, void *arg)
{
	int err = each("/proc/self/net/tcp", fn, arg);
	int more = each("/proc/self/net/tcp6", fn, arg);

	return err || more == -ENOENT ? err : more; /* there may be no IPv6 */
}
