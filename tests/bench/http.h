/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The little HTTP/1.1 that client and backend speak. A request names the size of the body it
 * wants and a mark, and the body ends with that mark: an answer that was mixed up with another,
 * or lost or repeated a piece, must not pass for speed.
 */
#ifndef SPLICED_BENCH_HTTP_H
#define SPLICED_BENCH_HTTP_H

#include <stddef.h>
#include <stdint.h>

#define HTTP_HOST     "bench.example"
#define HTTP_HEAD_MAX 2048

/* GET /MARK/SIZE: what is before the mark has always this length. */
#define HTTP_MARK_AT   5
#define HTTP_MARK_SIZE 16

/* Writes a number as the 16 digits of a mark. */
void http_mark(char *mark, uint64_t number);

/* Build a head, return its length. The request's mark is still to be written. */
size_t http_request(char *head, size_t body);
size_t http_response(char *head, size_t body);

/* Read a head: its length, 0 if more is to come, -1 if it is not one of ours or not a 200. */
int http_request_read(const char *data, size_t length, char *mark, size_t *body);
int http_response_read(const char *data, size_t length, size_t *body);

#endif
