# SPDX-License-Identifier: GPL-2.0-or-later
"""Name servers as they are: answers that do not fit, servers that are slow, deaf or changed."""

import os
import shutil
import threading
import time

from lib import case, connect, programs, read_exactly, wait_until
from lib.dns import NameServer
from lib.http import Client, Origin, proxy, reply, wait_requests
from lib.tcp import serve_name

AT_DEBUG = False

NAME = "shop.spliced.test"


def port():
    """The port of this test's servers: tests that run side by side have addresses in common."""
    return 10000 + os.getpid() % 20000


def addresses(count, skip=0):
    """Loopback addresses of this test's own."""
    first, second, third, last = programs.own_address().split(".")
    return [f"{first}.{second}.{third}.{1 + (int(last) + skip + i) % 254}" for i in range(count)]


def start(env, dns, server=None, pool=None, **options):
    for sock in (dns.socket, dns.listener):
        env.keep(sock)
    return env.spliced(server or f"{NAME}:{port()}", pool=pool,
                       spliced={"nameserver": dns.address, **options})


def ask(daemon):
    """The letter of the server that a new session reaches; "" where there is none."""
    try:
        with connect(daemon.address()) as sock:
            return read_exactly(sock, 2).decode().strip()
    except ConnectionResetError:
        return ""


def serve(env, *hosts):
    for host in hosts:
        env.backend(serve_name("a"), f"{host}:{port()}")


def used(daemon, number):
    """The addresses that so many sessions were sent to, one after the other."""
    for _ in range(number):
        assert ask(daemon) == "a"
    return {line["backend"] for line in daemon.wait_access(number)}


def test_answer_that_fits_with_edns(env):
    """The forty addresses of a headless service: all of them are used."""
    hosts = addresses(40)
    serve(env, *hosts)
    dns = NameServer({NAME: hosts}, ttl=60)
    daemon = start(env, dns)
    assert used(daemon, 40) == {f"{host}:{port()}" for host in hosts}
    assert not dns.over_tcp, dns.over_tcp


def test_truncated_answer_comes_over_tcp(env):
    """The same from a server that knows no EDNS, or sends small datagrams only."""
    hosts = addresses(40)
    serve(env, *hosts)
    for edns, small in ((False, 65535), (True, 512)):
        dns = NameServer({NAME: hosts}, ttl=60)
        dns.edns, dns.small = edns, small
        daemon = start(env, dns)
        assert used(daemon, 40) == {f"{host}:{port()}" for host in hosts}
        assert dns.over_tcp
        daemon.stop()


def test_truncated_and_no_tcp(env):
    """Nobody takes TCP: that is said, and the last addresses stay in use."""
    hosts = addresses(40)
    serve(env, hosts[0])
    dns = NameServer({NAME: hosts[:1]}, tcp=False)
    dns.small = 512
    daemon = start(env, dns)
    assert ask(daemon) == "a"
    dns.names = {NAME: hosts}
    wait_until(lambda: any("its last addresses stay in use" in line for line in daemon.log()), 20,
               "the daemon says that the name cannot be resolved")
    assert ask(daemon) == "a"
    dns.names = {NAME: hosts[:1]}
    wait_until(lambda: any(f"{NAME} resolves again" in line for line in daemon.log()), 20,
               "it resolves again")


def test_more_addresses_than_are_used(env):
    """The first 64, whatever the order they come in: no change where there is none."""
    hosts = [f"127.1.2.{i}" for i in range(1, 101)]
    dns = NameServer({NAME: hosts}, ttl=1)
    daemon = start(env, dns)
    wait_until(lambda: any("more than 64 addresses" in line for line in daemon.log()), 10, "a line")
    asked = dns.count(NAME)
    dns.names = {NAME: hosts[::-1]}
    wait_until(lambda: dns.count(NAME) > asked + 4, 10, "it is asked again")
    assert not any("now resolves" in line for line in daemon.log())


def test_first_clients_wait_for_the_name(env):
    """Whoever comes right after `ready` is served when the answer is there, TCP and HTTP."""
    (host,) = addresses(1)
    serve(env, host)
    dns = NameServer({NAME: [host]})
    dns.delay = 0.7
    daemon = start(env, dns)
    clients = [env.keep(connect(daemon.address())) for _ in range(5)]
    assert [read_exactly(client, 2) for client in clients] == [b"a\n"] * 5

    origin = Origin(env, address=f"{addresses(2)[1]}:{port()}")
    dns = NameServer({NAME: [origin.address.rpartition(":")[0]]})
    dns.delay = 0.7
    for sock in (dns.socket, dns.listener):
        env.keep(sock)
    daemon = proxy(env, f"{NAME}:{port()}", spliced={"nameserver": dns.address})
    with Client(daemon.address()) as client:
        assert client.ask("POST", "/", body=b"order").status == 200


def test_lost_first_question(env):
    """It is asked again soon enough for a client that waits."""
    (host,) = addresses(1)
    serve(env, host)
    dns = NameServer({NAME: [host]})
    dns.lost = 2
    daemon = start(env, dns)
    assert ask(daemon) == "a"


def test_first_clients_wait_no_longer_than_for_a_server(env):
    """Nobody answers: connect_timeout is the limit. A name that is known not to exist is not waited
    for."""
    dns = NameServer({})
    dns.silent = True
    daemon = start(env, dns, pool={"connect_timeout": "700ms"})
    began = time.monotonic()
    assert ask(daemon) == ""
    assert 0.65 < time.monotonic() - began < 5
    assert daemon.wait_access(1)[0]["end"] == "no_server"
    daemon.stop()

    dns = NameServer({})
    daemon = start(env, dns, pool={"connect_timeout": "60s"})
    assert ask(daemon) == ""
    assert daemon.wait_access(1)[0]["end"] == "no_server"


def test_server_that_has_an_address_is_not_kept_waiting(env):
    """Another server of the pool takes the session at once."""
    (host,) = addresses(1)
    serve(env, host)
    dns = NameServer({})
    dns.silent = True
    daemon = start(env, dns, [f"n {NAME}:{port()}", f"a {host}:{port()}"],
                   pool={"connect_timeout": "60s"})
    assert [ask(daemon) for _ in range(4)] == ["a"] * 4


# ---- addresses that go ----------------------------------------------------------------------------

class Moving:
    """A name that has two origins, of which each keeps a connection, and a daemon before it."""

    def __init__(self, env, **pool):
        self.hold = threading.Event()
        self.origins = [Origin(env, self._answer, name=name, address=f"{host}:{port()}")
                        for name, host in zip("ab", addresses(2))]
        self.dns = NameServer({NAME: addresses(2)})
        for sock in (self.dns.socket, self.dns.listener):
            env.keep(sock)
        self.daemon = proxy(env, f"{NAME}:{port()}", spliced={"nameserver": self.dns.address,
                                                             "workers": 1}, pool=pool)

    def _answer(self, asked):
        if asked.target == "/slow":
            self.hold.wait(20)
        return reply(b"x")

    def move(self):
        """Only the second address is left."""
        self.dns.names = {NAME: addresses(2)[1:]}
        wait_until(lambda: any("now resolves" in line for line in self.daemon.log()), 15,
                   "the daemon knows")


def test_kept_connections_of_an_address_that_goes(env):
    """Idle ones end at once, one in use after its request; the other address's stay."""
    moving = Moving(env)
    a, b = moving.origins
    clients = [env.keep(Client(moving.daemon.address())) for _ in range(4)]
    for client in clients:
        client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: len(a.heads) == 2 and len(b.heads) == 2, 5, "two requests each")
    moving.hold.set()
    for client in clients:
        assert client.response().status == 200
    assert (a.opened(), b.opened()) == (2, 2)
    moving.hold.clear()
    clients[0].send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    clients[1].send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: len(a.heads) + len(b.heads) == 6, 5, "two more")
    busy = len(a.heads) - 2
    moving.move()
    wait_until(lambda: a.opened() == busy, 5, "the idle ones end")
    assert b.opened() == 2
    moving.hold.set()
    assert clients[0].response().status == clients[1].response().status == 200
    wait_until(lambda: a.opened() == 0, 5, "the busy one ends after its request")
    heads = len(a.heads)
    for client in clients:
        assert client.ask().status == 200
    assert len(a.heads) == heads


def test_own_connections_of_an_address_that_goes(env):
    """A client's own, too."""
    moving = Moving(env, reuse="never")
    a, b = moving.origins
    clients = [env.keep(Client(moving.daemon.address())) for _ in range(2)]
    for client in clients:
        assert client.ask().status == 200
    wait_until(lambda: (a.opened(), b.opened()) == (1, 1), 5, "each is kept")
    moving.move()
    wait_until(lambda: (a.opened(), b.opened()) == (0, 1), 5, "the one that goes ends")
    for client in clients:
        assert client.ask().status == 200
    assert len(a.heads) == 1


def test_log_names_the_address_in_use(env):
    """backend= is where a kept connection goes, not whose turn it was."""
    moving = Moving(env)
    with Client(moving.daemon.address()) as client:
        for _ in range(6):
            assert client.ask().status == 200
    reached = {origin.address: len(origin.requests) for origin in moving.origins}
    logged = [line["backend"] for line in wait_requests(moving.daemon, 6)]
    assert {address: logged.count(address) for address in reached} == reached, (logged, reached)


# ---- /etc/resolv.conf -----------------------------------------------------------------------------

class Etc:
    """An /etc of the daemon's own, whose resolv.conf is a link, as kubelet and systemd have it."""

    def __init__(self, env, *servers):
        if env.vm:
            env.skip("needs a file system to bind over /etc")
        self.path = env.tmp / "etc"
        self.path.mkdir()
        for name in ("passwd", "group", "nsswitch.conf"):
            if (found := env.tmp.__class__("/etc") / name).exists():
                shutil.copy(found, self.path / name)
        (self.path / "hosts").write_text("127.0.0.1 localhost\n")
        self.turn = 0
        self.write(*servers)
        self.prefix = ["unshare", "--mount", "sh", "-c",
                       f'mount --bind "{self.path}" /etc && exec "$@"', "sh"]

    def write(self, *servers, text=None):
        """By rename of a link: another file from one moment to the next."""
        self.turn += 1
        file, link = self.path / f"resolv.{self.turn}", self.path / "resolv.new"
        file.write_text(text if text is not None else
                        "".join(f"nameserver {server}\n" for server in servers))
        link.symlink_to(file.name)
        link.rename(self.path / "resolv.conf")


def name_server(env, names):
    """One at port 53 of an address that no other test has one at."""
    for host in addresses(250, 2):
        try:
            dns = NameServer(names, ttl=300, address=(host, 53))
            break
        except OSError:
            continue
    for sock in (dns.socket, dns.listener):
        env.keep(sock)
    return host, dns


def said(daemon, text):
    return any(text in line for line in daemon.log())


def test_resolv_conf_is_followed(env):
    """Another server is asked at once, though the old answer was good for minutes. A file that is
    gone, empty or names nobody changes nothing."""
    a, b = addresses(2)
    env.backend(serve_name("a"), f"{a}:{port()}")
    env.backend(serve_name("b"), f"{b}:{port()}")
    first, _ = name_server(env, {NAME: [a]})
    second, dns = name_server(env, {NAME: [b], "shop.svc.spliced.test": [a]})
    etc = Etc(env, first)
    daemon = env.spliced(f"{NAME}:{port()}", prefix=etc.prefix)
    assert ask(daemon) == "a"
    etc.write(second)
    wait_until(lambda: said(daemon, f"{NAME} now resolves to {b}"), 15, "the new server is asked")
    assert ask(daemon) == "b"
    (etc.path / "resolv.conf").unlink()
    wait_until(lambda: said(daemon, "names no server: asking those that it named before"), 15,
               "the daemon says that the file is gone")
    etc.write(text="")
    assert ask(daemon) == "b"
    asked = dns.count(NAME)
    etc.write(text=f"# back\nnameserver {second}\noptions timeout:2 attempts:2\n")
    wait_until(lambda: dns.count(NAME) > asked, 15, "it is asked again")
    assert ask(daemon) == "b"


def test_search_list_follows(env):
    """A short name, by the search list that the file has now."""
    (a,) = addresses(1)
    env.backend(serve_name("a"), f"{a}:{port()}")
    host, dns = name_server(env, {"shop.svc.spliced.test": [a]})
    etc = Etc(env, host)
    daemon = env.spliced(f"shop:{port()}", prefix=etc.prefix)
    wait_until(lambda: said(daemon, "cannot resolve shop: no such name"), 15, "no such name")
    assert ask(daemon) == ""
    etc.write(text=f"search ns.spliced.test svc.spliced.test\nnameserver {host}\noptions ndots:5\n")
    wait_until(lambda: said(daemon, f"shop resolves to {a}"), 15, "the name is found")
    assert ask(daemon) == "a"
    names = [name for name, _ in dns.questions]
    assert names.index("shop.ns.spliced.test") < names.index("shop.svc.spliced.test"), names
    # Both kinds of address belong to one name: no further one was asked for the other kind.
    assert names[-2:] == ["shop.svc.spliced.test"] * 2, names


@case(timeout=90)
def test_name_server_over_ipv6(env):
    """An IPv6 server, and one that is there but says nothing before it."""
    (a,) = addresses(1)
    env.backend(serve_name("a"), f"{a}:{port()}")
    dns = NameServer({NAME: [a]}, address=("::1", 0))
    deaf = NameServer({})
    deaf.silent = True
    for sock in (dns.socket, dns.listener, deaf.socket, deaf.listener):
        env.keep(sock)
    daemon = env.spliced(f"{NAME}:{port()}",
                         spliced={"nameserver": f"{deaf.address}, {dns.address}"})
    assert ask(daemon) == "a"
    assert dns.count(NAME) and deaf.count(NAME)
