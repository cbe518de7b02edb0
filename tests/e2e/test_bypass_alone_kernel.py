# SPDX-License-Identifier: GPL-2.0-or-later
"""What comes for an application that is joined alone is the kernel's: paused, stopped, refused,
ended and reset, while what it sends itself goes directly, into the socket that the kernel reads."""

import contextlib
import os
import select
import signal
import socket
import time

from lib import case, tcp, wait_until
from lib.joined import each_side, ending, joined, other_side, ready, receive

SO_ZEROCOPY = 60
SMALL = {"splice_window": "64K", "splice_low": "64K", "splice_high": "128K", "splice_hard": "256K"}
DATA = os.urandom(16 << 20)


@contextlib.contextmanager
def lane(env, side, **options):
    """Two of which a is joined, and what comes for it is moved by the kernel. Nothing of it is left
    in the end."""
    with joined(env, side=side, **{**SMALL, **options}) as both:
        def is_moved():
            before = both.daemon.stats()
            both.exchange(1000)
            after = both.daemon.stats()
            return [after[f"bytes_{how}"] - before[f"bytes_{how}"]
                    for how in ("redirected", "bypassed")] == [1000, 1000]
        wait_until(is_moved, 10, "one way is the kernel's, the other one direct")
        yield both
    if both.daemon.running:
        wait_until(lambda: both.daemon.stats()["sessions_active"] == 0, 10, "it has ended")
        wait_until(lambda: not any(both.daemon.map_entries().values()), 10, "the maps are empty")


def fill_lane(both, at=0):
    """b sends until it has to wait; how much it has sent then."""
    sent = at
    while ready(both.b, select.POLLOUT, 0.3) and sent < len(DATA):
        with contextlib.suppress(BlockingIOError):
            sent += both.b.send(DATA[sent:sent + 65536])
    assert sent < len(DATA), sent
    return sent


def fill_both(both):
    """Either waits: how much the kernel holds, and how much went directly. Tokens are out, and the
    lane is paused."""
    came, direct = fill_lane(both), both.fill(20_000)
    stats = both.daemon.stats()
    assert stats["pauses"] >= 2, stats["pauses"]
    return came, direct


def full_both_ways(env, side):
    """Again and again, and whoever reads first."""
    with lane(env, side) as both:
        for first in ("b", "a"):
            came, direct = fill_both(both)
            if first == "a":
                assert receive(both.a, came) == DATA[:came]
            assert receive(both.b, direct) == b"f" * direct
            if first == "b":
                assert receive(both.a, came) == DATA[:came]
            assert ready(both.a, select.POLLOUT) and ready(both.b, select.POLLOUT)
            both.exchange(1000)
        assert not both.left(), both.left()
        both.check_forward(50)


def stopped_without_the_daemon(env, side):
    """It stands still: the kernel takes the lane back itself, beside sends into the same socket."""
    with lane(env, side) as both:
        both.daemon.signal(signal.SIGSTOP)
        came, direct = 0, 0
        while ready(both.b, select.POLLOUT, 0.3):
            with contextlib.suppress(BlockingIOError):
                came += both.b.send(DATA[came:came + 65536])
            if ready(both.a, select.POLLOUT, 0):
                with contextlib.suppress(BlockingIOError):
                    direct += both.a.send(b"d" * 100)
        assert came < len(DATA), came
        assert receive(both.b, direct) == b"d" * direct
        both.daemon.signal(signal.SIGCONT)
        assert receive(both.a, came) == DATA[:came]
        assert both.daemon.stats()["verdicts"]["stopped"] >= 1, both.daemon.stats()["verdicts"]
        both.exchange(1000)
        both.check_forward(50)


def ends_with_backlog(env, side):
    """Whoever ends first, while both wait: the other one goes on."""
    for first in ("a", "b"):
        with lane(env, side) as both:
            came, direct = fill_both(both)
            expected = {"a": (both.a, DATA[:came]), "b": (both.b, b"f" * direct)}
            second = "b" if first == "a" else "a"
            (ended, for_it), (goes_on, all_of_it) = expected[first], expected[second]
            ended.shutdown(socket.SHUT_WR)
            assert receive(goes_on, len(all_of_it)) == all_of_it and ending(goes_on) == "eof"
            assert receive(ended, len(for_it)) == for_it
            assert ready(goes_on, select.POLLOUT) and goes_on.send(b"last words") == 10
            goes_on.close()
            assert receive(ended, 10) == b"last words" and ending(ended) == "eof"
        assert both.daemon.wait_access()[-1]["end"] == "done"


def resets_with_backlog(env, side):
    """Either one, while both wait, and the application's send may be told of it: the other one gets some of
    what was on its way, and the reset."""
    for resets in ("a", "b"):
        with lane(env, side) as both:
            came, direct = fill_both(both)
            there, data = (both.b, b"f" * direct) if resets == "a" else (both.a, DATA[:came])
            both.daemon.signal(signal.SIGSTOP)
            tcp.reset(both.a if resets == "a" else both.b)
            with contextlib.suppress(OSError):
                both.a.send(b"told")
            both.daemon.signal(signal.SIGCONT)
            got = b""
            with contextlib.suppress(OSError):
                while ready(there, select.POLLIN):
                    part = there.recv(1 << 20)
                    assert part, f"an end behind {len(got)} bytes"
                    got += part
            assert got == data[:len(got)]
        whose = side if resets == "a" else other_side(side)
        assert both.daemon.wait_access()[-1]["end"] == f"{whose}_reset"


def end_and_reset(env, side):
    """The other one's end, and its reset as soon as it is sent something: the application has all that came
    before the end, and is not told of more."""
    with lane(env, side) as both:
        assert both.b.send(DATA[:50_000]) == 50_000
        both.a.send(b"unread")
        both.b.shutdown(socket.SHUT_WR)
        both.daemon.signal(signal.SIGSTOP)
        tcp.reset(both.b)
        with contextlib.suppress(OSError):
            both.a.send(b"told")
        both.daemon.signal(signal.SIGCONT)
        assert receive(both.a, 50_000) == DATA[:50_000]
        with contextlib.suppress(OSError):
            assert not both.a.recv(1)
        both.a.close()
    assert both.daemon.wait_access()[-1]["end"] in ("done", f"{other_side(side)}_reset")


def way_is_left(env, side):
    """While the lane is paused: it goes on, and what the application sends is copied."""
    with lane(env, side) as both:
        came, direct = fill_both(both)
        both.a.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
        assert receive(both.b, direct) == b"f" * direct
        assert ready(both.a, select.POLLOUT) and both.a.send(b"by TCP") == 6
        assert receive(both.b, 6) == b"by TCP"
        wait_until(lambda: both.left() == {"zerocopy"}, 10, "the way is left")
        assert receive(both.a, came) == DATA[:came]
        before = both.daemon.stats()

        def goes_on():
            both.exchange(1000)
            after = both.daemon.stats()
            return after["bytes_redirected"] > before["bytes_redirected"]
        wait_until(goes_on, 10, "the kernel moves what comes")
        assert both.daemon.stats()["bytes_bypassed"] == before["bytes_bypassed"]


@case(engines=("kernel",), debug=False)
def test_silence(env):
    """What either of them moves is no silence; nor is the one that goes on after an end."""
    limits = {"idle_timeout": "1200ms", "half_close_timeout": "500ms"}
    with lane(env, "client", listener=limits) as both:
        def moves(source, target, seconds):
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                assert source.send(b"m") == 1 and receive(target, 1) == b"m"
                time.sleep(0.05)
        moves(both.b, both.a, 1.5)
        both.b.shutdown(socket.SHUT_WR)
        assert ending(both.a) == "eof"
        moves(both.a, both.b, 0.8)
        assert ready(both.b, select.POLLHUP | select.POLLERR)
    assert both.daemon.wait_access()[-1]["end"] == "half_close_timeout"


def ended_by_the_daemon(env, side):
    """While both wait: at once, and nothing is left."""
    with lane(env, side) as both:
        fill_both(both)
        if side == "client":
            both.daemon.control("kill", str(both.daemon.sessions()[0]["id"]))
        else:
            both.daemon.signal(signal.SIGTERM)
            wait_until(lambda: both.daemon.status()["draining"], 10, "it drains")
            both.daemon.signal(signal.SIGTERM)
        for sock in (both.a, both.b):
            assert ready(sock, select.POLLHUP | select.POLLERR)
        if side == "server":
            assert both.daemon.wait_exit(10) == 0
    end = both.daemon.wait_access()[-1]["end"]
    assert end == ("killed" if side == "client" else "shutdown"), end


@case(engines=("kernel",), debug=False)
def test_small_segments(env):
    """A bulk of them that comes is copied, beside what goes directly."""
    with lane(env, "client") as both:
        before = both.daemon.stats()
        both.b.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sent, got, up = 0, b"", 0
        piece = DATA[:1 << 20]
        while len(got) < 24 << 20:
            for _ in range(64):
                at = sent % len(piece)
                with contextlib.suppress(BlockingIOError):
                    sent += both.b.send(piece[at:at + 1000])
            with contextlib.suppress(BlockingIOError):
                got += both.a.recv(1 << 20)
            if not up % 500:
                both.check_forward(1, 100)
            up += 1
        got += receive(both.a, sent - len(got))
        assert got == (piece * (sent // len(piece) + 1))[:sent]
        after = both.daemon.stats()
        assert after["bytes_copied"] - before["bytes_copied"] > 1 << 20, after
        both.check_forward(50)


for _test in (stopped_without_the_daemon, way_is_left):
    each_side(_test, core=("client",))
for _test in (full_both_ways, ends_with_backlog, resets_with_backlog, end_and_reset,
              ended_by_the_daemon):
    each_side(_test)


@case(engines=("kernel",), vm=False)
def test_the_lane_is_refused(env):
    """No socket may have a filter any more (optmem_max): what comes is copied, what is sent goes directly."""
    cgroup, net = env.cgroup(), env.network()
    with cgroup.inside():
        server = net.proxy.call(socket.create_server, ("127.0.0.1", 0))
    daemon = net.spliced(f"127.0.0.1:{server.getsockname()[1]}",
                         spliced={"bypass_cgroup": cgroup.path},
                         listener={"bind": "127.0.0.1:0", "local_bypass": "client"})
    with cgroup.inside():
        a = net.proxy.call(tcp.connect, daemon.address())
    with server, a, server.accept()[0] as b:
        wait_until(lambda: daemon.stats()["sessions_active"] == 1, 10, "it is there")
        if net.proxy.run("sysctl", "-qw", "net.core.optmem_max=64", check=False).returncode:
            env.skip("optmem_max is not a namespace's own on this kernel")
        a.setblocking(False)
        b.setblocking(False)

        def is_direct():
            for source, target in ((a, b), (b, a)):
                assert source.send(b"r" * 1000) == 1000 and receive(target, 1000) == b"r" * 1000
            return daemon.stats()["bytes_bypassed"] > 0
        wait_until(is_direct, 10, "one way is direct")
        assert not is_direct() or daemon.stats()["bytes_redirected"] == 0, daemon.stats()
        assert daemon.stats()["copy_reasons"]["refused"] == 1, daemon.stats()["copy_reasons"]
        session = daemon.sessions()[0]
        assert (session["engine"], session["engine_reason"]) == ("bypass", "refused"), session
        b.close()
        assert ending(a) == "eof"
    assert daemon.wait_access()[-1]["end"] == "done", daemon.access_log()
