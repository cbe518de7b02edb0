# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs: running them for a bounded time, and ending what is left of them."""

import ctypes
import os
import signal
import subprocess
import time

from . import wait

PR_SET_CHILD_SUBREAPER = 36


def run(*command, timeout=20, check=True, **options):
    """Runs a program to its end, in that time (on a slow machine in more); the CompletedProcess
    with text output."""
    done = subprocess.run([str(word) for word in command], text=True,
                          timeout=timeout * wait.SCALE,
                          capture_output=True, stdin=subprocess.DEVNULL, check=False, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n"
                             f"{done.stdout}{done.stderr}")
    return done


def become_subreaper():
    """Orphans among the descendants become our children, and can be found."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def stat_fields(pid):
    """The fields of /proc/PID/stat from the state on; None if the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def name(pid):
    """What the kernel calls it; "" if the process is gone."""
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii", errors="replace") as comm:
            return comm.read().rstrip("\n")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def stop(pid, seconds=5):
    """SIGSTOP, and waits until none of its threads runs any more: some go on for a moment."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + seconds
    while any(state in "RSD" for state in thread_states(pid)):
        assert time.monotonic() < deadline, f"{pid} does not stop"
        time.sleep(0.001)


def thread_states(pid):
    """The state letters of its threads, as in /proc/PID/stat."""
    states = []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/stat", encoding="utf-8", errors="replace") as file:
                states.append(file.read().rpartition(")")[2].split()[0])
        except OSError:     # it has ended
            pass
    return states


def is_gone(pid):
    """Whether it has ended, collected by its parent or not: all of its threads, for each of them
    keeps what the process has open."""
    fields = stat_fields(pid)
    if fields and fields[0] not in "ZX":
        return False
    try:
        return len(os.listdir(f"/proc/{pid}/task")) <= 1
    except (FileNotFoundError, ProcessLookupError):
        return True


def kill_and_wait(pid, seconds=5):
    """SIGKILL, and until the process is no more; it need not be a child."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    wait.wait_until(lambda: is_gone(pid), seconds, f"process {pid} is gone", poll=0.005)


def descendants(pid):
    """Every living descendant of a process, parents first."""
    children = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        fields = stat_fields(name)
        if fields and fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(name))
    found, queue = [], [pid]
    while queue:
        for child in children.get(queue.pop(0), []):
            found.append(child)
            queue.append(child)
    return found


def reap():
    """Collects children that ended; those of subprocess.Popen included, so only use it last."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass


def kill_descendants(pid, seconds=5.0):
    """Kills the descendants of a process; True if none is left within the time."""
    deadline = time.monotonic() + seconds
    while True:
        left = descendants(pid)
        if not left:
            return True
        for child in left:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if pid == os.getpid():
            reap()
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
