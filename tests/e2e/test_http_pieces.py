# SPDX-License-Identifier: GPL-2.0-or-later
"""The same bytes say the same, in whatever pieces they come, and cost about the same."""

import contextlib
import socket

from lib import case
from lib.http import Client, Origin, chunked, head, proxy, request, wait_requests
from lib.pattern import MIB
from lib.segments import send_in_pieces
from lib.wait import wait_until

STOPPED = 10            # clients that have stopped to read
EACH = 260 << 10        # bytes of the daemon for one of them: a read, and what goes with it
LARGE = 4 * MIB


# ---- heads ---------------------------------------------------------------------------------------

GET, OK = b"GET / HTTP/1.1\r\nHost: www.test\r\n", b"HTTP/1.1 200 OK\r\n"
FIELDS = b"".join(b"X-%d: y\r\n" % i for i in range(129))
OPTIONS = b"Connection: " + b", ".join(b"x-%d" % i for i in range(65)) + b"\r\n"
BAD_REQUESTS = {    # up to the byte that shows it: nothing more is sent
    b"\rX": (400, "bare_cr"),
    b"\r\r": (400, "bare_cr"),
    b"\n": (400, "bare_lf"),
    b"\r\n\r\n\r\n": (400, "bad_method"),
    b"GET / HTTP/1.1\rX": (400, "bare_cr"),
    b"GET /\x01": (400, "bad_target"),
    GET + b"A: b\r\n c\r\n": (400, "obs_fold"),
    GET + b"A: b\r\r": (400, "bare_cr"),
    GET + b"Host: b\r\n": (400, "two_hosts"),
    GET + b"Content-Length: 1\r\nX: y\r\nContent-Length: 1\r\n": (400, "two_lengths"),
    GET + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n": (400, "length_and_chunked"),
    GET + FIELDS[:FIELDS.rindex(b"X-128")]: (431, "too_many_fields"),
    GET + OPTIONS: (400, "bad_connection"),
    GET + b"Connection: a\r\n" * 65: (400, "bad_connection"),
    GET + b"A: " + b"y" * (32768 - len(GET) - 3): (431, "head_too_large"),
    b"GET /" + b"y" * (32768 - 5): (414, "uri_too_long"),
}
BAD_RESPONSES = {
    b"\rX": "bare_cr",
    b"\r\n": "bad_version",
    OK + FIELDS: "too_many_fields",
    OK + OPTIONS: "bad_connection",
    OK + b"A: b\r\n c\r\n": "obs_fold",
    OK + b"Content-Length: 1\r\nX: y\r\nContent-Length: 1\r\n": "two_lengths",
    OK + b"A: " + b"y" * (32768 - len(OK) - 3): "head_too_large",
}
STEPS = (1 << 20, 1000, 7, 1)   # bytes at once; of long ones only the last by so few


def pieces(raw, step):
    """The first piece is what of it is too long to be cut like the rest."""
    at = max(0, len(raw) - 60 * step)
    return [raw[:at], *[raw[i:i + step] for i in range(at, len(raw), step)]]


def test_bad_requests_are_answered_alike(env):
    """As soon as the byte has come that shows it, by the same name."""
    daemon = proxy(env, "127.0.0.1:1", {"head_timeout": "1m"})
    expected = []
    for raw, (status, name) in BAD_REQUESTS.items():
        for step in STEPS:
            with Client(daemon.address()) as client:
                send_in_pieces(client.sock, *pieces(raw, step))
                answer = client.response()
                assert answer.status == status, (raw[:80], step, answer.raw)
            expected.append(name)
    assert [line["error"] for line in wait_requests(daemon, len(expected))] == expected


def test_bad_responses_are_refused_alike(env):
    plan = iter([pieces(raw, step) for raw in BAD_RESPONSES for step in STEPS])

    def serve(connection):
        connection.request()
        send_in_pieces(connection.sock, *next(plan))
        connection.reader.rest()

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address, {"response_timeout": "1m"})
    expected = [name for name in BAD_RESPONSES.values() for _ in STEPS]
    for _ in expected:
        with Client(daemon.address()) as client:
            assert client.ask().status == 502
    assert [line["error"] for line in wait_requests(daemon, len(expected))] == expected
    assert not origin.problems


# ---- bad bodies of servers ---------------------------------------------------------------------

CODED = head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
BAD_BODIES = {  # what comes, what of it is passed on
    b"2\r\nok\r\nxyz\r\n": b"2\r\nok\r\n",
    b"2\r\nok\r\n-1\r\n": b"2\r\nok\r\n",
    b"2\r\nok\r\n5\nhello\r\n": b"2\r\nok\r\n",
    b"5\r\nhelloX\r\n": b"5\r\nhello\r\n",
    b"2\r\nok\r\nfffffffffffffffff\r\n": b"2\r\nok\r\n",
    b"2\r\nok\r\n1;\x01\r\n": b"2\r\nok\r\n",
    b"2\r\nok\r\n0\r\nA: b\r\n C: d\r\n\r\n": b"2\r\nok\r\n0\r\nA: b\r\n",
    b"2\r\nok\r\n0\r\nContent-Length: 5\r\n\r\n": b"2\r\nok\r\n",
}


def test_bad_chunks_are_cut_alike(env):
    """With the head, behind it, and byte by byte: the head, what was good, and a reset."""
    ways = (lambda raw: [raw], lambda raw: [CODED, raw[len(CODED):]],
            lambda raw: [raw[at:at + 1] for at in range(len(raw))])
    plan = [(bad, good, way) for bad, good in BAD_BODIES.items() for way in ways]
    left = iter(plan)

    def serve(connection):
        connection.request()
        bad, _, way = next(left)
        send_in_pieces(connection.sock, *way(CODED + bad))
        connection.reader.rest()

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address)
    for bad, good, way in plan:
        with Client(daemon.address()) as client:
            assert client.send(request()).head().status == 200, bad
            assert client.ending() == (good, "reset"), (bad, ways.index(way))
    lines = wait_requests(daemon, len(plan))
    assert {line["end"] for line in lines} == {"bad_response"}, lines
    for at in range(0, len(lines), len(ways)):
        assert len({line["error"] for line in lines[at:at + len(ways)]}) == 1, lines[at]
    assert not origin.problems


# ---- memory ------------------------------------------------------------------------------------

@case(engines=("copy",))    # the other has a receive buffer of bytes at that moment, by its marks
def test_stopped_readers_of_small_chunks(env):
    """They cost what those of large ones do, also where a fast reader has stopped at them."""
    large = b"%x\r\n" % LARGE + bytes(LARGE) + b"\r\n"
    small = chunked(*[b"x"] * 1_000_000)

    def serve(connection):
        connection.head()
        connection.send(CODED)
        connection.send(large)
        with contextlib.suppress(OSError):
            connection.send(small)

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address)
    before, clients = daemon.rss(), []
    try:
        for _ in range(STOPPED):
            clients.append(Client(daemon.address()))
            clients[-1].sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
            clients[-1].send(request())
            assert clients[-1].head().status == 200
            for _ in clients[-1].reader.pieces(len(large)):
                pass
        wait_steady(daemon)
        each = (daemon.rss() - before) / STOPPED
    finally:
        for client in clients:
            client.close()
    assert env.sanitized or each < EACH, f"{each / 1024:.0f} KiB for each"


def wait_steady(daemon):
    """Until its memory has not changed for half a second."""
    seen = []

    def steady():
        seen.append(daemon.rss())
        return len(seen) > 10 and len(set(seen[-10:])) == 1
    wait_until(steady, 20, "its memory stays as it is", poll=0.05)
