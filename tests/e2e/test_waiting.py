# SPDX-License-Identifier: GPL-2.0-or-later
"""Streams that wait for a slow receiver cost next to nothing, however many they are."""

import time

from lib import case, wait_until
from lib.pattern import MIB, Pattern, send_pattern
from lib.tcp import connect
from lib.traffic import check_accounts, start, wait_stalled
from lib.wait import Deadline

# What a stopped session holds is small, so that thousands of them fit into any host.
SMALL = {"splice_low": 64 << 10, "splice_high": 128 << 10, "splice_hard": 1 << 20,
         "splice_window": 64 << 10}
DOWNLOAD = ("--half-close", "server", "--concurrent", "--bytes-up", 16)
MEASURED = 3.0


def measure(daemon):
    """(looks, share of a processor) of some seconds in which nothing moves."""
    looks, cpu, began = daemon.stats()["looks"], daemon.cpu_seconds(), time.monotonic()
    end = began + MEASURED
    wait_until(lambda: time.monotonic() >= end, 2 * MEASURED, "the end of the measurement")
    seconds = time.monotonic() - began
    return daemon.stats()["looks"] - looks, (daemon.cpu_seconds() - cpu) / seconds


@case(engines=("kernel",), timeout=200, alone=True, vm=False)
def test_stopped_readers_cost_nothing(env):
    """Four thousand of them are looked at now and then, and wake the worker for nothing else."""
    sessions = env.pick(4000, 500)
    load, daemon = start(env, "--sessions", sessions, "--never-read", "client", "--bytes-down",
                         "400K", *DOWNLOAD, "--rcvbuf", 16 << 10, "--sndbuf", 64 << 10,
                         timeout=150, spliced={"max_sessions": 8192, "memory_max": "16G", **SMALL})
    wait_until(lambda: daemon.status()["sessions_active"] == sessions, 60, "all are connected")
    wait_stalled(load, "down", seconds=60, still=2.0)
    paused = daemon.stats()["pauses"] - daemon.stats()["resumes"]
    assert paused > sessions / 2, f"only {paused} of {sessions} wait: a bad measure"
    limit = Deadline(40)
    while True:     # the first, short waits of the last ones are over
        looks, share = measure(daemon)
        if (looks < 0.2 * paused * MEASURED and share < 0.01) or limit.passed():
            break
    env.note(f"{paused} paused: {looks / MEASURED:.0f} looks a second, {100 * share:.2f} % CPU")
    assert looks < 0.2 * paused * MEASURED, f"{looks} looks at {paused} streams in {MEASURED} s"
    assert share < 0.01, f"{100 * share:.1f} % of a processor"
    load.send("resume")
    check_accounts(env, daemon, load.ok())


@case(timeout=60)
def test_receiver_goes_on_after_a_long_wait(env):
    """It is its room that ends the wait: nobody waits for the timer, which is seconds away."""
    size, content = 24 * MIB, Pattern(5)

    daemon = env.spliced(env.backend(lambda sock: send_pattern(sock, content, size)).address)
    with connect(daemon.address()) as client:
        at, slowest = 0, 0.0
        for _ in range(3):
            # Stopped for as long as it takes to reach the long waits.
            end = time.monotonic() + 2.5
            wait_until(lambda e=end: time.monotonic() >= e, 10, "the receiver's rest is over")
            for _ in range(28):
                before = time.monotonic()
                data = client.recv(1 << 18)
                slowest = max(slowest, time.monotonic() - before)
                content.check(at, data)
                at += len(data)
        while data := client.recv(1 << 18):
            before = time.monotonic()
            content.check(at, data)
            at += len(data)
            slowest = max(slowest, time.monotonic() - before)
        assert at == size, f"{at} of {size} bytes"
        assert slowest < Deadline(1.5).seconds, f"waited {slowest:.2f} s for bytes"
