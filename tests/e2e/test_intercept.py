# SPDX-License-Identifier: GPL-2.0-or-later
"""Connects of unmodified programs that go to a listener, without their knowledge."""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import threading

from lib import Skip, case, process, tcp
from lib.host import bpf_maps, held_programs, map_entries
from lib.intercepted import (connect, connecting, exchange, intercepting, named, original, peer, port_of, redirected)
from lib.process import run
from lib.reloads import kill_workers
from lib.wait import wait_until

AT_DEBUG = False

CORE = {"core": True, "timeout": 90}


def logged(daemon, number):
    """The access lines once there are so many, by where their clients wanted to go."""
    return {line["original"]: line for line in daemon.wait_access(number) if "original" in line}


# ---- what the application sees, and the daemon -----------------------------------------------------

@case(**CORE)
def test_nobody_notices(env):
    """IPv4, IPv6, and IPv4 by a socket of IPv6."""
    cgroup = env.cgroup()
    four, six = env.backend(), env.backend(address="[::1]:0")
    daemon = intercepting(env, cgroup, [port_of(four.address), port_of(six.address)])
    for backend, family in ((four, None), (six, None), (four, socket.AF_INET6)):
        with connect(cgroup, backend.address, family) as sock:
            mapped = family and backend is four
            wanted = backend.address
            if mapped:
                wanted = f"[::ffff:{wanted.replace(':', ']:')}"
            assert peer(sock) == wanted, (peer(sock), wanted)
            assert original(sock) == backend.address, (original(sock), backend.address)
            exchange(sock)
            session, = wait_until(daemon.sessions, 5, "a session")
            assert session["original"] == session["backend"] == backend.address, session
            assert session["server"] == "any", session
        daemon.wait_sessions(0)
    lines = daemon.wait_access(3)
    assert [line["original"] for line in lines] == [four.address, six.address, four.address], lines
    assert all(line["backend"] == line["original"] for line in lines), lines
    assert redirected(daemon) == 3, daemon.status()["intercepts"]
    assert four.accepted == 2 and six.accepted == 1


@case(**CORE)
def test_who_is_not_concerned(env):
    """Programs elsewhere, other ports, exceptions, other protocols."""
    cgroup = env.cgroup()
    wanted, other, excepted = env.backend(), env.backend(), env.backend()
    daemon = intercepting(env, cgroup, ["127.0.0.0/8:" + str(port_of(wanted.address)),
                                        port_of(excepted.address)],
                          intercept={"except": f"127.0.0.1:{port_of(excepted.address)}"})
    for backend in (other, excepted):
        with connect(cgroup, backend.address) as sock:
            exchange(sock)
            assert peer(sock) == backend.address
            try:
                original(sock)
            except OSError:
                continue
            raise AssertionError("SO_ORIGINAL_DST is known of a connection that was not redirected")
    with tcp.connect(wanted.address) as sock:
        exchange(sock)
    assert daemon.status()["listeners"][0]["sessions_total"] == 0, daemon.status()
    with connect(cgroup, wanted.address) as sock:
        exchange(sock)
    daemon.wait_access(1)
    assert redirected(daemon) == 1


def test_udp_is_left_alone(env):
    """Names are looked up as ever: at the port for that."""
    cgroup = env.cgroup()
    daemon = intercepting(env, cgroup, "*")
    for family, where in ((socket.AF_INET, (f"127.99.{os.getpid() >> 8 & 255}.{os.getpid() & 255}", 53)),
                          (socket.AF_INET6, ("::1", 0))):
        server = env.keep(socket.socket(family, socket.SOCK_DGRAM))
        server.bind(where)
        server.settimeout(10)
        with cgroup.inside():
            client = env.keep(socket.socket(family, socket.SOCK_DGRAM))
        client.settimeout(10)
        client.connect(server.getsockname())
        client.send(b"question")
        data, sender = server.recvfrom(100)
        assert data == b"question" and sender == client.getsockname()
        server.sendto(b"answer", sender)
        assert client.recv(100) == b"answer" and client.getpeername() == server.getsockname()
    assert redirected(daemon) == 0


def test_mptcp_is_left_alone(env):
    cgroup = env.cgroup()
    backend = env.backend()
    daemon = intercepting(env, cgroup, port_of(backend.address))
    try:
        with cgroup.inside():
            sock = env.keep(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262))
    except OSError as error:
        raise Skip(f"no MPTCP: {error}") from None
    sock.settimeout(10)
    sock.connect(("127.0.0.1", port_of(backend.address)))
    exchange(sock)
    assert redirected(daemon) == 0, daemon.status()["intercepts"]
    assert daemon.status()["listeners"][0]["sessions_total"] == 0


def ways_to(four, six):
    """(family, address) of connects by IPv4, by IPv6, and to IPv4 by a socket of IPv6."""
    return ((socket.AF_INET, ("127.0.0.1", port_of(four))), (socket.AF_INET6, ("::1", port_of(six))),
            (socket.AF_INET6, ("::ffff:127.0.0.1", port_of(four))))


def test_connects_of_every_kind(env):
    """That block, that do not, that send with their SYN at once or later; a socket used again: of each family."""
    cgroup = env.cgroup()
    four, six = env.backend(), env.backend(address="[::1]:0")
    daemon = intercepting(env, cgroup, [port_of(four.address), port_of(six.address)])

    for number, (family, where) in enumerate(ways_to(four.address, six.address), 1):
        def new(blocking=True, family=family):
            with cgroup.inside():
                sock = env.keep(socket.socket(family))
            sock.settimeout(10)
            sock.setblocking(blocking)
            return sock

        def check(sock, where=where, reached=six if where[0] == "::1" else four):
            exchange(sock)
            assert sock.getpeername()[:2] == where and original(sock) == reached.address

        sock = new(blocking=False)
        assert sock.connect_ex(where) in (0, 115)
        assert select.select([], [sock], [], 10)[1]
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        sock.settimeout(10)
        check(sock)

        sock = new()
        sock.sendto(b"first", socket.MSG_FASTOPEN, where)
        assert tcp.read_exactly(sock, 5) == b"first"
        check(sock)

        sock = new()
        sock.setsockopt(socket.IPPROTO_TCP, 30, 1)      # TCP_FASTOPEN_CONNECT
        sock.connect(where)
        check(sock)

        sock = new()
        sock.bind((where[0], 0))
        sock.connect(where)
        check(sock)
        assert redirected(daemon) == 4 * number
    daemon.wait_sessions(12)


def count_fast(direction):
    """Connections whose data came with their SYN, in this network namespace."""
    with open("/proc/thread-self/net/netstat", encoding="ascii") as file:
        lines = [line.split() for line in file if line.startswith("TcpExt:")]
    return int(dict(zip(*lines))[f"TCPFastOpen{direction}"])


def test_data_with_the_first_segment(env):
    """TCP Fast Open: the daemon may accept before the connect has its answer."""
    host = env.network().proxy
    cgroup = env.cgroup()
    # Clients and servers, without cookies, all sockets that listen.
    host.run("sysctl", "-qw", "net.ipv4.tcp_fastopen=0x607")
    four, six = host.call(env.backend), host.call(env.backend, tcp.serve_echo, "[::1]:0")
    daemon = intercepting(env, cgroup, [port_of(four.address), port_of(six.address)], prefix=host.command())

    def send_at_once(family, where):
        with cgroup.inside():
            sock = env.keep(socket.socket(family))
        sock.settimeout(10)
        sock.sendto(b"first", socket.MSG_FASTOPEN, where)
        assert tcp.read_exactly(sock, 5) == b"first"
        assert sock.getpeername()[:2] == where
        return count_fast("Active"), count_fast("Passive")
    for number, way in enumerate(ways_to(four.address, six.address), 1):
        active, passive = host.call(send_at_once, *way)
        assert active >= number and passive >= number, (active, passive)
        daemon.wait_sessions(number)
    assert sorted(session["original"] for session in daemon.sessions()) == \
        sorted([four.address, four.address, six.address]), daemon.sessions()


def test_a_socket_that_connects_again(env):
    """Where it goes the second time is what it is told, redirected or not."""
    cgroup = env.cgroup()
    backend, other = env.backend(), env.backend()
    closed, holder = tcp.free_port()
    env.keep(holder)
    daemon = intercepting(env, cgroup, [port_of(backend.address), port_of(closed)])
    with cgroup.inside():
        sock = env.keep(socket.socket())
    sock.settimeout(10)
    libc = ctypes.CDLL(None, use_errno=True)
    for address in (backend.address, other.address, closed, backend.address, daemon.address(),
                    other.address):
        # The reset may be there first.
        with contextlib.suppress(ConnectionResetError):
            sock.connect(("127.0.0.1", port_of(address)))
        if address in (backend.address, other.address):
            assert peer(sock) == address, (peer(sock), address)
            exchange(sock)
        # AF_UNSPEC: it is nobody's.
        assert libc.connect(sock.fileno(), b"\0" * 16, 16) == 0, os.strerror(ctypes.get_errno())
    assert redirected(daemon) == 3


# ---- what cannot be reached ------------------------------------------------------------------------

def test_a_closed_port(env):
    """The connect has succeeded by the time that the daemon knows: a reset, before any byte."""
    cgroup = env.cgroup()
    with contextlib.ExitStack() as held:
        four, six = (held.enter_context(socket.socket(family)) for family in (socket.AF_INET, socket.AF_INET6))
        four.bind(("127.0.0.1", 0))
        six.bind(("::1", 0))
        addresses = [f"127.0.0.1:{four.getsockname()[1]}", f"[::1]:{six.getsockname()[1]}"]
        daemon = intercepting(env, cgroup, [port_of(address) for address in addresses])
        for number, (family, where) in enumerate(ways_to(*addresses)):
            for blocking in (True, False):
                with cgroup.inside(), socket.socket(family) as sock, tcp.must_reset():
                    sock.settimeout(10)
                    if blocking:
                        sock.connect(where)
                    else:
                        sock.setblocking(False)
                        assert sock.connect_ex(where) in (0, 115)
                        assert select.select([sock], [], [], 10)[0]
                    sock.recv(1)
            line = daemon.wait_access(2 * number + 2)[-1]
            assert line["end"] == "connect_failed" and line["original"] == addresses[number == 1], line


def test_an_unreachable_host(env):
    """TCP has no way to an address of many: the same."""
    cgroup = env.cgroup()
    daemon = intercepting(env, cgroup, "224.0.0.0/4:80, [ff00::/8]:80")
    for number, (family, host) in enumerate(((socket.AF_INET, "224.0.0.99"), (socket.AF_INET6, "ff05::99")), 1):
        with cgroup.inside(), socket.socket(family) as sock, tcp.must_reset():
            sock.connect((host, 80))
            sock.recv(1)
        line = daemon.wait_access(number)[-1]
        assert line["end"] == "connect_failed", line
    log = "\n".join(daemon.log())
    assert "224.0.0.99:80: Network is unreachable" in log and "[ff05::99]:80: Network is unreachable" in log, log


def test_each_destination_has_a_line(env):
    """One that fails all the time does not hide why others do."""
    cgroup = env.cgroup()
    closed = []
    for _ in range(4):
        address, holder = tcp.free_port()
        env.keep(holder)
        closed.append(address)
    daemon = intercepting(env, cgroup, [port_of(address) for address in closed])
    for address in (*closed, *closed):
        with contextlib.suppress(ConnectionError), connect(cgroup, address) as sock:
            sock.recv(1)
    daemon.wait_access(8)
    log = "\n".join(daemon.log())
    told = [log.count(f"pool main: server any: connecting to {address}: Connection refused") for address in closed]
    assert all(told) and sum(told) < 8, (told, log)


def test_an_answer_that_says_so(env):
    """A client of HTTP is told."""
    cgroup = env.cgroup()
    closed, holder = tcp.free_port()
    env.keep(holder)
    intercepting(env, cgroup, port_of(closed), listener={"protocol": "http"})
    done = run(*cgroup.prefix(), "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
               f"http://{closed}/")
    assert done.stdout == "502", done.stdout


def test_the_listener_itself(env):
    """Who connects to it has named no other place: no loop, and a line that says why."""
    cgroup = env.cgroup()
    daemon = intercepting(env, cgroup, "*")
    for where in (contextlib.nullcontext(), cgroup.inside()):
        with where, socket.socket() as sock, tcp.must_reset():
            sock.connect(("127.0.0.1", port_of(daemon.address())))
            sock.recv(1)
    lines = daemon.wait_access(2)
    assert [line["end"] for line in lines] == ["no_server", "no_server"], lines
    assert "nobody knows where the client wanted to go" in "\n".join(daemon.log())


def own_address():
    """An address of this host's that is none of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            raise Skip("this host has no address but those of loopback") from None
        return sock.getsockname()[0]


def own_ipv6_address():
    """One that is good for more than a link, nor of loopback."""
    with contextlib.suppress(FileNotFoundError), open("/proc/net/if_inet6", encoding="ascii") as lines:
        for address, _, _, scope, flags, _ in map(str.split, lines):
            if scope == "00" and int(flags, 16) & 0xc0 == 0x80:     # permanent, and not tentative
                return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(address))
    raise Skip("this host has no such address")


def test_the_listener_by_another_address(env):
    """At most it is redirected to the listener, whose server is the listener: once around, and no
    more."""
    cgroup = env.cgroup()
    daemon = intercepting(env, cgroup, "*", listener={"bind": "0.0.0.0:0"})
    port = port_of(daemon.address())
    for host, number in (("127.9.9.9", 1), (own_address(), 3)):
        with cgroup.inside(), socket.socket() as sock:
            sock.settimeout(10)
            with contextlib.suppress(ConnectionResetError):
                sock.connect((host, port))
                assert sock.recv(1) == b""
        lines = daemon.wait_access(number)
        assert len(lines) == number and "no_server" in [line["end"] for line in lines], lines


# ---- routing ---------------------------------------------------------------------------------------

def names(sock):
    """The first line that a server of names says."""
    return tcp.read_exactly(sock, 2).decode().strip()


def test_routes_by_where_it_was_to_go(env):
    cgroup = env.cgroup()
    known = {name: env.backend(tcp.serve_name(name)) for name in "abc"}
    ports = [20000 + os.getpid() % 10000, 31000 + os.getpid() % 1000]
    daemon = intercepting(
        env, cgroup, [f"127.8.0.0/16:{ports[0]}-{ports[1]}", f"[::1]:{ports[0]}"],
        servers=f"a {known['a'].address}",
        listener={"route": [f"dst:127.8.1.0/24 dport:{ports[1]} -> c", "dst:127.8.1.0/24 -> b",
                            "dst:::1 -> b"]},
        more={"pool b": {"server": f"b {known['b'].address}"},
              "pool c": {"server": f"c {known['c'].address}"}})
    for address, name in ((f"127.8.2.1:{ports[0]}", "a"), (f"127.8.1.7:{ports[0]}", "b"),
                          (f"127.8.1.7:{ports[1]}", "c"), (f"127.8.2.1:{ports[1]}", "a"),
                          (f"[::1]:{ports[0]}", "b")):
        with connect(cgroup, address) as sock:
            assert names(sock) == name, (address, name)
            assert peer(sock) == address
    assert redirected(daemon) == 5


def test_a_destination_without_interception(env):
    """dst: and dport: are the listener's own address then, or what a PROXY header says."""
    known = {name: env.backend(tcp.serve_name(name)) for name in "abc"}
    daemon = env.spliced(f"a {known['a'].address}",
                         listener={"bind": "0.0.0.0:0", "accept_proxy": "v1",
                                   "route": ["dst:127.0.0.5 -> b", "dport:77 -> c"]},
                         more={"pool b": {"server": f"b {known['b'].address}"},
                               "pool c": {"server": f"c {known['c'].address}"}})
    port = port_of(daemon.address())
    for host, header, name in (("127.0.0.1", "UNKNOWN", "a"), ("127.0.0.5", "UNKNOWN", "b"),
                               ("127.0.0.1", "TCP4 10.0.0.1 10.0.0.2 5 77", "c"),
                               ("127.0.0.5", "TCP4 10.0.0.1 10.0.0.2 5 78", "a")):
        with tcp.connect(f"{host}:{port}") as sock:
            sock.sendall(f"PROXY {header}\r\n".encode())
            assert names(sock) == name, (host, header, name)


def test_kept_connections_go_where_they_went(env):
    """Two servers by one pool: a connection to one is not for requests to the other."""
    cgroup = env.cgroup()

    def serve(name):
        def handle(sock):
            head = b""
            while data := sock.recv(4096):
                head += data
                while b"\r\n\r\n" in head:
                    head = head.partition(b"\r\n\r\n")[2]
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + name)
        return handle
    a, b = env.backend(serve(b"a")), env.backend(serve(b"b"))
    daemon = intercepting(env, cgroup, [port_of(a.address), port_of(b.address)],
                          listener={"protocol": "http"}, pool={"reuse": "always"},
                          spliced={"workers": 1})
    for _ in range(10):
        for backend, name in ((a, b"a"), (b, b"b")):
            with connect(cgroup, backend.address) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                got = b""
                while not got.endswith(b"\r\n\r\n" + name) and len(got) < 500:
                    got += sock.recv(500)
                assert got.endswith(name), got
    assert a.accepted == 1 and b.accepted == 1, (a.accepted, b.accepted)
    assert redirected(daemon) == 20


# ---- lives -----------------------------------------------------------------------------------------

def test_the_daemon_is_killed(env):
    """Its sessions end; new connects go where they are to go, at once. One that comes back says what it intercepts."""
    cgroup = env.cgroup()
    backend = env.backend()
    daemon = intercepting(env, cgroup, port_of(backend.address))
    sock = env.keep(connect(cgroup, backend.address))
    exchange(sock)
    daemon.kill()
    try:
        assert sock.recv(1) == b""
    except ConnectionResetError:
        pass

    for _ in range(2):
        with connect(cgroup, backend.address) as fresh:
            exchange(fresh)
    told = f"intercept out: connects of {cgroup.path} go to listener web"
    back = intercepting(env, cgroup, port_of(backend.address))
    assert any(told in line for line in back.log()), back.log_tail()
    with connect(cgroup, backend.address) as fresh:
        exchange(fresh)
    assert redirected(back) == 1


@case(timeout=90)
def test_while_it_drains(env):
    """Nobody accepts any more: new connects go where they are to go, and sessions go on."""
    cgroup = env.cgroup()
    backend = env.backend()
    daemon = intercepting(env, cgroup, port_of(backend.address))
    sock = env.keep(connect(cgroup, backend.address))
    exchange(sock)
    daemon.signal(15)
    wait_until(lambda: "draining" in daemon.log_tail(), 10, "it drains")
    before = backend.accepted
    for i in range(20):
        with connect(cgroup, backend.address) as fresh:
            exchange(fresh)
    assert backend.accepted == before + 20
    exchange(sock)
    assert peer(sock) == backend.address
    sock.close()
    daemon.wait_exit(10)


def test_required(env):
    """What cannot be intercepted is refused, while nobody accepts."""
    cgroup = env.cgroup()
    backend = env.backend()
    daemon = intercepting(env, cgroup, port_of(backend.address),
                          intercept={"intercept": "require"})
    sock = env.keep(connect(cgroup, backend.address))
    exchange(sock)
    daemon.signal(15)
    wait_until(lambda: "draining" in daemon.log_tail(), 10, "it drains")
    try:
        connect(cgroup, backend.address).close()
        raise AssertionError("it was not refused")
    except ConnectionRefusedError:
        pass
    sock.close()
    daemon.wait_exit(10)


def test_required_without_an_address_of_the_family(env):
    """What is wanted and cannot be had is refused, as the check says; with while_ready it goes where it was to go."""
    cgroup = env.cgroup()
    four, six = env.backend(), env.backend(address="[::1]:0")
    outbound = [port_of(four.address), port_of(six.address)]

    def bound_to_a_device():
        with cgroup.inside():
            sock = env.keep(socket.socket())
        sock.settimeout(10)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        sock.connect(("127.0.0.1", port_of(four.address)))
        return sock
    for mode, words in (("require", "connects by IPv6 are refused (intercept = require)"),
                        ("while_ready", "connects by IPv6 are not intercepted")):
        daemon = intercepting(env, cgroup, outbound, intercept={"intercept": mode}, listener={"bind": "127.0.0.1:0"})
        assert words in "\n".join(daemon.log()), daemon.log_tail()
        with connect(cgroup, four.address) as sock:
            exchange(sock)
            assert redirected(daemon) == 1, daemon.status()["intercepts"]
        for direct in (lambda: connect(cgroup, six.address), bound_to_a_device):
            try:
                exchange(direct())
                assert mode == "while_ready", "it was not refused"
            except ConnectionRefusedError:
                assert mode == "require"
        assert redirected(daemon) == 1, daemon.status()["intercepts"]
        daemon.stop()


POD = "pod01234567_89ab_cdef_0123_456789abcdef"     # as Kubernetes names what has the containers of one
SCOPE = f"libpod-{'0123456789abcdef' * 4}.scope"    # as podman names a container, in which crun makes one more


@case(engines=("kernel",))
def test_cgroup_of_a_pod(env):
    """The one above the daemon's own, or above its container's, or a pod's above that; also for one in whose namespace
    its own is the root."""
    shared = env.cgroup()
    pod = env.cgroup(shared, POD)
    scope = env.cgroup(pod)
    mount = env.tmp / "own"
    mount.mkdir()
    unshared = ("unshare", "--cgroup", "--mount", "sh", "-c", f'mount -t cgroup2 none {mount} && exec "$0" "$@"')
    nested, lone = env.cgroup(scope), env.cgroup(env.cgroup(shared, SCOPE))
    for own, hidden, wanted in ((nested, (), pod), (nested, unshared, pod), (env.cgroup(shared), unshared, shared),
                                (lone, unshared, shared)):
        daemon = env.spliced(env.backend().address, prefix=[*own.prefix(), *hidden], more={
            "intercept out": {"cgroup": "pod", "outbound": 9, "listener": "web"}})
        about = daemon.status()["intercepts"][0]
        assert about["active"] and about["cgroup"] == str(wanted.path), (about, daemon.log_tail())
        daemon.stop()


def only(mount, *shown):
    """What a command begins with that sees no cgroup2 mount but these there, the last one in front."""
    binds = " && ".join(f"mount --bind {cgroup.path} {mount}" for cgroup in shown)
    return ("unshare", "--cgroup", "--mount", "sh", "-ec", f"""{binds}
grep ' cgroup2 ' /proc/mounts | cut -d ' ' -f 2 | grep -vx {mount} | while read -r other; do umount -l "$other"; done
exec "$0" "$@"
""")


@case(engines=("copy",))
def test_a_cgroup_that_no_mount_shows(env):
    """It is not taken for the one that is shown: one above it, or, in front of it, one beside it."""
    shared = env.cgroup()
    own, other = env.cgroup(shared), env.cgroup(shared)
    mount = env.tmp / "shown"
    mount.mkdir()
    for shown in ([shared], [own, shared], [own, other]):
        for cgroup in ("self", "pod"):
            daemon = env.spliced(env.backend().address, prefix=[*own.prefix(), *only(mount, *shown)], more={
                "intercept out": {"cgroup": cgroup, "outbound": 9, "listener": "web"}})
            assert not any(about["active"] for about in daemon.status()["intercepts"]), daemon.log_tail()
            # Where the mount does not show what is above it, either, the trial says so before.
            whose = "daemon" if cgroup == "self" or shown[-1] != shared else cgroup
            assert f"finding the {whose}'s cgroup: no mount of cgroup2 shows it" in daemon.log_tail(), daemon.log_tail()
            daemon.stop()


def test_before_it_drains(env):
    """What an application that is still ending connects goes where it went before."""
    cgroup = env.cgroup()
    backend = env.backend()
    daemon = intercepting(env, cgroup, port_of(backend.address), spliced={"drain_delay": "60s"},
                          intercept={"intercept": "require"})
    daemon.signal(15)
    wait_until(lambda: daemon.status()["drain_in_ms"], 10, "it is going to drain")
    with connect(cgroup, backend.address) as sock:
        exchange(sock)
        assert redirected(daemon) == 1, daemon.status()["intercepts"]
    daemon.wait_sessions(0)
    daemon.signal(15)
    assert daemon.wait_exit(10) == 0


def test_required_over_an_upgrade(env):
    """The worker that drains, for as long as its session lasts, refuses nobody."""
    cgroup = env.cgroup()
    backend = env.backend()
    daemon = intercepting(env, cgroup, port_of(backend.address),
                          intercept={"intercept": "require"}, spliced={"shutdown_grace": "60s"})
    stays = env.keep(connect(cgroup, backend.address))
    exchange(stays)
    daemon.control("upgrade")
    wait_until(lambda: daemon.status()["generation"] == 2, 20, "another worker serves")
    with connect(cgroup, backend.address) as sock:
        exchange(sock)
    assert redirected(daemon) == 1, daemon.status()["intercepts"]
    exchange(stays)


@case(timeout=90)
def test_over_an_upgrade(env):
    """Every connect comes to the daemon, and from there to where it was to go."""
    cgroup = env.cgroup()
    backends = named(env)
    daemon = intercepting(env, cgroup, [port_of(backend.address) for backend, _ in backends],
                          intercept={"intercept": "require"})
    stays = env.keep(connect(cgroup, backends[0][0].address))
    with connecting(cgroup, backends) as results:
        for generation in (2, 3):
            daemon.control("upgrade")
            wait_until(lambda: daemon.status()["generation"] == generation, 30, "the next serves")
            number = len(results)
            wait_until(lambda: len(results) > number + 20, 10, "it is connected to")
    wrong = [result for result in results if result[0] != result[1]]
    assert not wrong, (len(results), wrong[:5])
    assert peer(stays) == backends[0][0].address
    stays.close()
    lines = daemon.wait_access(len(results) + 1, 10)
    assert len(lines) == len(results) + 1, (len(lines), len(results))
    assert {line.get("original") for line in lines} == {backend.address for backend, _ in backends}


@case(timeout=90)
def test_a_worker_that_dies(env):
    """What was in the queues is the next one's, whichever comes to serve, and arrives where it was to go."""
    cgroup = env.cgroup()
    backends = named(env)
    got = []
    sink = env.backend(lambda sock: got.append(tcp.read_all(sock)))
    daemon = intercepting(env, cgroup, [port_of(backend.address)
                                        for backend, _ in (*backends, (sink, ""))])
    process.stop(daemon.worker_pid)
    socks = [(env.keep(connect(cgroup, backend.address)), backend, name)
             for _ in range(10) for backend, name in backends]
    for number in range(3):
        with connect(cgroup, sink.address) as sock:
            sock.sendall(b"%d" % number)
    kill_workers(daemon)
    for sock, backend, name in socks:
        assert tcp.read_exactly(sock, 2).decode().strip() == name
        assert peer(sock) == backend.address
        sock.close()
    wait_until(lambda: len(got) == 3, 10, lambda: f"{got}")
    assert sorted(got) == [b"0", b"1", b"2"], got
    lines = daemon.wait_access(23)
    assert len(lines) == 23 and all("original" in line for line in lines), lines


@case(timeout=90)
def test_who_gives_up_while_no_worker_is_there(env):
    """A connect that found the queue full, and was given up between two workers, leaves nothing that could
    be taken for another one's."""
    cgroup = env.cgroup()
    backend = env.backend()
    daemon = intercepting(env, cgroup, port_of(backend.address), spliced={"workers": 1},
                          listener={"backlog": 1, "bind": "127.0.0.1:0"})
    first = daemon.worker_pid
    process.stop(first)
    host, port = backend.address.split(":")
    with cgroup.inside():
        waiting = [env.keep(socket.socket()) for _ in range(8)]
    for sock in waiting:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect((host, int(port)))
    assert map_entries(bpf_maps(first)["flows"]) > 0
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{first}"), 10, "it is gone")
    for sock in waiting:
        sock.close()
    wait_until(daemon.try_stats, 30, "the next one serves")
    daemon.wait_sessions(0)
    assert map_entries(bpf_maps(daemon.worker_pid)["flows"]) == 0


@case(timeout=90)
def test_while_no_worker_is_there(env):
    """require: connects wait for the next one. Else they go where they were to go."""
    cgroup = env.cgroup()
    for mode in ("require", "while_ready"):
        (backend, _), = named(env, "a")
        daemon = intercepting(env, cgroup, port_of(backend.address), intercept={"intercept": mode})
        first = daemon.worker_pid
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f"/proc/{first}"), 10, "it is gone")
        with connect(cgroup, backend.address, timeout=30) as sock:
            assert tcp.read_exactly(sock, 2) == b"a\n"
            assert mode == "while_ready" or peer(sock) == backend.address
        wait_until(daemon.try_stats, 30, "the next one serves")
        with connect(cgroup, backend.address) as sock:
            assert tcp.read_exactly(sock, 2) == b"a\n"
        lines = daemon.wait_access(2 if mode == "require" else 1)
        assert all(line["original"] == backend.address for line in lines), lines
        daemon.stop()


def test_two_sections(env):
    """With a listener each: of one cgroup the first that wants it has it, of nested ones the inner one's; none takes
    what another one has redirected."""
    cgroup = env.cgroup()
    inner = env.cgroup(cgroup)
    first, second = env.backend(), env.backend()
    daemon = intercepting(
        env, cgroup, port_of(first.address), more={
            "intercept rest": {"cgroup": cgroup.path, "outbound": "*", "listener": "rest"},
            "listener rest": {"bind": "127.0.0.1:0", "pool": "main"},
            "intercept inner": {"cgroup": inner.path, "outbound": "*", "listener": "inner"},
            "listener inner": {"bind": "127.0.0.1:0", "pool": "main"}})
    for number, (where, backend, listener) in enumerate(((cgroup, first, "web"), (cgroup, second, "rest"),
                                                         (inner, first, "inner")), 1):
        with connect(where, backend.address) as sock:
            assert peer(sock) == backend.address
            exchange(sock)
        line = daemon.wait_access(number)[-1]
        assert (line["listener"], line["original"]) == (listener, backend.address), line
    assert [redirected(daemon, name) for name in ("out", "rest", "inner")] == [1, 1, 1]


def test_a_daemon_that_moves(env):
    """Its own connects are known by its process, where its cgroup is another one than at first."""
    cgroup = env.cgroup()
    backend = env.backend()
    daemon = intercepting(env, cgroup, port_of(backend.address))
    (cgroup.path / "cgroup.procs").write_text(str(daemon.worker_pid), encoding="ascii")
    with connect(cgroup, backend.address) as sock:
        exchange(sock)
    assert redirected(daemon) == 1, daemon.status()["intercepts"]
    assert len(daemon.wait_access(1)) == 1


def test_an_address_of_one_link(env):
    """A listener at such a one alone is none that a connect could be sent to."""
    network = env.network()
    host = network.proxy
    host.ip("addr", "add", "fe80::1:2/64", "dev", "net1", "nodad")
    cgroup = env.cgroup()
    daemon = intercepting(env, cgroup, "80", listener={"bind": ["[fe80::1:2%net1]:0"]},
                          prefix=host.command())
    assert daemon.status()["intercepts"][0]["active"] is False
    assert "has no address that a connect can be sent to" in daemon.log_tail()


def test_all_of_ipv6(env):
    """Is not IPv4, in which every address is one of IPv6's for the programs."""
    cgroup = env.cgroup()
    four, six = env.backend(), env.backend(address="[::1]:0")
    daemon = intercepting(env, cgroup, "::/0")
    with connect(cgroup, four.address) as sock:
        assert peer(sock) == four.address
        exchange(sock)
    assert redirected(daemon) == 0
    with connect(cgroup, six.address) as sock:
        exchange(sock)
    assert redirected(daemon) == 1


def test_what_is_missing_is_named(env):
    cgroup = env.cgroup()
    missing = cgroup.path / "nowhere"
    daemon = intercepting(env, missing, "80")
    words = f"intercept out: nothing is intercepted: finding the cgroup {missing}: No such file or directory"
    assert any(f" warning {words}" in line for line in daemon.log()), daemon.log_tail()
    assert daemon.status()["intercepts"][0]["active"] is False
    refused = intercepting(env, missing, "80", intercept={"intercept": "require"}, start=False)
    done = run(refused.binary, "-c", refused.config_path, check=False)
    env.daemons.remove(refused)
    line = refused.config_path.read_text(encoding="utf-8").splitlines().index("[intercept out]") + 1
    assert done.returncode == 1 and f"{refused.config_path}:{line}: {words}" in done.stderr, done
    # A folder that is none of a cgroup.
    elsewhere = intercepting(env, env.tmp, "80", start=False)
    env.daemons.remove(elsewhere)
    done = run(elsewhere.binary, "-c", elsewhere.config_path, "-t", check=False)
    assert done.returncode == 0 and f"cgroup: {env.tmp}: no cgroup: it is not of a cgroup2 mount: nothing will " \
        "be intercepted" in done.stderr + done.stdout, done


@case(engines=("kernel",))
def test_the_root_of_all_is_asked_for(env):
    """Every program of the host: refused by its path, and where the daemon's own cgroup is that."""
    root = next(line.split()[1] for line in open("/proc/mounts", encoding="utf-8") if " cgroup2 " in line)
    refused = intercepting(env, root, "80", start=False)
    env.daemons.remove(refused)
    done = run(refused.binary, "-c", refused.config_path, "-t", check=False)
    assert done.returncode == 2 and f"cgroup: {root} is the root, with every program of this host" in done.stderr, done
    to_root = ("sh", "-c", f'echo $$ > {root}/cgroup.procs; exec "$@"', "sh")
    daemon = env.spliced(env.backend().address, prefix=to_root, more={
        "intercept out": {"cgroup": "self", "outbound": 9, "listener": "web"}})
    assert "the daemon's cgroup is the root, with every program of this host: that needs whole_host = yes" \
        in "\n".join(daemon.log()), daemon.log_tail()
    assert not daemon.status()["intercepts"][0]["active"]


@case(engines=("kernel",))
def test_without_proc(env):
    """What cannot be found for want of it says so, and what is measured by it says so once."""
    if env.sanitized:
        env.skip("the sanitizers want /proc themselves")
    hide = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh")
    daemon = env.spliced(env.backend().address, prefix=hide, more={
        "intercept out": {"cgroup": "self", "outbound": 9, "listener": "web"}})
    log = "\n".join(daemon.log())
    assert "intercept out: nothing is intercepted: finding the daemon's cgroup: /proc is not mounted" in log, log
    assert log.count("/proc/net/sockstat: ") == 1, log


def test_a_process_that_moves(env):
    """Its sockets are those of the cgroup that it made them in."""
    cgroup, elsewhere = env.cgroup(), env.cgroup()
    backend = env.backend()
    daemon = intercepting(env, cgroup, port_of(backend.address))
    with elsewhere.inside():
        before = env.keep(socket.socket())
        with cgroup.inside():
            within = env.keep(socket.socket())
        after = env.keep(socket.socket())
    for sock, wanted in ((before, 0), (within, 1), (after, 1)):
        sock.settimeout(10)
        sock.connect(("127.0.0.1", port_of(backend.address)))
        exchange(sock)
        assert redirected(daemon) == wanted


def test_a_nested_cgroup(env):
    cgroup = env.cgroup()
    inner = env.cgroup(cgroup)
    backend = env.backend()
    daemon = intercepting(env, cgroup, port_of(backend.address))
    with connect(inner, backend.address) as sock:
        exchange(sock)
    assert logged(daemon, 1).keys() == {backend.address}


def test_two_daemons(env):
    """One in the other's cgroup, with a cgroup of its own in it: each has its own, and neither has
    what the other connects."""
    cgroup = env.cgroup()
    inner = env.cgroup(cgroup)
    backend = env.backend()
    outer_daemon = intercepting(env, cgroup, "*")
    inner_daemon = intercepting(env, inner, "*", prefix=cgroup.prefix())
    with connect(cgroup, backend.address) as sock:
        exchange(sock)
        assert peer(sock) == backend.address
    assert logged(outer_daemon, 1).keys() == {backend.address}
    with connect(inner, backend.address) as sock:
        exchange(sock)
        assert peer(sock) == backend.address
    assert logged(inner_daemon, 1).keys() == {backend.address}
    assert len(outer_daemon.access_log()) == 1, outer_daemon.access_log()
    # A plain one is reached, and left alone, too.
    plain = env.spliced(backend.address, prefix=cgroup.prefix())
    with connect(cgroup, plain.address()) as sock:
        exchange(sock)
    plain.wait_access(1)
    assert len(outer_daemon.access_log()) == 1, outer_daemon.access_log()
    assert len(inner_daemon.access_log()) == 1, inner_daemon.access_log()


def two_at(env, bind):
    """The inner one listens there: what it has redirected the outer one leaves alone."""
    cgroup = env.cgroup()
    inner, backend = env.cgroup(cgroup), env.backend(address=bind)
    outer_daemon = intercepting(env, cgroup, "*")
    inner_daemon = intercepting(env, inner, "*", prefix=cgroup.prefix(), listener={"bind": bind})
    with connect(inner, backend.address) as sock:
        exchange(sock)
        assert peer(sock) == backend.address
    assert logged(inner_daemon, 1).keys() == {backend.address}
    assert outer_daemon.access_log() == [], outer_daemon.access_log()
    # What is elsewhere at its port, and what a program asks it itself.
    elsewhere = f"127.0.0.9:{port_of(inner_daemon.address())}"
    with contextlib.suppress(ConnectionResetError), connect(cgroup, elsewhere) as sock:
        assert sock.recv(1) == b""
    assert [line["original"] for line in outer_daemon.wait_access(1)] == [elsewhere]
    with contextlib.suppress(ConnectionResetError), connect(cgroup, inner_daemon.address()) as sock:
        assert sock.recv(1) == b""
    assert len(inner_daemon.wait_access(2)) == 2 and len(outer_daemon.access_log()) == 1


def test_two_daemons_at_an_address_of_the_host(env):
    two_at(env, f"{own_address()}:0")


def test_two_daemons_at_an_address_of_ipv6(env):
    two_at(env, f"[{own_ipv6_address()}]:0")


def test_its_own_cgroup(env):
    """self: what the daemon connects does not come back to it."""
    cgroup = env.cgroup()
    backend = env.backend()
    daemon = intercepting(env, "self", port_of(backend.address), prefix=cgroup.prefix())
    with connect(cgroup, backend.address) as sock:
        exchange(sock)
    assert logged(daemon, 1).keys() == {backend.address}
    assert redirected(daemon) == 1 and backend.accepted == 1


def test_after_a_reload(env):
    """The listener moves, and connects follow; the section itself waits for a restart."""
    cgroup = env.cgroup()
    backend, other = env.backend(), env.backend()
    daemon = intercepting(env, cgroup, port_of(backend.address))
    text = daemon.config_path.read_text()
    daemon.write_config(text.replace("bind = 127.0.0.1:0\n", "bind = 127.0.0.2:0\n")
                        .replace(f"outbound = {port_of(backend.address)}",
                                 f"outbound = {port_of(other.address)}"))
    answer = daemon.control("reload")
    assert "[intercept NAME]" in str(answer), answer
    with connect(cgroup, backend.address) as sock:
        exchange(sock)
    assert logged(daemon, 1).keys() == {backend.address}
    with connect(cgroup, other.address) as sock:
        exchange(sock)
    assert redirected(daemon) == 1
    assert daemon.address().startswith("127.0.0.2:"), daemon.address()


@case(engines=("kernel",))
def test_the_doctor(env):
    """What it tries is its own, also where whoever asks for it is intercepted: a probe of the same pod."""
    cgroup = env.cgroup()
    daemon = intercepting(env, cgroup, "*", intercept={"intercept": "require"})

    def checks(*prefix):
        done = run(*prefix, env.binary("spliced"), "doctor", "--json", check=False)
        return {check["name"]: (check["answer"], check["why"][:80]) for check in json.loads(done.stdout)["checks"]}
    outside, inside = checks(), checks(*cgroup.prefix())
    assert {name: answer for name, (answer, _) in inside.items()} == \
        {name: answer for name, (answer, _) in outside.items()}, (inside, outside)
    assert inside["intercept"][0] == inside["steer"][0] == "yes", inside
    assert redirected(daemon) == 0, daemon.status()["intercepts"]


# ---- nothing is left -------------------------------------------------------------------------------

@case(timeout=120)
def test_ten_thousand_connects(env):
    cgroup = env.cgroup()
    backend = env.backend(lambda sock: tcp.read_all(sock))
    closed, holder = tcp.free_port()
    env.keep(holder)
    daemon = intercepting(env, cgroup, [port_of(backend.address), port_of(closed)])
    flows = bpf_maps(daemon.worker_pid)["flows"]
    with connect(cgroup, backend.address):
        daemon.wait_sessions(1)
    daemon.wait_sessions(0)
    before = daemon.fds()
    number = env.pick(10000, 1000)

    def many(address, n, waits=True):
        for _ in range(n):
            try:
                # Those of whom nobody waits fill the server's queue: SYNs of others come again.
                with tcp.connect(address, timeout=60) as sock:
                    if waits:
                        sock.shutdown(socket.SHUT_WR)
                        assert sock.recv(1) == b""
            except (OSError, AssertionError) as error:
                # The reset of the port that is closed may be there at any time.
                if address != closed:
                    wrong.append(error)
    wrong = []
    with cgroup.inside():
        threads = [threading.Thread(target=many, args=(address, number // 4))
                   for address in (backend.address, backend.address, closed)]
        threads.append(threading.Thread(target=many, args=(backend.address, number // 4, False)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:3]
    daemon.wait_sessions(0, 20)
    assert daemon.stats()["ends"]["no_server"] == 0, daemon.stats()["ends"]
    wait_until(lambda: daemon.fds() <= before, 10, lambda: f"{daemon.fds()} of {before} fds")
    wait_until(lambda: map_entries(flows) == 0, 10, lambda: f"{map_entries(flows)} flows")
    assert redirected(daemon) >= number, daemon.status()["intercepts"]
    figures = daemon.status()["intercepts"][0]
    assert figures["unfound"] == figures["unkept"] == 0, figures


def test_connects_that_nobody_accepts(env):
    """What is kept for the daemon is kept by the sockets that it will accept, and goes with them."""
    cgroup = env.cgroup()
    backend = env.backend()
    daemon = intercepting(env, cgroup, port_of(backend.address), spliced={"max_sessions": 1},
                          listener={"backlog": 16})
    flows = bpf_maps(daemon.worker_pid)["flows"]
    first = connect(cgroup, backend.address)
    exchange(first)
    waiting = [connect(cgroup, backend.address) for _ in range(4)]
    assert map_entries(flows) == 0
    for sock in waiting:
        tcp.reset(sock)
    first.close()
    daemon.wait_sessions(0)


def test_clients_that_do_not_wait(env):
    """They have sent everything, and are gone, when the daemon accepts: it arrives where it was to
    go."""
    cgroup = env.cgroup()
    got = []
    backend = env.backend(lambda sock: got.append(tcp.read_all(sock)))
    daemon = intercepting(env, cgroup, port_of(backend.address), spliced={"max_sessions": 1})
    with connect(cgroup, backend.address) as first:
        daemon.wait_sessions(1)
        for number in range(5):
            with connect(cgroup, backend.address) as sock:
                sock.sendall(b"%d" % number)
        first.sendall(b"first")
    wait_until(lambda: len(got) == 6, 10, lambda: f"{got}")
    assert sorted(got) == [b"0", b"1", b"2", b"3", b"4", b"first"], got
    lines = daemon.wait_access(6)
    assert all(line["original"] == backend.address and line["end"] == "done" for line in lines), \
        lines


def test_nothing_is_held_that_loads(env):
    """No program and no BTF: who takes the daemon over can attach nothing elsewhere than to sockets of its
    own."""
    cgroup = env.cgroup()
    daemon = intercepting(env, cgroup, "80")
    assert not held_programs(daemon.worker_pid), held_programs(daemon.worker_pid)
