# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions leave nothing behind."""

from lib import case, wait_until
from lib.tcp import connect, free_port, read_all
from lib.traffic import start_many

MIB = 1 << 20

# At the end of each thread's heap malloc() keeps up to twice the largest piece that it was ever given
# back, of which the canary has a large one; malloc_trim() leaves that alone.
KEPT = 4 * MIB


class Usage:
    """What a daemon holds."""

    def __init__(self, daemon):
        self.fds = daemon.fds()
        self.rss = daemon.rss()
        self.entries = daemon.map_entries()

    def __repr__(self):
        return f"{self.fds} descriptors, {self.rss / MIB:.2f} MiB, map entries {self.entries}"


def settle(daemon, sessions):
    """The usage once that many sessions were begun and all of them are over."""
    def over():
        stats = daemon.stats()
        return stats["sessions_total"] >= sessions and stats["sessions_active"] == 0
    wait_until(over, 20, f"{sessions} sessions began and ended", poll=0.1)
    return Usage(daemon)


def run_all(env, loads, first, number, **config):
    """The daemon, after loads of `number` sessions; it holds what it held after those of the `first`
    loads."""
    # No access log: its cost is not what is looked at.
    daemon = start_many(env, *loads, spliced={"access_log": "no", **config.pop("spliced", {})},
                        **config)
    for i, load in enumerate(loads):
        if i == first:
            before = settle(daemon, 500)
        load.go(daemon.address(f"l{i}")).ok()
    after = settle(daemon, number)

    # The sockets of the last sessions may be in the map until the kernel has freed them.
    wait_until(lambda: daemon.fds() == before.fds, 5, f"descriptors are {before.fds} again")
    wait_until(lambda: not any(daemon.map_entries().values()), 5, "the maps are empty again")
    # Without sessions, the daemon gives back what the busiest moments needed.
    if not env.sanitized:
        wait_until(lambda: daemon.rss() - before.rss < KEPT, 10,
                   lambda: f"memory: before {before}; at the end {after}; now {Usage(daemon)}")
    return daemon


@case()
def test_memory_of_a_burst(env):
    """What many sessions at once needed is the system's again when they are over."""
    if env.sanitized:
        env.skip("the sanitizers keep freed memory")
    if env.debug:
        env.skip("lines of debug level wait in memory")
    load = env.load("--sessions", 2000, "--idle", "--bytes-up", 30_000, "--bytes-down", 100_000)
    daemon = start_many(env, load, spliced={"access_log": "no"})
    before = Usage(daemon)
    load.go(daemon.address("l0"))
    load.wait_idle()
    there = Usage(daemon)
    load.send("go")
    load.ok()
    after = settle(daemon, 2000)
    wait_until(lambda: daemon.rss() < before.rss + KEPT, 10,
               lambda: f"memory: before {before}; with them {there}; after them {after}; "
                       f"now {Usage(daemon)}")
    env.note(f"2000 sessions: {there.rss - before.rss} B, after them {after.rss - before.rss}, "
             f"in the end {daemon.rss() - before.rss}")


@case(timeout=180, debug=False)
def test_ten_thousand_sessions(env):
    number = env.pick(10_000, 1000)
    small = ("--concurrency", 50, "--bytes-up", 3000, "--bytes-down", 20_000)
    loads = [
        env.load("--sessions", 500, *small),
        env.load("--sessions", number * 6 // 10, *small, timeout=150),
        env.load("--sessions", number // 10, *small, "--half-close", "client", timeout=150),
        env.load("--sessions", number // 10, *small, "--half-close", "none", timeout=150),
        env.load("--sessions", number // 10, *small, "--rst", "client", 15_000, timeout=150),
        env.load("--sessions", number // 10, *small, "--rst", "server", 15_000, timeout=150),
    ]
    daemon = run_all(env, loads, 1, 500 + number)
    if env.engine == "kernel":
        stats = daemon.stats()
        assert stats["sessions_kernel"] > number / 2, stats


@case(engines=("kernel",), timeout=180, debug=False)
def test_ten_thousand_bypassed_sessions(env):
    number = env.pick(10_000, 1000)
    cgroup = env.cgroup()
    bulk = ("--concurrency", 50, "--bytes-up", 100_000, "--bytes-down", 200_000)
    kinds = [
        (6, "--concurrency", 50, "--pingpong", 64, 40),
        (1, *bulk, "--half-close", "client"),
        (1, *bulk, "--half-close", "none"),
        (1, *bulk, "--rst", "client", 150_000),
        (1, *bulk, "--rst", "server", 50_000),
    ]
    # Half of them are to be there first: how much memory a busy moment takes is chance.
    loads = [env.load("--sessions", number * share // 20, *options, timeout=150,
                      prefix=cgroup.prefix()) for share, *options in kinds * 2]
    daemon = run_all(env, loads, len(kinds), number, spliced={"bypass_cgroup": cgroup.path},
                     listener={"local_bypass": "both"})
    stats = daemon.stats()
    env.note(f"{stats['sessions_bypass']} bypassed")
    assert stats["sessions_bypass"] > number / 10, stats


@case(timeout=120)
def test_refused_dials(env):
    """Nor do sessions that never get a server."""
    address, holder = free_port()
    env.keep(holder)
    daemon = env.spliced(address, pool={"retries": 0}, spliced={"access_log": "no"})

    proxy = daemon.address()

    def sessions(count):
        for _ in range(count):
            try:
                with connect(proxy) as client:
                    assert read_all(client) == b""
            except ConnectionResetError:
                pass    # even connect() may see it: the refusal is quick

    sessions(50)
    before = settle(daemon, 50)
    sessions(500)
    after = settle(daemon, 550)
    wait_until(lambda: daemon.fds() == before.fds, 5, f"descriptors are {before.fds} again")
    assert after.entries == before.entries, (before, after)
    assert daemon.stats()["ends"]["connect_failed"] == 550
