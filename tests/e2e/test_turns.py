# SPDX-License-Identifier: GPL-2.0-or-later
"""However much there is to do, everybody has a turn."""

import time

from lib import connect, read_exactly

SIZE = 40 << 20


def longest_wait(ask, running):
    """The longest of the answers' times while that is running, and how many there were."""
    longest, n = 0.0, 0
    while running():
        began = time.monotonic()
        ask()
        longest, n = max(longest, time.monotonic() - began), n + 1
    return longest, n


def test_busy_streams_leave_time_for_others(env):
    """Streams that never run out of bytes keep neither a new client waiting nor splicectl."""
    echo = env.backend()
    load = env.load("--sessions", 16, "--bytes-up", env.pick(SIZE, SIZE // 20),
                    "--bytes-down", env.pick(SIZE, SIZE // 20))
    daemon = env.spliced(load.backend, spliced={"workers": 1},
                         more={"listener other": {"bind": "127.0.0.1:0", "pool": "echo"},
                               "pool echo": {"server": f"a {echo.address}"}})
    other = daemon.address("other")

    def ask():
        with connect(other) as client:
            client.sendall(b"hello")
            assert read_exactly(client, 5) == b"hello"
        daemon.status()

    load.go(daemon.address())
    longest, n = longest_wait(ask, lambda: load.process.poll() is None)
    load.ok()
    env.note(f"{n} answers, the longest took {longest:.2f} s")
    assert n >= 3, n
    assert longest < 3, longest
