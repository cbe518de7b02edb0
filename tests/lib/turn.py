# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose turn it is on this host, among all runners: a test that measures the host is alone.

Two locks. `use` is shared by ordinary tests and exclusive for one that is alone. Everyone goes
through `door` first, and who waits to be alone keeps it shut, so that the waiting comes to an end.
"""

import fcntl
import os
import tempfile
import time

PATIENCE = 240      # seconds; then the test runs all the same: a lock must not stop a suite

_open_fds = set()


def _open(name):
    path = os.path.join(tempfile.gettempdir(), f"spliced-tests.{os.getuid()}.{name}.lock")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    _open_fds.add(fd)
    return fd


def _close(fd):
    _open_fds.remove(fd)
    os.close(fd)


def forget():
    """In a forked child: the locks are the parent's affair."""
    for fd in list(_open_fds):
        _close(fd)


def _try(fd, kind):
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


class Turn:
    """Asked for by making one; there when ready() is true; held until release()."""

    def __init__(self, alone):
        self.kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        self.deadline = time.monotonic() + PATIENCE
        self.door, self.use = _open("door"), _open("use")
        self.has_door = False

    def ready(self):
        if self.door is None:
            return True
        self.has_door = self.has_door or _try(self.door, fcntl.LOCK_EX)
        if (self.has_door and _try(self.use, self.kind)) or time.monotonic() >= self.deadline:
            _close(self.door)
            self.door = None
        return self.door is None

    def release(self):
        for fd in (self.door, self.use):
            if fd is not None:
                _close(fd)
