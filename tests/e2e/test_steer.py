# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole ranges of a host that come to one listener, and from there to where they were to go."""

import contextlib
import json
import os
import signal
import socket
import threading
from pathlib import Path

from lib import case, process, programs, tcp
from lib.host import bpf_maps, held_programs, map_entries
from lib.intercepted import more_of
from lib.process import run
from lib.reloads import kill_workers, refused, reload, text_of
from lib.steered import (FIRST, LAST, RANGE, Pod, exchange, goes_through, port_of, steered,
                         wait_steering)
from lib.wait import wait_until

AT_DEBUG = False

CORE = {"core": True, "timeout": 90}


def must_end(sock):
    """Nobody is there: a reset, or an end, before any byte."""
    with contextlib.suppress(ConnectionResetError):
        assert sock.recv(1) == b""


# ---- what comes, and where it goes -----------------------------------------------------------------

@case(**CORE)
def test_nobody_notices(env):
    """IPv4 and IPv6, from elsewhere and from the same host; what is out of the range, or excepted, stays
    the application's."""
    pod = Pod(env)
    four, six = pod.backend(8080), pod.backend(8081, 6)
    local = pod.backend(0, address=f"127.0.0.1:{LAST}")
    outside, excepted = pod.backend(FIRST - 1), pod.backend(8022)
    daemon = pod.spliced(f"steer:*:{RANGE} except 8022")
    assert daemon.status()["listeners"][0]["bind"] == [f"steer:*:{RANGE} except 8022"]
    for backend, connect in ((four, pod.connect), (six, pod.connect), (four, pod.connect_within),
                             (local, pod.connect_within), (six, pod.connect_within)):
        with connect(backend.address) as sock:
            exchange(sock)
            session, = wait_until(daemon.sessions, 5, "a session")
            assert session["original"] == session["backend"] == backend.address, session
            assert sock.getsockname()[0] in session["client"], session
        daemon.wait_sessions(0)
    for backend in (outside, excepted):
        with pod.connect(backend.address) as sock:
            exchange(sock)
    figures = daemon.status()["steering"]
    assert figures["steered"] >= 5 and figures["own"] >= 5 and steered(daemon) == 5, figures
    assert figures["active"] and figures["missed"] == figures["unkept"] == 0, figures
    assert [line["original"] for line in daemon.wait_access(5)] == \
        [b.address for b in (four, six, four, local, six)]


@case(timeout=90)
def test_a_thousand_ports(env):
    """Of one network: each is told from the others, by routes, too."""
    pod = Pod(env)
    name = pod.backend(0, handle=tcp.serve_name("a"))
    other = pod.backend(0, handle=tcp.serve_name("b"))
    daemon = pod.spliced(f"steer:10.77.0.0/16:{RANGE}", servers=f"a {name.address}",
                         listener={"route": f"dport:8500-{LAST} -> other"},
                         more={"pool other": {"server": f"b {other.address}"}})
    step = env.pick(1, 50)

    def all_of_them():
        for port in range(FIRST, LAST + 1, step):
            with tcp.connect(pod.address(port)) as sock:
                got = tcp.read_exactly(sock, 2)
                assert got == (b"b\n" if port >= 8500 else b"a\n"), (port, got)
    pod.network.client.call(all_of_them)
    ports = range(FIRST, LAST + 1, step)
    lines = daemon.wait_access(len(ports), 10)
    assert sorted(port_of(line["original"]) for line in lines) == list(ports)


@case(timeout=120)
def test_programs_behind_it(env):
    """nginx, redis and PostgreSQL of the same host, at their own ports."""
    pod = Pod(env)
    everywhere, programs.own_address = programs.own_address, pod.network.proxy_address
    (env.tmp / "www").mkdir()
    (env.tmp / "www" / "file").write_bytes(os.urandom(300000))
    with contextlib.ExitStack() as stack:
        nginx = stack.enter_context(pod.host.call(programs.Nginx, env))
        redis = stack.enter_context(pod.host.call(programs.Redis, env))
        programs.own_address = everywhere
        postgres = stack.enter_context(pod.host.call(programs.Postgres, env))
        daemon = pod.spliced("steer:*:1024-65535")
        client = pod.network.client
        client.run("curl", "-sf", "-o", env.tmp / "got", f"http://{nginx.address}/file")
        assert (env.tmp / "got").read_bytes() == (env.tmp / "www" / "file").read_bytes()
        cli = [programs.find("redis-cli"), "-h", programs.split(redis.address)[0]]
        assert client.run(*cli, "set", "key", "value").stdout == "OK\n"
        assert client.run(*cli, "get", "key").stdout == "value\n"
        host, port = programs.split(postgres.address)
        done = pod.host.run(postgres.tool("psql"), "-h", host, "-p", port, "-U", "postgres", "-Atc",
                            "select inet_server_port(), 6 * 7", "postgres")
        assert done.stdout == f"{port}|42\n", done
        lines = daemon.wait_access(4)
        assert {line["original"] for line in lines} == \
            {nginx.address, redis.address, postgres.address}, lines
        assert all(line["backend"] == line["original"] for line in lines), lines


@case(**CORE)
def test_all_that_comes(env):
    """What listens of the daemon itself is reached; a port that nobody listens at ends so; nothing goes
    around."""
    pod = Pod(env)
    backend = pod.backend(8080)
    daemon = pod.spliced("steer:*:1-65535 except 22", spliced={"status": f"{pod.address(0)}"},
                         more={"listener plain": {"bind": "[::]:0", "ipv6_only": "no",
                                                "pool": "plain"},
                               "pool plain": {"server": f"a {backend.address}"}})
    with pod.connect(backend.address) as sock:
        exchange(sock)
    daemon.wait_access(1)
    # A listener of IPv6 that has all of IPv4, too, whose server is steered to but for its own connects.
    port = port_of(daemon.address("plain"))
    for family in (4, 6):
        with pod.connect(pod.address(port, family)) as sock:
            exchange(sock)
    with pod.connect(daemon.status()["status_address"]) as sock:
        sock.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert b" 200 " in tcp.read_exactly(sock, 20)
    assert steered(daemon) == 1, daemon.status()
    with contextlib.suppress(ConnectionResetError), pod.connect(pod.address(8082)) as sock:
        must_end(sock)
    with contextlib.suppress(ConnectionRefusedError):
        pod.connect(pod.address(22)).close()
        raise AssertionError("an excepted port is answered")
    lines = daemon.wait_access(4)
    assert len(lines) == 4 and lines[-1]["end"] == "connect_failed", lines
    assert lines[-1]["original"] == pod.address(8082), lines


def hidden_ports(pod):
    """Where the daemon's sockets are that nobody is told of."""
    def read():
        with open("/proc/thread-self/net/tcp6", encoding="ascii") as table:
            return [line.split()[1:4] for line in table]
    return sorted({int(local.partition(":")[2], 16) for local, _, state in pod.host.call(read)[1:]
                   if local.startswith("0000000000000000FFFF00000100007F:") and state == "0A"})


def test_the_hidden_port(env):
    """Who has found it has found nothing, whether what is there is steered or not."""
    pod = Pod(env)
    backend = pod.backend(8080)
    for bind in (f"steer:*:{RANGE}", "steer:*:1-65535"):
        daemon = pod.spliced(bind)
        port, = hidden_ports(pod)
        for address in (f"127.0.0.1:{port}", f"[::ffff:127.0.0.1]:{port}"):
            with contextlib.suppress(ConnectionRefusedError):
                pod.connect_within(address).close()
                raise AssertionError(f"{address} is answered")
        with pod.connect(backend.address) as sock:
            exchange(sock)
        assert len(daemon.wait_access(1)) == 1
        daemon.stop()
        assert hidden_ports(pod) == []


def test_two_listeners(env):
    """One is the other's exception; a third one has several ranges."""
    pod = Pod(env)
    backends = {port: pod.backend(port) for port in (8080, 8090, 9000, 9500)}
    daemon = pod.spliced(f"steer:*:{RANGE} except 8090", more={
        "listener b": {"bind": "steer:10.77.0.0/16:8090", "pool": "main"},
        "listener c": {"bind": ["steer:*:9000-9010", "steer:*:9400-9999 except 9600"],
                       "pool": "main"}})
    for backend in backends.values():
        with pod.connect(backend.address) as sock:
            exchange(sock)
    lines = daemon.wait_access(4)
    assert {port_of(line["original"]): line["listener"] for line in lines} == \
        {8080: "web", 8090: "b", 9000: "c", 9500: "c"}, lines


def test_http_and_a_header(env):
    """What is read of the stream is as ever: requests, each on its own; an address that a PROXY header
    says."""
    pod = Pod(env)

    def serve(sock):
        while b"\r\n\r\n" in sock.recv(4096):
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!")
    backend = pod.backend(8080, handle=serve)
    named = pod.backend(0, handle=tcp.serve_name("b"))
    daemon = pod.spliced("steer:*:8080", listener={"protocol": "http"}, more={
        "listener announced": {"bind": "steer:*:8081", "accept_proxy": "v1", "route":
                               "dport:77 -> b"},
        "pool b": {"server": f"b {named.address}"}})
    with pod.connect(backend.address) as sock:
        for _ in range(3):
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            got = b""
            while not got.endswith(b"\r\n\r\n!"):
                more = sock.recv(4096)
                assert more, got
                got += more
    with pod.connect(pod.address(8081)) as sock:
        sock.sendall(b"PROXY TCP4 10.0.0.1 10.0.0.2 5 77\r\n")
        assert tcp.read_exactly(sock, 2) == b"b\n"
    assert steered(daemon) == 2, daemon.status()


def test_two_daemons_that_steer_the_same(env):
    """In cgroups of their own: what one of them connects is not the other's."""
    pod = Pod(env)
    backend = pod.backend(8080)
    daemons = [pod.spliced(f"steer:*:{RANGE}", prefix=env.cgroup().prefix(),
                           spliced={"max_sessions": 20}) for _ in range(2)]
    with pod.connect(backend.address) as sock:
        exchange(sock)
        assert sum(steered(daemon) for daemon in daemons) == 1
    daemons[0].stop()
    assert goes_through(pod, daemons[1], backend.address)


@case(timeout=90)
def test_beside_interception(env):
    """All that a pod connects and all that comes to it: once through the daemon, whatever way it takes, and after an
    upgrade, too."""
    pod = Pod(env)
    cgroup = env.cgroup()
    four, six, local = pod.backend(8080), pod.backend(8081, 6), pod.backend(0, address="127.0.0.1:8082")
    elsewhere = pod.network.backend.call(env.backend, tcp.serve_echo, f"{pod.network.backend_address(4)}:0")
    egress = {"bind": ["127.0.0.1:0", "[::1]:0"], "pool": "main"}
    daemon = pod.spliced("steer:*:1-65535 except 127.0.0.0/8 [::1]", prefix=env.cgroup(cgroup).prefix(), more={
        "listener egress": egress,
        "intercept out": {"cgroup": cgroup.path, "outbound": "*", "listener": "egress", "intercept": "require"}})

    def within(address):
        with cgroup.inside():
            return pod.connect_within(address)
    ways = ((pod.connect, four, "web"), (pod.connect, six, "web"), (pod.connect_within, four, "web"),
            (within, four, "egress"), (within, six, "egress"), (within, local, "egress"), (within, elsewhere, "egress"))
    for generation in (1, 2):
        for connect, backend, _ in ways:
            with connect(backend.address) as sock:
                exchange(sock)
            daemon.wait_sessions(0)
        lines = daemon.wait_access(generation * len(ways))
        assert [(line["listener"], line["original"], line["backend"]) for line in lines[-len(ways):]] == \
            [(name, backend.address, backend.address) for _, backend, name in ways], lines
        assert len(lines) == generation * len(ways), lines
        if generation == 1:
            # What interception looks up is no connection.
            steering = daemon.status()["steering"]
            assert (steering["steered"], steering["missed"]) == (3, 0), steering
            daemon.control("upgrade")
            wait_until(lambda: daemon.status()["generation"] == 2, 20, "another worker serves")


# ---- lives -----------------------------------------------------------------------------------------

def test_the_daemon_is_killed(env):
    """What comes is the application's, at once."""
    pod = Pod(env)
    backend = pod.backend(8080)
    daemon = pod.spliced(f"steer:*:{RANGE}")
    sock = pod.connect(backend.address)
    exchange(sock)
    daemon.kill()
    must_end(sock)
    with pod.connect(backend.address) as sock:
        exchange(sock)
        assert len(backend.sockets) == 1


@case(timeout=90)
def test_while_it_drains(env):
    """The same; what is there goes on. And before it drains, after it was told to, nothing changes."""
    pod = Pod(env)
    backend = pod.backend(8080)
    daemon = pod.spliced(f"steer:*:{RANGE}", spliced={"drain_delay": "60s"})
    sock = pod.connect(backend.address)
    exchange(sock)
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: daemon.status()["drain_in_ms"], 10, "it is going to drain")
    assert goes_through(pod, daemon, backend.address)
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: daemon.status()["draining"], 10, "it drains")
    assert not goes_through(pod, daemon, backend.address)
    exchange(sock)
    sock.close()
    daemon.wait_exit(10)


@contextlib.contextmanager
def connecting(pod, backends, number=3):
    """Clients elsewhere, all the time; what each was answered."""
    stop, results = threading.Event(), []

    def connect():
        while not stop.is_set():
            for backend, name in backends:
                try:
                    with tcp.connect(backend.address) as sock:
                        got = tcp.read_exactly(sock, 2).decode().strip()
                except OSError as error:
                    got = error
                results.append((got, name))

    def start():
        for thread in threads:
            thread.start()      # a thread is in the namespace of who starts it
    threads = [threading.Thread(target=connect) for _ in range(number)]
    pod.network.client.call(start)
    try:
        yield results
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def named(pod):
    return [(pod.backend(port, handle=tcp.serve_name(name)), name)
            for port, name in ((8080, "a"), (8090, "b"))]


@case(timeout=90)
def test_over_upgrades(env):
    """No connection is refused, none goes past the daemon, none twice through it."""
    pod = Pod(env)
    backends = named(pod)
    daemon = pod.spliced(f"steer:*:{RANGE}", spliced={"shutdown_grace": "60s"})
    stays = pod.connect(backends[0][0].address)
    with connecting(pod, backends) as results:
        for generation in (2, 3):
            more_of(results)
            daemon.control("upgrade")
            wait_until(lambda: daemon.status()["generation"] == generation, 30, "the next serves")
        more_of(results)
    wrong = [result for result in results if result[0] != result[1]]
    assert not wrong, (len(results), wrong[:5])
    assert tcp.read_exactly(stays, 2) == b"a\n"
    stays.close()
    lines = daemon.wait_access(len(results) + 1, 10)
    assert len(lines) == len(results) + 1, (len(lines), len(results))
    assert {line["original"] for line in lines} == {backend.address for backend, _ in backends}


@case(timeout=90)
def test_a_worker_that_dies(env):
    """What comes meanwhile waits for the next one, whichever comes to serve, and goes through it."""
    pod = Pod(env)
    backends = named(pod)
    daemon = pod.spliced(f"steer:*:{RANGE}")
    process.stop(daemon.worker_pid)
    socks = [(pod.connect(backend.address, timeout=30), name) for _ in range(5)
             for backend, name in backends]
    kill_workers(daemon)
    socks += [(pod.connect(backend.address, timeout=30), name) for backend, name in backends]
    for sock, name in socks:
        assert tcp.read_exactly(sock, 2).decode().strip() == name
        sock.close()
    lines = daemon.wait_access(12)
    assert len(lines) == 12 and all("original" in line for line in lines), lines
    wait_steering(daemon)


def programs_of_namespaces(daemon):
    """How many its processes have there."""
    number = 0
    for pid in (daemon.pid, *daemon.worker_pids()):
        with contextlib.suppress(FileNotFoundError):
            for fd in os.listdir(f"/proc/{pid}/fdinfo"):
                with contextlib.suppress(FileNotFoundError):
                    text = Path(f"/proc/{pid}/fdinfo/{fd}").read_text(encoding="ascii")
                    number += "link_type:\tnetns\n" in text
    return number


def test_an_upgrade_that_fails(env):
    """And one that changes the range: it counts from when the new worker serves, and not before."""
    pod = Pod(env)
    first, second = pod.backend(8080), pod.backend(9080)
    daemon = pod.spliced(f"steer:*:{RANGE}", spliced={"shutdown_grace": "60s"})
    text = text_of(daemon)
    stays = pod.connect(first.address)
    exchange(stays)
    assert programs_of_namespaces(daemon) == 2      # the parent's and the worker's
    daemon.write_config(text.replace(f"steer:*:{RANGE}", "steer:*:8000-7000"))
    done = run(daemon.control_tool, "-s", daemon.control_path, "upgrade", check=False)
    assert done.returncode == 1 and "8000-7000" in done.stderr, done
    assert goes_through(pod, daemon, first.address)
    daemon.write_config(text.replace(f"steer:*:{RANGE}", "steer:*:9000-9999"))
    daemon.control("upgrade")
    wait_until(lambda: daemon.status()["generation"] == 2, 20, "another worker serves")
    assert goes_through(pod, daemon, second.address)
    assert not goes_through(pod, daemon, first.address)
    # Nothing is steered any more, beside a worker that drains.
    daemon.write_config(text.replace(f"steer:*:{RANGE}", "127.0.0.1:0"))
    daemon.control("upgrade")
    wait_until(lambda: daemon.status()["generation"] == 3, 20, "another worker serves")
    with pod.connect(second.address) as sock:
        exchange(sock)
    assert daemon.status()["steering"] is None
    wait_until(lambda: not programs_of_namespaces(daemon), 10, "the program is gone")
    exchange(stays)
    wait_until(lambda: len(daemon.worker_pids()) == 2, 10, "only one drains")


def test_a_queue_over_a_reload(env):
    """Nobody in it is lost when the range changes."""
    pod = Pod(env)
    first, second = pod.backend(8080), pod.backend(9080)
    daemon = pod.spliced(f"steer:*:{RANGE}", spliced={"max_sessions": 1, "workers": 1},
                         more={"listener keeper": {"bind": "127.0.0.1:0", "pool": "main"}})
    text = text_of(daemon)
    holds = pod.connect(first.address)
    exchange(holds)
    waiting = [pod.connect(first.address) for _ in range(3)]
    reload(daemon, text.replace(f"steer:*:{RANGE}", "steer:*:9000-9999"))
    assert daemon.status()["listeners"][0]["bind"] == ["steer:*:9000-9999"]
    with pod.connect(first.address) as sock:
        exchange(sock)      # past the daemon, which has no room
    last = pod.connect(second.address)
    holds.close()
    for sock in (*waiting, last):
        exchange(sock)
        sock.close()
    lines = daemon.wait_access(5)
    assert [port_of(line["original"]) for line in lines] == [8080] * 4 + [9080], lines


def test_a_range_keeps_its_queue(env):
    """When the one before it goes, too, and there is no room for who waits."""
    pod = Pod(env)
    backend = pod.backend(8080)
    daemon = pod.spliced("steer:*:9000-9999", spliced={"max_sessions": 1, "workers": 1},
                         listener={"bind": ["steer:*:9000-9999", f"steer:*:{RANGE}"]})
    text = text_of(daemon)
    with pod.connect(backend.address) as holds:
        exchange(holds)
        waiting = [pod.connect(backend.address) for _ in range(3)]
        reload(daemon, text.replace("bind = steer:*:9000-9999\n", ""))
        assert daemon.status()["listeners"][0]["bind"] == [f"steer:*:{RANGE}"]
    for sock in waiting:
        exchange(sock)
        sock.close()


def binds(*ranges):
    """As lines of the file."""
    return "".join(f"bind = steer:*:{r}\n" for r in ranges)


def test_ranges_come_and_go(env):
    """Whichever of a listener's go, the others stay."""
    pod = Pod(env)
    (first, a), (second, b), (third, c) = (
        (f"{port}-{port + 999}", (pod.backend(port + 80, handle=tcp.serve_name(name)), name))
        for port, name in ((8000, "a"), (9000, "b"), (10000, "c")))
    daemon = pod.spliced(f"steer:*:{first}", listener={"bind": [f"steer:*:{first}", f"steer:*:{second}"]})
    text = text_of(daemon)
    for ranges, through in (((second,), (b,)), ((second, third), (b, c)), ((third,), (c,)),
                            ((third, first), (c, a)), ((first,), (a,))):
        reload(daemon, text.replace(binds(first, second), binds(*ranges)))
        for backend, name in (a, b, c):
            before = steered(daemon)
            with pod.connect(backend.address) as sock:
                assert tcp.read_exactly(sock, 2).decode().strip() == name
            assert (steered(daemon) > before) == ((backend, name) in through), (name, ranges)
    assert len(hidden_ports(pod)) == 1, hidden_ports(pod)


def test_a_queue_of_ranges_that_changed(env):
    """It waits for the next worker, also after a reload that was refused when its addresses were bound."""
    pod = Pod(env)
    backends = named(pod)
    taken = pod.backend(0)
    other = "9000-9999"
    daemon = pod.spliced(f"steer:*:{other}", listener={"bind": [f"steer:*:{other}", f"steer:*:{RANGE}"]})
    text = text_of(daemon).replace(binds(other), "")
    reload(daemon, text)
    why = refused(daemon, text.replace(binds(RANGE), binds(RANGE, other))
                  + f"\n[listener more]\nbind = {taken.address}\npool = main\n")
    assert "Address already in use" in why, why
    daemon.write_config(text)
    process.stop(daemon.worker_pid)
    socks = [(pod.connect(backend.address, timeout=30), name) for _ in range(3)
             for backend, name in backends]
    os.kill(daemon.worker_pid, signal.SIGKILL)
    for sock, name in socks:
        assert tcp.read_exactly(sock, 2).decode().strip() == name
        sock.close()
    assert len(daemon.wait_access(6)) == 6


def test_after_reloads(env):
    """Listeners come, change, and go; where they were the first, an upgrade or a restart is needed."""
    pod = Pod(env)
    first, second = pod.backend(8080), pod.backend(9080)
    daemon = pod.spliced(f"steer:*:{RANGE}", listener={"protocol": "tcp"})
    text = text_of(daemon)
    more = "\n[listener more]\nbind = steer:*:9000-9999\npool = main\n"
    for config, through in ((text + more, (True, True)),
                            (text.replace(f"{RANGE}", "9000-9999"), (False, True)),
                            (text.replace(f"steer:*:{RANGE}", "127.0.0.1:0") + more, (False, True)),
                            (text.replace(f"steer:*:{RANGE}", "127.0.0.1:0"), (False, False)),
                            (text, (True, False))):
        reload(daemon, config)
        assert (goes_through(pod, daemon, first.address),
                goes_through(pod, daemon, second.address)) == through, config
    wait_until(lambda: len(hidden_ports(pod)) == 1, 5, lambda: f"{hidden_ports(pod)}")
    why = refused(daemon, text + more.replace("9000-9999", "8500"))
    assert "overlaps steer" in why, why
    assert goes_through(pod, daemon, first.address)
    plain = env.spliced(first.address)
    line = text_of(plain)[:text_of(plain).index("bind = ")].count("\n") + 1
    why = refused(plain, text_of(plain).replace("bind = 127.0.0.1:0", "bind = steer:*:9"))
    assert f"{plain.config_path}:{line}: listener web: steer:*:9: nothing can be steered" in why, why
    assert "takes an upgrade or a restart" in why, why


# ---- what is missing -------------------------------------------------------------------------------

def test_what_is_missing_is_named(env):
    """The daemon does not start: who would come to the listener otherwise?"""
    pod = Pod(env)
    daemon = pod.spliced(f"steer:*:{RANGE}", spliced={"engine": "auto"}, start=False)
    env.daemons.remove(daemon)
    for missing, words in (("bpf,-sys_admin", "CAP_BPF is missing"),
                           ("net_admin,-sys_admin", "CAP_NET_ADMIN is missing")):
        dropped = f"-{missing}"
        done = pod.host.run("setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}",
                            daemon.binary, "-c", daemon.config_path, check=False)
        lines = [line for line in done.stderr.splitlines() if "nothing can be steered" in line]
        assert done.returncode == 1 and len(lines) == 1, done
        assert f"{daemon.config_path}:" in lines[0] and words in lines[0], lines


def test_the_doctor(env):
    """Also where all ports are steered already."""
    pod = Pod(env)
    pod.spliced("steer:*:1-65535")
    done = pod.host.run(env.binary("spliced"), "doctor", "--json", check=False)
    check = next(c for c in json.loads(done.stdout)["checks"] if c["name"] == "steer")
    assert check["answer"] == "yes", check


def test_a_daemon_that_moves(env):
    """Its connects would come back to it: they are not made."""
    pod = Pod(env)
    backend = pod.backend(8080)
    daemon = pod.spliced(f"steer:*:{RANGE}", prefix=env.cgroup().prefix())
    (env.cgroup().path / "cgroup.procs").write_text(str(daemon.worker_pid), encoding="ascii")
    with contextlib.suppress(ConnectionResetError), pod.connect(backend.address) as sock:
        must_end(sock)
    line, = daemon.wait_access(1)
    assert line["end"] == "connect_failed", line
    assert "moved to another cgroup" in "\n".join(daemon.log()), daemon.log_tail()


# ---- nothing is left -------------------------------------------------------------------------------

@case(timeout=90)
def test_nothing_is_left(env):
    """No entry of connections that are closed; no program that could be attached elsewhere than to sockets of
    one's own."""
    pod = Pod(env)
    backend = pod.backend(8080, handle=tcp.read_all)
    daemon = pod.spliced(f"steer:*:{RANGE}")
    own = bpf_maps(daemon.worker_pid)["own"]

    def many():
        for number in range(env.pick(500, 100)):
            # Of some the server is, of some there is none.
            with contextlib.suppress(ConnectionResetError), \
                    tcp.connect(backend.address if number % 2 else pod.address(8081)) as sock:
                # Where there is none the reset may be here first.
                with contextlib.suppress(() if number % 2 else OSError):
                    sock.shutdown(socket.SHUT_WR)
                assert sock.recv(1) == b""
    pod.network.client.call(many)
    daemon.wait_sessions(0)
    wait_until(lambda: map_entries(own) == 0, 10, lambda: f"{map_entries(own)} entries")
    figures = daemon.status()["steering"]
    assert figures["missed"] == figures["unkept"] == 0, figures
    assert not held_programs(daemon.worker_pid), held_programs(daemon.worker_pid)
