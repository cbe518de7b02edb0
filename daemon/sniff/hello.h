/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The TLS ClientHello, as far as a session is routed by it: the server name, the protocols and the
 * versions that the client offers. Nothing is decrypted and nothing is kept: the parser reads the
 * bytes where they lie, however the client cut them into records.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HELLO_MAX (64 * 1024) /* bytes of stream, record headers included */

#define TLS_ALERT_BYTES             7
#define TLS_ALERT_UNRECOGNIZED_NAME 112

struct client_hello {
	char sni[256];     /* lower case, without a trailing dot; "": none was sent */
	char alpn[256];    /* as on the wire: a length byte and the name, one after the other */
	uint16_t alpn_len; /* bytes of alpn in use */
	uint16_t version;  /* highest TLS version offered, 0x0304 is 1.3; 0: none that is known */
	bool alpn_cut;     /* names that did not fit were left out of alpn */
	bool ech;          /* encrypted_client_hello is there: sni is the outer name */
};

enum hello_error {
	HELLO_OK,
	HELLO_NOT_TLS,             /* the first bytes begin no handshake record (SSLv2 neither) */
	HELLO_NOT_HELLO,           /* a handshake message, but not a ClientHello */
	HELLO_BAD_RECORD,          /* a record that is empty, above 16 KiB or of another version */
	HELLO_INTERLEAVED,         /* a record of another type between the fragments */
	HELLO_TOO_LARGE,           /* its records would go beyond HELLO_MAX */
	HELLO_MALFORMED,           /* lengths that contradict each other */
	HELLO_DUPLICATE_EXTENSION, /* of those that are read here */
	HELLO_BAD_SNI,             /* more than one host name, or no name that DNS or IP knows */
	HELLO_BAD_ALPN,            /* an empty list, an empty name, or lengths that contradict */
	_HELLO_ERROR_MAX,
};

extern const char *const hello_error_str[_HELLO_ERROR_MAX];

/*
 * A reading that is under way: where it stopped for want of bytes. All zeros at the beginning of a
 * stream; to be asked again only after an answer of 0.
 */
struct hello_reader {
	uint32_t at;     /* the record that was not all there begins here */
	uint32_t got;    /* bytes of the message in the records before it */
	uint32_t size;   /* of the message, with its header; 0: not known yet */
	uint32_t looks;  /* at records: a reading costs these and one pass over the message */
	uint8_t head[4]; /* the message's header, as far as it has come */
};

/*
 * Reads on in a client's stream, of which buf holds all that has come. Returns
 *   > 0  the bytes that the ClientHello's records took; *ret is written;
 *     0  so far so good, but it needs more (never with HELLO_MAX bytes or more);
 *   < 0  -enum hello_error.
 * *ret is written on success only, but for HELLO_BAD_SNI: then ret->sni is the name as the client
 * sent it, cut to fit and with "%00" for each NUL; "" if it sent no single name. The answer for a
 * stream never changes once it is not 0, whatever the pieces it came in. An error is found with
 * the first byte that makes it certain, those within the message excepted: they are found when it
 * is complete. An incomplete hello costs a step for each record that has become complete, and one.
 *
 * A server name may be an IP literal, although clients should not send one; an extension, a list
 * or a name that is empty is no name. GREASE values are passed over. A hello that ends within a
 * record is refused: nothing may follow it there.
 */
int client_hello_read(struct hello_reader *r, const uint8_t *buf, size_t len,
		      struct client_hello *ret);

/* The same of a stream that is read for the first time. */
int client_hello_parse(const uint8_t *buf, size_t len, struct client_hello *ret);

/* Did the client offer this protocol? Exact, as ALPN is; false for names that were cut. */
bool client_hello_has_alpn(const struct client_hello *h, const char *name);

/* Writes a record with a fatal alert, which any version reads before an answer; TLS_ALERT_BYTES. */
size_t tls_alert_build(uint8_t buf[TLS_ALERT_BYTES], uint8_t description);
