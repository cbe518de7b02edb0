# SPDX-License-Identifier: GPL-2.0-or-later
"""Completion in bash: sourced, and asked what it replies."""

import os
import subprocess
import time

from lib import case, connect, process, read_exactly
from lib.env import ROOT
from lib.fakecontrol import Fake
from lib.terminal import Terminal

SCRIPT = ROOT / "conf/bash-completion"
ASK = r"""
set -u
. "$1"
COMP_LINE=$2 COMP_POINT=${3:-${#2}} COMPREPLY=()
"_${4:-splicectl}"
printf '%s\n' "${COMPREPLY[@]}"
"""


def complete(env, line, point=None, program="splicectl", cwd=None):
    """The replies at the end of a line, or at a point of it."""
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK, "bash", str(SCRIPT), line, "" if point is None else str(point), program],
        env={**os.environ, "PATH": f"{env.build}:{os.environ['PATH']}"}, cwd=cwd, text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.split()


@case(engines=())
def test_commands_and_options(env):
    usage = process.run(env.binary("splicectl"), "--help").stdout
    every = complete(env, "splicectl ")
    assert {"status", "sessions", "top", "watch"} <= set(every), every
    assert all(f"\n  {name} " in usage for name in every)
    options = complete(env, "splicectl sessions -")
    assert {"--json", "--filter=", "--sort=", "--socket=", "--help"} <= set(options), options
    assert all(option in usage for option in options)
    assert len(options) == len(set(options)) >= 10
    for line, replies in (
            ("splicectl s", ["status", "sessions", "stats"]), ("splicectl --json sess", ["sessions"]),
            ("splicectl -i 2 wat", ["watch"]), ("splicectl status ", []), ("splicectl x", []),
            ("splicectl sessions --so", ["--socket=", "--sort="]), ("splicectl --sort b", ["backend", "bytes"]),
            ("splicectl sessions --sort=pa", ["pauses"]), ("splicectl top --sort ra", ["rate"]),
            ("splicectl sessions --sort ra", []), ("splicectl top -f ", None),
            ("splicectl sessions --filter=en", ["engine=", "engine_reason="]),
            ("splicectl sessions -f engine=", ["kernel", "copy", "bypass"]),
            ("splicectl sessions --filter=engine!=c", ["copy"]),
            ("splicectl sessions -f state=half", ["half_closed"]), ("splicectl sessions -f age=", []),
            ("splicectl sessions --limit ", []), ("splicectl -i ", [])):
        got = complete(env, line)
        assert got == replies if replies is not None else "pool=" in got and "rate=" in got, (line, got)
    assert complete(env, "splicectl stat --json", 14) == ["status", "stats"]


@case(engines=())
def test_options_of_the_daemon(env):
    assert complete(env, "spliced d", program="spliced") == ["doctor"]
    assert complete(env, "spliced --engine=", program="spliced") == ["auto", "kernel", "copy"]
    assert complete(env, "spliced --dump", program="spliced") == ["--dump-config"]
    (env.tmp / "a b.conf").touch()
    (env.tmp / "ab.conf").touch()
    for line in ("spliced -c ab", "spliced --config=ab"):
        assert complete(env, line, program="spliced", cwd=env.tmp) == ["ab.conf"]
    assert sorted(complete(env, "splicectl -s a", cwd=env.tmp)) == ["a", "ab.conf", "b.conf"]


def test_names_of_a_daemon(env):
    daemon = env.spliced([env.backend().address, "spare 127.0.0.1:1 backup"],
                         more={"pool other": {"server": "x 127.0.0.1:1"}},
                         listener={"route": "src:10.0.0.0/8 -> other"})
    with connect(daemon.address()) as client:
        client.sendall(b"x")
        read_exactly(client, 1)
        daemon.wait_sessions(1)
        ask = f"splicectl -s {daemon.control_path} sessions -f "
        for test, names in (("pool=", ["main", "other"]), ("pool!=o", ["other"]), ("server=s", ["spare"]),
                            ("listener=", ["web"]), ("id=", [str(daemon.sessions()[0]["id"])])):
            assert complete(env, ask + test) == names, test
        assert complete(env, f"splicectl --socket={daemon.control_path} sessions --filter=pool=m") == ["main"]


@case(engines=())
def test_arguments_of_commands(env):
    """A command that takes a server, a pool or a session says so in its help."""
    bin_ = env.tmp / "bin"
    bin_.mkdir()
    (bin_ / "splicectl").write_text(r"""#!/bin/sh
case "$*" in
--help) printf 'Commands:\n  stop POOL/SERVER  x\n  fill POOL  x\n  end SESSION  x\n\nOptions:\n' ;;
*pools) printf 'POOL  BALANCE  SERVER\np  rr  a\np  rr  b\nq  rr  $(touch${IFS}taken)\nq  rr  `id`\n' ;;
*sessions) printf 'ID  LISTENER\n 7  web\n12  web\n' ;;
esac
""", encoding="ascii")
    (bin_ / "splicectl").chmod(0o755)
    program = str(bin_ / "splicectl")
    for line, replies in (("stop ", ["p/a", "p/b"]), ("stop p/b", ["p/b"]), ("fill ", ["p", "q"]),
                          ("end 1", ["12"]), ("", ["stop", "fill", "end"])):
        assert complete(env, f"{program} {line}", cwd=env.tmp) == replies, line
    assert not (env.tmp / "taken").exists()


@case(engines=())
def test_a_daemon_that_does_not_answer(env):
    """A second at most, and nothing said."""
    assert complete(env, f"splicectl -s {env.tmp}/nobody sessions -f pool=") == []
    silent = Fake(env.tmp / "silent.sock", tick=lambda *_: time.sleep(60))
    assert complete(env, f"splicectl -s {silent.path} sessions -f listener=") == []
    silent.close()


@case(engines=())
def test_typed_into_bash(env):
    fake = Fake(env.tmp / "c.sock", answers={"pools": [
        {"name": "shop", "balance": "rr", "servers": [{"name": "a", "address": "x", "addresses": []}]}]})
    terminal = Terminal(["/usr/bin/env", f"PATH={env.build}:{os.environ['PATH']}", "PS1=ready> ", "bash",
                         "--norc", "-i"])
    terminal.type(f". {SCRIPT}; cd {env.tmp}; clear\n".encode())
    terminal.await_text(b"ready> ")
    terminal.type(b"splicectl -s c.so\tsess\t--filt\tpo\tsh\t")
    terminal.await_text(b"splicectl -s c.sock sessions --filter=pool=shop")
    terminal.type(b"\x15exit\n")
    terminal.ended()
    fake.close()
