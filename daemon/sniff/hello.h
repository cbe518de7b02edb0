/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ClientHello of TLS (RFC 8446, 4.1.2; RFC 6066; RFC 7301): read, never changed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client_hello {
	char sni[256];  /* lower case, without a trailing dot; "": absent */
	char alpn[256]; /* names as on the wire, each after its length; what does not fit is left
			   out */
	uint16_t alpn_len;
	uint16_t version; /* the highest offered, as 0x0303 */
	bool ech;         /* there is an encrypted_client_hello: sni is the outer name */
};

enum hello_error {
	HELLO_OK,
	HELLO_NOT_TLS,    /* no handshake record, or no ClientHello in it */
	HELLO_TOO_LARGE,  /* more than HELLO_MAX */
	HELLO_BAD_RECORD, /* an empty or oversized record, or one of another type */
	HELLO_BAD_LENGTH, /* a length inside does not fit */
	HELLO_BAD_NAME,   /* a server name that cannot be one, or two of them */
	HELLO_BAD_ALPN,
	HELLO_BAD_EXTENSION, /* one that is there twice */
	_HELLO_ERROR_MAX,
};
extern const char *const hello_error_str[_HELLO_ERROR_MAX];

/* The largest ClientHello; records may be of any number and size. */
#define HELLO_MAX 65536

/*
 * > 0: how many bytes of the stream the ClientHello's records took. 0: more is needed. < 0: -enum
 * hello_error, as soon as it is certain.
 */
int client_hello_parse(const uint8_t *buf, size_t len, struct client_hello *ret);
bool client_hello_has_alpn(const struct client_hello *h, const char *name);

/* A fatal alert, to refuse a hello with. */
#define TLS_ALERT_BYTES             7
#define TLS_ALERT_UNRECOGNIZED_NAME 112
size_t tls_alert_build(uint8_t buf[TLS_ALERT_BYTES], uint8_t description);
