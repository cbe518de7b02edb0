# SPDX-License-Identifier: GPL-2.0-or-later
"""What an operator has done to servers and sessions: drain, maint, ready, weight, kill."""

import contextlib
import os
import signal
import threading

from lib import case, connect, process, read_all, read_exactly, wait_until
from lib.http import Client, Origin, reply
from lib.reloads import reload, text_of
from lib.tcp import must_reset
from lib.wait import stays

COPY = ("copy",)    # the engines have nothing to do with it


def order(env, daemon, *words):
    """(exit status, what was printed) of a command in words."""
    done = process.run(env.binary("splicectl"), "-s", daemon.control_path, *words, check=False)
    return done.returncode, done.stdout + done.stderr


def who(daemon):
    """Which server a new session gets."""
    with connect(daemon.address()) as client:
        client.sendall(b"?")
        return client.recv(1).decode()


def serve_letter(letter):
    """Answers each byte with the letter."""
    def serve(sock):
        while sock.recv(1):
            sock.sendall(letter)
    return serve


def pair(env, **config):
    servers = [f"{name} {env.backend(serve_letter(name.encode())).address}" for name in "ab"]
    return env.spliced(servers, **config)


@case()
def test_drain(env):
    """No new sessions; those that are there go on. And back."""
    daemon = pair(env)
    with contextlib.ExitStack() as stack:
        clients = {}
        while len(clients) < 2:
            client = stack.enter_context(connect(daemon.address()))
            client.sendall(b"?")
            clients[client.recv(1)] = client
        assert order(env, daemon, "drain", "main/a") == (0, "main/a: drain, weight 1\n")
        assert daemon.server("a")["state"] == "drain" and daemon.server("b")["state"] == "up"
        assert [who(daemon) for _ in range(6)] == ["b"] * 6
        clients[b"a"].sendall(b"?")
        assert clients[b"a"].recv(1) == b"a"
        assert any("server main/a: drain, as an operator wants" in line for line in daemon.log())
        assert daemon.control("enable", "main/a") == {"server": "main/a", "mode": "ready", "weight": 1}
        assert sorted({who(daemon) for _ in range(6)}) == ["a", "b"]
        assert order(env, daemon, "ready", "main/a") == (0, "main/a: ready, weight 1\n")


@case(engines=COPY)
def test_long_names(env):
    """As long as names may be: what is asked arrives whole."""
    pool, server = "p" * 63, "s" * 63
    backend = env.backend(serve_letter(b"x"))
    daemon = env.spliced(backend.address, listener={"pool": pool},
                         more={f"pool {pool}": {"server": f"{server} {backend.address}"}})
    assert order(env, daemon, "drain", f"{pool}/{server}") == \
        (0, f"{pool}/{server}: drain, weight 1\n")
    assert order(env, daemon, "weight", f"{pool}/{server}", "7") == \
        (0, f"{pool}/{server}: drain, weight 7\n")


@case(engines=COPY)
def test_drain_all(env):
    """Nobody is left: clients are told so, as by a pool without a server."""
    daemon = pair(env, pool={"retries": 0})
    for name in ("a", "b"):
        assert order(env, daemon, "maint", f"main/{name}")[0] == 0
    # Even connect() may see it: the refusal is quick.
    with contextlib.suppress(ConnectionResetError), connect(daemon.address()) as client:
        assert read_all(client) == b""
    assert daemon.wait_access()[0]["end"] == "no_server"


@case(engines=COPY)
def test_drain_loses_no_request(env):
    """Under load each server is drained and made ready, again and again."""
    servers = [env.backend(serve_letter(b"x")) for _ in range(2)]
    daemon = env.spliced([f"s{i} {s.address}" for i, s in enumerate(servers)])
    failures, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                with connect(daemon.address()) as client:
                    for _ in range(5):
                        client.sendall(b"?")
                        assert client.recv(1) == b"x"
            except (OSError, AssertionError) as error:
                failures.append(error)
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for i in range(20):
            daemon.control("drain", f"main/s{i % 2}")
            wait_until(lambda: daemon.server(f"s{i % 2}")["sessions_active"] == 0, 20, "its sessions end")
            daemon.control("ready", f"main/s{i % 2}")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[:3]
    assert all(server["sessions_total"] > 0 for pool in daemon.control("pools") for server in pool["servers"])


def checked(env):
    """(The origin that is the server a, the daemon that checks it all the time, what that has asked.)"""
    asked = []
    origin = Origin(env, answer=lambda request: asked.append(request.target) or reply(b"a"))
    daemon = env.spliced(f"a {origin.address}", listener={"protocol": "http"},
                         pool={"health_check": "http", "health_path": "/health",
                               "health_interval": "20ms"})
    return origin, daemon, asked


@case(engines=COPY)
def test_maint_is_not_checked(env):
    """And what was known of it is old when it is back."""
    origin, daemon, asked = checked(env)
    wait_until(lambda: daemon.server("a")["state"] == "up" and len(asked) > 3, 10, "it is checked")
    daemon.control("maint", "main/a")
    wait_until(lambda: origin.opened() == 0, 10, "the last check is over")
    before = len(asked)
    # One may have been on its way, and not yet begun for the origin.
    stays(lambda: len(asked) <= before + 1 and daemon.server("a")["state"] == "maint", 0.5,
          lambda: f"{len(asked) - before} more checks")
    before = len(asked)
    daemon.control("ready", "main/a")
    wait_until(lambda: daemon.server("a")["state"] == "up" and len(asked) > before, 10,
               "it is up when it was checked again")


@case(engines=COPY)
def test_kept_connections_of_a_drained_server(env):
    """Requests that come go to others; connections that are kept to it are closed."""
    def serve(name):
        def talk(connection):
            while connection.request():
                connection.send(reply(name))
        return talk
    origins = [Origin(env, serve=serve(name), name=name.decode()) for name in (b"a", b"b")]
    daemon = env.spliced([f"{o.name} {o.address}" for o in origins], listener={"protocol": "http"})
    with Client(daemon.address()) as client:
        assert {bytes(client.ask().body) for _ in range(4)} == {b"a", b"b"}
        daemon.control("drain", "main/a")
        assert [client.ask().body for _ in range(4)] == [b"b"] * 4
        wait_until(lambda: origins[0].opened() == 0, 10, "the connections to it are closed")


@case(engines=COPY)
def test_weight(env):
    daemon = pair(env)
    assert order(env, daemon, "weight", "main/a", "3") == (0, "main/a: ready, weight 3\n")
    assert daemon.server("a")["weight"] == 3
    assert [who(daemon) for _ in range(40)].count("a") == 30
    assert any("server main/a: weight 3, as an operator wants; it was 1" in line
               for line in daemon.log())


@case()
def test_kill(env):
    """One session of several, wherever it is; both of its peers see a reset."""
    ends = []

    def serve(sock):
        try:
            while data := sock.recv(100):
                sock.sendall(data)
            ends.append("eof")
        except ConnectionResetError:
            ends.append("reset")
    daemon = env.spliced(env.backend(serve).address)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(daemon.address())) for _ in range(5)]
        for client in clients:
            client.sendall(b"hello")
            assert read_exactly(client, 5) == b"hello"
        daemon.wait_sessions(5)
        port = clients[3].getsockname()[1]
        number = next(s["id"] for s in daemon.sessions() if s["client"].endswith(f":{port}"))
        assert order(env, daemon, "kill", number) == (0, f"session {number}: ended\n")
        with must_reset():
            read_all(clients[3])
        wait_until(lambda: ends == ["reset"], 10, lambda: f"its server sees a reset: {ends}")
        line = daemon.wait_access()[0]
        assert (line["end"], line["bytes_up"], line["bytes_down"]) == ("killed", "5", "5"), line
        assert daemon.stats()["ends"]["killed"] == 1
        assert number not in [s["id"] for s in daemon.sessions()]
        for client in clients[:3] + clients[4:]:
            client.sendall(b"still")
            assert read_exactly(client, 5) == b"still"
        status, text = order(env, daemon, "kill", number)
        assert status == 1 and f"there is no session {number}" in text, text


@case(engines=COPY)
def test_what_is_wrong(env):
    daemon = pair(env)
    for words, status, message in (
            (("drain",), 2, "what is missing: POOL/SERVER"),
            (("drain", "main/a", "b"), 2, "too many arguments: b"),
            (("drain", "a"), 1, "\"a\" is not of the form POOL/SERVER"),
            (("drain", "other/a"), 1, "there is no pool \"other\""),
            (("ready", "main/c"), 1, "pool main has no server \"c\""),
            (("maint", "main/a b"), 2, "not an argument: main/a b"),
            (("weight", "main/a"), 2, "what is missing: N"),
            (("weight", "main/a", "0"), 1, "weight: \"0\" is not 1 to 256"),
            (("weight", "main/a", "+1"), 1, "weight: \"+1\" is not 1 to 256"),
            (("weight", "main/a", "257"), 1, "weight: \"257\" is not 1 to 256"),
            (("kill",), 2, "what is missing: SESSION"),
            (("kill", "x"), 1, "kill: which session?"),
            (("kill", "99999"), 1, "there is no session 99999")):
        got, text = order(env, daemon, *words)
        assert got == status and message in text, (words, got, text)
    assert all(server["state"] == "up" and server["weight"] == 1
               for pool in daemon.control("pools") for server in pool["servers"])


@case(engines=COPY)
def test_reload_keeps_it(env):
    """What an operator said of a server counts until the daemon ends."""
    daemon = pair(env)
    daemon.control("drain", "main/a")
    daemon.control("weight", "main/b", "7")
    assert daemon.control("reload")["reloaded"]
    assert (daemon.server("a")["state"], daemon.server("b")["weight"]) == ("drain", 7)
    assert who(daemon) == "b"
    daemon.control("ready", "main/a")
    assert "a" in [who(daemon) for _ in range(20)]


# -- another worker process

class Generations:
    """A daemon of several servers, and the worker processes that follow each other."""

    def __init__(self, env, names, **config):
        self.env = env
        self.addresses = {name: env.backend(serve_letter(name.encode())).address for name in names}
        self.daemon = env.spliced([f"{name} {at}" for name, at in self.addresses.items()],
                                  pool={"balance": "round_robin"}, **config)
        self.number = 1

    def _wait_next(self):
        self.number += 1

        def serves():
            status = self.daemon.control("status", check=False)
            return status and status["generation"] == self.number
        wait_until(serves, 20, f"generation {self.number} serves")

    def die(self):
        os.kill(self.daemon.status()["worker_pid"], signal.SIGKILL)
        self._wait_next()

    def upgrade(self):
        code, text = order(self.env, self.daemon, "upgrade")
        assert code == 0, text
        self._wait_next()

    def reload(self, before, after):
        text = text_of(self.daemon)
        assert before in text, text
        reload(self.daemon, text.replace(before, after))

    def states(self):
        """Of each server its state and weight."""
        return {server["name"]: (server["state"], server["weight"])
                for pool in self.daemon.control("pools") for server in pool["servers"]}

    def served(self, n):
        """How many of n new sessions each server has."""
        got = [who(self.daemon) for _ in range(n)]
        return {name: got.count(name) for name in sorted(set(got))}


@case()
def test_another_worker_knows_what_operators_want(env):
    """Whether the one before has died or made way."""
    all_of = Generations(env, "abcd")
    daemon = all_of.daemon
    for words in ("drain main/a", "maint main/b", "weight main/c 3", "drain main/d", "weight main/d 9",
                  "ready main/d", "weight main/d 1"):
        daemon.control(*words.split())
    want = {"a": ("drain", 1), "b": ("maint", 1), "c": ("up", 3), "d": ("up", 1)}
    assert all_of.states() == want
    for another in (all_of.upgrade, all_of.die):
        another()
        assert all_of.states() == want, another
        assert all_of.served(8) == {"c": 6, "d": 2}
    # Back to what is in the file.
    for words in ("ready main/a", "enable main/b", "weight main/c 1"):
        daemon.control(*words.split())
    all_of.die()
    assert all_of.states() == {name: ("up", 1) for name in "abcd"}
    assert all_of.served(8) == {name: 2 for name in "abcd"}


@case(engines=COPY)
def test_another_worker_forgets_servers_that_are_not_the_same(env):
    all_of = Generations(env, "abcd")
    daemon, at = all_of.daemon, all_of.addresses
    for name in "abcd":
        daemon.control("drain", f"main/{name}")
        daemon.control("weight", f"main/{name}", "7")
    # One goes, and comes again; one has another address; one another weight.
    all_of.reload(f"server = a {at['a']}\n", "")
    all_of.die()
    assert all_of.states() == {name: ("drain", 7) for name in "bcd"}
    other = env.backend(serve_letter(b"b")).address
    all_of.reload(f"server = b {at['b']}\n", f"server = a {at['a']}\nserver = b {other}\n")
    all_of.reload(f"c {at['c']}", f"c {at['c']} weight=2")
    want = {"a": ("up", 1), "b": ("up", 1), "c": ("drain", 2), "d": ("drain", 7)}
    assert all_of.states() == want
    all_of.die()
    assert all_of.states() == want
    # The same in a file that only the next worker has read.
    daemon.control("drain", "main/a")
    text = text_of(daemon).replace(f"a {at['a']}", f"z {at['a']}")
    daemon.write_config(text.replace(f"d {at['d']}", f"d {at['d']} weight=5"))
    all_of.upgrade()
    assert all_of.states() == {"z": ("up", 1), "b": ("up", 1), "c": ("drain", 2), "d": ("drain", 5)}
    assert set(all_of.served(4)) == {"a", "b"}


@case(engines=COPY)
def test_another_worker_does_not_check_what_is_in_maint(env):
    origin, daemon, asked = checked(env)
    daemon.control("maint", "main/a")
    wait_until(lambda: origin.opened() == 0, 10, "the last check is over")
    assert order(env, daemon, "upgrade")[0] == 0
    wait_until(lambda: daemon.control("status")["generation"] == 2, 10, "the next one serves")
    before = len(asked)     # and what was on its way has come, too
    stays(lambda: len(asked) == before and daemon.server("a")["state"] == "maint", 0.3,
          lambda: f"{len(asked) - before} checks")
    daemon.control("ready", "main/a")
    wait_until(lambda: len(asked) > before, 10, "it is checked again")
