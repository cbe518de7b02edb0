# SPDX-License-Identifier: GPL-2.0-or-later
"""What RFC 9110 and 9112 want of a proxy, beyond framing: authorities, codings, Max-Forwards,
upgrades, expectations, clients that leave."""

import email.utils
import select
import socket
import threading
import time

from lib import tcp, wait_until
from lib.http import (Client, Origin, chunked, head, proxy, reply, request, wait_end,
                      wait_requests)


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


# ---- OPTIONS and TRACE -------------------------------------------------------------------------

def test_max_forwards(env):
    """One less for the next hop; this is the last one where none is left."""
    origin = Origin(env)
    daemon = proxy(env, origin.address, {"underscores_in_headers": "yes"})
    with Client(daemon.address()) as client:
        for method in ("OPTIONS", "TRACE"):
            for sent, wanted in (("1", "0"), ("10", "9"), ("007", "6"),
                                 ("99999999999999999999", "4294967294"), ("4294967295", "4294967294")):
                assert client.ask(method, "/", f"max-forwards: {sent}").status == 200
                assert origin.check()[-1].get("Max-Forwards") == wanted, sent
        for method in ("GET", "POST", "DELETE", "options"):     # means nothing to others
            for sent in ("0", "x", "10"):
                assert client.ask(method, "/", f"Max-Forwards: {sent}").status == 200
                assert origin.check()[-1].get("Max-Forwards") == sent, method
        assert client.ask("OPTIONS", "/", "Max_Forwards: 0").status == 200
        assert origin.check()[-1].names() == ["host"]
    number = len(origin.requests)
    for sent in ("-1", "x", "", "1, 1", "1\r\nMax-Forwards: 1", "0x1", "1.0"):
        for method in ("OPTIONS", "TRACE"):
            with Client(daemon.address()) as client:
                answer = client.send(request(method, "/", f"Max-Forwards: {sent}")).response()
                assert answer.status == 400, (sent, answer.raw)
    assert len(origin.heads) == number
    assert daemon.stats()["http_errors"]["bad_max_forwards"] == 14


def test_last_forward(env):
    """The proxy answers itself: what it lets through, or what it got, but nobody's secrets."""
    origin = Origin(env)
    daemon = proxy(env, origin.address, {"deny": "127.0.0.9"})
    for start in ("OPTIONS * HTTP/1.1", "OPTIONS /x HTTP/1.1", "OPTIONS http://a.test HTTP/1.0"):
        with Client(daemon.address()) as client:
            answer = client.send(head(start, "Host: a.test", "Max-Forwards: 0")).response()
            assert (answer.status, answer.body) == (200, b"") and "GET" in answer.get("Allow")
            assert answer.get("Content-Length") == "0" and answer.get("Date"), answer.raw
    fields = ["Host: a.test", "X-One: 1", "max-forwards: 00", "Via: 1.1 other", "x_two:  2"]
    secrets = ["Cookie: secret=1", "Authorization: Basic secret", "proxy-authorization: secret",
               "COOKIE: secret", "Pro_xy: x", "Proxy_Authorization: secret"]
    with Client(daemon.address()) as client:
        client.send(head("TRACE /x?y HTTP/1.1", *fields, *secrets), request())
        answer = client.response()
        assert (answer.status, answer.get("Content-Type")) == (200, "message/http"), answer.raw
        assert bytes(answer.body) == head("TRACE /x?y HTTP/1.1", *fields[:4], "x_two: 2",
                                          "Pro_xy: x"), answer.body
        assert answer.wants_close() and client.ending()[0] == b""
    with Client(daemon.address()) as client:    # however long it is
        long = [f"X-{number}: {'y' * 250}" for number in range(100)]
        answer = client.send(head("TRACE / HTTP/1.1", "Host: a", "Max-Forwards: 0", *long)).response()
        assert answer.body.count(b"y") == 25_000
    assert origin.received() == 0
    lines = wait_requests(daemon, 5)
    assert {(line["status"], line["end"], line["server"]) for line in lines} \
        == {("200", "done", "-")}, lines
    denied = proxy(env, origin.address, {"deny": "192.0.2.1", "accept_proxy": "v1"})
    with Client(denied.address()) as client:
        client.send(b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n",
                    request("TRACE", "/", "Max-Forwards: 0"))
        assert client.response().status == 403


# ---- fields ------------------------------------------------------------------------------------

def test_lengths_are_written_as_understood(env):
    """Not as they were written, in requests and responses, to HEAD and with 304."""
    answers = {"/": head("HTTP/1.1 200 OK", "content-length: 0000004") + b"four",
               "/304": head("HTTP/1.1 304 Not Modified", "Content-Length: 007"),
               "/head": head("HTTP/1.1 200 OK", "Content-Length: 0010")}
    origin = Origin(env, lambda asked: answers[asked.target])
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        client.send(request("POST", "/", "Content-Length: 007"), b"content")
        answer = client.response()
        assert (answer.get("Content-Length"), answer.body) == ("4", b"four"), answer.raw
        assert client.ask("GET", "/304").get("Content-Length") == "7"
        assert client.ask("HEAD", "/head").get("Content-Length") == "10"
        assert client.send(request("GET", "/304", "Content-Length: 00")).response().status == 304
    assert [asked.get("Content-Length") for asked in origin.check()] == ["7", None, None, "0"]
    assert origin.requests[0].body == b"content"


def check_date(answer):
    """A date, in the one form that is to be written, and now."""
    value = answer.get("Date")
    then = email.utils.parsedate_to_datetime(value).timestamp()
    assert email.utils.formatdate(then, usegmt=True) == value, value
    assert abs(time.time() - then) < 10, value


def test_date(env):
    """In every answer of the proxy's own, and in a server's that has none."""
    answers = {"/": reply(b"x"), "/dated": reply(b"x", "date: Sun, 06 Nov 1994 08:49:37 GMT")}
    origin = Origin(env, lambda asked: answers.get(asked.target))
    daemon = proxy(env, origin.address, {"route": "path:/api host:b.test -> main", "body_max": 10})
    paths = proxy(env, origin.address, {"route": "path:/api -> main", "pool": None})
    with Client(daemon.address()) as client:
        check_date(client.ask("GET", "/"))
        assert client.ask("GET", "/dated").get("Date") == "Sun, 06 Nov 1994 08:49:37 GMT"
    wanted = {400: b"GET\r\n\r\n", 405: request("CONNECT", "a.test:1"), 502: request("GET", "/no"),
              413: request("POST", "/", "Content-Length: 11"), 501: request(
                  "POST", "/", "Transfer-Encoding: cow"), 505: b"GET / HTTP/2.0\r\n\r\n",
              431: request("GET", "/", *["X: y"] * 200)}
    for status, raw in wanted.items():
        with Client(daemon.address()) as client:
            answer = client.send(raw).response()
            assert answer.status == status, answer.raw
            check_date(answer)
    with Client(paths.address()) as client:
        check_date(client.ask("HEAD", "/"))


def test_te(env):
    """That trailers are wanted is said anew; other codings are for this hop."""
    origin = Origin(env)
    daemon = proxy(env, origin.address)
    rows = ((("TE: trailers",), True), (("TE: gzip;q=0.5, Trailers", "Connection: TE"), True),
            (("te: deflate", "TE: trailers"), True), (("TE: gzip",), False), (("TE:",), False),
            (("TE: trailers", "Upgrade: chat", "Connection: upgrade, te"), True), ((), False))
    with Client(daemon.address()) as client:
        for fields, passes in rows:
            assert client.ask("GET", "/", *fields).status == 200
            asked = origin.check()[-1]
            assert asked.get("TE") == ("trailers" if passes else None), (fields, asked.raw)
            options = [option.strip().lower()
                       for option in (asked.get("Connection") or "").split(",")]
            assert ("te" in options) == passes, asked.raw
            assert ("upgrade" in options) == ("Upgrade: chat" in fields), asked.raw
    with Client(daemon.address()) as client:
        client.send(request("GET", "/", "TE: trailers", version="1.0")).response()
    assert origin.check()[-1].names() == ["host"]


def test_upgrades(env):
    """Those to HTTP/2 are left out of what is asked for, whatever stands beside them."""
    origin = Origin(env)
    daemon = proxy(env, origin.address)
    rows = {"h2c, websocket": "websocket", "websocket,h2c": "websocket", "H2C": None,
            "h2c-14, chat/2 , ,TLS/1.0": "chat/2, TLS/1.0", "HTTP/2.0, IRC/6.9": "IRC/6.9",
            "websocket": "websocket", "a\r\nUpgrade: h2c\r\nUpgrade: b": "a, b"}
    with Client(daemon.address()) as client:
        for sent, wanted in rows.items():
            client.send(request("GET", "/", f"Upgrade: {sent}", "Connection: Upgrade"))
            assert client.response().status == 200
            asked = origin.check()[-1]
            assert asked.get("Upgrade") == wanted, (sent, asked.raw)
            assert asked.get("Connection") == (wanted and "upgrade"), asked.raw


def test_upgrade_required(env):
    """426 says to what, to clients that stay and to those that go; other responses do not."""
    fields = "Upgrade: TLS/1.0, HTTP/1.1", "Connection: Upgrade"
    origin = Origin(env, lambda asked: reply(b"x", *fields, status=f"{asked.target[1:]} Status"))
    daemon = proxy(env, origin.address)
    for more in ((), ("Connection: close",)):
        with Client(daemon.address()) as client:
            answer = client.ask("GET", "/426", *more)
            assert answer.get("Upgrade") == "TLS/1.0, HTTP/1.1", answer.raw
            options = answer.get("Connection").lower().replace(" ", "").split(",")
            assert ("upgrade" in options, "close" in options) == (True, bool(more)), answer.raw
    with Client(daemon.address()) as client:
        answer = client.ask("GET", "/200")
        assert not answer.all("Upgrade") + answer.all("Connection"), answer.raw


def test_expectations_of_http_1_0(env):
    """There were none then: the server hears of no such thing, and none comes back."""
    origin = Origin(env, lambda asked: reply(b"%d" % len(asked.all("Expect"))))
    daemon = proxy(env, origin.address)
    for expectation in ("100-continue", "other"):
        for fields in ((), ("Connection: keep-alive",)):
            with Client(daemon.address()) as client:
                client.send(request("PUT", "/", f"Expect: {expectation}", *fields, body=b"content",
                                    version="1.0"))
                answer = client.response()
                assert (answer.status, answer.body, client.interim) == (200, b"0", []), answer.raw
    assert {bytes(asked.body) for asked in origin.check()} == {b"content"}
    with Client(daemon.address()) as client:    # those of HTTP/1.1 are the server's business
        client.send(request("PUT", "/", "Expect: 100-continue", body=b"content"))
        assert client.response().body == b"1"


# ---- clients that leave ------------------------------------------------------------------------

class Thinker:
    """A server that answers when it is told to. resets: the clients that left in that way."""

    def __init__(self, env, *answers):
        self.resets = 0
        self.answers, self.go = answers or [reply(b"late")], threading.Event()
        self.origin = Origin(env, serve=self._serve)

    def _serve(self, connection):
        while asked := connection.request():
            wait_until(lambda: self.go.is_set() or self._left(connection), 10, "the word")
            if not self.go.is_set():
                return
            connection.send(self.answers[int(asked.target[1:] or 0)])

    def _left(self, connection):
        try:
            return bool(select.select([connection.sock], [], [], 0)[0]) \
                and connection.sock.recv(1, socket.MSG_PEEK) == b""
        except ConnectionResetError:
            self.resets += 1
            return True

    def asked(self, number=1):
        wait_until(lambda: len(self.origin.requests) == number, 5, "the request")


BIG = 300_000


def test_client_closes_while_the_server_thinks(env):
    """The request goes on, and the log says who was not there any more."""
    answers = (reply(b"late"), reply(b"x" * BIG),
               head("HTTP/1.1 200 OK", "Connection: close") + b"y" * BIG,
               head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + chunked(b"z" * BIG))
    thinker = Thinker(env, *answers)
    daemon = proxy(env, thinker.origin.address)
    for number in range(len(answers)):
        thinker.go.clear()
        with Client(daemon.address()) as client:
            client.send(request("POST", f"/{number}", body=b"order"))
            thinker.asked(number + 1)
        thinker.go.set()
        line = wait_requests(daemon, number + 1)[-1]
        assert (line["status"], line["end"]) == ("200", "client_reset"), line
    assert daemon.stats()["http_ends"]["client_reset"] == len(answers)


def test_client_half_closes_within_its_request(env):
    """Nobody can answer that: it ends as it was ended, and the server learns that there is no more."""
    origin = Origin(env)
    daemon = proxy(env, origin.address)
    cut = (head("POST / HTTP/1.1", "Host: a", "Content-Length: 100") + b"xxx",
           head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + b"5\r\nxx",
           b"POST / HTTP/1.1\r\nHost: a\r\nContent-")
    for number, sent in enumerate(cut, 1):
        with Client(daemon.address()) as client:
            client.send(sent)
            if number < 3:
                wait_until(lambda n=number: len(origin.heads) == n, 5, "the server has the head")
            client.sock.shutdown(socket.SHUT_WR)
            assert client.ending() == (b"", "eof"), sent
            assert wait_requests(daemon, number)[-1]["end"] == "client_closed"
    wait_until(lambda: origin.opened() == 0, 5, "the server's connections end")
    assert not origin.requests


def test_client_half_closes_while_the_server_thinks(env):
    """It still gets what it waits for, and the log says that it did."""
    thinker = Thinker(env, reply(b"late"), reply(b"x" * BIG))
    daemon = proxy(env, thinker.origin.address)
    for number in (0, 1):
        thinker.go.clear()
        with Client(daemon.address()) as client:
            client.send(request("POST", f"/{number}", body=b"order"))
            client.sock.shutdown(socket.SHUT_WR)
            thinker.asked(number + 1)
            thinker.go.set()
            assert client.response().status == 200
            assert client.ending() == (b"", "eof")
        line = wait_requests(daemon, number + 1)[-1]
        assert (line["status"], line["end"]) == ("200", "done"), line
        wait_until(lambda: daemon.stats()["sessions_active"] == 0, 5, "the session ends")


def test_abort_on_close(env):
    """The server's connection ends with the client's, while a response or the server itself is
    awaited, and whatever the client's end looks like; not once the response has begun."""
    for leave in (lambda sock: sock.close(), lambda sock: sock.shutdown(socket.SHUT_WR)):
        thinker = Thinker(env)
        daemon = proxy(env, thinker.origin.address, {"abort_on_close": "yes"})
        client = env.keep(Client(daemon.address()))
        client.send(request("POST", "/", body=b"order"))
        thinker.asked()
        leave(client.sock)
        assert wait_end(daemon) == "client_closed"
        wait_until(lambda now=thinker: now.origin.opened() == 0, 5, "the server's connection ends")
        assert thinker.resets == 1, "a clean end may be taken for a half-close"
        assert wait_requests(daemon)[0]["status"] == "-"
        thinker.go.set()
        with Client(daemon.address()) as client:    # the next one is served
            assert client.ask().body == b"late"
    deaf = proxy(env, env.deaf(), {"abort_on_close": "yes"}, pool={"connect_timeout": "30s"})
    client = Client(deaf.address())
    client.send(request())
    wait_until(lambda: deaf.stats()["sessions_active"] == 1, 5, "the session")
    client.close()
    assert wait_end(deaf) == "client_closed"


def test_abort_on_close_in_a_response(env):
    """Who has begun to get it may end its own side."""
    go = threading.Event()

    def serve(connection):
        connection.request()
        connection.send(head("HTTP/1.1 200 OK", "Content-Length: 8"), b"four")
        go.wait(10)
        connection.send(b"more")

    daemon = proxy(env, Origin(env, serve=serve).address, {"abort_on_close": "yes"})
    with Client(daemon.address()) as client:
        client.send(request())
        answer = client.head()
        assert client.reader.exactly(4) == b"four"
        client.sock.shutdown(socket.SHUT_WR)
        go.set()
        assert answer.status == 200 and client.reader.exactly(4) == b"more"
    assert wait_end(daemon) == "done"


def test_reset_while_the_server_thinks(env):
    """A reset ends the request, with the option and without it."""
    for options in ({}, {"abort_on_close": "yes"}):
        thinker = Thinker(env)
        daemon = proxy(env, thinker.origin.address, options)
        client = Client(daemon.address())
        client.send(request())
        thinker.asked()
        tcp.reset(client.sock)
        assert wait_end(daemon) in ("client_reset", "client_closed")
        wait_until(lambda now=thinker: now.origin.opened() == 0, 5, "the server's connection ends")
