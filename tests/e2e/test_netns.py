# SPDX-License-Identifier: GPL-2.0-or-later
"""Client, proxy and backend on three hosts: real links, with what goes wrong on them."""

import signal
import socket
import subprocess
import sys
import time

from lib import case, connect, process, programs, read_all, read_exactly, tcp, wait_until
from lib.pattern import MIB, Exchange, Pattern, Stream

AT_DEBUG = False

# Ends a session from the server's side: serves `size` bytes of zeros to the first client, reads
# what the client sends only if it is told to, and waits to be killed.
DOOMED_SERVER = """
import socket, sys, time
size, read = int(sys.argv[2]), sys.argv[3] == "read"
listener = socket.create_server((sys.argv[1], 9000))
print("listening", flush=True)
sock, _ = listener.accept()
sock.sendall(bytes(size))
while read and sock.recv(65536):
    pass
time.sleep(600)
"""


def backend_at(env, network, handle, family=4, port=0):
    """A server in the backend's namespace."""
    host = network.backend_address(family)
    address = f"[{host}]:{port}" if family == 6 else f"{host}:{port}"
    return network.backend.call(env.backend, handle, address)


def connect_from(env, network, address):
    """A socket of the client's namespace, connected to the proxy."""
    return env.keep(network.client.call(connect, address))


def say_b(sock):
    sock.sendall(b"b\n")
    read_all(sock)


def ask_name(env, network, daemon):
    """What the server that the proxy chose says."""
    sock = connect_from(env, network, daemon.address())
    name = read_exactly(sock, 2)
    sock.close()
    return name


def expect_reset(sock):
    """The next read must find the connection reset."""
    try:
        data = sock.recv(1)
    except ConnectionResetError:
        return
    raise AssertionError(f"no reset, but {data!r}")


def expect_refusal(env, network, daemon):
    """A client is reset; the reset may be there before its connect() returns."""
    try:
        sock = connect_from(env, network, daemon.address())
    except ConnectionResetError:
        return
    expect_reset(sock)


def closed_port(env, network):
    """An address of the backend that refuses connections."""
    address, sock = network.backend.call(tcp.free_port, network.backend_address())
    env.keep(sock)
    return address


def check_kernel_used(env, stats):
    if env.engine == "kernel":
        assert stats["bytes_redirected"] > 0, stats
    else:
        assert stats["bytes_redirected"] == 0, stats


# -- what works

def run_three_hosts(env, family, sessions, size):
    """Both ways at once over three hosts, with content and ends checked on both."""
    network = env.network()
    seconds, served = env.pick(30, 60), []

    def serve(sock):
        sock.settimeout(programs.scaled(seconds))
        number = int(read_exactly(sock, 4))
        exchange = Exchange(sock, (f"down{number}", size), (f"up{number}", size))
        try:
            exchange.join(programs.scaled(seconds))
            served.append(number)
        except BaseException as error:  # told when the client is done
            served.append(error)
    backend = backend_at(env, network, serve, family)
    daemon = network.spliced(backend.address)
    exchanges = []
    for number in range(sessions):
        sock = connect_from(env, network, daemon.address(index=0 if family == 4 else 1))
        sock.settimeout(programs.scaled(seconds))
        sock.sendall(b"%04d" % number)
        exchanges.append(Exchange(sock, (f"up{number}", size), (f"down{number}", size)))
    for exchange in exchanges:
        exchange.join(programs.scaled(seconds))
    wait_until(lambda: len(served) == sessions, 10, "every server side is done")
    bad = [entry for entry in served if not isinstance(entry, int)]
    assert not bad, bad
    daemon.wait_sessions(0)
    assert {line["end"] for line in daemon.access_log()} == {"done"}
    for line in daemon.access_log():
        assert (int(line["bytes_up"]), int(line["bytes_down"])) == (size + 4, size), line
    check_kernel_used(env, daemon.stats())


@case(core=True)
def test_three_hosts(env):
    run_three_hosts(env, 4, env.pick(6, 3), env.pick(16, 1) * MIB)


def test_three_hosts_ipv6(env):
    run_three_hosts(env, 6, env.pick(6, 3), env.pick(16, 1) * MIB)


def run_load(env, network, family, *options, seconds=None):
    """The load tool across both links; the daemon's statistics."""
    host = network.backend_address(family)
    load = env.load(*options, listen=f"[{host}]:0" if family == 6 else f"{host}:0",
                    prefix=network.client.command(), **({"timeout": seconds} if seconds else {}))
    daemon = network.spliced(load.backend)
    load.go(daemon.address(index=0 if family == 4 else 1)).ok()
    daemon.wait_sessions(0)
    stats = daemon.stats()
    check_kernel_used(env, stats)
    return stats


def test_load(env):
    run_load(env, env.network(joined=True), 4, "--sessions", env.pick(200, 20),
             "--concurrency", env.pick(32, 8), "--bytes-up", "256K", "--bytes-down", "256K")


def test_load_ipv6(env):
    run_load(env, env.network(joined=True), 6, "--sessions", env.pick(200, 20),
             "--concurrency", env.pick(32, 8), "--bytes-up", "256K", "--bytes-down", "256K",
             "--half-close", "client")


def test_small_packets(env):
    """MTU 1500, no segmentation or receive offload: every packet is one segment."""
    network = env.network(joined=True)
    network.turn_off("tso", "gso", "gro")
    run_load(env, network, 4, "--sessions", env.pick(16, 4), "--bytes-up", env.pick("4M", "512K"),
             "--bytes-down", env.pick("4M", "512K"), "--write-size", "1-100000")


# -- slow links

def limit_rate(env, host, device, megabits):
    done = process.run("tc", "-n", host.name, "qdisc", "add", "dev", device, "root", "tbf", "rate",
                       f"{megabits}mbit", "burst", "64k", "latency", "50ms", check=False)
    if "Specified qdisc kind is unknown" in done.stderr:
        env.skip("this kernel has no tbf qdisc")
    assert done.returncode == 0, done.stderr


class SlowTransfer:
    """One stream, and how far its sender was ahead of its receiver."""

    def __init__(self, size, seconds):
        self.size, self.seconds = size, seconds
        self.sender = self.receiver = None
        self.ahead = 0
        self.server_result = None

    def send(self, sock):
        sock.settimeout(self.seconds)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 256 << 10)
        self.sender = Stream(sock, "slow", self.size)
        self.sender.send(self._note)
        assert read_all(sock) == b""

    def receive(self, sock):
        sock.settimeout(self.seconds)
        self.receiver = Stream(sock, "slow", self.size)
        self.receiver.receive()
        sock.shutdown(socket.SHUT_WR)

    def _note(self):
        received = self.receiver.moved if self.receiver else 0
        self.ahead = max(self.ahead, self.sender.moved - received)

    def server(self, function):
        """`function` as the handler of a server; what it raised is server_result."""
        def handle(sock):
            try:
                function(sock)
                self.server_result = "done"
            except BaseException as error:  # told when the client is done
                self.server_result = repr(error)
        return handle


def run_slow_link(env, upload):
    """A sender that is much faster than the link behind the proxy: it must be stopped, or the
    host's memory holds the difference."""
    size, megabits = env.pick(64, 32) * MIB, env.pick(160, 40)
    network = env.network()
    transfer = SlowTransfer(size, programs.scaled(50))
    client, server = transfer.send, transfer.receive
    if not upload:
        client, server = server, client
    backend = backend_at(env, network, transfer.server(server))
    limit_rate(env, network.proxy, "net2" if upload else "net1", megabits)
    daemon = network.spliced(backend.address, spliced={"splice_low": "64K", "splice_high": "256K",
                                                       "splice_hard": "8M",
                                                       "splice_window": "256K"})
    sock = connect_from(env, network, daemon.address())
    started = time.monotonic()
    client(sock)
    seconds = time.monotonic() - started
    sock.close()
    wait_until(lambda: transfer.server_result, 10, "the server's side is done")
    assert transfer.server_result == "done", transfer.server_result
    (line,) = daemon.wait_access(1)
    assert line["end"] == "done" and int(line["bytes_up" if upload else "bytes_down"]) == size, line
    assert seconds > size * 8 / megabits / 1e6 / 2, f"{seconds} s: no slow link"
    # What may lie on the way: splice_hard, and TCP's largest buffers (6 MiB in, 4 MiB out).
    assert transfer.ahead < 20 * MIB, f"the sender was {transfer.ahead} bytes ahead"
    stats = daemon.stats()
    check_kernel_used(env, stats)
    if env.engine == "kernel":
        assert int(line["pauses"]) > 0, line
    env.note(f"{line['pauses']} pauses, {transfer.ahead >> 10} KiB ahead, "
             f"{stats['bytes_redirected'] * 100 // size} % redirected")


@case(timeout=60)
def test_slow_link_up(env):
    run_slow_link(env, upload=True)


@case(timeout=60, core=True)
def test_slow_link_down(env):
    run_slow_link(env, upload=False)


# -- servers that cannot be had

def test_refused_next_server(env):
    """A server that refuses costs nothing but a retry."""
    network = env.network()
    good = backend_at(env, network, say_b)
    daemon = network.spliced([closed_port(env, network), good.address])
    for _ in range(4):
        assert ask_name(env, network, daemon) == b"b\n"
    lines = daemon.wait_access(4)
    assert {(line["server"], line["end"]) for line in lines} == {("b", "done")}, lines
    assert daemon.stats()["retries"] > 0
    assert daemon.server("a")["connect_failures"] > 0, daemon.server("a")
    assert daemon.server("b")["connect_failures"] == 0, daemon.server("b")


def test_refused_only_server(env):
    """With nobody else to ask, the client sees a reset, not an empty answer."""
    network = env.network()
    daemon = network.spliced(closed_port(env, network))
    expect_refusal(env, network, daemon)
    (line,) = daemon.wait_access(1)
    assert line["end"] == "connect_failed", line


def test_no_route_next_server(env):
    """Errors that connect() returns at once."""
    network = env.network()
    good = backend_at(env, network, say_b)
    for kind, net in (("blackhole", 3), ("unreachable", 4), ("prohibit", 5)):
        network.proxy.ip("route", "add", kind, f"10.77.{net}.0/24")
    daemon = network.spliced(["10.77.3.1:80", "10.77.4.1:80", "10.77.5.1:80", good.address],
                             pool={"retries": 3, "connect_timeout": "30s"})
    for _ in range(4):
        assert ask_name(env, network, daemon) == b"b\n"
    assert {line["server"] for line in daemon.wait_access(4)} == {"d"}


# A host that swallows everything: packets leave the proxy, and nothing comes back.
SILENT = "10.77.2.99"


def add_silent_host(network):
    network.proxy.ip("neigh", "add", SILENT, "lladdr", "02:00:00:00:00:99", "dev", "net2")


def check_timeout(env, line, least, name):
    """The session's duration shows one connect_timeout of 300 ms, not a multiple of it."""
    took = int(line["duration_ms"])
    assert least <= took < least + env.pick(500, 5000), f"{name}: {took} ms"


def test_unreachable_next_server(env):
    network = env.network()
    add_silent_host(network)
    good = backend_at(env, network, lambda sock: sock.sendall(b"b\n"))
    daemon = network.spliced([f"{SILENT}:80", good.address], pool={"connect_timeout": "300ms"})
    for _ in range(4):
        assert ask_name(env, network, daemon) == b"b\n"
    lines = daemon.wait_access(4)
    assert {(line["server"], line["end"]) for line in lines} == {("b", "done")}, lines
    waited = [line for line in lines if int(line["duration_ms"]) >= 300]
    assert waited, lines
    for line in waited:
        check_timeout(env, line, 300, "session")
    assert daemon.server("a")["connect_failures"] == len(waited)


def test_unreachable_only_server(env):
    network = env.network()
    add_silent_host(network)
    daemon = network.spliced(f"{SILENT}:80", pool={"connect_timeout": "300ms"})
    expect_refusal(env, network, daemon)
    (line,) = daemon.wait_access(1)
    assert line["end"] == "connect_failed", line
    check_timeout(env, line, 300, "session")


def test_link_down_next_server(env):
    """The backend's link is cut, and comes back."""
    network = env.network()
    main = backend_at(env, network, say_b)
    spare = network.proxy.call(env.backend, tcp.serve_name("s"), "127.0.0.1:0")
    daemon = network.spliced([f"a {main.address}", f"s {spare.address} backup"],
                             pool={"connect_timeout": "300ms"})
    assert ask_name(env, network, daemon) == b"b\n"
    network.backend.ip("link", "set", "eth2", "down")
    assert ask_name(env, network, daemon) == b"s\n"
    network.backend.ip("link", "set", "eth2", "up")
    wait_until(lambda: ask_name(env, network, daemon) == b"b\n", 10, "the backend is used again",
               poll=0.2)


# -- servers that go away

def start_doomed(network, size, read):
    """A server process in the backend's namespace."""
    command = network.backend.command(sys.executable, "-c", DOOMED_SERVER,
                                      network.backend_address(), size, "read" if read else "no")
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "listening\n"
    return server


def end_server(server):
    server.send_signal(signal.SIGKILL)
    server.wait()
    server.stdout.close()


def test_server_killed_fin(env):
    """It has read everything: its kernel sends a FIN, behind all that it had sent."""
    network, size = env.network(), 3 * MIB + 17
    server = start_doomed(network, size, read=True)
    try:
        daemon = network.spliced(f"{network.backend_address()}:9000")
        sock = connect_from(env, network, daemon.address())
        sock.sendall(b"hello")
        assert read_exactly(sock, size) == bytes(size)
    finally:
        end_server(server)
    assert sock.recv(1) == b""
    sock.close()
    (line,) = daemon.wait_access(1)
    assert line["end"] in ("done", "server_reset"), line
    assert int(line["bytes_down"]) == size, line


@case(core=True)
def test_server_killed_rst(env):
    """It has not read what came: its kernel sends a RST, and the client must see one."""
    network = env.network()
    server = start_doomed(network, 1000, read=False)
    try:
        daemon = network.spliced(f"{network.backend_address()}:9000")
        sock = connect_from(env, network, daemon.address())
        assert read_exactly(sock, 1000) == bytes(1000)
        sock.sendall(bytes(5000))
        wait_until(lambda: daemon.sessions()[0]["bytes_up"] == 5000, 5, "the bytes are under way")
        unread = ["ss", "-Htn", "state", "established", "sport", "=", ":9000"]
        wait_until(lambda: network.backend.run(*unread).stdout.startswith("5000"), 5,
                   "the server's queue has them")
    finally:
        end_server(server)
    expect_reset(sock)
    (line,) = daemon.wait_access(1)
    assert line["end"] == "server_reset", line


def test_link_cut_idle_timeout(env):
    """Nobody says that the server is gone. A session with traffic outlives the timeout; once the
    link is cut nothing moves, and the timeout ends it."""
    timeout = env.pick(1.0, 3.0)
    network = env.network()
    backend = backend_at(env, network, tcp.serve_echo)
    daemon = network.spliced(backend.address, listener={"idle_timeout": f"{timeout * 1000:.0f}ms"})
    sock = connect_from(env, network, daemon.address())
    began = time.monotonic()
    while time.monotonic() < began + timeout * 2:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        time.sleep(timeout / 5)
    cut = time.monotonic()
    network.backend.ip("link", "set", "eth2", "down")
    sock.setblocking(False)
    pattern, position = Pattern(1), 0
    try:
        while time.monotonic() < cut + timeout / 2:
            position += sock.send(pattern.piece(position, 65536))
    except BlockingIOError:
        pass    # stopped, as it must be: the server takes nothing
    sock.settimeout(programs.scaled(timeout * 4 + 5))
    expect_reset(sock)
    waited = time.monotonic() - cut
    (line,) = daemon.wait_access(1)
    assert line["end"] == "idle_timeout", line
    assert timeout * 0.8 < waited < timeout * 3 + 2, f"ended after {waited:.1f} s"
