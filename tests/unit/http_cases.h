/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Heads and what is to be said about them, with the limits HTTP_CASES_HEAD_MAX and
 * HTTP_CASES_FIELDS_MAX. `test_http_head --cases` prints them for tests in other languages.
 */
#pragma once

#include <stddef.h>

#define HTTP_CASES_HEAD_MAX   32768
#define HTTP_CASES_FIELDS_MAX 128

struct http_case {
	const char *name;
	const char *raw; /* one head, complete unless it is wrong before its end */
	size_t len;
	const char *error; /* as in http_error_str, or NULL: the head is good, and all of raw */
};

#define CASE(name, raw, error)                    \
	{                                         \
		name, raw, sizeof(raw) - 1, error \
	}
#define X4(s)   s s s s
#define X16(s)  X4(X4(s))
#define X64(s)  X4(X16(s))
#define X128(s) X64(s) X64(s)
#define X1K(s)  X16(X64(s))
#define X32K(s) X16(X1K(s)) X16(X1K(s))

#define GET(fields)  "GET / HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define POST(fields) "POST / HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define HOST(host)   "GET / HTTP/1.1\r\nHost: " host "\r\n\r\n"
#define LINE(line)   line "\r\nHost: a\r\n\r\n"

static const struct http_case http_request_cases[] = {
    /* plain */
    CASE("smallest", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", NULL),
    CASE("1.0 without a host", "GET / HTTP/1.0\r\n\r\n", NULL),
    CASE("minor version to come", LINE("GET / HTTP/1.7"), NULL),
    CASE("unknown method", LINE("M-SEARCH / HTTP/1.1"), NULL),
    CASE("method in lower case is another", LINE("get / HTTP/1.1"), NULL),
    CASE("method of odd token characters", LINE("!#$%&'*+-.^_`|~9 / HTTP/1.1"), NULL),
    CASE("query", LINE("GET /a/b;c?d=e&f=%20 HTTP/1.1"), NULL),
    CASE("characters browsers send", LINE("GET /a|b{c}[d]\"<>^`\\ HTTP/1.1"), NULL),
    CASE("two slashes are a path", LINE("GET //b/c HTTP/1.1"), NULL),
    CASE("empty line before", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", NULL),
    CASE("no blank after a colon", GET("A:b\r\n"), NULL),
    CASE("blanks around a value", GET("A: \t b c \t \r\n"), NULL),
    CASE("empty value", GET("A:\r\nB: \r\n"), NULL),
    CASE("colons in a value", GET("A: b:c:d\r\n"), NULL),
    CASE("bytes above ASCII in a value", GET("A: \x80\xc3\xa9\xff\r\n"), NULL),
    CASE("odd token characters in a name", GET("!#$%&'*+-.^_`|~9: b\r\n"), NULL),
    CASE("names in any case", "GET / HTTP/1.1\r\nhOsT: a\r\ncOnTeNt-LeNgTh: 1\r\n\r\n", NULL),
    CASE("names that nearly mean something", GET("Content_Length: x\r\nHosts: b\r\nHos: c\r\n"),
	 NULL),
    CASE("name that folds to another", GET("Content\rLength: 1\r\n"), "bare_cr"),
    CASE("as many fields as may be",
	 "GET / HTTP/1.1\r\nHost: a\r\n" X64("a:\r\n") X4(X4("a:\r\n") X4("a:\r\n") X4("a:\r\n"))
	     X4("a:\r\n") X4("a:\r\n") X4("a:\r\n") "a:\r\nb:\r\nc:\r\n\r\n",
	 NULL),

    /* the first line */
    CASE("empty", "\r\n\r\n", "bad_method"),
    CASE("two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_method"),
    CASE("blank before the method", LINE(" GET / HTTP/1.1"), "bad_method"),
    CASE("method alone", LINE("GET"), "bad_method"),
    CASE("tab for a space", LINE("GET\t/ HTTP/1.1"), "bad_method"),
    CASE("colon in the method", LINE("GE:T / HTTP/1.1"), "bad_method"),
    CASE("parenthesis in the method", LINE("(GET) / HTTP/1.1"), "bad_method"),
    CASE("byte above ASCII in the method", LINE("G\xc3\x89T / HTTP/1.1"), "bad_method"),
    CASE("NUL in the method", "G\0ET / HTTP/1.1", "bad_method"),
    CASE("TLS", "\x16\x03\x01\x02\x00\x01\x00", "bad_method"),
    CASE("no target", LINE("GET  HTTP/1.1"), "bad_target"),
    CASE("two spaces before the target", LINE("GET  / HTTP/1.1"), "bad_target"),
    CASE("relative target", LINE("GET a HTTP/1.1"), "bad_target"),
    CASE("fragment", LINE("GET /a#b HTTP/1.1"), "bad_target"),
    CASE("byte above ASCII in the target", LINE("GET /\xc3\xa9 HTTP/1.1"), "bad_target"),
    CASE("NUL in the target", "GET /\0 HTTP/1.1", "bad_target"),
    CASE("DEL in the target", "GET /\x7f HTTP/1.1", "bad_target"),
    CASE("tab in the target", LINE("GET /\t HTTP/1.1"), "bad_target"),
    CASE("asterisk with GET", LINE("GET * HTTP/1.1"), "bad_target"),
    CASE("asterisk and more", LINE("OPTIONS *a HTTP/1.1"), "bad_target"),
    CASE("asterisk", LINE("OPTIONS * HTTP/1.1"), NULL),
    CASE("target without an end", "GET /" X32K("a"), "uri_too_long"),
    CASE("HTTP/0.9", "GET /\r\n", "bad_version"),
    CASE("no version", LINE("GET / "), "bad_version"),
    CASE("two spaces before the version", LINE("GET /  HTTP/1.1"), "bad_version"),
    CASE("blank behind the version", LINE("GET / HTTP/1.1 "), "bad_version"),
    CASE("space in the target", LINE("GET /a b HTTP/1.1"), "bad_version"),
    CASE("version in lower case", LINE("GET / http/1.1"), "bad_version"),
    CASE("version of three digits", LINE("GET / HTTP/1.10"), "bad_version"),
    CASE("version without a minor one", LINE("GET / HTTP/1"), "bad_version"),
    CASE("version of something else", LINE("GET / HTTPS/1.1"), "bad_version"),
    CASE("control byte in the version", "GET / HTTP/1\x01", "bad_version"),
    CASE("said to be 0.9", LINE("GET / HTTP/0.9"), "unsupported_version"),
    CASE("said to be 2.0", LINE("GET / HTTP/2.0"), "unsupported_version"),
    CASE("HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "unsupported_version"),

    /* line ends */
    CASE("bare LF in the first line", "GET / HTTP/1.1\nHost: a\n\n", "bare_lf"),
    CASE("bare LF behind a field", "GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n", "bare_lf"),
    CASE("bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", "bare_lf"),
    CASE("bare LF before", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bare_lf"),
    CASE("bare CR in the first line", "GET / HTTP/1.1\rHost: a\r\n\r\n", "bare_cr"),
    CASE("bare CR in a value", GET("A: b\rC: d\r\n"), "bare_cr"),
    CASE("bare CR in a name", GET("A\rB: c\r\n"), "bare_cr"),
    CASE("two CRs before a LF", GET("A: b\r\r\n"), "bare_cr"),
    CASE("CR for the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\rX", "bare_cr"),

    /* field lines */
    CASE("folded value", GET("A: b\r\n c\r\n"), "obs_fold"),
    CASE("folded with a tab", GET("A: b\r\n\tc: d\r\n"), "obs_fold"),
    CASE("blanks for the empty line", "GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", "obs_fold"),
    CASE("blank before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "obs_fold"),
    CASE("folded length", POST("Content-Length: 5\r\n 6\r\n"), "obs_fold"),
    CASE("length on a line of its own", POST("Content-Length:\r\n 5\r\n"), "bad_length"),
    CASE("space before a colon", GET("A : b\r\n"), "space_before_colon"),
    CASE("tab before a colon", GET("A\t: b\r\n"), "space_before_colon"),
    CASE("space before the length's colon", POST("Content-Length : 5\r\n"), "space_before_colon"),
    CASE("space before the coding's colon", POST("Transfer-Encoding : chunked\r\n"),
	 "space_before_colon"),
    CASE("no colon", GET("Abc\r\n"), "bad_name"),
    CASE("no name", GET(": b\r\n"), "bad_name"),
    CASE("blank in a name", GET("A b: c\r\n"), "bad_name"),
    CASE("name and blank", GET("A \r\n"), "bad_name"),
    CASE("quotes in a name", GET("\"A\": b\r\n"), "bad_name"),
    CASE("brackets in a name", GET("A[b]: c\r\n"), "bad_name"),
    CASE("slash in a name", GET("A/b: c\r\n"), "bad_name"),
    CASE("at sign in a name", GET("A@b: c\r\n"), "bad_name"),
    CASE("byte above ASCII in a name", GET("\xc3\x84: b\r\n"), "bad_name"),
    CASE("NUL in a name", "GET / HTTP/1.1\r\nHo\0st: a\r\n\r\n", "bad_name"),
    CASE("DEL in a name", "GET / HTTP/1.1\r\nHo\x7f: a\r\n\r\n", "bad_name"),
    CASE("NUL in a value", GET("A: b\0c\r\n"), "bad_value"),
    CASE("NUL at the end of a value", GET("Transfer-Encoding: chunked\0\r\n"), "bad_value"),
    CASE("escape in a value", GET("A: \x1b[1m\r\n"), "bad_value"),
    CASE("vertical tab before a value", GET("Transfer-Encoding:\x0b chunked\r\n"), "bad_value"),
    CASE("form feed behind a value", GET("Content-Length: 5\x0c\r\n"), "bad_value"),
    CASE("DEL in a value", GET("A: b\x7f\r\n"), "bad_value"),
    CASE("backspace in the eighth byte", GET("A: 67\b9abcdefghijkl\r\n"), "bad_value"),

    /* limits */
    CASE("too many fields", GET(X128("a:\r\n")), "too_many_fields"),
    CASE("head without an end", "GET / HTTP/1.1\r\nHost: a\r\nB: " X32K("b"), "head_too_large"),
    CASE("wrong before it is too large", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nB: " X32K("b"),
	 "two_hosts"),
    CASE("too many options", GET("Connection: " X64("a,") "a\r\n"), "bad_connection"),
    CASE("too many fields of options", GET("Connection: " X64(",") "\r\nConnection: close\r\n"),
	 "bad_connection"),
    CASE("as many options as may be",
	 GET("Connection: " X16("a,") X16(",") X16("b , ") X16("close,") "\r\n"), NULL),

    /* Host */
    CASE("no host", "GET / HTTP/1.1\r\n\r\n", "no_host"),
    CASE("no host but fields", "GET / HTTP/1.1\r\nA: b\r\n\r\n", "no_host"),
    CASE("no host in absolute form", "GET http://a/ HTTP/1.1\r\n\r\n", "no_host"),
    CASE("two hosts", GET("Host: b\r\n"), "two_hosts"),
    CASE("two equal hosts", GET("Host: a\r\n"), "two_hosts"),
    CASE("two hosts in 1.0", "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", "two_hosts"),
    CASE("empty host", HOST(""), "bad_host"),
    CASE("two hosts in one", HOST("a, b"), "bad_host"),
    CASE("two hosts in one without a blank", HOST("a,b"), "bad_host"),
    CASE("blank in the host", HOST("a b"), "bad_host"),
    CASE("path in the host", HOST("a/b"), "bad_host"),
    CASE("query in the host", HOST("a?b"), "bad_host"),
    CASE("user in the host", HOST("u@a"), "bad_host"),
    CASE("backslash in the host", HOST("a\\b"), "bad_host"),
    CASE("quotes in the host", HOST("\"a\""), "bad_host"),
    CASE("byte above ASCII in the host", HOST("\xc3\xa4"), "bad_host"),
    CASE("URI for a host", HOST("http://a/"), "bad_host"),
    CASE("port alone", HOST(":80"), "bad_host"),
    CASE("two ports", HOST("a:1:2"), "bad_host"),
    CASE("port with letters", HOST("a:8o"), "bad_host"),
    CASE("port with a sign", HOST("a:+80"), "bad_host"),
    CASE("port too large", HOST("a:65536"), "bad_host"),
    CASE("port too long", HOST("a:000080"), "bad_host"),
    CASE("IPv6 without brackets", HOST("::1"), "bad_host"),
    CASE("IPv6 without its end", HOST("[::1"), "bad_host"),
    CASE("IPv6 and more", HOST("[::1]a"), "bad_host"),
    CASE("not IPv6", HOST("[::g]"), "bad_host"),
    CASE("empty IPv6", HOST("[]"), "bad_host"),
    CASE("IPv6 that is far too long", HOST("[" X64("0") "::1]"), "bad_host"),
    CASE("IPv6 with a zone", HOST("[fe80::1%25eth0]"), "bad_host"),
    CASE("IPv6 with a NUL", "GET / HTTP/1.1\r\nHost: [::1\0]\r\n\r\n", "bad_value"),
    CASE("wrong escape in the host", HOST("a%2"), "bad_host"),
    CASE("host too long", HOST(X64("a") X64("a") X64("a") X64("a")), "bad_host"),
    CASE("host as long as may be", HOST(X64("a") X64("a") X64("a") X16("aaa") X4("abc") "abc:80"),
	 NULL),
    CASE("host and port", HOST("www.example.com:8080"), NULL),
    CASE("host and empty port", HOST("a:"), NULL),
    CASE("IPv4", HOST("192.0.2.1:80"), NULL),
    CASE("IPv6", HOST("[2001:db8::1]"), NULL),
    CASE("IPv6 and port", HOST("[::ffff:192.0.2.1]:443"), NULL),
    CASE("underscore and dot at the end", HOST("a_b.example."), NULL),
    CASE("escape in the host", HOST("a%2Db"), NULL),

    /* forms of the target */
    CASE("absolute form", LINE("GET http://b/c HTTP/1.1"), NULL),
    CASE("absolute form, scheme in any case", LINE("GET hTTpS://b:1/c?d HTTP/1.1"), NULL),
    CASE("absolute form without a path", LINE("GET http://b HTTP/1.1"), NULL),
    CASE("absolute form with a query only", LINE("GET http://b?c HTTP/1.1"), NULL),
    CASE("absolute form without a host", LINE("GET http:///a HTTP/1.1"), "bad_host"),
    CASE("absolute form with a user", LINE("GET http://u:p@b/ HTTP/1.1"), "bad_host"),
    CASE("absolute form with a wrong port", LINE("GET http://b:x/ HTTP/1.1"), "bad_host"),
    CASE("absolute form, wrong host in Host", "GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n",
	 "bad_host"),
    CASE("another scheme", LINE("GET ftp://b/ HTTP/1.1"), "bad_target"),
    CASE("scheme alone", LINE("GET http:// HTTP/1.1"), "bad_target"),
    CASE("scheme with one slash", LINE("GET http:/b HTTP/1.1"), "bad_target"),
    CASE("CONNECT", "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", NULL),
    CASE("CONNECT to IPv6", "CONNECT [::1]:443 HTTP/1.1\r\nHost: a\r\n\r\n", NULL),
    CASE("CONNECT without a port", LINE("CONNECT b HTTP/1.1"), "bad_target"),
    CASE("CONNECT with an empty port", LINE("CONNECT b: HTTP/1.1"), "bad_target"),
    CASE("CONNECT to port 0", LINE("CONNECT b:0 HTTP/1.1"), "bad_target"),
    CASE("CONNECT with a path", LINE("CONNECT /b HTTP/1.1"), "bad_target"),
    CASE("CONNECT with a URI", LINE("CONNECT http://b:443/ HTTP/1.1"), "bad_target"),
    CASE("authority form with GET", LINE("GET b:443 HTTP/1.1"), "bad_target"),

    /* lengths */
    CASE("length", POST("Content-Length: 5\r\n"), NULL),
    CASE("length of nothing", POST("Content-Length: 0\r\n"), NULL),
    CASE("length with zeroes before", POST("Content-Length: 0000000000000000005\r\n"), NULL),
    CASE("largest length", POST("Content-Length: 9223372036854775807\r\n"), NULL),
    CASE("length too large", POST("Content-Length: 9223372036854775808\r\n"), "bad_length"),
    CASE("length that overflows to 0", POST("Content-Length: 18446744073709551616\r\n"),
	 "bad_length"),
    CASE("length of many zeroes", POST("Content-Length: 00000000000000000005\r\n"), "bad_length"),
    CASE("two lengths", POST("Content-Length: 5\r\nContent-Length: 6\r\n"), "two_lengths"),
    CASE("two equal lengths", POST("Content-Length: 5\r\nA: b\r\ncontent-length: 5\r\n"),
	 "two_lengths"),
    CASE("list of lengths", POST("Content-Length: 5, 5\r\n"), "bad_length"),
    CASE("list without a blank", POST("Content-Length: 5,5\r\n"), "bad_length"),
    CASE("two numbers", POST("Content-Length: 5 5\r\n"), "bad_length"),
    CASE("empty length", POST("Content-Length: \r\n"), "bad_length"),
    CASE("length with a plus", POST("Content-Length: +5\r\n"), "bad_length"),
    CASE("length with a minus", POST("Content-Length: -5\r\n"), "bad_length"),
    CASE("length in hexadecimal", POST("Content-Length: 0x5\r\n"), "bad_length"),
    CASE("length with a point", POST("Content-Length: 5.0\r\n"), "bad_length"),
    CASE("length with an exponent", POST("Content-Length: 5e1\r\n"), "bad_length"),
    CASE("length with an underscore", POST("Content-Length: 1_0\r\n"), "bad_length"),
    CASE("length in quotes", POST("Content-Length: \"5\"\r\n"), "bad_length"),

    /* codings */
    CASE("chunked", POST("Transfer-Encoding: chunked\r\n"), NULL),
    CASE("chunked in any case", POST("transfer-encoding: Chunked\r\n"), NULL),
    CASE("chunked with tabs around", POST("Transfer-Encoding:\tchunked\t\r\n"), NULL),
    CASE("length, then chunked", POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
	 "length_and_chunked"),
    CASE("chunked, then length", POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
	 "length_and_chunked"),
    CASE("chunked twice", POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
	 "bad_transfer_encoding"),
    CASE("chunked and chunked", POST("Transfer-Encoding: chunked, chunked\r\n"),
	 "bad_transfer_encoding"),
    CASE("gzip, then chunked", POST("Transfer-Encoding: gzip, chunked\r\n"),
	 "bad_transfer_encoding"),
    CASE("chunked, then identity", POST("Transfer-Encoding: chunked, identity\r\n"),
	 "bad_transfer_encoding"),
    CASE("identity", POST("Transfer-Encoding: identity\r\n"), "bad_transfer_encoding"),
    CASE("empty coding", POST("Transfer-Encoding:\r\n"), "bad_transfer_encoding"),
    CASE("empty element before chunked", POST("Transfer-Encoding: ,chunked\r\n"),
	 "bad_transfer_encoding"),
    CASE("parameter of chunked", POST("Transfer-Encoding: chunked;q=1\r\n"),
	 "bad_transfer_encoding"),
    CASE("chunked in quotes", POST("Transfer-Encoding: \"chunked\"\r\n"), "bad_transfer_encoding"),
    CASE("nearly chunked", POST("Transfer-Encoding: xchunked\r\n"), "bad_transfer_encoding"),
    CASE("chunked folded by case bits", POST("Transfer-Encoding: chun\x6b\x45\x44\r\n"), NULL),
    CASE("chunked in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
	 "chunked_in_1_0"),

    /* several things are wrong: the first one counts */
    CASE("bad name before a second length",
	 POST("Content-Length: 5\r\nA b\r\nContent-Length: 6\r\n"), "bad_name"),
    CASE("second length before a bad name",
	 POST("Content-Length: 5\r\nContent-Length: 6\r\nA b\r\n"), "two_lengths"),
    CASE("bad length and no host", "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "bad_length"),
};

#define OK(fields) "HTTP/1.1 200 OK\r\n" fields "\r\n"

static const struct http_case http_response_cases[] = {
    CASE("smallest", "HTTP/1.1 200 OK\r\n\r\n", NULL),
    CASE("1.0", "HTTP/1.0 200 OK\r\n\r\n", NULL),
    CASE("1.2", "HTTP/1.2 200 OK\r\n\r\n", NULL),
    CASE("empty reason", "HTTP/1.1 200 \r\n\r\n", NULL),
    CASE("no reason", "HTTP/1.1 200\r\n\r\n", NULL),
    CASE("reason above ASCII", "HTTP/1.1 404 gibt's nicht \xc3\xa4\x80\r\n\r\n", NULL),
    CASE("reason with a tab", "HTTP/1.1 404 not\tfound\r\n\r\n", NULL),
    CASE("smallest status", "HTTP/1.1 100 Continue\r\n\r\n", NULL),
    CASE("largest status", "HTTP/1.1 999 odd\r\n\r\n", NULL),
    CASE("switching", "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", NULL),
    CASE("length", OK("Content-Length: 12\r\n"), NULL),
    CASE("chunked", OK("Transfer-Encoding: chunked\r\n"), NULL),
    CASE("hosts mean nothing", OK("Host: a b\r\nHost: c\r\n"), NULL),
    CASE("empty line before", "\r\nHTTP/1.1 200 OK\r\n\r\n", "bad_version"),
    CASE("empty", "\r\n\r\n", "bad_version"),
    CASE("HTTP/0.9", "<html>\r\n", "bad_version"),
    CASE("ICY", "ICY 200 OK\r\n\r\n", "bad_version"),
    CASE("request", "GET / HTTP/1.1\r\n\r\n", "bad_version"),
    CASE("blank before the version", " HTTP/1.1 200 OK\r\n\r\n", "bad_version"),
    CASE("NUL in the version", "HTTP\0/1.1 200 OK\r\n\r\n", "bad_version"),
    CASE("2.0", "HTTP/2.0 200 OK\r\n\r\n", "unsupported_version"),
    CASE("version alone", "HTTP/1.1\r\n\r\n", "bad_status"),
    CASE("no status", "HTTP/1.1 \r\n\r\n", "bad_status"),
    CASE("status of two digits", "HTTP/1.1 20 OK\r\n\r\n", "bad_status"),
    CASE("status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "bad_status"),
    CASE("status below 100", "HTTP/1.1 099 OK\r\n\r\n", "bad_status"),
    CASE("status with a sign", "HTTP/1.1 -20 OK\r\n\r\n", "bad_status"),
    CASE("status with letters", "HTTP/1.1 20x OK\r\n\r\n", "bad_status"),
    CASE("two spaces before the status", "HTTP/1.1  200 OK\r\n\r\n", "bad_status"),
    CASE("tab behind the status", "HTTP/1.1 200\tOK\r\n\r\n", "bad_status"),
    CASE("control byte in the status", "HTTP/1.1 2\x01", "bad_status"),
    CASE("control byte in the reason", "HTTP/1.1 200 O\x01", "bad_reason"),
    CASE("NUL in the reason", "HTTP/1.1 200 OK\0", "bad_reason"),
    CASE("bare LF in the first line", "HTTP/1.1 200 OK\n\n", "bare_lf"),
    CASE("bare CR in the reason", "HTTP/1.1 200 O\rK\r\n\r\n", "bare_cr"),
    CASE("bare LF behind a field", OK("A: b\nC: d\r\n"), "bare_lf"),
    CASE("folded value", OK("A: b\r\n c\r\n"), "obs_fold"),
    CASE("blank before the first field", "HTTP/1.1 200 OK\r\n A: b\r\n\r\n", "obs_fold"),
    CASE("space before a colon", OK("Content-Length : 5\r\n"), "space_before_colon"),
    CASE("no colon", OK("Abc\r\n"), "bad_name"),
    CASE("NUL in a value", OK("A: \0\r\n"), "bad_value"),
    CASE("two equal lengths", OK("Content-Length: 5\r\nContent-Length: 5\r\n"), "two_lengths"),
    CASE("bad length", OK("Content-Length: 5 \t6\r\n"), "bad_length"),
    CASE("length and chunked", OK("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
	 "length_and_chunked"),
    CASE("gzip, then chunked", OK("Transfer-Encoding: gzip, chunked\r\n"), "bad_transfer_encoding"),
    CASE("chunked in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	 "chunked_in_1_0"),
    CASE("too many fields", OK(X128("a:\r\n") "a:\r\n"), "too_many_fields"),
    CASE("reason without an end", "HTTP/1.1 200 " X32K("a"), "head_too_large"),
    CASE("head without an end", "HTTP/1.1 200 OK\r\nA: " X32K("a"), "head_too_large"),
};

#undef CASE
#undef GET
#undef POST
#undef HOST
#undef LINE
#undef OK
#undef X4
#undef X16
#undef X64
#undef X128
#undef X1K
#undef X32K
