# SPDX-License-Identifier: GPL-2.0-or-later
"""TCP's own question whether a peer is still there: who is asked, and what becomes of the dead."""

import ctypes
import os
import re
import socket
import subprocess
import time

from lib import case, connect, host, process, read_exactly, wait_until
from lib.tcp import serve_echo

AT_DEBUG = False

SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438


# -- what the daemon's sockets are told

def descriptors(daemon):
    """Copies of all sockets of the daemon, as Python's."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = libc.syscall(SYS_PIDFD_OPEN, daemon.worker_pid, 0)
    assert pidfd >= 0, os.strerror(ctypes.get_errno())
    socks = []
    try:
        for name in os.listdir(f"/proc/{daemon.worker_pid}/fd"):
            try:
                if not os.readlink(f"/proc/{daemon.worker_pid}/fd/{name}").startswith("socket:"):
                    continue
            except FileNotFoundError:
                continue
            fd = libc.syscall(SYS_PIDFD_GETFD, pidfd, int(name), 0)
            if fd >= 0:
                socks.append(socket.socket(fileno=fd))
    finally:
        os.close(pidfd)
    return socks


def told(sock):
    """(on, idle, interval, count) of a socket."""
    tcp = socket.IPPROTO_TCP
    return (sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            sock.getsockopt(tcp, socket.TCP_KEEPIDLE), sock.getsockopt(tcp, socket.TCP_KEEPINTVL),
            sock.getsockopt(tcp, socket.TCP_KEEPCNT))


def asked(daemon, client):
    """What the daemon's two sockets of a client's session were told: (its, the server's)."""
    name = "%s:%d" % client.getsockname()[:2]
    (session,) = [s for s in daemon.sessions() if s["client"] == name]
    sides = {}
    for sock in descriptors(daemon):
        with sock:
            if sock.family != socket.AF_INET or sock.type != socket.SOCK_STREAM:
                continue
            try:
                peer = "%s:%d" % sock.getpeername()
            except OSError:
                continue
            if peer == session["client"]:
                sides["client"] = told(sock)
            elif peer == session["backend"]:
                sides["server"] = told(sock)
    return sides["client"], sides["server"]


def system():
    return tuple(int(host.sysctl(f"net.ipv4.tcp_keepalive_{name}"))
                 for name in ("time", "intvl", "probes"))


def echoed(env, daemon):
    """A client whose session runs."""
    client = env.keep(connect(daemon.address()))
    client.sendall(b"hello")
    assert read_exactly(client, 5) == b"hello"
    return client


def check(env, want_client, want_server, listener=None, pool=None):
    daemon = env.spliced(env.backend(serve_echo).address, listener=listener, pool=pool)
    client, server = asked(daemon, echoed(env, daemon))
    assert client == want_client and server == want_server, (client, server)
    return daemon


def test_off_by_default(env):
    """idle_timeout ends what is silent for ten minutes: nobody has to be asked."""
    off = (0, *system())
    check(env, off, off)


def test_on_where_silence_may_last(env):
    """Both sides, with the system's times, when nothing else would notice."""
    on = (1, *system())
    check(env, on, on, listener={"idle_timeout": 0})
    check(env, on, on, listener={"idle_timeout": f"{system()[0] + 1}s"})
    check(env, (0, *on[1:]), (0, *on[1:]), listener={"idle_timeout": f"{system()[0]}s"})


def test_each_side_for_itself(env):
    time_, interval, count = system()
    check(env, (1, 30, 7, 3), (0, *system()),
          listener={"tcp_keepalive": "30s:7s:3", "idle_timeout": 0}, pool={"tcp_keepalive": "no"})
    check(env, (0, *system()), (1, 120, interval, count),
          listener={"tcp_keepalive": "no", "idle_timeout": 0}, pool={"tcp_keepalive": "2m::"})
    check(env, (1, time_, 5, count), (1, time_, interval, 4),
          listener={"tcp_keepalive": ":5:"}, pool={"tcp_keepalive": "::4"})
    check(env, (1, *system()), (1, *system()),
          listener={"tcp_keepalive": "yes"}, pool={"tcp_keepalive": "yes"})


def test_timer_runs(env):
    """What ss shows from outside: the timers of both sockets."""
    daemon = env.spliced(env.backend(serve_echo).address,
                         listener={"tcp_keepalive": "100s::"}, pool={"tcp_keepalive": "200s::"})
    client = echoed(env, daemon)
    proxy_port, own = int(daemon.address().rpartition(":")[2]), client.getsockname()[1]

    def timers():
        shown = process.run("ss", "-tnoH", "state", "established").stdout.splitlines()
        lines = [line for line in shown if "timer:(keepalive," in line]
        client_side = [line for line in lines if f":{proxy_port} " in line and f":{own}" in line]
        return client_side, lines
    client_side, lines = wait_until(
        lambda: (lambda got: got if got[0] else None)(timers()), 10, "the client's timer")
    seconds = re.search(r"keepalive,(\d+)min(\d+)?", client_side[0])
    assert seconds and int(seconds[1]) == 1, client_side
    backend = daemon.sessions()[0]["backend"]
    assert [line for line in lines if backend in line and "keepalive,3min" in line], lines


# -- HTTP

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def serve_empty(sock):
    data = b""
    while more := sock.recv(4096):
        data += more
        while b"\r\n\r\n" in data:
            data = data.partition(b"\r\n\r\n")[2]
            sock.sendall(HEAD)


def http_backend_told(env, listener, pool=None):
    """What the kept connection of an HTTP pool was told."""
    backend = env.backend(serve_empty)
    daemon = env.spliced(backend.address, listener={"protocol": "http", **listener}, pool=pool)
    with connect(daemon.address()) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
    for sock in descriptors(daemon):
        with sock:
            try:
                if "%s:%d" % sock.getpeername() == backend.address:
                    return told(sock)
            except (OSError, TypeError):
                continue
    raise AssertionError("no kept connection")


def test_http(env):
    """Of HTTP it is the longest of its times that counts, and the pool's for what is kept."""
    on, off = (1, *system()), (0, *system())
    assert http_backend_told(env, {}) == off
    assert http_backend_told(env, {"tunnel_timeout": 0}) == on
    assert http_backend_told(env, {"response_timeout": "5h"}) == on
    assert http_backend_told(env, {}, {"keepalive_timeout": "5h"}) == on
    assert http_backend_told(env, {"idle_timeout": 0}) == off


# -- the dead

def wait_acknowledged(daemon, number):
    """Until the daemon's connections have nothing under way: what is not acknowledged is sent again
    for a long time, and nobody is asked meanwhile."""
    def quiet():
        shown = subprocess.run(daemon.prefix + ["ss", "-tnH", "state", "established"],
                               capture_output=True, text=True, check=True).stdout
        queues = [line.split()[1] for line in shown.splitlines()]
        return len(queues) == number and set(queues) == {"0"}
    wait_until(quiet, 10, "all is acknowledged", poll=0.1)


def vanish(network, daemon, name):
    """A host that answers nothing any more: its packets end in a black hole."""
    wait_acknowledged(daemon, 2)
    who = getattr(network, name)
    net = network.CLIENT_NET if name == "client" else network.BACKEND_NET
    who.ip("route", "add", "blackhole", f"10.77.{net}.1/32")


def network_session(env, listener, pool, handle=serve_echo):
    network = env.network()
    backend = network.backend.call(env.backend, handle, f"{network.backend_address()}:0")
    daemon = network.spliced(backend.address, listener=listener, pool=pool,
                             binds=[f"{network.proxy_address()}:0"])
    return network, backend, daemon, env.keep(network.client.call(connect, daemon.address()))


def check_gone(env, daemon, end):
    began = time.monotonic()
    (line,) = daemon.wait_access(1, 30)
    assert line["end"] == end, line
    assert time.monotonic() - began > 0.5, "nobody was asked"
    assert line["engine"] == env.engine, line
    wait_until(lambda: not daemon.sessions(), 5, "the session is gone")


def expect_reset(sock):
    sock.settimeout(20)
    try:
        data = sock.recv(1)
    except ConnectionResetError:
        return
    raise AssertionError(f"no reset, but {data!r}")


def check_dead(env, who, listener, pool):
    network, backend, daemon, client = network_session(env, listener, pool)
    client.sendall(b"hello")
    assert read_exactly(client, 5) == b"hello"
    if env.engine == "kernel":
        wait_until(lambda: daemon.sessions()[0]["engine"] == "kernel", 10, "the kernel has it")
    vanish(network, daemon, who)
    check_gone(env, daemon, f"{'client' if who == 'client' else 'server'}_lost")
    if who == "backend":
        expect_reset(client)
    else:
        wait_until(lambda: backend.errors or not backend.sockets, 10, "the server is told")
        assert any(isinstance(error, ConnectionResetError) for error in backend.errors)


def test_client_vanishes(env):
    """idle_timeout = 0: keepalive alone notices, and the server gets a reset."""
    check_dead(env, "client", {"idle_timeout": 0, "tcp_keepalive": "1:1:2"},
               {"tcp_keepalive": "no"})


def test_server_vanishes(env):
    check_dead(env, "backend", {"idle_timeout": 0, "tcp_keepalive": "no"},
               {"tcp_keepalive": "1:1:2"})


def test_quiet_sessions_live(env):
    """Peers that answer are left alone, however long they are silent."""
    network, _, daemon, client = network_session(
        env, {"idle_timeout": 0, "tcp_keepalive": "1:1:1"}, {"tcp_keepalive": "1:1:1"})
    client.sendall(b"hello")
    assert read_exactly(client, 5) == b"hello"
    wait_until(lambda: daemon.sessions()[0]["age_ms"] > 4000, 20, "four seconds of silence",
               poll=0.5)
    client.sendall(b"again")
    assert read_exactly(client, 5) == b"again"


def serve_upgrade(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(4096)
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                 b"Upgrade: websocket\r\n\r\n")
    serve_echo(sock)


def check_tunnel(env, who):
    network, _, daemon, client = network_session(
        env, {"protocol": "http", "tunnel_timeout": 0, "tcp_keepalive": "1:1:2"},
        {"tcp_keepalive": "1:1:2"}, serve_upgrade)
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                   b"Upgrade: websocket\r\n\r\n")
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(4096)
    assert head.startswith(b"HTTP/1.1 101"), head
    client.sendall(b"hello")
    assert read_exactly(client, 5) == b"hello"
    vanish(network, daemon, who)
    end = f"{'client' if who == 'client' else 'server'}_lost"
    wait_until(lambda: any(f"end={end}" in line for line in daemon.log()), 30, end)
    wait_until(lambda: not daemon.sessions(), 5, "the session is gone")


def test_tunnel_client_vanishes(env):
    check_tunnel(env, "client")


def test_tunnel_server_vanishes(env):
    check_tunnel(env, "backend")


def test_server_vanishes_before_its_answer(env):
    """A request that waits for a server which is no more: 504, long before response_timeout."""
    network, _, daemon, client = network_session(
        env, {"protocol": "http", "response_timeout": "5m"}, {"tcp_keepalive": "1:1:2"},
        lambda sock: [sock.recv(4096), time.sleep(60)])
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: daemon.sessions()[0]["server"] == "a", 10, "the request is on its way")
    vanish(network, daemon, "backend")
    client.settimeout(30)
    assert client.recv(4096).startswith(b"HTTP/1.1 504 "), "no answer of the proxy's own"
    wait_until(lambda: any("end=server_lost" in line for line in daemon.log()), 10, "the line")
