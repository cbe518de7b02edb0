# SPDX-License-Identifier: GPL-2.0-or-later
"""The load tool, build/tests/spliced-load, as an object."""

import json
import queue
import signal
import subprocess
import threading

from . import wait
from .wait import Deadline, TimeoutReached


class LoadFailed(AssertionError):
    """A byte was wrong, or a session did not go as the scenario says."""


def explain(result):
    """The part of a bad result that a person needs."""
    wanted = ("problem", "sessions", "client_endings", "server_endings", "n_errors")
    lines = ["  " + json.dumps({key: result[key] for key in wanted if key in result})]
    lines += ["  error " + json.dumps(error) for error in result["errors"][:5]]
    lines += ["  session " + json.dumps(failure) for failure in result["failures"][:5]]
    return "\n".join(lines)


class Load:
    """A run of spliced-load. Its backend listens when the constructor returns.

    load = Load(binary, "--sessions", 10); load.go(proxy_address); load.finish()
    """

    def __init__(self, binary, *options, listen="127.0.0.1:0", timeout=40, prefix=()):
        listens = [listen] if isinstance(listen, str) else listen
        command = [*prefix, str(binary), "--timeout", str(timeout)]
        for address in listens:
            command += ["--listen", address]
        command += [str(option) for option in options]
        self.command = command
        self.deadline = Deadline(timeout + 5)
        self.lines = queue.Queue()
        self.result = None
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        self.errors = []
        threading.Thread(target=self._read_errors, daemon=True).start()
        self.backends = self._expect("backend")["backends"]
        self.backend = self.backends[0]

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def _read_errors(self):
        for line in self.process.stderr:
            self.errors.append(line)

    def _expect(self, key):
        """The next line with that key. The final result ends every wait."""
        while self.result is None:
            try:
                line = self.lines.get(timeout=max(0.01, self.deadline.left()))
            except queue.Empty:
                raise TimeoutReached(f"no \"{key}\" from the load tool in time") from None
            if line is None:
                raise LoadFailed(f"the load tool ended (exit {self.process.wait()}): "
                                 + "".join(self.errors))
            message = json.loads(line)
            if "ok" in message:
                self.result = message
            elif key in message:
                return message
        if key == "ok":
            return self.result
        raise LoadFailed(f"the load ended while \"{key}\" was waited for:\n"
                         + explain(self.result))

    def send(self, line):
        """A line on its stdin: go, resume, stats."""
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass    # it has ended: its result says how

    def go(self, *proxies):
        """Tells it where the proxy is: the clients start."""
        self.send(" ".join(proxies))
        return self

    def wait_idle(self):
        """Until every idle session has exchanged its few bytes."""
        self._expect("event")

    def stats(self):
        """What was moved so far."""
        self.send("stats")
        return self._expect("progress")["progress"]

    def finish(self):
        """The result, whatever it is."""
        self._expect("ok")
        self.process.wait(timeout=10 * wait.SCALE)
        return self.result

    def ok(self):
        """The result, which must be good."""
        result = self.finish()
        if not result["ok"] or self.process.returncode != 0:
            raise LoadFailed(f"{' '.join(self.command)}:\n{explain(result)}")
        return result

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
