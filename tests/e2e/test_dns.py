# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers given by name."""

import os

from lib import case, connect, programs, read_all, read_exactly, wait_until
from lib.dns import NameServer
from lib.tcp import serve_name

NAME = "shop.spliced.test"


def port():
    """The port of this test's servers: tests that run side by side have addresses in common."""
    return 10000 + os.getpid() % 20000


def addresses(count):
    """Loopback addresses of this test's own."""
    first, second, third, last = programs.own_address().split(".")
    return [f"{first}.{second}.{third}.{1 + (int(last) + i) % 254}" for i in range(count)]


def serve(env, host, name):
    """A server of one letter at an address."""
    return env.backend(serve_name(name), f"[{host}]:{port()}" if ":" in host else f"{host}:{port()}")


def ask(daemon):
    """The letter of the server that a new session reaches; "" where there is none."""
    try:
        sock = connect(daemon.address())
    except ConnectionResetError:
        return ""
    with sock:
        try:
            return read_exactly(sock, 2).decode().strip()
        except ConnectionResetError:
            return ""


def wait_answer(daemon, letter, seconds=15):
    wait_until(lambda: ask(daemon) == letter, seconds, f"new sessions reach {letter!r}", poll=0.2)


def start(env, names, server=None, pool=None, **options):
    """The daemon that asks a new name server, whose names wait to be changed."""
    dns = NameServer(names)
    env.keep(dns.socket)
    daemon = env.spliced(server or f"{NAME}:{port()}", spliced={"nameserver": dns.address, **options}, pool=pool)
    return dns, daemon


def test_name_resolves(env):
    """There is a server as soon as there is an answer, and for good."""
    (a,) = addresses(1)
    serve(env, a, "a")
    dns, daemon = start(env, {NAME: [a]})
    wait_answer(daemon, "a")
    for _ in range(10):
        assert ask(daemon) == "a"
    lines = [line for line in daemon.access_log() if line["end"] == "done"]
    assert {line["backend"] for line in lines} == {f"{a}:{port()}"}, lines
    assert dns.count(NAME) > 0


def test_name_moves(env):
    """With a TTL of a second, new sessions follow the name; those that exist stay."""
    a, b = addresses(2)
    serve(env, a, "a")
    serve(env, b, "b")
    dns, daemon = start(env, {NAME: [a]})
    wait_answer(daemon, "a")
    old = env.keep(connect(daemon.address()))
    assert read_exactly(old, 2) == b"a\n"
    dns.names = {NAME: [b]}
    wait_answer(daemon, "b")
    for _ in range(5):
        assert ask(daemon) == "b"
    assert [entry["backend"] for entry in daemon.sessions()
            if entry["client"].endswith(f":{old.getsockname()[1]}")] == [f"{a}:{port()}"]
    old.shutdown(1)
    assert read_all(old) == b""


def test_name_with_two_addresses(env):
    """Every address of a name is used."""
    a, b = addresses(2)
    serve(env, a, "a")
    serve(env, b, "b")
    _, daemon = start(env, {NAME: [a, b]})
    wait_until(lambda: ask(daemon), 15, "there is a server", poll=0.2)
    assert {ask(daemon) for _ in range(6)} == {"a", "b"}


# ---- several addresses, and some of them dead ------------------------------------------------

def done_backends(daemon):
    return {line["backend"] for line in daemon.access_log() if line["end"] == "done"}


def test_refused_goes_to_the_next_address(env):
    """A name has two addresses and nobody listens at one: no client notices."""
    dead, b = addresses(2)
    serve(env, b, "b")
    _, daemon = start(env, {NAME: [dead, b]})
    wait_answer(daemon, "b")
    assert [ask(daemon) for _ in range(8)] == ["b"] * 8
    assert done_backends(daemon) == {f"{b}:{port()}"}, daemon.access_log()
    # One session was given the dead one first; then it was passed over.
    assert daemon.stats()["retries"] == 1, daemon.stats()
    assert daemon.server("a")["connect_failures"] == 1, daemon.server("a")
    wait_until(lambda: any(f"connecting to {dead}:{port()}" in line for line in daemon.log()), 10,
               "the warning")


def test_refused_goes_to_another_family(env):
    """Nobody listens at the IPv6 address of a name that has one of each kind."""
    (a,) = addresses(1)
    serve(env, a, "a")
    _, daemon = start(env, {NAME: ["::1", a]})
    wait_answer(daemon, "a")
    assert [ask(daemon) for _ in range(6)] == ["a"] * 6
    assert daemon.stats()["retries"] >= 1


def test_unanswered_goes_to_the_next_address(env):
    """Sessions that wait for an address which does not answer, and others between them: each
    tries both addresses, whichever the others are given."""
    silent, b = addresses(2)
    serve(env, b, "b")
    env.deaf(silent, port())
    _, daemon = start(env, {NAME: [silent, b]},
                      pool={"connect_timeout": "300ms", "max_fails": 0})
    wait_answer(daemon, "b")
    clients = [env.keep(connect(daemon.address())) for _ in range(9)]
    assert [read_exactly(client, 2) for client in clients] == [b"b\n"] * 9
    assert daemon.stats()["retries"] >= 4, daemon.stats()


def test_every_address_is_tried_once(env):
    """More retries are allowed than there are addresses: when all have failed, that is it."""
    dead = addresses(3)
    _, daemon = start(env, {NAME: dead}, pool={"retries": 9})

    def failed():
        assert ask(daemon) == ""
        return daemon.stats()["ends"]["connect_failed"]
    wait_until(failed, 15, "a session that was given a server", poll=0.2)
    sessions = daemon.stats()["ends"]["connect_failed"]
    assert daemon.stats()["retries"] == 2 * sessions
    assert daemon.server("a")["connect_failures"] == 3 * sessions


def test_no_retries(env):
    """retries counts servers: all addresses of one are tried."""
    dead, b = addresses(2)
    serve(env, b, "b")
    _, daemon = start(env, {NAME: [dead, b]}, pool={"retries": 0})
    wait_answer(daemon, "b")
    assert {ask(daemon) for _ in range(6)} == {"b"}
    assert daemon.stats()["retries"] == 1


def test_name_ipv6(env):
    """A name that has only an IPv6 address."""
    backend = env.backend(serve_name("a"), "[::1]:0")
    port = backend.address.rpartition(":")[2]
    _, daemon = start(env, {NAME: ["::1"]}, f"{NAME}:{port}")
    wait_answer(daemon, "a")


@case(timeout=90)
def test_name_unknown_then_known(env):
    """No such name: the client is reset and the access log says why. It recovers by itself."""
    (a,) = addresses(1)
    serve(env, a, "a")
    dns, daemon = start(env, {})
    wait_until(lambda: dns.count(NAME) >= 2, 10, "the daemon asks")
    assert ask(daemon) == ""
    (line,) = daemon.wait_access(1)
    assert line["end"] == "no_server" and line["server"] == "-", line
    dns.names = {NAME: [a]}
    wait_answer(daemon, "a", 30)


@case(timeout=60)
def test_name_server_breaks(env):
    """A name server that fails takes no address away; once it is well, its word counts again."""
    a, b = addresses(2)
    serve(env, a, "a")
    serve(env, b, "b")
    dns, daemon = start(env, {NAME: [a]})
    wait_answer(daemon, "a")
    dns.broken = True
    asked = dns.count(NAME)
    wait_until(lambda: dns.count(NAME) > asked, 10, "the daemon asks again")
    wait_until(lambda: any("its last addresses stay in use" in line for line in daemon.log()), 20,
               "the daemon says that the name cannot be resolved")
    for _ in range(5):
        assert ask(daemon) == "a"
    dns.names = {NAME: [b]}
    dns.broken = False
    wait_answer(daemon, "b", 40)


@case(timeout=60)
def test_name_gone(env):
    """A name that ceases to exist keeps its addresses as well: better an old one than none."""
    (a,) = addresses(1)
    serve(env, a, "a")
    dns, daemon = start(env, {NAME: [a]})
    wait_answer(daemon, "a")
    dns.names = {}
    wait_until(lambda: any("its last addresses stay in use" in line for line in daemon.log()), 20,
               "the daemon says that the name cannot be resolved")
    assert ask(daemon) == "a"


def test_hosts_file(env):
    """`localhost` needs no name server, not even one that would answer."""
    backend = env.backend(serve_name("a"))
    port = backend.address.rpartition(":")[2]
    dns, daemon = start(env, {"localhost": ["127.99.99.99"]}, f"localhost:{port}")
    wait_answer(daemon, "a", 5)
    for _ in range(5):
        assert ask(daemon) == "a"
    assert dns.count("localhost") == 0


def test_mute_name_server(env):
    """Nobody answers: the daemon runs all the same, and serves what needs no name."""
    (a,) = addresses(1)
    serve(env, a, "a")
    dns = NameServer({})
    env.keep(dns.socket)
    dns.silent = True
    daemon = env.spliced([f"n {NAME}:{port()}", f"a {a}:{port()}"],
                         spliced={"nameserver": dns.address})
    for _ in range(5):
        assert ask(daemon) == "a"
    assert {line["server"] for line in daemon.wait_access(5)} == {"a"}
