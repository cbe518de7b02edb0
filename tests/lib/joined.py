# SPDX-License-Identifier: GPL-2.0-or-later
"""Two sockets of a test that talk through a daemon, joined by the bypass."""

import contextlib
import select
import socket

from . import case, programs, tcp, wait_until

EVENT_TIME = 20     # seconds in which what must come comes


def ready(sock, events, seconds=EVENT_TIME):
    poll = select.poll()
    poll.register(sock, events)
    return bool(poll.poll(programs.scaled(seconds) * 1000))


def receive(sock, size):
    """Exactly that many bytes, of a socket that blocks or does not."""
    got = bytearray()
    while len(got) < size:
        assert ready(sock, select.POLLIN), f"{len(got)} of {size} bytes"
        with contextlib.suppress(BlockingIOError):
            part = sock.recv(min(65536, size - len(got)))
            assert part, f"an end after {len(got)} of {size} bytes"
            got += part
    return bytes(got)


def ending(sock):
    """How it ends, if nothing more comes: "eof" or "reset"."""
    while True:
        assert ready(sock, select.POLLIN), "no end"
        try:
            part = sock.recv(1000)
        except BlockingIOError:
            continue
        except ConnectionResetError:
            return "reset"
        assert not part, part
        return "eof"


def plain():
    """Two sockets with TCP alone between them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        a = socket.create_connection(listener.getsockname())
        b, _ = listener.accept()
    a.setblocking(False)
    b.setblocking(False)
    return a, b


class Joined:
    """Two sockets of this process that talk through a daemon, and are joined: a's is the client. Or
    would be, once they have been used: `direct`."""

    def __init__(self, env, blocking=False, connecting=None, accepting=None, direct=True,
                 **options):
        self.env, self.cgroup = env, env.cgroup()
        with self.cgroup.inside():
            listener = socket.create_server(("127.0.0.1", 0))
        host, port = listener.getsockname()
        self.daemon = env.spliced(f"{host}:{port}", listener={"local_bypass": "both"}, spliced={
            "bypass_cgroup": self.cgroup.path, **({"bypass_trust": "all"} if blocking else {}),
            **options})
        with self.cgroup.inside():
            with connecting or contextlib.nullcontext():
                self.a = tcp.connect(self.daemon.address())
            with accepting or contextlib.nullcontext():
                self.b, _ = listener.accept()
        listener.close()
        self.a.setblocking(blocking)
        self.b.setblocking(blocking)
        if direct:
            self.until_direct()

    def exchange(self, size=100):
        for source, target in ((self.a, self.b), (self.b, self.a)):
            assert source.send(b"e" * size) == size
            assert receive(target, size) == b"e" * size

    def until_direct(self):
        def is_direct():
            before = self.daemon.stats()
            self.exchange()
            after = self.daemon.stats()
            return after["bytes_bypassed"] - before["bytes_bypassed"] == 200
        wait_until(is_direct, 10, "bytes go directly")

    def fill(self):
        """Sends until a has to wait; the number of bytes."""
        sent = 0
        while ready(self.a, select.POLLOUT, 0.3):
            with contextlib.suppress(BlockingIOError):
                sent += self.a.send(b"f" * 50000)
        return sent

    def left(self):
        """Why ways were left."""
        left = self.daemon.stats()["bypass_left"]
        return {reason for reason, number in left.items() if number}

    def check_direct(self):
        """Both ways are as they were."""
        before = self.daemon.stats()["bytes_bypassed"]
        self.exchange()
        assert self.daemon.stats()["bytes_bypassed"] - before == 200, self.left()

    def close(self):
        self.a.close()
        self.b.close()


@contextlib.contextmanager
def joined(env, **options):
    both = Joined(env, **options)
    with contextlib.closing(both):
        yield both


def notice(test, core=False, **options):
    """A test of two joined sockets."""
    @case(engines=("kernel",), core=core, debug=False)
    def run(env):
        with joined(env, **options) as both:
            test(both)
    run.__doc__ = test.__doc__
    return run
