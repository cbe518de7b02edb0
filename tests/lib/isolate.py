# SPDX-License-Identifier: GPL-2.0-or-later
"""Each test in a process of its own, in a session of its own, for a bounded time."""

import inspect
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from . import cgroup, netns, process, turn, wait
from .case import Skip
from .env import Env

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"
TAIL = 30


class Outcome:
    """How a test went."""

    def __init__(self, name, verdict, seconds=0.0, reason="", details=""):
        self.name, self.verdict, self.seconds = name, verdict, seconds
        self.reason, self.details = reason, details


def where(error, function):
    """FILE:LINE of the test's own line that failed."""
    path = inspect.unwrap(function).__code__.co_filename
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
             if frame.filename == path]
    return f"{Path(path).name}:{lines[-1]}: " if lines else ""


def indent(text):
    return "".join(f"    {line}\n" for line in text.splitlines())


def perform(function, env):
    """Runs the test and its clean-up in this process; (verdict, reason, details)."""
    failure = None
    try:
        function(env)
    except Skip as skip:
        env.close(check=False)
        return SKIP, str(skip), ""
    except BaseException as error:  # whatever it is, it is the test's result
        failure = error
    counters = env.counters() if failure else ""
    try:
        env.close(check=failure is None)
    except BaseException as error:
        failure = failure or error
    if failure is None:
        return PASS, ", ".join(env.notes), ""
    text = str(failure) or "(no message)"
    if not isinstance(failure, AssertionError):
        text = f"{type(failure).__name__}: {text}"
    details = "".join(traceback.format_exception(failure))
    logs = "".join(f"{name}:\n{indent(tail)}" for name, tail in env.logs().items())
    return FAIL, where(failure, function) + text, details + counters + logs


class Running:
    """A test on its way, seen from the runner."""

    def __init__(self, test, options, its_turn):
        self.test, self.options, self.turn = test, options, its_turn
        self.tmp = Path(tempfile.mkdtemp(prefix="spliced-test-"))
        self.tmp.chmod(0o755)   # a daemon that changes its user reaches its socket
        self.started = time.monotonic()
        self.deadline = self.started + test.case.timeout * wait.SCALE
        self.pipe, writer = os.pipe()
        os.set_blocking(self.pipe, False)   # a stray grandchild may keep it open
        self.received = b""
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            self._child(writer)
        os.close(writer)

    def _child(self, writer):
        """Never returns."""
        try:
            turn.forget()
            os.setsid()
            process.become_subreaper()
            output = os.open(self.tmp / "output", os.O_WRONLY | os.O_CREAT, 0o644)
            for fd in (1, 2):
                os.dup2(output, fd)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.set_inheritable(writer, False)
            env = Env(self.tmp, self.test.engine, vm=self.options.vm, quick=self.options.quick,
                      full=self.options.full, debug=self.test.debug)
            result = perform(self.test.function, env)
            left = process.left_behind(os.getpid())
            process.kill_descendants(os.getpid())
            if left and result[0] == PASS:
                result = (FAIL, f"left {len(left)} processes behind", "")
            os.write(writer, json.dumps(result).encode())
        except BaseException:  # pragma: no cover - the runner says what it knows
            traceback.print_exc()
        finally:
            os._exit(0)

    def poll(self):
        """The Outcome once the test has ended or its time is over, else None."""
        try:
            ended, _ = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            ended = self.pid
        if ended:
            return self._outcome()
        if time.monotonic() >= self.deadline:
            return self._expire()
        return None

    def read(self):
        """Takes what the child wrote; false when there is no more."""
        try:
            data = os.read(self.pipe, 1 << 16)
        except BlockingIOError:
            return False
        self.received += data
        return bool(data)

    def _seconds(self):
        return time.monotonic() - self.started

    def _logs(self):
        parts = []
        for path in sorted(self.tmp.glob("*.log")) + [self.tmp / "output"]:
            if path.exists():
                lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
                parts.append(f"{path.name}:\n" + indent("\n".join(lines)))
        return "".join(parts)

    def _expire(self):
        details = self._logs() + process.where(self.pid)
        process.kill_descendants(self.pid)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._clean_up()
        return Outcome(self.test.name, FAIL, self._seconds(),
                       f"not over after {self.deadline - self.started:.0f} s", details)

    def _outcome(self):
        while self.read():
            pass
        seconds = self._seconds()
        try:
            verdict, reason, details = json.loads(self.received)
        except ValueError:
            verdict, reason, details = FAIL, "the test's process died", self._logs()
        self._clean_up()
        return Outcome(self.test.name, verdict, seconds, reason, details)

    def _clean_up(self):
        os.close(self.pipe)
        self.turn.release()
        for pid in os.listdir("/proc"):
            fields = process.stat_fields(pid) if pid.isdigit() else None
            if fields and int(fields[3]) == self.pid and fields[0] != "Z":
                os.kill(int(pid), signal.SIGKILL)
        cgroup.remove_of(self.pid)
        names = self.tmp / "netns"
        if names.exists():
            for name in names.read_text(encoding="ascii").split():
                netns.delete(name)
        if not self.options.keep:
            shutil.rmtree(self.tmp, ignore_errors=True)
