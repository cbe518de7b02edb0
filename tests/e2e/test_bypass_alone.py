# SPDX-License-Identifier: GPL-2.0-or-later
"""One application that is joined alone, client or server, to what the daemon sends the other one by:
byte-exact, bounded, and ended as the peers ended it."""

import array
import contextlib
import fcntl
import os
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time

from lib import case, tcp, tls, wait_until
from lib.cgroup import TcpLimit
from lib.http import wait_requests
from lib.joined import Joined, each_side, ending, joined, other_side, ready, receive
from lib.programs import run
from lib.reloads import reload, text_of
from lib.scenarios import SCENARIOS
from lib.traffic import check_accounts, through

TCP_NOTSENT_LOWAT = 25
MSG_FASTOPEN = 0x20000000
SO_ZEROCOPY = 60


def end_of(both):
    """How the session ended; and whether all that the application sent went directly."""
    line = both.daemon.wait_access()[-1]
    return line["end"], line["bypass"]


# ---- bytes --------------------------------------------------------------------------------------


CHOSEN = {
    "client": ("hundred_sessions", "echo", "pingpong_small", "tiny_buffers", "early_data_big",
               "slow_server", "sleeping_server", "half_close_with_backlog_up",
               "half_close_client_concurrent", "reset_by_client", "reset_of_sleeping_server",
               "close_without_half_close"),
    "server": ("echo", "pingpong_large", "only_down", "server_first", "slow_client",
               "sleeping_client", "half_close_with_backlog_down", "half_close_server_concurrent",
               "reset_by_server", "reset_of_slow_reader"),
}
# Who has ended by the time the daemon gets to it is not joined: no sender's own socket takes all.
OPTIONS = {name: ("--sndbuf", "64K") for name in ("hundred_sessions", "server_first", "only_down")}
CORE = {("client", "slow_server"), ("client", "reset_of_sleeping_server"), ("server", "echo")}


def left_of(stats):
    return {why: number for why, number in stats["bypass_left"].items() if number}


def scenario_test(side, name):
    @case(engines=("kernel",), timeout=90, core=(side, name) in CORE, debug=False)
    def test(env):
        cgroup = env.cgroup()
        _, daemon = through(env, *SCENARIOS[name][1:], *OPTIONS.get(name, ()), prefix=cgroup.prefix(),
                            spliced={"bypass_cgroup": cgroup.path}, listener={"local_bypass": side})
        stats = daemon.stats()
        env.note(f"{stats['sessions_bypass']} bypassed, {stats['bytes_bypassed']} bytes, "
                 f"{stats['pauses']} pauses, not or no more: {left_of(stats)}")
        # Those that are reset may be over sooner.
        if not name.startswith("reset"):
            assert stats["sessions_bypass"] > 0 and stats["bytes_bypassed"] > 0, stats
    return test


for _side, _names in CHOSEN.items():
    for _name in _names:
        globals()[f"test_{_side}_{_name}"] = scenario_test(_side, _name)


def all_in_its_own_socket(env, side):
    """An application that has ended before the daemon got to it has nothing to send directly."""
    with joined(env, side=side, direct=False) as both:
        data = os.urandom(1 << 20)
        both.daemon.signal(signal.SIGSTOP)
        assert both.a.send(data) == len(data)
        both.a.shutdown(socket.SHUT_WR)
        both.daemon.signal(signal.SIGCONT)
        assert receive(both.b, len(data)) == data and ending(both.b) == "eof"
        both.b.close()
        assert ending(both.a) == "eof"
        assert end_of(both) == ("done", "half_closed")


each_side(all_in_its_own_socket)


def what_comes(env, side):
    """It is the kernel's: as long as it reads slowly, while what it sends goes directly; and to its
    end, behind which the other way goes on."""
    with joined(env, side=side, splice_window="256K", splice_low="128K", splice_high="256K",
                splice_hard="1M") as both:
        wait_until(lambda: both.exchange() or both.daemon.stats()["bytes_redirected"] > 0, 10,
                   "the kernel moves what comes")
        before = both.daemon.stats()
        for _ in range(100):
            both.exchange(1000)
        after = both.daemon.stats()
        moved = {how: after[f"bytes_{how}"] - before[f"bytes_{how}"]
                 for how in ("redirected", "bypassed", "copied")}
        assert moved == {"redirected": 100000, "bypassed": 100000, "copied": 0}, moved
        session = both.daemon.sessions()[0]
        assert session["engine"] == "bypass" and not session["engine_reason"], session

        both.a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 19)
        data, sent = os.urandom(32 << 20), 0
        while ready(both.b, select.POLLOUT, 0.3) and sent < len(data):
            sent += both.b.send(data[sent:])
        # What its own TCP takes, and the daemon's.
        assert sent < len(data), sent
        both.check_forward(50)
        got = receive(both.a, sent)
        both.b.setblocking(True)
        rest = threading.Thread(target=both.b.sendall, args=(data[sent:],))
        rest.start()
        got += receive(both.a, len(data) - sent)
        rest.join()
        assert got == data
        both.b.setblocking(False)
        both.b.shutdown(socket.SHUT_WR)
        assert ending(both.a) == "eof"
        both.check_forward(50)
        both.a.close()
        assert ending(both.b) == "eof"
        assert end_of(both) == ("done", "yes")


each_side(what_comes, core=("client", "server"))


def answers_in_small_segments(env, side):
    """Each is for a request that went directly: they are no bulk, and stay the kernel's."""
    with joined(env, side=side) as both:
        for sock in (both.a, both.b):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wait_until(lambda: both.exchange() or both.daemon.stats()["bytes_redirected"] > 0, 10,
                   "the kernel moves what comes")
        before, number = both.daemon.stats(), 16
        for _ in range(8192 // number):
            for source, target, size in ((both.a, both.b, 100), (both.b, both.a, 4000)):
                for _ in range(number):
                    assert source.send(b"m" * size) == size
                assert receive(target, number * size) == b"m" * number * size
        after = both.daemon.stats()
        assert after["bytes_copied"] == before["bytes_copied"], (before, after)
        assert after["bytes_bypassed"] - before["bytes_bypassed"] == 8192 * 100
        assert not both.left(), both.left()


each_side(answers_in_small_segments)


@case(engines=("copy",))
def test_beside_the_copy_engine(env):
    """Who is not joined is copied, and so is what comes for the one that is."""
    cgroup = env.cgroup()
    _, daemon = through(env, "--sessions", 8, "--bytes-up", "8M", "--bytes-down", "8M",
                        prefix=cgroup.prefix(), spliced={"bypass_cgroup": cgroup.path},
                        listener={"local_bypass": "client"})
    stats = daemon.stats()
    assert stats["sessions_bypass"] > 0 and stats["bytes_bypassed"] > 8 << 20, stats
    lines = [line for line in daemon.access_log() if line["engine"] == "bypass"]
    assert all(int(line["bytes_down"]) == 8 << 20 for line in lines), lines


# ---- another host -------------------------------------------------------------------------------


def far(env, side, *options, wmem=None, off=()):
    """What the daemon sends crosses a network; the application's own network is another one, too."""
    cgroup, network = env.cgroup(), env.network(joined=True)
    if wmem:
        network.proxy.run("sysctl", "-qw", f"net.ipv4.tcp_wmem={wmem}")
    if off:
        network.turn_off(*off)
    load = env.load(*options, listen=f"{network.backend_address()}:0",
                    prefix=[*cgroup.prefix(), *network.client.command()])
    daemon = network.spliced(load.backends, spliced={"bypass_cgroup": cgroup.path},
                             listener={"local_bypass": side})
    load.go(daemon.address())
    check_accounts(env, daemon, load.ok())
    stats = daemon.stats()
    env.note(f"{stats['sessions_bypass']} bypassed, {stats['bytes_bypassed']} bytes, "
             f"{stats['pauses']} pauses, {stats['bypass_left']['full']} full")
    return stats


def large_writes(env, side):
    """Of any size, some larger than what the far side's socket has room for at first."""
    stats = far(env, side, "--sessions", 4, "--bytes-up", "20M", "--bytes-down", "20M",
                "--write-size", "1-200K")
    assert stats["sessions_bypass"] > 0, stats


def slow_far_readers(env, side):
    stats = far(env, side, "--sessions", 8, "--slow-reader", "both", "4M", "--bytes-up", "6M",
                "--bytes-down", "6M")
    assert stats["bytes_bypassed"] > 0 and stats["pauses"] > 0, stats


def small_segments(env, side):
    """Each has a head in the far side's socket."""
    stats = far(env, side, "--sessions", 4, "--bytes-up", "20M", "--bytes-down", "20M",
                "--write-size", "1-30000", off=("tso", "gso", "gro"))
    assert stats["bytes_bypassed"] > 0, stats


each_side(large_writes, timeout=90)
each_side(slow_far_readers, timeout=90, core=("client",))
each_side(small_segments, timeout=90)


@contextlib.contextmanager
def to_another_network(env):
    """(daemon, client, server's end): the client beside the daemon, whose sockets are small."""
    cgroup, network = env.cgroup(), env.network()
    network.proxy.run("sysctl", "-qw", "net.ipv4.tcp_wmem=4096 131072 131072")
    server = network.backend.call(socket.create_server, (network.backend_address(), 0))
    daemon = network.spliced(f"{network.backend_address()}:{server.getsockname()[1]}",
                             spliced={"bypass_cgroup": cgroup.path},
                             listener={"local_bypass": "client"})
    with cgroup.inside():
        a = network.proxy.call(tcp.connect, daemon.address())
    with server, a, server.accept()[0] as b:
        a.setblocking(False)
        b.setblocking(False)
        yield daemon, a, b


@case(engines=("kernel",), timeout=60)
def test_a_server_of_another_network(env):
    """A client beside the daemon; one message that is larger than the daemon's socket may be."""
    data = os.urandom(1 << 20)
    with to_another_network(env) as (daemon, a, b):

        def is_direct():
            assert a.send(data[:1000]) == 1000 and receive(b, 1000) == data[:1000]
            assert b.send(b"answer") == 6 and receive(a, 6) == b"answer"
            return daemon.stats()["bytes_bypassed"] > 0
        wait_until(is_direct, 10, "it is joined")
        sent, got = 0, b""
        while sent < len(data):
            assert ready(a, select.POLLOUT)
            sent += a.send(data[sent:])
            got += receive(b, sent - len(got))
        assert got == data
        assert daemon.stats()["bypass_left"]["full"] == 1, daemon.stats()["bypass_left"]
        a.close()
        assert ending(b) == "eof"
    assert daemon.wait_access()[-1]["bypass"] == "full", daemon.access_log()


@case(engines=("kernel",), timeout=60)
def test_a_socket_that_is_too_small(env):
    """For as many messages as may come before their sender is stopped: the way is left before any goes directly."""
    data = os.urandom(60_000)
    with to_another_network(env) as (daemon, a, b):
        sent = 0
        while not daemon.stats()["bypass_left"]["full"]:
            assert sent < 400 * len(data), daemon.stats()
            at = sent % len(data)
            assert ready(a, select.POLLOUT)
            n = a.send(data[at:])
            assert receive(b, n) == data[at:at + n]
            sent += n
        assert daemon.stats()["bytes_bypassed"] == 0, daemon.stats()
        a.close()
        assert ending(b) == "eof"
    line = daemon.wait_access()[-1]
    assert line["bypass"] == "full" and line["bytes_up"] == str(sent), line


@case(engines=("kernel",), timeout=60)
def test_the_check_fails(env):
    """Where sockets are too small for it, one application alone is not joined, which the log and the
    doctor say; two are."""
    cgroup, network, data = env.cgroup(), env.network(), os.urandom(1000)
    network.proxy.run("sysctl", "-qw", "net.ipv4.tcp_wmem=4096 16384 16384")
    with cgroup.inside():
        server = network.proxy.call(socket.create_server, ("127.0.0.1", 0))
    daemon = network.spliced(f"127.0.0.1:{server.getsockname()[1]}",
                             spliced={"bypass_cgroup": cgroup.path},
                             listener={"bind": "127.0.0.1:0", "local_bypass": "client"},
                             more={"listener two": {"bind": "127.0.0.1:0", "pool": "main",
                                                    "local_bypass": "both"}})
    checks = {check["name"]: check["answer"] for check in daemon.control("doctor")["checks"]}
    assert [checks[f"bypass_{name}"] for name in ("account", "tokens", "end", "outlet")] == \
        ["yes", "yes", "yes", "no"], checks
    assert "there is no bypass of one application alone: bypass_outlet: " in \
        daemon.log_path.read_text(), daemon.log_tail()
    with server:
        for number, (listener, expected) in enumerate((("web", ("kernel", None)),
                                                       ("two", ("bypass", "yes")))):
            with cgroup.inside():
                a = network.proxy.call(tcp.connect, daemon.address(listener))
                b = server.accept()[0]
            with a, b:
                a.setblocking(False)
                b.setblocking(False)
                for _ in range(200):
                    for source, target in ((a, b), (b, a)):
                        assert source.send(data) == len(data)
                        assert receive(target, len(data)) == data
                a.close()
                assert ending(b) == "eof"
            line = daemon.wait_access(number + 1)[-1]
            assert (line["engine"], line.get("bypass")) == expected, line
            assert line["bytes_up"] == line["bytes_down"] == str(200 * len(data)), line


def ipv6(env, side):
    with joined(env, side=side, host="::1") as both:
        both.check_direct()


each_side(ipv6)


# ---- memory -------------------------------------------------------------------------------------


def unread_of(sock):
    n = array.array("i", [0])
    fcntl.ioctl(sock.fileno(), termios.FIONREAD, n)
    return n[0]


def sleeping_far_reader(env, side):
    """Nothing waits for it but what its own TCP has taken, the mark, and a few messages."""
    with joined(env, side=side) as both:
        for _ in range(5):
            sent = both.fill()
            # What is on its way by then arrives, as far as the reader's window reaches.
            wait_until(lambda: sent - unread_of(both.b) < (64 << 10) + 6 * 50_000, 10,
                       f"most of {sent} bytes wait there")
            env.note(f"{sent} sent, {unread_of(both.b)} unread")
            assert receive(both.b, sent) == b"f" * sent
            assert ready(both.a, select.POLLOUT), "there is no room"
        both.check_direct()
        assert not both.left(), both.left()


def refused_memory(env, side):
    """The cgroup of the application may have no more: it is told to wait, as by TCP."""
    whose = "connecting" if side == "client" else "accepting"
    data = os.urandom(1 << 20)
    with contextlib.closing(TcpLimit("sender", 1 << 30)) as limit, \
            joined(env, side=side, **{whose: limit.inside()}) as both:
        limit.set(limit.used() + 65536)
        sent, got = 0, b""
        while sent < len(data):
            assert ready(both.a, select.POLLOUT)
            with contextlib.suppress(BlockingIOError):
                sent += both.a.send(data[sent:sent + 50_000])
            got += receive(both.b, sent - len(got))
        assert got == data
        assert both.left() == {"memory"}, both.left()
        both.exchange()


def others_that_stop(daemon, server, number):
    """Sessions of another listener, whose clients read nothing of what they are sent."""
    pairs = []
    for _ in range(number):
        client = tcp.connect(daemon.address("other"))
        pairs.append((client, server.accept()[0]))
        pairs[-1][1].setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                pairs[-1][1].send(b"o" * 65536)
    return pairs


def send_buffer(sock):
    """Of the daemon's socket at its other end: (what it may take, what it has), in bytes."""
    ends = [f"{host}:{port}" for host, port in (sock.getpeername(), sock.getsockname())]
    shown = run("ss", "-Htnm", "state", "established", "src", ends[0], "dst", ends[1]).stdout
    return tuple(int(re.search(rf"\b{name}(\d+)", shown)[1]) for name in ("tb", "w"))


@contextlib.contextmanager
def scarce(env, side, **options):
    """Two that are joined, and what makes memory scarce: it returns the send buffer before that."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))
        other = {"listener other": {"bind": "127.0.0.1:0", "pool": "other"},
                 "pool other": {"server": f"s 127.0.0.1:{server.getsockname()[1]}"}}
        both = stack.enter_context(joined(env, side=side, memory_max="64M", more=other, **options))

        def begin():
            before, _ = send_buffer(both.b)
            others = others_that_stop(both.daemon, server, 60)
            for pair in others:
                for sock in pair:
                    stack.enter_context(sock)
            wait_until(lambda: send_buffer(others[0][1])[0] < before, 20, "others have less")
            wait_until(lambda: send_buffer(others[-1][1])[0] < before, 20, "others have less")
            return before
        yield both, begin


def memory_is_scarce(env, side):
    """The daemon leaves the room that a message may have been promised, and uses less of it."""
    with scarce(env, side) as (both, begin):
        before = begin()
        assert send_buffer(both.b)[0] >= before, (before, send_buffer(both.b))
        sent = both.fill(5000)
        _, has = send_buffer(both.b)
        env.note(f"{before} bytes of room; {sent} sent, {has} wait there")
        assert has < before // 2, (before, has)
        assert receive(both.b, sent) == b"f" * sent and ready(both.a, select.POLLOUT)
        both.check_direct()
        assert not both.left(), both.left()
        both.a.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
        both.exchange()
        wait_until(lambda: send_buffer(both.b)[0] < before, 10, "it has less when the way is left")
        both.exchange()


def memory_is_scarce_before(env, side):
    """The daemon fills that room itself, for a reader that sleeps: it goes on with less."""
    with scarce(env, side, direct=False) as (both, begin):
        both.exchange()
        # There is no room for two of these.
        sent = both.fill(200_000)
        assert both.daemon.stats()["sessions_bypass"] == 1, both.daemon.stats()
        before = begin()
        wait_until(lambda: send_buffer(both.b)[0] < before, 10, "it has less, too")
        assert both.left() == {"memory"}, both.left()
        assert receive(both.b, sent) == b"f" * sent
        both.exchange()


each_side(sleeping_far_reader, core=("client",))
def refused_memory_outside(env, side):
    """The daemon's cgroup may have no more: who finds its own socket writable is not told to wait."""
    class Limited(Joined):
        def _inside(self, which):
            # What the daemon accepts and connects from now on is charged there.
            if which == "client":
                for pid in self.daemon.worker_pids():
                    (limit.path / "cgroup.procs").write_text(str(pid), encoding="ascii")
            return super()._inside(which)

    with contextlib.closing(TcpLimit("daemon", 1 << 30)) as limit, contextlib.ExitStack() as stack:
        both = Limited(env, side=side)
        stack.callback(both.daemon.stop)
        stack.enter_context(contextlib.closing(both))
        sent = both.fill(5000)
        assert limit.used() > 0
        assert receive(both.b, sent) == b"f" * sent
        limit.set(limit.used() + 65536)
        for _ in range(20):
            assert ready(both.a, select.POLLOUT) and both.a.send(b"m" * 100) == 100
            assert receive(both.b, 100) == b"m" * 100
        assert both.left() == {"memory"}, both.left()
        both.exchange(5000)


each_side(memory_is_scarce, timeout=60)
each_side(memory_is_scarce_before, timeout=60)
each_side(refused_memory)
each_side(refused_memory_outside)


# ---- ends ---------------------------------------------------------------------------------------


def application_ends_first(env, side):
    """While it is stopped: its end comes behind all that it has sent; then the other one's last words."""
    with joined(env, side=side) as both:
        sent = both.fill()
        both.a.shutdown(socket.SHUT_WR)
        assert receive(both.b, sent) == b"f" * sent and ending(both.b) == "eof"
        assert both.b.send(b"w" * 100_000) == 100_000
        both.b.close()
        assert receive(both.a, 100_000) == b"w" * 100_000 and ending(both.a) == "eof"
        assert end_of(both) == ("done", "yes")


def other_one_ends_first(env, side):
    with joined(env, side=side) as both:
        both.b.shutdown(socket.SHUT_WR)
        assert ending(both.a) == "eof"
        for _ in range(3):
            sent = both.fill()
            assert receive(both.b, sent) == b"f" * sent
            assert ready(both.a, select.POLLOUT)
        both.a.close()
        assert ending(both.b) == "eof"
        assert end_of(both) == ("done", "yes")


def application_resets(env, side):
    with joined(env, side=side) as both:
        both.a.send(b"x" * 1000)
        receive(both.b, 1000)
        tcp.reset(both.a)
        assert ending(both.b) == "reset"
        assert end_of(both)[0] == f"{side}_reset"


def refused_message(env, side):
    """The kernel refuses what the program has let pass, and says so: it is not counted."""
    with joined(env, side=side) as both:
        both.check_direct()
        sent = both.daemon.sessions()[0][f"bytes_{direction(side)}"]
        for number in range(4):
            try:
                assert both.a.send(b"x" * 1000, MSG_FASTOPEN) == 1000
            except OSError:
                pass
            else:
                # The first one is told that a connect has succeeded that did not wait for that.
                assert not number and receive(both.b, 1000) == b"x" * 1000
                sent += 1000
            both.check_direct()
            sent += 100
        both.a.close()
        assert ending(both.b) == "eof"
        both.b.close()
        assert end_of(both) == ("done", "yes")
        line, stats = both.daemon.wait_access()[-1], both.daemon.stats()
        assert line[f"bytes_{direction(side)}"] == str(sent), (sent, line)
        moved = sum(stats[f"bytes_{how}"] for how in ("copied", "redirected", "bypassed"))
        assert moved == sum(int(line[f"bytes_{d}"]) for d in ("up", "down")), (stats, line)


def direction(side):
    return "up" if side == "client" else "down"


def other_one_resets(env, side):
    with joined(env, side=side) as both:
        tcp.reset(both.b)
        assert ending(both.a) == "reset"
        assert end_of(both)[0] == f"{other_side(side)}_reset"


def other_one_resets_meanwhile(env, side):
    """The application's sends may be told of it before the daemon is: that is no proper end."""
    with joined(env, side=side) as both, contextlib.suppress(OSError):
        both.a.send(b"m" * 1000)
        tcp.reset(both.b)
        while True:
            with contextlib.suppress(BlockingIOError):
                both.a.send(b"m" * 100)
    assert end_of(both)[0] == f"{other_side(side)}_reset"


def other_one_resets_when_half_closed(env, side):
    """Its own stream was over: what it is sent cannot be delivered, and that is told."""
    with joined(env, side=side) as both:
        both.b.shutdown(socket.SHUT_WR)
        assert ending(both.a) == "eof"
        both.fill()
        tcp.reset(both.b)
        assert ready(both.a, select.POLLHUP | select.POLLERR), "it was not told"
        assert end_of(both)[0] == f"{other_side(side)}_reset"


def application_closes_with_bytes_unread(env, side):
    with joined(env, side=side) as both:
        both.b.send(b"unread")
        assert ready(both.a, select.POLLIN)
        both.a.close()
        assert ending(both.b) == "reset"
        assert end_of(both)[0] == f"{side}_reset"


def other_one_closes_with_bytes_unread(env, side):
    with joined(env, side=side) as both:
        both.a.send(b"unread")
        assert ready(both.b, select.POLLIN)
        both.b.close()
        assert ending(both.a) == "reset"
        assert end_of(both)[0] == f"{other_side(side)}_reset"


def daemon_is_killed(env, side):
    """No sender waits for what will never come."""
    with joined(env, side=side) as both:
        both.fill()
        both.daemon.kill()
        assert ready(both.a, select.POLLHUP | select.POLLERR | select.POLLRDHUP), "it waits"


def daemon_drains(env, side):
    """A session that is there goes on to its end."""
    with joined(env, side=side, shutdown_grace="120s") as both:
        both.daemon.signal(signal.SIGTERM)
        wait_until(lambda: both.daemon.status()["draining"], 10, "it drains")
        both.check_direct()
        both.a.close()
        assert ending(both.b) == "eof"
        both.b.close()
        assert both.daemon.wait_exit(20) == 0
        assert end_of(both) == ("done", "yes")


for _test in (refused_message, application_ends_first, other_one_ends_first, application_resets, other_one_resets,
              other_one_resets_meanwhile, other_one_resets_when_half_closed,
              application_closes_with_bytes_unread, other_one_closes_with_bytes_unread,
              daemon_is_killed, daemon_drains):
    each_side(_test)


KILLED = """
import select, socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
s.setblocking(False)
for i in range(30):
    s.send(b"k" * 1000)
    time.sleep(0.01)
sent = 30000
while select.select([], [s], [], 0.5)[1]:
    try:
        sent += s.send(b"k" * 20000)
    except BlockingIOError:
        pass
print(sent, flush=True)
time.sleep(60)
"""


@case(engines=("kernel",))
def test_the_application_is_killed(env):
    """While it waits: what it has sent comes, and then the end."""
    cgroup = env.cgroup()
    with socket.create_server(("127.0.0.1", 0)) as server:
        daemon = env.spliced(f"127.0.0.1:{server.getsockname()[1]}",
                             spliced={"bypass_cgroup": cgroup.path},
                             listener={"local_bypass": "client"})
        client = subprocess.Popen([*cgroup.prefix(), sys.executable, "-c", KILLED,
                                   *daemon.address().split(":")], stdout=subprocess.PIPE, text=True)
        server.settimeout(20)
        with server.accept()[0] as sock:
            sent = int(client.stdout.readline())
            env.note(f"{sent} sent, {unread_of(sock)} unread")
            assert daemon.stats()["sessions_bypass"] == 1, daemon.stats()
            client.kill()
            client.wait()
            assert receive(sock, sent) == b"k" * sent and ending(sock) == "eof"
    assert daemon.wait_access()[-1]["end"] == "done", daemon.access_log()
    wait_until(lambda: not any(daemon.map_entries().values()), 5, "the maps are empty again")


# ---- who is joined ------------------------------------------------------------------------------


def others_are_untouched(env, side):
    """The other one, though it is in the cgroup as well, is in no map of sockets: what the kernel
    counts unread there is right."""
    with joined(env, side=side) as both:
        both.check_direct()
        both.a.send(b"u" * 1000)
        wait_until(lambda: unread_of(both.b) == 1000, 10, "1000 bytes are unread")


def in_the_cgroup_both(env, side):
    """The one that is named is joined, and no more."""
    class Both(Joined):
        def _inside(self, side):
            return self.cgroup.inside()

    with contextlib.closing(Both(env, side=side)) as both:
        both.check_direct()
        both.a.send(b"u" * 1000)
        wait_until(lambda: unread_of(both.b) == 1000, 10, "1000 bytes are unread")


def not_in_the_cgroup(env, side):
    """The other one alone is: nobody is joined."""
    with joined(env, side=other_side(side), direct=False,
                listener={"local_bypass": side}) as both:
        for _ in range(30):
            both.exchange(5000)
        assert both.daemon.stats()["sessions_bypass"] == 0, both.daemon.stats()
        assert both.left() == {"not_local"}, both.left()
        assert both.daemon.stats()["bypass_left"]["not_local"] == 1, both.daemon.stats()


def blocks(env, side):
    """Without O_NONBLOCK it is left out; one that loses it leaves when it has to wait."""
    with joined(env, side=side) as both:
        both.a.setblocking(True)
        both.a.settimeout(None)
        sent = 0
        while not both.left():
            sent += both.a.send(b"b" * 20_000)
            if sent > 1 << 20 and not both.left():
                receive(both.b, 20_000)
                sent -= 20_000
        assert both.left() == {"blocking"}, both.left()
        receive(both.b, sent)
        both.exchange()


def own_low_mark(env, side):
    with joined(env, side=side) as both:
        both.a.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1 << 20)
        both.exchange()
        wait_until(lambda: both.left() == {"own_lowat"}, 10, "the way is left")
        both.exchange()
        both.a.close()
        assert ending(both.b) == "eof"
        both.b.close()
        assert end_of(both) == ("done", "own_lowat")


def zerocopy(env, side):
    with joined(env, side=side) as both:
        both.a.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
        both.exchange()
        wait_until(lambda: both.left() == {"zerocopy"}, 10, "the way is left")
        both.exchange()


for _test in (others_are_untouched, in_the_cgroup_both, not_in_the_cgroup, blocks, own_low_mark,
              zerocopy):
    each_side(_test)


@case(engines=("kernel",))
def test_trusted_and_blocking(env):
    with joined(env, side="client", blocking=True) as both:
        both.check_direct()
        data = os.urandom(8 << 20)
        pid = os.fork()
        if not pid:
            with contextlib.suppress(OSError):
                both.a.sendall(data)
            os._exit(0)
        both.b.setblocking(False)
        assert receive(both.b, len(data)) == data
        os.waitpid(pid, 0)
        assert not both.left(), both.left()


@case(engines=("kernel",))
def test_idle_timeout(env):
    """What the application sends is movement, though the daemon sees none of it."""
    with joined(env, side="client", listener={"idle_timeout": "1s"}) as both:
        for _ in range(20):
            both.a.send(b"i" * 10)
            receive(both.b, 10)
            time.sleep(0.1)
        both.check_direct()
        assert ready(both.a, select.POLLHUP | select.POLLERR | select.POLLIN)
        assert end_of(both)[0] == "idle_timeout"


@case(engines=("kernel",))
def test_reload(env):
    """Which side is joined changes, for those that come then."""
    cgroup = env.cgroup()
    address, holder = tcp.free_port()
    holder.close()
    with socket.create_server(("127.0.0.1", 0)) as server:
        daemon = env.spliced(f"127.0.0.1:{server.getsockname()[1]}", listener={"bind": address},
                             spliced={"bypass_cgroup": cgroup.path},
                             more={"listener first": {"bind": "127.0.0.1:0", "pool": "main",
                                                      "local_bypass": "both"}})
        text = text_of(daemon)
        for number, (side, word) in enumerate((("server", "not_local"), ("client", "yes"),
                                               ("no", None), ("client", "yes"))):
            reload(daemon, text.replace("[listener web]", f"[listener web]\nlocal_bypass = {side}"))
            with cgroup.inside():
                a = tcp.connect(address)
            with a, server.accept()[0] as b:
                a.setblocking(False)
                for _ in range(50):
                    a.send(b"r" * 1000)
                    receive(b, 1000)
                    b.send(b"r" * 1000)
                    receive(a, 1000)
            line = daemon.wait_access(number + 1)[-1]
            assert line.get("bypass") == word, (side, line)


# ---- tunnels ------------------------------------------------------------------------------------


UPGRADE = (b"GET / HTTP/1.1\r\nHost: tunnel.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
           b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
CONNECT = (b"CONNECT tunnel.test:80 HTTP/1.1\r\nHost: tunnel.test:80\r\n\r\n",
           b"HTTP/1.1 200 Connection established\r\n\r\n")
HELLO = tls.records(tls.usual("tunnel.test"))


def until(sock, end):
    """What comes up to there."""
    got = b""
    while not got.endswith(end):
        got += receive(sock, 1)
    return got


def tunnel(env, side, first, answer, **listener):
    """A session whose first bytes route it; then it is one of two sockets like any other."""
    cgroup = env.cgroup()

    def place(which):
        return cgroup.inside() if which == side else contextlib.nullcontext()

    with place("server"):
        server = socket.create_server(("127.0.0.1", 0))
    if "route" in listener:
        listener["pool"] = None
    daemon = env.spliced(f"127.0.0.1:{server.getsockname()[1]}",
                         spliced={"bypass_cgroup": cgroup.path},
                         listener={"local_bypass": side, **listener})
    with place("client"):
        client = tcp.connect(daemon.address())
    client.sendall(first)
    with server, client, server.accept()[0] as peer:
        until(peer, first[-4:])
        peer.sendall(answer)
        assert until(client, answer[-4:]).endswith(answer[-4:])
        client.setblocking(False)
        peer.setblocking(False)

        def is_direct():
            before = daemon.stats()["bytes_bypassed"]
            for source, target in ((client, peer), (peer, client)):
                assert source.send(b"t" * 1000) == 1000
                assert receive(target, 1000) == b"t" * 1000
            return daemon.stats()["bytes_bypassed"] - before == 1000
        wait_until(is_direct, 10, "bytes go directly")
        client.shutdown(socket.SHUT_WR)
        assert ending(peer) == "eof"
        assert peer.send(b"bye!") == 4
        peer.close()
        assert receive(client, 4) == b"bye!" and ending(client) == "eof"
    line = (wait_requests(daemon, 1) if listener["protocol"] == "http" else daemon.wait_access())[-1]
    assert (line["engine"], line["bypass"], line["end"]) == ("bypass", "yes", "done"), line


def upgrade(env, side):
    tunnel(env, side, *UPGRADE, protocol="http")


def connect(env, side):
    tunnel(env, side, *CONNECT, protocol="http", route="method:CONNECT -> main")


def server_name(env, side):
    tunnel(env, side, HELLO, b"answer", protocol="tls", route="sni:tunnel.test -> main")


def found_by_auto(env, side):
    tunnel(env, side, HELLO, b"answer", protocol="auto")


for _test in (upgrade, connect, server_name, found_by_auto):
    each_side(_test)
