# SPDX-License-Identifier: GPL-2.0-or-later
"""Bounded memory: a reader that stops must stop its sender, not fill the host."""

import os
import select
import signal
import socket

from lib import case, process, tcp
from lib.host import Growth, sysctl
from lib.traffic import check_accounts, start, wait_stalled
from lib.wait import wait_until

MIB = 1 << 20
LIMIT = 64 * MIB

DOWNLOAD = ("--half-close", "server", "--concurrent", "--bytes-up", 16)
UPLOAD = ("--half-close", "client", "--concurrent", "--bytes-down", 16)


def stop_and_resume(env, *options, direction, limit, offered, **config):
    """The reader never reads; memory while everything stands still; then the reader wakes.

    Returns how many bytes the senders had got rid of.
    """
    load, daemon = start(env, *options, timeout=env.pick(100, 300), **config)
    growth = Growth(daemon.worker_pid)
    progress = wait_stalled(load, direction, seconds=60)
    sent = progress[direction]["sent"]
    grown = growth.settle(limit)
    print(f"offered {offered}, sent {sent}, memory grew by {grown}")
    assert grown < limit, f"memory grew by {grown / MIB:.0f} MiB, the limit is {limit / MIB:.0f}"
    assert progress["errors"] == 0 and progress["clients_ended"] == 0, progress
    load.send("resume")
    check_accounts(env, daemon, load.ok())
    return sent


@case(timeout=130, alone=True, core=True)
def test_client_never_reads(env):
    size = env.pick(4096, 256)
    sent = stop_and_resume(env, "--never-read", "client", "--bytes-down", f"{size}M", *DOWNLOAD,
                           "--write-size", "64K-256K", direction="down", limit=LIMIT,
                           offered=size * MIB)
    assert sent < LIMIT, f"the sender got rid of {sent / MIB:.0f} MiB: TCP did not stop it"


@case(timeout=130, alone=True)
def test_server_never_reads(env):
    size = env.pick(1024, 256)
    sent = stop_and_resume(env, "--never-read", "server", "--bytes-up", f"{size}M", *UPLOAD,
                           "--write-size", "64K-256K", direction="up", limit=LIMIT,
                           offered=size * MIB)
    assert sent < LIMIT, f"the sender got rid of {sent / MIB:.0f} MiB: TCP did not stop it"


@case(timeout=130, alone=True)
def test_one_byte_segments(env):
    """A queue is bounded in memory, not only in bytes: a segment of one byte holds a kilobyte."""
    size = env.pick(1_000_000, 100_000)
    stop_and_resume(env, "--sessions", 1, "--never-read", "client", "--one-byte", "--bytes-down",
                    size, *DOWNLOAD, direction="down", limit=LIMIT, offered=size)


MARKS = {"splice_low": 128 << 10, "splice_high": 256 << 10, "splice_hard": 1 << 20,
         "splice_window": 256 << 10}
BUFFER = 256 << 10      # SO_RCVBUF and SO_SNDBUF of the load tool's sockets


def bound_of_one_session(env):
    """The most memory one stopped session may hold, in bytes.

    From the receiver back to the sender (the kernel doubles what SO_RCVBUF and SO_SNDBUF say, to
    account for its own structures, and counts the other limits with those structures included):

      2 BUFFER             the receiver's receive queue
      tcp_wmem[2]          the proxy's send queue towards it, which the kernel tunes itself
      kernel: splice_hard  the queue between the sockets, beyond which nothing is redirected
      kernel: 2 splice_window   the proxy's receive queue, ...
      copy: tcp_rmem[2]         ... which the kernel tunes itself where it is not spliced
      2 BUFFER             the sender's send queue
      640 KiB              the copy engine's buffer, and the sockets and maps' entries themselves
    """
    bound = 4 * BUFFER + int(sysctl("net.ipv4.tcp_wmem").split()[2]) + (640 << 10)
    if env.engine == "kernel":
        return bound + MARKS["splice_hard"] + 2 * MARKS["splice_window"]
    return bound + int(sysctl("net.ipv4.tcp_rmem").split()[2])


@case(timeout=200, alone=True)
def test_many_sessions_stay_in_their_bound(env):
    sessions, size = env.pick(200, 30), 48 * MIB
    bound = sessions * bound_of_one_session(env)
    assert bound < sessions * size, "the test would prove nothing"
    stop_and_resume(env, "--sessions", sessions, "--never-read", "client", "--bytes-down", size,
                    *DOWNLOAD, "--rcvbuf", BUFFER, "--sndbuf", BUFFER, direction="down",
                    limit=bound, offered=sessions * size, spliced=MARKS)


@case(timeout=130, alone=True)
def test_memory_comes_back(env):
    """What a stopped session held is free again once both its peers have gone."""
    load, daemon = start(env, "--sessions", 50, "--never-read", "client", "--bytes-down", "64M",
                         *DOWNLOAD)
    growth = Growth(daemon.worker_pid)
    sent = wait_stalled(load, "down")["down"]["sent"]
    held = growth.bytes()
    assert held > sent / 2, f"{sent} bytes wait somewhere, and only {held} are seen: a bad measure"
    load.close()
    daemon.wait_sessions(0, seconds=10)
    grown = growth.settle(16 * MIB)
    assert grown < 16 * MIB, f"{grown / MIB:.1f} MiB are still in use"
    assert set(daemon.map_entries().values()) <= {0}, daemon.map_entries()


def fill(sock, most, data=b"\x5a" * (64 << 10)):
    """Sends until nothing more is taken for a moment, or so much is; how much it was."""
    sent = 0
    sock.setblocking(False)
    while sent < most and select.select([], [sock], [], 0.5)[1]:
        sent += sock.send(data[:most - sent])
    sock.setblocking(True)
    return sent


def read_all_of(sock, size):
    sock.settimeout(20)
    while size:
        got = sock.recv(min(size, 1 << 20))
        assert got and not got.strip(b"\x5a"), (len(got), size)
        size -= len(got)


@case(timeout=90, engines=("kernel",))
def test_one_way_does_not_wait_for_the_other(env):
    """Nobody reads, and more comes than splice_hard while the daemon stands still: once the server reads, it
    gets all that the client has sent, though that goes on reading nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        daemon = env.spliced("{}:{}".format(*server.getsockname()), spliced={
            "engage_after": 0, "splice_low": "4M", "splice_high": "8M", "splice_hard": "12M"})
        with tcp.connect(daemon.address()) as client, server.accept()[0] as served:
            down = fill(served, 64 * MIB)
            assert down < 64 * MIB, "TCP did not stop the server"
            process.stop(daemon.worker_pid)
            up = fill(client, 48 * MIB)
            os.kill(daemon.worker_pid, signal.SIGCONT)
            read_all_of(served, up)
            client.shutdown(socket.SHUT_WR)
            assert served.recv(1) == b""
            read_all_of(client, down)
            served.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        line, = daemon.wait_access(1)
        verdicts = daemon.stats()["verdicts"]
    assert (line["end"], int(line["bytes_up"]), int(line["bytes_down"])) == ("done", up, down), line
    assert verdicts["beyond"] and not verdicts["behind"], verdicts
