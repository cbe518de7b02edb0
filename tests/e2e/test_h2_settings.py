# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP/2 clients that wait for a server's SETTINGS before their first request: gRPC's, and some
made by hand to see every byte."""

import socket
import time

from lib import case, grpc, pattern, proxyheader, tcp
from lib.h2 import (ACK, BEGINNING, BODY, CONTINUATION, DATA, EMPTY, GOAWAY, HEADERS, PING, PREFACE,
                    REQUEST, SETTINGS, WINDOW_UPDATE, frame)
from lib.http import Reader, ending
from lib.pattern import MIB
from lib.segments import send_in_pieces, splits
from lib.sniffing import Recorder, check_refused, connected
from lib.traffic import check_kernel_share
from lib.wait import Deadline, wait_until

AT_DEBUG = False

LONG = "60s"


def proxy(env, server, listener=None, **options):
    return env.spliced(server.address, listener={
        "protocol": "http", "route": ["host:a.test -> main"], "pool": None,
        "sniff_timeout": LONG, **(listener or {})}, **options)


def paused(address):
    """A client that has sent its beginning and was sent SETTINGS, with its Reader."""
    sock = connected(address)
    sock.sendall(BEGINNING)
    reader = Reader(sock)
    assert reader.exactly(len(EMPTY)) == EMPTY
    return sock, reader


def finish(sock, reader, server, number, sent):
    """The server's name came, and it got exactly `sent`."""
    assert reader.until(b"\n") == server.name.encode() + b"\n"
    sock.sendall(BODY + ACK)
    sock.shutdown(socket.SHUT_WR)
    assert ending(reader) == (b"", "eof")
    sock.close()
    assert server.stream(number) == sent + BODY + ACK, f"of stream {number}"


ORDERS = {
    "before": (ACK + REQUEST, REQUEST),
    "after": (REQUEST + ACK, REQUEST),
    "between others": (frame(PING, payload=bytes(8)) + ACK + frame(PING, 1, 0, bytes(8)) + REQUEST,
                       frame(PING, payload=bytes(8)) + frame(PING, 1, 0, bytes(8)) + REQUEST),
    "behind a body": (REQUEST + BODY + ACK + frame(DATA, 1, 1), REQUEST + BODY + frame(DATA, 1, 1)),
    "before two": (REQUEST + ACK + ACK, REQUEST + ACK),
}


@case(timeout=120)
def test_acknowledgement_is_taken_out(env):
    """That one, wherever it is and however it is cut; the next one is the server's."""
    server, count = Recorder(env, "a"), 0
    for protocol in ("http", "auto"):
        daemon = proxy(env, server, {"protocol": protocol})
        for name, (sent, wanted) in ORDERS.items():
            for _, pieces in [(0, (sent,)), *splits(sent, env.pick(11, 29))]:
                count += 1
                sock, reader = paused(daemon.address())
                send_in_pieces(sock, *pieces)
                finish(sock, reader, server, count, BEGINNING + wanted)
        lines = daemon.wait_access(1)
        assert {line["end"] for line in lines} == {"done"}, lines
        assert {line["protocol"] for line in lines} == {"h2c"}, lines


@case(timeout=60)
def test_byte_by_byte(env):
    server = Recorder(env, "a")
    daemon = proxy(env, server)
    for number, (sent, wanted) in enumerate(ORDERS.values(), 1):
        sock, reader = paused(daemon.address())
        send_in_pieces(sock, *(sent[at:at + 1] for at in range(len(sent))))
        finish(sock, reader, server, number, BEGINNING + wanted)


@case(timeout=60)
def test_who_does_not_wait_sees_no_difference(env):
    """A request that comes at once, acknowledgements included, goes on as it is."""
    server = Recorder(env, "a")
    daemon = proxy(env, server)
    for number, sent in enumerate((BEGINNING + REQUEST, BEGINNING + ACK + REQUEST,
                                   BEGINNING + REQUEST + ACK), 1):
        sock = connected(daemon.address())
        sock.sendall(sent)
        finish(sock, Reader(sock), server, number, sent)
    # Nor does one that pauses within what it has begun.
    for number, cut in enumerate((len(PREFACE) - 1, len(PREFACE) + 3, len(BEGINNING) - 1,
                                  len(BEGINNING) + 1, len(BEGINNING) + 13), number + 1):
        sock = connected(daemon.address())
        sock.sendall((BEGINNING + REQUEST)[:cut])
        time.sleep(0.2)
        sock.sendall((BEGINNING + REQUEST)[cut:])
        finish(sock, Reader(sock), server, number, BEGINNING + REQUEST)


@case(timeout=60)
def test_held_back_bytes_are_not_lost(env):
    """A client that ends, or is reset, within a frame's header."""
    server = Recorder(env, "a")
    daemon = proxy(env, server)
    for cut in range(1, 9):
        sock, reader = paused(daemon.address())
        sock.sendall(REQUEST + ACK[:cut])
        sock.shutdown(socket.SHUT_WR)
        assert reader.rest() == b"a\n"
        sock.close()
        assert server.stream(cut) == BEGINNING + REQUEST + ACK[:cut]


@case(timeout=60)
def test_behind_a_proxy_header(env):
    server = Recorder(env, "a", header=True)
    header = proxyheader.v1(("192.0.2.1", 40001), ("192.0.2.2", 80))
    for protocol in ("http", "auto"):
        daemon = proxy(env, server, {"protocol": protocol, "trusted": "127.0.0.0/8",
                                     "accept_proxy": "any" if protocol == "http" else "no"},
                       pool={"send_proxy": "v2"})
        for cut in (0, 3, len(header), len(header) + 30):
            count = server.accepted + 1
            sock = connected(daemon.address())
            data = header + BEGINNING
            send_in_pieces(sock, data[:cut], data[cut:])
            reader = Reader(sock)
            assert reader.exactly(len(EMPTY)) == EMPTY
            send_in_pieces(sock, REQUEST[:7], REQUEST[7:] + ACK[:4], ACK[4:])
            finish(sock, reader, server, count, BEGINNING + REQUEST)
            assert server.headers[-1].source == ("192.0.2.1", 40001)


# ---- the kernel engine afterwards ----------------------------------------------------------------

def exchange_with(env, daemon, exchanges, ack, size):
    """A bulk of frames each way after the request, with the acknowledgement or without."""
    sock, reader = paused(daemon.address())
    sock.sendall(REQUEST + ack)
    assert reader.exactly(2) == b"a\n"
    header = size.to_bytes(3, "big") + bytes([DATA, 0]) + (1).to_bytes(4, "big")
    sock.sendall(header)
    pattern.Exchange(sock, (1, size), (2, size)).join(Deadline(40).seconds)
    exchanges[-1].join(10)
    sock.close()
    line = daemon.wait_access(len(exchanges))[-1]
    assert line["end"] == "done", line
    assert int(line["bytes_up"]) == len(BEGINNING + REQUEST + header) + size, line
    assert int(line["bytes_down"]) == size + 2, line
    assert line["engine"] == env.engine, line


@case(timeout=90)
def test_bulk_after_the_acknowledgement(env):
    """Exact, and the kernel's; also of a client that never acknowledges anything."""
    size, exchanges = 12 * MIB, []
    head = BEGINNING + REQUEST

    def serve(sock):
        assert tcp.read_exactly(sock, len(head)) == head
        sock.sendall(b"a\n")
        tcp.read_exactly(sock, 9)
        exchanges.append(pattern.Exchange(sock, (2, size), (1, size)))
        exchanges[-1].join(40)

    daemon = proxy(env, env.backend(serve))
    exchange_with(env, daemon, exchanges, ACK, size)
    exchange_with(env, daemon, exchanges, b"", size)
    check_kernel_share(env, daemon)


@case(timeout=60)
def test_engaged_at_once(env):
    """Where sessions go to the kernel as they begin, this one does when it is known to be right."""
    server, count = Recorder(env, "a"), 0
    daemon = proxy(env, server, spliced={"engage_after": "0"})
    for sent, wanted in ORDERS.values():
        for pieces in ((sent,), (sent[:30], sent[30:])):
            sock, reader = paused(daemon.address())
            send_in_pieces(sock, *pieces)
            count += 1
            finish(sock, reader, server, count, BEGINNING + wanted)


# ---- ends ----------------------------------------------------------------------------------------

@case(timeout=60)
def test_no_request(env):
    """It is told that none was looked at, and closed after sniff_timeout."""
    server = Recorder(env, "a")
    for protocol in ("http", "auto"):
        daemon = proxy(env, server, {"protocol": protocol, "sniff_timeout": "1s"})
        for number, more in enumerate((b"", ACK), 1):
            began = time.monotonic()
            sock, reader = paused(daemon.address())
            sock.sendall(more)
            assert ending(reader) == (frame(GOAWAY, payload=bytes(8)), "eof")
            assert 0.9 < time.monotonic() - began < Deadline(4).seconds
            sock.close()
            line = daemon.wait_access(number)[-1]
            assert line["end"] == "sniff_timeout", line
    assert server.accepted == 0


def test_end_instead_of_a_request(env):
    server = Recorder(env, "a")
    for protocol in ("http", "auto"):
        daemon = proxy(env, server, {"protocol": protocol})
        sock, reader = paused(daemon.address())
        sock.sendall(ACK)
        sock.shutdown(socket.SHUT_WR)
        assert ending(reader) == (b"", "eof")
        assert daemon.wait_access(1)[-1]["end"] == "client_closed"
    assert server.accepted == 0


def test_bad_frames_after_settings(env):
    """What is no HTTP/2 is so after SETTINGS, too."""
    server = Recorder(env, "a")
    daemon = proxy(env, server)
    for number, bad in enumerate((frame(SETTINGS, 1, 0, bytes(6)), frame(SETTINGS, 1, 3),
                                  frame(DATA, 0, 1, b"x"), ACK + frame(CONTINUATION, 4, 1)), 1):
        sock, reader = paused(daemon.address())
        sock.sendall(bad)
        answer = ending(reader)
        assert answer == (b"", "reset"), answer
        sock.close()
        assert daemon.wait_access(number)[-1]["end"] == "bad_http"
    assert server.accepted == 0


# ---- gRPC ----------------------------------------------------------------------------------------

def check_calls(env, client, server, port):
    """Unary and streaming both ways, through `http` and `auto`."""
    with server.server(port) as backend:
        for protocol in ("http", "auto"):
            daemon = env.spliced(backend.address, listener={"protocol": protocol,
                                                            "sniff_timeout": LONG})
            assert client.call(daemon.address(), env.pick(8, 2)) == grpc.CALLS
            line = daemon.wait_access(1)[-1]
            assert line["protocol"] == "h2c", line
            assert line["end"] in ("done", "client_reset"), line
            if env.engine == "kernel":
                wait_until(lambda: daemon.stats()["sessions_kernel"] == 1, 5, "a kernel session")


@case(timeout=120, vm=False)
def test_grpc_python(env):
    check_calls(env, grpc.Python(env), grpc.Python(env), 50051)


@case(timeout=240, vm=False)
def test_grpc_node(env):
    check_calls(env, grpc.Node(env), grpc.Node(env), 50052)


@case(timeout=240, vm=False)
def test_grpc_node_to_python(env):
    check_calls(env, grpc.Node(env), grpc.Python(env), 50053)
    check_calls(env, grpc.Python(env), grpc.Node(env), 50054)
