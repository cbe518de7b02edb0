# SPDX-License-Identifier: GPL-2.0-or-later
"""Other programs' sockops in the daemon's cgroup.

Streams leave the kernel under their socket's lock because the daemon's own sockops program is
called for that; these keep it from being attached, or from being called.
"""

import contextlib
import os
import socket
import time

from lib import case, connect, read_exactly, wait_until
from lib.foreign import Cgroup
from lib.traffic import check_accounts

MARKS = {"splice_high": "128K", "splice_low": "64K", "splice_hard": "8M"}
LOAD = ("--sessions", 8, "--bytes-up", "24M", "--bytes-down", "24M")


def warnings(daemon, *words):
    return [line for line in daemon.log() if all(word in line for word in words)]


def run_load(env, daemon, load):
    load.go(daemon.address())
    check_accounts(env, daemon, load.ok())


@case(engines=("kernel",), timeout=90, vm=False)
def test_not_attached(env):
    """One that is alone in the cgroup: the daemon says so, and what follows, and counts it."""
    with Cgroup(env) as cgroup:
        cgroup.attach()
        load = env.load(*LOAD)
        daemon = env.spliced(load.backends, spliced=MARKS, prefix=cgroup.command())
        assert len(warnings(daemon, "sockops is not attached")) == 1, daemon.log_tail()
        answer = daemon.control("doctor")
        assert [c["answer"] for c in answer["checks"] if c["name"] == "sockops"] == ["no"], answer
        run_load(env, daemon, load)
        stats = daemon.stats()
        assert stats["pauses"] and stats["unlocked_deletes"] >= stats["pauses"], stats
        assert stats["verdicts"]["left"] == stats["verdicts"]["stopped"] == 0, stats
        daemon.check_and_end()


@case(engines=("kernel",), vm=False)
def test_as_many_as_may_be(env):
    """The kernel's word for that is "Argument list too long"."""
    with Cgroup(env) as cgroup:
        assert cgroup.fill() == 64
        daemon = env.spliced(env.backend().address, prefix=cgroup.command())
        for what in "sockops is not attached", "accepted sockets are not marked":
            told = warnings(daemon, what)
            assert len(told) == 1 and "as many as the kernel lets it have" in told[0], daemon.log_tail()
        daemon.check_and_end()


@case(engines=("kernel",), timeout=90, vm=False)
def test_a_segment_is_lost(env):
    """A sender on this host fills a small window in the moment between the daemon's look and the delete: the
    session ends with a reset then, and what comes behind the segment is not delivered."""
    data = os.urandom(1 << 20) * 2
    small = {"splice_low": "64K", "splice_high": "128K", "splice_hard": "256K",
             "splice_window": "64K", "engage_after": "0"}
    with Cgroup(env) as cgroup, socket.create_server(("127.0.0.1", 0)) as server:
        cgroup.attach()
        daemon = env.spliced(f"127.0.0.1:{server.getsockname()[1]}", spliced=small,
                             prefix=cgroup.command())
        daemon.allow_integrity_aborts = True
        flows, resets, until = [], 0, time.monotonic() + 3
        while time.monotonic() < until and not resets:
            while len(flows) < 6:
                reader = env.keep(connect(daemon.address()))
                sender = env.keep(server.accept()[0])
                reader.setblocking(False)
                sender.setblocking(False)
                flows.append([reader, sender, 0, 0])
            for flow in flows:
                reader, sender, sent, got = flow
                try:
                    with contextlib.suppress(BlockingIOError):
                        for _ in range(300):
                            at = sent % (1 << 20)
                            sent += sender.send(data[at:at + 30_000])
                    with contextlib.suppress(BlockingIOError):
                        for _ in range(5):
                            part, at = reader.recv(65536), got % (1 << 20)
                            assert part and part == data[at:at + len(part)], f"wrong after {got}"
                            got += len(part)
                except ConnectionError:
                    resets += 1
                    flow[0].close()
                flow[2:] = sent, got
            flows = [flow for flow in flows if flow[0].fileno() >= 0]
        stats = daemon.stats()
        env.note(f"{stats['unlocked_deletes']} deletes, {resets} resets")
        assert stats["unlocked_deletes"] > 0, stats
        wait_until(lambda: daemon.stats()["integrity_aborts"] >= resets, 5, "each is accounted for")
        daemon.check_and_end()


@case(engines=("kernel",), timeout=90, vm=False)
def test_attached(env):
    """Alone in it, the daemon's own is called for each."""
    with Cgroup(env) as cgroup:
        load = env.load(*LOAD)
        daemon = env.spliced(load.backends, spliced=MARKS, prefix=cgroup.command())
        run_load(env, daemon, load)
        stats = daemon.stats()
        verdicts = stats["verdicts"]
        assert stats["pauses"] and verdicts["left"] + verdicts["stopped"] >= stats["pauses"], stats
        assert stats["unlocked_deletes"] == verdicts["unheard"] == 0, stats
        assert not warnings(daemon, "sockops"), daemon.log_tail()
        daemon.check_and_end()


@case(engines=("kernel",), timeout=90, vm=False)
def test_flags_cleared(env):
    """One that comes when the daemon runs and clears the callback flags of its sockets: that is
    noticed with the first bytes, told once, and sessions are copied from then on."""
    with Cgroup(env) as cgroup:
        load, backend = env.load(*LOAD), env.backend()
        daemon = env.spliced([load.backends[0]], spliced=MARKS, prefix=cgroup.command(),
                             more={"listener echo": {"bind": "127.0.0.1:0", "pool": "echo"},
                                   "pool echo": {"server": f"e {backend.address}"}})
        before = env.keep(connect(daemon.address("echo")))
        before.sendall(b"before")
        assert before.recv(6) == b"before"
        cgroup.attach("multi")
        first = env.keep(connect(daemon.address("echo")))

        def noticed():
            first.sendall(b"first")
            assert read_exactly(first, 5) == b"first"
            return daemon.stats()["verdicts"]["unheard"] > 0
        wait_until(noticed, 10, "the flags are looked at")
        load.go(daemon.address())
        result = load.ok()
        stats = daemon.stats()
        # Of the first one the direction back, too, if it was given to the kernel after its bytes.
        assert stats["copy_reasons"]["unlocked"] in (2 * 8, 2 * 8 + 1), stats["copy_reasons"]
        assert stats["bytes_copied"] >= 8 * 2 * 24 << 20, (stats["bytes_copied"], result)
        assert stats["unlocked_deletes"] == 0, stats
        assert len(warnings(daemon, "cleared the callback flags")) == 1, daemon.log_tail()
        found = daemon.sessions()
        assert len(found) == 2 and {s["engine"] for s in found} == {"kernel"}, found
        # Those that the kernel has go on there, and end as they should.
        for sock in (before, first):
            sock.sendall(b"end")
            assert sock.recv(3) == b"end"
            sock.close()
        wait_until(lambda: daemon.stats()["sessions_active"] == 0, 5, "they are over")
        assert {line["end"] for line in daemon.access_log()} == {"done"}
        daemon.check_and_end()


@case(engines=("kernel",), timeout=60, vm=False)
def test_flags_cleared_before_the_start(env):
    """The canary finds it, and names it."""
    with Cgroup(env) as cgroup:
        cgroup.attach("multi")
        daemon = env.spliced(env.backend().address, prefix=cgroup.command(),
                             spliced={"engine": "auto"}, start=False).start()
        status = daemon.status()
        assert status["engine"] == "copy" and "callback flags" in status["canary"], status
        daemon.check_and_end()
