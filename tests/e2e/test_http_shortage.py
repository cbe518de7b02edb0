# SPDX-License-Identifier: GPL-2.0-or-later
"""Want of memory for HTTP is neither peer's fault, and is told at once."""

import contextlib
import errno
import threading

from lib import case, wait_until
from lib.http import Client, Origin, head, reply, request, wait_requests
from lib.pattern import MIB
from lib.shortage import short_of

LISTENER = {"protocol": "http", "request_timeout": "1m", "response_timeout": "1m"}


def short_proxy(env, origin):
    return short_of(env, origin.address, listener=LISTENER)


def send_zeros(sock):
    """64 MiB, as far as they are wanted."""
    with contextlib.suppress(OSError):
        for _ in range(64):
            sock.sendall(bytes(MIB))


@case(engines=("copy",))
def test_no_memory_for_an_upload(env):
    """503, and not a silence that ends as the client's 408."""
    over = threading.Event()

    def serve(connection):
        connection.head()
        over.wait(60)

    origin = Origin(env, serve=serve)
    daemon, shortage = short_proxy(env, origin)
    with Client(daemon.address()) as client:
        client.send(request("POST", "/", f"Content-Length: {64 * MIB}"))
        wait_until(lambda: origin.heads, 5, "the head at the server")
        shortage.fail("malloc")
        sender = threading.Thread(target=send_zeros, args=(client.sock,), daemon=True)
        sender.start()
        try:
            assert client.response().status == 503
        finally:
            over.set()
        assert shortage.over() > 0
        assert wait_requests(daemon)[0]["end"] == "limit"
    sender.join()


@case(engines=("copy",))
def test_no_memory_for_a_download(env):
    """A reset, and not the client's."""
    short = threading.Event()

    def serve(connection):
        connection.request()
        short.wait(60)
        connection.send(head("HTTP/1.1 200 OK", f"Content-Length: {64 * MIB}"))
        send_zeros(connection.sock)

    origin = Origin(env, serve=serve)
    daemon, shortage = short_proxy(env, origin)
    with Client(daemon.address()) as client:
        client.send(request())
        wait_until(lambda: origin.requests, 5, "the request at the server")
        shortage.fail("malloc")
        short.set()
        assert wait_requests(daemon)[0]["end"] == "limit"
        assert shortage.over() > 0
        assert client.ending()[1] == "reset"


def test_no_memory_for_a_request(env):
    """A head of a few bytes is not too large."""
    origin = Origin(env)
    daemon, shortage = short_proxy(env, origin)
    with Client(daemon.address()) as client:
        assert client.ask().status == 200
        shortage.fail("malloc", times=1)
        assert client.send(request()).response().status == 503
        assert shortage.over() == 1
        assert wait_requests(daemon, 2)[1]["end"] == "limit"
        assert client.ending() == (b"", "eof")


def check_send(env, error):
    """The kernel's memory, on the way to the server (the first calls: on a kept connection, and on a
    new one, since nothing of the request was sent) and to the client."""
    origin = Origin(env)
    daemon, shortage = short_proxy(env, origin)
    with Client(daemon.address()) as client:
        assert client.ask().status == 200
        shortage.fail("send", times=2, error=error)
        answer = client.send(request()).response()
        assert answer.status == 503, answer.raw
        assert shortage.over() == 2
    with Client(daemon.address()) as client:
        assert client.ask().status == 200
        shortage.fail("send", error=error)
        client.send(request())
        assert client.ending()[1] == "reset"
        assert shortage.over() == 3     # the answer could not be sent, either
    assert [line["end"] for line in wait_requests(daemon, 4)] == ["done", "limit"] * 2


def test_kernel_has_no_memory(env):
    check_send(env, errno.ENOMEM)


def test_kernel_has_no_buffers(env):
    check_send(env, errno.ENOBUFS)


def test_memory_that_fails_now_and_then(env):
    """Whatever fails: an answer or the end, soon; and the daemon goes on."""
    origin = Origin(env, lambda asked: reply(bytes(asked.body)))
    daemon, shortage = short_proxy(env, origin)
    address = daemon.address()
    for call in ("malloc", "calloc", "realloc"):
        shortage.fail(call, one_in=15)
    for call in ("send", "sendmsg"):
        shortage.fail(call, one_in=15, error=errno.ENOBUFS)
    for number in range(100):
        with contextlib.suppress(OSError, AssertionError), \
                Client(address, timeout=5) as client:
            answer = client.ask("POST", "/", body=bytes(number * 997 % 100_000))
            assert answer.status in (200, 502, 503), answer.raw
    assert shortage.over() > 0
    wait_until(lambda: daemon.status()["sessions_active"] == 0, 10, "no session is left")
    with Client(address) as client:
        assert client.ask("POST", "/", body=b"x" * 50_000).size == 50_000
