# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs: running them for a bounded time, and ending what is left of them."""

import ctypes
import os
import re
import signal
import subprocess
import time

from . import wait

PR_SET_CHILD_SUBREAPER = 36


class NotOver(subprocess.TimeoutExpired):
    """A program that did not end in time, and where it was then."""

    def __init__(self, expired, place):
        super().__init__(expired.cmd, expired.timeout, expired.output, expired.stderr)
        self.place = place

    def __str__(self):
        said = b"".join(text for text in (self.output, self.stderr) if text)
        return f"{super().__str__()}\n{said.decode(errors='replace')}{self.place}"


def run(*command, timeout=20, check=True, **options):
    """Runs a program to its end, in that time (on a slow machine in more); the CompletedProcess
    with text output. NotOver says where one was that has not ended."""
    command = [str(word) for word in command]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, **options) as program:
        try:
            stdout, stderr = program.communicate(timeout=timeout * wait.SCALE)
        except subprocess.TimeoutExpired as expired:
            place = where(program.pid)
            program.kill()
            raise NotOver(expired, place) from None
        except BaseException:
            program.kill()
            raise
    done = subprocess.CompletedProcess(command, program.returncode, stdout, stderr)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}\n"
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


def left_behind(pid, seconds=5):
    """The descendants that do not end by themselves, as those of a parent that has just crashed do."""
    deadline = time.monotonic() + seconds * wait.SCALE
    while (left := descendants(pid)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def _read(path):
    """What the kernel says there; "" where it does not."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _descriptors(pid):
    """"NUMBER TARGET" of what a process has open: system calls name the number."""
    found = []
    try:
        for fd in sorted(os.listdir(f"/proc/{pid}/fd"), key=int):
            found.append(f"{fd} {os.readlink(f'/proc/{pid}/fd/{fd}')}")
    except OSError:     # it has just ended
        pass
    return found


def where(pid):
    """Where a process and its descendants are: of each thread the state, the system call with its
    arguments and the kernel's stack, as far as the kernel tells. For a report on one that hangs."""
    lines = []
    for each in [pid, *descendants(pid)]:
        place = f"/proc/{each}"
        command = _read(f"{place}/cmdline").replace("\0", " ")
        waiting = [signals for signals in re.findall(r"(\w+Pnd:\s\w+)", _read(f"{place}/status"))
                   if not signals.endswith("0" * 16)]
        lines.append(" ".join([f"process {each}:", command or name(each), *waiting]))
        for task in sorted(os.listdir(f"{place}/task"), key=int) if os.path.isdir(place) else ():
            at = f"{place}/task/{task}"
            state = _read(f"{at}/stat").rpartition(")")[2].split()[:1]
            lines.append(f"  thread {task} {_read(f'{at}/comm')}: {''.join(state)}, "
                         f"{_read(f'{at}/wchan')}, call {_read(f'{at}/syscall')}")
            lines += [f"    {line}" for line in _read(f"{at}/stack").splitlines()]
        lines += [f"  has {entry}" for entry in _descriptors(each)]
    return "\n".join(lines) + "\n"


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
