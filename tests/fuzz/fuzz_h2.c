/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first request of an HTTP/2 connection: the input as the stream, and as a field block. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../daemon/sniff/h2.h"
#include "../../daemon/sniff/h2ack.h"

#define BLOCK_MAX 16384

static const char lead[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

static void must(bool true_of_every_input)
{
	if (!true_of_every_input)
		abort();
}

static bool is_string(const char *s, size_t size)
{
	return memchr(s, '\0', size);
}

/* In memory of just that size, so that a read beyond its end is seen. */
static int parse(const uint8_t *bytes, size_t len, struct h2_request *ret)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	must(copy);
	memcpy(copy, bytes, len);
	r = h2_request_parse(copy, len, ret);
	free(copy);
	return r;
}

/* A part of a stream says the same as all of it, or that it needs more. */
static void check_part(const uint8_t *bytes, size_t part, int whole)
{
	struct h2_request req;
	int r = parse(bytes, part, &req);

	if (whole > 0 && part >= (size_t)whole)
		must(r == whole);
	else if (whole > 0)
		must(r == 0);
	else
		must(r == 0 || r == whole);
}

/* Read on in pieces, as they come: the same answer as of all at once. */
static void check_pieces(const uint8_t *bytes, size_t len, int whole, const struct h2_request *req)
{
	size_t step = 1 + (len ? bytes[len - 1] : 0), part = 0;
	struct h2_request again = {.method = ""};
	struct h2_reader reader = {0};
	int r = 0;

	while (r == 0 && part < len) {
		part = len - part < step ? len : part + step;
		r = h2_request_read(&reader, bytes, part, &again);
	}
	must(r == whole && strcmp(again.method, req->method) == 0);
	must(strcmp(again.authority, req->authority) == 0 && strcmp(again.path, req->path) == 0);
	must(reader.looks <= len / step + len / 9 + 2);
}

static void check(const uint8_t *bytes, size_t len)
{
	struct h2_request req = {.method = ""};
	int r = parse(bytes, len, &req);

	check_pieces(bytes, len, r, &req);
	must(r > -(int)_H2_ERROR_MAX && (r < 0 || (size_t)r <= len) && r <= H2_BYTES_MAX);
	must(r != 0 || len < H2_BYTES_MAX);
	must(h2_preface_starts(bytes, len) == (r != -H2_NOT_H2));
	if (r > 0) {
		must(req.method[0] != '\0');
		must(is_string(req.method, sizeof(req.method)));
		must(is_string(req.authority, sizeof(req.authority)));
		must(is_string(req.path, sizeof(req.path)));
		check_part(bytes, (size_t)r, r);
		check_part(bytes, (size_t)r - 1, r);
	}
	check_part(bytes, len / 2, r);
}

static void check_block(const uint8_t *block, size_t len)
{
	static uint8_t stream[sizeof(lead) - 1 + 9 + BLOCK_MAX];
	const uint8_t header[9] = {0, (uint8_t)(len >> 8), (uint8_t)len, 1, 4, 0, 0, 0, 1};
	size_t at = sizeof(lead) - 1;

	memcpy(stream, lead, at);
	memcpy(stream + at, header, sizeof(header));
	memcpy(stream + at + sizeof(header), block, len);
	check(stream, at + sizeof(header) + len);
}

/* Passes the bytes through a filter for an acknowledgement, `step` at a time; what is left of
 * them is in `out`. */
static size_t filtered(const uint8_t *bytes, size_t len, size_t step, char *out)
{
	struct stream_filter *f = h2_ack_filter();
	bool more = true, ended = false;
	size_t n = 0;

	must(f);
	while (!ended) {
		size_t part = len < step ? len : step;
		char *buffer = malloc(STREAM_FILTER_ROOM + part), *data;

		must(buffer);
		data = buffer + STREAM_FILTER_ROOM;
		ended = !part;
		if (part)
			memcpy(data, bytes, part);
		bytes += part;
		len -= part;
		if (more)
			more = f->pass(f, &data, &part, ended);
		memcpy(out + n, data, part);
		n += part;
		free(buffer);
	}
	free(f);
	return n;
}

/* All of it, or all but one frame; and the same whatever the pieces. */
static void check_filter(const uint8_t *bytes, size_t len)
{
	char *whole = malloc(len + 1), *pieces = malloc(len + 1);
	size_t n;

	must(whole && pieces);
	n = filtered(bytes, len, len + 1, whole);
	must(n == len || n + H2_SETTINGS_BYTES == len);
	must(n != len || memcmp(whole, bytes, len) == 0);
	must(filtered(bytes, len, 1 + (len ? bytes[0] % 16u : 0), pieces) == n);
	must(memcmp(whole, pieces, n) == 0);
	free(whole);
	free(pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	check(data, len);
	check_filter(data, len);
	if (len <= BLOCK_MAX)
		check_block(data, len);
	return 0;
}
