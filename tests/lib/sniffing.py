# SPDX-License-Identifier: GPL-2.0-or-later
"""Peers for listeners that look at the first bytes, and what such listeners say of it."""

import socket

from . import proxyheader, tcp
from .http import Reader, ending
from .segments import send_in_pieces
from .wait import wait_until


class Recorder:
    """A server that says its name as soon as it hears something, and keeps what it hears.

    With `header` it takes a PROXY header first, into `headers`.
    """

    def __init__(self, env, name, header=False, address="127.0.0.1:0"):
        self.name, self.header = name, header
        self.streams, self.headers, self.problems = [], [], []
        self.backend = env.backend(self._handle, address)
        self.address = self.backend.address

    def _handle(self, sock):
        reader = Reader(sock)
        try:
            if self.header:
                self.headers.append(proxyheader.read(reader))
            if reader.buffer or reader.fill():
                sock.sendall(self.name.encode() + b"\n")
            self.streams.append(reader.rest())
        except AssertionError as error:
            self.problems.append(error)

    def stream(self, number=1):
        """Everything that the last connection carried, once there were so many."""
        wait_until(lambda: self.problems or len(self.streams) >= number, 5,
                   f"{number} streams end at {self.name}")
        if self.problems:
            raise self.problems[0]
        return self.streams[number - 1]

    @property
    def accepted(self):
        return self.backend.accepted


class Answer:
    """How a connection went: `name` of the server that answered, or what came instead of one, and
    how it ended."""

    def __init__(self, name, rest=b"", end="eof"):
        self.name, self.rest, self.end = name, rest, end

    @property
    def refused(self):
        return self.name is None


def connected(address, source=None):
    sock = tcp.connect(address, source)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def talk(sock, *pieces, more=b""):
    """Sends the pieces one by one, waits for a Recorder's name, sends `more` and ends."""
    reader = Reader(sock)
    try:
        send_in_pieces(sock, *pieces)
        while b"\n" not in reader.buffer:
            if not reader.fill():
                return Answer(None, reader.rest())
        name = reader.until(b"\n")[:-1].decode("latin-1")
        sock.sendall(more)
        sock.shutdown(socket.SHUT_WR)
        return Answer(name, *ending(reader))
    except (ConnectionResetError, BrokenPipeError):
        return Answer(None, reader.take(len(reader.buffer)), "reset")


def ask(address, *pieces, more=b"", source=None):
    """talk() on a connection of its own."""
    try:
        with connected(address, source) as sock:
            return talk(sock, *pieces, more=more)
    except ConnectionResetError:
        return Answer(None, b"", "reset")


def check_refused(daemon, answer, end, number=1):
    """No server answered, and the access log says why."""
    assert answer.refused, f"answered by {answer.name}"
    line = daemon.wait_access(number)[-1]
    assert line["end"] == end, line
    return line
