# SPDX-License-Identifier: GPL-2.0-or-later
"""splicectl: sessions that are picked, and what goes on until somebody ends it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import termios

from lib import case, connect, process, read_exactly, wait_until
from lib.fakecontrol import Fake
from lib.terminal import Terminal


@contextlib.contextmanager
def fake(env, **options):
    """A fake daemon, and what runs splicectl at it."""
    daemon = Fake(env.tmp / "fake.sock", **options)

    def control(*words, check=True):
        return process.run(env.binary("splicectl"), "-s", daemon.path, *words, check=check)
    try:
        yield daemon, control
    finally:
        daemon.close()


def session(number, **fields):
    return {"id": number, "listener": "web", "pool": "p", "server": "a", "client": f"10.0.0.{number}:80",
            "backend": "10.1.0.1:80", "engine": "kernel", "age_ms": 1000 * number, "bytes_up": 0,
            "bytes_down": 0, "state": "open", "pauses": 0, "engine_reason": "", **fields}


# ---- sessions --------------------------------------------------------------------------------

SESSIONS = [session(1, engine="copy", bytes_up=3000, engine_reason="young"),
            session(2, bytes_down=5 << 20, pool="q"), session(10, bytes_up=100, bytes_down=100),
            session(400, pauses=9, state="half_closed")]


@case(engines=())
def test_sessions_are_picked(env):
    with fake(env, answers={"sessions": SESSIONS}) as (_, control):
        for options, ids in (
                ((), [1, 2, 10, 400]),
                (("--filter", "engine=copy"), [1]),
                (("--filter", "engine!=copy"), [2, 10, 400]),
                (("-f", "client=10.0.0.1*"), [1, 10]),
                (("-f", "client=10.0.0.[12]:80", "-f", "pool=p"), [1]),
                (("-f", "engine_reason="), [2, 10, 400]),
                (("-f", "age>10"), [400]), (("-f", "age<2s"), [1]), (("-f", "age=2000ms"), [2]),
                (("-f", "age>6m"), [400]), (("-f", "age_ms>1s", "-f", "age<400"), [2, 10]),
                (("-f", "down>4M"), [2]), (("-f", "bytes>199", "-f", "bytes<4K"), [1, 10]),
                (("-f", "bytes_up!=0"), [1, 10]), (("-f", "id=10"), [10]),
                (("-f", "pauses>8"), [400]), (("-f", "pauses>9"), []),
                (("--sort", "age"), [400, 10, 2, 1]), (("--sort=-age",), [1, 2, 10, 400]),
                (("--sort", "bytes"), [2, 1, 10, 400]), (("--sort", "client"), [1, 2, 10, 400]),
                (("--sort=-client",), [400, 10, 2, 1]), (("--sort", "pool"), [1, 10, 400, 2]),
                (("--sort", "bytes_up", "--limit", "2"), [1, 10]), (("--limit", "1"), [1])):
            told = json.loads(control("--json", "sessions", *options).stdout)
            assert [s["id"] for s in told] == ids, (options, told)
            assert all(s in SESSIONS for s in told)
            lines = control("sessions", *options).stdout.splitlines()
            assert lines[0].split()[0] == "ID"
            assert [int(line.split()[0]) for line in lines[1:]] == ids, (options, lines)


@case(engines=())
def test_mistakes_in_the_command_line(env):
    with fake(env, answers={"sessions": SESSIONS}) as (daemon, control):
        for words, said in (
                (("sessions", "-f", "colour=red"), '"colour" is no key; there are id listener'),
                (("sessions", "-f", "engine"), "KEY=VALUE, KEY!=VALUE, KEY<VALUE or KEY>VALUE"),
                (("sessions", "-f", "engine!copy"), "KEY=VALUE, KEY!=VALUE, KEY<VALUE or KEY>VALUE"),
                (("sessions", "-f", "engine<copy"), "engine is a text"),
                (("sessions", "-f", "age>soon"), "age is a time, such as 90s"),
                (("sessions", "-f", "up>-1"), "up is a number of bytes, such as 10M"),
                (("sessions", "-f", "up>9999999T"), "up is a number of bytes, such as 10M"),
                (("sessions", "-f", "id>1K"), "id is a number"),
                (("sessions", *["-f", "id>1"] * 9), "at most 8 filters"),
                (("sessions", "--sort", "size"), '"size" is no key; there are id'),
                (("sessions", "--sort", "rate"), "rate is for top, not for sessions"),
                (("sessions", "-f", "rate>1"), "rate is for top, not for sessions"),
                (("sessions", "--limit", "0"), "--limit is a number of sessions, not 0"),
                (("sessions", "--limit", "-1"), "--limit is a number of sessions, not -1"),
                (("sessions", "-i", "2"), "--interval and --count are for top and watch, not for sessions"),
                (("status", "--sort", "id"),
                 "--filter, --sort and --limit are for sessions and top, not for status"),
                (("watch", "-f", "id=1"), "--filter, --sort and --limit are for sessions and top, not for watch"),
                (("watch", "-i", "0"), "--interval is 0.1 to 86400 seconds, not 0"),
                (("watch", "-i", "nan"), "--interval is 0.1 to 86400 seconds, not nan"),
                (("watch", "-c", "x"), "--count is a number, not x"),
                (("top", "--json"), "--json is not for top"),
                (("watch", "--prometheus"), "--prometheus is for stats, not for watch"),
                (("stats", "--json", "--prometheus"), "one of --json and --prometheus"),
                (("sessions", "1"), "too many arguments: 1"), ((), "which command?"),
                (("tops",), "unknown command: tops")):
            done = control(*words, check=False)
            assert (done.returncode, done.stdout) == (2, ""), (words, done)
            assert done.stderr.startswith(f"splicectl: {said}"), (words, done.stderr)
            assert done.stderr.endswith(" (try --help)\n"), (words, done.stderr)
        assert not daemon.asked


@case(engines=())
def test_answers_that_are_none(env):
    with fake(env, answers={"sessions": {"a": 1}, "stats": []}) as (_, control):
        for words, said in ((("sessions",), "is not what sessions looks like"),
                            (("stats",), "is not what stats looks like"),
                            (("status",), "says: no"), (("top",), "says: no"), (("watch",), "says: no")):
            done = control(*words, check=False)
            assert done.returncode == 1 and said in done.stderr, (words, done)
        done = process.run(env.binary("splicectl"), "-s", env.tmp / "nobody", "top", check=False)
        assert done.returncode == 1 and "cannot connect to" in done.stderr, done


# ---- watch -----------------------------------------------------------------------------------

def server(state, error=""):
    return [{"name": "p", "servers": [{"name": "a", "state": state, "targets": [{"last_error": error}]}]}]


def busy(daemon, number):
    """Two seconds pass, 10 sessions begin and 4 KiB are moved from one status to the next."""
    status, stats = daemon.answers["status"], daemon.answers["stats"]
    status.update(uptime_ms=1000 + 2000 * number, sessions_active=number)
    stats.update(sessions_total=10 * number, bytes_redirected=4096 * number)
    status["pools"] = server("up")
    if number == 2:
        status["pools"] = server("down", "Connection refused\x1b[31m")
        stats["denied"] = 5
    if number == 4:
        status.update(worker_pid=8, uptime_ms=10, engine="copy")
        stats.update(sessions_total=1, bytes_redirected=0, denied=0)


@case(engines=())
def test_watch_tells_rates_and_changes(env):
    with fake(env, tick=busy) as (_, control):
        lines = control("watch", "-i", "0.1", "-c", "4").stdout.splitlines()
    clock = r"\d\d:\d\d:\d\d"
    assert lines[0].split()[:2] == ["TIME", "SESSIONS"]
    figures = [line.split()[1:] for line in lines[1:] if "*" not in line]
    moved = ["0.0", "2.0", "KiB/s", "0", "B/s", "0", "B/s", "0.0"]
    assert figures == [["1", "5.0", *moved], ["2", "5.0", *moved], ["3", "5.0", *moved],
                       ["4", "0.0", "0.0", "0", "B/s", "0", "B/s", "0", "B/s", "0.0"]], lines
    changes = [re.sub(f"^{clock}  ", "", line) for line in lines if "*" in line]
    assert changes == ["* denied: +5, 5 now", "* server p/a: up -> down (Connection refused?[31m)",
                       "* server p/a: down -> up", "* another worker: process 8",
                       "* engine: kernel -> copy"], lines
    assert lines.index(next(line for line in lines if "denied" in line)) == 2


@case(engines=())
def test_watch_in_json(env):
    with fake(env, tick=busy) as (_, control):
        told = [json.loads(line) for line in control("watch", "-j", "-i", "0.1", "-c", "2").stdout.splitlines()]
    assert [t["rates"]["sessions_total"] for t in told] == [5, 5]
    assert [t["seconds"] for t in told] == [2, 2] and [t["sessions_active"] for t in told] == [1, 2]
    assert [len(t["changes"]) for t in told] == [0, 2]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", t["time"]) for t in told)


@case(engines=())
def test_watch_goes_on_when_the_daemon_is_back(env):
    path = env.tmp / "fake.sock"
    daemon = Fake(path, tick=busy)
    with subprocess.Popen([str(env.binary("splicectl")), "-s", str(path), "watch", "-i", "0.1"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watch:
        watch.stdout.readline(), watch.stdout.readline()
        daemon.close()
        path.unlink()
        said = watch.stderr.readline().decode()
        assert "; trying again" in said, said
        daemon = Fake(path)
        daemon.answers["status"]["worker_pid"] = 9
        while "another worker: process 9" not in watch.stdout.readline().decode():
            assert watch.poll() is None
        watch.terminate()
        assert watch.wait(10) == -signal.SIGTERM
    daemon.close()


# ---- top -------------------------------------------------------------------------------------

def many(daemon, number):
    daemon.answers["status"].update(uptime_ms=1000 + 1000 * number, sessions_active=60)
    daemon.answers["sessions"] = [session(i, bytes_up=i * 1024 * number) for i in range(1, 61)]


@contextlib.contextmanager
def top(env, *options, rows=24, columns=100, tick=many):
    with fake(env, tick=tick) as (daemon, _):
        yield daemon, Terminal([str(env.binary("splicectl")), "-s", str(daemon.path), "top",
                                "-i", "0.2", *options], rows, columns)


@case(engines=())
def test_top_on_a_terminal(env):
    with top(env) as (daemon, terminal):
        lines = terminal.wait(lambda lines: any("60.0 KiB/s" in line for line in lines), "rates")
        assert len(lines) == 24 and max(map(len, lines)) <= 100, lines
        assert lines[1] .startswith("spliced 1.2, up ") and "Sessions  60 of 100" in lines[2]
        head = next(i for i, line in enumerate(lines) if line.split()[:2] == ["ID", "RATE"])
        assert [int(line.split()[0]) for line in lines[head + 1:]] \
            == list(range(60, 60 - (len(lines) - head - 1), -1))
        assert not terminal.flags() & (termios.ICANON | termios.ECHO)
        terminal.resize(10, 40)
        lines = terminal.wait(lambda lines: len(lines) == 10 and max(map(len, lines)) <= 40, "a small one")
        daemon.close()
        terminal.wait(lambda lines: "cannot connect" in lines[0] or "no answer" in lines[0], "it is gone")
        terminal.type(b"x\0q")
        assert terminal.ended() == 0
        assert terminal.output.startswith(b"\x1b[?1049h") and terminal.output.endswith(b"\x1b[?1049l")


@case(engines=())
def test_top_leaves_the_terminal_as_it_was(env):
    for how in (b"q", b"\x03", signal.SIGTERM, signal.SIGHUP):
        with top(env) as (_, terminal):
            terminal.wait(lambda lines: len(lines) > 10, "a picture")
            if isinstance(how, bytes):
                terminal.type(how)
            else:
                os.kill(terminal.pid, how)
            status = terminal.ended()
            assert status == {b"q": 0, b"\x03": -signal.SIGINT}.get(how, -how if isinstance(how, int) else 0)
            assert terminal.output.count(b"\x1b[?1049l") == terminal.output.count(b"\x1b[?25h") == 1
        (env.tmp / "fake.sock").unlink()


@case(engines=())
def test_top_that_is_stopped(env):
    """While it is, the terminal is somebody else's; then it goes on."""
    with top(env) as (_, terminal):
        terminal.wait(lambda lines: len(lines) > 10, "a picture")
        # Of a session's leader SIGTSTP's own effect is none: its group is orphaned. So it goes on
        # at once, having put the terminal right and taken it again.
        terminal.type(b"\x1a")
        wait_until(lambda: terminal.read().count(b"\x1b[?1049h") == 2, 10, "it takes the terminal again")
        assert terminal.output.count(b"\x1b[?1049l") == 1
        assert not terminal.flags() & termios.ICANON
        terminal.type(b"q")
        assert terminal.ended() == 0


@case(engines=())
def test_top_without_a_terminal(env):
    with fake(env, tick=many) as (daemon, control):
        done = control("top", "-i", "0.1", "--limit", "3", "-f", "id<50", "--sort", "id")
        assert daemon.asked == ["status", "stats", "sessions"] * 2
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == "spliced 1.2, up 2.0s, engine kernel, running", lines
    assert [line.split()[:3] for line in lines[-3:]] \
        == [["49", "49.0", "KiB/s"], ["48", "48.0", "KiB/s"], ["47", "47.0", "KiB/s"]], lines


# ---- a daemon ----------------------------------------------------------------------------------

def test_top_and_watch_of_a_daemon(env):
    daemon = env.spliced([env.backend().address, "b 127.0.0.1:1 backup"])
    with connect(daemon.address()) as client:
        client.sendall(b"x" * 70_000)
        read_exactly(client, 70_000)
        daemon.wait_sessions(1)
        for words in (("top", "-i", "0.2"), ("watch", "-i", "0.2", "-c", "2"), ("watch", "-j", "-c", "1")):
            done = process.run(daemon.control_tool, "-s", daemon.control_path, *words)
            assert done.stdout and not done.stderr, done
            if words[0] == "top":
                lines = done.stdout.splitlines()
                assert f"engine {env.engine}, running" in lines[0]
                assert lines[-1].split()[-2].startswith("127.0.0.1:") and "main/a" in lines[-1], lines
