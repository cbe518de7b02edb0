# SPDX-License-Identifier: GPL-2.0-or-later
"""One peer that never stops talking: the others of its worker are served all the same."""

import contextlib
import socket
import statistics
import threading
import time

from lib.http import (Client, Origin, chunked, head, proxy, reply, request, request_log, wait_end,
                      wait_requests)
from lib.wait import SCALE, Deadline

ONE_WORKER = {"workers": 1}
INTERIM = b"HTTP/1.1 103\r\n\r\n"
INTERIM_MAX = 512           # as documented
PROMPT = 1.0                # seconds for what takes a millisecond on an idle machine
LATE = 5                    # times as long, for one of many


@contextlib.contextmanager
def busy(*deeds):
    """Each deed again and again, in a thread of its own, until the block ends."""
    over = threading.Event()

    def repeat(deed):
        while not over.is_set():
            with contextlib.suppress(OSError, AssertionError):
                deed()
    threads = [threading.Thread(target=repeat, args=(deed,), daemon=True) for deed in deeds]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(Deadline(20).seconds)


def check_prompt(daemon, asks, seconds=2, prompt=PROMPT):
    """Nobody else waits: neither another client nor splicectl. One of them may be late for reasons of the
    host's; who has a worker to himself makes all of them late, or does not give it back at all."""
    end, times = time.monotonic() + seconds, {asks: [], daemon.status: []}
    while time.monotonic() < end:
        for ask, taken in times.items():
            began = time.monotonic()
            ask()
            taken.append(time.monotonic() - began)
    for taken in times.values():
        usual, worst = statistics.median(taken), max(taken)
        assert usual < prompt * SCALE and worst < LATE * prompt * SCALE, \
            f"{usual:.3f} s, {worst:.3f} s at worst, {len(taken)} answers"


def send_all(sock, raw):
    with contextlib.suppress(OSError):
        sock.sendall(raw)
        sock.shutdown(socket.SHUT_WR)


def innocent(daemon, target="/quick"):
    """A client on a connection of its own for each request."""
    def ask():
        with Client(daemon.address()) as client:
            assert client.ask("GET", target).body == b"quick"
    return ask


def test_endless_interim_answers(env):
    """A server that says 103 for ever stops nobody, and has soon said it often enough."""
    def serve(connection):
        while asked := connection.request():
            if asked.target == "/quick":
                connection.send(reply(b"quick"))
                continue
            with contextlib.suppress(OSError):
                while True:
                    connection.send(INTERIM * 4000)
            return

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address, spliced=ONE_WORKER)
    answers = []

    def attack():
        with Client(daemon.address()) as client:
            answers.append(client.ask("GET", "/flood"))
            assert len(client.interim) == INTERIM_MAX
    with busy(attack, attack):
        check_prompt(daemon, innocent(daemon))
    assert answers and {answer.status for answer in answers} == {502}, answers[:3]
    line = next(line for line in request_log(daemon) if line["path"] == "/flood")
    assert (line["end"], line["error"]) == ("bad_response", "too_many_interim"), line
    assert daemon.stats()["http_errors"]["too_many_interim"] >= len(answers)


def test_as_many_interim_answers_as_may_be(env):
    """To clients of both versions, and the next request has as many again."""
    def answer(asked):
        return INTERIM * INTERIM_MAX + reply(b"done")

    origin = Origin(env, answer)
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        for _ in range(3):
            assert client.ask().body == b"done"
            assert len(client.interim) == INTERIM_MAX
        assert client.ask("GET", "/", "Connection: close", version="1.0").body == b"done"
        assert client.interim == []


def test_one_interim_answer_too_many(env):
    origin = Origin(env, lambda _: INTERIM * (INTERIM_MAX + 1) + reply(b"done"))
    daemon = proxy(env, origin.address)
    for version in ("1.1", "1.0"):
        with Client(daemon.address()) as client:
            assert client.ask(version=version).status == 502
    assert [line["error"] for line in wait_requests(daemon, 2)] == ["too_many_interim"] * 2


def check_drip(env, pieces, raw, status, end):
    """A server that says one of the pieces ten times a second, and nothing else."""
    over = threading.Event()

    def serve(connection):
        connection.head()
        with contextlib.suppress(OSError):
            for piece in pieces:
                if over.wait(0.1):
                    break
                connection.send(piece)

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address, {"response_timeout": "1s", "request_timeout": "1s"})
    try:
        with Client(daemon.address()) as client:
            began = time.monotonic()
            assert client.send(raw).response().status == status
            took = time.monotonic() - began
    finally:
        over.set()
    assert 0.9 < took < 3 * SCALE, f"{end}: {took:.2f} s"
    assert wait_end(daemon) == end


HALF = request("POST", "/", "Content-Length: 10") + b"half"
SLOW_HEAD = [bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + 1000 * b"z"]


def test_dripped_interim_answers_renew_no_timeout(env):
    check_drip(env, [INTERIM] * 500, request(), 504, "response_timeout")


def test_dripped_interim_answers_and_half_a_request(env):
    """The client's part is late, whatever the server says meanwhile."""
    check_drip(env, [INTERIM] * 500, HALF, 408, "request_timeout")


def test_dripped_head_renews_no_timeout(env):
    check_drip(env, SLOW_HEAD, request(), 504, "response_timeout")


def test_dripped_head_and_half_a_request(env):
    check_drip(env, SLOW_HEAD, HALF, 408, "request_timeout")


def test_floods_of_small_chunks(env):
    """Chunks of one byte, both ways, as fast as they go."""
    small = chunked(*[b"x"] * 200_000)

    def answer(asked):
        if asked.target == "/quick":
            return reply(b"quick")
        return head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + small

    def serve(connection):
        while asked := connection.head():
            if asked.method == "POST":
                for _ in connection.reader.pieces(len(small)):
                    pass
                connection.send(reply(b"taken"))
            else:
                connection.send(answer(asked))

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address, spliced=ONE_WORKER)

    def upload():
        with Client(daemon.address()) as client:
            client.send(request("POST", "/", "Transfer-Encoding: chunked"), small)
            assert client.response().body == b"taken"

    def download():
        with Client(daemon.address()) as client:
            client.send(request("GET", "/small"))
            assert client.head().status == 200
            for _ in client.reader.pieces(len(small)):
                pass
    with busy(upload, download):
        check_prompt(daemon, innocent(daemon), prompt=4)   # the peers here are slow themselves


def test_floods_of_pipelined_requests(env):
    """Thousands on one connection, answered by the server, and by the daemon itself."""
    origin = Origin(env, lambda _: reply(b"quick"))
    daemon = proxy(env, origin.address, {"route": "path:/none -> none"},
                   pools={"none": "127.0.0.1:1"}, spliced=ONE_WORKER)

    def pipeline(target):
        raw = request("GET", target) * 2000

        def deed():
            with Client(daemon.address()) as client:
                sender = threading.Thread(target=send_all, args=(client.sock, raw), daemon=True)
                sender.start()
                client.reader.rest()
        return deed
    with busy(pipeline("/"), pipeline("/none")):
        check_prompt(daemon, innocent(daemon))
