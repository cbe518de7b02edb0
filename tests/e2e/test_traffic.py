# SPDX-License-Identifier: GPL-2.0-or-later
"""Every way to move bytes, byte-exactly, and every way to end."""

from lib import case
from lib.scenarios import DOWNLOAD, SCENARIOS, UPLOAD
from lib.traffic import check_kernel_share, through
from lib.wait import wait_until

# What every kernel is tried with: both ways, readers that do not keep up, ends and resets.
CORE = {
    "hundred_sessions", "short_sessions", "echo", "pingpong_small", "pauses", "server_first",
    "tiny_buffers", "early_data_big", "early_data_and_end", "slow_client", "slow_server",
    "slow_both", "sleeping_server", "half_close_client", "half_close_server",
    "half_close_client_concurrent", "half_close_with_backlog_up", "half_close_with_backlog_down",
    "half_close_while_asleep", "end_after_pause", "reset_by_client", "reset_by_server",
    "reset_of_slow_reader", "reset_of_sleeping_server",
}


def scenario_test(share, options, core):
    @case(timeout=90, core=core)
    def test(env):
        _, daemon = through(env, *options)
        check_kernel_share(env, daemon, share)
    return test


for _name, (_share, *_options) in SCENARIOS.items():
    globals()[f"test_{_name}"] = scenario_test(_share, _options, _name in CORE)


@case(timeout=90)
def test_one_gigabyte(env):
    size = env.pick("1G", "64M")
    _, daemon = through(env, "--bytes-up", size, "--bytes-down", 0, "--write-size", "64K-256K",
                        *UPLOAD, timeout=80)
    check_kernel_share(env, daemon, 0.01)  # a lone stream: the daemon copies what it likes


@case(timeout=90, core=True)
def test_both_ways_at_full_speed(env):
    size = env.pick("256M", "32M")
    _, daemon = through(env, "--sessions", 4, "--bytes-up", size, "--bytes-down", size,
                        "--write-size", "64K-256K", timeout=80)
    check_kernel_share(env, daemon)


@case(slow=True, timeout=120)
def test_thousand_sessions_at_once(env):
    number = env.pick(1000, 200)
    through(env, "--sessions", number, "--bytes-up", "100K", "--bytes-down", "100K",
            "--pause", "0.05:10-20000", timeout=100)


# Which engine: from the first byte, after the default pause, in the middle of a stream, never.

@case(core=True)
def test_default_engage_after(env):
    _, daemon = through(env, "--sessions", 20, "--bytes-up", "8M", "--bytes-down", "8M",
                        spliced={"engage_after": None})
    check_kernel_share(env, daemon)


def test_short_sessions_are_copied_by_default(env):
    # Echo: a session is over as soon as it can be, long before engage_after.
    _, daemon = through(env, "--sessions", 200, "--concurrency", 2, "--echo", "--bytes-up", 100,
                        spliced={"engage_after": "5s"})
    stats = daemon.stats()
    assert stats["sessions_copy"] == 200 and stats["sessions_kernel"] == 0, stats
    reason = "young" if env.engine == "kernel" else "config"
    assert stats["copy_reasons"][reason] == 400, stats["copy_reasons"]


@case(core=True)
def test_engaged_in_the_middle(env):
    """The hand-over meets streams that are in full flow, both ways, at random moments."""
    for after in ("1ms", "20ms", "100ms"):
        _, daemon = through(env, "--sessions", 10, "--bytes-up", "8M", "--bytes-down", "8M",
                            "--pause", "0.3:10-2000", spliced={"engage_after": after})
        stats = daemon.stats()
        if env.engine == "kernel":
            assert stats["sessions_kernel"] == 10, stats
            assert stats["bytes_redirected"] > 0, stats


# Watermarks as low as they go: every burst is a pause, and many come too late for splice_hard.

LOW_MARKS = {"splice_low": "64K", "splice_high": "128K", "splice_hard": "256K",
             "splice_window": "64K"}


def check_nothing_behind(env, daemon):
    """None of what is too much was handed up: for each pause the source has left under its lock, taken
    back by a daemon that came in time, or `stopped` by the kernel."""
    if env.engine == "kernel":
        stats = daemon.stats()
        verdicts = stats["verdicts"]
        assert verdicts["behind"] == verdicts["passed_hard"] == 0, verdicts
        assert verdicts["left"] + verdicts["stopped"] >= stats["pauses"], stats
        assert stats["unlocked_deletes"] == 0, stats


@case(core=True)
def test_low_marks_slow_reader(env):
    _, daemon = through(env, "--sessions", 8, "--slow-reader", "both", "6M", "--bytes-up", "8M",
                        "--bytes-down", "8M", spliced=LOW_MARKS)
    stats = daemon.stats()
    if env.engine == "kernel":
        assert stats["pauses"] > 0 and stats["resumes"] > 0, stats
    check_nothing_behind(env, daemon)


@case(core=True)
def test_low_marks_sleeping_reader(env):
    _, daemon = through(env, "--sessions", 8, "--sleep-reader", "server", "300K", 0.5,
                        "--bytes-up", "30M", *UPLOAD, spliced=LOW_MARKS)
    assert env.engine == "copy" or daemon.stats()["pauses"] > 0
    check_nothing_behind(env, daemon)


@case(core=True)
def test_low_marks_both_ways_at_full_speed(env):
    size = env.pick("64M", "16M")
    _, daemon = through(env, "--sessions", 4, "--bytes-up", size, "--bytes-down", size,
                        "--write-size", "64K-256K", spliced=LOW_MARKS)
    check_nothing_behind(env, daemon)


def test_low_marks_one_byte_writes(env):
    _, daemon = through(env, "--sessions", 4, "--one-byte", "--sleep-reader", "client", 1000, 0.5,
                        "--bytes-up", 16, "--bytes-down", "200K", spliced=LOW_MARKS)
    check_nothing_behind(env, daemon)


# Every kind of address on either side.

@case(core=True)
def test_ipv6(env):
    _, daemon = through(env, "--sessions", 20, listen="[::1]:0", bind="[::1]:0")
    check_kernel_share(env, daemon)


def test_ipv6_to_ipv4(env):
    _, daemon = through(env, "--sessions", 20, bind="[::1]:0")
    check_kernel_share(env, daemon)


def test_ipv4_to_ipv6(env):
    _, daemon = through(env, "--sessions", 20, listen="[::1]:0")
    check_kernel_share(env, daemon)


def check_unix_copied(daemon):
    stats = daemon.stats()
    assert stats["bytes_redirected"] == 0, stats
    reason = "config" if stats["copy_reasons"]["config"] else "unix"
    assert stats["copy_reasons"][reason] == 2 * stats["sessions_total"], stats["copy_reasons"]


UNIX_SCENARIOS = (("--sessions", 20), ("--sessions", 10, "--half-close", "client"),
                  ("--sessions", 10, "--half-close", "server", "--concurrent"),
                  ("--sessions", 5, "--slow-reader", "both", "4M"))


@case(timeout=90)
def test_unix_client(env):
    for options in UNIX_SCENARIOS:
        _, daemon = through(env, *options, bind=f"unix:{env.tmp}/front.sock")
        check_unix_copied(daemon)
        daemon.stop()


@case(timeout=90)
def test_unix_backend(env):
    for options in UNIX_SCENARIOS:
        _, daemon = through(env, *options, listen=f"unix:{env.tmp}/back.sock")
        check_unix_copied(daemon)


def test_unix_both(env):
    for options in UNIX_SCENARIOS:
        _, daemon = through(env, *options, listen=f"unix:{env.tmp}/back.sock",
                            bind=f"unix:{env.tmp}/front.sock")
        check_unix_copied(daemon)
        daemon.stop()


def test_unix_abstract(env):
    name = env.tmp.name
    _, daemon = through(env, "--sessions", 10, listen=f"unix:@{name}-back",
                        bind=f"unix:@{name}-front")
    check_unix_copied(daemon)


def test_reset_of_client_reaches_unix_backend(env):
    """A unix socket has no reset; the backend sees the end, after a right prefix."""
    through(env, "--sessions", 10, "--rst", "client", "300K",
            listen=f"unix:{env.tmp}/back.sock")


def test_several_servers_and_binds(env):
    load = env.load("--sessions", 60, "--bytes-up", "300K", "--bytes-down", "300K",
                    listen=["127.0.0.1:0", "[::1]:0", f"unix:{env.tmp}/back.sock"])
    daemon = env.spliced(load.backends, listener={"bind": "127.0.0.1:0, [::1]:0"})
    load.go(daemon.address(index=0), daemon.address(index=1))
    load.ok()
    wait_until(lambda: daemon.stats()["ends"]["done"] == 60, 5, "60 sessions done")
    assert [daemon.server(name)["sessions_total"] for name in "abc"] == [20, 20, 20]


@case(full=True, timeout=400)
def test_soak(env):
    """Minutes of everything at once, another seed each round."""
    for seed in range(1, 13):
        through(env, "--sessions", 100, "--seed", seed, "--bytes-up", "8M", "--bytes-down", "8M",
                "--pause", "0.02:10-30000", "--slow-reader", ("client", "server")[seed % 2], "4M",
                spliced=LOW_MARKS if seed % 3 == 0 else None, timeout=120)
