# SPDX-License-Identifier: GPL-2.0-or-later
"""Daemons that intercept, and clients that do not know it."""

import contextlib
import socket
import struct
import threading

from . import tcp
from .reloads import text_of
from .wait import wait_until

SO_ORIGINAL_DST = 80

BINDS = ("127.0.0.1:0", "[::1]:0")


def port_of(address):
    return int(address.rpartition(":")[2])


def intercepting(env, cgroup, outbound, servers="any original:", intercept=None, listener=None,
                 more=None, **options):
    """A daemon that intercepts what the cgroup connects to `outbound`."""
    section = {"cgroup": getattr(cgroup, "path", cgroup), "outbound": outbound, "listener": "web",
               **(intercept or {})}
    return env.spliced(servers, listener={"bind": BINDS, **(listener or {})},
                       more={"intercept out": section, **(more or {})}, **options)


def connect(cgroup, address, family=None, timeout=tcp.TIMEOUT):
    """A connected socket of a program in the cgroup. family: to reach IPv4 by IPv6."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = family or (socket.AF_INET6 if ":" in host else socket.AF_INET)
    if family == socket.AF_INET6 and ":" not in host:
        host = f"::ffff:{host}"
    with cgroup.inside():
        sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        sock.connect((host, int(port)))
    except BaseException:
        sock.close()
        raise
    return sock


def original(sock):
    """What SO_ORIGINAL_DST says, as HOST:PORT; of a mapped address as netfilter does, by the level
    of IPv4."""
    if sock.family == socket.AF_INET or sock.getpeername()[0].startswith("::ffff:"):
        data = sock.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
        port, = struct.unpack("!H", data[2:4])
        return f"{socket.inet_ntop(socket.AF_INET, data[4:8])}:{port}"
    data = sock.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
    port, = struct.unpack("!H", data[2:4])
    return f"[{socket.inet_ntop(socket.AF_INET6, data[8:24])}]:{port}"


def peer(sock):
    host, port = sock.getpeername()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def exchange(sock, data=b"a question"):
    """It is echoed."""
    sock.sendall(data)
    got = tcp.read_exactly(sock, len(data))
    assert got == data, got


def redirected(daemon, name="out"):
    return next(i for i in daemon.status()["intercepts"] if i["name"] == name)["redirected"]


# ---- all the time ----------------------------------------------------------------------------------

def many_connects(backends, stop, results):
    """Each server says its name: whether who was asked has answered."""
    while not stop.is_set():
        for backend, name in backends:
            try:
                with tcp.connect(backend.address) as sock:
                    got = tcp.read_exactly(sock, 2).decode().strip()
                    assert peer(sock) == backend.address
            except (OSError, AssertionError) as error:
                got = error
            results.append((got, name))


@contextlib.contextmanager
def connecting(cgroup, backends, number=3):
    """Meanwhile, all the time; the results."""
    stop, results = threading.Event(), []
    threads = [threading.Thread(target=many_connects, args=(backends, stop, results))
               for _ in range(number)]
    with cgroup.inside():
        for thread in threads:
            thread.start()
        try:
            yield results
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)


def more_of(results, number=20):
    """Until so many further connects were made."""
    before = len(results)
    wait_until(lambda: len(results) > before + number, 20, "it is connected to")


def named(env, names="ab"):
    return [(env.backend(tcp.serve_name(name)), name) for name in names]


def check(results):
    """Whoever was asked has answered."""
    wrong = [result for result in results if result[0] != result[1]]
    assert not wrong, (len(results), len(wrong), wrong[:5])


def moved(daemon):
    """Its file, with other addresses for the listener: whose old ones are given up."""
    return text_of(daemon).replace("127.0.0.1:0", "127.0.0.2:0")
