# SPDX-License-Identifier: GPL-2.0-or-later
"""Child processes that never outlive the benchmark, and what they cost."""

import ctypes
import os
import resource
import signal
import socket
import subprocess
import time

from cgroups import Cgroup

PR_SET_PDEATHSIG = 1
FILE_LIMIT = 131072
_libc = ctypes.CDLL(None)


class Failure(Exception):
    """Something a user should read in one line."""


def raise_file_limit():
    """Raises the descriptor limit as far as this machine allows; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(FILE_LIMIT, hard), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            return limit
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def free_port():
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def child_setup(cgroup=None):
    """What a child does before it becomes another program: for preexec_fn."""
    def setup():
        # Should the benchmark itself be killed, its children are told to end.
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if cgroup:
            cgroup.join()
    return setup


class Processes:
    """Started programs; leaving the context stops them all, also after a failure."""

    def __init__(self):
        self.running = []
        self.cgroups = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.running[:]):
            self.stop(process)
        for cgroup in self.cgroups:
            cgroup.__exit__()

    def own_cgroup(self, name):
        """A cgroup for one program, as service managers and containers make it; it goes with them.

        What a program attaches to its own cgroup would run for all sockets of the machine else.
        """
        self.cgroups.append(Cgroup(f"{name}-{len(self.cgroups)}").__enter__())
        return self.cgroups[-1]

    def start(self, command, cgroup=None, **options):
        """Starts a program as the leader of its own process group."""
        process = subprocess.Popen(command, start_new_session=True,
                                   preexec_fn=child_setup(cgroup), **options)
        self.running.append(process)
        return process

    def stop(self, process):
        """Asks a program to end, and ends what is left of its group."""
        group = process.pid
        process.terminate()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.terminate()  # a second one cuts a drain short
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()
        self.running.remove(process)


def family(root):
    """A process and all its descendants."""
    children = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def memory(root):
    """Rss and Pss in bytes, summed over a process and its descendants."""
    total = {"Rss": 0, "Pss": 0}
    for pid in family(root):
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
                lines = file.readlines()
        except OSError:
            continue
        for line in lines:
            name, _, rest = line.partition(":")
            if name in total:
                total[name] += int(rest.split()[0]) * 1024
    return total


def machine_available():
    """MemAvailable in bytes: includes what sockets and BPF maps take inside the kernel."""
    with open("/proc/meminfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    raise Failure("/proc/meminfo has no MemAvailable")


def busy_seconds():
    """CPU seconds of the whole machine, without idle, iowait and steal."""
    with open("/proc/stat", encoding="utf-8") as file:
        ticks = [int(field) for field in file.readline().split()[1:]]
    return (sum(ticks[:3]) + sum(ticks[5:7])) / os.sysconf("SC_CLK_TCK")


def idle_cost(seconds):
    """Busy CPU seconds per second while nothing is measured."""
    before, start = busy_seconds(), time.monotonic()
    time.sleep(seconds)
    return (busy_seconds() - before) / (time.monotonic() - start)
