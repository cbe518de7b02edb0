# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtual machine with systemd as its first process, as `vm boot` makes them: shell scripts are run in it."""

import base64
import contextlib
import json
import os
import select
import subprocess
import tempfile
import time

from . import env, machines

SLOWER = 6.0        # than the development machine: what an emulated one may take
BOOT = 60.0         # seconds, before that factor, as all that follow
SCRIPT = 20.0
HOST = "/run/vm/host"   # where the guest sees the host's tree


class Dead(AssertionError):
    """The machine does not answer any more."""


class Ended(Dead):
    """It is no more."""


class Answer:
    """How a script ended, and what it wrote."""

    def __init__(self, status, text):
        self.status, self.text = status, text

    def __repr__(self):
        return f"exit {self.status}: {self.text.strip()}"


class Guest:
    """The machine, running. Everything in it is root's."""

    def __init__(self, kernel, disk, seconds):
        self.name = f"vm-{kernel}"
        self.said = tempfile.TemporaryFile("w+")
        self.command = [str(machines.VM), "boot", kernel, "--disk", str(disk), "--timeout", str(seconds),
                        "--memory", "1024"]
        self.load = f"{HOST}{env.build_dir()}/tests/spliced-load"
        self._start()

    def _start(self):
        self.process = subprocess.Popen(self.command, cwd=env.ROOT, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.said)
        self.rest = b""

    def boot(self):
        """Waits until it takes scripts. One that dies before is started once more, for the reason that
        Machine.start_again() gives; the line about that, or ""."""
        told = ""
        try:
            line = self._line(BOOT)
        except Ended:
            if self.process.wait() != machines.DIED:
                raise
            told = machines.died_at_once(self.name, self.messages().splitlines())
            self._close()
            self._start()
            line = self._line(BOOT)
        assert line == b"ready", line
        return told

    def _line(self, seconds):
        deadline = time.monotonic() + seconds * SLOWER
        while b"\n" not in self.rest:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                raise Dead(f"no answer within {seconds * SLOWER:.0f} s")
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            if not data:
                raise Ended("it has ended")
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\n")
        return line.strip()

    def _tell(self, script, seconds):
        """Hands over a script, which is ended after these seconds."""
        limit = int(seconds * SLOWER)
        guarded = f"exec timeout -k 5 {limit} sh -c \"$(echo {_encoded(script)} | base64 -d)\""
        try:
            self.process.stdin.write(_encoded(guarded).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Ended("it has ended") from None

    def ask(self, script, seconds=SCRIPT):
        """The Answer of a script, which is ended after these seconds."""
        self._tell(script, seconds)
        status, _, text = self._line(seconds + 30).partition(b" ")
        return Answer(int(status), base64.b64decode(text).decode(errors="replace"))

    def sh(self, script, seconds=SCRIPT):
        """What a script writes; it must succeed."""
        answer = self.ask(script, seconds)
        assert answer.status == 0, f"{script}: {answer}"
        return answer.text

    def json(self, script, seconds=SCRIPT):
        return json.loads(self.sh(script, seconds))

    def wait(self, script, seconds=SCRIPT):
        """Until a script succeeds, which it must in time; what it writes then."""
        return self.sh(f"until {{ {script}; }} >output.wait 2>&1; do sleep 0.1; done; cat output.wait", seconds)

    def write(self, path, text):
        self.sh(f"echo {_encoded(text)} | base64 -d >{path}")

    def power_off(self):
        """Ends it; its exit status, see tests/vm/vm. What takes the scripts is ended too, and may not
        come to answer."""
        self._tell("systemctl --no-block poweroff", SCRIPT)
        return self.process.wait(BOOT * SLOWER)

    def messages(self):
        """What the program that holds it said."""
        self.said.seek(0)
        return self.said.read()

    def end(self):
        """Kills it, if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
        self._close()
        self.said.close()

    def _close(self):
        with contextlib.suppress(BrokenPipeError):  # of what it did not take
            self.process.stdin.close()
        self.process.stdout.close()


def _encoded(text):
    return base64.b64encode(text.encode()).decode()
