# SPDX-License-Identifier: GPL-2.0-or-later
"""What would stand behind the other way: no window stops its sender. So its source leaves the kernel on its
own, and where it cannot the gate refuses it."""

import fcntl
import os
import select
import signal
import socket
import struct
import termios
import threading

from lib import case, process, tcp
from lib.pattern import MIB, Pattern
from lib.tuntcp import TunHost
from lib.wait import SCALE, stays, wait_until

AT_DEBUG = False    # nothing is logged here that is not logged elsewhere
LIMIT = 64 * MIB    # far beyond all buffers of a session together
SEGMENT = 64 << 10  # as offloads make them
MARKS = {"engage_after": 0, "splice_low": "256K", "splice_high": "512K", "splice_hard": "1M",
         "splice_window": "4M"}


class Peer:
    """A client's or a server's socket that sends one pattern while it takes it, and reads another."""

    def __init__(self, sock, out, into):
        self.sock, self.out, self.into = sock, Pattern(out), Pattern(into)
        self.sent = self.got = 0
        sock.settimeout(20 * SCALE)

    def fill(self, most):
        """Sends until nothing more is taken for a moment, or so much is."""
        end = self.sent + most
        self.sock.setblocking(False)
        while self.sent < end and select.select([], [self.sock], [], 0.5)[1]:
            self.sent += self.sock.send(self.out.piece(self.sent, min(64 << 10, end - self.sent)))
        self.sock.settimeout(20 * SCALE)

    def read(self, size):
        """That many, and no other bytes."""
        while self.got < size:
            data = self.sock.recv(min(size - self.got, MIB))
            assert data, f"it ended after {self.got} of {size}"
            self.into.check(self.got, data)
            self.got += len(data)

    def acknowledged(self):
        """How much of what it sent its TCP knows to have arrived."""
        return self.sent - struct.unpack("i", fcntl.ioctl(self.sock, termios.TIOCOUTQ, b"\0" * 4))[0]


class Behind:
    """A session where bytes are handed up while the daemon stands still, and then the socket at which they
    are gets a backlog of the other direction: what the client sends now would stand behind that, and fill no
    window. Then, unless the daemon stays `stopped`, it sends up to `most` bytes more."""

    def __init__(self, env, most, switches=("no-stop",), family=4, without=(), stopped=False):
        self.net = env.network()
        if without:
            self.net.turn_off(*without)
        self.net.proxy.run("sysctl", "-qw", "net.ipv4.tcp_wmem=4096 16384 65536")
        listener = self.net.backend.call(self._listen, self.net.backend_address(family))
        address = "{}:{}" if family == 4 else "[{}]:{}"
        environment = {"SPLICED_DEBUG": ",".join(["no-canary", *switches])} if switches else None
        self.daemon = self.net.spliced(address.format(*listener.getsockname()[:2]), spliced=MARKS,
                                       environment=environment)
        sock = self.net.client.call(
            tcp.connect, self.daemon.address(index=0 if family == 4 else 1))
        with listener:
            self.server = Peer(env.keep(listener.accept()[0]), 2, 1)
        self.client = Peer(env.keep(sock), 1, 2)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        wait_until(lambda: self.daemon.map_entries()["engaged"] == 2, 5,
                   "the kernel has both directions")
        process.stop(self.daemon.pid)   # it would end a worker that does not answer
        process.stop(self.daemon.worker_pid)
        self.client.fill(11 * MIB // 2)
        self.server.fill(16 * MIB)
        self.client.fill(8 * MIB)
        if not stopped:
            self.go_on()
            self.client.fill(most)

    def go_on(self):
        for pid in (self.daemon.worker_pid, self.daemon.pid):
            os.kill(pid, signal.SIGCONT)

    @staticmethod
    def _listen(host):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = socket.create_server((host, 0), family=family)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        return server

    def verdicts(self):
        return self.daemon.stats()["verdicts"]

    def refused(self):
        return self.verdicts()["refused"]

    def ends_well(self, client_first=False):
        """Though the client reads first, each gets all that the other sent, and nothing else; and the log
        knows it. `client_first`: the client's end is sent before anybody reads."""
        client, server = self.client, self.server
        if client_first:
            client.sock.shutdown(socket.SHUT_WR)
        client.read(server.sent)
        server.read(client.sent)
        if not client_first:
            client.sock.shutdown(socket.SHUT_WR)
        assert server.sock.recv(1) == b""
        server.sock.shutdown(socket.SHUT_WR)
        assert client.sock.recv(1) == b""
        line, = self.daemon.wait_access(1)
        assert (line["end"], int(line["bytes_up"]), int(line["bytes_down"])) == \
            ("done", client.sent, server.sent), line


def check(env, **options):
    behind = Behind(env, 512 * MIB, **options)
    print(f"sent {behind.client.sent} up, {behind.server.sent} down")
    assert behind.client.sent < LIMIT, behind.client.sent
    behind.ends_well()
    assert behind.refused(), behind.verdicts()
    return behind


@case(timeout=90, engines=("kernel",), core=True)
def test_a_source_leaves_on_its_own(env):
    """While the daemon stands still: its window stops the sender, and nothing is handed up, or refused."""
    behind = Behind(env, 512 * MIB, switches=(), stopped=True)
    behind.client.fill(512 * MIB)
    assert behind.client.sent < LIMIT, behind.client.sent
    behind.go_on()
    behind.ends_well()
    verdicts = behind.verdicts()
    assert verdicts["stopped"] and verdicts["beyond"], verdicts
    assert verdicts["behind"] == verdicts["passed_hard"] == verdicts["refused"] == 0, verdicts


@case(timeout=90, engines=("kernel",))
def test_a_sender_that_keeps_holes(env):
    """Three holes leave no room in an acknowledgement, so nobody is asked whether the source is to leave. What it
    can have redirected is bounded all the same, and every byte arrives when the daemon goes on."""
    tun, pattern, read = TunHost(env), Pattern(3), threading.Event()
    content = b"".join(bytes(pattern.piece(at * 4096, 4096)) for at in range(96 * MIB // 4096))
    got = []

    def late(sock):
        sock.settimeout(60)
        assert read.wait(60)
        while data := sock.recv(MIB):
            pattern.check(sum(got), data)
            got.append(len(data))
    backend = tun.host.call(env.backend, late, f"{tun.ADDRESS}:0")
    daemon = env.spliced(backend.address, listener={"bind": f"{tun.ADDRESS}:0"}, prefix=tun.host.command(),
                         spliced={**MARKS, "splice_window": "256K"}, environment={"SPLICED_DEBUG": "no-canary"})
    peer = tun.peer(daemon.address(), content, 1).connect(modern=True)
    wait_until(lambda: daemon.map_entries()["engaged"] == 2, 5, "the kernel has both directions")
    process.stop(daemon.pid)    # it would end a worker that does not answer
    process.stop(daemon.worker_pid)

    def push():
        """What fills the last holes, behind three new ones; False: there is no room."""
        start, size = peer.acked, 16 << 10
        if start + 3 * size > len(content) or not peer.has_room(start + 2 * size):
            return False
        for number in range(3):
            at = start + size + 8 + 2 * number
            peer.send(at, at + 1)
        peer.send(start, start + size)
        return peer.has_acked(start + size)
    while push():
        pass
    taken = peer.acked
    assert taken < 64 * MIB, f"{taken} bytes were taken"
    os.kill(daemon.worker_pid, signal.SIGCONT)
    os.kill(daemon.pid, signal.SIGCONT)
    read.set()
    verdicts = daemon.stats()["verdicts"]
    env.note(f"{taken} bytes were taken, {verdicts}")
    for at in range(taken, len(content), 16384):
        peer.send(at, min(at + 16384, len(content)))
    peer.finish()
    wait_until(lambda: sum(got) == len(content), 20, "every byte has arrived")


@case(timeout=90, engines=("kernel",), core=True)
def test_what_would_stand_behind_the_other_way(env):
    """It is not let in, so the sender is stopped; and no byte is lost."""
    check(env)


@case(timeout=90, engines=("kernel",))
def test_ipv6(env):
    check(env, family=6)


@case(timeout=90, engines=("kernel",))
def test_checksums_that_nobody_has_looked_at(env):
    """A segment is dropped whole then: without its bytes TCP could not check it."""
    behind = check(env, without=("rx", "tx", "gro"))
    snmp = behind.net.proxy.run("cat", "/proc/net/snmp").stdout.splitlines()
    names, values = [line.split()[1:] for line in snmp if line.startswith("Tcp:")]
    assert dict(zip(names, values))["InCsumErrors"] == "0", snmp


@case(timeout=90, engines=("kernel",))
def test_an_end_behind_what_is_not_let_in(env):
    """The client ends before anybody reads: its end comes after its bytes, and after all of them."""
    behind = Behind(env, 512 * MIB)
    behind.ends_well(client_first=True)
    assert behind.refused()


@case(timeout=150, engines=("kernel",))
def test_a_segment_is_let_in_now_and_then(env):
    """While the daemon stands still, so that the sender's TCP knows that its peer is there. And however long
    nothing comes then, the gate is shut again by what comes first."""
    behind = Behind(env, 0, stopped=True)
    client, link = behind.client, behind.net.client
    client.fill(512 * MIB)
    for _ in range(2):
        before = client.acknowledged()
        assert before < client.sent < LIMIT, (before, client.sent)
        # The gate looks no more after 8 s in which nothing comes, which the sender's TCP leaves
        # soon enough, by the time between its tries: not before 25 s.
        wait_until(lambda: client.acknowledged() > before, 18, f"more than {before} bytes come in")
        assert client.acknowledged() <= before + SEGMENT, (before, client.acknowledged())
        client.fill(512 * MIB)
    link.ip("link", "set", "eth1", "down")
    before = client.acknowledged()
    stays(lambda: client.acknowledged() == before < client.sent, 9, "nothing comes")
    link.ip("link", "set", "eth1", "up")
    wait_until(lambda: client.acknowledged() > before, 60, "it is sent again")
    client.fill(512 * MIB)
    assert client.sent < before + MIB, (before, client.sent)
    behind.go_on()
    behind.ends_well()
    assert behind.refused()


# Not in a machine, whose kernel's log must be clean: some of what is `behind` makes the kernel warn.
@case(timeout=90, engines=("kernel",), vm=False)
def test_without_the_gate(env):
    behind = Behind(env, 128 * MIB, ["no-stop", "no-gate"])
    assert behind.client.sent > 128 * MIB, f"something stopped the sender after {behind.client.sent}"
    verdicts = behind.verdicts()
    assert verdicts["behind"] and not verdicts["refused"], verdicts
