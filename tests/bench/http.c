// SPDX-License-Identifier: GPL-2.0-or-later
/* The heads of requests and responses. */
#define _GNU_SOURCE 1 /* memmem() */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http.h"

static const char request_start[] = "GET /";
static const char response_start[] = "HTTP/1.1 200 ";

_Static_assert(sizeof(request_start) - 1 == HTTP_MARK_AT, "the mark comes right behind");

void http_mark(char *mark, uint64_t number)
{
	for (int i = HTTP_MARK_SIZE - 1; i >= 0; i--, number >>= 4)
		mark[i] = "0123456789abcdef"[number & 15];
}

size_t http_request(char *head, size_t body)
{
	return (size_t)snprintf(head, HTTP_HEAD_MAX,
				"%s%0*d/%zu HTTP/1.1\r\nHost: " HTTP_HOST
				"\r\nUser-Agent: spliced-bench\r\nAccept: */*\r\n\r\n",
				request_start, HTTP_MARK_SIZE, 0, body);
}

size_t http_response(char *head, size_t body)
{
	return (size_t)snprintf(head, HTTP_HEAD_MAX,
				"%sOK\r\nContent-Type: application/octet-stream\r\n"
				"Content-Length: %zu\r\n\r\n",
				response_start, body);
}

/* The length of the head with its empty line, 0 if that has not come yet. */
static size_t head_length(const char *data, size_t length)
{
	const char *end = memmem(data, length, "\r\n\r\n", 4);

	return end == NULL ? 0 : (size_t)(end - data) + 4;
}

static bool starts(const char *data, size_t length, const char *with, size_t with_length)
{
	return length >= with_length && memcmp(data, with, with_length) == 0;
}

int http_request_read(const char *data, size_t length, char *mark, size_t *body)
{
	size_t head = head_length(data, length);
	char *end;

	if (head == 0)
		return length < HTTP_HEAD_MAX ? 0 : -1;
	if (!starts(data, head, request_start, HTTP_MARK_AT) ||
	    head < HTTP_MARK_AT + HTTP_MARK_SIZE + 2)
		return -1;
	memcpy(mark, data + HTTP_MARK_AT, HTTP_MARK_SIZE);
	/* The empty line is there, so the digits end inside the head. */
	*body = strtoul(data + HTTP_MARK_AT + HTTP_MARK_SIZE + 1, &end, 10);
	return *end == ' ' && *body >= HTTP_MARK_SIZE ? (int)head : -1;
}

static const char *content_length(const char *data, const char *end)
{
	static const char name[] = "content-length:";

	while (data < end && *data != '\r') {
		if ((size_t)(end - data) > sizeof(name) &&
		    strncasecmp(data, name, sizeof(name) - 1) == 0)
			return data + sizeof(name) - 1;
		data = (const char *)memchr(data, '\n', (size_t)(end - data)) + 1;
	}
	return NULL;
}

int http_response_read(const char *data, size_t length, size_t *body)
{
	size_t head = head_length(data, length);

	if (head == 0)
		return length < HTTP_HEAD_MAX ? 0 : -1;
	if (!starts(data, head, response_start, sizeof(response_start) - 1))
		return -1;
	const char *value = content_length(data, data + head);
	if (value == NULL)
		return -1;
	*body = strtoul(value, NULL, 10);
	return (int)head;
}
