# SPDX-License-Identifier: GPL-2.0-or-later
"""A session that is silent for its limit ends then: not before, and not after twice that time."""

import select
import socket
import threading
import time

from lib import case, wait_until
from lib.http import Client, Origin, head, proxy, reply, request, wait_end
from lib.tcp import connect, read_all, read_exactly
from lib.wait import Deadline

AT_DEBUG = False

LIMIT = 2.0
LATE = 1.5      # limits: under two, which is what counting a look as a movement takes
PIECE = 64 << 10


def text(limit=LIMIT):
    return f"{int(limit * 1000)}ms"


def check_ended(since, until, limit=LIMIT, early=0.95):
    """It took the limit since the last byte, not much more."""
    took = until - since
    assert early * limit < took < LATE * limit, f"ended {took:.2f} s after the last byte, not {limit}"


def wait_ended(sock):
    """When the other side ends it, in whichever way."""
    sock.settimeout(Deadline(4 * LIMIT).seconds)
    try:
        while sock.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic()


def flood(sock, ended):
    """Sends until nothing more is taken, and then waits for the end. Puts (when the last byte was
    taken, when it ended) into `ended`."""
    last = time.monotonic()
    sock.setblocking(False)
    limit = Deadline(6 * LIMIT)
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLOUT | select.POLLRDHUP)
    try:
        while not limit.passed():
            for _, events in poll.poll(100):
                if events & (select.POLLERR | select.POLLHUP | select.POLLRDHUP):
                    ended.append((last, time.monotonic()))
                    return
                if events & select.POLLIN and not sock.recv(1 << 16):
                    ended.append((last, time.monotonic()))
                    return
                if events & select.POLLOUT and sock.send(bytes(PIECE)) > 0:
                    last = time.monotonic()
    except ConnectionError:
        ended.append((last, time.monotonic()))


def wait_flooded(ended):
    wait_until(lambda: ended, 6 * LIMIT, "the session ends")
    return ended[0]


def at(moment):
    wait_until(lambda: time.monotonic() >= moment, 10, "the moment for the next bytes")


# ---- sessions that are forwarded as they come --------------------------------------------------

@case(timeout=60)
def test_idle(env):
    """Bytes at the beginning, and then none; the acknowledgements of the last ones come later."""
    daemon = env.spliced(env.backend().address, listener={"idle_timeout": text()})
    with connect(daemon.address()) as client:
        client.sendall(b"x" * 100_000)
        assert len(read_exactly(client, 100_000)) == 100_000
        since = time.monotonic()
        check_ended(since, wait_ended(client))
    assert daemon.wait_access()[0]["end"] == "idle_timeout"


@case(timeout=60)
def test_idle_after_some_bytes(env):
    """The last byte comes in the middle of the time that has begun with the one before."""
    daemon = env.spliced(env.backend().address, listener={"idle_timeout": text()})
    with connect(daemon.address()) as client:
        began = time.monotonic()
        for i in range(3):
            at(began + i * 0.7 * LIMIT)
            client.sendall(b"ping")
            assert read_exactly(client, 4) == b"ping"
        since = time.monotonic()
        check_ended(since, wait_ended(client))
    assert daemon.wait_access()[0]["end"] == "idle_timeout"


@case(timeout=60)
def test_never_a_byte(env):
    daemon = env.spliced(env.backend().address, listener={"idle_timeout": text()})
    since = time.monotonic()
    with connect(daemon.address()) as client:
        check_ended(since, wait_ended(client))


@case(timeout=60)
def test_idle_unix_server(env):
    backend = env.backend(address=f"unix:{env.tmp}/server.sock")
    daemon = env.spliced(backend.address, listener={"idle_timeout": text()})
    with connect(daemon.address()) as client:
        client.sendall(b"ping")
        assert read_exactly(client, 4) == b"ping"
        since = time.monotonic()
        check_ended(since, wait_ended(client))


@case(timeout=60)
def test_reader_that_has_stopped(env):
    """Window probes are acknowledged, and are no movement."""
    ended = []
    backend = env.backend(lambda sock: flood(sock, ended))
    daemon = env.spliced(backend.address, listener={"idle_timeout": text()})
    with connect(daemon.address()):
        since, until = wait_flooded(ended)
        check_ended(since, until, early=0.7)
    assert daemon.wait_access()[0]["end"] == "idle_timeout"


@case(timeout=60)
def test_reader_that_stops_later(env):
    """It reads for more than the limit, a little at a time, and then no more."""
    ended = []
    backend = env.backend(lambda sock: flood(sock, ended))
    daemon = env.spliced(backend.address, listener={"idle_timeout": text()})
    with connect(daemon.address()) as client:
        began = time.monotonic()
        for i in range(8):
            at(began + i * 0.2 * LIMIT)
            assert len(read_exactly(client, 1 << 20)) == 1 << 20
            assert not ended, "a reader was cut off that had read within the limit"
        since = time.monotonic()
        check_ended(since, wait_flooded(ended)[1], early=0.7)


@case(timeout=60)
def test_half_closed(env):
    """One side has ended, the other one says a last word and then nothing."""
    quiet = threading.Event()

    def last_word(sock):
        read_all(sock)
        sock.sendall(b"word")
        quiet.wait(6 * LIMIT)

    daemon = env.spliced(env.backend(last_word).address, listener={"half_close_timeout": text()})
    with connect(daemon.address()) as client:
        client.sendall(b"x" * 1000)
        client.shutdown(socket.SHUT_WR)
        assert read_exactly(client, 4) == b"word"
        since = time.monotonic()
        check_ended(since, wait_ended(client))
    quiet.set()
    assert daemon.wait_access()[0]["end"] == "half_close_timeout"


# ---- HTTP --------------------------------------------------------------------------------------

def tunnel_origin(env):
    def serve(connection):
        connection.head()
        connection.send(head("HTTP/1.1 200 OK"))
        while data := connection.sock.recv(1 << 16):
            connection.send(data)
    return Origin(env, serve=serve)


@case(timeout=60)
def test_tunnel(env):
    others = dict.fromkeys(("response_timeout", "request_timeout", "keepalive_timeout"), "30s")
    daemon = proxy(env, tunnel_origin(env).address,
                   {"tunnel_timeout": text(), "route": "method:CONNECT -> main", **others})
    with Client(daemon.address()) as client:
        client.send(request("CONNECT", "a.test:1", host="a.test:1"))
        assert client.response("CONNECT").status == 200
        client.send(b"ping" * 20_000)
        assert len(client.reader.exactly(80_000)) == 80_000
        since = time.monotonic()
        check_ended(since, wait_ended(client.sock))
    assert wait_end(daemon) == "tunnel_timeout"


def request_stalls(env, *parts, line):
    """A body of which a part comes, after some time, and then nothing."""
    daemon = proxy(env, Origin(env).address, {"request_timeout": text(), "body_splice_min": "64K"})
    with Client(daemon.address()) as client:
        client.send(request("POST", "/", line))
        began = time.monotonic()
        for i, part in enumerate(parts):
            at(began + i * 0.6 * LIMIT)
            client.send(part)
        since = time.monotonic()
        check_ended(since, wait_ended(client.sock))
    assert wait_end(daemon) == "request_timeout"


@case(timeout=60)
def test_request_body(env):
    request_stalls(env, b"12345", b"12345", line="Content-Length: 20")


@case(timeout=60)
def test_large_request_body(env):
    """The kernel's, where there is one."""
    request_stalls(env, bytes(300_000), bytes(300_000), line="Content-Length: 2000000")


@case(timeout=60)
def test_chunked_request_body(env):
    """One chunk is complete, and its lane is closed."""
    chunk = b"%x\r\n" % 200_000 + bytes(200_000) + b"\r\n"
    request_stalls(env, chunk, chunk, line="Transfer-Encoding: chunked")


def response_stalls(env, *parts, fields):
    def serve(connection):
        connection.request()
        connection.send(head("HTTP/1.1 200 OK", fields))
        began = time.monotonic()
        for i, part in enumerate(parts):
            at(began + i * 0.6 * LIMIT)
            connection.send(part)
        connection.reader.rest()

    daemon = proxy(env, Origin(env, serve=serve).address,
                   {"response_timeout": text(), "body_splice_min": "64K"})
    with Client(daemon.address()) as client:
        client.send(request())
        assert client.head().status == 200
        assert len(client.reader.exactly(sum(map(len, parts)))) > 0
        since = time.monotonic()
        check_ended(since, wait_ended(client.sock))
    assert wait_end(daemon) == "response_timeout"


@case(timeout=60)
def test_response_body(env):
    response_stalls(env, b"x" * 50, b"x" * 50, fields="Content-Length: 200")


@case(timeout=60)
def test_large_response_body(env):
    response_stalls(env, bytes(300_000), bytes(300_000), fields="Content-Length: 2000000")


@case(timeout=60)
def test_chunked_response_body(env):
    chunk = b"%x\r\n" % 200_000 + bytes(200_000) + b"\r\n"
    response_stalls(env, chunk, chunk, fields="Transfer-Encoding: chunked")


@case(timeout=60)
def test_client_stops_reading_a_response(env):
    ended = []

    def serve(connection):
        connection.request()
        connection.send(head("HTTP/1.1 200 OK", f"Content-Length: {1 << 30}"))
        flood(connection.sock, ended)

    daemon = proxy(env, Origin(env, serve=serve).address, {"response_timeout": text()})
    with Client(daemon.address()) as client:
        client.send(request())
        assert client.head().status == 200
        since, until = wait_flooded(ended)
        check_ended(since, until, early=0.7)
    assert wait_end(daemon) == "response_timeout"


@case(timeout=60)
def test_no_response(env):
    """The time for the response begins when the request is complete, whatever its body took."""
    origin = Origin(env, serve=lambda connection: connection.request() and connection.reader.rest())
    daemon = proxy(env, origin.address, {"response_timeout": text(), "request_timeout": "8s"})
    with Client(daemon.address()) as client:
        client.send(request("POST", "/", "Content-Length: 10"), b"12345")
        at(time.monotonic() + 0.6 * LIMIT)
        client.send(b"12345")
        since = time.monotonic()
        assert client.response().status == 504
        check_ended(since, time.monotonic())


@case(timeout=60)
def test_kept_connection(env):
    """A server's connection ends when it was not used for keepalive_timeout, not a second later."""
    ended = []

    def serve(connection):
        connection.request()
        connection.send(reply(b"one"))
        began = time.monotonic()
        connection.reader.rest()
        ended.append((began, time.monotonic()))

    daemon = proxy(env, Origin(env, serve=serve).address, pool={"keepalive_timeout": "600ms"})
    with Client(daemon.address()) as client:
        assert client.ask().body == b"one"
        since, until = wait_flooded(ended)
        check_ended(since, until, limit=0.6)


@case(timeout=60)
def test_announced_client_that_says_nothing(env):
    """auto: what a client may take after its PROXY header is part of what it may take at all."""
    daemon = env.spliced(env.backend(lambda sock: sock.sendall(b"hello")).address,
                         listener={"protocol": "auto", "accept_proxy": "v1", "auto_wait": "30s",
                                   "sniff_timeout": text()})
    since = time.monotonic()
    with connect(daemon.address()) as client:
        client.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")
        assert read_exactly(client, 5) == b"hello"
        check_ended(since, time.monotonic())
