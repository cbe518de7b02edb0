# SPDX-License-Identifier: GPL-2.0-or-later
"""A session ends as its peers ended it: nothing that one of them sent is lost on the way."""

import select
import signal
import socket
import struct
import threading
import time

from lib import Deadline, case, connect, read_all, reset, wait_until
from lib.http import Client, Origin, proxy, request, reply, wait_requests

ROUNDS = 20


def pattern(count):
    """Content whose every part differs from its neighbours."""
    return b"".join(struct.pack(">I", at) for at in range(0, count, 4))


def until_ended(sock):
    """Everything that comes before the end or the reset."""
    parts = []
    try:
        while data := sock.recv(1 << 16):
            parts.append(data)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@case(core=True)
def test_answer_before_a_reset_arrives(env):
    """A server answers early and closes with input unread. TCP makes that a reset, but without a
    proxy the client has the answer."""
    body = pattern(20000)

    def answer_early(sock):
        sock.recv(1)
        sock.sendall(body)     # and close() with the rest of the request unread

    daemon = env.spliced(env.backend(answer_early).address)
    for _ in range(ROUNDS):
        with connect(daemon.address()) as client:
            client.sendall(b"x" * 20000)
            got = until_ended(client)
        assert got == body, f"{len(got)} of {len(body)} bytes of the answer arrived"


@case(core=True)
def test_slow_reader_is_not_silent(env):
    """Who still receives what the other one sent before is not cut off by half_close_timeout."""
    body = pattern(env.pick(3 << 20, 1 << 20))

    def answer_after_end(sock):
        read_all(sock)
        sock.sendall(body)

    daemon = env.spliced(env.backend(answer_after_end).address,
                         listener={"half_close_timeout": "1s"})
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.settimeout(10)
        host, _, port = daemon.address().rpartition(":")
        client.connect((host, int(port)))
        client.sendall(b"request")
        client.shutdown(socket.SHUT_WR)
        got, began = b"", time.monotonic()
        while len(got) < len(body):
            due = began + len(got) / (len(body) / 4)    # four seconds in all
            wait_until(lambda at=due: time.monotonic() >= at, 5, "the next read's time")
            part = client.recv(1 << 16)
            assert part, f"ended after {len(got)} of {len(body)} bytes"
            got += part
        assert got == body
        assert client.recv(1) == b""
    assert daemon.wait_access()[0]["end"] == "done"


def flood(sock, seconds):
    """Writes and reads as fast as it goes, then resets."""
    until = time.monotonic() + seconds
    sock.setblocking(False)
    try:
        while time.monotonic() < until:
            readable, writable, _ = select.select([sock], [sock], [], 0.02)
            if readable and not sock.recv(1 << 18):
                break
            if writable:
                sock.send(b"z" * (1 << 18))
    except OSError:
        pass
    reset(sock)


@case(core=True)
def test_end_told_to_a_server_that_reset(env):
    """The client's end is read before the server's reset is: passing the end on fails, and that is
    the server's reset."""
    told, gone = threading.Event(), threading.Event()

    def reset_when_told(sock):
        sock.sendall(sock.recv(7))
        told.wait(10)
        reset(sock)
        gone.set()

    daemon = env.spliced(env.backend(reset_when_told).address, spliced={"workers": 1})
    for rounds in range(ROUNDS):
        told.clear()
        gone.clear()
        with connect(daemon.address()) as client:
            client.sendall(b"request")
            assert client.recv(7) == b"request"
            daemon.signal(signal.SIGSTOP)
            client.shutdown(socket.SHUT_WR)
            told.set()
            assert gone.wait(10)
            daemon.signal(signal.SIGCONT)
            assert until_ended(client) == b""
        ends = [line["end"] for line in daemon.wait_access(rounds + 1)]
        assert set(ends) == {"server_reset"}, ends


@case(core=True)
def test_resets_under_a_flood(env):
    """Both streams of a session have work to do when it is reset: whatever list they are on, they
    leave it. Afterwards the worker still serves."""
    def serve(sock):
        if sock.recv(5, socket.MSG_PEEK) == b"probe":
            sock.sendall(sock.recv(5) + b"x" * 600000)
        else:
            flood(sock, 0.05)

    daemon = env.spliced(env.backend(serve).address, spliced={"workers": 1})
    for _ in range(env.pick(12, 4)):
        threads = []
        for index in range(6):
            client = connect(daemon.address())
            client.sendall(b"q" * 1000)
            threads.append(threading.Thread(target=flood, args=(client, 0.04 + index * 0.003)))
            threads[-1].start()
        for thread in threads:
            thread.join(20)
    with connect(daemon.address()) as client:
        client.sendall(b"probe")
        assert len(read_all(client)) == 600005
    daemon.wait_sessions(0)


def slow_client(address):
    """Its TCP takes next to nothing before it reads."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(Deadline(10).seconds)
    host, _, port = address.rpartition(":")
    client.connect((host, int(port)))
    return client


@case(core=True)
def test_early_answer_to_a_slow_client(env):
    """A server answers in the middle of an upload and closes with input unread. What of the answer the
    client's TCP has not got yet is not thrown away, though the client goes on sending, and the kernel has
    handed up some of that."""
    body, piece, rest = pattern(40000), bytes(1 << 17), bytes(20)
    step = threading.Barrier(2, timeout=10)

    def answer_early(connection):
        connection.head()
        connection.reader.exactly(len(piece))
        step.wait()
        assert select.select([connection.sock], [], [], 10)[0]
        step.wait()     # the daemon is stopped
        step.wait()
        connection.send(reply(body, "Connection: close", status="413 Content Too Large"))
        connection.sock.close()
        step.wait()

    origin = Origin(env, serve=answer_early)
    daemon = proxy(env, origin.address, {"body_splice_min": 1})
    for rounds in (1, 2):
        with Client(None, sock=slow_client(daemon.address())) as client:
            size = len(piece) + len(rest)
            client.send(request("POST", "/", f"Content-Length: {size}"), piece)
            step.wait()
            client.send(rest[1:])
            step.wait()
            daemon.signal(signal.SIGSTOP)
            step.wait()
            step.wait()
            client.send(rest[:1], b"beyond the budget")     # with one segment
            daemon.signal(signal.SIGCONT)
            wait_requests(daemon, rounds)
            client.send(b"and later")
            answer = client.response()
            assert (answer.status, answer.body) == (413, body)
            client.sock.shutdown(socket.SHUT_WR)
            assert client.ending() == (b"", "eof")
    origin.check()
    daemon.wait_sessions(0)
    ends = daemon.stats()["ends"]
    assert (ends["done"], ends["client_reset"]) == (rounds, 0), ends


@case(core=True)
def test_reset_behind_an_end(env):
    """A server ends its stream, and closes with input unread when the client has been told. What of its
    answer the client's TCP has not got yet still comes, whatever the client sends meanwhile."""
    body = pattern(40000)
    told = threading.Barrier(2, timeout=10)

    def answer_early(sock):
        sock.recv(1)
        sock.sendall(body)
        sock.shutdown(socket.SHUT_WR)
        told.wait()

    daemon = env.spliced(env.backend(answer_early).address, spliced={"log_level": "debug"})
    for rounds in (1, 2, 3):
        with slow_client(daemon.address()) as client:
            client.sendall(b"x" * 20000)
            wait_until(lambda: [s["state"] for s in daemon.sessions()] == ["half_closed"], 10, "its end")
            told.wait()
            wait_until(lambda at=rounds: sum("server: Broken pipe" in line for line in daemon.log()) == at, 10,
                       "its reset", poll=0.01)     # of one that had ended before
            client.sendall(b"more")
            assert until_ended(client) == body
        assert [line["end"] for line in daemon.wait_access(rounds)] == ["server_reset"] * rounds
