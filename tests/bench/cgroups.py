# SPDX-License-Identifier: GPL-2.0-or-later
"""A cgroup of their own for the applications, apart from the proxies."""

import os
import pathlib
import subprocess
import time


def _own_directory():
    """The folder of the cgroup (version 2) that we are in, or None."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        places = [fields[1] for fields in map(str.split, mounts) if fields[2] == "cgroup2"]
    with open("/proc/self/cgroup", encoding="utf-8") as groups:
        own = [line[3:].strip() for line in groups if line.startswith("0::")]
    return pathlib.Path(places[0]) / own[0].lstrip("/") if places and own else None


class Cgroup:
    """There while the `with` block is; its path is None where none can be made."""

    def __init__(self, name):
        parent = _own_directory()
        self.path = parent / f"{name}-{os.getpid()}" if parent else None

    def __enter__(self):
        try:
            if self.path:
                self.path.mkdir()
                subprocess.run(["true"], preexec_fn=self.join, check=True)
        except (OSError, subprocess.SubprocessError):
            self.__exit__()
            self.path = None
        return self

    def __exit__(self, *_):
        for _ in range(100):
            try:
                if self.path:
                    self.path.rmdir()
                return
            except FileNotFoundError:
                return
            except OSError:  # what was killed is on its way out
                time.sleep(0.02)

    def join(self):
        """Takes the calling process in: called by a child before it becomes another program."""
        if self.path:
            (self.path / "cgroup.procs").write_text("0", encoding="ascii")
