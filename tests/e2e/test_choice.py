# SPDX-License-Identifier: GPL-2.0-or-later
"""engine = auto: who moves a stream is who does it cheaper, for what the stream does now."""

import time

from lib import case, connect, read_exactly, wait_until
from lib.traffic import through

KIB = 1 << 10
# Every second segment is a reason to copy, every read one to go back to the kernel.
RESTLESS = {"SPLICED_DEBUG": "check-bytes,restless"}
CROWD = 6   # sessions of one worker; fewer than four are not worth its waking up


def exchange(socks, size, number):
    """Round trips of so many bytes, of all at a time, which must come back."""
    for i in range(number):
        data = (i.to_bytes(4, "big") * (size // 4 + 1))[:size]
        for sock in socks:
            sock.sendall(data)
        for sock in socks:
            assert read_exactly(sock, size) == data, f"round trip {i} of {size} bytes"


def begin(env, engine="auto", engage_after=0, sessions=CROWD, handle=None):
    """A daemon with clients of one worker."""
    backend = env.backend(handle) if handle else env.backend()
    daemon = env.spliced(backend.address, spliced={
        "engine": engine, "engage_after": engage_after, "workers": 1})
    return daemon, [env.keep(connect(daemon.address())) for _ in range(sessions)]


def moved_by(daemon):
    """(engine, reason) of each session, without repetition."""
    return {(session["engine"], session["engine_reason"]) for session in daemon.sessions()}


def wait_moved_by(daemon, socks, size, engine, reason, seconds=20):
    """Until these sessions, all there are, move messages of that size so."""
    def moved():
        exchange(socks, size, 20)
        return moved_by(daemon) == {(engine, reason)}
    wait_until(moved, seconds, f"{size} bytes are moved by {engine} ({reason})", poll=0)


@case(engines=("kernel",))
def test_small_messages_are_copied(env):
    """And large ones are the kernel's, over and over."""
    daemon, clients = begin(env)
    for i in range(1, 6):
        wait_moved_by(daemon, clients, 64, "copy", "small")
        wait_moved_by(daemon, clients, 64 * KIB, "kernel", "")
        assert daemon.stats()["copy_reasons"]["small"] >= 2 * i * CROWD, daemon.stats()
    before = daemon.stats()
    exchange(clients, 64 * KIB, 50)
    after = daemon.stats()
    moved = after["bytes_redirected"] - before["bytes_redirected"]
    assert moved >= 2 * 50 * CROWD * 64 * KIB, after
    assert after["bytes_copied"] == before["bytes_copied"], after


@case(engines=("kernel",))
def test_a_session_that_begins_with_small_messages(env):
    """It is not given to the kernel at all before it has others."""
    daemon, clients = begin(env, engage_after="1s")
    exchange(clients, 64, 1200)     # more than makes a young session go to the kernel early
    wait_moved_by(daemon, clients, 64, "copy", "small")
    assert daemon.stats()["sessions_kernel"] == 0, daemon.stats()
    wait_moved_by(daemon, clients, 64 * KIB, "kernel", "")
    assert daemon.stats()["sessions_kernel"] == CROWD, daemon.stats()


@case(engines=("kernel",))
def test_rare_messages_are_the_kernels(env):
    """There they wake nobody."""
    daemon, clients = begin(env)
    wait_moved_by(daemon, clients, 64, "copy", "small")
    time.sleep(1.1)     # what is measured is a silence of a second
    exchange(clients, 64, 2)
    wait_until(lambda: moved_by(daemon) == {("kernel", "")}, 5, "the kernel has both directions")
    before = daemon.stats()["bytes_copied"]
    exchange(clients, 64, 10)
    assert daemon.stats()["bytes_copied"] == before, daemon.stats()


@case(engines=("kernel",))
def test_a_lone_session_is_the_kernels(env):
    """It is not worth waking up for its messages, nor when it is the last one of many."""
    daemon, clients = begin(env, sessions=1)
    exchange(clients, 64, 2000)
    assert moved_by(daemon) == {("kernel", "")}, daemon.sessions()
    assert daemon.stats()["copy_reasons"]["small"] == 0, daemon.stats()
    clients += [env.keep(connect(daemon.address())) for _ in range(CROWD)]
    wait_moved_by(daemon, clients, 64, "copy", "small")

    def last_one():
        exchange(clients[:1], 64, 100)
        return ("kernel", "") in moved_by(daemon)
    wait_until(last_one, 10, "the kernel has the last one", poll=0)
    exchange(clients, 64, 1)


@case(engines=("kernel",))
def test_one_way(env):
    """A direction on its own: small messages up, large ones down."""
    def serve(sock):
        while request := sock.recv(64):
            sock.sendall(request * 1024)

    daemon, clients = begin(env, handle=serve)

    def copied():
        for _ in range(50):
            for client in clients:
                client.sendall(b"a" * 64)
            for client in clients:
                assert read_exactly(client, 64 * KIB) == b"a" * 64 * KIB
        return moved_by(daemon) == {("kernel", "small")}
    wait_until(copied, 20, "the small ones are copied", poll=0)


@case(engines=("kernel",))
def test_not_where_the_kernel_is_asked_for(env):
    daemon, clients = begin(env, "kernel")
    exchange(clients, 64, 500)
    stats = daemon.stats()
    assert moved_by(daemon) == {("kernel", "")}, daemon.sessions()
    assert stats["copy_reasons"]["small"] == 0, stats
    assert stats["bytes_redirected"] > 2 * 64 * 400 * CROWD, stats


SCENARIOS = {
    "both_ways": ("--sessions", 8, "--bytes-up", "24M", "--bytes-down", "24M"),
    "messages": ("--sessions", 8, "--pingpong", 64, 4000),
    "nodelay": ("--sessions", 8, "--bytes-up", "1M", "--bytes-down", "1M", "--nodelay",
                "--write-size", "1-700"),
    "echo": ("--sessions", 30, "--bytes-up", "2M", "--echo"),
    "echo_ends": ("--sessions", 30, "--bytes-up", "1M", "--echo", "--fin-delay", 5),
    "half_close_of_both": ("--sessions", 30, "--half-close", "both", "--bytes-up", "3M",
                           "--bytes-down", "3M"),
    "half_close_meanwhile": ("--sessions", 20, "--half-close", "client", "--concurrent",
                             "--bytes-up", "1M", "--bytes-down", "6M"),
    "slow_reader": ("--sessions", 4, "--slow-reader", "client", "8M", "--bytes-down", "12M",
                    "--bytes-up", "1M"),
    "sleeping_reader": ("--sessions", 4, "--sleep-reader", "server", "1M", 1, "--bytes-up", "12M"),
    "pauses": ("--sessions", 8, "--bytes-up", "3M", "--bytes-down", "3M", "--pause",
               "0.05:10-2000"),
    "reset_by_client": ("--sessions", 20, "--rst", "client", "1M"),
    "reset_by_server": ("--sessions", 20, "--rst", "server", "1M"),
}


@case(engines=("kernel",), timeout=300, core=True)
def test_over_and_back(env):
    """Thousands of times, at any moment: every byte is right, and every end what it was."""
    small = 0
    for name, options in SCENARIOS.items():
        if env.vm and name not in ("both_ways", "messages", "echo_ends", "half_close_meanwhile"):
            continue
        _, daemon = through(env, *options, spliced={"engine": "auto"}, environment=RESTLESS)
        small += daemon.stats()["copy_reasons"]["small"]
        daemon.check_and_end()
    env.note(f"{small} changes")
    assert small >= env.pick(5000, 1000), f"only {small} changes"
