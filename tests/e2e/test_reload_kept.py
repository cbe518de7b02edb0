# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of HTTP that stay connected while the file is read again: what becomes of them."""

import threading
import time

from lib import case, wait_until
from lib.http import (Client, Origin, ends, is_last, proxy, reply, request, request_log,
                      send_halves)
from lib.proxyheader import LOCAL, UNSPEC, v2, v2_raw
from lib.reloads import reload, setups, text_of
from lib.tcp import free_port

COPY = ("copy",)    # the engines have nothing to do with it


def named(env, *names):
    return [Origin(env, name=name) for name in names]


def other_pool(daemon, server, name="second"):
    """The file, with that pool for the one that it had."""
    return text_of(daemon).replace("pool = main", f"pool = {name}") + \
        f"\n[pool {name}]\nserver = s {server.address}\n"


def wait_setups(daemon, number=1):
    wait_until(lambda: setups(daemon) == number, 10, lambda: f"{setups(daemon)} setups")


# -- who goes on

def test_next_request_goes_by_the_new_file(env):
    old, new = named(env, "old", "new")
    daemon = proxy(env, old.address)
    with Client(daemon.address()) as client:
        assert client.ask().body == b"old"
        reload(daemon, other_pool(daemon, new))
        for _ in range(3):
            answer = client.ask()
            assert answer.body == b"new" and not is_last(answer), answer.fields
        assert client.is_open()
    wait_until(lambda: len(request_log(daemon)) == 4, 5, "its log")
    assert [line["pool"] for line in request_log(daemon)] == ["main", "second", "second", "second"]
    assert daemon.status()["listeners"][0]["sessions_total"] == 1


def test_a_hundred_requests_over_many_reloads(env):
    """One connection, and a client that knows of nothing."""
    a, b = named(env, "a", "b")
    daemon = proxy(env, a.address)
    first, second = text_of(daemon), other_pool(daemon, b)
    over = threading.Event()
    problems, got = [], []

    def ask():
        with Client(daemon.address()) as client:
            for i in range(10000):
                last = over.is_set()    # what begins now is the newest file's
                answer = client.ask(target=f"/{i}")
                if answer.status != 200 or is_last(answer):
                    problems.append(answer.start)
                got.append(bytes(answer.body))
                if len(got) >= 100 and last:
                    return
                time.sleep(0.001)

    def run():
        try:
            ask()
        except (OSError, AssertionError) as error:
            problems.append(repr(error))

    thread = threading.Thread(target=run)
    thread.start()
    for i in range(20):
        reload(daemon, (second, first)[i % 2])
    over.set()
    thread.join(30)
    assert not thread.is_alive() and not problems, problems
    assert {b"a", b"b"} == set(got)
    assert got[-1] == b"a" and daemon.status()["listeners"][0]["sessions_total"] == 1
    wait_setups(daemon)


def test_idle_connections_keep_no_setup(env):
    """Those that say nothing are brought over all the same, and so is what they would need."""
    old, new = named(env, "old", "new")
    daemon = proxy(env, old.address)
    clients, address = [], daemon.address()
    for _ in range(env.pick(300, 40)):
        clients.append(Client(address))
        env.keep(clients[-1].sock)
        assert clients[-1].ask().body == b"old"
    texts = other_pool(daemon, new, "even"), other_pool(daemon, new, "odd")
    for i in range(5):
        reload(daemon, texts[i % 2])
        wait_setups(daemon)
    for client in clients:
        assert client.ask().body == b"new" and client.is_open()
    assert daemon.status()["listeners"][0]["sessions_active"] == len(clients)


def test_before_its_first_request(env):
    old, new = named(env, "old", "new")
    daemon = proxy(env, old.address)
    with Client(daemon.address()) as client:
        daemon.wait_sessions(1)
        reload(daemon, other_pool(daemon, new))
        assert client.ask().body == b"new"
        wait_setups(daemon)


def test_a_request_on_its_way_ends_where_it_began(env):
    """Its head has come in part, or its server has not answered yet; what is behind it is new."""
    go_on = threading.Event()

    def slow(asked):
        if asked.target == "/wait":
            go_on.wait(20)
        return reply(b"old")

    old, new = Origin(env, slow), *named(env, "new")
    daemon = proxy(env, old.address)
    with Client(daemon.address()) as client, Client(daemon.address()) as half:
        client.send(request(target="/wait"), request(target="/behind"))
        half.send(b"GET / HTTP/1.1\r\nHo")
        wait_until(lambda: [head.target for head in old.heads] == ["/wait"], 10, "it came")
        wait_until(lambda: daemon.stats()["sessions_sniffing"] == 1, 10, "half a head came")
        reload(daemon, other_pool(daemon, new))
        assert setups(daemon) == 2
        go_on.set()
        assert client.response().body == b"old"
        assert client.response().body == b"new"
        half.send(b"st: www.test\r\n\r\n")
        assert half.response().body == b"old"
        wait_setups(daemon)
        assert half.ask().body == b"new"
        assert client.is_open() and half.is_open()
    assert old.targets() == ["/wait", "/"]


@case(engines=COPY)
def test_a_body_over_a_reload(env):
    """100 requests with bodies, each begun before a reload and ended after it."""
    size = 200_000
    old, new = (Origin(env, lambda asked, name=name: reply(name + asked.body)) for name in
                (b"old", b"new"))
    daemon = proxy(env, old.address)
    texts = text_of(daemon), other_pool(daemon, new)
    with Client(daemon.address()) as client:
        for i in range(10):
            body = bytes([i]) * size
            client.send(request("POST", f"/{i}", f"Content-Length: {size}"), body[:size // 2])
            origin = (old, new)[i % 2]
            wait_until(lambda o=origin, n=i: o.heads and o.heads[-1].target == f"/{n}", 10,
                       "the head came")
            reload(daemon, texts[(i + 1) % 2])
            client.send(body[size // 2:])
            answer = client.response()
            assert answer.body == (b"old", b"new")[i % 2] + body and not is_last(answer)


def test_tunnels_stay(env):
    """What has become a tunnel is no request: it goes on under its setup."""
    def upgrade(connection):
        connection.head()
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                        b"Upgrade: echo\r\n\r\n")
        while data := connection.sock.recv(4096):
            connection.send(data)

    old, new = Origin(env, serve=upgrade), *named(env, "new")
    daemon = proxy(env, old.address)
    with Client(daemon.address()) as client:
        client.send(request("GET", "/", "Connection: Upgrade", "Upgrade: echo"))
        assert client.head().status == 101
        reload(daemon, other_pool(daemon, new))
        for i in range(10):
            client.send(b"%d" % i * 100)
            assert client.reader.exactly(100) == b"%d" % i * 100
        assert setups(daemon) == 2
    wait_setups(daemon)


# -- who does not

@case(engines=COPY)
def test_a_listener_that_is_removed(env):
    """Its clients get one more answer, which says that it is the last."""
    go_on = threading.Event()

    def slow(asked):
        if asked.target == "/wait":
            go_on.wait(20)
        return reply(b"old")

    origin = Origin(env, slow)
    daemon = proxy(env, origin.address)
    text = text_of(daemon)
    more = text + "\n[listener more]\nbind = 127.0.0.1:0\nprotocol = http\npool = main\n"
    reload(daemon, more)
    address = daemon.address("more")
    with Client(address) as idle, Client(address) as busy, Client(address) as gone, \
            Client(daemon.address()) as other:
        for client in (idle, busy, gone, other):
            assert client.ask().body == b"old"
        busy.send(request(target="/wait"))
        wait_until(lambda: origin.heads[-1].target == "/wait", 10, "it came")
        reload(daemon, text)
        go_on.set()
        for answer in (busy.response(), idle.ask()):
            assert answer.body == b"old" and is_last(answer), answer.fields
        assert ends(busy) and ends(idle)
        gone.close()
        assert not is_last(other.ask()) and other.is_open()
        wait_setups(daemon)


@case(engines=COPY)
def test_a_request_that_is_repeated_is_still_the_last(env):
    """The listener goes while a kept connection to the server has the request, which the server then
    ends unanswered."""
    go_on = threading.Event()

    def serve(connection):
        while asked := connection.request():
            if asked.target == "/wait" and connection.number == 0:
                assert go_on.wait(20)
                return
            connection.send(reply(b"old"))

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address, spliced={"workers": 1})
    text = text_of(daemon)
    reload(daemon, text + "\n[listener more]\nbind = 127.0.0.1:0\nprotocol = http\npool = main\n")
    with Client(daemon.address("more")) as client:
        assert client.ask().body == b"old"
        client.send(request(target="/wait"))
        wait_until(lambda: origin.heads[-1].target == "/wait", 10, "it came")
        reload(daemon, text)
        go_on.set()
        answer = client.response()
        assert answer.body == b"old" and is_last(answer), answer.fields
        assert ends(client)
    assert [asked.target for asked in origin.check()] == ["/", "/wait", "/wait"]
    wait_setups(daemon)


@case(engines=COPY)
def test_a_response_that_did_not_say_so_is_not_the_last(env):
    """Its head is out when the listener goes: the next one says it."""
    go_on = threading.Event()

    def serve(connection):
        while asked := connection.request():
            if asked.target == "/slow":
                send_halves(connection, go_on)
            else:
                connection.send(reply(b"next"))

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address)
    text = text_of(daemon)
    with Client(daemon.address()) as client:
        client.send(request(target="/slow"))
        head = client.head()
        assert not is_last(head) and client.reader.exactly(4) == b"half"
        reload(daemon, text.replace("[listener web]", "[listener renamed]").replace(
            "bind = 127.0.0.1:0", "bind = 127.0.0.2:0"))
        go_on.set()
        assert client.reader.exactly(4) == b"rest"
        answer = client.ask()
        assert answer.body == b"next" and is_last(answer) and ends(client)
    wait_setups(daemon)


@case(engines=COPY)
def test_another_address_or_protocol(env):
    """A listener of that name that is not for this client any more."""
    address, holder = free_port()
    holder.close()
    origin, *_ = named(env, "old")
    daemon = proxy(env, origin.address, {"bind": address})
    text = text_of(daemon)
    for change in ((f"bind = {address}", "bind = 127.0.0.1:0"),
                   ("protocol = http", "protocol = tcp"),
                   ("protocol = http", "protocol = http\naccept_proxy = v2")):
        with Client(address) as client:
            assert not is_last(client.ask())
            reload(daemon, text.replace(*change))
            assert is_last(client.ask()) and ends(client), change
        reload(daemon, text)
        wait_setups(daemon)
    # More addresses are no reason.
    with Client(address) as client:
        reload(daemon, text.replace(f"bind = {address}", f"bind = 127.0.0.1:0, {address}"))
        assert not is_last(client.ask())


@case(engines=COPY)
def test_denied_since(env):
    origin, *_ = named(env, "old")
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        client.ask()
        reload(daemon, text_of(daemon).replace("[listener web]",
                                               "[listener web]\ndeny = 127.0.0.0/8"))
        answer = client.ask()
        assert answer.status == 403 and is_last(answer) and ends(client)
    assert daemon.stats()["denied"] == 1
    wait_setups(daemon)


@case(engines=COPY)
def test_denied_by_mistake(env):
    """Who asks nothing until the file is right again was never turned away."""
    origin, *_ = named(env, "old")
    daemon = proxy(env, origin.address)
    text = text_of(daemon)
    with Client(daemon.address()) as client:
        client.ask()
        reload(daemon, text.replace("[listener web]", "[listener web]\ndeny = 127.0.0.0/8"))
        reload(daemon, text)
        answer = client.ask()
        assert answer.status == 200 and not is_last(answer), answer.fields
    assert daemon.stats()["denied"] == 0
    wait_setups(daemon)


@case(engines=COPY)
def test_denied_as_announced(env):
    """Of a connection that came by a proxy the client that it announced counts; a proxy that speaks
    for itself is asked nothing."""
    origin, *_ = named(env, "old")
    daemon = proxy(env, origin.address, {"accept_proxy": "v2"})
    with Client(daemon.address()) as told, Client(daemon.address()) as other, \
            Client(daemon.address()) as itself:
        told.send(v2(("192.0.2.1", 1), ("192.0.2.9", 2)))
        other.send(v2(("198.51.100.1", 1), ("192.0.2.9", 2)))
        itself.send(v2_raw(LOCAL, UNSPEC, b""))
        for client in (told, other, itself):
            assert client.ask().status == 200
        reload(daemon, text_of(daemon).replace(
            "[listener web]", "[listener web]\ndeny = 192.0.2.0/24, 127.0.0.0/8"))
        assert told.ask().status == 403
        assert other.ask().status == 200 and itself.ask().status == 200


@case(engines=COPY)
def test_times_and_limits(env):
    """Those of the new file count from the next request on."""
    origin, *_ = named(env, "old")
    daemon = proxy(env, origin.address, {"keepalive_timeout": "1h"})
    text = text_of(daemon)
    with Client(daemon.address()) as client:
        client.ask()
        reload(daemon, text.replace("keepalive_timeout = 1h",
                                    "keepalive_timeout = 200ms\nhead_max = 1024"))
        assert client.ask().status == 200
        assert ends(client)
    with Client(daemon.address()) as client:
        client.ask()
        assert client.ask("GET", "/", "X-Long: " + "x" * 2000).status == 431


# -- servers' connections

@case(engines=COPY)
def test_connections_to_a_server_that_is_removed(env):
    """A client's own, and those for everybody: closed, and no server's record is used after it."""
    old, new = named(env, "old", "new")
    daemon = proxy(env, old.address, pool={"reuse": "never"})
    with Client(daemon.address()) as client:
        assert client.ask().body == b"old"
        wait_until(lambda: old.opened() == 1, 5, "it is kept")
        reload(daemon, text_of(daemon).replace(f"server = a {old.address}",
                                               f"server = b {new.address}"))
        wait_until(lambda: old.opened() == 0, 5, "it is closed")
        wait_setups(daemon)
        assert client.ask().body == b"new" and client.is_open()
