/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a run of spliced-load does: the scenario, read from the command line. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define MAX_ADDRS 16

enum side { SIDE_CLIENT, SIDE_SERVER, SIDE_BOTH, SIDE_NONE, _SIDE_MAX };

extern const char *const side_str[_SIDE_MAX];

struct options {
	const char *listen[MAX_ADDRS]; /* the backend's addresses */
	unsigned int n_listen;
	bool direct; /* the clients connect to the backend itself */
	unsigned int sessions;
	unsigned int concurrency; /* client connections open at once */
	uint64_t seed;
	uint64_t timeout; /* of the whole run, ns */

	/* What is sent. */
	uint64_t bytes_up, bytes_down; /* a session */
	uint64_t write_min, write_max;
	double pause_probability;      /* after a write or a read */
	uint64_t pause_min, pause_max; /* ns */
	bool early_data;               /* fill the socket before the event loop sees it */
	bool server_first;             /* the server does not wait for the client's first bytes */
	bool nodelay;
	bool echo;
	uint64_t pingpong_size; /* 0: streams, not request and response */

	/* What is not read. */
	enum side slow_reader;
	uint64_t slow_rate; /* bytes/s */
	enum side sleep_reader;
	uint64_t sleep_after, sleep_time;
	enum side never_read; /* until `resume`; the server does read the head */
	bool idle;            /* a few bytes each way, then nothing until `go` */

	/* How it ends. */
	enum side half_close; /* who ends its stream first */
	bool concurrent;      /* the other side sends at the same time, not after that end */
	uint64_t fin_delay;   /* ns from a stream's last byte to its end */
	enum side rst;        /* who resets the connection */
	uint64_t rst_at;      /* once it has sent and received that many bytes */

	int rcvbuf, sndbuf; /* 0: the system's */
};

/* True if the server's stream is known by the order of accept, not by the client's head. */
static inline bool options_by_accept(const struct options *o)
{
	return o->server_first;
}

/* Reads the command line. Exits with 0 after --help, with 2 and a message on bad usage. */
void options_parse(int argc, char **argv, struct options *ret);
