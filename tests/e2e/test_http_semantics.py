# SPDX-License-Identifier: GPL-2.0-or-later
"""What RFC 9110 and 9112 want of a proxy, beyond framing: authorities, codings, Max-Forwards,
upgrades, expectations."""

from lib.http import Client, Origin, head, proxy, reply, request, wait_requests


def raw_request(start, *fields):
    """A request of these lines alone, without a Host of the test's."""
    return head(start, *fields)


# ---- authorities -------------------------------------------------------------------------------

def test_http_1_0_without_host(env):
    """An absolute target and CONNECT have an authority: it routes, and the server gets it."""
    other, named = Origin(env, name="other"), Origin(env, name="named")
    tunnel = Origin(env, serve=lambda connection: connection.head()
                    and connection.send(head("HTTP/1.1 200 OK"), b"tunnel"))
    daemon = proxy(env, other.address, {"route": ["host:c.test method:CONNECT -> tunnel",
                                                  "host:b.test -> named"]},
                   {"named": named.address, "tunnel": tunnel.address})
    rows = (("GET http://b.test/x?y HTTP/1.0", (), named, "/x?y", "b.test"),
            ("GET http://b.test:81 HTTP/1.0", (), named, "/", "b.test:81"),
            ("GET http://B.test./x HTTP/1.0", ("Host: other.test",), named, "/x", "B.test."),
            ("GET http://d.test/x HTTP/1.0", ("Host: b.test",), other, "/x", "d.test"),
            ("OPTIONS http://b.test HTTP/1.0", (), named, "*", "b.test"),
            ("GET /x HTTP/1.0", ("Host: b.test",), named, "/x", "b.test"))
    for start, fields, origin, target, host in rows:
        with Client(daemon.address()) as client:
            answer = client.send(raw_request(start, *fields)).response()
            assert answer.body == origin.name.encode(), (start, answer.raw)
        asked = origin.check()[-1]
        assert (asked.target, asked.get("Host")) == (target, host), asked.raw
    with Client(daemon.address()) as client:
        client.send(raw_request("CONNECT c.test:443 HTTP/1.0"))
        assert client.response("CONNECT").status == 200
        assert client.ending() == (b"tunnel", "eof")
    assert [(asked.target, asked.get("Host")) for asked in tunnel.heads] \
        == [("c.test:443", "c.test:443")]
    lines = wait_requests(daemon, len(rows) + 1)
    assert [line["host"] for line in lines] == [row[4] for row in rows] + ["c.test:443"], lines
    with Client(daemon.address()) as client:    # nor does it make a field that is wrong right
        client.send(raw_request("GET http://b.test/ HTTP/1.0", "Host: a b"))
        assert client.response().status == 400


def test_names_of_hosts(env):
    """All that RFC 3986 lets a name be, but no empty label; the server gets it as it is."""
    origin = Origin(env)
    daemon = proxy(env, origin.address, {"forwarded": "append"})
    good = ["a=b", "a_b.test.", "a!b$c&d'e(f)g*h+i,j;k=l-m~n", "%41.test:80", "1.2.3.4", "a.test:"]
    with Client(daemon.address()) as client:
        for host in good:
            assert client.ask(host=host).status == 200, host
            assert client.ask("GET", f"http://{host}/", host="x").status == 200, host
    assert [asked.get("Host") for asked in origin.check()] \
        == [host for host in good for _ in range(2)]
    for host in ("..", ".", ".a", "a..b", "a..", "a..:80", "..a", "a%", "a%4", "a|b", "a^b", "a#b"):
        for raw in (request(host=host), request("GET", f"http://{host}/", host="x"),
                    request("CONNECT", f"{host.removesuffix(':80')}:80", host="x")):
            with Client(daemon.address()) as client:
                assert client.send(raw).response().status == 400, raw
    assert len(origin.heads) == 2 * len(good)


# ---- the beginning of a request ----------------------------------------------------------------

def test_empty_lines(env):
    """Up to two before a request, the first or a later one; a third is none."""
    origin = Origin(env)
    daemon = proxy(env, origin.address)
    line = b"\r\n"
    with Client(daemon.address()) as client:
        for number in (2, 1, 0, 2, 2):
            assert client.send(line * number, request()).response().status == 200
        client.send(line, request(), line, line, request())
        assert client.response().status == client.response().status == 200
    for before in (b"", request()):
        with Client(daemon.address()) as client:
            client.send(before, line * 3, request())
            if before:
                assert client.response().status == 200
            assert client.response().status == 400
            assert client.ending()[0] == b""
    with Client(daemon.address()) as client:    # and they are no request
        client.send(request(), line, line)
        assert client.response().status == 200
    lines = wait_requests(daemon, 7 + 3 + 1)
    assert [line["end"] for line in lines].count("bad_request") == 2, lines


def test_unknown_coding(env):
    """A coding that is not known is 501, a list that ends in another than chunked 400; both end
    the connection."""
    origin = Origin(env)
    daemon = proxy(env, origin.address)
    rows = {"cow": 501, "gzip": 501, "gzip, chunked": 501, "identity": 501, "cow;a=b, chunked": 501,
            "chunked, gzip": 400, "chunked, chunked": 400, '"cow"': 400, ",": 400, "": 400,
            "gzip chunked": 400}
    for coding, status in rows.items():
        with Client(daemon.address()) as client:
            client.send(request("POST", "/", f"Transfer-Encoding: {coding}"),
                        b"0\r\n\r\n", request())
            answer = client.response()
            assert answer.status == status and answer.wants_close(), (coding, answer.raw)
            assert client.ending()[0] == b"", coding
    assert origin.received() == 0
    errors = daemon.stats()["http_errors"]
    assert errors["unknown_transfer_encoding"] == 5 and errors["bad_transfer_encoding"] == 6, errors
    assert {line["end"] for line in wait_requests(daemon, len(rows))} == {"bad_request"}
    bad = proxy(env, Origin(env, lambda _: head("HTTP/1.1 200 OK", "Transfer-Encoding: cow")
                            + b"moo").address)
    with Client(bad.address()) as client:       # of a response it is the server's fault
        assert client.ask().status == 502
