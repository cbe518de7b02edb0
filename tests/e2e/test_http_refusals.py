# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests as they should not be, and as they may be: what a server must never see, and what it
must see exactly.

Two readers of one stream that disagree about where a request ends are what request smuggling needs.
So a proxy refuses whatever another reader could take for something else.
"""

import random
import re

from lib import case, programs
from lib.http import BadMessage, Client, Origin, chunked, proxy, reply, request, wait_requests
from lib.segments import send_in_pieces

AT_DEBUG = False

ANY_REFUSAL = (400, 431, 501, 505)


class Refused:
    """No byte of it reaches a server. `name`: what the counters call it, where that is certain."""

    def __init__(self, raw, name=None, status=(400,)):
        self.raw, self.name, self.status = raw, name, status


class BadBody(Refused):
    """Its head may reach a server before its body turns out bad, the whole never."""


class Accepted:
    """A server sees these requests, (method, target, body), and nothing else."""

    def __init__(self, raw, *requests):
        self.raw, self.requests = raw, list(requests)


def get(*lines, version=b"1.1", first=b"Host: a.test\r\n", target=b"/x"):
    """A request without a body; the lines are whole, with their ends."""
    return b"GET %s HTTP/%s\r\n%s%s\r\n" % (target, version, first, b"".join(lines))


def post(*lines, body=b"hello", version=b"1.1"):
    return b"POST /x HTTP/%s\r\nHost: a.test\r\n%s\r\n%s" % (version, b"".join(lines), body)


def start(line):
    """A request with that first line, which has its end."""
    return line + b"Host: a.test\r\n\r\n"


def host(value):
    return b"GET /x HTTP/1.1\r\nHost:%s\r\n\r\n" % value


def coded(body, trailers=b""):
    """A chunked request with that body."""
    return post(b"Transfer-Encoding: chunked\r\n", body=body + trailers)


LENGTH, CHUNKED = b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
EVIL = b"GET /evil HTTP/1.1\r\nHost: a.test\r\n\r\n"
HELLO = ("POST", "/x", b"hello")
PLAIN = ("GET", "/x", b"")
END = (400, 501)

LENGTHS = {
    "two": Refused(post(LENGTH, LENGTH), "two_lengths"),
    "two_apart": Refused(post(LENGTH, b"X: y\r\n", b"content-length: 5\r\n"), "two_lengths"),
    "two_different": Refused(post(LENGTH, b"Content-Length: 6\r\n", body=b"hello!"), "two_lengths"),
    "list": Refused(post(b"Content-Length: 5, 5\r\n")),
    "list_tight": Refused(post(b"Content-Length: 5,5\r\n")),
    "plus": Refused(post(b"Content-Length: +5\r\n"), "bad_length"),
    "minus": Refused(post(b"Content-Length: -5\r\n"), "bad_length"),
    "hex": Refused(post(b"Content-Length: 0x5\r\n"), "bad_length"),
    "letters": Refused(post(b"Content-Length: five\r\n"), "bad_length"),
    "blank_inside": Refused(post(b"Content-Length: 5 5\r\n"), "bad_length"),
    "empty": Refused(post(b"Content-Length:\r\n"), "bad_length"),
    "overflow": Refused(post(b"Content-Length: 18446744073709551616\r\n"), "bad_length"),
    "overflow_to_5": Refused(post(b"Content-Length: 18446744073709551621\r\n"), "bad_length"),
    "very_long": Refused(post(b"Content-Length: %s\r\n" % (b"9" * 200)), "bad_length"),
    "semicolon": Refused(post(b"Content-Length: 5;\r\n"), "bad_length"),
    "point": Refused(post(b"Content-Length: 5.0\r\n"), "bad_length"),
    "quoted": Refused(post(b'Content-Length: "5"\r\n'), "bad_length"),
    "vertical_tab": Refused(post(b"Content-Length: \x0b5\r\n")),
    "nul": Refused(post(b"Content-Length: 5\0\r\n")),
    "space_before_colon": Refused(post(b"Content-Length : 5\r\n"), "space_before_colon"),
    "zeros": Accepted(post(b"Content-Length: 00005\r\n"), HELLO),
    "blanks_around": Accepted(post(b"Content-Length: \t 5 \t\r\n"), HELLO),
    "no_blank": Accepted(post(b"Content-Length:5\r\n"), HELLO),
    "case": Accepted(post(b"cONTENT-lENGTH: 5\r\n"), HELLO),
    "zero_then_next": Accepted(post(b"Content-Length: 0\r\n", body=b"") + get(),
                               ("POST", "/x", b""), PLAIN),
    "none_then_next": Accepted(post(body=b"") + get(), ("POST", "/x", b""), PLAIN),
    "get_with_body": Accepted(get(LENGTH) + b"hello" + get(), ("GET", "/x", b"hello"), PLAIN),
    "body_is_no_request": Accepted(post(b"Content-Length: %d\r\n" % len(EVIL), body=EVIL) + get(),
                                   ("POST", "/x", EVIL), PLAIN),
    "http_1_0": Accepted(post(LENGTH, version=b"1.0"), HELLO),
}

CODINGS = {
    "length_first": Refused(post(LENGTH, CHUNKED, body=CHUNKS), "length_and_chunked"),
    "length_last": Refused(post(CHUNKED, LENGTH, body=CHUNKS), "length_and_chunked"),
    "length_zero": Refused(post(CHUNKED, b"Content-Length: 0\r\n", body=CHUNKS),
                           "length_and_chunked"),
    "cl_te": Refused(post(b"Content-Length: 6\r\n", CHUNKED, body=b"0\r\n\r\nG") + EVIL,
                     "length_and_chunked"),
    "te_cl": Refused(post(b"Content-Length: 4\r\n", CHUNKED, body=b"5c\r\n" + EVIL + b"0\r\n\r\n"),
                     "length_and_chunked"),
    "gzip": Refused(post(b"Transfer-Encoding: gzip, chunked\r\n", body=CHUNKS), None, END),
    "gzip_last": Refused(post(b"Transfer-Encoding: chunked, gzip\r\n", body=CHUNKS), None, END),
    "twice_in_one": Refused(post(b"Transfer-Encoding: chunked, chunked\r\n", body=CHUNKS), None,
                            END),
    "twice": Refused(post(CHUNKED, CHUNKED, body=CHUNKS), None, END),
    "identity": Refused(post(b"Transfer-Encoding: identity\r\n", LENGTH), None, END),
    "identity_alone": Refused(post(b"Transfer-Encoding: identity\r\n", body=b""), None, END),
    "chunked_identity": Refused(post(b"Transfer-Encoding: chunked, identity\r\n", body=CHUNKS),
                                None, END),
    "comma": Refused(post(b"Transfer-Encoding: chunked,\r\n", body=CHUNKS), "bad_transfer_encoding"),
    "then_cow": Refused(post(CHUNKED, b"Transfer-encoding: cow\r\n", body=CHUNKS), None, END),
    "prefix": Refused(post(b"Transfer-Encoding: xchunked\r\n", body=CHUNKS), None, END),
    "suffix": Refused(post(b"Transfer-Encoding: chunkedx\r\n", body=CHUNKS), None, END),
    "parameter": Refused(post(b"Transfer-Encoding: chunked;q=1\r\n", body=CHUNKS), None, END),
    "quoted": Refused(post(b'Transfer-Encoding: "chunked"\r\n', body=CHUNKS), None, END),
    "comma": Refused(post(b"Transfer-Encoding: ,chunked\r\n", body=CHUNKS), None, END),
    "empty": Refused(post(b"Transfer-Encoding:\r\n", body=CHUNKS), None, END),
    "vertical_tab": Refused(post(b"Transfer-Encoding: \x0bchunked\r\n", body=CHUNKS)),
    "nul": Refused(post(b"Transfer-Encoding: chunked\0\r\n", body=CHUNKS)),
    "nul_in_name": Refused(post(b"Transfer-Encoding\0: chunked\r\n", body=CHUNKS)),
    "space_before_colon": Refused(post(b"Transfer-Encoding : chunked\r\n", body=CHUNKS),
                                  "space_before_colon"),
    "folded": Refused(post(b"Transfer-Encoding:\r\n chunked\r\n", body=CHUNKS)),
    "folded_into_another": Refused(post(b"X: y\r\n Transfer-Encoding: chunked\r\n", body=CHUNKS),
                                   "obs_fold"),
    "behind_bare_cr": Refused(post(b"X: y\rTransfer-Encoding: chunked\r\n", body=CHUNKS),
                              "bare_cr"),
    "behind_bare_lf": Refused(post(b"X: y\nTransfer-Encoding: chunked\r\n", body=CHUNKS),
                              "bare_lf"),
    "http_1_0": Refused(post(CHUNKED, body=CHUNKS, version=b"1.0"), None, END),
    "case": Accepted(post(b"transfer-encoding: CHUNKED\r\n", body=CHUNKS), HELLO),
    "tab": Accepted(post(b"Transfer-Encoding:\tchunked \r\n", body=CHUNKS), HELLO),
    "no_blank": Accepted(post(b"Transfer-Encoding:chunked\r\n", body=CHUNKS), HELLO),
    "underscore": Accepted(post(b"Transfer_Encoding: chunked\r\n", LENGTH), HELLO),
    "then_next": Accepted(post(CHUNKED, body=CHUNKS) + get(), HELLO, PLAIN),
}

CHUNK_BODIES = {
    "no_hex": BadBody(coded(b"g\r\nhello\r\n0\r\n\r\n")),
    "prefix_0x": BadBody(coded(b"0x5\r\nhello\r\n0\r\n\r\n")),
    "minus": BadBody(coded(b"-5\r\nhello\r\n0\r\n\r\n")),
    "plus": BadBody(coded(b"+5\r\nhello\r\n0\r\n\r\n")),
    "blank_first": BadBody(coded(b" 5\r\nhello\r\n0\r\n\r\n")),
    "blank_inside": BadBody(coded(b"0 5\r\nhello\r\n0\r\n\r\n")),
    "blank_last": BadBody(coded(b"5 \r\nhello\r\n0\r\n\r\n")),
    "empty": BadBody(coded(b"\r\nhello\r\n0\r\n\r\n")),
    "only_extension": BadBody(coded(b";a\r\nhello\r\n0\r\n\r\n")),
    "bare_lf": BadBody(coded(b"5\nhello\r\n0\r\n\r\n")),
    "bare_cr": BadBody(coded(b"5\rhello\r\n0\r\n\r\n")),
    "cr_cr_lf": BadBody(coded(b"5\r\r\nhello\r\n0\r\n\r\n")),
    "nul": BadBody(coded(b"5\0\r\nhello\r\n0\r\n\r\n")),
    "overflow": BadBody(coded(b"10000000000000005\r\nhello\r\n0\r\n\r\n")),
    "overflow_zeros": BadBody(coded(b"00000000000000000000005\r\nhello\r\n0\r\n\r\n")),
    "too_short": BadBody(coded(b"4\r\nhello\r\n0\r\n\r\n")),
    "too_long": BadBody(coded(b"6\r\nhello\r\n0\r\n\r\n")),
    "data_then_lf": BadBody(coded(b"5\r\nhello\n0\r\n\r\n")),
    "data_then_nothing": BadBody(coded(b"5\r\nhello0\r\n\r\n")),
    "lf_in_extension": BadBody(coded(b"5;a\nb\r\nhello\r\n0\r\n\r\n")),
    "cr_in_extension": BadBody(coded(b"5;a\rb\r\nhello\r\n0\r\n\r\n")),
    "lf_in_quoted_extension": BadBody(coded(b'5;a="\n"\r\nhello\r\n0\r\n\r\n')),
    "endless_extension": BadBody(coded(b"5;" + b"a" * 6000 + b"\r\nhello\r\n0\r\n\r\n")),
    "last_with_lf": BadBody(coded(b"5\r\nhello\r\n0\n\r\n")),
    "no_last_line": BadBody(coded(b"5\r\nhello\r\n0\r\n") + EVIL),
    "lf_after_trailers": BadBody(coded(b"5\r\nhello\r\n0\r\n\n")),
    "trailer_space_before_colon": BadBody(coded(b"5\r\nhello\r\n0\r\nX : y\r\n\r\n")),
    "trailer_folded": BadBody(coded(b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n")),
    "trailer_bare_lf": BadBody(coded(b"5\r\nhello\r\n0\r\nX: y\nZ: z\r\n\r\n")),
    "trailer_nul": BadBody(coded(b"5\r\nhello\r\n0\r\nX: \0\r\n\r\n")),
    "trailers_endless": BadBody(coded(b"5\r\nhello\r\n0\r\n" + b"X: yyyyyyyyyyyy\r\n" * 1000
                                      + b"\r\n"), None, (400, 431)),
    "zeros": Accepted(coded(b"0005\r\nhello\r\n000\r\n\r\n"), HELLO),
    "capitals": Accepted(coded(b"A\r\nhellohello\r\n0\r\n\r\n"), ("POST", "/x", b"hello" * 2)),
    "extensions": Accepted(coded(b"5;a;b=c;d=\"e f\"\r\nhello\r\n0;z\r\n\r\n"), HELLO),
    "two_chunks": Accepted(coded(b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n") + get(), HELLO, PLAIN),
    "nothing": Accepted(coded(b"0\r\n\r\n") + get(), ("POST", "/x", b""), PLAIN),
    "data_looks_like_chunks": Accepted(coded(b"f\r\n0\r\n\r\nGET /evil \r\n0\r\n\r\n"),
                                       ("POST", "/x", b"0\r\n\r\nGET /evil ")),
}

LINES = {
    "http_0_9": Refused(b"GET /x\r\n\r\n", None, ANY_REFUSAL),
    "http_2": Refused(get(version=b"2.0"), None, ANY_REFUSAL),
    "http_3": Refused(get(version=b"3"), None, ANY_REFUSAL),
    "http_1": Refused(get(version=b"1"), None, ANY_REFUSAL),
    "http_1_1_1": Refused(get(version=b"1.1.1"), None, ANY_REFUSAL),
    "http_01_1": Refused(get(version=b"01.1"), None, ANY_REFUSAL),
    "http_lower": Refused(start(b"GET /x http/1.1\r\n"), None, ANY_REFUSAL),
    "other_protocol": Refused(start(b"GET /x HTTQ/1.1\r\n"), None, ANY_REFUSAL),
    "half_preface": Refused(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", None, ANY_REFUSAL),
    "blank_behind": Refused(start(b"GET /x HTTP/1.1 \r\n"), None, ANY_REFUSAL),
    "two_blanks": Refused(start(b"GET  /x HTTP/1.1\r\n"), None, ANY_REFUSAL),
    "two_blanks_later": Refused(start(b"GET /x  HTTP/1.1\r\n"), None, ANY_REFUSAL),
    "tab": Refused(start(b"GET\t/x HTTP/1.1\r\n")),
    "tab_later": Refused(start(b"GET /x\tHTTP/1.1\r\n"), None, ANY_REFUSAL),
    "no_target": Refused(start(b"GET HTTP/1.1\r\n"), None, ANY_REFUSAL),
    "blank_in_target": Refused(start(b"GET /x y HTTP/1.1\r\n"), None, ANY_REFUSAL),
    "nul_in_target": Refused(get(target=b"/x\0y"), "bad_target"),
    "control_in_target": Refused(get(target=b"/x\x01y"), "bad_target"),
    "cr_in_target": Refused(get(target=b"/x\ry")),
    "del_in_target": Refused(get(target=b"/x\x7fy"), "bad_target"),
    "no_slash": Refused(get(target=b"x"), "bad_target"),
    "fragment": Refused(get(target=b"/x#y"), "bad_target"),
    "asterisk_with_get": Refused(get(target=b"*"), "bad_target"),
    "authority_with_get": Refused(get(target=b"a.test:80"), "bad_target"),
    "userinfo": Refused(get(target=b"http://user@a.test/x"), None),
    "no_authority": Refused(get(target=b"http:///x"), None),
    "connect_path": Refused(start(b"CONNECT /x HTTP/1.1\r\n"), None),
    "connect_without_port": Refused(start(b"CONNECT a.test HTTP/1.1\r\n"), None),
    "bad_method": Refused(start(b"G(T /x HTTP/1.1\r\n"), "bad_method"),
    "colon_in_method": Refused(start(b"GET: /x HTTP/1.1\r\n"), "bad_method"),
    "no_method": Refused(start(b" /x HTTP/1.1\r\n")),
    "blank_first": Refused(b" " + get()),
    "nul_first": Refused(b"\0" + get()),
    "lf_first": Refused(b"\n" + get()),
    "cr_first": Refused(b"\r" + get()),
    "bare_lf_everywhere": Refused(get().replace(b"\r\n", b"\n"), "bare_lf"),
    "bare_lf_in_first": Refused(start(b"GET /x HTTP/1.1\n"), "bare_lf"),
    "cr_cr_lf": Refused(start(b"GET /x HTTP/1.1\r\r\n"), None),
    "tls": Refused(b"\x16\3\1\2\0\1\0\1\xfc\3\3" + bytes(100)),
    "empty_line_first": Accepted(b"\r\n" + get(), PLAIN),
    "two_empty_lines_first": Accepted(b"\r\n\r\n" + get(), PLAIN),
    "three_empty_lines_first": Refused(b"\r\n\r\n\r\n" + get(), "bad_method"),
    "two_empty_lines_between": Accepted(get() + b"\r\n\r\n" + get(), PLAIN, PLAIN),
    "empty_line_between": Accepted(get() + b"\r\n" + get(), PLAIN, PLAIN),
    "absolute": Accepted(get(target=b"http://a.test/x"), PLAIN),
    "odd_method": Accepted(start(b"x-y!z /x HTTP/1.1\r\n"), ("x-y!z", "/x", b"")),
    "query": Accepted(get(target=b"/x?a=b&c=%20d/e?f"), ("GET", "/x?a=b&c=%20d/e?f", b"")),
    "long_target": Accepted(get(target=b"/" + b"x" * 8000), ("GET", "/" + "x" * 8000, b"")),
    "options": Accepted(start(b"OPTIONS * HTTP/1.1\r\n"), ("OPTIONS", "*", b"")),
}

FIELDS = {
    "bare_lf": Refused(get(b"X: y\n"), "bare_lf"),
    "bare_lf_inside": Refused(get(b"X: y\nZ: z\r\n"), "bare_lf"),
    "bare_lf_at_the_end": Refused(b"GET /x HTTP/1.1\r\nHost: a.test\r\n\n", "bare_lf"),
    "bare_cr_inside": Refused(get(b"X: y\rz\r\n"), "bare_cr"),
    "cr_cr_lf": Refused(get(b"X: y\r\r\n"), "bare_cr"),
    "nul": Refused(get(b"X: y\0z\r\n"), "bad_value"),
    "control": Refused(get(b"X: y\x01z\r\n"), "bad_value"),
    "del": Refused(get(b"X: y\x7fz\r\n"), "bad_value"),
    "folded": Refused(get(b"X: y\r\n z\r\n"), "obs_fold"),
    "folded_tab": Refused(get(b"X: y\r\n\tz\r\n"), "obs_fold"),
    "folded_empty": Refused(get(b"X: y\r\n \r\n"), "obs_fold"),
    "blank_before_first": Refused(get(first=b" Host: a.test\r\n")),
    "tab_before_first": Refused(get(first=b"\tX: y\r\nHost: a.test\r\n")),
    "space_before_colon": Refused(get(b"X : y\r\n"), "space_before_colon"),
    "tab_before_colon": Refused(get(b"X\t: y\r\n"), None),
    "no_colon": Refused(get(b"X\r\n"), None),
    "no_name": Refused(get(b": y\r\n"), None),
    "blank_in_name": Refused(get(b"X Y: z\r\n"), None),
    "bad_name": Refused(get(b"X(Y): z\r\n"), "bad_name"),
    "obs_text_in_name": Refused(get(b"X\xe4: z\r\n"), "bad_name"),
    "nul_in_name": Refused(get(b"X\0Y: z\r\n"), None),
    "slash_in_name": Refused(get(b"X/Y: z\r\n"), "bad_name"),
    "no_host": Refused(get(first=b""), "no_host"),
    "two_hosts": Refused(get(b"Host: a.test\r\n"), "two_hosts"),
    "other_hosts": Refused(get(b"host: b.test\r\n"), "two_hosts"),
    "two_hosts_http_1_0": Refused(get(b"Host: b.test\r\n", version=b"1.0"), "two_hosts"),
    "host_blank": Refused(host(b" a b"), "bad_host"),
    "host_path": Refused(host(b" a.test/x"), "bad_host"),
    "host_userinfo": Refused(host(b" u@a.test"), "bad_host"),
    "host_list": Refused(host(b" a.test, b.test"), "bad_host"),
    "host_two_ports": Refused(host(b" a.test:80:80"), "bad_host"),
    "host_letters_as_port": Refused(host(b" a.test:http"), "bad_host"),
    "host_port_too_large": Refused(host(b" a.test:99999"), "bad_host"),
    "host_open_bracket": Refused(host(b" [::1"), "bad_host"),
    "host_behind_bracket": Refused(host(b" [::1]x"), "bad_host"),
    "host_backslash": Refused(host(b" a\\b"), "bad_host"),
    "host_quote": Refused(host(b' a"b'), "bad_host"),
    "host_query": Refused(host(b" a.test?x"), "bad_host"),
    "host_fragment": Refused(host(b" a.test#x"), "bad_host"),
    "host_empty_label": Refused(host(b" a..test"), "bad_host"),
    "host_dots": Refused(host(b" .."), "bad_host"),
    "host_control": Refused(host(b" a\x01b")),
    "obs_text": Accepted(get(b"X: \xe4\xff\r\n"), PLAIN),
    "empty_value": Accepted(get(b"X:\r\n", b"Y: \t \r\n"), PLAIN),
    "odd_name": Accepted(get(b"!#$%&'*+-.^_`|~0aA: z\r\n"), PLAIN),
    "colons": Accepted(get(b"X: y: z:\r\n"), PLAIN),
    "host_ipv6": Accepted(host(b" [::1]:8080"), PLAIN),
    "host_case": Accepted(host(b" A.Test"), PLAIN),
    "host_sub_delims": Accepted(host(b" a=b!$&'()*+,;c"), PLAIN),
    "host_underscore": Accepted(host(b" a_b.test"), PLAIN),
    "no_host_http_1_0": Accepted(get(first=b"", version=b"1.0"), PLAIN),
    "absolute_http_1_0": Accepted(get(first=b"", version=b"1.0", target=b"http://a.test/x"), PLAIN),
    "many_fields": Accepted(get(*[b"X-%d: y\r\n" % i for i in range(100)]), PLAIN),
}

TABLE = {f"{kind}/{name}": row for kind, rows in (
    ("length", LENGTHS), ("coding", CODINGS), ("chunk", CHUNK_BODIES), ("line", LINES),
    ("field", FIELDS)) for name, row in rows.items()}


class Judge:
    """A daemon and its server, and what both make of a row."""

    def __init__(self, env):
        self.origin = Origin(env, lambda asked: reply(asked.target.encode()[:100]))
        self.daemon = proxy(env, self.origin.address, spliced={"workers": 1})
        self.errors = self.daemon.stats()["http_errors"]

    def check(self, name, row, send):
        requests, received = len(self.origin.requests), self.origin.received()
        with Client(self.daemon.address()) as client:
            try:
                send(client, row.raw)
            except (BrokenPipeError, ConnectionResetError):
                assert not isinstance(row, Accepted), f"{name}: ended while it was sent"
            if isinstance(row, Accepted):
                self._check_accepted(name, row, client, requests)
            else:
                self._check_refused(name, row, client)
        assert not self.origin.problems, (name, self.origin.problems)
        if isinstance(row, Refused):
            assert self.origin.requests[requests:] == [], name
        before, self.errors = self.errors, self.daemon.stats()["http_errors"]
        if type(row) is Refused:
            assert self.origin.received() == received, f"{name}: the server heard of it"
            self._check_counter(name, row, before)

    def _check_accepted(self, name, row, client, before):
        for method, *_ in row.requests:
            answer = client.response(method)
            assert answer.status == 200, (name, answer.raw)
        seen = [(asked.method, asked.target, bytes(asked.body))
                for asked in self.origin.requests[before:]]
        assert seen == row.requests, (name, seen)
        assert client.is_open() or b"HTTP/1.0" in row.raw, f"{name}: something more came"

    def _check_refused(self, name, row, client):
        try:
            answer = client.response()
        except (BadMessage, ConnectionResetError) as error:
            # a head that was passed on may have cost the chance to say it
            assert isinstance(row, BadBody), f"{name}: {error!r}"
            return
        assert answer.status in row.status, (name, answer.raw)
        assert client.ending()[0] == b"", f"{name}: more than the refusal came"

    def _check_counter(self, name, row, before):
        now = self.errors
        more = {key: now[key] - before.get(key, 0) for key in now if now[key] != before.get(key, 0)}
        assert len(more) == 1 and set(more.values()) == {1}, f"{name} is counted as {more}"
        assert row.name is None or row.name in more, f"{name} is counted as {more}, not {row.name}"


def check_table(env, send):
    judge, problems = Judge(env), []
    for name, row in TABLE.items():
        try:
            judge.check(name, row, send)
        except (AssertionError, OSError) as error:  # the others are of interest, too
            problems.append(f"{name}: {error!r}")
    assert not problems, f"{len(problems)} of {len(TABLE)} rows:\n" + "\n".join(problems)


@case(timeout=90)
def test_table(env):
    check_table(env, lambda client, raw: client.send(raw))


@case(timeout=120)
def test_table_in_pieces(env):
    """The same where every byte of a short row comes alone, and of a long one every tenth part."""
    def send(client, raw):
        step = max(1, len(raw) // 10) if len(raw) > 500 else 1
        send_in_pieces(client.sock, *(raw[at:at + step] for at in range(0, len(raw), step)))
    check_table(env, send)


def test_ends_are_logged(env):
    """Each refusal is a line with its end; nothing of it is a served request."""
    judge = Judge(env)
    rows = [row for row in TABLE.values() if type(row) is Refused][:40]
    for row in rows:
        with Client(judge.daemon.address()) as client:
            client.send(row.raw).response()
    lines = wait_requests(judge.daemon, len(rows))
    assert {line["end"] for line in lines} == {"bad_request"}, lines
    assert judge.daemon.stats()["http_responses"]["4xx"] >= len(rows) - 10


# ---- what others refuse ------------------------------------------------------------------------

NGINX_PROXY = """
    server {{{{
        listen {{address}};
        location / {{{{
            proxy_pass http://{origin};
            proxy_http_version 1.1;
            proxy_request_buffering off;
        }}}}
    }}}}
"""

HAPROXY_PROXY = """
frontend front
    bind {{address}}
    default_backend origin
backend origin
    server origin {origin}
"""


def verdict(address, raw):
    """The status of the first answer to `raw`; None if there is none within a moment."""
    with Client(address, timeout=1) as client:
        try:
            return client.send(raw).response().status
        except (BadMessage, OSError):
            return None


def is_refusal(status):
    return status in (400, 501, 505)


class Others:
    """Two other proxies in front of the same server."""

    def __init__(self, nginx, haproxy):
        self.proxies = {"nginx": nginx.address, "HAProxy": haproxy.address}

    def refusing(self, raw):
        """Who of them refuses it."""
        return [name for name, address in self.proxies.items() if is_refusal(verdict(address, raw))]


def compare(env, requests):
    """What either of the others refuses, the daemon refuses: a status of refusal, or an end where
    it was too late for one."""
    origin = Origin(env)
    daemon = proxy(env, origin.address, {"head_timeout": "700ms", "request_timeout": "700ms"})
    lenient, refused = [], 0
    with programs.Nginx(env, NGINX_PROXY.format(origin=origin.address)) as nginx, \
            programs.HAProxy(env, HAPROXY_PROXY.format(origin=origin.address)) as haproxy:
        others = Others(nginx, haproxy)
        for raw in requests:
            refusing = others.refusing(raw)
            if not refusing:
                continue
            refused += 1
            status = verdict(daemon.address(), raw)
            if status is not None and not is_refusal(status):
                lenient.append(f"{' and '.join(refusing)} refuse what got {status}: {raw[:300]}")
    assert not lenient, f"{len(lenient)} requests:\n" + "\n".join(lenient)
    env.note(f"{refused} of {len(requests)} refused by another")


@case(timeout=120)
def test_nothing_is_taken_that_others_refuse(env):
    """nginx and HAProxy on the table, but for what is valid by RFC 9112 and 9110 whoever refuses it
    (a tab as a blank, a method in lower case, a hundred fields)."""
    compare(env, [row.raw for row in TABLE.values() if not isinstance(row, Accepted)])


BASES = (post(LENGTH), coded(CHUNKS), get(b"X-Name: value\r\n", b"Connection: keep-alive\r\n"),
         request("GET", "http://a.test:80/x?y=z", host="a.test:80"))
STRANGE = (b"\0", b"\r", b"\n", b" ", b"\t", b"\x0b", b",", b":", b";", b"\xa0", b"\x7f", b"\r\n ")


# Valid around a value, but nginx takes no tab there.
TAB_AS_BLANK = re.compile(rb":[ \t]*\t|\t *\r\n")
# Valid in a name by RFC 3986, but not everybody's; and HAProxy wants Host to be what an absolute
# target says, where RFC 9112 (3.2.2) has it ignored.
ODD_NAME = re.compile(rb"(?:://|Host: )[a-z.0-9:]*[,;]")


@case(timeout=120, slow=True)
def test_strange_bytes_anywhere(env):
    """Requests with a strange byte at any place: again nothing that another refuses. A sample, for
    there are many."""
    dice = random.Random(20)
    mutants = [base[:at] + strange + base[at:] for base in BASES for at in range(len(base) + 1)
               for strange in STRANGE]
    mutants = [raw for raw in mutants if not TAB_AS_BLANK.search(raw) and not ODD_NAME.search(raw)]
    compare(env, dice.sample(mutants, env.pick(500, 100)))


def test_chunked_is_what_others_say(env):
    """A control: what all of them take, and the daemon must take as well."""
    origin = Origin(env, lambda asked: reply(bytes(asked.body)))
    daemon = proxy(env, origin.address)
    with programs.Nginx(env, NGINX_PROXY.format(origin=origin.address)) as nginx, \
            programs.HAProxy(env, HAPROXY_PROXY.format(origin=origin.address)) as haproxy:
        for address in (nginx.address, haproxy.address, daemon.address()):
            with Client(address) as client:
                client.send(request("POST", "/", "Transfer-Encoding: chunked"), chunked(b"a", b"b"))
                assert client.response().body == b"ab"
