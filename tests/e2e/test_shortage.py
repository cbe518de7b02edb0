# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine is short of memory or descriptors for a while: who suffers is told so at once, nobody
hangs, and afterwards all is as before."""

import errno
import signal

from lib import case, connect, read_exactly, wait_until
from lib.shortage import EPOLL_CTL_ADD, short_of
from lib.tls import records, usual
from lib.wait import stays


def echoes(env, address):
    client = env.keep(connect(address))
    client.sendall(b"hello")
    assert read_exactly(client, 5) == b"hello"
    return client


def ending(sock):
    """How it ends: "eof", or the name of an error."""
    try:
        while sock.recv(65536):
            pass
        return "eof"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def ending_of_new(address):
    """The same of a connection that may be reset before connect() has returned."""
    try:
        with connect(address) as client:
            return ending(client)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def test_listener_that_cannot_be_watched(env):
    """A full house stops accepting; when there is room, epoll has no memory for the listener."""
    daemon, shortage = short_of(env, env.backend().address,
                                spliced={"max_sessions": 2, "workers": 1})
    proxy = daemon.address()
    inside = [echoes(env, proxy) for _ in range(2)]
    outside = env.keep(connect(proxy))
    outside.sendall(b"later")
    stays(lambda: daemon.status()["sessions_active"] == 2, 0.3, "the house is full")
    shortage.fail("epoll_ctl", arg=EPOLL_CTL_ADD)
    for client in inside:
        client.close()
    wait_until(lambda: shortage.failures("epoll_ctl") >= 3, 10, "watching it is tried again")
    assert shortage.over() >= 3
    assert read_exactly(outside, 5) == b"later"
    echoes(env, proxy)
    assert [line for line in daemon.log() if "accepting is paused" in line], daemon.log_tail()


@case(engines=("copy",))
def test_end_without_memory(env):
    """SIGTERM needs none."""
    daemon, shortage = short_of(env, env.backend().address)
    echoes(env, daemon.address()).close()
    daemon.wait_sessions(0)
    for call in ("malloc", "calloc", "realloc"):
        shortage.fail(call)
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_exit(10) == 0


@case(engines=("copy",))
def test_end_of_sessions_without_memory(env):
    """Nor does the second SIGTERM, which ends sessions that are open."""
    daemon, shortage = short_of(env, env.backend().address)
    client = echoes(env, daemon.address())
    for call in ("malloc", "calloc", "realloc"):
        shortage.fail(call)
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: any("draining" in line for line in daemon.log()), 5, "it drains")
    stays(lambda: daemon.running, 0.3, "a session is open")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_exit(10) == 0
    assert ending(client) == "ECONNRESET"


def test_no_memory_for_a_session(env):
    """The client is reset, not told that its stream has ended, and the log says so."""
    daemon, shortage = short_of(env, env.backend().address, spliced={"workers": 1})
    echoes(env, daemon.address()).close()
    daemon.wait_sessions(0)
    proxy = daemon.address()
    shortage.fail("calloc", times=5)
    endings = [ending_of_new(proxy) for _ in range(5)]
    shortage.over()
    assert endings == ["ECONNRESET"] * 5, endings
    echoes(env, daemon.address())
    limits = [line for line in daemon.access_log() if line["end"] == "limit"]
    assert len(limits) == 5, daemon.access_log()
    assert daemon.stats()["ends"]["limit"] == 5, daemon.stats()["ends"]
    told = [line for line in daemon.log() if "out of memory" in line]
    assert len(told) == 1, told


def test_client_that_cannot_be_watched(env):
    """A session that no event could reach ends."""
    daemon, shortage = short_of(env, env.backend().address, spliced={"workers": 1})
    proxy = daemon.address()
    echoes(env, proxy).close()
    daemon.wait_sessions(0)
    shortage.fail("epoll_ctl", arg=EPOLL_CTL_ADD)
    assert ending_of_new(proxy) == "ECONNRESET"
    assert shortage.over() > 1
    daemon.wait_sessions(0)
    assert [line["end"] for line in daemon.wait_access(2)] == ["done", "limit"]
    echoes(env, proxy)


def test_server_that_cannot_be_watched(env):
    """Asked again it cannot be, either: its connection is of no use, and the client is told."""
    daemon, shortage = short_of(env, env.backend().address, spliced={"workers": 1},
                                listener={"protocol": "tls"})
    proxy = daemon.address()
    client = env.keep(connect(proxy))
    daemon.wait_sessions(1)
    shortage.fail("epoll_ctl", arg=EPOLL_CTL_ADD)
    client.sendall(records(usual("www.test")))
    assert ending(client) == "ECONNRESET"
    assert shortage.over() > 1
    assert [line["end"] for line in daemon.wait_access(1)] == ["limit"]

