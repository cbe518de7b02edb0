# SPDX-License-Identifier: GPL-2.0-or-later
"""Acknowledgements: none that the next segment could carry, and none that a peer has to wait for."""

import statistics
import time

from lib import case, read_exactly, tls, wait_until
from lib.http import Reader, reply, request
from lib.tcp import connect

ROUNDS = 10
DELAYED = 0.03      # the kernel holds an acknowledgement back for 40 ms

HELLO = tls.record(tls.usual("a.test"))
REQUEST = request("GET", "/", "Connection: close")
POST = request("POST", "/", "Connection: close", "Content-Length: 300")

LISTENERS = {
    "http": {"protocol": "http", "route": "host:www.test -> main"},
    "tls": {"protocol": "tls", "route": "sni:a.test -> main"},
    "auto": {"protocol": "auto"},
    "tcp": {},
}


ANSWER = reply(b"answer", "Connection: close")


def answer_when(complete):
    """A server that answers as soon as what it has is complete."""
    def serve(sock):
        reader = Reader(sock)
        while not complete(reader.buffer) and reader.fill():
            pass
        sock.sendall(ANSWER)
        reader.rest()
    return serve


def has(size):
    return lambda data: len(data) >= size


def has_request(data):
    head, end, body = bytes(data).partition(b"\r\n\r\n")
    return end and (b"Content-Length" not in head or len(body) == 300)


def seconds_of(address, *writes):
    """How long an answer takes when the client writes so, with Nagle's algorithm as the kernel has
    it by default: what is less than a segment waits for the acknowledgement of the one before."""
    with connect(address) as client:
        began = time.monotonic()
        for data in writes:
            client.sendall(data)
        read_exactly(client, 15)    # HTTP's fields may change
        return time.monotonic() - began


def check_prompt(env, protocol, *writes):
    complete = has_request if protocol == "http" else has(sum(map(len, writes)))
    server = env.backend(answer_when(complete))
    daemon = env.spliced(server.address, listener=LISTENERS[protocol])
    took = [seconds_of(daemon.address(), *writes) for _ in range(ROUNDS)]
    assert statistics.median(took) < DELAYED, took


@case(vm=False, alone=True)
def test_head_in_two_writes(env):
    check_prompt(env, "http", REQUEST[:20], REQUEST[20:])


@case(vm=False, alone=True)
def test_body_in_two_writes(env):
    check_prompt(env, "http", POST, b"x" * 100, b"x" * 200)


@case(vm=False, alone=True)
def test_hello_in_two_writes(env):
    check_prompt(env, "tls", HELLO[:20], HELLO[20:])


@case(vm=False, alone=True)
def test_stream_in_two_writes(env):
    check_prompt(env, "tcp", b"x" * 100, b"x" * 200)


@case(vm=False, alone=True)
def test_server_that_speaks_first(env):
    """Its connection is acknowledged although the client says nothing."""
    server = env.backend(lambda sock: sock.sendall(b"220 hello, you!") or sock.recv(1))
    daemon = env.spliced(server.address)
    took = [seconds_of(daemon.address()) for _ in range(ROUNDS)]
    assert statistics.median(took) < DELAYED, took


def segments_sent(host):
    lines = [line.split() for line in host.run("cat", "/proc/net/snmp").stdout.splitlines()
             if line.startswith("Tcp:")]
    return int(lines[1][lines[0].index("OutSegs")])


def segments_of(env, protocol, data):
    """How many segments the proxy sends for each exchange of one request and one answer."""
    network = env.network()
    address = f"{network.backend_address()}:0"
    server = network.backend.call(env.backend, answer_when(has(len(data))), address)
    daemon = network.spliced(server.address, listener=LISTENERS[protocol])
    target = daemon.address()

    def ask():
        with connect(target) as client:
            client.sendall(data)
            read_exactly(client, len(ANSWER))
        daemon.wait_sessions(0)
    network.client.call(ask)
    before = segments_sent(network.proxy)
    for _ in range(ROUNDS):
        network.client.call(ask)
    return (segments_sent(network.proxy) - before) / ROUNDS


@case(vm=False, alone=True)
def test_no_segment_for_an_acknowledgement_alone(env):
    """The answer acknowledges the request, and the request the server's SYN."""
    # To the client: SYN, the answer, FIN; to the server: SYN, the hello, FIN, the acknowledgement of
    # its FIN. The kernel engine acknowledges at once from when it takes a session on.
    sent = segments_of(env, "tls", HELLO)
    assert sent < (7.5 if env.engine == "copy" else 9.5), f"{sent} segments for each session"
