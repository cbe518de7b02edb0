# SPDX-License-Identifier: GPL-2.0-or-later
"""What the proxy says itself, when it says it, and what it writes down of every request."""

import contextlib
import re
import signal
import threading
import time

from lib import case, tcp, wait_until
from lib.http import (BadMessage, Client, Origin, chunked, head, json_log, proxy, reply, request,
                      request_log, wait_end, wait_requests)
from lib.pattern import MIB
from lib.segments import send_in_pieces
from lib.tcp import free_port
from lib.wait import Deadline, stays

AT_DEBUG = False

LONG = "60s"


def check_own(answer, status):
    """A short answer of the proxy's own."""
    assert answer.status == status, answer.raw
    assert 0 < answer.size < 1000 and answer.get("Content-Length"), answer.raw
    assert answer.get("Content-Type").startswith("text/plain"), answer.raw


def refused(env, status, end, raw, servers=None, listener=None, number=1, **options):
    """A daemon that answers `raw` with that status and logs that end; (daemon, origin)."""
    origin = Origin(env)
    daemon = proxy(env, servers or origin.address, listener, **options)
    with Client(daemon.address()) as client:
        check_own(client.send(raw).response(), status)
    line = wait_requests(daemon, number)[-1]
    assert (line["status"], line["end"]) == (str(status), end), line
    family = f"{status // 100}xx"
    assert daemon.stats()["http_responses"][family] == 1, daemon.stats()["http_responses"]
    return daemon, origin


# ---- the client's fault ------------------------------------------------------------------------

def test_400(env):
    daemon, origin = refused(env, 400, "bad_request",
                             request("GET", "/", "Content-Length: 1", "Content-Length: 1") + b"x")
    assert origin.received() == 0
    assert daemon.stats()["http_errors"]["two_lengths"] == 1, daemon.stats()["http_errors"]


def test_403(env):
    """The client that a PROXY header names is not let in."""
    origin = Origin(env)
    daemon = proxy(env, origin.address, {"deny": "192.0.2.0/24", "accept_proxy": "v1"})
    with Client(daemon.address()) as client:
        client.send(b"PROXY TCP4 198.51.100.1 127.0.0.1 1 2\r\n")
        assert client.ask().status == 200
    with Client(daemon.address()) as client:
        client.send(b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n", request())
        check_own(client.response(), 403)
    assert wait_end(daemon, 2) == "denied" and len(origin.requests) == 1


def test_404_and_421(env):
    """No route for the path, and no route for the host."""
    origin = Origin(env)
    daemon = proxy(env, origin.address, {"pool": None, "route": [
        "host:a.test path:/api -> main", "host:*.b.test -> main"]})
    wanted = (("/api", "a.test", 200), ("/", "a.test", 404), ("/api", "c.test", 421),
              ("/", "x.b.test", 200), ("/", "b.test", 421), ("/api", "a.test", 200))
    for target, host, status in wanted:
        with Client(daemon.address()) as client:
            answer = client.ask("GET", target, host=host)
            assert answer.status == status, (target, host, answer.raw)
            if status != 200:
                check_own(answer, status)
    lines = wait_requests(daemon, len(wanted))
    assert [line["end"] for line in lines] == ["done" if status == 200 else "no_route"
                                               for *_, status in wanted], lines
    assert len(origin.requests) == 3

    paths = proxy(env, origin.address, {"pool": None, "route": "path:/api -> main"})
    with Client(paths.address()) as client:
        assert client.ask("GET", "/").status == 404


def test_no_body_for_head(env):
    """An answer of the proxy's own to HEAD is a head."""
    daemon = proxy(env, Origin(env).address, {"pool": None, "route": "path:/api -> main"})
    with Client(daemon.address()) as client:
        client.send(request("HEAD", "/", "Connection: close"))
        assert client.response("HEAD").status == 404
        assert client.ending() == (b"", "eof")


def test_413(env):
    refused(env, 413, "body_too_large", request("POST", "/", "Content-Length: 1001"),
            listener={"body_max": 1000})
    refused(env, 413, "body_too_large", request("POST", "/", "Transfer-Encoding: chunked")
            + chunked(b"x" * 600, b"x" * 401), listener={"body_max": 1000})


def test_413_is_about_bodies(env):
    """What just fits passes, however it is framed."""
    origin = Origin(env, lambda asked: reply(b"%d" % asked.size))
    daemon = proxy(env, origin.address, {"body_max": 1000})
    with Client(daemon.address()) as client:
        for _ in range(3):
            assert client.ask("POST", "/", body=b"x" * 1000).body == b"1000"
            client.send(request("POST", "/", "Transfer-Encoding: chunked"),
                        chunked(*[b"x" * 10] * 100))
            assert client.response().body == b"1000"
    assert len(origin.check()) == 6


def test_413_before_it_is_sent(env):
    """Who expects 100 is told at once; the server hears nothing of it."""
    _, origin = refused(env, 413, "body_too_large", request(
        "PUT", "/", "Expect: 100-continue", "Content-Length: 1000000"), listener={"body_max": 1000})
    assert origin.received() == 0


def test_431(env):
    """Too long a head, and too many fields."""
    many = [f"X-{i}: 1" for i in range(200)]
    for raw, end in ((request("GET", "/", "X-Long: " + "x" * 40000), "head_too_large"),
                     (request("GET", "/", *many), "too_many_fields"),
                     (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 40000, "head_too_large")):
        _, origin = refused(env, 431, end, raw)
        assert origin.received() == 0


def test_long_target(env):
    origin = Origin(env)
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        answer = client.send(request("GET", "/" + "x" * 40000)).response()
        assert answer.status in (414, 431), answer.raw
    assert origin.received() == 0


def test_head_limits_are_options(env):
    """Just under each limit passes."""
    origin = Origin(env)
    daemon = proxy(env, origin.address, {"head_max": "100K", "fields_max": 300})
    with Client(daemon.address()) as client:
        assert client.ask("GET", "/", "X: " + "x" * 90000).status == 200
        assert client.ask("GET", "/", *[f"X-{i}: 1" for i in range(290)]).status == 200
        assert client.ask("GET", "/" + "x" * 90000).status == 200
    small = proxy(env, origin.address, {"head_max": "4K", "fields_max": 10})
    with Client(small.address()) as client:
        assert client.ask("GET", "/", "X: " + "x" * 3000).status == 200
        assert client.ask("GET", "/", *["X: 1"] * 8).status == 200
        assert client.send(request("GET", "/", "X: " + "x" * 5000)).response().status == 431


# ---- the server's fault ------------------------------------------------------------------------

def test_502_connect_failed(env):
    closed, holder = free_port()
    env.keep(holder)
    refused(env, 502, "connect_failed", request(), closed)


def answers_with(env, raw, **listener):
    """A daemon with a server that answers everything so."""
    return proxy(env, Origin(env, serve=lambda connection: connection.request()
                             and connection.send(raw)).address, listener)


BAD_RESPONSES = {
    "no_http": b"hello there\r\n\r\n",
    "version": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no_version": b"200 OK\r\nContent-Length: 0\r\n\r\n",
    "short_status": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "long_status": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "odd_status": b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
    "two_lengths": head("HTTP/1.1 200 OK", "Content-Length: 1", "Content-Length: 1") + b"x",
    "other_lengths": head("HTTP/1.1 200 OK", "Content-Length: 1", "Content-Length: 2") + b"xy",
    "length_list": head("HTTP/1.1 200 OK", "Content-Length: 1, 1") + b"x",
    "negative": head("HTTP/1.1 200 OK", "Content-Length: -1"),
    "both": head("HTTP/1.1 200 OK", "Content-Length: 5", "Transfer-Encoding: chunked") + chunked(),
    "coding": head("HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked") + chunked(),
    "obs_fold": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "space_before_colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "bare_lf": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "bare_cr": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
    "nul": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "no_colon": b"HTTP/1.1 200 OK\r\nX\r\nContent-Length: 0\r\n\r\n",
    "endless": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
}


def test_502_bad_response(env):
    """A client sees nothing of what is no response."""
    for name, raw in BAD_RESPONSES.items():
        daemon = answers_with(env, raw)
        with Client(daemon.address()) as client:
            answer = client.ask()
            assert answer.status == 502, (name, answer.raw)
        line = wait_requests(daemon)[0]
        assert line["end"] in ("bad_response", "head_too_large"), (name, line)
        daemon.stop()


def test_502_server_reset(env):
    """The server ends before, or in the middle of its head."""
    for raw in (b"", b"HTTP/1.1 200 OK\r\nContent-"):
        daemon = answers_with(env, raw)
        with Client(daemon.address()) as client:
            check_own(client.ask("POST", "/", body=b"x"), 502)
        assert wait_end(daemon) == "server_reset"


def test_503(env):
    """No server has room."""
    origin = Origin(env)
    daemon = proxy(env, f"a {origin.address} max_sessions=1")
    with Client(daemon.address()) as busy, Client(daemon.address()) as client:
        busy.send(request("POST", "/", "Content-Length: 1"))
        wait_until(lambda: origin.heads, 5, "the first request")
        check_own(client.ask(), 503)
        assert wait_end(daemon) == "no_server"
        assert busy.send(b"x").response().status == 200


def test_504(env):
    """No head in time; what was promised before it is no excuse."""
    for first in (b"", head("HTTP/1.1 102 Processing"), b"HTTP/1.1 200 O"):
        origin = Origin(env, serve=lambda connection, part=first: connection.request()
                        and connection.send(part) or connection.reader.rest())
        daemon = proxy(env, origin.address, {"response_timeout": "400ms"})
        with Client(daemon.address()) as client:
            began = time.monotonic()
            check_own(client.ask("POST", "/", body=b"x"), 504)
            assert 0.3 < time.monotonic() - began < Deadline(4).seconds
        assert wait_end(daemon) == "response_timeout"
        wait_until(lambda now=origin: now.opened() == 0, 5, "the server's connection ends")


# ---- ends in the middle ------------------------------------------------------------------------

def test_server_ends_in_a_body(env):
    """What came is passed on, and it does not look whole."""
    starts = (head("HTTP/1.1 200 OK", "Content-Length: 100") + b"x" * 60,
              head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"40\r\n" + b"x" * 60,
              head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"3c\r\n" + b"x" * 60
              + b"\r\n")
    for start in starts:
        daemon = answers_with(env, start)
        with Client(daemon.address()) as client:
            answer = client.send(request()).head()
            try:
                client.reader.body(answer, answer.framing("GET"))
                raise AssertionError(f"whole: {answer.raw} {answer.body}")
            except (BadMessage, ConnectionResetError):
                assert answer.body == b"x" * answer.size
        line = wait_requests(daemon)[0]
        assert (line["status"], line["end"]) == ("200", "server_reset"), line


def test_server_resets_an_answer_until_close(env):
    """Where the end of the connection is the end of the body, a reset must not become one."""
    def serve(connection):
        connection.request()
        connection.send(head("HTTP/1.1 200 OK"), b"x" * 1000)
        wait_until(lambda: got, 5, "the client has it")
        tcp.reset(connection.sock)

    got = []
    daemon = proxy(env, Origin(env, serve=serve).address)
    with Client(daemon.address()) as client:
        answer = client.send(request()).head()
        framing = answer.framing("GET")
        got.append(True)
        try:
            client.reader.body(answer, framing)
            raise AssertionError(f"whole: {answer.raw}, {answer.size} bytes")
        except (BadMessage, ConnectionResetError):
            pass
    assert wait_end(daemon) == "server_reset"


def test_bad_chunks_from_a_server(env):
    for bad in (b"xyz\r\n", b"-1\r\n", b"5\nhello\r\n", b"5\r\nhelloX\r\n",
                b"fffffffffffffffff\r\n"):
        daemon = answers_with(env, head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
                              + b"2\r\nok\r\n" + bad + b"0\r\n\r\n")
        with Client(daemon.address()) as client:
            try:
                answer = client.send(request()).response()
                assert answer.status == 502, (bad, answer.raw, answer.body)
            except (BadMessage, ConnectionResetError):
                pass    # the head had been sent: then the connection ends
        assert wait_end(daemon) == "bad_response", bad
        daemon.stop()


def test_client_leaves(env):
    """While the server thinks, and while it sends."""
    def thinks(connection):
        connection.request()
        connection.reader.rest()

    def sends(connection):
        connection.request()
        connection.send(head("HTTP/1.1 200 OK", "Content-Length: 100000000"))
        while True:
            connection.send(bytes(1 << 16))

    for serve in (thinks, sends):
        origin = Origin(env, serve=serve)
        daemon = proxy(env, origin.address)
        client = Client(daemon.address())
        client.send(request())
        wait_until(lambda now=origin: now.requests, 5, "the request")
        if serve is sends:
            client.head()
        tcp.reset(client.sock)
        assert wait_end(daemon) == "client_reset"
        wait_until(lambda now=origin: now.opened() == 0, 5, "the server's connection ends")


def test_client_leaves_in_an_upload(env):
    """A server must not take a part for the whole."""
    origin = Origin(env, serve=lambda connection: connection.request())
    daemon = proxy(env, origin.address)
    for raw in (request("POST", "/", "Content-Length: 100") + b"x" * 50,
                request("POST", "/", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n"):
        number = len(origin.heads) + 1
        client = Client(daemon.address())
        client.send(raw)
        wait_until(lambda count=number: len(origin.heads) == count, 5, "the head at the server")
        tcp.reset(client.sock)
        assert wait_end(daemon, number) == "client_reset"
        wait_until(lambda: origin.opened() == 0, 5, "the server's connection ends")
    assert origin.requests == []


# ---- time --------------------------------------------------------------------------------------

def check_times_out(client, began, low, high=4):
    """Ends within its time."""
    got, how = client.ending()
    seconds = time.monotonic() - began
    assert low < seconds < Deadline(high).seconds, f"{how} after {seconds} s"
    return got


def test_408(env):
    """Half a head."""
    daemon = proxy(env, Origin(env).address, {"head_timeout": "500ms"})
    with Client(daemon.address()) as client:
        began = time.monotonic()
        client.send(b"GET / HTTP/1.1\r\nHost: a")
        check_own(client.response(), 408)
        check_times_out(client, began, 0.4)
    line = wait_requests(daemon)[0]
    assert (line["status"], line["end"]) == ("408", "head_timeout"), line


def test_head_that_does_not_end(env):
    """A client that says a part of a head, leaves or is answered: a request, and if it is the
    connection's first, the session's line as well."""
    def closes(client):
        client.close()

    def resets(client):
        tcp.reset(client.sock)

    def waits(client):
        check_own(client.response(), 408)
        assert client.ending() == (b"", "eof")

    for leave, end, of_session in ((closes, "client_closed", "client_closed"),
                                   (resets, "client_reset", "client_reset"),
                                   (waits, "head_timeout", "done")):
        wait = "500ms" if leave is waits else LONG
        daemon = proxy(env, Origin(env).address, {"head_timeout": wait, "sniff_timeout": LONG},
                       spliced={"log_level": "debug"})
        for earlier in (0, 1):
            with Client(daemon.address()) as client:
                for _ in range(earlier):
                    assert client.ask().status == 200
                client.send(b"GET / HTTP/1.1\r\nHost: a")
                if leave is not waits:
                    wait_until(lambda now=daemon, count=1 + earlier: sum(
                        "idle -> head" in line for line in now.log()) == count, 5, "half a head")
                leave(client)
            requests = wait_requests(daemon, 1 + 2 * earlier)
            assert requests[-1]["end"] == end, requests
            wait_until(lambda now=daemon: now.stats()["sessions_active"] == 0, 5, "the end")
            told = [(line["end"], line["bytes_up"]) for line in daemon.access_log()]
            assert told == [(of_session, "0")], (end, told)
            assert daemon.stats()["ends"][of_session] == 1 + earlier, daemon.stats()["ends"]
        assert daemon.stats()["http_ends"][end] == 2
        daemon.stop()


def test_slowloris(env):
    """A byte now and then does not buy more time, on the first request or a later one."""
    origin = Origin(env)
    daemon = proxy(env, origin.address, {"head_timeout": "1s", "sniff_timeout": LONG})
    for number in (0, 1):
        with Client(daemon.address()) as client:
            for _ in range(number):
                assert client.ask().status == 200
            began = time.monotonic()
            for byte in b"GET / HTTP/1.1\r\nX: " + b"y" * 100:
                try:
                    client.send(bytes([byte]))
                except OSError:
                    break
                due = time.monotonic() + 0.1
                wait_until(lambda at=due: time.monotonic() >= at, 1, "the next byte's time")
                if not client.is_open():
                    break
            check_times_out(client, began, 0.9)
        assert [line["end"] for line in wait_requests(daemon, 1 + 2 * number)][-1] == "head_timeout"
    assert len(origin.heads) == 1


def test_slow_clients_leave_room(env):
    """However many half heads there are, a whole one is served."""
    origin = Origin(env)
    daemon = proxy(env, origin.address, {"head_timeout": LONG, "sniff_timeout": LONG},
                   spliced={"max_sniffing": 8, "workers": 1})
    idle = env.keep(Client(daemon.address()))
    assert idle.ask().status == 200
    slow = []
    for _ in range(40):
        slow.append(env.keep(Client(daemon.address())))
        send_in_pieces(slow[-1].sock, b"GET / HTTP/1.1\r\n")
    with Client(daemon.address()) as client:
        assert client.ask().status == 200
    assert idle.ask().status == 200, "an idle connection had to make room"
    stats = daemon.stats()
    assert stats["sessions_sniffing"] <= 8 and stats["ends"]["sniff_limit"] >= 32, stats


def test_silent_client(env):
    """Nobody is told what it did wrong who did nothing: the connection just ends."""
    daemon = proxy(env, Origin(env).address, {"head_timeout": "500ms", "sniff_timeout": "500ms",
                                              "keepalive_timeout": "500ms"})
    with Client(daemon.address()) as client:
        began = time.monotonic()
        got = check_times_out(client, began, 0.4)
        assert got == b"" or got.startswith(b"HTTP/1.1 408 "), got


def test_keepalive_timeout(env):
    daemon = proxy(env, Origin(env).address, {"keepalive_timeout": "500ms"})
    with Client(daemon.address()) as client:
        for _ in range(2):
            assert client.ask().status == 200
        began = time.monotonic()
        assert check_times_out(client, began, 0.4) == b""
    assert [line["end"] for line in wait_requests(daemon, 2)] == ["done"] * 2


def test_request_timeout(env):
    """Silence in a body, though not slowness."""
    origin = Origin(env)
    daemon = proxy(env, origin.address, {"request_timeout": "500ms"})
    with Client(daemon.address()) as client:
        client.send(request("POST", "/", "Content-Length: 10"))
        for _ in range(10):
            client.send(b"x")
            due = time.monotonic() + 0.1
            wait_until(lambda at=due: time.monotonic() >= at, 1, "the next byte's time")
        assert client.response().status == 200
        began = time.monotonic()
        client.send(request("POST", "/", "Content-Length: 10"), b"12345")
        got = check_times_out(client, began, 0.4)
        assert got == b"" or got.startswith(b"HTTP/1.1 408 "), got
    assert wait_end(daemon, 2) not in ("done", "-")
    wait_until(lambda: origin.opened() == 0, 5, "the server's connection ends")
    assert len(origin.requests) == 1


def test_server_takes_no_upload(env):
    """Its silence is the server's, not the client's."""
    over = threading.Event()

    def serve(connection):
        connection.head()
        over.wait(30)

    def push():
        with contextlib.suppress(OSError):
            for _ in range(64):
                client.send(bytes(MIB))

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address, {"request_timeout": "300ms", "response_timeout": "1s",
                                         "body_splice_min": "64K"})
    try:
        with Client(daemon.address()) as client:
            client.send(request("POST", "/", f"Content-Length: {64 * MIB}"))
            sender = threading.Thread(target=push)
            sender.start()
            assert client.response().status == 504
            sender.join(20)
    finally:
        over.set()
    assert wait_end(daemon) == "response_timeout"


def test_response_stalls(env):
    """Silence in the middle of an answer ends it, visibly unfinished."""
    origin = Origin(env, serve=lambda connection: connection.request() and connection.send(
        head("HTTP/1.1 200 OK", "Content-Length: 100"), b"x" * 50) or connection.reader.rest())
    daemon = proxy(env, origin.address, {"response_timeout": "500ms"})
    with Client(daemon.address()) as client:
        client.send(request())
        assert client.head().status == 200 and client.reader.exactly(50) == b"x" * 50
        began = time.monotonic()
        assert check_times_out(client, began, 0.2) == b""
    line = wait_requests(daemon)[0]
    assert (line["status"], line["end"]) == ("200", "response_timeout"), line


def test_tunnel_timeout(env):
    def serve(connection):
        connection.head()
        connection.send(head("HTTP/1.1 200 OK"))
        while data := connection.sock.recv(100):
            connection.send(data)

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address, {"route": "method:CONNECT -> main",
                                         "tunnel_timeout": "700ms", "response_timeout": "300ms",
                                         "request_timeout": "300ms", "keepalive_timeout": "300ms"})
    with Client(daemon.address()) as client:
        client.send(request("CONNECT", "a.test:1", host="a.test:1"))
        assert client.response("CONNECT").status == 200
        for _ in range(3):
            stays(client.is_open, 0.4, "the tunnel is open")
            client.send(b"ping")
            assert client.reader.exactly(4) == b"ping"
        began = time.monotonic()
        check_times_out(client, began, 0.5)
    assert wait_requests(daemon)[0]["end"] == "tunnel_timeout"
    wait_until(lambda: origin.opened() == 0, 5, "the server's connection ends")


# ---- the end of the daemon ---------------------------------------------------------------------

def test_drain(env):
    """Idle connections end; a request on its way is answered, with word that it was the last."""
    origin = Origin(env)
    daemon = proxy(env, origin.address, spliced={"shutdown_grace": LONG})
    idle, busy = env.keep(Client(daemon.address())), env.keep(Client(daemon.address()))
    assert idle.ask().status == 200
    busy.send(request("POST", "/", "Content-Length: 1"))
    wait_until(lambda: len(origin.heads) == 2, 5, "the second request")
    daemon.signal(signal.SIGTERM)
    assert idle.ending() == (b"", "eof")
    answer = busy.send(b"x").response()
    assert answer.status == 200 and answer.wants_close(), answer.raw
    assert busy.ending() == (b"", "eof")
    assert daemon.wait_exit(5) == 0
    assert [line["end"] for line in request_log(daemon)] == ["done"] * 2


def test_shutdown_in_a_request(env):
    origin = Origin(env)
    daemon = proxy(env, origin.address, spliced={"shutdown_grace": "500ms"})
    client = env.keep(Client(daemon.address()))
    client.send(request("POST", "/", "Content-Length: 1"))
    wait_until(lambda: origin.heads, 5, "the request")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_exit(5) == 0
    assert request_log(daemon)[-1]["end"] == "shutdown", request_log(daemon)
    assert origin.requests == []


# ---- the access log ----------------------------------------------------------------------------

FIELDS = ["id", "client", "listener", "method", "host", "path", "status", "bytes_up", "bytes_down",
          "connect_ms", "first_ms", "total_ms", "pool", "server", "backend", "engine", "end"]
NUMBERS = {"status", "bytes_up", "bytes_down", "connect_ms", "first_ms", "total_ms"}


def logged_requests(env, **spliced):
    """A daemon that has served some requests, the origin, and the client's address."""
    origin = Origin(env, lambda asked: reply(bytes(asked.body) * 2, status="201 Created"))
    daemon = proxy(env, origin.address, {"pool": None, "route": "host:a.test path:/a -> main"},
                   spliced=spliced)
    with Client(daemon.address()) as client:
        address = "%s:%d" % client.sock.getsockname()
        assert client.ask("POST", "/a/b?c=d", host="A.test:80", body=b"x" * 1000).status == 201
        client.send(request("PUT", "/a", "Transfer-Encoding: chunked", host="a.test"),
                    chunked(b"x" * 10, b"y" * 5))
        assert client.response().status == 201
        assert client.ask("GET", "/b", host="a.test").status == 404
    return daemon, origin, address


def check_lines(lines, origin, address):
    """The three requests of logged_requests(), values as text."""
    first, second, third = lines
    wanted = {"client": address, "listener": "web", "method": "POST", "status": "201",
              "bytes_up": "1000", "bytes_down": "2000", "pool": "main", "server": "a",
              "backend": origin.address, "end": "done"}
    for key, value in wanted.items():
        assert first[key] == value, (key, first)
    assert first["host"].lower().startswith("a.test") and first["path"].startswith("/a/b"), first
    assert first["engine"] in ("copy", "kernel"), first
    assert (second["bytes_up"], second["bytes_down"]) == ("15", "30"), second
    assert (third["status"], third["end"], third["bytes_up"]) == ("404", "no_route", "0"), third
    assert [third[key] for key in ("pool", "server", "backend", "engine")] == ["-"] * 4, third
    for line in (first, second):
        assert 0 <= int(line["first_ms"]) <= int(line["total_ms"]) < 10_000, line
    assert len({line["id"] for line in lines}) == 3, lines


def test_access_log(env):
    daemon, origin, address = logged_requests(env)
    lines = wait_requests(daemon, 3)
    for line, text in zip(lines, [text for text in daemon.log() if " request id=" in text]):
        names = [word.partition("=")[0] for word in text.split(" request ", 1)[1].split()]
        assert names == FIELDS, text
    check_lines(lines, origin, address)
    stats = daemon.stats()
    assert stats["http_requests"] == 3, stats
    assert (stats["http_responses"]["2xx"], stats["http_responses"]["4xx"]) == (2, 1), stats


def test_access_log_as_json(env):
    daemon, origin, address = logged_requests(env, access_log_format="json")
    lines = wait_until(lambda: len(found := [line for line in json_log(daemon)
                                             if line["kind"] == "request"]) >= 3 and found, 5,
                       "three lines")
    for line in lines:
        assert set(FIELDS) <= set(line), line
        for key in NUMBERS:
            assert line[key] is None or isinstance(line[key], int) or line[key] == "-", (key, line)
        assert isinstance(line["status"], int) and isinstance(line["bytes_up"], int), line
    check_lines([{key: str(value) if value is not None else "-" for key, value in line.items()}
                 for line in lines], origin, address)
    plain = env.spliced(env.backend().address, spliced={"access_log_format": "json"})
    with tcp.connect(plain.address()) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
    session = wait_until(lambda: [line for line in json_log(plain) if line["kind"] == "session"], 5,
                         "the session's line")[0]
    assert (session["bytes_up"], session["bytes_down"], session["end"]) == (1, 1, "done"), session


def test_log_cannot_be_forged(env):
    """Whatever a client sends, a line is a line and a field is a field."""
    origin = Origin(env)
    daemon = proxy(env, origin.address)
    for raw in (request("GET", '/a"b'), request("GET", "/a\\b"), request("GET", "/end=fake"),
                request("GET", "/%0a%20end=fake"), request("GET", "/x?y=\xe4\xf6"),
                request("GET", "/", "X: \x1b[2J"), request("GE|T", "/"),
                request("GET", "/", host="a\xe4b"), request("GET", "/a\tb"),
                request("GET", "/a b")):
        with Client(daemon.address()) as client:
            assert client.send(raw).response().status in (200, 400), raw
    for line in wait_requests(daemon, 10):
        assert line["end"] in ("done", "bad_request"), line
        assert re.fullmatch(r"[!-~]+", line["path"]) and not set('"\\') & set(line["path"]), line
    for text in daemon.log():
        assert re.fullmatch(r"[ -~]*", text), text


def test_a_session_without_a_server(env):
    """Nobody has moved its bytes, which its line and the counters say alike."""
    daemon = proxy(env, env.backend().address, listener={"head_timeout": "300ms"})
    with Client(daemon.address()) as client:
        client.send(b"GET / HT")
        assert client.response().status == 408
    line = daemon.wait_access(1)[-1]
    assert (line["server"], line["engine"]) == ("-", "-"), line


@case(timeout=60)
def test_log_has_a_line_for_each(env):
    """Many clients at once, with good and bad requests: none is missing, none is there twice."""
    origin = Origin(env, lambda asked: reply(asked.target.encode()))
    daemon = proxy(env, origin.address)
    clients = [env.keep(Client(daemon.address())) for _ in range(10)]
    targets = []
    for turn in range(20):
        for number, client in enumerate(clients):
            targets.append(f"/{number}/{turn}")
            client.send(request("GET", targets[-1]))
        for client in clients:
            client.response()
    lines = wait_requests(daemon, 200)
    assert sorted(line["path"] for line in lines) == sorted(targets)
    assert len({line["id"] for line in lines}) == 200
