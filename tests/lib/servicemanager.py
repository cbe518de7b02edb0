# SPDX-License-Identifier: GPL-2.0-or-later
"""Stands for systemd where it passes descriptors: sockets of socket units, and its store."""

import array
import itertools
import os
import socket
import sys
import threading

from . import wait_until

# Descriptors 3 and following are those in the first argument; the rest is the program, which has
# this process's id.
LAUNCH = """
import fcntl, os, sys
fds = [int(n) for n in sys.argv[1].split(",") if n]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 200) for fd in fds]
for fd in fds:
    os.set_inheritable(fd, False)
for place, fd in enumerate(high):
    os.dup2(fd, 3 + place)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""
MAX_FDS = 64
NUMBERS = itertools.count()


class ServiceManager:
    """`sockets` are (name, socket), which the test has opened; `store` is [(name, descriptor)]."""

    def __init__(self, env, sockets=()):
        self.path = env.tmp / f"notify-{next(NUMBERS)}"
        self.socket = env.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.socket.bind(str(self.path))
        self.sockets, self.store, self.told = list(sockets), [], []
        self.problem = None     # what was told against the protocol
        self.lock = threading.Lock()
        env.keep(self)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def close(self):
        with self.lock:
            for _, fd in self.store:
                os.close(fd)
            self.store = []

    def _run(self):
        size = socket.CMSG_SPACE(MAX_FDS * 4)
        while True:
            try:
                data, control, _, _ = self.socket.recvmsg(1 << 16, size)
            except OSError:
                return
            fds = array.array("i")
            for _, _, value in control:
                fds.frombytes(value[:len(value) - len(value) % fds.itemsize])
            fields = dict(line.split("=", 1) for line in data.decode().splitlines())
            with self.lock:
                try:
                    self._heed(fields, list(fds))
                except AssertionError as error:
                    self.problem = error    # the test's, which waits in another thread
                self.told.append(fields)

    def _heed(self, fields, fds):
        name = fields.get("FDNAME", "stored")
        if "FDSTOREREMOVE" in fields:
            for entry in [entry for entry in self.store if entry[0] == name]:
                os.close(entry[1])
                self.store.remove(entry)
        for fd in fds:
            assert "FDSTORE" in fields and len(name) < 256 and ":" not in name, fields
            if any(os.path.sameopenfile(fd, old) for _, old in self.store):
                os.close(fd)
            else:
                self.store.append((name, fd))

    def _all_heeded(self):
        """What was sent before this call is heeded when it returns: datagrams keep their order."""
        marker = f"MARKER={next(NUMBERS)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(marker.encode(), str(self.path))
        wait_until(lambda: dict([marker.split("=")]) in self.told or self.problem, 10, "it is read")

    def names(self):
        self._all_heeded()
        if self.problem:
            raise self.problem
        with self.lock:
            return sorted(name for name, _ in self.store)

    def wait_store(self, number):
        wait_until(lambda: len(self.names()) == number, 10, f"{number} sockets are in the store")

    def passes(self):
        """[(name, descriptor)] in the order of systemd."""
        with self.lock:
            return [(name, each.fileno()) for name, each in self.sockets] + list(self.store)

    def prefix(self):
        return [sys.executable, "-c", LAUNCH, ",".join(str(fd) for _, fd in self.passes())]

    def environment(self):
        passed = self.passes()
        if not passed:
            return {"NOTIFY_SOCKET": str(self.path), "FDSTORE": "512"}
        return {"NOTIFY_SOCKET": str(self.path), "FDSTORE": "512", "LISTEN_FDS": str(len(passed)),
                "LISTEN_FDNAMES": ":".join(name for name, _ in passed)}

    def start(self, daemon):
        """Starts it as a service, with all there is to pass."""
        daemon.prefix = self.prefix()
        daemon.environment = {**{key: value for key, value in daemon.environment.items()
                                 if not key.startswith("LISTEN_")}, **self.environment()}
        daemon.pass_fds = [fd for _, fd in self.passes()]
        return daemon.start()
