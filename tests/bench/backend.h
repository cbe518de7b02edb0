/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the backend's services share. */
#ifndef SPLICED_BENCH_BACKEND_H
#define SPLICED_BENCH_BACKEND_H

#include "bench.h"

struct answer;

struct conn {
	int fd;
	bool listening;
	bool idle;      /* between two HTTP requests */
	char service;   /* 0 until the first byte has come */
	size_t preface; /* bytes of a ClientHello that are still to come */
	char *rest;     /* an echo the socket had no room for */
	size_t rest_length;
	size_t rest_sent;
	struct answer *answer; /* of SERVICE_HTTP */
};

struct backend {
	struct backend_stats *stats;
	struct conn *listeners;
	unsigned listener_count;
};

struct worker {
	struct backend *backend;
	int epoll;
	char *buffer; /* CHUNK_SIZE bytes */
};

/*
 * SERVICE_HTTP: takes what was read; goes on where the socket had no room. False: close it.
 * conn->answer is to be freed with the connection.
 */
bool answer_take(struct worker *worker, struct conn *conn, const char *data, size_t length);
bool answer_resume(struct worker *worker, struct conn *conn);

#endif
