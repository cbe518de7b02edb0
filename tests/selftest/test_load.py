# SPDX-License-Identifier: GPL-2.0-or-later
"""The load tool finds what it is there to find, and nothing where there is nothing."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import broken_relay  # noqa: E402 - beside this file
from broken_relay import CHUNK, POSITION, SESSION  # noqa: E402

from lib import case  # noqa: E402
from lib.process import run  # noqa: E402

SIZE = 1 << 20
OPTIONS = ("--sessions", 8, "--bytes-up", SIZE, "--bytes-down", SIZE)


def relay_load(env, relay, *options, timeout=15, more=()):
    """The result of a load through a relay class."""
    load = env.load(*(options or OPTIONS), timeout=timeout)
    load.go(relay(load.backend, *more).address)
    return load.finish()


def only_error(result):
    """The one error of a result, which must be bad and blame one session."""
    assert not result["ok"], result
    assert result["sessions"]["failed"] == 1, result["sessions"]
    assert result["n_errors"] == 1, result["errors"]
    return result["errors"][0]


def check_content(error, offset, slack=2):
    """A content error at an offset; a byte may equal its neighbour, so it may show a bit later."""
    assert error["kind"] == "content", error
    assert error["direction"] == "down", error
    assert offset <= error["offset"] <= offset + slack, error
    assert error["got"] != error["expected"], error


def test_honest_relay_passes(env):
    result = relay_load(env, broken_relay.Relay)
    assert result["ok"], result
    assert result["up"] == {"sent": 8 * SIZE, "received": 8 * SIZE, "verified": 8 * SIZE}
    assert result["down"] == result["up"]
    assert result["client_endings"] == {"eof": 8} == result["server_endings"]


def test_lost_byte(env):
    error = only_error(relay_load(env, broken_relay.LosesByte))
    check_content(error, POSITION)
    assert error["found_at"] == error["offset"] + 1, error


def test_repeated_byte(env):
    error = only_error(relay_load(env, broken_relay.RepeatsByte))
    check_content(error, POSITION + 1)
    assert error["found_at"] == error["offset"] - 1, error


def test_repeated_piece(env):
    error = only_error(relay_load(env, broken_relay.RepeatsPiece))
    check_content(error, POSITION - POSITION % CHUNK + CHUNK)
    assert error["found_at"] == error["offset"] - CHUNK, error


def test_swapped_bytes(env):
    check_content(only_error(relay_load(env, broken_relay.SwapsBytes)), POSITION, slack=0)


def test_flipped_bit(env):
    error = only_error(relay_load(env, broken_relay.FlipsBit))
    check_content(error, POSITION, slack=0)
    assert int(error["got"][:2], 16) ^ int(error["expected"][:2], 16) == 4, error


def test_truncated_tail(env):
    error = only_error(relay_load(env, broken_relay.Truncates, more=(SIZE,)))
    assert error["kind"] == "truncated" and error["direction"] == "down", error
    assert error["offset"] == SIZE - 10 and error["of"] == SIZE, error


def test_extra_byte(env):
    error = only_error(relay_load(env, broken_relay.Appends))
    assert error["direction"] == "up" and error["offset"] == SIZE, error


def test_session_mix_up(env):
    result = relay_load(env, broken_relay.MixesSessions, "--sessions", 2, "--bytes-up", "100K",
                        "--bytes-down", "100K", "--pause", "0.5:10-1000")
    assert not result["ok"] and result["sessions"]["failed"] == 2, result
    assert {error["offset"] for error in result["errors"]} <= {CHUNK, CHUNK + 1}, result["errors"]
    for error in result["errors"]:
        assert error["of_session"] == 1 - error["session"], error
        assert error["of_direction"] == "down", error


def test_swapped_answers(env):
    """Each client gets a whole, well-formed stream: another's. The head gives it away."""
    result = relay_load(env, broken_relay.SwapsBackends, "--sessions", 2, "--bytes-up", "100K",
                        "--bytes-down", "100K")
    assert not result["ok"] and result["sessions"]["failed"] == 2, result
    assert all(error["offset"] < 16 for error in result["errors"]), result["errors"]


def test_swapped_answers_server_first(env):
    """The same where only the server's own number can tell."""
    result = relay_load(env, broken_relay.SwapsBackends, "--sessions", 2, "--server-first",
                        "--bytes-up", "100K", "--bytes-down", "100K")
    assert not result["ok"], result
    assert "mix-up" in {error["kind"] for error in result["errors"]}, result["errors"]


def test_end_not_passed_on(env):
    result = relay_load(env, broken_relay.ForgetsEnd, timeout=3)
    assert not result["ok"] and result["problem"] == "deadline", result
    assert result["client_endings"] == {"eof": 7, "timeout": 1}, result


def test_reset_passed_on(env):
    for side in ("client", "server"):
        result = relay_load(env, broken_relay.PassesReset, "--sessions", 4, "--rst", side, "300K")
        assert result["ok"], result
        other = "server" if side == "client" else "client"
        assert result[f"{side}_endings"] == {"reset_sent": 4}, result
        assert result[f"{other}_endings"] == {"rst": 4}, result


def test_reset_hidden(env):
    result = relay_load(env, broken_relay.HidesReset, "--sessions", 4, "--rst", "server", "300K",
                        "--bytes-up", "1M", "--half-close", "both", timeout=5)
    assert not result["ok"], result
    assert result["failures"][0]["why"] == "client saw no reset", result["failures"]


def test_unexpected_reset(env):
    result = relay_load(env, broken_relay.ResetsLate, timeout=2)
    assert not result["ok"], result
    failure = result["failures"][0]
    assert failure["session"] == SESSION or len(result["failures"]) == 1, failure
    assert failure["client"]["ending"] == "rst", failure


@case(timeout=120)
def test_every_scenario_without_a_proxy(env):
    """The scenarios themselves are sound: with nothing between the ends they pass."""
    for listen in ("127.0.0.1:0", "[::1]:0", f"unix:{env.tmp}/backend.sock"):
        for options in SCENARIOS:
            if "--rst" in options and listen.startswith("unix:"):
                continue
            load = env.load("--direct", *options, listen=listen, timeout=20)
            load.send("go")
            load.ok()


SCENARIOS = (
    ("--sessions", 50, "--bytes-up", "300K", "--bytes-down", "500K"),
    ("--sessions", 5, "--echo"),
    ("--sessions", 5, "--pingpong", 100, 200),
    ("--sessions", 2, "--one-byte", "--bytes-up", "5K", "--bytes-down", "5K"),
    ("--sessions", 5, "--server-first"),
    ("--sessions", 5, "--bytes-up", 0),
    ("--sessions", 5, "--bytes-down", 0),
    ("--sessions", 5, "--half-close", "client"),
    ("--sessions", 5, "--half-close", "server"),
    ("--sessions", 5, "--half-close", "client", "--concurrent"),
    ("--sessions", 5, "--half-close", "server", "--concurrent"),
    ("--sessions", 5, "--half-close", "none"),
    ("--sessions", 5, "--fin-delay", 50),
    ("--sessions", 5, "--rst", "client", "300K"),
    ("--sessions", 5, "--rst", "server", "300K"),
    ("--sessions", 5, "--slow-reader", "both", "3M"),
    ("--sessions", 5, "--sleep-reader", "client", "100K", 0.3),
    ("--sessions", 5, "--sleep-reader", "server", 0, 0.3),
    ("--sessions", 5, "--early-data", "--bytes-up", "4M"),
    ("--sessions", 20, "--pause", "0.1:10-2000"),
    ("--sessions", 300, "--concurrency", 20, "--bytes-up", 1000, "--bytes-down", 1000),
    ("--sessions", 5, "--rcvbuf", 4096, "--sndbuf", 4096),
)


def test_pauses_before_the_end(env):
    """So short that they are over at any moment of a step: the stream is ended all the same."""
    load = env.load("--sessions", 5000, "--concurrency", 20, "--bytes-up", 64, "--bytes-down", 30,
                    "--half-close", "client", "--pause", "1:1-1", "--direct", timeout=15)
    load.send("go")
    assert load.ok()["client_endings"] == {"eof": 5000}


def test_hold_and_progress(env):
    load = env.load("--direct", "--sessions", 5, "--idle")
    load.wait_idle()
    progress = load.stats()
    assert progress["up"]["received"] == progress["down"]["received"] == 5 * 64, progress
    load.send("go")
    assert load.ok()["up"]["verified"] == 5 << 20


def test_never_read(env):
    load = env.load("--direct", "--sessions", 2, "--never-read", "client", "--bytes-down", "64M",
                    "--rcvbuf", 65536, "--sndbuf", 65536)
    before = load.stats()
    assert before["down"]["received"] == 0, before
    load.send("resume")
    assert load.ok()["down"]["verified"] == 128 << 20


def test_bad_usage(env):
    binary = env.binary("tests/spliced-load")
    for options in ((), ("--listen", "nowhere"), ("--listen", "127.0.0.1:0", "--rst", "x", "1"),
                    ("--listen", "127.0.0.1:0", "--write-size", "9-3"),
                    ("--listen", "127.0.0.1:0", "--bytes-up", "1X"), ("--nonsense",)):
        done = run(binary, *options, check=False)
        assert done.returncode == 2, (options, done)
        assert done.stderr.strip(), options
    assert run(binary, "--help").stdout.startswith("spliced-load --listen")
