# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon does not run for longer than its timeouts: what its peers did meanwhile is in time."""

import contextlib
import signal
import threading
import time

from lib import case, connect, read_exactly, wait_until
from lib.http import Origin
from lib.reloads import reload, text_of
from lib.tcp import refuses

TIMEOUT = 2
# Far more than epoll reports to one turn.
MANY = 300


def pass_by(since, seconds):
    """Until so long after that moment: of all the time the daemon does not run."""
    wait_until(lambda: time.monotonic() - since > seconds, seconds + 10, "the time is over")


def stall(daemon, meanwhile):
    """Stops the daemon, has something done, and lets it run again when all its times are over."""
    daemon.signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        meanwhile()
        pass_by(began, TIMEOUT + 0.2)
    finally:
        daemon.signal(signal.SIGCONT)


def echo(client):
    client.sendall(b"hello")
    assert read_exactly(client, 5) == b"hello"


def half_a_head(address):
    client = connect(address)
    client.sendall(b"GET / HTTP/1.1\r\n")
    return client


def heads_in_time(daemon, address):
    """One client never says all of its head; the others do after its time and before theirs, so
    that the daemon hears of all of this at once. False: this machine was too busy for that."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(half_a_head(address))
        daemon.wait_sessions(1)
        first = time.monotonic()
        pass_by(first, TIMEOUT / 2)
        began = time.monotonic()
        clients = [stack.enter_context(half_a_head(address)) for _ in range(MANY)]
        daemon.wait_sessions(MANY + 1)
        said = []

        def say_the_rest():
            pass_by(first, TIMEOUT + 0.1)
            for client in clients:
                client.sendall(b"Host: a.test\r\n\r\n")
            said.append(time.monotonic())

        stall(daemon, say_the_rest)
        if said[0] - began > TIMEOUT:
            return False
        for client in clients:
            assert read_exactly(client, 12) == b"HTTP/1.1 200"
    return True


@case(timeout=60)
def test_heads_that_came_in_time(env):
    daemon = env.spliced(Origin(env).address, spliced={"workers": 1},
                         listener={"protocol": "http", "sniff_timeout": f"{TIMEOUT}s",
                                   "head_timeout": f"{TIMEOUT}s"})
    address = daemon.address()
    wait_until(lambda: heads_in_time(daemon, address), 40, "the machine has time")


def test_who_waits_at_an_address_that_goes(env):
    """Clients in the queue of a listener that is removed, for whom there is room at last."""
    daemon = env.spliced(env.backend().address, spliced={"workers": 1, "max_sessions": 3},
                         more={"listener goes": {"bind": "127.0.0.1:0", "pool": "main"}})
    text, address = text_of(daemon), daemon.address("goes")
    holding = [env.keep(connect(address)) for _ in range(3)]
    for client in holding:
        echo(client)
    waiting = [env.keep(connect(address)) for _ in range(3)]
    section = text[text.index("[listener goes]"):].split("\n\n", maxsplit=1)[0]
    thread = threading.Thread(target=reload, args=(daemon, text.replace(section, "")))
    thread.start()
    wait_until(lambda: refuses(address), 10, "the address is given up")

    def leave():
        for client in holding:
            client.close()

    stall(daemon, leave)
    for client in waiting:
        echo(client)
    thread.join(20)
