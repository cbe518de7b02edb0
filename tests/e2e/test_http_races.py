# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP peers that speak before they should, or leave while others speak."""

import socket

from lib import pattern, wait_until
from lib.http import Client, Origin, head, proxy, reply, request, wait_requests
from lib.pattern import MIB


def test_switch_before_the_body(env):
    """A server may not switch protocols before it has the request: no tunnel, and no harm."""
    def serve(connection):
        connection.head()
        connection.send(head("HTTP/1.1 101 Switching Protocols", "Connection: upgrade",
                             "Upgrade: x"))
        connection.reader.rest()

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address)
    for size in (10, 8 * MIB):
        with Client(daemon.address()) as client:
            client.send(request("POST", "/", "Connection: upgrade", "Upgrade: x",
                                f"Content-Length: {size}"), b"x" * (size // 4))
            assert client.response().status == 502
    assert [line["end"] for line in wait_requests(daemon, 2)] == ["bad_response"] * 2
    assert daemon.running


def test_upgrade_to_http2_is_not_passed_on(env):
    """It would be a tunnel past the routes."""
    origin = Origin(env)
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        client.send(request("GET", "/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: H2C",
                            "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"))
        assert client.response().status == 200
    raw = origin.heads[0].raw.lower()
    assert b"h2c" not in raw and b"upgrade" not in raw and b"http2-settings" not in raw, raw


def test_one_chunk_beyond_body_max(env):
    """Refused by its size, not when the kernel has moved it."""
    origin = Origin(env, serve=lambda connection: connection.head() and connection.reader.rest())
    daemon = proxy(env, origin.address, {"body_max": "1M"})
    with Client(daemon.address()) as client:
        client.send(request("POST", "/", "Transfer-Encoding: chunked"),
                    b"%x\r\n" % (256 * MIB), b"x" * 100_000)
        assert client.response().status == 413
    assert origin.received() < MIB
    assert wait_requests(daemon)[0]["end"] == "body_too_large"


def test_server_answers_at_accept(env):
    """A response that is there as soon as the connection is one."""
    def serve(connection):
        connection.send(reply(b"full", "Connection: close", status="503 Service Unavailable"))
        connection.head()

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address, {"response_timeout": "5s"})
    for _ in range(20):
        with Client(daemon.address()) as client:
            answer = client.ask()
            assert (answer.status, answer.body) == (503, b"full"), answer.raw


def test_half_closed_with_bytes_behind(env):
    """Bytes that nobody wants do not turn the end of a response into a reset."""
    body = pattern.content(1_500_000, 3) if hasattr(pattern, "content") else b"y" * 1_500_000
    origin = Origin(env, lambda asked: reply(body))
    daemon = proxy(env, origin.address)
    for _ in range(5):
        with Client(daemon.address()) as client:
            client.send(request("GET", "/", "Connection: close"), b"\r\n")
            client.sock.shutdown(socket.SHUT_WR)
            assert client.response().body == body
            assert client.ending() == (b"", "eof")


def test_kept_connection_that_speaks(env):
    """What a server says between two requests is nobody's response."""
    def serve(connection):
        while connection.head():
            connection.send(reply(b"mine"), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL")

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address)
    for _ in range(30):
        with Client(daemon.address()) as client:
            assert client.ask().body == b"mine"
            assert client.ask().body == b"mine"
    wait_until(lambda: origin.opened() == 0, 5, "such connections end")


def test_interim_answers_and_a_slow_client(env):
    """Many of them before the response, to a client that does not read: none is lost."""
    interim = head("HTTP/1.1 103 Early Hints", "X-Fill: " + "z" * 20_000)

    def serve(connection):
        connection.head()
        connection.send(*[interim] * 300, reply(b"at last"))

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)
        client.send(request())
        wait_until(lambda: origin.heads, 5, "the request")
        for _ in range(300):
            assert client.head().status == 103
        assert client.response().body == b"at last"
