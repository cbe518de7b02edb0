# SPDX-License-Identifier: GPL-2.0-or-later
"""io_uring on the sockets of a bypassed session: as with TCP."""

import contextlib
import errno
import os
import socket
import threading

from lib import case, programs
from lib.joined import EVENT_TIME, ending, joined
from lib.uring import SEND_ZC, Ring

AT_DEBUG = False

SIZE = 3_000_000    # beyond what the bypass lets wait


@contextlib.contextmanager
def ring(env):
    try:
        it = Ring()
    except OSError as error:
        env.skip(f"no io_uring: {error}")
    with contextlib.closing(it):
        yield it


def all_of(reader, sock, size):
    got = bytearray()
    while len(got) < size:
        part = reader.recv(sock, 65536)
        assert part, f"an end after {len(got)} of {size} bytes"
        got += part
    return bytes(got)


def check_echo(both):
    """b sends back what comes, a reads it while it still writes: each thread has a ring of its own."""
    data = os.urandom(SIZE)
    with ring(both.env) as asks, ring(both.env) as hears, ring(both.env) as answers:
        def echo():
            got = 0
            while got < SIZE:
                part = answers.recv(both.b, 65536)
                assert part
                answers.send(both.b, part)
                got += len(part)
        threads = [threading.Thread(target=target, args=arguments, daemon=True)
                   for target, arguments in ((echo, ()), (asks.send, (both.a, data)))]
        for thread in threads:
            thread.start()
        assert all_of(hears, both.a, SIZE) == data
        for thread in threads:
            thread.join(programs.scaled(EVENT_TIME))
            assert not thread.is_alive()
    both.check_direct()


def check_ends(both):
    """What waits is completed by bytes, and by an end."""
    with ring(both.env) as waits, ring(both.env) as writes:
        got = []
        thread = threading.Thread(target=lambda: got.append(waits.recv(both.b, 100)), daemon=True)
        thread.start()
        writes.send(both.a, b"last")
        thread.join(programs.scaled(EVENT_TIME))
        assert got == [b"last"]
        both.a.shutdown(socket.SHUT_WR)
        assert waits.recv(both.b, 100) == b""
        writes.send(both.b, b"answer")
        both.b.close()
        assert waits.recv(both.a, 6) == b"answer"
        both.a.setblocking(False)
        assert ending(both.a) == "eof"


def check_zero_copy(both):
    """SEND_ZC of a socket that is in a sockhash: the kernel says at once that it cannot."""
    data = os.urandom(30_000)
    with ring(both.env) as writes, ring(both.env) as reads:
        try:
            writes.send(both.a, data, SEND_ZC)
        except OSError as error:
            assert error.errno == errno.EOPNOTSUPP, error
            both.env.note("SEND_ZC: not supported")
            writes.send(both.a, data)
        assert all_of(reads, both.b, len(data)) == data
    both.check_direct()


def uring_test(check, blocking=False, core=False):
    @case(engines=("kernel",), core=core)
    def test(env):
        with joined(env, blocking=blocking) as both:
            check(both)
    test.__doc__ = check.__doc__
    return test


test_poll = uring_test(check_echo, core=True)
test_ends = uring_test(check_ends)
test_zero_copy = uring_test(check_zero_copy, core=True)
# The kernel waits in these: what is not there yet is no EAGAIN.
test_waiting = uring_test(check_echo, blocking=True)
test_waiting_ends = uring_test(check_ends, blocking=True)
