/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Heads of HTTP/1.x messages: strict where request smuggling lives (RFC 9112), incremental,
 * bounded, without a copy. No socket, no allocation, no state but the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A part of the buffer that was parsed. */
struct http_slice {
	uint32_t at, len;
};

/* Names that mean something here; each is matched once, while it is parsed. */
enum http_field_id {
	FIELD_OTHER,
	FIELD_HOST,
	FIELD_CONTENT_LENGTH,
	FIELD_TRANSFER_ENCODING,
	FIELD_CONNECTION,
	FIELD_KEEP_ALIVE,
	FIELD_PROXY_CONNECTION,
	FIELD_UPGRADE,
	FIELD_TE,
	FIELD_EXPECT,
	FIELD_X_FORWARDED_FOR,
	FIELD_X_FORWARDED_PROTO,
	FIELD_FORWARDED,
	FIELD_HTTP2_SETTINGS,
	_FIELD_MAX,
};

struct http_field {
	struct http_slice name, value; /* the value without the blanks around it */
	uint8_t id;                    /* enum http_field_id */
};

enum http_method {
	METHOD_OTHER,
	METHOD_GET,
	METHOD_HEAD,
	METHOD_POST,
	METHOD_PUT,
	METHOD_DELETE,
	METHOD_CONNECT,
	METHOD_OPTIONS,
	METHOD_TRACE,
	METHOD_PATCH,
};

enum http_target {
	TARGET_ORIGIN,    /* /path?query */
	TARGET_ABSOLUTE,  /* http://host/path?query */
	TARGET_AUTHORITY, /* host:port, of CONNECT alone */
	TARGET_ASTERISK,  /* *, of OPTIONS alone */
};

/* What can be wrong with a message. */
enum http_error {
	HTTP_OK,
	HTTP_BAD_METHOD,
	HTTP_BAD_TARGET,
	HTTP_BAD_VERSION,
	HTTP_BAD_STATUS,
	HTTP_BAD_NAME,           /* a field name that is no token */
	HTTP_SPACE_BEFORE_COLON, /* "Name : value" */
	HTTP_BAD_VALUE,          /* a control character in a value */
	HTTP_OBS_FOLD,           /* a line that begins with a blank */
	HTTP_BARE_CR,
	HTTP_BARE_LF,
	HTTP_NO_HOST,
	HTTP_TWO_HOSTS,
	HTTP_BAD_HOST,
	HTTP_BAD_LENGTH,
	HTTP_TWO_LENGTHS,
	HTTP_LENGTH_AND_CHUNKED,
	HTTP_BAD_TRANSFER_ENCODING,
	HTTP_HEAD_TOO_LARGE,
	HTTP_TOO_MANY_FIELDS,
	HTTP_BAD_CHUNK, /* the body's framing */
	_HTTP_ERROR_MAX,
};
extern const char *const http_error_str[_HTTP_ERROR_MAX];

/* The status a request with this error is answered with: 400, 431 or 505. */
int http_error_status(enum http_error error);

struct http_limits {
	uint32_t head_max; /* bytes, with the empty line */
	uint16_t fields_max;
};

struct http_head {
	uint8_t minor; /* of HTTP/1.minor: 0 or 1 */
	bool is_response;
	/* a request */
	uint8_t method_id; /* enum http_method */
	uint8_t form;      /* enum http_target */
	struct http_slice method, target;
	struct http_slice path; /* with the query; may be empty in an absolute target */
	struct http_slice host; /* the target's authority, else the Host field; with its port */
	bool has_host;
	/* a response */
	uint16_t status;
	struct http_slice reason;
	/* both */
	uint64_t content_length;
	bool has_length, chunked;
	bool keep_alive; /* as version and Connection say */
	bool expect_continue;
	bool upgrade;          /* Connection names it, and there is an Upgrade field */
	bool names_connection; /* Connection names fields, see http_is_hop_by_hop() */
	uint16_t n_fields;
	struct http_field *fields; /* the caller's */
};

/*
 * Parses a head at the beginning of the buffer. *scanned is 0 for the first call and kept by the
 * caller between calls that need more: bytes are not looked at again and again. `fields` has room
 * for limits->fields_max.
 *
 * > 0: the head's length, with the empty line. 0: it is not complete. < 0: -enum http_error, found
 * when the head is complete, or larger than head_max, or its first line cannot be one.
 */
int http_request_parse(const char *buf, size_t len, size_t *scanned,
		       const struct http_limits *limits, struct http_field *fields,
		       struct http_head *ret);
int http_response_parse(const char *buf, size_t len, size_t *scanned,
			const struct http_limits *limits, struct http_field *fields,
			struct http_head *ret);

/* The name's length of "name", "name:port", "[v6]" or "[v6]:port"; *port is 0 without one. */
void http_host_split(const char *host, size_t len, size_t *name_len, uint16_t *port);

/*
 * Whether the field is about this connection only and goes no further: Connection itself, what it
 * names, and those that always are. Fields that say where the message ends or belongs are never
 * removed for being named. Transfer-Encoding and Upgrade are hop-by-hop: who forwards them writes
 * them anew.
 */
bool http_is_hop_by_hop(const struct http_head *head, const char *buf, const struct http_field *f);
