# SPDX-License-Identifier: GPL-2.0-or-later
"""A cgroup of the test's own, below the root of the unified hierarchy."""

import contextlib
import os
import time
from pathlib import Path

from .case import Skip


def unified():
    """Where the unified hierarchy is mounted; None: nowhere."""
    with open("/proc/self/mounts", encoding="ascii", errors="replace") as mounts:
        for line in mounts:
            fields = line.split()
            if fields[2] == "cgroup2":
                return Path(fields[1])
    return None


def remove(path):
    """With what is below it; its programs are killed."""
    for below in path.iterdir():
        if below.is_dir():
            remove(below)
    deadline = time.monotonic() + 10
    while path.exists():
        try:
            path.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
        try:
            (path / "cgroup.kill").write_text("1", encoding="ascii")
        except OSError:
            pass    # before Linux 5.14: they end by themselves
        time.sleep(0.01)


def remove_of(pid):
    """Those that a test has made, whose process that was."""
    root = unified()
    for path in list(root.glob(f"spliced-test-{pid}-*")) if root else []:
        with contextlib.suppress(OSError):
            remove(path)


class Cgroup:
    """Made with a name of its own; its programs are killed when it is closed."""

    def __init__(self, name, parent=None):
        root = parent.path if parent else unified()
        if not root:
            raise Skip("no cgroup2 is mounted")
        self.path = root / f"spliced-test-{os.getpid()}-{name}"
        try:
            self.path.mkdir()
        except OSError as error:
            raise Skip(f"no cgroup can be made: {error}") from None

    def prefix(self):
        """What a command begins with to run in it."""
        return ["/bin/sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$0" "$@"']

    @contextlib.contextmanager
    def inside(self):
        """What this process starts meanwhile runs in it."""
        with open("/proc/self/cgroup", encoding="ascii") as lines:
            own = next(line for line in lines if line.startswith("0::"))
        before = unified() / own.rstrip("\n").partition("::")[2].lstrip("/")
        self._take(self.path)
        try:
            yield
        finally:
            self._take(before)

    @staticmethod
    def _take(path):
        (path / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

    def close(self):
        if self.path.exists():
            remove(self.path)


class TcpLimit:
    """A cgroup of version 1's memory controller, in which TCP may have so many bytes."""

    def __init__(self, name, size):
        root = self._root()
        self.path = root / f"spliced-test-{os.getpid()}-{name}"
        self.path.mkdir()
        self.set(size)

    def set(self, size):
        (self.path / "memory.kmem.tcp.limit_in_bytes").write_text(str(size), encoding="ascii")

    @staticmethod
    def _root():
        with open("/proc/self/mounts", encoding="ascii", errors="replace") as mounts:
            for line in mounts:
                fields = line.split()
                if fields[2] == "cgroup" and "memory" in fields[3].split(","):
                    root = Path(fields[1])
                    if (root / "memory.kmem.tcp.limit_in_bytes").exists():
                        return root
        raise Skip("no memory controller of version 1 is mounted")

    @contextlib.contextmanager
    def inside(self):
        """Sockets that this process makes meanwhile are its."""
        with open("/proc/self/cgroup", encoding="ascii") as lines:
            own = next(line for line in lines if "memory" in line.split(":")[1].split(","))
        before = self.path.parent / own.rstrip("\n").split(":", 2)[2].lstrip("/")
        Cgroup._take(self.path)
        try:
            yield
        finally:
            Cgroup._take(before)

    def used(self):
        """Bytes, of whole pages."""
        return int((self.path / "memory.kmem.tcp.usage_in_bytes").read_text(encoding="ascii"))

    def refusals(self):
        return int((self.path / "memory.kmem.tcp.failcnt").read_text(encoding="ascii"))

    def close(self):
        self.path.rmdir()


def limit_memory(cgroup, size):
    """Sets memory.max, of version 2 of the controller; None: no limit."""
    try:
        (cgroup.path.parent / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
    except OSError as error:
        raise Skip(f"no memory controller of version 2: {error}") from None
    (cgroup.path / "memory.max").write_text(str(size or "max"), encoding="ascii")


def memory_events(cgroup):
    """How often memory.max was met, by what came of it."""
    lines = (cgroup.path / "memory.events").read_text(encoding="ascii").splitlines()
    return {name: int(number) for name, _, number in (line.partition(" ") for line in lines)}
