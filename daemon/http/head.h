/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A head of an HTTP/1.x request or response (RFC 9112), as it was parsed: slices of the buffer that
 * it came in, and what its fields mean to a proxy.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

/* Some bytes of the buffer that was parsed; offsets, so that the buffer may move. */
struct http_slice {
	uint32_t at;
	uint32_t len;
};

/* The names that mean something to a proxy. */
enum http_field_id {
	FIELD_OTHER,
	FIELD_HOST,
	FIELD_CONTENT_LENGTH,
	FIELD_TRANSFER_ENCODING,
	FIELD_CONNECTION,
	FIELD_KEEP_ALIVE,
	FIELD_PROXY_CONNECTION,
	FIELD_PROXY, /* no field of HTTP, but HTTP_PROXY is a variable that programs obey */
	FIELD_UPGRADE,
	FIELD_TE,
	FIELD_TRAILER,
	FIELD_EXPECT,
	FIELD_MAX_FORWARDS,
	FIELD_X_FORWARDED_FOR,
	FIELD_X_FORWARDED_PROTO,
	FIELD_FORWARDED,
	FIELD_VIA,
	FIELD_DATE,
	FIELD_TRACEPARENT,
	FIELD_TRACESTATE,
	FIELD_HTTP2_SETTINGS,
	_FIELD_MAX,
};

struct http_field {
	struct http_slice name;
	struct http_slice value; /* without the blanks around it */
	enum http_field_id id : 8;
	/*
	 * Another spelling of a known name, such as X_Forwarded_For, while id is FIELD_OTHER. It
	 * means nothing, but programs may take it for that: see names_alike().
	 */
	enum http_field_id alias : 8;
	bool underscore; /* in the name */
	bool named;      /* in a Connection field of its head: see named.h */
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
	TARGET_ABSOLUTE,  /* http://authority/path?query */
	TARGET_AUTHORITY, /* host:port, of CONNECT only */
	TARGET_ASTERISK,  /* *, of OPTIONS only */
};

struct http_limits {
	uint32_t head_max; /* bytes of a head, its empty line and empty lines before it included */
	uint16_t fields_max;
};

#define HTTP_HOST_MAX           255 /* bytes of a host's name, the port not counted */
#define HTTP_CONNECTION_OPTIONS 64  /* in all Connection fields of a head */
#define HTTP_EMPTY_LINES        2   /* that may come before a request */

struct http_head {
	uint8_t minor; /* HTTP/1.minor: 0 or 1 */
	bool is_response;

	/* requests */
	enum http_method method_id;
	enum http_target form;
	struct http_slice method, target;
	/*
	 * Path and query; "*" in asterisk form, empty in authority form. An absolute form may leave
	 * the path out: then it is "/" (of the scheme's "//"), or just the query with its '?',
	 * which wants a '/' before it when it is written.
	 */
	struct http_slice path;
	bool path_absent; /* absolute form: left out. OPTIONS without a query is then "*" (RFC
			     9112 3.2.4) */
	/* The authority of an absolute or authority form, else Host's value; may have a port. */
	struct http_slice host;
	bool has_host; /* there is one: always in 1.1 */
	bool has_max_forwards;
	uint32_t max_forwards; /* of OPTIONS and TRACE; a larger one is UINT32_MAX */

	/* responses */
	uint16_t status; /* 100 to 999 */
	struct http_slice reason;

	/* both */
	uint64_t content_length; /* at most INT64_MAX */
	bool has_length;
	bool chunked;           /* never along with has_length */
	bool keep_alive;        /* what the version and Connection say together */
	bool connection_close;  /* Connection: close */
	bool connection_others; /* Connection names something else than close, keep-alive and
				   upgrade */
	bool expect_continue;   /* 1.1 only */
	bool upgrade;           /* 1.1 only: Connection: upgrade, and an Upgrade field */
	bool te_trailers;       /* 1.1 only: TE: trailers */
	bool has_date;
	uint16_t n_fields;
	struct http_field *fields; /* the caller's array, of fields_max */
};

/*
 * What is known of a head that has come in part. All zero before it, and again behind it.
 */
struct http_scan {
	uint32_t at;      /* bytes that were looked at */
	uint32_t line;    /* where the line begins in which they end */
	uint16_t fields;  /* lines of them so far, */
	uint16_t options; /* and options in Connection */
	enum http_method method_id : 8;
	uint8_t minor;
	uint8_t empty; /* lines before the first */
	bool begun;    /* some of it has come, and waits for more */
	bool past_first;
	bool has_host_field, has_length, chunked, has_max_forwards;
};
