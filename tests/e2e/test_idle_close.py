# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of HTTP that keep their connections while the daemon makes way for another one, or ends: what
is on its way is answered, and each learns in time that its connection is over."""

import contextlib
import functools
import json
import os
import random
import signal
import subprocess
import threading
import time

from lib import case, process, programs, wait_until
from lib.http import Client, Origin, ends, is_last, proxy, reply, request, send_halves
from lib.lasting import Repeated, Wrk
from lib.wait import stays

COPY = ("copy",)    # the engines have nothing to do with it
LONG = {"shutdown_grace": "90s"}


def told_by_target(env):
    """A server that answers with what it was asked for."""
    return Origin(env, lambda asked: reply(asked.target.encode() + asked.body))


def upgrade(daemon):
    """The old worker, which drains."""
    status = daemon.status()
    assert daemon.control("upgrade", timeout=60)["upgraded"] is True
    wait_until(lambda: (daemon.control("status", check=False) or {}).get("generation")
               == status["generation"] + 1, 20, "the new worker serves")
    return status["worker_pid"]


def wait_gone(pid):
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 10, "the old worker has ended")


def idle_clients(env, daemon, number=1):
    """Connections that have had an answer."""
    clients = [env.keep(Client(daemon.address())) for _ in range(number)]
    for client in clients:
        answer = client.ask(target="/first")
        assert answer.body == b"/first" and not is_last(answer)
    return clients


def check_last(client, *arguments, **options):
    """One more request is answered; that was the last."""
    answer = client.ask(*arguments, **options)
    assert answer.status == 200 and is_last(answer), answer.raw
    assert ends(client)
    return bytes(answer.body)


# ---- an upgrade ----------------------------------------------------------------------------------

def test_an_upgrade(env):
    """Whoever is there gets the answer to one more request, by the old worker, and is told that it is the
    last: one that is idle, one that has yet to send its first request, and one whose response had
    begun."""
    go_on = threading.Event()

    def serve(connection):
        while asked := connection.request():
            if asked.target == "/slow":
                send_halves(connection, go_on)
            else:
                if asked.target == "/wait":
                    assert go_on.wait(20)
                connection.send(reply(asked.target.encode() + asked.body))

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address, {"sniff_timeout": "60s"}, spliced=LONG)
    idle, large = idle_clients(env, daemon, 2)
    old, half, waiting, silent = (env.keep(Client(daemon.address())) for _ in range(4))
    answer = old.ask("GET", "/old", "Connection: keep-alive", version="1.0")
    assert answer.get("Connection") == "keep-alive"
    half.send(request(target="/slow"))
    assert not is_last(half.head()) and half.reader.exactly(4) == b"half"
    waiting.send(request(target="/wait"))
    wait_until(lambda: "/wait" in [asked.target for asked in origin.heads], 10, "it is waited for")
    pid = upgrade(daemon)
    go_on.set()
    assert half.reader.exactly(4) == b"rest"
    answer = waiting.response()
    assert answer.body == b"/wait" and is_last(answer) and ends(waiting)
    assert all(client.is_open() for client in (idle, large, old, half, silent))
    assert check_last(idle, "GET", "/next") == b"/next"
    body = random.Random(1).randbytes(3 << 20)
    assert check_last(large, "POST", "/large", body=body) == b"/large" + body
    assert check_last(old, "GET", "/old", "Connection: keep-alive", version="1.0") == b"/old"
    assert check_last(half, target="/half") == b"/half"
    assert check_last(silent, target="/silent") == b"/silent"
    wait_gone(pid)
    assert daemon.stats()["http_requests"] == 0     # the new worker's
    with Client(daemon.address()) as client:
        assert not is_last(client.ask())


@case(engines=COPY)
def test_an_upgrade_and_clients_that_say_nothing(env):
    """They are closed when they would have been, or when shutdown_grace is over: without a reset."""
    origin = told_by_target(env)
    for listener, spliced in (({"keepalive_timeout": "500ms"}, LONG), ({}, {"shutdown_grace": "500ms"}),
                              ({"idle_close": "now"}, LONG)):
        daemon = proxy(env, origin.address, listener, spliced=spliced)
        (client,) = idle_clients(env, daemon)
        pid = upgrade(daemon)
        assert ends(client)
        wait_gone(pid)
        daemon.stop()


@case(engines=COPY)
def test_an_end_after_an_upgrade(env):
    """The old worker waits for its clients no longer than the new one does."""
    for delay in "0s", "300ms":
        daemon = proxy(env, told_by_target(env).address, spliced={**LONG, "drain_delay": delay})
        (before,) = idle_clients(env, daemon)
        upgrade(daemon)
        (after,) = idle_clients(env, daemon)
        assert before.is_open()
        daemon.stop(seconds=5)
        assert ends(before) and ends(after)


@case(engines=COPY)
def test_an_end_within_a_handover(env):
    """The old worker hears of both at once, and is still one that makes way, if there is a
    drain_delay: that is for its clients, too. Else nobody comes for whom it would, and it drains."""
    for delay in "0s", "60s":
        daemon = proxy(env, told_by_target(env).address, spliced={**LONG, "drain_delay": delay})
        (client,) = idle_clients(env, daemon)
        old = daemon.worker_pid
        process.stop(old)
        daemon.signal(signal.SIGUSR2)
        wait_until(lambda d=daemon: sum(" ready: " in line for line in d.log()) == 2, 20,
                   "another is ready")
        daemon.signal(signal.SIGTERM)
        if delay == "60s":
            wait_until(lambda d=daemon: any("not waiting for it" in line for line in d.log()), 20,
                       "it is not waited for")
        else:
            wait_until(lambda d=daemon, o=old: d.worker_pids() == [o], 20, "the other one is gone")
        os.kill(old, signal.SIGCONT)
        if delay == "60s":
            stays(client.is_open, 0.5, "it is waited for")
            assert check_last(client, target="/next") == b"/next"
            daemon.signal(signal.SIGTERM)
        else:
            assert ends(client)
        assert daemon.wait_exit(10) == 0


# ---- the end -------------------------------------------------------------------------------------

def test_an_end(env):
    """Who is idle is not waited for; who has asked, or asks while the signal is on its way, gets an
    answer."""
    daemon = proxy(env, told_by_target(env).address, spliced=LONG)
    crossing = idle_clients(env, daemon, 20)
    idle = idle_clients(env, daemon, 20)
    pid = daemon.worker_pid
    process.stop(pid)
    daemon.signal(signal.SIGTERM)
    for number, client in enumerate(crossing):
        client.send(request("POST", f"/{number}", body=b"order"))
    os.kill(pid, signal.SIGCONT)
    for number, client in enumerate(crossing):
        assert client.response().body == f"/{number}order".encode()
        assert ends(client)
    for client in idle:
        assert ends(client)
    assert daemon.wait_exit(5) == 0


@case(engines=COPY)
def test_an_end_that_waits_for_requests(env):
    """idle_close = response: for as long as keepalive_timeout and shutdown_grace let it."""
    origin = told_by_target(env)
    daemon = proxy(env, origin.address, {"idle_close": "response"}, spliced=LONG)
    (client,) = idle_clients(env, daemon)
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: daemon.status()["draining"], 5, "draining")
    stays(lambda: daemon.running and client.is_open(), 0.3, "it waits for the client")
    assert check_last(client, target="/next") == b"/next"
    assert daemon.wait_exit(5) == 0
    for more, spliced in (({"keepalive_timeout": "500ms"}, LONG), ({}, {"shutdown_grace": "500ms"})):
        daemon = proxy(env, origin.address, {"idle_close": "response", **more}, spliced=spliced)
        (client,) = idle_clients(env, daemon)
        daemon.signal(signal.SIGTERM)
        assert ends(client)
        assert daemon.wait_exit(5) == 0


@case(engines=COPY)
def test_before_an_end(env):
    """Within drain_delay all are served, and each is told that its connection is over."""
    daemon = proxy(env, told_by_target(env).address, spliced={**LONG, "drain_delay": "60s"})
    first, second = idle_clients(env, daemon, 2)
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: daemon.status()["drain_in_ms"], 5, "it is going to drain")
    assert check_last(first, target="/next") == b"/next"
    with Client(daemon.address()) as client:
        assert check_last(client, target="/new") == b"/new"
    assert second.is_open()
    daemon.stop(seconds=5)
    assert ends(second)


# ---- programs ------------------------------------------------------------------------------------

# Posts what it has never sent before, on kept connections, and wants it back. An error is an error: it
# sends nothing again.
NODE = """
const http = require("http"), crypto = require("crypto");
const [host, port, number] = process.argv.slice(2);
const agent = new http.Agent({keepAlive: true, maxSockets: +number});
let over = false, done = 0, left = +number;
const errors = [];
function next() {
    if (!over) return void setTimeout(post, Math.random() * 20);
    if (--left == 0) {
        console.log(JSON.stringify({done, errors}));
        process.exit(0);
    }
}
function post() {
    const body = crypto.randomBytes(1 + Math.random() * 5000), got = [];
    const asked = http.request({host, port, agent, method: "POST", path: "/",
                                headers: {"Content-Length": body.length}}, answer => {
        answer.on("data", piece => got.push(piece)).on("end", () => {
            if (answer.statusCode == 200 && Buffer.concat(got).equals(body)) done++;
            else errors.push("status " + answer.statusCode);
            next();
        });
    });
    asked.on("error", error => { errors.push(error.message); next(); });
    asked.end(body);
}
process.stdin.on("end", () => { over = true; }).resume();
for (let i = 0; i < +number; i++) next();
"""


class NodeClient:
    """Node, until it is told to stop."""

    def __init__(self, env, address, number):
        path = env.tmp / "client.js"
        path.write_text(NODE, encoding="utf-8")
        self.process = subprocess.Popen([programs.find("node"), path, *programs.split(address),
                                         str(number)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def check(self):
        """How many requests it made."""
        said = json.loads(self.process.communicate(timeout=programs.scaled(30))[0])
        assert not said["errors"] and said["done"], said
        return said["done"]

    def close(self):
        self.process.kill()
        self.process.wait()


class Kept:
    """Clients that ask again and again on the connections that they have, now and then after a pause, and
    connect anew only when they were told to."""

    def __init__(self, address, number):
        self.address, self.over = address, threading.Event()
        self.asked, self.connections = 0, 0
        self.loops = [Repeated(functools.partial(self._one, random.Random(seed), seed))
                      for seed in range(number)]

    def _one(self, rng, seed):
        self.connections += 1
        with Client(self.address) as client:
            while not self.over.is_set():
                target = f"/{seed}/{rng.random()}"
                answer = client.ask(target=target)
                assert answer.status == 200 and answer.body == target.encode(), answer.raw
                self.asked += 1
                if is_last(answer):
                    assert ends(client)
                    return
                time.sleep(rng.choice((0, 0.001, 0.03)))

    def check(self):
        """How many requests they made."""
        self.over.set()
        for loop in self.loops:
            loop.check()
        assert self.connections > len(self.loops), "nobody was told to connect anew"
        return self.asked

    def close(self):
        self.over.set()


@case(timeout=180)
def test_programs_over_upgrades(env):
    """Nobody who keeps a connection sees an error."""
    def answer(asked):
        return reply(bytes(asked.body) if asked.method == "POST" else asked.target.encode())

    daemon = proxy(env, Origin(env, answer).address,
                   spliced={**LONG, "access_log": "no", "log_level": "warning"})
    number = env.pick(8, 3)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(client)) for client in (
            Wrk(daemon.address(), f"-c{number}"), NodeClient(env, daemon.address(), number),
            Kept(daemon.address(), number))]
        for _ in range(env.pick(3, 1)):
            requests = daemon.stats()["http_requests"]
            wait_until(lambda before=requests: daemon.stats()["http_requests"] > before + 200, 30,
                       "requests")
            upgrade(daemon)
        counted = [client.check() for client in clients]
    env.note(f"requests of wrk, Node and clients: {counted}")
    assert min(counted) > 0 and daemon.status()["worker_deaths"] == 0
