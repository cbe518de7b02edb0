# SPDX-License-Identifier: GPL-2.0-or-later
"""Two sockets of a test that talk through a daemon, joined by the bypass."""

import contextlib
import functools
import select
import socket

from . import case, programs, tcp, wait_until

EVENT_TIME = 20     # seconds in which what must come comes
ALONE = "client", "server"


def each_side(test, sides=ALONE, core=(), **options):
    """The same for each `local_bypass`, as test_NAME_SIDE of the file that it stands in."""
    for side in sides:
        @functools.wraps(test)
        def run_side(env, side=side):
            test(env, side)
        test.__globals__[f"test_{test.__name__}_{side}"] = \
            case(engines=("kernel",), core=side in core, debug=False, **options)(run_side)
    return test


def other_side(side):
    return "server" if side == "client" else "client"


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
    would be, once they have been used: `direct`. With a `side` but "both" that one's alone, in the
    cgroup, which is a."""

    def __init__(self, env, blocking=False, connecting=None, accepting=None, direct=True,
                 side="both", host="127.0.0.1", listener=None, more=None, **options):
        self.env, self.cgroup, self.side = env, env.cgroup(), side
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        named = f"[{host}]" if ":" in host else host
        with self._inside("server"):
            server = socket.create_server((host, 0), family=family)
        self.daemon = env.spliced(
            f"{named}:{server.getsockname()[1]}",
            more=more, listener={"local_bypass": side, "bind": f"{named}:0", **(listener or {})},
            spliced={"bypass_cgroup": self.cgroup.path,
                     **({"bypass_trust": "all"} if blocking else {}), **options})
        with self._inside("client"), connecting or contextlib.nullcontext():
            self.a = tcp.connect(self.daemon.address())
        with self._inside("server"), accepting or contextlib.nullcontext():
            self.b, _ = server.accept()
        server.close()
        if side == "server":
            self.a, self.b = self.b, self.a
        self.a.setblocking(blocking)
        self.b.setblocking(blocking)
        if direct:
            self.until_direct()

    def _inside(self, side):
        return self.cgroup.inside() if self.side in ("both", side) else contextlib.nullcontext()

    def exchange(self, size=100):
        for source, target in ((self.a, self.b), (self.b, self.a)):
            assert source.send(b"e" * size) == size
            assert receive(target, size) == b"e" * size

    def is_direct(self):
        """Whether what is exchanged goes directly, or one half of it."""
        before = self.daemon.stats()["bytes_bypassed"]
        self.exchange()
        moved = self.daemon.stats()["bytes_bypassed"] - before
        return moved == (200 if self.side == "both" else 100)

    def until_direct(self):
        wait_until(self.is_direct, 10, "bytes go directly")

    def check_forward(self, times, size=1000):
        """What a sends comes directly, and at once."""
        before = self.daemon.stats()["bytes_bypassed"]
        for _ in range(times):
            assert self.a.send(b"w" * size) == size
            assert receive(self.b, size) == b"w" * size
        assert self.daemon.stats()["bytes_bypassed"] - before == times * size

    def fill(self, size=50000):
        """Sends messages of that size until a has to wait; the number of bytes."""
        sent = 0
        while ready(self.a, select.POLLOUT, 0.3):
            with contextlib.suppress(BlockingIOError):
                sent += self.a.send(b"f" * size)
        return sent

    def left(self):
        """Why ways were left."""
        left = self.daemon.stats()["bypass_left"]
        return {reason for reason, number in left.items() if number}

    def check_direct(self):
        """Both ways are as they were."""
        assert self.is_direct(), self.left()

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
