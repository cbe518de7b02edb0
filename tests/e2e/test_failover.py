# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers that refuse or hang, and who is asked instead."""

import re
import socket
import struct
import threading
import time

from lib import case, connect, process, programs, read_all, read_exactly, wait_until
from lib.dns import NameServer
from lib.tcp import free_port, serve_name

AT_DEBUG = False

NAME = "six.spliced.test"
LONG = "1h"     # for fail_timeout: never in this test


# -- clients and servers

def serve_http(name):
    """Answers each request with its name, and reads what it is sent."""
    def handle(sock):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = sock.recv(65536)
                if not more:
                    return
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            left = int(length[1]) if length else 0
            while len(data) < left:
                data += sock.recv(65536)
            data = data[left:]
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + name.encode() + b"\n")
    return handle


def ask(daemon, http=False):
    """What the server says that a new session or request reaches; "" where there is none."""
    try:
        with connect(daemon.address()) as sock:
            if http:
                sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
                             b"Connection: close\r\n\r\nhello")
                return read_all(sock).partition(b"\r\n\r\n")[2].decode().strip()
            return read_exactly(sock, 2).decode().strip()
    except ConnectionResetError:
        return ""


def refusing(env, name):
    address, holder = free_port()
    env.keep(holder)
    return f"{name} {address}"


def living(env, name, options="", http=False):
    handle = serve_http(name) if http else serve_name(name)
    return f"{name} {env.backend(handle).address} {options}".strip()


def addresses(count):
    """Loopback addresses of this test's own."""
    first, second, third, last = programs.own_address().split(".")
    return [f"{first}.{second}.{third}.{1 + (int(last) + i) % 254}" for i in range(count)]


def lines(daemon, pattern):
    return [line for line in daemon.log() if re.search(pattern, line)]


def wait_lines(daemon, pattern, number=1):
    """The same once there are so many: the log is written by a thread of its own."""
    return wait_until(lambda: (lambda got: got if len(got) >= number else None)(
        lines(daemon, pattern)), 10, f"{number} lines of {pattern}")


def standing(daemon, name):
    return daemon.server(name)["state"]


# -- refusing servers

def check_backup(env, http, **pool):
    """Three servers refuse; the backup serves everybody, and only the first session tries them."""
    daemon = env.spliced([refusing(env, "a"), refusing(env, "b"), refusing(env, "c"),
                          living(env, "d", "backup", http)],
                         listener={"protocol": "http"} if http else None,
                         pool={"fail_timeout": LONG, **pool})
    assert [ask(daemon, http) for _ in range(8)] == ["d"] * 8
    for name in "abc":
        assert daemon.server(name)["connect_failures"] == 1, daemon.server(name)
        assert standing(daemon, name) == "ejected"
    assert standing(daemon, "d") == "up"
    assert daemon.stats()["retries"] == 3, daemon.stats()
    assert daemon.stats()["ends"]["connect_failed"] == 0
    return daemon


def test_backup(env):
    daemon = check_backup(env, False)
    for name in "abc":
        (line,) = wait_lines(daemon, rf"server main/{name}: failed")
        assert "warning" in line and \
            "failed 1 time (Connection refused), passed over for 3600s" in line, line


def test_backup_least_sessions(env):
    check_backup(env, False, balance="least_sessions")


def test_backup_without_retries(env):
    """retries bounds the time and what is passed over, not the way to a healthy server."""
    check_backup(env, False, retries=0)


def test_backup_http(env):
    check_backup(env, True, retries=1)


def test_backup_without_ejection(env):
    """max_fails = 0: everybody tries them all."""
    daemon = env.spliced([refusing(env, "a"), refusing(env, "b"), refusing(env, "c"),
                          living(env, "d", "backup")], pool={"max_fails": 0, "retries": 0})
    assert [ask(daemon) for _ in range(4)] == ["d"] * 4
    assert daemon.stats()["retries"] == 12, daemon.stats()
    assert not lines(daemon, "passed over")
    assert standing(daemon, "a") == "up"


def check_three_of_four(env, **pool):
    """Nobody is reset, whatever the order in which servers are chosen."""
    daemon = env.spliced([refusing(env, "a"), refusing(env, "b"), refusing(env, "c"),
                          living(env, "d")], pool={"fail_timeout": LONG, **pool})
    assert [ask(daemon) for _ in range(8)] == ["d"] * 8
    assert sum(daemon.server(name)["connect_failures"] for name in "abc") == 3


def test_three_of_four(env):
    check_three_of_four(env)


def test_three_of_four_least_sessions(env):
    check_three_of_four(env, balance="least_sessions", retries=1)


def test_many_refuse(env):
    """More than a hundred servers, one of them alive."""
    address, holder = free_port()
    env.keep(holder)
    daemon = env.spliced([f"s{i} {address}" for i in range(120)] + [living(env, "z")],
                         pool={"balance": "least_sessions", "retries": 0, "fail_timeout": LONG})
    assert [ask(daemon) for _ in range(4)] == ["z"] * 4
    assert daemon.stats()["retries"] == 120, daemon.stats()


def test_max_fails(env):
    """So many connections must fail before it is passed over."""
    daemon = env.spliced([refusing(env, "a"), living(env, "b")],
                         pool={"max_fails": 3, "fail_timeout": LONG})
    assert [ask(daemon) for _ in range(12)] == ["b"] * 12
    assert daemon.server("a")["connect_failures"] == 3
    (line,) = wait_lines(daemon, "server main/a: failed")
    assert "failed 3 times" in line, line


# -- and back

def test_server_comes_back(env):
    """It is tried again, by one session at a time, after times that grow; then it is back."""
    address, holder = free_port()
    daemon = env.spliced([f"a {address}", living(env, "b")], pool={"fail_timeout": "100ms"})

    def failed_thrice():
        assert ask(daemon) == "b"
        return daemon.server("a")["connect_failures"] == 3
    wait_until(failed_thrice, 10, "a was probed twice")
    times = [re.search(r"failed (\d) times? \(Connection refused\), passed over for (\w+)", line)
             for line in wait_lines(daemon, "server main/a: failed", 3)]
    assert [match.groups() for match in times[:3]] == \
        [("1", "100ms"), ("2", "200ms"), ("3", "400ms")], daemon.log_tail()
    (target,) = daemon.server("a")["targets"]
    assert target["state"] == "ejected" and target["fails"] == 3, target
    assert 0 <= target["passed_over_ms"] <= 400 and target["last_error"] == "Connection refused"
    holder.close()
    env.backend(serve_name("a"), address)
    wait_until(lambda: ask(daemon) == "a", 10, "a is used again")
    assert standing(daemon, "a") == "up"
    (line,) = wait_lines(daemon, "server main/a: is back")
    assert " info " in line
    assert {ask(daemon) for _ in range(4)} == {"a", "b"}
    # And from the beginning.
    assert [t["fails"] for t in daemon.server("a")["targets"]] == [0]


def test_nobody_else_left(env):
    """The only server is tried by everybody, however often it failed."""
    address, holder = free_port()
    daemon = env.spliced(f"a {address}", pool={"fail_timeout": LONG})
    assert [ask(daemon) for _ in range(3)] == [""] * 3
    assert daemon.server("a")["connect_failures"] == 3
    holder.close()
    backend = env.backend(serve_name("a"), address)
    assert [ask(daemon) for _ in range(3)] == ["a"] * 3
    assert standing(daemon, "a") == "up"
    assert len(wait_lines(daemon, "is back")) == 1 and len(lines(daemon, "passed over")) == 1
    assert backend.accepted == 3


def test_flapping_is_not_logged_for_ever(env):
    """A server that comes and goes has a few lines, and then a count."""
    address, holder = free_port()
    daemon = env.spliced(f"a {address}", pool={"fail_timeout": LONG})
    for _ in range(10):
        assert ask(daemon) == ""
        holder.close()
        backend = env.backend(serve_name("a"), address)
        assert ask(daemon) == "a"
        backend.close()
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(tuple([address.split(":")[0], int(address.split(":")[1])]))
    env.keep(holder)
    changes = wait_lines(daemon, "server main/a: (failed|is back)", 10)
    assert 10 <= len(changes) < 20, daemon.log_tail()


def test_status(env):
    """What splicectl says of it, for people and for programs."""
    daemon = env.spliced([refusing(env, "a"), living(env, "b")], pool={"fail_timeout": LONG})
    assert [ask(daemon) for _ in range(2)] == ["b"] * 2
    for command in ("status", "pools"):
        shown = process.run(daemon.control_tool, "-s", daemon.control_path, command).stdout
        (header,) = [line.split() for line in shown.splitlines() if line.startswith("POOL")]
        rows = {line.split()[2]: line for line in shown.splitlines()
                if line.startswith("main ")}
        assert "STATE" in header, shown
        assert re.search(r" ejected \d+s ", rows["a"]) and " up " in rows["b"], shown
    (pool,) = daemon.control("pools")
    assert pool == daemon.status()["pools"][0] or pool["name"] == "main"
    server = pool["servers"][0]
    (target,) = server["targets"]
    assert server["state"] == "ejected" and server["addresses"] == [target["address"]], server
    assert target["passed_over"] == 1 and 0 < target["passed_over_ms"] <= 3600000, target


# -- servers that hang

def timed(daemon, http=False):
    began = time.monotonic()
    name = ask(daemon, http)
    return name, time.monotonic() - began


def check_hung(env, http, **pool):
    """Only the first session waits for a server that does not answer."""
    daemon = env.spliced([f"a {env.deaf()}", living(env, "b", http=http)],
                         listener={"protocol": "http"} if http else None,
                         pool={"connect_timeout": "1s", "fail_timeout": LONG, **pool})
    asked = [timed(daemon, http) for _ in range(8)]
    assert {name for name, _ in asked} == {"b"}, asked
    assert len([seconds for _, seconds in asked if seconds >= 1]) == 1, asked
    assert daemon.server("a")["connect_failures"] == 1
    assert wait_lines(daemon, r"server main/a: failed 1 time \(Connection timed out\)")


def test_hung(env):
    check_hung(env, False)


def test_hung_http(env):
    check_hung(env, True)


def test_hung_without_retries(env):
    """Even then the first session reaches the other one."""
    check_hung(env, False, retries=0, balance="least_sessions")


def test_hung_backup(env):
    """All servers hang; the backup is reached in the end, and at once by those that follow."""
    daemon = env.spliced([f"a {env.deaf()}", f"b {env.deaf()}", living(env, "c", "backup")],
                         pool={"connect_timeout": "300ms", "retries": 1, "fail_timeout": LONG})
    asked = [timed(daemon) for _ in range(5)]
    assert [name for name, _ in asked] == ["c"] * 5, asked
    assert asked[0][1] >= 0.6 and daemon.server("a")["connect_failures"] == 1, asked


def test_hung_is_not_waited_for_by_many(env):
    """While the first session waits, those that come later go elsewhere."""
    daemon = env.spliced([f"a {env.deaf()}", living(env, "b")],
                         pool={"connect_timeout": "4s", "fail_timeout": LONG})
    first = [env.keep(connect(daemon.address())) for _ in range(2)]
    wait_until(lambda: any(s["state"] == "dialing" and s["age_ms"] > 300
                           for s in daemon.sessions()), 10, "one waits for the hung server")
    asked = [timed(daemon) for _ in range(10)]
    assert {name for name, _ in asked} == {"b"}, asked
    assert daemon.server("a")["sessions_active"] == 1, daemon.server("a")
    assert [read_exactly(sock, 2) for sock in first] == [b"b\n"] * 2
    assert daemon.server("a")["connect_failures"] == 1


def test_probe_of_a_hung_server(env):
    """One session at a time tries it again; the others do not wait."""
    daemon = env.spliced([f"a {env.deaf()}", living(env, "b")],
                         pool={"connect_timeout": "1s", "fail_timeout": "100ms"})
    assert {ask(daemon) for _ in range(2)} == {"b"}
    assert daemon.server("a")["connect_failures"] == 1
    clients = []

    def probing():
        clients.append(env.keep(connect(daemon.address())))
        return standing(daemon, "a") == "probing"
    wait_until(probing, 10, "a session probes")
    asked = [timed(daemon) for _ in range(10)]
    assert {name for name, _ in asked} == {"b"} and daemon.server("a")["sessions_active"] <= 1
    assert [read_exactly(sock, 2) for sock in clients] == [b"b\n"] * len(clients)
    wait_until(lambda: lines(daemon, "server main/a: failed 2 times .*passed over for 200ms"), 10,
               "the probe has failed")


def test_client_leaves_a_hung_server(env):
    """A client that has enough of waiting tells as much as one that waits to the end."""
    daemon = env.spliced([f"a {env.deaf()}", living(env, "b")],
                         pool={"connect_timeout": "1s", "fail_timeout": LONG})
    clients = [connect(daemon.address()) for _ in range(2)]
    wait_until(lambda: any(s["state"] == "dialing" and s["age_ms"] > 600
                           for s in daemon.sessions()), 10, "one waits for the hung server")
    for sock in clients:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    wait_until(lambda: lines(daemon, "server main/a: failed 1 time"), 10, "a is passed over")
    assert [ask(daemon) for _ in range(4)] == ["b"] * 4


# -- addresses of a name

def start_name(env, hosts, pool=None, port=9000):
    dns = NameServer({NAME: hosts})
    env.keep(dns.socket)
    daemon = env.spliced(f"a {NAME}:{port}", spliced={"nameserver": dns.address}, pool=pool)
    wait_until(lambda: len(daemon.server("a")["addresses"]) == len(hosts), 15, "the name resolves")
    return dns, daemon


def check_six(env, retries, **pool):
    hosts = addresses(6)
    env.backend(serve_name("a"), f"{hosts[3]}:9000")
    _, daemon = start_name(env, hosts, {"retries": retries, "fail_timeout": LONG, **pool})
    assert [ask(daemon) for _ in range(12)] == ["a"] * 12
    server = daemon.server("a")
    assert server["state"] == "up" and server["connect_failures"] == 5, server
    assert sorted(t["state"] for t in server["targets"]) == ["ejected"] * 5 + ["up"], server
    assert len(wait_lines(daemon, r"server main/a: address 127\.\S+:9000 failed 1 time", 5)) == 5
    shown = process.run(daemon.control_tool, "-s", daemon.control_path, "status").stdout
    assert "up, 5 of 6 down" in shown, shown


def test_six_addresses(env):
    check_six(env, 2)


def test_six_addresses_without_retries(env):
    check_six(env, 0, balance="least_sessions")


def test_six_addresses_without_ejection(env):
    """Each session tries what it must."""
    hosts = addresses(6)
    env.backend(serve_name("a"), f"{hosts[3]}:9000")
    _, daemon = start_name(env, hosts, {"retries": 0, "max_fails": 0})
    assert [ask(daemon) for _ in range(12)] == ["a"] * 12


def test_hung_addresses(env):
    """Addresses that do not answer share the time, so that the one that lives is reached."""
    hosts = addresses(4)
    env.backend(serve_name("a"), f"{hosts[0]}:9000")
    for host in hosts[1:]:
        env.deaf(host, 9000)
    _, daemon = start_name(env, hosts, {"retries": 0, "connect_timeout": "400ms",
                                        "fail_timeout": LONG})
    asked = [timed(daemon) for _ in range(8)]
    assert {name for name, _ in asked} == {"a"}, asked
    assert len([1 for _, seconds in asked if seconds >= 0.4]) <= 1, asked


# -- what is no failure of the server

def test_reset_after_connect(env):
    """A server that accepts and resets at once is not down."""
    def handle(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    backend = env.backend(handle)
    daemon = env.spliced(f"a {backend.address}")
    for _ in range(30):
        assert ask(daemon) == ""
    daemon.wait_access(30)
    assert daemon.server("a")["connect_failures"] == 0, daemon.server("a")
    assert not lines(daemon, "passed over") and standing(daemon, "a") == "up"
    assert {line["end"] for line in daemon.access_log()} == {"server_reset"}


def test_full_servers_are_not_down(env):
    daemon = env.spliced([living(env, "a", "max_sessions=1")])
    with connect(daemon.address()) as first:
        assert read_exactly(first, 2) == b"a\n"
        assert ask(daemon) == ""
        assert standing(daemon, "a") == "up"


# -- unix servers, and what this host is short of

def full_unix(env, name):
    """A unix server whose backlog is full."""
    path = str(env.tmp / f"{name}.sock")
    listener = env.keep(socket.socket(socket.AF_UNIX))
    listener.bind(path)
    listener.listen(1)
    fillers = []
    while True:
        filler = env.keep(socket.socket(socket.AF_UNIX))
        filler.setblocking(False)
        try:
            filler.connect(path)
        except BlockingIOError:
            return f"unix:{path}", listener
        fillers.append(filler)


def check_unix_backlog(env, http):
    """It is waited for, without looking all the time, and had when there is room."""
    address, listener = full_unix(env, "full")
    daemon = env.spliced(f"a {address}", listener={"protocol": "http"} if http else None,
                         pool={"connect_timeout": "30s"})
    clients = [env.keep(connect(daemon.address())) for _ in range(10)]
    for sock in clients:
        if http:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: len([s for s in daemon.sessions() if s["age_ms"] > 500]) == 10, 20,
               "all wait")
    used = daemon.cpu_seconds()
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 1, 10, "a second has passed", poll=0.2)
    used = daemon.cpu_seconds() - used
    assert used < 0.25 * (time.monotonic() - began), f"{used} s of CPU in a second of waiting"
    threading.Thread(target=accept_all, args=(listener, (serve_http if http else serve_name)("a")),
                     daemon=True).start()
    for sock in clients:
        if http:
            assert http_reader(sock).endswith(b"\r\n\r\na\n")
        else:
            assert read_exactly(sock, 2) == b"a\n"
    assert daemon.server("a")["connect_failures"] == 0, daemon.server("a")
    assert not lines(daemon, "passed over")


def http_reader(sock):
    data = b""
    while not data.endswith(b"a\n"):
        more = sock.recv(4096)
        assert more, data
        data += more
    return data


def accept_all(listener, handle):
    """Serves everybody; those that filled the queue say nothing."""
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=handle, args=(sock,), daemon=True).start()


@case(timeout=90)
def test_unix_backlog(env):
    check_unix_backlog(env, False)


@case(timeout=90)
def test_unix_backlog_http(env):
    check_unix_backlog(env, True)


def test_unix_backlog_timeout(env):
    """When it is full for connect_timeout, others are asked, and it is passed over."""
    address, _ = full_unix(env, "full")
    daemon = env.spliced([f"a {address}", living(env, "b")],
                         pool={"connect_timeout": "500ms", "fail_timeout": LONG})
    asked = [timed(daemon) for _ in range(6)]
    assert {name for name, _ in asked} == {"b"}, asked
    assert len([1 for _, seconds in asked if seconds >= 0.5]) == 1, asked
    assert wait_lines(daemon, r"server main/a: failed 1 time \(its backlog is full\)")


def test_unix_backlog_only_server(env):
    """With nobody else: connect_failed, after connect_timeout and not before."""
    address, _ = full_unix(env, "full")
    daemon = env.spliced(f"a {address}", pool={"connect_timeout": "500ms"})
    name, seconds = timed(daemon)
    assert name == "" and seconds >= 0.5, (name, seconds)
    (line,) = daemon.wait_access()
    assert line["end"] == "connect_failed", line


def with_few_ports(env, **pool):
    """A daemon with four local ports to the backend, and the backend."""
    network = env.network()
    backend = network.backend.call(env.backend, serve_name("a"),
                                   f"{network.backend_address()}:0")
    daemon = network.spliced(f"a {backend.address}", pool=pool,
                             binds=[f"{network.proxy_address()}:7000"])
    # Not before: the canary needs ports, too.
    network.proxy.run("sysctl", "-qw", "net.ipv4.ip_local_port_range=41000 41003",
                      "net.ipv4.tcp_tw_reuse=0")
    return network, daemon


def connect_from(env, network, daemon):
    return env.keep(network.client.call(connect, daemon.address()))


def test_no_local_port(env):
    """All ports are in use: the session waits for one, and no server is called down."""
    network, daemon = with_few_ports(env, connect_timeout="20s")
    first = []
    while len(first) < 4:
        sock = connect_from(env, network, daemon)
        assert read_exactly(sock, 2) == b"a\n"
        first.append(sock)
    late = connect_from(env, network, daemon)
    wait_until(lambda: any(s["state"] == "dialing" and s["age_ms"] > 300
                           for s in daemon.sessions()), 10, "the fifth waits")
    # The server's reset leaves no TIME_WAIT: the port is free at once.
    first[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    first[0].close()
    assert read_exactly(late, 2) == b"a\n"
    assert daemon.server("a")["connect_failures"] == 0 and not lines(daemon, "passed over")


def test_no_local_port_in_time(env):
    """For connect_timeout: the end is `limit`, and the server stays up."""
    network, daemon = with_few_ports(env, connect_timeout="400ms")
    for _ in range(4):
        assert read_exactly(connect_from(env, network, daemon), 2) == b"a\n"
    began = time.monotonic()
    late = connect_from(env, network, daemon)
    try:
        assert late.recv(1) == b"x", "no reset"
    except ConnectionResetError:
        pass
    assert time.monotonic() - began >= 0.4
    line = daemon.wait_access()[0]
    assert line["end"] == "limit", line
    assert standing(daemon, "a") == "up" and not lines(daemon, "passed over")


def test_no_source_address(env):
    """No address of that family: not waited for, the next one is asked at once."""
    network = env.network()
    network.proxy.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    backend = network.backend.call(env.backend, serve_name("b"), f"{network.backend_address()}:0")
    daemon = network.spliced(["a [fd77:2::2]:80", f"b {backend.address}"],
                             binds=[f"{network.proxy_address()}:7000"],
                             pool={"connect_timeout": "20s", "fail_timeout": LONG})
    began = time.monotonic()
    for _ in range(4):
        assert read_exactly(connect_from(env, network, daemon), 2) == b"b\n"
    assert time.monotonic() - began < 15
    assert standing(daemon, "a") == "ejected", daemon.server("a")
