// SPDX-License-Identifier: GPL-2.0-or-later
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "log.h"
#include "util.h"

/* Where a level begins, in hundredths of memory_max, and how much below that it ends. */
static const unsigned int begins[] = {
    [MEMORY_SMALLER] = 20, [MEMORY_COPY] = 60, [MEMORY_REFUSE] = 90};
#define BACK 5
/* The first level goes on for so long, because small buffers are what has ended it; and how often a
 * level is told of at most. */
#define SCARCE_NS (2 * NSEC_PER_SEC)
#define TELL_NS   (10 * NSEC_PER_SEC)
/* Above this nobody is waited for, see memory_is_hard(). */
#define HARD_PERCENT 50

/* How fast memory can fill: it is looked at again before it could have reached a mark. */
#define FILL_PER_MS UINT64_C(4000000)

/* A socket's buffer, as SO_RCVBUF and SO_SNDBUF are counted after doubling. Half of it is a window,
 * and a sender that has seen larger ones waits for a timer if it has no room for a whole segment:
 * over loopback these have 64 KiB. So who moves has at least SHARE_MIN. */
#define SHARE_LEAST (UINT64_C(32) << 10)
#define SHARE_MIN   (UINT64_C(256) << 10)
#define SHARE_MAX   (UINT64_C(4) << 20)
/* The smallest share in parts of memory_max; and the largest, where the bound was written by hand
 * and may be small: else a few sessions fill it before they can be measured. */
#define MIN_PARTS 8192
#define MAX_PARTS 256
/* A session that holds this much counts as one of those who share. */
#define HOLDS (UINT64_C(64) << 10)
/* ... and moves if its peers have taken this much in such a time, and again in the next: what a
 * receiver that has stopped takes into its own buffer it takes in the first. */
#define MOVES       (UINT64_C(4) << 10)
#define MOVES_IN_NS (150 * NSEC_PER_MSEC)

/* ---- the host --------------------------------------------------------------------------- */

/* From the second number of tcp_mem on TCP makes everyone's buffers smaller by itself. */
static uint64_t default_max(void)
{
	unsigned long long limit = 0;
	FILE *f = fopen("/proc/sys/net/ipv4/tcp_mem", "re");

	if (f && fscanf(f, "%*u %llu", &limit) != 1)
		limit = 0;
	if (f)
		(void)fclose(f);
	return limit ? limit * (uint64_t)sysconf(_SC_PAGESIZE) : UINT64_C(1) << 30;
}

/* The largest one that is not above `n`. */
static uint64_t power_of_two(uint64_t n)
{
	uint64_t power = 1;

	while (power <= n / 2)
		power *= 2;
	return power;
}

void memory_init(struct memory *m, const struct config *c)
{
	static atomic_bool told;

	m->max = c->memory_max ? c->memory_max : default_max();
	m->least = MAX(SHARE_LEAST, MIN(SHARE_MIN, power_of_two(m->max / MIN_PARTS)));
	m->most = SHARE_MAX;
	m->window = c->splice_window;
	if (c->memory_max)
		m->most = MAX(m->least, MIN(SHARE_MAX, power_of_two(m->max / MAX_PARTS)));
	m->fd = open("/proc/net/sockstat", O_RDONLY | O_CLOEXEC);
	/* Trials of the kernel have a memory of their own. */
	if (m->fd < 0 && !atomic_exchange(&told, true))
		log_warn("/proc/net/sockstat: %s: sessions are always measured for memory_max",
			 strerror(errno));
}

void memory_fini(struct memory *m)
{
	if (m->fd > 0)
		(void)close(m->fd);
	m->fd = -1;
}

uint64_t memory_of_tcp(const struct memory *m)
{
	char text[512];
	const char *tcp, *mem;
	ssize_t n = m->fd > 0 ? pread(m->fd, text, sizeof(text) - 1, 0) : -1;

	if (n <= 0)
		return UINT64_MAX;
	text[n] = '\0';
	tcp = strstr(text, "TCP:");
	mem = tcp ? strstr(tcp, " mem ") : NULL;
	return mem ? strtoull(mem + 5, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : UINT64_MAX;
}

uint64_t memory_watch_mark(const struct memory *m)
{
	return m->max / 100 * MEMORY_WATCH_PERCENT;
}

uint64_t memory_promise(const struct memory *m)
{
	return MIN(m->most / 2, m->window);
}

/* ---- levels ----------------------------------------------------------------------------- */

enum memory_level memory_level(const struct memory *m)
{
	return (enum memory_level)atomic_load_explicit(&m->level, memory_order_relaxed);
}

bool memory_refuses(const struct memory *m)
{
	return memory_level(m) == MEMORY_REFUSE;
}

static void tell(struct memory *m, uint64_t now, enum memory_level level, uint64_t used)
{
	static const char *const what[] = {
	    [MEMORY_PLENTY] = "sessions get their usual buffers again",
	    [MEMORY_SMALLER] = "sessions get smaller buffers",
	    [MEMORY_COPY] = "sessions are copied, with smaller buffers",
	    [MEMORY_REFUSE] = "new clients are refused",
	    [_MEMORY_LEVEL_MAX] = "new clients are served again",
	};
	uint64_t last = atomic_load(&m->told_ns[level]);

	if (level != MEMORY_PLENTY && last && (int64_t)(now - last) < (int64_t)TELL_NS)
		return;
	atomic_store(&m->told_ns[level], now);
	log_warn("memory: sessions hold %llu of memory_max = %llu bytes: %s",
		 (unsigned long long)used, (unsigned long long)m->max, what[level]);
}

void memory_judge(struct memory *m, uint64_t now)
{
	uint64_t used = atomic_load(&m->used), percent = used * 100 / m->max;
	int before = atomic_load(&m->level), level = before;
	bool fell;

	while (level < MEMORY_REFUSE && percent >= begins[level + 1])
		level++;
	while (level > MEMORY_PLENTY && percent + BACK < begins[level])
		level--;
	if (level != MEMORY_PLENTY)
		atomic_store(&m->scarce_ns, now);
	else if ((int64_t)(now - atomic_load(&m->scarce_ns)) < (int64_t)SCARCE_NS)
		level = MIN(before, MEMORY_SMALLER);
	fell = level < before;
	if (level == before || !atomic_compare_exchange_strong(&m->level, &before, level))
		return;
	if (!fell || level == MEMORY_PLENTY)
		tell(m, now, (enum memory_level)level, used);
	else if (before == MEMORY_REFUSE)
		tell(m, now, _MEMORY_LEVEL_MAX, used);
}

uint64_t memory_time_to(uint64_t used, uint64_t mark)
{
	return used < mark ? (mark - used) / FILL_PER_MS * NSEC_PER_MSEC : 0;
}

uint64_t memory_time_left(const struct memory *m)
{
	bool plenty = memory_level(m) == MEMORY_PLENTY;

	return memory_time_to(atomic_load(&m->used),
			      m->max / 100 * begins[plenty ? MEMORY_SMALLER : MEMORY_REFUSE]);
}

/* ---- a session's part ------------------------------------------------------------------- */

void memory_hold(struct memory *m, struct memory_part *part, uint64_t held)
{
	/* Modulo 2^64. */
	atomic_fetch_add(&m->used, held - part->held);
	if ((held >= HOLDS) != (part->held >= HOLDS))
		atomic_fetch_add(&m->holders, held >= HOLDS ? 1U : -1U);
	part->held = held;
}

static void set_moving(struct memory *m, struct memory_part *part, bool moving)
{
	if (moving != part->moving)
		atomic_fetch_add(&m->movers, moving ? 1U : -1U);
	part->moving = moving;
}

void memory_pace(struct memory *m, struct memory_part *part, uint64_t now, uint64_t taken)
{
	bool moves;

	if (part->pace_ns && now - part->pace_ns < MOVES_IN_NS)
		return;
	/* Less than before: another server's connection. */
	moves = part->pace_ns && taken > part->pace_taken && taken - part->pace_taken >= MOVES;
	set_moving(m, part, moves && part->moved_before);
	part->moved_before = moves;
	part->pace_ns = now;
	part->pace_taken = taken;
}

void memory_forget(struct memory *m, struct memory_part *part)
{
	memory_hold(m, part, 0);
	set_moving(m, part, false);
}

/* ---- sharing ---------------------------------------------------------------------------- */

uint64_t memory_share(const struct memory *m, bool moving)
{
	uint64_t used = atomic_load(&m->used), left = m->max - MIN(used, m->max);
	uint64_t sharers = atomic_load(moving ? &m->movers : &m->holders) + 8;
	enum memory_level level = memory_level(m);
	/* At the last mark what is there drains first. */
	uint64_t least = moving && level < MEMORY_REFUSE ? SHARE_MIN : m->least;

	if (level == MEMORY_PLENTY)
		return m->most < SHARE_MAX ? m->most : 0;
	return MAX(least, MIN(m->most, power_of_two(left / sharers / (moving ? 4 : 8))));
}

bool memory_is_hard(const struct memory *m, uint64_t sessions, bool moving)
{
	uint64_t used = atomic_load(&m->used), left = m->max - MIN(used, m->max);

	if (used * 100 / m->max >= HARD_PERCENT)
		return true;
	return !moving && memory_promise(m) * sessions > left / 2;
}
