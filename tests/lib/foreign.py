# SPDX-License-Identifier: GPL-2.0-or-later
"""Another agent's sockops program, in a cgroup of the daemon's own."""

import os
import platform
from pathlib import Path

from . import process, programs
from .case import Skip

SOURCE = Path(__file__).with_name("foreign.bpf.c")


def cgroup2():
    """Where the unified hierarchy is mounted."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            _, where, kind, *_ = line.split()
            if kind == "cgroup2":
                return Path(where)
    raise Skip("no cgroup2 is mounted")


class Cgroup:
    """A cgroup for one daemon, and the program of foreign.bpf.c for it. A context."""

    def __init__(self, env):
        self.env = env
        self.path = cgroup2() / f"spliced-test-{os.getpid()}"
        self.pins = env.tmp / "pins"
        self.attached = []

    def __enter__(self):
        bpftool, clang = programs.find("bpftool"), programs.find("clang")
        target = self.env.tmp / "foreign.bpf.o"
        programs.run(clang, "-O2", "-g", "-target", "bpf",
                     f"-I/usr/include/{platform.machine()}-linux-gnu", "-c", SOURCE, "-o", target)
        self.pins.mkdir()
        process.run("mount", "-t", "bpf", "bpf", self.pins)
        try:
            process.run(bpftool, "prog", "load", target, self.pins / "foreign")
            self.path.mkdir()
        except BaseException:
            process.run("umount", self.pins)
            raise
        return self

    def command(self):
        """A command prefix: what is behind it runs in the cgroup."""
        return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', self.path]

    def attach(self, *flags):
        """Attaches the program: `multi`, so that others may be there as well, or alone."""
        process.run(programs.find("bpftool"), "cgroup", "attach", self.path, "sock_ops", "pinned",
                    self.pins / "foreign", *flags)
        self.attached.append(flags)

    def fill(self):
        """Attaches copies of it until no more may be there."""
        bpftool = programs.find("bpftool")
        for number in range(65):
            copy = self.pins / f"copy{number}"
            process.run(bpftool, "prog", "load", self.env.tmp / "foreign.bpf.o", copy)
            try:
                process.run(bpftool, "cgroup", "attach", self.path, "sock_ops", "pinned", copy,
                            "multi")
            except AssertionError:
                return number
        raise AssertionError("there is no end to them")

    def __exit__(self, *_):
        if self.attached:
            process.run(programs.find("bpftool"), "cgroup", "detach", self.path, "sock_ops",
                        "pinned", self.pins / "foreign")
        process.run("umount", self.pins)
        for daemon in self.env.daemons:     # of a test that failed
            if daemon.running:
                daemon.kill()
        self.path.rmdir()
