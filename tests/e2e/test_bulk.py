# SPDX-License-Identifier: GPL-2.0-or-later
"""Bulk in small segments is copied for a while; requests and large segments are the kernel's."""

import socket
import threading

from lib import case, wait_until
from lib.pattern import MIB, Pattern
from lib.tcp import connect, read_exactly
from lib.traffic import through

CONTENT = Pattern(77)
WRITE = 1000
REQUEST = 1000
MOST = 400 * MIB


class Sink:
    """Reads and compares until it is told to be an echo, for which the client has a byte ready."""

    def __init__(self):
        self.got, self.echo_from, self.failed = 0, None, []

    def __call__(self, sock):
        try:
            while data := sock.recv(1 << 18):
                CONTENT.check(self.got, data)
                self.got += len(data)
                if self.echo_from is not None and self.got > self.echo_from:
                    sock.sendall(data)
        except AssertionError as error:
            self.failed.append(error)
            raise


def start(env):
    sink = Sink()
    server = env.backend(sink)
    daemon = env.spliced(server.address)
    sock = connect(daemon.address("web"), timeout=60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sink, daemon, sock


def moved(daemon):
    """(by the kernel, by hand) up to now."""
    stats = daemon.stats()
    return stats["bytes_redirected"], stats["bytes_copied"]


def pour(sock, at, number, write):
    """So many writes of that size, from there on; returns what comes next."""
    for _ in range(number):
        sock.sendall(CONTENT.piece(at, write))
        at += write
    return at


def ask(sock, at, size, number):
    """Requests, one at a time, that are answered with themselves."""
    for _ in range(number):
        sock.sendall(CONTENT.piece(at, size))
        assert read_exactly(sock, size) == CONTENT.piece(at, size)
        at += size
    return at


@case(engines=("kernel",), vm=False, timeout=120)
def test_is_copied_and_goes_back(env):
    """Requests after it are the kernel's again, as soon as one has come after a pause."""
    sink, daemon, client = start(env)
    with client:
        at = pour(client, 0, 100, 1000)
        while moved(daemon)[1] < 16 * MIB:
            assert at < MOST, f"the kernel's, after {at} bytes: {moved(daemon)}"
            at = pour(client, at, 2000, 1000)
        wait_until(lambda: sink.got == at, 30, "everything has arrived")
        sink.echo_from = at
        kernel, before = moved(daemon)[0], at
        threading.Event().wait(0.1)    # not for anything: the pause
        at = ask(client, at, 1000, 3000)
        after = moved(daemon)[0]
        assert after - kernel > 1.9 * (at - before), f"{after - kernel} of {at - before} both ways"
        env.note(f"{before} bytes until it was seen, {moved(daemon)}")
    daemon.wait_sessions(0)
    assert not sink.failed and sink.got == at, f"{sink.got} of {at} bytes"
    assert daemon.stats()["unlocked_deletes"] == 0, daemon.stats()


@case(engines=("kernel",), vm=False, timeout=120)
def test_requests_stay(env):
    """However many they are, and however small."""
    sink, daemon, client = start(env)
    with client:
        sink.echo_from = -1
        at = ask(client, 0, 64, 20000)
    daemon.wait_sessions(0)
    kernel, copied = moved(daemon)
    env.note(f"{kernel} by the kernel, {copied} by hand")
    assert sink.got == at and copied < at / 10, f"{copied} of {2 * at} bytes were copied"


UPLOAD = ("--bytes-down", 16, "--nodelay", "--half-close", "client")


@case(engines=("kernel",), vm=False, timeout=120)
def test_several(env):
    """Byte-exact, with the ends that the peers made."""
    _, daemon = through(env, "--sessions", 8, "--bytes-up", "24M", "--write-size", "500-1500",
                        *UPLOAD, timeout=100)
    kernel, copied = moved(daemon)
    env.note(f"{kernel} by the kernel, {copied} by hand")
    assert copied > 8 * MIB, f"the kernel moved {kernel} bytes"
    assert daemon.stats()["unlocked_deletes"] == 0, daemon.stats()


@case(engines=("kernel",), vm=False, timeout=120)
def test_both_ways(env):
    """What comes back is bulk, too: that is nobody's bulk, and byte-exact whoever moves it."""
    through(env, "--sessions", 4, "--bytes-up", "12M", "--bytes-down", "12M", "--write-size",
            "500-1500", "--nodelay", timeout=100)


@case(engines=("kernel",), vm=False, timeout=120)
def test_resets(env):
    """At a moment at which some are copied, and others not yet."""
    for side in ("client", "server"):
        through(env, "--sessions", 8, "--bytes-up", "16M", "--write-size", "500-1500", "--rst",
                side, "8M", *UPLOAD[:3], timeout=100)


@case(engines=("kernel",), vm=False, timeout=120)
def test_a_slow_reader(env):
    """Copied or not, it waits for the reader, and holds no more than usual."""
    through(env, "--sessions", 2, "--bytes-up", "24M", "--write-size", "500-1500",
            "--sleep-reader", "server", "16M", 1, *UPLOAD, timeout=100)


@case(engines=("kernel",), vm=False, timeout=120)
def test_large_segments_stay(env):
    """Of several streams: a lone one of a fast target is copied for another reason."""
    _, daemon = through(env, "--sessions", 8, "--bytes-up", "64M", "--write-size", "65536-65536",
                        *UPLOAD, timeout=100)
    kernel, copied = moved(daemon)
    env.note(f"{kernel} by the kernel, {copied} by hand")
    assert kernel > copied, f"{copied} of {kernel + copied} bytes were copied"
