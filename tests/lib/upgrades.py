# SPDX-License-Identifier: GPL-2.0-or-later
"""Upgrades that are held at some moment."""

import os
import signal

from . import process
from .wait import wait_until


def number_ready(daemon):
    return sum(" ready: " in line for line in daemon.log())


def begin_upgrade(daemon, stopped):
    """Another worker is ready, and the one that serves has not heard of it yet, for it is stopped: the new one."""
    before, workers = number_ready(daemon), set(daemon.worker_pids())
    process.stop(stopped)
    daemon.signal(signal.SIGUSR2)
    wait_until(lambda: number_ready(daemon) > before, 30, "another worker is ready")
    new, = set(daemon.worker_pids()) - workers
    # It has told its parent, who has read that.
    for pid in (new, daemon.pid):
        wait_until(lambda pid=pid: process.stat_fields(pid)[0] == "S", 10, "it waits")
    return new


def listening(address):
    """What descriptors of the sockets that listen at an address of IPv4 are called."""
    host, _, port = address.rpartition(":")
    local = "".join(f"{int(part):02X}" for part in reversed(host.split("."))) + f":{int(port):04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        lines = [line.split() for line in table]
    return {f"socket:[{line[9]}]" for line in lines if line[1] == local and line[3] == "0A"}


def descriptors(pid):
    """What a process has open, that is a worker of the program on disk."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            if b"SPLICED_CHANNEL=" not in environ.read():
                return set()
        return {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    except OSError:
        return set()


def begin_start(daemon, tries=5):
    """The new worker of an upgrade has read the file, and asked for its sockets; there it is stopped: the one that
    serves, and that."""
    for _ in range(tries):
        before, generation = number_ready(daemon), daemon.status()["generation"]
        (old,), sockets = daemon.worker_pids(), listening(daemon.address())
        daemon.signal(signal.SIGUSR2)
        new = wait_until(lambda old=old, wanted=sockets: next(
            (pid for pid in daemon.worker_pids() if pid != old and wanted <= descriptors(pid)), None), 30,
            "it has sockets", poll=0.001)
        process.stop(new)
        if number_ready(daemon) == before:
            return old, new
        os.kill(new, signal.SIGCONT)
        wait_until(lambda wanted=generation + 1: daemon.status()["generation"] == wanted, 30, "the next serves")
        wait_until(lambda old=old: process.is_gone(old), 10, "the one before has ended")
    raise AssertionError("each new worker was ready too soon")
