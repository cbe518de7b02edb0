# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for systemd's journal: its socket, in a mount namespace of the daemon's own."""

import os
import socket
import struct
import threading

from .wait import wait_until

# A /run of its own, with the directory where the journal's socket is looked for.
MOUNT = ("mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && "
         "mount --bind \"$0\" /run/systemd/journal && exec \"$@\"")


def parse(datagram):
    """{field: bytes} of a datagram of the native protocol; everything must be in its place."""
    fields = {}
    while datagram:
        line, newline, rest = datagram.partition(b"\n")
        assert newline, f"no end of line: {datagram!r}"
        name, equals, value = line.partition(b"=")
        if not equals:
            size = struct.unpack("<Q", rest[:8])[0]
            value, rest = rest[8:8 + size], rest[8 + size:]
            assert len(value) == size and rest[:1] == b"\n", f"{name!r} is not {size} bytes"
            rest = rest[1:]
        assert name.replace(b"_", b"").isalnum() and name == name.upper(), name
        assert name not in fields, f"{name!r} is there twice"
        fields[name.decode()] = value
        datagram = rest
    return fields


class Journal:
    """Reads what is logged, as long as it is not paused."""

    def __init__(self, env, name="journal"):
        if os.geteuid() != 0:
            env.skip("only root has a mount namespace with a /run of its own")
        self.directory = env.tmp / name
        self.directory.mkdir()
        self.path = self.directory / "socket"
        self.records = []
        self._env = env
        self._running = threading.Event()
        self._open()

    @property
    def prefix(self):
        """What starts a program for which this is the journal."""
        return ("unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNT,
                str(self.directory))

    def _open(self):
        self.socket = self._env.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.socket.bind(str(self.path))
        self.path.chmod(0o666)
        self._running.set()
        self._thread = threading.Thread(target=self._read, args=(self.socket,), daemon=True)
        self._thread.start()

    def _read(self, sock):
        sock.settimeout(0.05)
        while self._running.wait() and sock is self.socket:
            try:
                datagram = sock.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                return
            self.records.append(parse(datagram))

    def pause(self):
        """Nothing is read any more, but for what may be read at this moment."""
        self._running.clear()

    def go_on(self):
        self._running.set()

    def restart(self):
        """Another socket in the place of this one."""
        old, self.socket = self.socket, None
        self._thread.join()     # within its call the old socket would take datagrams
        old.close()
        self.path.unlink()
        self._open()

    def messages(self):
        return [record["MESSAGE"].decode() for record in self.records]

    def find(self, **fields):
        """The records that have all these."""
        want = {name: value.encode() for name, value in fields.items()}
        return [record for record in list(self.records) if want.items() <= record.items()]

    def wait(self, number=1, seconds=5, **fields):
        """The records that have all these, once there are so many."""
        def enough():
            found = self.find(**fields)
            return found if len(found) >= number else None
        return wait_until(enough, seconds, f"{number} records with {fields}", poll=0.02)
