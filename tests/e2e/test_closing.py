# SPDX-License-Identifier: GPL-2.0-or-later
"""A listening socket is closed while clients are in the middle of their handshakes: who has sent his SYN
is served, and who comes next reaches whoever has the address then."""

import contextlib
import signal
import threading
import time

from lib import case, tcp
from lib.reloads import reload, text_of
from lib.steered import exchange
from lib.tuntcp import TunHost
from lib.wait import wait_until

PORT = 8000
ADDRESS = f"{TunHost.ADDRESS}:{PORT}"
ALL = f"0.0.0.0:{PORT}"


class Door:
    """A daemon in a namespace where the segments of clients are the test's own."""

    def __init__(self, env, bind, application=f"{TunHost.ADDRESS}:0", servers=None):
        self.env, self.tun = env, TunHost(env)
        self.backend = self.tun.host.call(env.backend, tcp.serve_echo, application)
        self.daemon = env.spliced(servers or self.backend.address, listener={"bind": bind},
                                  spliced={"shutdown_grace": "60s"},
                                  more={"listener stays": {"bind": "127.0.0.1:0", "pool": "main"}},
                                  prefix=self.tun.host.command())
        self.text = text_of(self.daemon)

    def knocking(self):
        """A client that has not answered yet."""
        return self.tun.peer(ADDRESS, b"", 5000).knock()

    def connect(self):
        """A whole one, of the daemon's host."""
        return self.tun.host.call(lambda: self.env.keep(tcp.connect(ADDRESS)))

    def is_refused(self):
        with contextlib.suppress(ConnectionRefusedError):
            self.connect().close()
            return False
        return True

    def binds(self):
        return self.daemon.status()["listeners"][0]["bind"]

    @contextlib.contextmanager
    def reloading(self, text):
        """For as long as a reload is under way."""
        thread = threading.Thread(target=reload, args=(self.daemon, text))
        thread.start()
        try:
            yield
        finally:
            thread.join(20)

    def upgrade(self, text):
        before = self.daemon.status()["generation"]
        self.daemon.write_config(text)
        self.daemon.control("upgrade")
        wait_until(lambda: self.daemon.status()["generation"] == before + 1, 20, "the next serves")


def comes_in(peer):
    """It ends its handshake, and is served."""
    peer.enter()
    peer.say(b"hello")
    peer.until(b"hello")
    assert not peer.was_reset


@case(core=True)
def test_reloads(env):
    """From an address to all, and back; and to none. Each is over when who has begun has come, or 2 s
    later; then the address is free."""
    door = Door(env, ADDRESS)
    for bind in (ALL, ADDRESS):
        peer = door.knocking()
        with door.reloading(door.text.replace(ADDRESS, bind)):
            wait_until(lambda: bind in door.binds(), 10, "the other one is in effect")
            with door.connect() as sock:
                exchange(sock)
            comes_in(peer)
        peer.finish()
        peer.wait_end()
    comes, never = door.knocking(), door.knocking()
    with door.reloading(door.text.replace(ADDRESS, "127.0.0.1:0")):
        wait_until(door.is_refused, 10, "new clients are refused")
        comes_in(comes)
    never.enter()
    never.until(b"anything")
    assert never.was_reset
    door.tun.host.call(env.backend, tcp.serve_echo, ADDRESS)
    with door.connect() as sock:
        exchange(sock)


def test_nobody_is_waited_for(env):
    """Where nobody is in the middle of a handshake a reload and an end are over at once: the kernel's table
    is read rightly, also of sockets that are steered to."""
    door = Door(env, "steer:*:8000-8999", ADDRESS, "any original:")
    with door.connect() as sock:
        exchange(sock)

    def soon(what):
        began = time.monotonic()
        what()
        return time.monotonic() - began < 1.5
    plain = door.text.replace("127.0.0.1:0", ADDRESS.replace("8000", "9000"))
    for text in (plain, door.text):
        wait_until(lambda: all(soon(lambda: reload(door.daemon, file)) for file in (
            text.replace("steer:*:8000-8999", "127.0.0.1:0"), text)), 20, "it is over soon", poll=0)


def test_upgrades(env):
    """The same, and the worker before accepts who has begun with it."""
    door = Door(env, ADDRESS)
    for bind in (ALL, ADDRESS, "127.0.0.1:0"):
        peer = door.knocking()
        door.upgrade(door.text.replace(ADDRESS, bind))
        comes_in(peer)
        if bind == "127.0.0.1:0":
            assert door.is_refused()
        else:
            with door.connect() as sock:
                exchange(sock)
        peer.finish()
        peer.wait_end()
    wait_until(lambda: len(door.daemon.worker_pids()) == 1, 10, "the others have ended")


def test_a_signal(env):
    """Who comes in is served by a daemon that drains; it does not wait long for who does not."""
    door = Door(env, ADDRESS)
    peer, never = door.knocking(), door.knocking()
    door.daemon.signal(signal.SIGTERM)
    wait_until(door.is_refused, 5, "new clients are refused")
    comes_in(peer)
    peer.finish()
    peer.wait_end()
    assert door.daemon.wait_exit(10) == 0
    never.enter()
    never.until(b"anything")
    assert never.was_reset


@case(core=True)
def test_steering_ends(env):
    """By a reload, an upgrade and a signal: who comes then is the application's."""
    door = Door(env, "steer:*:8000-8999", ADDRESS, "any original:")
    stays = door.text.replace("steer:*:8000-8999", "steer:*:9000")
    for number, text in enumerate((stays, door.text, stays, door.text, None)):
        peer = door.knocking()
        if number < 2:
            with door.reloading(text):
                wait_until(lambda: door.binds() == [text.split("bind = ")[1].split("\n")[0]], 10,
                           "the other range is in effect")
                comes_in(peer)
        else:
            if text:
                door.upgrade(text)
            else:
                door.daemon.signal(signal.SIGTERM)
            comes_in(peer)
        with door.connect() as sock:
            exchange(sock)
        peer.finish()
        peer.wait_end()
    assert door.daemon.wait_exit(10) == 0
    through = [line["original"] for line in door.daemon.access_log()
               if line["client"].startswith(TunHost.PEER)]
    assert through == [ADDRESS] * 3, door.daemon.access_log()
