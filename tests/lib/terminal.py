# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs on a terminal of their own."""

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time

from .wait import wait_until


class Terminal:
    """A program on a terminal of so many rows and columns."""

    def __init__(self, command, rows=24, columns=100):
        self.size = rows, columns
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
            os.execv(command[0], command)
        self.output, self.before = b"", None

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def read(self, seconds=0.2):
        """What it says within the time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.fd], [], [], left)[0]:
                break
            try:
                data = os.read(self.fd, 65536)
            except OSError:     # it has ended
                break
            if not data:
                break
            self.output += data
        return self.output

    def screen(self):
        """The lines of the last whole picture."""
        pictures = [text for text in re.split(rb"\x1b\[H", self.read())[1:] if text.endswith(b"\x1b[J")
                    or b"\x1b[J" in text]
        if not pictures:
            return []
        text = pictures[-1].split(b"\x1b[J")[0].decode()
        return [line.rstrip() for line in text.replace("\x1b[K", "").replace("\r", "").split("\n")]

    def wait(self, condition, what, seconds=10):
        def look():
            lines = self.screen()
            return lines if condition(lines) else None
        return wait_until(look, seconds, what)

    def await_text(self, text, seconds=10):
        wait_until(lambda: text in self.read(0.1), seconds, lambda: f"{text} in {self.output[-500:]}")

    def flags(self):
        return termios.tcgetattr(self.fd)[3]

    def type(self, data):
        os.write(self.fd, data)

    def ended(self, seconds=10):
        """Its status, as of subprocess."""
        def gone():
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            return pid and (os.waitstatus_to_exitcode(status),)
        status = wait_until(gone, seconds, "it ends")[0]
        self.read(0.1)
        os.close(self.fd)
        return status
