# SPDX-License-Identifier: GPL-2.0-or-later
"""Urgent bytes are part of the stream, and reading stops at one: what is behind it is not
forgotten."""

import signal
import socket
import struct

from lib import case, connect, read_exactly
from lib.http import Client, Origin, proxy, reply, request

BEFORE, AFTER = (b"".join(struct.pack(">I", n) for n in range(start, start + 250))
                 for start in (0, 1000))
WHOLE = BEFORE + b"!" + AFTER


def send_urgent(daemon, sock):
    """All of it is there before the daemon reads."""
    daemon.signal(signal.SIGSTOP)
    try:
        sock.sendall(BEFORE)
        sock.send(b"!", socket.MSG_OOB)
        sock.sendall(AFTER)
    finally:
        daemon.signal(signal.SIGCONT)


@case()
def test_urgent_byte_in_a_stream(env):
    def serve(sock):
        sock.sendall(read_exactly(sock, 5))
        sock.sendall(read_exactly(sock, len(WHOLE)))

    daemon = env.spliced(env.backend(serve).address, spliced={"workers": 1})
    with connect(daemon.address()) as client:
        client.sendall(b"first")
        assert read_exactly(client, 5) == b"first"
        send_urgent(daemon, client)
        assert read_exactly(client, len(WHOLE)) == WHOLE


@case()
def test_urgent_byte_before_the_server_is_dialled(env):
    daemon = env.spliced(env.backend().address, spliced={"workers": 1})
    with connect(daemon.address()) as client:
        send_urgent(daemon, client)
        assert read_exactly(client, len(WHOLE)) == WHOLE


@case()
def test_urgent_byte_from_the_server(env):
    def serve(sock):
        read_exactly(sock, 5)
        send_urgent(daemon, sock)
        sock.recv(1)

    backend = env.backend(serve)
    daemon = env.spliced(backend.address, spliced={"workers": 1})
    with connect(daemon.address()) as client:
        client.sendall(b"first")
        assert read_exactly(client, len(WHOLE)) == WHOLE


@case()
def test_urgent_byte_in_a_body(env):
    origin = Origin(env, answer=lambda asked: reply(bytes(asked.body)))
    daemon = proxy(env, origin.address, spliced={"workers": 1})
    with Client(daemon.address()) as client:
        client.send(request("POST", "/", f"Content-Length: {len(WHOLE)}"))
        send_urgent(daemon, client.sock)
        assert client.response().body == WHOLE
