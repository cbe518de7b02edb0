# SPDX-License-Identifier: GPL-2.0-or-later
"""At the last mark of memory_max new clients are refused by name, and the others are served."""

import re
import socket
import threading

from lib import case, wait_until
from lib.http import Client, Origin, reply, request
from lib.pattern import MIB, Pattern
from lib.programs import run
from lib.tcp import connect, read_all, read_exactly, serve_echo

KIB = 1 << 10
MAXIMUM = 16 * MIB
MOST = 400


def endless(sock):
    """Sends for as long as somebody takes it."""
    piece = bytes(1 << 16)
    try:
        while True:
            sock.sendall(piece)
    except OSError:
        pass


def begin(env, maximum):
    origin = Origin(env, lambda _: reply(b"served"))
    full, echo = env.backend(endless), env.backend(serve_echo)
    return env.spliced(origin.address, listener={"protocol": "http"},
                       spliced={"memory_max": maximum}, more={
        "listener full": {"bind": "127.0.0.1:0", "pool": "full"},
        "pool full": {"server": f"s {full.address}"},
        "listener echo": {"bind": "127.0.0.1:0", "pool": "echo"},
        "pool echo": {"server": f"s {echo.address}"}})


def stopped_reader(env, daemon):
    sock = socket.socket()
    env.keep(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * KIB)
    host, port = daemon.address("full").rsplit(":", 1)
    sock.connect((host, int(port)))
    return sock


def fill(env, daemon):
    """Stopped readers, one after the other, until there is no room for more."""
    readers = []

    def is_full():
        if daemon.stats()["memory_refusals"]:
            return True
        if len(readers) < MOST:
            readers.append(stopped_reader(env, daemon))
        return False
    wait_until(is_full, 60, "a client is refused", poll=0.01)
    return readers


def exchange(sock, content, size):
    """Sends that and reads it back."""
    got = []
    reader = threading.Thread(target=lambda: got.append(read_exactly(sock, size)))
    reader.start()
    for at in range(0, size, 64 * KIB):
        sock.sendall(content.piece(at, 64 * KIB))
    reader.join(60)
    assert got, "the echo did not come back"
    content.check(0, got[0])


def lines(daemon, listener):
    return [line for line in daemon.log() if f" listener={listener} " in line]


@case(timeout=120, vm=False)
def test_who_is_refused(env):
    daemon, content = begin(env, MAXIMUM), Pattern(5)
    with connect(daemon.address("echo"), timeout=60) as there, \
            Client(daemon.address("web"), timeout=30) as kept:
        exchange(there, content, 64 * KIB)
        assert kept.ask().body == b"served"
        readers = fill(env, daemon)

        # Those who were there are served.
        exchange(there, content, MIB)
        assert kept.ask().body == b"served"

        # A client of HTTP is told, with the reason in the log; it may come with its request whole
        # or in pieces.
        with Client(daemon.address("web"), timeout=30) as late:
            late.send(request()[:10])
            late.send(request()[10:])
            answer = late.response()
            assert answer.start == "HTTP/1.1 503 Service Unavailable", answer.start
            assert answer.get("Connection") == "close"
            assert late.ending() == (b"", "eof")
        wait_until(lambda: any(" status=503 " in line and " reason=memory end=limit" in line
                               for line in lines(daemon, "web")), 5, "its line says why")
        # Any other is reset.
        try:
            with connect(daemon.address("echo"), timeout=30) as late:
                late.sendall(b"x")
                assert read_all(late) is None, "it was served"
        except ConnectionError:
            pass
        wait_until(lambda: any(" reason=memory end=limit" in line
                               for line in lines(daemon, "echo")), 5, "its line says why")
        stats, status = daemon.stats(), daemon.status()
        assert stats["memory_refusals"] >= 2 and stats["integrity_aborts"] == 0, stats
        assert status["memory_used"] > MAXIMUM // 2 and status["memory_max"] == MAXIMUM, status
        text = run(daemon.control_tool, "-s", daemon.control_path, "status").stdout
        assert re.search(rf"Memory +\S+ MiB of at most {MAXIMUM // MIB}.0 MiB", text), text
        assert any("new clients are refused" in line for line in daemon.log())

        # When the readers have gone there is room again, for new and for old ones.
        for sock in readers:
            sock.close()
        wait_until(lambda: any("usual buffers again" in line for line in daemon.log()), 20,
                   "it was told that there is room")
        exchange(there, content, 4 * MIB)
        assert kept.ask().body == b"served"
        with connect(daemon.address("echo"), timeout=60) as late:
            exchange(late, content, MIB)
        with Client(daemon.address("web"), timeout=30) as late:
            assert late.ask().body == b"served"


@case(timeout=60)
def test_auto_is_a_share_of_tcp_mem(env):
    """And without pressure no buffer is touched and nothing is told."""
    daemon = begin(env, "auto")
    with open("/proc/sys/net/ipv4/tcp_mem", encoding="ascii") as text:
        pages = int(text.read().split()[1])
    assert daemon.status()["memory_max"] == pages * 4096
    with connect(daemon.address("echo"), timeout=30) as there:
        exchange(there, Pattern(6), MIB)
    assert not any(" memory: " in line for line in daemon.log())
    assert daemon.stats()["memory_refusals"] == 0
