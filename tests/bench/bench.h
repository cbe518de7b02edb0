/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the roles of the load generator share. */
#ifndef SPLICED_BENCH_H
#define SPLICED_BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hist.h"

/*
 * The first byte of a connection tells the backend what to do with it, so that one
 * backend serves every measurement and no proxy needs a second configuration.
 */
enum service {
	SERVICE_ECHO = 'E',   /* send back whatever comes */
	SERVICE_SINK = 'U',   /* read and count */
	SERVICE_SOURCE = 'D', /* send until the client goes away */
	SERVICE_HTTP = 'G',   /* of GET: answer requests, keep the connection */
};

/*
 * A ClientHello may come before the service byte, for what routes by it: one record, whose
 * header has its length. Nobody speaks TLS behind it: that would measure OpenSSL.
 */
#define PREFACE_TLS     0x16
#define TLS_HEADER_SIZE 5
#define PREFACE_MAX     4096

/*
 * What one system call of a stream moves at most. With less, client and backend spend their
 * time waking each other: 128 KiB reached 15 to 25 Gbit/s between them, 512 KiB 30 to 40.
 */
#define CHUNK_SIZE (512 * 1024)

/*
 * The backend's counters, in a file both processes map. Upload must be counted where
 * it arrives: what a client has written may still be waiting inside a proxy.
 */
struct backend_stats {
	_Atomic uint64_t received; /* bytes of SERVICE_SINK connections */
	_Atomic int64_t active;    /* open connections that are not between two requests */
	_Atomic uint64_t accepted;
};

struct options {
	const char *role;
	const char *host;
	const char *stats_path;
	const char *preface; /* what every connection begins with */
	size_t preface_size;
	uint16_t port;
	unsigned connections;
	unsigned listeners;
	unsigned threads;
	size_t size;
	size_t write;        /* what an upload gives to one system call */
	const char *watched; /* process ids with commas between them, or NULL */
	double warmup;
	double seconds;
};

/* A measurement runs in three phases, set by the main thread alone. */
enum phase { PHASE_WARMUP, PHASE_MEASURE, PHASE_STOP };

/* One load thread. Aligned so that two of them never share a cache line. */
struct load {
	_Alignas(64) const struct options *options;
	_Atomic int *phase;
	unsigned first; /* number of its first connection */
	unsigned connections;
	_Atomic uint64_t bytes; /* payload moved; main takes the difference */
	uint64_t errors;        /* connections refused, reset or closed early */
	uint64_t mismatches;    /* echoes that were not what was sent */
	struct hist latency;
};

/* In clock ticks. */
struct cpu_time {
	uint64_t busy;    /* of all CPUs */
	uint64_t stolen;  /* what the hypervisor gave to others */
	uint64_t watched; /* what the watched processes used, without kernel threads */
};

/* Reads them; ends the program if a watched process is gone. */
void cpu_read(const char *watched, struct cpu_time *cpu);

uint64_t now_ns(void);
void die(const char *what) __attribute__((noreturn));
struct backend_stats *stats_map(const char *path, bool create);
void raise_file_limit(void);

/* A socket bound to its own loopback address (by number) and connecting to the target. */
int dial(const struct options *options, unsigned number, bool blocking);
/* From now on the socket's calls return at once, as those of event-driven programs do. */
void unblock(int fd);
void epoll_set(int epoll, int op, int fd, uint32_t events, void *data);

/* The roles. The load functions return when the phase is PHASE_STOP. */
int backend_main(const struct options *options);
int idle_main(const struct options *options);
void echo_load(struct load *load);
void connrate_load(struct load *load);
void get_load(struct load *load);
void upload_load(struct load *load);
void download_load(struct load *load);

#endif
