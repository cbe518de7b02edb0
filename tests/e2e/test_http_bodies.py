# SPDX-License-Identifier: GPL-2.0-or-later
"""Bodies, byte by byte, wherever they are cut and whoever moves them."""

import hashlib
import random
import signal
import socket
import threading

from lib import case, pattern, tcp, wait_until
from lib.http import (BadMessage, Client, Origin, chunked, head, proxy, reply, request,
                      wait_requests)
from lib.pattern import MIB, PERIOD, Pattern, send_pattern
from lib.segments import send_in_pieces, splits, wait_taken
from lib.traffic import check_kernel_share
from lib.wait import Deadline, stays

KIB = 1024
MIN = 16 * KIB      # of bodies that the kernel moves, in most of these tests
OPTIONS = {"body_splice_min": MIN}
LOW_MARKS = {"splice_low": "64K", "splice_high": "128K", "splice_hard": "256K",
             "splice_window": "64K"}
CONTENT = Pattern(1)


def content(size, at=0):
    return b"".join(CONTENT.piece(at + done, min(PERIOD, size - done))
                    for done in range(0, size, PERIOD))


def cut(data, sizes):
    """Pieces of these sizes, again and again."""
    pieces, at = [], 0
    while at < len(data):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[at:at + size])
        at += size
    return pieces


def framed(start, data, sizes=None, *fields):
    """A whole message: with a length, or in chunks of these sizes."""
    if sizes is None:
        return head(start, f"Content-Length: {len(data)}", *fields) + data
    return head(start, "Transfer-Encoding: chunked", *fields) + chunked(*cut(data, sizes))


def upload(data, sizes=None, target="/"):
    return framed(f"POST {target} HTTP/1.1", data, sizes, "Host: www.test")


def echo_proxy(env, *options, listener=None, **more):
    """A server that sends every body back as it came: with a length, or in the same chunks."""
    def answer(asked):
        return framed("HTTP/1.1 200 OK", bytes(asked.body), asked.chunks or None)

    origin = Origin(env, answer)
    return origin, proxy(env, origin.address, {**OPTIONS, **(listener or {})}, *options, **more)


def check_echo(client, data, what=""):
    answer = client.response()
    assert answer.status == 200, (what, answer.raw)
    if answer.body != data:
        good = next((i for i, (a, b) in enumerate(zip(answer.body, data)) if a != b),
                    min(answer.size, len(data)))
        raise AssertionError(f"{what}: {answer.size} of {len(data)} bytes, the first {good} right")


# ---- sizes -------------------------------------------------------------------------------------

SIZES = (0, 1, 2, 1000, MIN - 1, MIN, MIN + 1, MIN + 1460, 2 * MIN, 4 * MIN - 1, 4 * MIN,
         4 * MIN + 1, 100_000, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, MIB + 7)
CHUNKS = (None, (MIN,), (MIN + 1, 1), (1000, MIN - 1, MIN, 70_000), (MIB,), (7, 300_000, 7))


def check_sizes(env, listener):
    origin, daemon = echo_proxy(env, listener=listener)
    with Client(daemon.address()) as client:
        for chunks in CHUNKS:
            for size in SIZES:
                data = content(size, size)
                client.send(upload(data, chunks))
                check_echo(client, data, f"{size} bytes in chunks of {chunks}")
                if chunks:
                    assert sum(origin.requests[-1].chunks) == size
    lines = wait_requests(daemon, len(SIZES) * len(CHUNKS))
    for line, size in zip(lines, SIZES * len(CHUNKS)):
        assert (line["bytes_up"], line["bytes_down"]) == (str(size), str(size)), line
    return daemon


@case(timeout=60)
def test_sizes(env):
    check_sizes(env, {})


@case(timeout=60)
def test_sizes_with_the_default(env):
    check_sizes(env, {"body_splice_min": None})


@case(timeout=60)
def test_sizes_all_by_the_kernel(env):
    """As small a budget as there is."""
    check_sizes(env, {"body_splice_min": 1})


def test_who_moves_them(env):
    """Large bodies are the kernel's, small ones are copied, and the log says which."""
    origin, daemon = echo_proxy(env, listener={"body_splice_min": 256 * KIB})
    with Client(daemon.address()) as client:
        for size in (1000, 256 * KIB - 1):
            client.send(upload(content(size)))
            check_echo(client, content(size))
        assert daemon.stats()["bytes_redirected"] == 0
        assert {line["engine"] for line in wait_requests(daemon, 2)} == {"copy"}
        size = 8 * MIB
        client.send(upload(content(size)))
        check_echo(client, content(size))
        client.send(upload(content(size), (MIB,)))
        check_echo(client, content(size))
    assert [line["engine"] for line in wait_requests(daemon, 4)[2:]] == [env.engine] * 2
    check_kernel_share(env, daemon, 0.02)
    assert len(origin.connections) == 1, "a connection was not kept"


# ---- where a body ends -------------------------------------------------------------------------

@case(timeout=60)
def test_pair_split_at_every_byte(env):
    """The body of one request and the head of the next, cut at each place, on one connection."""
    _, daemon = echo_proxy(env, listener={"body_splice_min": 1})
    first, second = content(40), content(11, 500)
    with Client(daemon.address()) as client:
        for chunks in (None, (20,), (1,)):
            pair = upload(first, chunks, "/1") + upload(second, chunks, "/2")
            for at, pieces in splits(pair, env.pick(1, 7)):
                send_in_pieces(client.sock, *pieces)
                check_echo(client, first, f"split at {at}, chunks {chunks}")
                check_echo(client, second, f"split at {at}, chunks {chunks}")


@case(timeout=60)
def test_pair_in_single_bytes(env):
    origin, daemon = echo_proxy(env, listener={"body_splice_min": 1})
    first, second = content(300), content(11, 500)
    with Client(daemon.address()) as client:
        for chunks in (None, (50,)):
            pair = upload(first, chunks, "/1") + upload(second, chunks, "/2")
            send_in_pieces(client.sock, *(pair[at:at + 1] for at in range(len(pair))))
            check_echo(client, first)
            check_echo(client, second)
    assert origin.targets() == ["/1", "/2"] * 2


@case(timeout=60)
def test_trailers_split_at_every_byte(env):
    """In both directions."""
    ends = chunked(b"hello", trailers=["X-Trailer: yes", "X-Other: no"])
    message = head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + ends
    answer = head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + ends
    cuts = []

    def serve(connection):
        while connection.request():
            send_in_pieces(connection.sock, answer[:cuts[-1]], answer[cuts[-1]:])

    daemon = proxy(env, Origin(env, serve=serve).address, OPTIONS)
    with Client(daemon.address()) as client:
        for at in range(1, max(len(message), len(answer))):
            cuts.append(at)
            send_in_pieces(client.sock, message[:at], message[at:])
            got = client.response()
            assert got.body == b"hello" and len(got.trailers) == 2, (at, got.trailers)


@case(timeout=60)
def test_answer_split_at_every_byte(env):
    """An answer with a length from a server, while the next request is there already."""
    answer, cuts = framed("HTTP/1.1 200 OK", content(100)), []

    def serve(connection):
        while connection.request():
            send_in_pieces(connection.sock, answer[:cuts[-1]], answer[cuts[-1]:])

    daemon = proxy(env, Origin(env, serve=serve).address, {"body_splice_min": 1})
    with Client(daemon.address()) as client:
        for at in range(1, len(answer)):
            cuts.append(at)
            client.send(request(), request())
            for _ in range(2):
                check_echo(client, content(100), f"cut at {at}")


def edges(size, *behind):
    """Cuts of a body of that size and what is behind it: inside the last segment, at its end, and
    after a byte or more of what is behind."""
    for tail in (0, 1, 2, 1459, MIN // 2, size - 1):
        for ahead in (0, 1, 2, *behind):
            yield size - tail, size + ahead


@case(timeout=90)
def test_budget_ends_anywhere(env):
    """A segment holds the end of a body and a part of the next request: a budget ends inside it, at
    its end, or a byte before."""
    _, daemon = echo_proxy(env)
    following = upload(content(100, 7), target="/next")
    with Client(daemon.address()) as client:
        for size in (MIN, MIN + 1, 3 * MIN + 17, 70_000):
            data = content(size)
            start, whole = upload(data)[:-size], data + following
            for first, second in edges(size, 30, len(following)):
                send_in_pieces(client.sock, start, whole[:first], whole[first:second],
                               whole[second:])
                check_echo(client, data, f"{size} bytes cut at {first} and {second}")
                check_echo(client, content(100, 7), f"behind {size} cut at {first} and {second}")


@case(timeout=90)
def test_chunk_budget_ends_anywhere(env):
    """The same with chunks, up and down: behind each is a line end, a size, and the next one."""
    cuts = []

    def serve(connection):
        while connection.request():
            whole = framed("HTTP/1.1 200 OK", content(2 * size + 100), (size,))
            start = whole.index(b"\r\n\r\n") + 4 + len(b"%x\r\n" % size)
            first, second = cuts[-1]
            send_in_pieces(connection.sock, whole[:start], whole[start:start + first],
                           whole[start + first:start + second], whole[start + second:])

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address, OPTIONS)
    with Client(daemon.address()) as client:
        for size in (MIN, MIN + 1, 70_000):
            data = content(2 * size + 100)
            whole = upload(data, (size,))
            start = whole.index(b"\r\n\r\n") + 4 + len(b"%x\r\n" % size)
            for first, second in edges(size, 3, 7, 8, 9):
                cuts.append((first, second))
                send_in_pieces(client.sock, whole[:start], whole[start:start + first],
                               whole[start + first:start + second], whole[start + second:])
                check_echo(client, data, f"{size} bytes cut at {first} and {second}")
                assert origin.requests[-1].body == data, f"{size} bytes cut at {first} and {second}"


@case(timeout=60)
def test_pipelined_uploads(env):
    """All in one go, large and small, with requests without a body between them."""
    origin, daemon = echo_proxy(env)
    sizes = [0, 10, MIN, 50_000, 1, 200_000, MIN - 1, 70_000] * 3
    with Client(daemon.address()) as client:
        parts = [upload(content(size, size), None if turn % 2 else (30_000,), f"/{turn}")
                 + request("GET", f"/get{turn}") for turn, size in enumerate(sizes)]
        sender = pattern.Stream(client.sock, 1, 0).start(client.send, *parts)
        for turn, size in enumerate(sizes):
            check_echo(client, content(size, size), f"upload {turn}")
            check_echo(client, b"", f"GET {turn}")
        sender.join(10)
    assert len(origin.check()) == 2 * len(sizes)


# ---- large ones --------------------------------------------------------------------------------

class Sink:
    """An Origin's serve(): answers an upload with its hash, and GET /SIZE with that many bytes."""

    def __init__(self, seed=5):
        self.pattern = Pattern(seed)

    def serve(self, connection):
        while asked := connection.request():
            if asked.method != "GET":
                connection.send(reply(asked.sha.hexdigest().encode()))
                continue
            size = int(asked.target[1:])
            connection.send(head("HTTP/1.1 200 OK", f"Content-Length: {size}"))
            send_pattern(connection.sock, self.pattern, size)


def pattern_sha(stream, size):
    sha = hashlib.sha256()
    for at in range(0, size, 1 << 17):
        sha.update(stream.piece(at, min(1 << 17, size - at)))
    return sha.hexdigest()


@case(timeout=90)
def test_large(env):
    """200 MB each way on one connection, by hash."""
    size, sink = env.pick(200_000_000, 16_000_000), Sink()
    daemon = proxy(env, Origin(env, serve=sink.serve).address)
    wanted = pattern_sha(sink.pattern, size)
    with Client(daemon.address(), timeout=30) as client:
        client.send(request("PUT", "/", f"Content-Length: {size}"))
        send_pattern(client.sock, sink.pattern, size)
        assert client.response().body.decode() == wanted
        answer = client.ask("GET", f"/{size}")
        assert answer.size == size and answer.sha.hexdigest() == wanted
        assert client.ask("PUT", "/", body=b"x").status == 200
    lines = wait_requests(daemon, 3)
    assert lines[0]["bytes_up"] == lines[1]["bytes_down"] == str(size), lines
    assert [line["engine"] for line in lines] == [env.engine, env.engine, "copy"], lines
    check_kernel_share(env, daemon, 0.01)


@case(timeout=60)
def test_large_until_close(env):
    """An answer without a length, whose end is the connection's."""
    size, stream = env.pick(64, 4) * MIB, Pattern(6)

    def serve(connection):
        connection.request()
        connection.send(head("HTTP/1.1 200 OK", "Connection: close"))
        send_pattern(connection.sock, stream, size)

    daemon = proxy(env, Origin(env, serve=serve).address)
    wanted = pattern_sha(stream, size)
    for version in ("1.1", "1.0"):
        with Client(daemon.address(), timeout=30) as client:
            answer = client.send(request(version=version)).response()
            assert answer.size == size and answer.sha.hexdigest() == wanted, answer.size
    assert [line["bytes_down"] for line in wait_requests(daemon, 2)] == [str(size)] * 2


def small_window_client(address):
    """A Client with a receive buffer that is soon full."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
    sock.settimeout(Deadline(30).seconds)
    host, _, port = address.rpartition(":")
    sock.connect((host, int(port)))
    return Client(address, sock=sock)


def send_chunks(connection, stream, chunks, size, sent):
    """Of the pattern; sent[0] says how many bytes are out of hand."""
    connection.send(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"))
    for number in range(chunks):
        data = b"%x\r\n%b\r\n" % (size, b"".join(
            stream.piece(number * size + at, min(1 << 17, size - at))
            for at in range(0, size, 1 << 17)))
        for at in range(0, len(data), 1 << 15):
            connection.send(data[at:at + (1 << 15)])
            sent[0] += min(1 << 15, len(data) - at)
    connection.send(b"0\r\n\r\n")


@case(timeout=90)
def test_chunks_behind_a_small_window(env):
    """A local server may fill a small window again with each read of the daemon's, and each of its
    chunks ends within a segment: a client that stops reading holds it up all the same."""
    chunks, size, stream, sent = env.pick(64, 24), MIB + 1, Pattern(8), [0]

    def serve(connection):
        connection.request()
        send_chunks(connection, stream, chunks, size, sent)

    daemon = proxy(env, Origin(env, serve=serve).address, OPTIONS, spliced={"memory_max": "64M"})
    with small_window_client(daemon.address()) as client:
        client.send(request())
        for number in range(1, 6):
            while client.reader.total < number * MIB * 3 // 2:
                assert client.reader.fill(1 << 16)
            stays(lambda: sent[0] - client.reader.total < 12 * MIB, 0.2,
                  lambda: f"{sent[0]} bytes were sent, and {client.reader.total} are read")
        answer = client.response()
        assert answer.size == chunks * size, answer.size
        assert answer.sha.hexdigest() == pattern_sha(stream, chunks * size)
    assert wait_requests(daemon)[0]["end"] == "done"


@case(engines=("kernel",), timeout=60)
def test_a_server_that_is_faster(env):
    """Its chunks end within a segment, so that each end is read by hand, and more than eight times
    splice_window comes between two calls of the daemon: for the receive buffer grew before, while
    small chunks were copied. What waits is bounded, and the session goes on."""
    sizes, stream = [1 << 16] * 128 + [4 * MIB + 1] * 12, Pattern(8)

    def serve(connection):
        connection.request()
        connection.send(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"))
        at = 0
        for size in sizes:
            connection.send(b"%x\r\n" % size)
            send_pattern(connection.sock, stream, size, at)
            connection.send(b"\r\n")
            at += size
        connection.send(b"0\r\n\r\n")

    daemon = proxy(env, Origin(env, serve=serve).address, {"body_splice_min": "1M"},
                   spliced=LOW_MARKS)
    with Client(daemon.address(), timeout=30) as client:
        answer = client.send(request()).response()
        assert answer.size == sum(sizes), answer.size
        assert answer.sha.hexdigest() == pattern_sha(stream, sum(sizes))
    assert wait_requests(daemon)[0]["end"] == "done"
    assert daemon.stats()["verdicts"]["refused"] > 0, daemon.stats()["verdicts"]


@case(timeout=60)
def test_slow_client(env):
    """A download at the client's pace, and the next request behind it."""
    size, sink = env.pick(12, 2) * MIB, Sink()
    daemon = proxy(env, Origin(env, serve=sink.serve).address, OPTIONS, spliced=LOW_MARKS)
    with small_window_client(daemon.address()) as client:
        client.send(request("GET", f"/{size}"), request("GET", "/5"))
        answer, got = client.head(), 0
        assert answer.get("Content-Length") == str(size)
        for piece in client.reader.pieces(size):
            sink.pattern.check(got, piece)
            before, got = got, got + len(piece)
            if got // (4 * MIB) > before // (4 * MIB):     # a longer rest now and then
                wait_taken(client.sock)
                threading.Event().wait(0.3)
        assert client.response().body == sink.pattern.piece(0, 5)


@case(timeout=60)
def test_slow_server(env):
    """An upload at the server's pace, and the next request behind it."""
    size, stream = env.pick(12, 2) * MIB, Pattern(7)
    shas = []

    def serve(connection):
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
        while asked := connection.head():
            sha, got = hashlib.sha256(), 0
            for piece in connection.reader.pieces(asked.framing()):
                sha.update(piece)
                before, got = got, got + len(piece)
                if got // (4 * MIB) > before // (4 * MIB):
                    threading.Event().wait(0.3)
            shas.append(sha.hexdigest())
            connection.send(reply(b"taken"))

    daemon = proxy(env, Origin(env, serve=serve).address, OPTIONS, spliced=LOW_MARKS)
    with Client(daemon.address(), timeout=30) as client:
        client.send(request("PUT", "/", f"Content-Length: {size}"))
        send_pattern(client.sock, stream, size)
        client.send(request("PUT", "/", body=b"next"))
        assert client.response().body == client.response().body == b"taken"
    assert shas == [pattern_sha(stream, size), hashlib.sha256(b"next").hexdigest()]


@case(timeout=60)
def test_both_ways_at_once(env):
    """A server that answers while it reads, with as much as it reads."""
    size = env.pick(32, 4) * MIB
    stream = Pattern(8)

    def serve(connection):
        while asked := connection.head():
            connection.send(head("HTTP/1.1 200 OK", f"Content-Length: {asked.framing()}"))
            for piece in connection.reader.pieces(asked.framing()):
                connection.send(piece)

    daemon = proxy(env, Origin(env, serve=serve).address)
    with Client(daemon.address(), timeout=30) as client:
        for _ in range(2):
            client.send(request("POST", "/", f"Content-Length: {size}"))
            sender = pattern.Stream(client.sock, 1, 0)
            sender.start(send_pattern, client.sock, stream, size)
            answer = client.response()
            sender.join(10)
            assert answer.size == size and answer.sha.hexdigest() == pattern_sha(stream, size)


# ---- ends in the middle ------------------------------------------------------------------------

def incomplete(client):
    """Reads an answer that must not look whole: (how much came, the Response)."""
    answer = client.head()
    try:
        client.reader.body(answer, answer.framing("GET"))
    except (BadMessage, ConnectionResetError):
        return answer.size, answer
    raise AssertionError(f"whole: {answer.raw}, {answer.size} bytes")


@case(timeout=60, core=True)
def test_what_was_handed_up_before_a_reset(env):
    """The kernel has handed up the end of a chunk, and what is behind it, to a daemon that does not
    run, when the server resets the connection: the client gets all of it."""
    there, over = [], threading.Event()
    first, rest = bytes(CONTENT.piece(0, 1000)), bytes(CONTENT.piece(1000, 64 * KIB))

    def serve(connection):
        connection.request()
        connection.send(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"),
                        b"%x\r\n%b" % (len(first) + len(rest), first))
        there.append(connection.sock)
        over.wait(60)

    daemon = proxy(env, Origin(env, serve=serve).address, OPTIONS)
    with Client(daemon.address(), timeout=30) as client:
        answer = client.send(request()).head()
        while client.reader.total < len(answer.raw) + len(first):
            assert client.reader.fill(1 << 16)
        if env.engine == "kernel":
            wait_until(lambda: daemon.map_entries()["engaged"], 5, "the body in the kernel")
        daemon.signal(signal.SIGSTOP)
        there[0].settimeout(Deadline(10).seconds)
        there[0].sendall(rest + b"\r\n5\r\nhello\r\n")
        tcp.reset(there[0])
        daemon.signal(signal.SIGCONT)
        try:
            client.reader.body(answer, answer.framing("GET"))
        except (BadMessage, ConnectionResetError):
            pass
        assert answer.size == len(first) + len(rest) + 5, answer.size
        wanted = hashlib.sha256(first + rest + b"hello")
        assert answer.sha.hexdigest() == wanted.hexdigest()
        over.set()
    assert wait_requests(daemon)[0]["end"] == "server_reset"


@case(timeout=60)
def test_server_dies_in_a_download(env):
    """In the middle of what the kernel moves; by a reset, and by an early end."""
    size, stream = 8 * MIB, Pattern(9)
    for start, end in ((f"Content-Length: {size}", tcp.reset), (f"Content-Length: {size}", None),
                       ("Transfer-Encoding: chunked", tcp.reset),
                       ("Transfer-Encoding: chunked", None)):
        def serve(connection, field=start, leave=end):
            connection.request()
            connection.send(head("HTTP/1.1 200 OK", field))
            connection.send(b"%x\r\n" % size if "chunked" in field else b"")
            send_pattern(connection.sock, stream, size // 2)
            wait_taken(connection.sock)
            if leave:
                leave(connection.sock)

        daemon = proxy(env, Origin(env, serve=serve).address, OPTIONS)
        with Client(daemon.address()) as client:
            got, answer = incomplete(client.send(request()))
            assert got <= size // 2 and (got == size // 2 or end), f"{got} bytes, {start}, {end}"
            stream.check(0, answer.body)
        line = wait_requests(daemon)[0]
        assert (line["status"], line["end"]) == ("200", "server_reset"), line
        daemon.stop()


@case(timeout=60)
def test_client_dies_in_an_upload(env):
    """The server sees that it is not all; the connection carries nobody else's request then."""
    size, stream = 8 * MIB, Pattern(9)
    origin = Origin(env)
    daemon = proxy(env, origin.address, OPTIONS, spliced={"workers": 1})
    for number, (start, leave) in enumerate((
            (f"Content-Length: {size}", tcp.reset),
            (f"Content-Length: {size}", socket.socket.close),
            ("Transfer-Encoding: chunked", tcp.reset),
            ("Transfer-Encoding: chunked", socket.socket.close)), 1):
        client = Client(daemon.address())
        client.send(request("POST", "/cut", start), b"%x\r\n" % size if "chunked" in start else b"")
        send_pattern(client.sock, stream, size // 2)
        wait_taken(client.sock)
        leave(client.sock)
        assert wait_requests(daemon, 2 * number - 1)[-1]["end"] == (
            "client_reset" if leave is tcp.reset else "client_closed")
        with Client(daemon.address()) as other:
            assert other.ask("GET", "/whole").status == 200
    assert origin.targets() == ["/whole"] * 4
    wait_until(lambda: origin.opened() <= 1, 5, "the cut connections end")


@case(timeout=60)
def test_client_dies_in_a_download(env):
    """The next client of the same server gets its own answer, and nothing of the other's."""
    size, sink = 64 * MIB, Sink()   # more than all the buffers on its way
    origin = Origin(env, serve=sink.serve)
    daemon = proxy(env, origin.address, OPTIONS, spliced={"workers": 1})
    for number in range(1, 5):
        client = Client(daemon.address())
        client.send(request("GET", f"/{size}"))
        assert client.head().status == 200
        client.reader.exactly(MIB)
        (tcp.reset if number % 2 else socket.socket.close)(client.sock)
        with Client(daemon.address()) as other:
            assert other.ask("GET", "/7").body == sink.pattern.piece(0, 7)
    ends = [line["end"] for line in wait_requests(daemon, 8)]
    assert sorted(ends) == ["client_reset"] * 4 + ["done"] * 4, ends


# ---- by chance ---------------------------------------------------------------------------------

def random_sizes(dice):
    """None for a body with a length, or sizes of chunks."""
    if dice.random() < 0.5:
        return None
    return [dice.choice((1, 100, MIN - 1, MIN, MIN + 1, 40_000, dice.randint(1, 100_000)))
            for _ in range(dice.randint(1, 4))]


def random_pieces(dice, data):
    """The same bytes, cut into a few pieces somewhere."""
    at = sorted(dice.randint(0, len(data)) for _ in range(dice.randint(0, 4)))
    return [data[start:end] for start, end in zip([0, *at], [*at, len(data)])]


@case(timeout=120)
def test_by_chance(env):
    """Bodies of any size and framing in any segments from several clients, over the same
    connections to the server."""
    _, daemon = echo_proxy(env, spliced=LOW_MARKS)
    rounds = env.pick(60, 15)
    problems = []

    def play(seed):
        dice = random.Random(seed)
        try:
            with Client(daemon.address(), timeout=20) as client:
                for turn in range(rounds):
                    data = content(dice.choice((0, 5, 1000, MIN - 1, MIN, MIN + 1, 100_000,
                                                dice.randint(0, 400_000))), dice.randint(0, 9999))
                    raw = upload(data, random_sizes(dice))
                    pieces = random_pieces(dice, raw)
                    if dice.random() < 0.7:
                        client.send(*pieces)
                    else:
                        send_in_pieces(client.sock, *pieces)
                    check_echo(client, data, f"seed {seed}, turn {turn}")
        except BaseException as error:  # told by the test
            problems.append(f"seed {seed}: {error!r}")

    players = [threading.Thread(target=play, args=(seed,), daemon=True) for seed in range(6)]
    for player in players:
        player.start()
    for player in players:
        player.join(Deadline(100).seconds)
    assert not problems, "\n".join(problems)
    assert not any(player.is_alive() for player in players), "a client is stuck"
    check_kernel_share(env, daemon, 0.05)
