# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon under test: a parent, which a test starts and sends signals to, and its worker process."""

import json
import os
import re
import signal
import subprocess
import time

from . import host, process
from .wait import wait_until

SANITIZER = re.compile(r"ERROR: (Address|Leak|Thread|Memory)Sanitizer|: runtime error: ")

SESSION_MAPS = (("sockets", "engaged", "lane_of"), ("joined", "outlet", "bypass_of"))


def config_text(sections):
    """A configuration file from {section: {key: value}}; a list value is written line by line."""
    lines = []
    for section, options in sections.items():
        lines.append(f"[{section}]")
        for key, value in options.items():
            for item in value if isinstance(value, (list, tuple)) else [value]:
                lines.append(f"{key} = {item}")
        lines.append("")
    return "\n".join(lines)


def parse_session(line):
    """{key: text} of an access line."""
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


class Spliced:
    """A running daemon with a configuration of its own.

    Use env.spliced(), which writes the configuration for the engine under test and checks the
    daemon at the end of the test.
    """

    def __init__(self, binary, control_tool, directory, name, config, prefix=(), environment=None):
        self.binary, self.control_tool = str(binary), str(control_tool)
        self.config_path = directory / f"{name}.conf"
        self.log_path = directory / f"{name}.log"
        self.control_path = directory / f"{name}.sock"
        self.prefix, self.environment = list(prefix), environment
        self.pass_fds = ()                      # descriptors that it inherits
        self.allow_integrity_aborts = False     # for tests that provoke them
        self.may_be_killed = False              # for tests that do that
        self.process = None
        self.write_config(config)

    def write_config(self, config):
        """Replaces the configuration file: for SIGHUP."""
        if isinstance(config, dict):
            config = config_text(config)
        # Never half of it, whoever reads it meanwhile.
        fresh = self.config_path.with_name(self.config_path.name + ".new")
        fresh.write_text(config, encoding="utf-8")
        fresh.replace(self.config_path)

    def start(self, seconds=20, output=None):
        """Starts it and waits until it answers. Its log goes to the descriptor `output`, where
        that is given: then log() and what builds on it know nothing."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, self.binary, "-c", str(self.config_path)], stdin=subprocess.DEVNULL,
                stdout=output or log, stderr=output or log, env=self.environment,
                pass_fds=self.pass_fds)
        wait_until(self._answers, seconds, lambda: self._hangs("splicectl status answers"))
        return self

    def _hangs(self, what):
        """What was waited for, and where its processes are."""
        return f"{what}; its log:\n{self.log_tail()}\n{process.where(self.pid)}"

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"spliced ended at start, exit {self.process.returncode}:\n"
                                 + self.log_tail())
        return self.control("status", check=False)

    @property
    def pid(self):
        """Of the parent."""
        return self.process.pid

    def worker_pids(self):
        """Of the worker processes, the newest last: there are several in an upgrade."""
        found = []
        for pid in process.descendants(self.pid):
            fields = process.stat_fields(pid)
            if fields and process.name(pid) == "spliced-worker":
                found.append((int(fields[19]), pid))
        return [pid for _, pid in sorted(found)]

    @property
    def worker_pid(self):
        """Of the process that has the sessions."""
        pids = self.worker_pids()
        assert pids, f"there is no worker process:\n{self.log_tail()}"
        return pids[-1]

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def control(self, *command, check=True, timeout=15):
        """The JSON answer of splicectl; None when it failed and check is false."""
        done = process.run(self.control_tool, "-s", self.control_path, "--json", *command,
                           check=check, timeout=timeout)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def status(self):
        return self.control("status")

    def stats(self):
        return self.control("stats")

    def try_stats(self):
        """The counters, or None from a daemon that does not answer."""
        try:
            return self.control("stats", check=False) if self.running else None
        except (subprocess.TimeoutExpired, ValueError):
            return None

    def sessions(self):
        return self.control("sessions")

    def server(self, name):
        """The entry of a server in the status, whatever its pool."""
        for pool in self.status()["pools"]:
            for server in pool["servers"]:
                if server["name"] == name:
                    return server
        raise AssertionError(f"no server {name} in the status")

    def address(self, listener="web", index=0):
        """Where a listener is bound, port included."""
        for entry in self.status()["listeners"]:
            if entry["name"] == listener:
                return entry["bind"][index]
        raise AssertionError(f"no listener {listener} in the status")

    def log(self):
        """The lines written so far. The last one may be there in part only, where a page ends."""
        if not self.log_path.exists():
            return []
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        return text[:text.rfind("\n") + 1].splitlines()

    def log_tail(self, lines=30):
        return "\n".join(self.log()[-lines:])

    def _settled(self):
        """Waits until the log is quiet: lines are written by a thread, which gathers them for 10 ms."""
        size = None
        for _ in range(20):     # somebody may go on for ever
            before, size = size, self.log_path.stat().st_size if self.log_path.exists() else 0
            if size == before:
                return
            time.sleep(0.03)

    def access_log(self):
        """The access lines, as dicts of text, once no more come."""
        self._settled()
        return [parse_session(line) for line in self.log()
                if re.search(r"\bsession id=\d+ client=", line)]

    def wait_access(self, number=1, seconds=5):
        """The access lines once there are that many."""
        def enough():
            lines = self.access_log()
            return lines if len(lines) >= number else None
        return wait_until(enough, seconds, f"{number} access lines", poll=0.05)

    def wait_sessions(self, number, seconds=5):
        """Until so many sessions are open."""
        wait_until(lambda: self.status()["sessions_active"] == number, seconds,
                   f"{number} sessions open", poll=0.05)

    def fds(self):
        return host.fd_count(self.worker_pid)

    def rss(self):
        return host.rss(self.worker_pid)

    def cpu_seconds(self):
        return host.cpu_seconds(self.worker_pid)

    def map_entries(self):
        """{map: entries} of the maps that hold something per session: all those of the kernel
        engine, and all those of the bypass, where it has any of them."""
        maps = host.bpf_maps(self.worker_pid)
        return {name: host.map_entries(maps[name]) for group in SESSION_MAPS
                if any(name in maps for name in group) for name in group}

    def signal(self, number):
        """To the parent; what stops a process is for all of the daemon."""
        if number == signal.SIGSTOP:
            for pid in self.worker_pids():
                process.stop(pid)
        elif number == signal.SIGCONT:
            for pid in self.worker_pids():
                os.kill(pid, number)
        self.process.send_signal(number)

    def wait_exit(self, seconds):
        """The exit status, in time."""
        return wait_until(lambda: self.process.poll() is not None and (self.process.returncode,),
                          seconds, lambda: self._hangs("spliced ends"), poll=0.01)[0]

    def stop(self, seconds=10):
        """SIGTERM; it must end with 0 in time."""
        self.signal(signal.SIGTERM)
        status = self.wait_exit(seconds)
        assert status == 0, f"spliced ended with {status} after SIGTERM:\n{self.log_tail()}"

    def kill(self):
        """SIGKILL for all of it, as a test's deed."""
        self.may_be_killed = True
        workers = self.worker_pids()
        self.signal(signal.SIGKILL)
        self.process.wait()
        for pid in workers:
            process.kill_and_wait(pid)

    def check_and_end(self):
        """What must hold at the end of every test; the daemon is gone afterwards."""
        if self.process is None:
            return
        try:
            if self.running:
                self._check_alive()
                self._check_exit(self._end())
            else:
                self._check_exit(self.process.returncode)
        finally:
            if self.running:
                self.kill()
        self._check_log()

    def _end(self):
        """Ends it with as many SIGTERM as it takes: sessions may be open, and two signals at
        once may arrive as one."""
        def ended():
            if self.process.poll() is not None:
                return (self.process.returncode,)
            self.signal(signal.SIGTERM)
            return None
        return wait_until(ended, 15, lambda: self._hangs("spliced ends after SIGTERM"), poll=0.1)[0]

    def _check_alive(self):
        if not self.allow_integrity_aborts:
            aborts = self.stats()["integrity_aborts"]
            assert aborts == 0, f"{aborts} sessions were aborted for their integrity"

    def _check_exit(self, status):
        if status == -signal.SIGKILL and self.may_be_killed:
            return
        assert status == 0, f"spliced ended with {status}:\n{self.log_tail()}"

    def _check_log(self):
        for line in self.log():
            assert not SANITIZER.search(line), f"a sanitizer reports: {line}"
            if not self.allow_integrity_aborts:
                assert "end=integrity" not in line, line
