# SPDX-License-Identifier: GPL-2.0-or-later
"""Position-dependent content: for files, and for streams that Python's own sockets carry."""

import hashlib
import random
import socket
import threading

MIB = 1 << 20
PERIOD = MIB - 3    # prime, and no multiple of anything a network or a kernel cuts at


class Pattern:
    """An endless stream of bytes, known at every position."""

    def __init__(self, seed):
        once = random.Random(seed).randbytes(PERIOD)
        self.twice = once + once    # any piece up to PERIOD is one slice

    def piece(self, position, size):
        """At most `size` bytes from there on."""
        start = position % PERIOD
        return memoryview(self.twice)[start:start + min(size, PERIOD)]

    def check(self, position, data):
        """`data` is what belongs there; an AssertionError names the first byte that does not."""
        view, at = memoryview(data), 0
        while at < len(view):
            wanted = self.piece(position + at, len(view) - at)
            got = view[at:at + len(wanted)]
            if got != wanted:
                bad = next(i for i, (a, b) in enumerate(zip(got, wanted)) if a != b)
                raise AssertionError(f"byte {position + at + bad} is wrong")
            at += len(wanted)


def send_pattern(sock, stream, size, start=0):
    """Sends `size` bytes of it."""
    for at in range(0, size, 1 << 17):
        sock.sendall(stream.piece(start + at, min(1 << 17, size - at)))


def write_file(path, size, seed):
    """A file without two equal MiB in it; returns its SHA-256 in hex."""
    sha, block, number = hashlib.sha256(), bytearray(random.Random(seed).randbytes(MIB)), 0
    with open(path, "wb") as file:
        while size > 0:
            block[:8] = number.to_bytes(8, "little")
            piece = memoryview(block)[:min(size, MIB)]
            file.write(piece)
            sha.update(piece)
            size -= len(piece)
            number += 1
    return sha.hexdigest()


def sha256_file(path):
    with open(path, "rb") as file:
        return sha256_stream(file)


def sha256_stream(file):
    """The SHA-256 in hex of everything up to the end of a file or pipe."""
    sha = hashlib.sha256()
    while data := file.read(MIB):
        sha.update(data)
    return sha.hexdigest()


class Stream:
    """One direction over a socket, counting what it has done."""

    def __init__(self, sock, seed, size):
        self.sock, self.pattern, self.size = sock, Pattern(seed), size
        self.moved = 0
        self.error = None

    def send(self, progress=None):
        """Sends it all, then the end of the stream."""
        while self.moved < self.size:
            left = self.size - self.moved
            self.moved += self.sock.send(self.pattern.piece(self.moved, min(left, 1 << 16)))
            if progress:
                progress()
        self.sock.shutdown(socket.SHUT_WR)

    def receive(self):
        """Receives and checks it all, and the end right behind it."""
        while data := self.sock.recv(1 << 18):
            assert self.moved + len(data) <= self.size, f"more than {self.size} bytes came"
            self.pattern.check(self.moved, data)
            self.moved += len(data)
        assert self.moved == self.size, f"the stream ended at {self.moved} of {self.size}"

    def start(self, function, *args):
        """function(*args) in a thread; join() raises what it raised."""
        def work():
            try:
                function(*args)
            except BaseException as error:  # handed to join()
                self.error = error
        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()
        return self

    def join(self, seconds):
        self.thread.join(seconds)
        if self.error:
            raise self.error
        assert not self.thread.is_alive(), \
            f"{self.moved} of {self.size} bytes after {seconds} s"


class Exchange:
    """One end of a session: sends one pattern while it receives and checks another."""

    def __init__(self, sock, out, into):
        """out, into: (seed, size)"""
        self.out = Stream(sock, *out)
        self.into = Stream(sock, *into)
        self.out.start(self.out.send)
        self.into.start(self.into.receive)

    def join(self, seconds):
        self.out.join(seconds)
        self.into.join(seconds)
