# SPDX-License-Identifier: GPL-2.0-or-later
"""source = client: servers see the clients' addresses."""

import os
import re
import socket
import threading

from lib import case, connect, read_all, read_exactly, tcp, wait_until
from lib.pattern import MIB, Pattern, send_pattern
from lib.process import run

AT_DEBUG = False

CLIENT = {"source": "client"}
LINE = 48


def tell_and_echo(sock):
    """Says whom the server sees, then echoes."""
    host = sock.getpeername()[0].encode()
    sock.sendall(host.ljust(LINE))
    tcp.serve_echo(sock)


def tell_by_http(sock):
    """The same, in answers."""
    host = sock.getpeername()[0].encode()
    head = b""
    while data := sock.recv(4096):
        head += data
        while b"\r\n\r\n" in head:
            head = head.partition(b"\r\n\r\n")[2]
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LINE + host.ljust(LINE))


def seen(sock):
    """Whom the server has seen."""
    return read_exactly(sock, LINE).decode().strip()


def ask(sock):
    """The same by HTTP."""
    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    got = b""
    while b"\r\n\r\n" not in got:
        got += sock.recv(1000) or b"\r\n\r\n"
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    return (body + read_exactly(sock, LINE - len(body))).decode().strip()


def routed(env):
    """client - proxy - backend, where what the servers send to clients ends at the proxy: by the rules of
    docs/operations.md."""
    network = env.network()
    backend, proxy = network.backend, network.proxy
    backend.ip("route", "add", "default", "via", "10.77.2.1")
    backend.ip("-6", "route", "add", "default", "via", "fd77:2::1")
    proxy.ip("rule", "add", "iif", "net2", "from", "10.77.2.2", "ipproto", "tcp", "sport", "1024-65534",
             "lookup", "100")
    proxy.ip("route", "add", "local", "default", "dev", "lo", "table", "100")
    proxy.ip("-6", "rule", "add", "iif", "net2", "from", "fd77:2::2", "ipproto", "tcp", "sport", "1024-65534",
             "lookup", "100")
    proxy.ip("-6", "route", "add", "local", "default", "dev", "lo", "table", "100")
    return network


def server_at(env, network, handle=tell_and_echo, family=4):
    host = network.backend_address(family)
    return network.backend.call(env.backend, handle, f"[{host}]:0" if family == 6 else f"{host}:0")


def exchange(sock, size, seed):
    """Sends so many bytes, which are echoed, and ends."""
    pattern = Pattern(seed)
    sender = threading.Thread(target=send_pattern, args=(sock, pattern, size))
    sender.start()
    at = 0
    while at < size:
        data = sock.recv(1 << 18)
        assert data, f"it ended after {at} bytes"
        pattern.check(at, data)
        at += len(data)
    sender.join(10)
    sock.shutdown(socket.SHUT_WR)
    assert read_all(sock) == b""


@case(timeout=90)
def test_servers_see_clients(env):
    """Over three hosts, by IPv4 and IPv6, and every byte."""
    network = routed(env)
    for family, address in ((4, "10.77.1.2"), (6, "fd77:1::2")):
        backend = server_at(env, network, family=family)
        daemon = network.spliced(backend.address, pool=CLIENT)
        sock = env.keep(network.client.call(connect, daemon.address(index=family == 6)))
        assert seen(sock) == address
        exchange(sock, 8 * MIB, b"source")
        line, = daemon.wait_access(1)
        assert line["end"] == "done" and line["bytes_up"] == str(8 * MIB), line
        if env.engine == "kernel":
            assert line["engine"] == "kernel", line


def test_an_announced_client(env):
    """The one of a PROXY header; who speaks for itself is the client."""
    network = routed(env)
    backend = server_at(env, network)
    daemon = network.spliced(backend.address, pool=CLIENT, listener={"accept_proxy": "v1"})
    for header, address in (("TCP4 10.77.1.99 10.77.1.1 5 6", "10.77.1.99"),
                            ("TCP4 192.0.2.1 10.77.1.1 5 6", "192.0.2.1"),
                            ("UNKNOWN", "10.77.1.2")):
        sock = env.keep(network.client.call(connect, daemon.address()))
        sock.sendall(f"PROXY {header}\r\n".encode())
        assert seen(sock) == address
        exchange(sock, 1000, b"header")


def test_a_server_beside_the_daemon(env):
    """Of the same host, at a loopback address: its answers must not leave by the client's way."""
    network = env.network()
    proxy = network.proxy
    proxy.ip("rule", "add", "from", "127.0.0.0/8", "iif", "lo", "lookup", "100")
    proxy.ip("route", "add", "local", "default", "dev", "lo", "table", "100")
    proxy.ip("-6", "rule", "add", "from", "::1", "iif", "lo", "lookup", "100")
    proxy.ip("-6", "route", "add", "local", "default", "dev", "lo", "table", "100")
    for family, host, address in ((4, "127.0.0.1", "10.77.1.2"), (6, "[::1]", "fd77:1::2")):
        backend = proxy.call(env.backend, tell_and_echo, f"{host}:0")
        daemon = network.spliced(backend.address, pool=CLIENT)
        sock = env.keep(network.client.call(connect, daemon.address(index=family == 6)))
        assert seen(sock) == address
        exchange(sock, MIB, b"beside")


def test_kept_connections_are_of_one_client(env):
    """reuse = always: for later requests from the same address, and from no other."""
    backend = env.backend(tell_by_http)
    daemon = env.spliced(backend.address, listener={"protocol": "http"}, spliced={"workers": 1},
                         pool={**CLIENT, "reuse": "always"})
    for _ in range(3):
        for address in ("127.0.0.5", "127.0.0.6", "127.0.0.1"):
            with connect(daemon.address(), source=address) as sock:
                for _ in range(2):
                    assert ask(sock) == address
            daemon.wait_sessions(0)
    assert backend.accepted == 3, backend.accepted


def test_who_has_no_such_address(env):
    """Clients of unix sockets have this host's; servers that are such have no address to see; and
    checks are the daemon's own."""
    def handle(sock):
        peers.add(sock.getpeername()[0])
        tell_and_echo(sock)

    peers = set()
    backend = env.backend(handle)
    daemon = env.spliced(backend.address, listener={"bind": [f"unix:{env.tmp}/in", "127.0.0.1:0"]},
                         pool={**CLIENT, "health_check": "tcp", "health_interval": "50ms"})
    with connect(daemon.address(index=1), source="127.0.0.9") as sock:
        assert seen(sock) == "127.0.0.9"
        wait_until(lambda: peers == {"127.0.0.9", "127.0.0.1"}, 10, "it is checked")
    with connect(f"unix:{env.tmp}/in") as sock:
        assert seen(sock) == "127.0.0.1"
        exchange(sock, 1000, b"unix")
    local = env.backend(address=f"unix:{env.tmp}/out")
    daemon = env.spliced(local.address, pool=CLIENT)
    with connect(daemon.address(), source="127.0.0.9") as sock:
        exchange(sock, 1000, b"unix")


def test_a_client_that_a_server_does_not_want(env):
    """It is refused there, and the server is passed over for nobody else."""
    backend = env.backend(tell_and_echo)
    unwilling = env.backend()
    unwilling.stop_listening()
    servers = [f"unwilling {unwilling.address}", f"willing {backend.address}"]
    daemon = env.spliced(servers, pool=CLIENT)
    for _ in range(6):
        with connect(daemon.address(), source="127.0.0.5") as sock:
            assert seen(sock) == "127.0.0.5"
    server = daemon.server("unwilling")
    assert server["state"] == "up" and server["connect_failures"] == 0, server
    assert daemon.stats()["retries"] == 3, daemon.stats()["retries"]
    wait_until(lambda: "from the address of 127.0.0.5:" in daemon.log_tail(), 10, "it says so")


def test_the_daemons_own_server(env):
    """It has no route to a client's address, and needs none."""
    network = env.network()
    daemon = network.spliced("hello internal:hello", pool=CLIENT, listener={"protocol": "http"})
    sock = env.keep(network.client.call(connect, daemon.address()))
    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b" 200 OK" in read_all(sock)


def test_the_other_family(env):
    """Nothing is sent from an address that is not the client's, and no server is blamed."""
    network = routed(env)
    backend = server_at(env, network)
    daemon = network.spliced(backend.address, pool=CLIENT)
    with tcp.must_reset():
        env.keep(network.client.call(connect, daemon.address(index=1))).recv(1)
    line, = daemon.wait_access(1)
    assert line["end"] == "no_server", line
    wait_until(lambda: "it cannot be done from the client's address" in daemon.log_tail(), 10,
               "it says so")
    assert daemon.server("a")["connect_failures"] == 0
    sock = env.keep(network.client.call(connect, daemon.address()))
    assert seen(sock) == "10.77.1.2"


def test_ports(env):
    """Each client has all ports of this host for itself; when they are used up, it waits, and its
    session ends as what is short."""
    network = routed(env)
    network.client.ip("addr", "add", "10.77.1.3/24", "dev", "eth1")
    backend = server_at(env, network)
    daemon = network.spliced(backend.address, pool={**CLIENT, "connect_timeout": "400ms",
                                                    "retries": 0})
    network.proxy.run("sysctl", "-qw", "net.ipv4.ip_local_port_range=20000 20001")
    socks = []
    for address in ("10.77.1.2", "10.77.1.3", "10.77.1.2", "10.77.1.3"):
        socks.append(env.keep(network.client.call(connect, daemon.address(), address)))
        assert seen(socks[-1]) == address
    with tcp.must_reset():
        env.keep(network.client.call(connect, daemon.address(), "10.77.1.3")).recv(1)
    assert [line["end"] for line in daemon.wait_access(1)] == ["limit"]
    tcp.reset(socks[0])
    daemon.wait_sessions(3)
    sock = env.keep(network.client.call(connect, daemon.address(), "10.77.1.2"))
    assert seen(sock) == "10.77.1.2"


def capabilities(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(re.findall(r"^(Cap\w+):\t(\w+)$", file.read(), re.MULTILINE))


NET_ADMIN, NET_RAW = 1 << 12, 1 << 13


def test_what_is_kept_of_privileges(env):
    """One capability, in every thread, and no way to what else it is good for."""
    if os.geteuid() != 0:
        env.skip("only root has capabilities to keep")
    daemon = env.spliced(env.backend().address, pool=CLIENT, spliced={"user": "nobody"})
    for task in os.listdir(f"/proc/{daemon.worker_pid}/task"):
        sets = {name: int(value, 16)
                for name, value in capabilities(f"{daemon.worker_pid}/task/{task}").items()}
        assert sets == {"CapInh": 0, "CapPrm": NET_RAW, "CapEff": NET_RAW, "CapBnd": 0,
                        "CapAmb": 0}, (task, sets)


def test_what_is_missing_is_named(env):
    """At the start, and when a reload asks for what was given up; an upgrade has it again."""
    if os.geteuid() != 0:
        env.skip("only root has capabilities to keep")
    backend = env.backend(tell_and_echo)
    refused = env.spliced(backend.address, pool=CLIENT, start=False)
    done = run("setpriv", "--bounding-set=-net_raw,-net_admin", "--inh-caps=-net_raw,-net_admin",
               refused.binary, "-c", refused.config_path, check=False)
    env.daemons.remove(refused)
    assert done.returncode == 1, done
    assert re.search(r":\d+: source = client: CAP_NET_RAW or CAP_NET_ADMIN is missing", done.stderr)

    daemon = env.spliced(backend.address)
    text = daemon.config_path.read_text()
    daemon.write_config(text.replace("[pool main]\n", "[pool main]\nsource = client\n"))
    assert daemon.control("reload", check=False) is None
    wait_until(lambda: "it takes an upgrade or a restart" in daemon.log_tail(), 10, "it says so")
    with connect(daemon.address(), source="127.0.0.7") as sock:
        assert seen(sock) == "127.0.0.1"
    daemon.control("upgrade")
    wait_until(lambda: daemon.status()["generation"] == 2, 20, "another worker serves")
    with connect(daemon.address(), source="127.0.0.7") as sock:
        assert seen(sock) == "127.0.0.7"
