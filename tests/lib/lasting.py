# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads that last until they are told to stop, and then tell that nothing has gone wrong."""

import re
import signal
import subprocess
import threading

from . import programs


class Wrk:
    """wrk, until it is told to stop; then it has seen no error and no other answer than 200. A request
    may wait as long as a server hangs in a test."""

    def __init__(self, address, *options):
        self.process = subprocess.Popen(
            [programs.find("wrk"), "-t1", "-d1h", "--timeout",
             str(int(programs.scaled(60))), *map(str, options),
             f"http://{address}/"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def errors(self):
        """(how many requests it made, {kind: number} of errors: connect, read, write, timeout)"""
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=programs.scaled(20))[0]
        match = re.search(r"^\s+(\d+) requests in", said, re.MULTILINE)
        assert match and int(match[1]) > 0 and "Non-2xx" not in said, said
        errors = re.search(r"Socket errors: (.*)", said)
        words = re.findall(r"(\w+) (\d+)", errors[1]) if errors else []
        return int(match[1]), {kind: int(number) for kind, number in words if int(number)}

    def check(self):
        """How many requests it made."""
        requests, errors = self.errors()
        assert not errors, errors
        return requests

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Repeated:
    """Calls `once` again and again in a thread until it is told to stop; none may have failed."""

    def __init__(self, once):
        self.once, self.over, self.problem, self.number = once, threading.Event(), None, 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            while not self.over.is_set():
                self.once()
                self.number += 1
        except Exception as error:  # pylint: disable=broad-except
            self.problem = error

    def check(self):
        """How often it was called."""
        self.over.set()
        self.thread.join(programs.scaled(60))
        assert not self.thread.is_alive(), "it does not end"
        if self.problem:
            raise self.problem
        return self.number

    def close(self):
        self.over.set()
