# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP/1: every request on its own, whatever its neighbours on the connection are."""

import random
import re
import socket
import threading

from lib import case, pattern, tcp, wait_until, websocket
from lib.http import (BadMessage, Client, Origin, chunked, ending, head, proxy, reply,
                      request, wait_end, wait_requests)
from lib.pattern import MIB
from lib.traffic import check_kernel_share
from lib.wait import Deadline

ONE_WORKER = {"workers": 1}     # connections to servers are each worker's own


# ---- routes ------------------------------------------------------------------------------------

ROUTES = [
    "host:a.test path:/api method:POST -> post",
    "host:a.test path:/api -> api",
    "host:*.wild.test -> wild",
    "host:exact.wild.test -> late",
    "method:DELETE -> delete",
    "header:X-Beta=yes -> beta",
    "header:X-Any -> any",
    "header:Host=c.test -> any",
    "src:127.0.0.2/32 path:/src -> src",
    "host:a.test -> a",
    "path:/deep/er -> deep",
    "host:query.test path:/?q -> deep",
    "host:[2001:DB8:0000::0:1] -> deep",
]
POOLS = ("post", "api", "wild", "late", "delete", "beta", "any", "src", "a", "deep")

# (method, target, host, fields) -> the pool
ROUTED = {
    ("GET", "/", "a.test", ()): "a",
    ("GET", "/api", "a.test", ()): "api",
    ("GET", "/api/v1?x=/y", "A.Test", ()): "api",
    ("POST", "/api/v1", "a.test:8080", ()): "post",
    ("POST", "/other", "a.test", ()): "a",
    ("GET", "/ap", "a.test.", ()): "a",
    ("GET", "/API", "a.test", ()): "a",
    ("GET", "/?/api", "a.test", ()): "a",
    ("GET", "http://a.test/api?q", "a.test", ()): "api",
    ("GET", "http://a.test", "a.test", ()): "a",
    ("GET", "/", "x.wild.test", ()): "wild",
    ("GET", "/", "x.y.WILD.test:80", ()): "wild",
    ("GET", "/", "exact.wild.test", ()): "wild",
    ("GET", "/", "wild.test", ()): "default",
    ("GET", "/", "notwild.test", ()): "default",
    ("DELETE", "/", "b.test", ()): "delete",
    ("DELETE", "/api", "a.test", ()): "api",
    ("GET", "/", "b.test", ("X-Beta: yes",)): "beta",
    ("GET", "/", "b.test", ("x-beta:yes ",)): "beta",
    ("GET", "/", "b.test", ("X-Beta: no",)): "default",
    ("GET", "/", "b.test", ("X-Beta: no", "X-Any: 1")): "any",
    ("GET", "/", "b.test", ("X-Any:",)): "any",
    ("GET", "/", "c.test", ()): "any",
    ("GET", "http://c.test/", "b.test", ()): "any",
    ("GET", "http://b.test/", "c.test", ()): "default",
    ("GET", "/src", "b.test", ()): "default",
    ("GET", "/deep/er/still", "b.test", ()): "deep",
    ("GET", "/deep", "b.test", ()): "default",
    ("GET", "http://query.test?q=1", "query.test", ()): "deep",
    ("OPTIONS", "*", "b.test", ()): "default",
    ("GET", "/", "192.0.2.1", ()): "default",
    ("GET", "/", "[2001:db8::2]:80", ()): "default",
    ("GET", "/", "[2001:db8::1]:80", ()): "deep",
    ("GET", "/", "[2001:0DB8:0:0:0::1]", ()): "deep",
    ("GET", "http://[2001:db8:0::0:1]/x", "other.test", ()): "deep",
}


class Farm:
    """A daemon with an Origin for each pool; they answer with their names."""

    def __init__(self, env, **options):
        self.origins = {name: Origin(env, name=name) for name in (*POOLS, "default")}
        pools = {name: self.origins[name].address for name in POOLS}
        self.daemon = proxy(env, self.origins["default"].address, {"route": ROUTES}, pools,
                            **options)
        self.address = self.daemon.address()


def row_bytes(row):
    method, target, host, fields = row
    return request(method, target, *fields, host=host, body=b"" if method == "POST" else None)


def test_each_request_is_routed(env):
    """On one connection, one after the other."""
    farm = Farm(env)
    with Client(farm.address) as client:
        for row, wanted in ROUTED.items():
            answer = client.send(row_bytes(row)).response()
            assert (answer.status, answer.body) == (200, wanted.encode()), (row, answer.raw)
    lines = wait_requests(farm.daemon, len(ROUTED))
    for (row, wanted), line in zip(ROUTED.items(), lines):
        assert line["pool"] == ("main" if wanted == "default" else wanted), (row, line)
        assert line["method"] == row[0] and line["status"] == "200", (row, line)
    for name, origin in farm.origins.items():
        assert len(origin.check()) == sum(wanted == name for wanted in ROUTED.values()), name


def test_pipelined_requests_are_routed(env):
    """All at once in any order: the answers come in the order of the requests."""
    farm, rows = Farm(env), list(ROUTED) * 4
    random.Random(5).shuffle(rows)
    with Client(farm.address) as client:
        client.send(*(row_bytes(row) for row in rows))
        for row in rows:
            answer = client.response()
            assert answer.body == ROUTED[row].encode(), (row, answer.raw)
    with Client(farm.address, source="127.0.0.2") as client:
        assert client.ask("GET", "/src/x", host="b.test").body == b"src"


def test_slow_first_answer(env):
    """A later request does not overtake an earlier one of another pool."""
    go = threading.Event()

    def answer(_):
        go.wait(10)
        return reply(b"slow")

    slow, fast = Origin(env, answer), Origin(env, name="fast")
    daemon = proxy(env, slow.address, {"route": "path:/fast -> fast"}, {"fast": fast.address})
    with Client(daemon.address()) as client:
        client.send(request(), request("GET", "/fast"), request(), request("GET", "/fast"))
        wait_until(lambda: slow.requests, 5, "the first request")
        go.set()
        assert [bytes(client.response().body) for _ in range(4)] == [b"slow", b"fast"] * 2


def test_target_forms(env):
    """A server gets the origin form, and the Host that the target says."""
    origin = Origin(env)
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        for target, wanted in (("http://b.test/x?y=z", ("/x?y=z", "b.test")),
                               ("http://b.test:81", ("/", "b.test:81")),
                               ("/a//b/../c?", ("/a//b/../c?", "b.test")),
                               ("*", ("*", "b.test"))):
            method = "OPTIONS" if target == "*" else "GET"
            host = wanted[1] if "//b" in target and "http" in target else "b.test"
            assert client.ask(method, target, host=host).status == 200
            asked = origin.check()[-1]
            assert (asked.target, asked.get("Host")) == wanted, asked.raw


# ---- framing -----------------------------------------------------------------------------------

def test_http_1_0(env):
    """Closed after the answer unless asked to keep it; never a chunk."""
    body = b"x" * 5000
    in_chunks = head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") \
        + chunked(body[:100], body[100:])
    origin = Origin(env, lambda asked: in_chunks if asked.target == "/chunked" else reply(body))
    daemon = proxy(env, origin.address)
    for target in ("/", "/chunked"):
        with Client(daemon.address()) as client:
            client.send(request("GET", target, version="1.0"))
            answer = client.response()
            assert answer.body == body and not answer.all("Transfer-Encoding"), answer.raw
            assert client.ending() == (b"", "eof")
    with Client(daemon.address()) as client:
        for _ in range(3):
            client.send(request("GET", "/", "Connection: keep-alive", version="1.0"))
            answer = client.response()
            assert answer.body == body and "keep-alive" in answer.get("Connection"), answer.raw
    assert not [asked.raw for asked in origin.check() if asked.version != "1.1"]
    with Client(daemon.address()) as client:    # Host is not needed there
        assert client.send(request(host=None, version="1.0")).response().body == body


def test_server_of_http_1_0(env):
    """Its answers end with its connection, which ends nothing at the client."""
    body = b"y" * 70000
    answers = {"/length": head("HTTP/1.0 200 OK", f"Content-Length: {len(body)}") + body,
               "/close": head("HTTP/1.0 200 OK") + body}
    origin = Origin(env, serve=lambda connection: connection.send(
        answers[connection.request().target]))
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        for _ in range(3):
            answer = client.ask("GET", "/length")
            assert answer.body == body and answer.version == "1.1", answer.raw
            assert not answer.wants_close(), answer.raw
        assert client.ask("GET", "/close").body == body
    assert len(origin.connections) == 4


def test_answer_until_close(env):
    """The client learns where it ends, by chunks or by the end; in HTTP/1.0 by the end."""
    body = random.Random(1).randbytes(300_000)
    origin = Origin(env, serve=lambda connection: connection.request() and connection.send(
        head("HTTP/1.1 200 OK", "Connection: close"), body))
    daemon = proxy(env, origin.address)
    for version in ("1.1", "1.0"):
        with Client(daemon.address()) as client:
            answer = client.send(request(version=version)).response()
            assert answer.body == body, f"{answer.size} bytes of {len(body)}"
            if answer.wants_close() or version == "1.0":
                assert client.ending() == (b"", "eof")
    assert wait_end(daemon, 2) == "done"


NO_BODY = {
    ("HEAD", "/length"): head("HTTP/1.1 200 OK", "Content-Length: 1000"),
    ("HEAD", "/chunked"): head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"),
    ("HEAD", "/nothing"): head("HTTP/1.1 200 OK"),
    ("GET", "/204"): head("HTTP/1.1 204 No Content"),
    ("GET", "/304"): head("HTTP/1.1 304 Not Modified", "Content-Length: 1000", 'ETag: "x"'),
    ("POST", "/204"): head("HTTP/1.1 204 No Content"),
    ("GET", "/empty"): reply(),
    ("GET", "/chunk0"): head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + chunked(),
    ("GET", "/205"): head("HTTP/1.1 205 Reset Content", "Content-Length: 0"),
    ("GET", "/noreason"): b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
    ("GET", "/obs-text"): b"HTTP/1.1 200 Gr\xfc\xdfe\r\nContent-Length: 0\r\nX-Y: \xe4\r\n\r\n",
}


def test_answers_without_body(env):
    """The next answer follows at once, on either side's same connection."""
    origin = Origin(env, lambda asked: NO_BODY.get((asked.method, asked.target)) or reply(b"next"))
    daemon = proxy(env, origin.address, spliced=ONE_WORKER)
    with Client(daemon.address()) as client:
        for (method, target), raw in NO_BODY.items():
            body = b"body" if method == "POST" else None
            client.send(request(method, target, body=body), request("GET", "/next"))
            answer = client.response(method)
            assert answer.status == int(raw[9:12]) and not answer.body, (method, target, answer.raw)
            assert client.response().body == b"next", (method, target)
        client.send(request("HEAD", "/length"))
        assert client.response("HEAD").get("Content-Length") == "1000"
    assert len(origin.connections) == 1, "a connection was not kept"


def test_chunked_both_ways(env):
    """Content and trailers, in every size of chunk."""
    answer_trailers = ["X-Sum: 1", "X-Other: two words"]

    def answer(asked):
        body = bytes(asked.body)
        pieces = [body[at:at + 1000] for at in range(0, len(body), 1000)]
        return head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Trailer: X-Sum, X-Other") \
            + chunked(*pieces, trailers=answer_trailers)

    origin = Origin(env, answer)
    daemon = proxy(env, origin.address)
    dice = random.Random(2)
    with Client(daemon.address()) as client:
        for sizes in ((1,), (1, 1, 1), (15, 16, 17), (255, 256, 257), (4095, 4096, 4097), (65536,),
                      (), tuple(dice.randint(1, 20000) for _ in range(20))):
            pieces = [dice.randbytes(size) for size in sizes]
            client.send(request("POST", "/", "Transfer-Encoding: chunked", "Trailer: X-End"),
                        chunked(*pieces, trailers=["X-End: yes"]))
            got = client.response()
            asked = origin.check()[-1]
            assert asked.body == got.body == b"".join(pieces), sizes
            assert asked.all("Content-Length") == [], asked.raw
            assert [name.lower() for name, _ in got.trailers] == ["x-sum", "x-other"], got.trailers
            assert [(name.lower(), value) for name, value in asked.trailers] == [("x-end", "yes")]


def test_chunk_forms(env):
    """Extensions, leading zeros and both cases are fine."""
    origin = Origin(env, lambda asked: reply(bytes(asked.body)))
    daemon = proxy(env, origin.address)
    body = b"A;name=value\r\n" + b"x" * 10 + b"\r\n00b;q=\"a;b\\\"\" ; z\r\n" + b"y" * 11 \
        + b"\r\n0000;last\r\n\r\n"
    with Client(daemon.address()) as client:
        for _ in range(2):
            client.send(request("PUT", "/", "Transfer-Encoding: Chunked"), body)
            assert client.response().body == b"x" * 10 + b"y" * 11


# ---- expectations, interim and early answers ---------------------------------------------------

def test_continue(env):
    """The body is sent after 100, or without waiting for it."""
    origin = Origin(env, lambda asked: reply(bytes(asked.body)))
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        for waits in (True, False, True):
            asking = request("PUT", "/", "Expect: 100-continue", body=b"content")
            client.send(asking[:-7])
            if waits:
                assert client.head().status == 100
            client.send(b"content")
            assert client.response().body == b"content"
            assert client.ask("GET", "/").status == 200


def test_continue_is_refused(env):
    """A final answer instead of 100: the body need not come, and nothing is mixed up."""
    def serve(connection):
        while asked := connection.head():
            if asked.all("Expect"):
                connection.send(reply(b"no", "Connection: close", status="417 Expectation Failed"))
                return
            connection.send(reply(b"plain"))

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address)
    for _ in range(2):
        with Client(daemon.address()) as client:
            assert client.ask().body == b"plain"
            client.send(request("PUT", "/", "Expect: 100-continue", body=b"x" * 100)[:-100])
            answer = client.response()
            assert (answer.status, answer.body) == (417, b"no"), answer.raw
            if answer.wants_close():
                assert client.ending() == (b"", "eof")
            else:   # then the body is still due
                client.send(b"x" * 100)
                assert client.ask().body == b"plain"


def early(connection):
    """Answers a head at once and leaves, whatever is still to come."""
    asked = connection.head()
    if asked:
        connection.send(reply(b"too early", "Connection: close", status="403 Forbidden"))


@case(timeout=60)
def test_early_answer(env):
    """It reaches a client that is still sending, and then the connection ends."""
    origin = Origin(env, serve=early)
    daemon = proxy(env, origin.address)
    for size in (0, 10, 100_000, env.pick(20, 4) * MIB):
        with Client(daemon.address()) as client:
            client.send(request("POST", "/", f"Content-Length: {size}"))
            try:
                for _ in range(0, size, 1 << 16):
                    client.send(bytes(min(size, 1 << 16)))
            except (BrokenPipeError, ConnectionResetError):
                pass
            answer = client.response()
            assert (answer.status, answer.body) == (403, b"too early"), (size, answer.raw)


def test_early_answer_then_body(env):
    """A server that answers first and reads the body then, with the next request behind it."""
    def serve(connection):
        while asked := connection.head():
            connection.send(reply(asked.target.encode()))
            connection.body(asked)

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        sent = request("POST", "/1", body=b"x" * 50_000)
        client.send(sent[:-20_000])
        assert client.response().body == b"/1"
        try:
            client.send(sent[-20_000:], request("GET", "/2"))
            answer = client.response()
        except (BadMessage, ConnectionError):   # closed instead, which the head should have said
            return
        assert answer.body == b"/2"
        wait_until(lambda: sorted(asked.size for asked in origin.check()) == [0, 50_000], 5,
                   "both bodies")


def test_interim_answers(env):
    """As many as there are; HTTP/1.0 knows none."""
    hints = head("HTTP/1.1 103 Early Hints", "Link: </a.css>; rel=preload")
    origin = Origin(env, lambda _: hints + head("HTTP/1.1 102 Processing") + hints + reply(b"end"))
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        for _ in range(2):
            assert client.ask().body == b"end"
            assert [answer.status for answer in client.interim] == [103, 102, 103]
            assert client.interim[0].get("Link") == "</a.css>; rel=preload"
    with Client(daemon.address()) as client:
        assert client.send(request(version="1.0")).response().body == b"end"
        assert client.interim == []


# ---- the end of connections --------------------------------------------------------------------

def test_client_wants_close(env):
    """After its answer, and not before; what it asked behind that is nobody's."""
    origin = Origin(env)
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        client.send(request("GET", "/1"), request("GET", "/2", "Connection: Close"),
                    request("GET", "/3"))
        assert client.response().status == 200
        answer = client.response()
        assert answer.wants_close(), answer.raw
        assert client.ending() == (b"", "eof")
    assert origin.targets() == ["/1", "/2"]


def test_client_ends_its_stream(env):
    """The answers to what it asked still come."""
    go = threading.Event()
    origin = Origin(env, lambda asked: go.wait(10) and reply(asked.target.encode()))
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        client.send(request("GET", "/1"), request("GET", "/2"))
        client.sock.shutdown(socket.SHUT_WR)
        wait_until(lambda: origin.requests, 5, "a request")
        go.set()
        assert client.response().body == b"/1" and client.response().body == b"/2"
        assert client.ending() == (b"", "eof")
    assert [line["end"] for line in wait_requests(daemon, 2)] == ["done"] * 2


def test_server_wants_close(env):
    """That is between the two of them: the client's connection stays."""
    origin = Origin(env, lambda asked: reply(asked.target.encode(), "Connection: close"))
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        for number in range(5):
            answer = client.ask("GET", f"/{number}")
            assert answer.body == b"/%d" % number and not answer.wants_close(), answer.raw
    assert len(origin.connections) == 5


# ---- connections to servers --------------------------------------------------------------------

def test_connections_are_reused(env):
    """By all clients of a worker, and by as many at once as are needed."""
    origin = Origin(env)
    daemon = proxy(env, origin.address, spliced=ONE_WORKER)
    for _ in range(20):
        with Client(daemon.address()) as client:
            assert client.ask().status == 200 and client.ask("POST", "/", body=b"x").status == 200
    assert len(origin.connections) == 1, f"{len(origin.connections)} connections"
    assert daemon.stats()["backend_reused"] == 39
    lines = wait_requests(daemon, 40)
    assert not [line for line in lines[1:] if line["connect_ms"] != "0"], lines


def several_at_once(env, daemon, origin, number):
    """So many clients whose requests are at the server at the same time."""
    clients = [env.keep(Client(daemon.address())) for _ in range(number)]
    before = len(origin.heads)
    for client in clients:
        client.send(request("POST", "/", "Content-Length: 1"))
    wait_until(lambda: len(origin.heads) == before + number, 5, f"{number} heads at the server")
    for client in clients:
        assert client.send(b"x").response().status == 200


def test_number_of_kept_connections(env):
    origin = Origin(env)
    daemon = proxy(env, origin.address, pool={"keepalive": 2, "reuse": "always"},
                   spliced=ONE_WORKER)
    several_at_once(env, daemon, origin, 6)
    wait_until(lambda: origin.opened() == 2, 5, "two connections are kept")
    several_at_once(env, daemon, origin, 2)
    assert len(origin.connections) == 6


def test_no_kept_connections(env):
    origin = Origin(env)
    daemon = proxy(env, origin.address, pool={"keepalive": 0})
    with Client(daemon.address()) as client:
        for _ in range(4):
            assert client.ask().status == 200
        wait_until(lambda: origin.opened() == 0, 5, "no connection is kept")
    assert len(origin.connections) == 4 and daemon.stats()["backend_reused"] == 0


def test_kept_connections_age(env):
    origin = Origin(env)
    daemon = proxy(env, origin.address, pool={"keepalive_timeout": "300ms"})
    with Client(daemon.address()) as client:
        assert client.ask().status == 200
        wait_until(lambda: origin.opened() == 0, 5, "the idle connection is closed")
        assert client.ask().status == 200
    assert len(origin.connections) == 2


def test_servers_are_kept_apart(env):
    """A connection is only reused for the server it goes to."""
    origins = [Origin(env, name=name) for name in "ab"]
    daemon = proxy(env, [origin.address for origin in origins], spliced=ONE_WORKER)
    with Client(daemon.address()) as client:
        names = [bytes(client.ask().body) for _ in range(10)]
    assert names in ([b"a", b"b"] * 5, [b"b", b"a"] * 5), names
    assert [len(origin.connections) for origin in origins] == [1, 1]


def test_server_closes_an_idle_connection(env):
    """Noticed while nobody waits: the next request gets another, whatever its method."""
    def serve(connection):
        connection.request()
        connection.send(reply(b"once"))
        connection.sock.shutdown(socket.SHUT_WR)
        connection.reader.rest()

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address, spliced=ONE_WORKER)
    with Client(daemon.address()) as client:
        for method in ("GET", "POST", "GET", "POST"):
            body = b"x" if method == "POST" else None
            assert client.ask(method, "/", body=body).body == b"once"
            wait_until(lambda: origin.opened() == 0, 5, "the proxy closes its side")
    assert len(origin.check()) == 4


class Stale:
    """An Origin whose connections each take a second request and then end without an answer."""

    def __init__(self, env):
        self.origin = Origin(env, serve=self.serve)

    @staticmethod
    def serve(connection):
        if connection.number == 0:
            connection.request()
            connection.send(reply(b"first"))
            connection.request()
            return
        while connection.request():
            connection.send(reply(b"again"))


def test_stale_connection_is_retried(env):
    """What may be asked twice is."""
    for method in ("GET", "HEAD"):
        stale = Stale(env)
        daemon = proxy(env, stale.origin.address, spliced=ONE_WORKER)
        with Client(daemon.address()) as client:
            assert client.ask().body == b"first"
            assert client.ask(method, "/second").status == 200
        assert stale.origin.targets() == ["/", "/second", "/second"]
        assert wait_end(daemon, 2) == "done"


def test_stale_connection_and_post(env):
    """What may not be asked twice is an error."""
    stale = Stale(env)
    daemon = proxy(env, stale.origin.address, spliced=ONE_WORKER)
    with Client(daemon.address()) as client:
        assert client.ask().body == b"first"
        assert client.ask("POST", "/second", body=b"order").status == 502
        assert stale.origin.targets() == ["/", "/second"]
    assert wait_end(daemon, 2) == "server_reset"


# ---- fields ------------------------------------------------------------------------------------

HOP_BY_HOP = ("Connection: X-Mine, keep-alive", "X-Mine: gone", "Keep-Alive: timeout=5",
              "Proxy-Connection: keep-alive", "TE: gzip", "Upgrade: h2c", "X-Stays: here")


def test_hop_by_hop_fields(env):
    """None of them passes, in either direction; the others do, as they are and in order."""
    plain = ["Accept: a, b", "X-Stays: 1", "Cookie: a=b; c=d", "x-odd:  spaces ", "X-Stays: 2"]
    wanted = [("Accept", "a, b"), ("X-Stays", "1"), ("Cookie", "a=b; c=d"), ("x-odd", "spaces"),
              ("X-Stays", "2")]
    answers = {"/hops": reply(b"x", *HOP_BY_HOP[:4], "X-Stays: here"),
               "/plain": reply(b"x", *plain)}
    origin = Origin(env, lambda asked: answers[asked.target])
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        client.send(request("GET", "/hops", *HOP_BY_HOP))
        for message in (client.response(), origin.check()[-1]):
            known = {"x-mine", "keep-alive", "proxy-connection", "te", "upgrade"} \
                & set(message.names())
            assert not known, message.raw
            assert "x-mine" not in (message.get("Connection") or "").lower(), message.raw
            assert message.get("X-Stays") == "here", message.raw
        client.send(request("GET", "/plain", *plain))
        for message in (client.response(), origin.check()[-1]):
            assert [field for field in message.fields if field in wanted] == wanted, message.raw


def test_connection_cannot_remove_what_frames(env):
    """Naming them in Connection changes nothing about Host, length and coding."""
    origin = Origin(env, lambda asked: reply(bytes(asked.body)))
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        client.send(request("POST", "/", "Connection: Content-Length, Host", body=b"12345"))
        assert client.response().body == b"12345"
        client.send(request("POST", "/", "Connection: Transfer-Encoding",
                            "Transfer-Encoding: chunked"), chunked(b"123", b"45"))
        assert client.response().body == b"12345"
        assert client.ask().status == 200
    assert [asked.get("Host") for asked in origin.check()] == ["www.test"] * 3


def ask_fields(env, listener, *fields, source="127.0.0.7", host="www.test"):
    """The request that a server sees."""
    origin = Origin(env)
    daemon = proxy(env, origin.address, listener)
    with Client(daemon.address(), source=source) as client:
        assert client.ask("GET", "/", *fields, host=host).status == 200
    return origin.check()[0]


def values(asked, name):
    """All elements of a list field."""
    return [part.strip() for value in asked.all(name) for part in value.split(",")]


def test_x_forwarded_for(env):
    sent = "X-Forwarded-For: 192.0.2.1, 192.0.2.2"
    for mode, fields, wanted in (
            ("no", (), []), ("no", (sent,), ["192.0.2.1", "192.0.2.2"]),
            ("append", (), ["127.0.0.7"]), ("append", (sent,), ["192.0.2.1", "192.0.2.2",
                                                               "127.0.0.7"]),
            ("append", (sent, "x-forwarded-for: 192.0.2.3"),
             ["192.0.2.1", "192.0.2.2", "192.0.2.3", "127.0.0.7"]),
            ("replace", (), ["127.0.0.7"]), ("replace", (sent, sent), ["127.0.0.7"])):
        asked = ask_fields(env, {"x_forwarded_for": mode}, *fields)
        assert values(asked, "X-Forwarded-For") == wanted, (mode, asked.raw)


def test_x_forwarded_proto(env):
    for mode, wanted in (("no", ["gopher"]), ("yes", ["http"])):
        asked = ask_fields(env, {"x_forwarded_proto": mode}, "X-Forwarded-Proto: gopher")
        assert values(asked, "X-Forwarded-Proto") == wanted, asked.raw
    assert values(ask_fields(env, {"x_forwarded_proto": "yes"}), "X-Forwarded-Proto") == ["http"]


def forwarded_pairs(element):
    """{name: value} of an element of a Forwarded field."""
    pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|[^;",\s]+)', element)
    return {name.lower(): value.strip('"') for name, value in pairs}


def test_forwarded(env):
    sent = "Forwarded: for=192.0.2.1;proto=https"
    mine = {"for": "127.0.0.7", "host": "www.test", "proto": "http"}
    for mode, fields, wanted in (
            ("no", (), []), ("no", (sent,), [{"for": "192.0.2.1", "proto": "https"}]),
            ("append", (sent,), [{"for": "192.0.2.1", "proto": "https"}, mine]),
            ("replace", (sent,), [mine]), ("append", (), [mine])):
        asked = ask_fields(env, {"forwarded": mode}, *fields)
        found = [forwarded_pairs(element) for element in values(asked, "Forwarded")]
        for pairs in found:     # a port may be told, too
            pairs["for"] = re.sub(r"^(127\.0\.0\.7):\d+$", r"\1", pairs["for"])
        assert found == wanted, (mode, asked.raw)


def test_forwarded_quotes_what_is_no_token(env):
    """IPv6 in brackets and quotes, and a host with a port in quotes (RFC 7239)."""
    asked = ask_fields(env, {"forwarded": "append", "bind": "[::1]:0", "x_forwarded_for": "append"},
                       source="::1", host="www.test:8080")
    value = asked.get("Forwarded")
    assert re.search(r'for="\[::1\](:\d+)?"', value), value
    assert 'host="www.test:8080"' in value, value
    assert asked.get("X-Forwarded-For") == "::1", asked.raw


def test_via_and_request_id(env):
    asked = ask_fields(env, {"via": "edge", "request_id": "X-Request-Id"}, "Via: 1.0 fred")
    assert values(asked, "Via") == ["1.0 fred", "1.1 edge"], asked.raw
    assert re.fullmatch(r"[\w.:-]{8,}", asked.get("X-Request-Id")), asked.raw
    asked = ask_fields(env, {"request_id": "X-Request-Id"}, "x-request-id: the client's")
    assert asked.get("X-Request-Id") == "the client's" and not asked.all("Via"), asked.raw


def test_request_ids_differ(env):
    origin = Origin(env)
    daemon = proxy(env, origin.address, {"request_id": "X-Id"})
    for _ in range(10):
        with Client(daemon.address()) as client:
            for _ in range(10):
                client.ask()
    assert len({asked.get("X-Id") for asked in origin.check()}) == 100


# ---- tunnels -----------------------------------------------------------------------------------

@case(timeout=60)
def test_websocket(env):
    """Messages of every size, on a connection that carried plain requests before."""
    origin = Origin(env, serve=websocket.serve_echo)
    daemon = proxy(env, origin.address)
    dice = random.Random(3)
    with Client(daemon.address()) as client:
        assert client.ask("GET", "/plain").body == b"/plain"
        websocket.upgrade(client)
        for size in (0, 1, 125, 126, 65535, 65536, env.pick(2 * MIB, 200_000)):
            data = dice.randbytes(size)
            client.send(websocket.frame(websocket.BINARY, data, masked=True))
            assert websocket.read_frame(client.reader, masked=False) == (websocket.BINARY, data)
        client.send(websocket.frame(websocket.PING, b"?", masked=True))
        assert websocket.read_frame(client.reader, masked=False) == (websocket.PONG, b"?")
        client.send(websocket.frame(websocket.CLOSE, b"\x03\xe8", masked=True))
        assert websocket.read_frame(client.reader, masked=False)[0] == websocket.CLOSE
        assert client.ending() == (b"", "eof")
    line = wait_requests(daemon, 2)[-1]
    assert (line["status"], line["end"], line["engine"]) == ("101", "done", env.engine), line


def test_upgrade_is_declined(env):
    """The server answers like to any request; the next one may be there already."""
    origin = Origin(env)
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        client.send(request("GET", "/1", "Upgrade: chat", "Connection: upgrade"),
                    request("GET", "/2"))
        assert client.response().status == 200 and client.response().status == 200
        client.send(request("GET", "/3", "Upgrade: chat"))     # not asked for by Connection
        assert client.response().status == 200
    first, _, third = origin.check()
    assert first.get("Upgrade") == "chat" and "upgrade" in first.get("Connection").lower()
    assert not third.all("Upgrade"), third.raw


def test_switch_without_being_asked(env):
    """101 to a request that asked for nothing is no answer."""
    origin = Origin(env, lambda _: head("HTTP/1.1 101 Switching Protocols", "Upgrade: x",
                                        "Connection: upgrade"))
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        assert client.ask().status == 502
    assert wait_end(daemon) == "bad_response"


FOR_TUNNELS = {"route": "method:CONNECT -> main"}


def connect_request(host="a.test:443", *fields):
    return request("CONNECT", host, *fields, host=host)


def tunnel(serve, *fields):
    """An Origin's serve(): takes CONNECT, answers 200, and hands the connection over."""
    def run(connection):
        asked = connection.head()
        if asked:
            assert asked.method == "CONNECT", asked.raw
            connection.send(head("HTTP/1.1 200 Connection established", *fields))
            serve(connection)
    return run


@case(timeout=60)
def test_connect(env):
    """A tunnel for bytes of any kind, both ways at once."""
    size, exchanges = env.pick(24, 2) * MIB, []

    def serve(connection):
        assert tcp.read_exactly(connection.sock, 2) == b"go"
        exchanges.append(pattern.Exchange(connection.sock, (2, size), (1, size)))
        exchanges[-1].join(40)

    origin = Origin(env, serve=tunnel(serve))
    daemon = proxy(env, origin.address, FOR_TUNNELS)
    with Client(daemon.address()) as client:
        answer = client.send(connect_request()).response("CONNECT")
        assert answer.status == 200 and not answer.all("Transfer-Encoding"), answer.raw
        assert not client.reader.buffer
        client.send(b"go")
        pattern.Exchange(client.sock, (1, size), (2, size)).join(Deadline(40).seconds)
    exchanges[0].join(10)
    assert [asked.target for asked in origin.heads] == ["a.test:443"]
    line = wait_requests(daemon)[0]
    assert (line["method"], line["status"], line["end"]) == ("CONNECT", "200", "done"), line
    assert (line["bytes_up"], line["bytes_down"]) == (str(size + len(b"go")), str(size)), line
    assert line["engine"] == env.engine, line
    check_kernel_share(env, daemon, 0.01)


def test_tunnel_ends_one_side_at_a_time(env):
    """Whoever ends first hears the other to the end."""
    data = random.Random(4).randbytes(env.pick(3 * MIB, 300_000))

    def client_first(connection):
        got = connection.reader.rest()
        connection.send(got, data)

    def server_first(connection):
        connection.send(data)
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.reader.rest() == data

    for serve in (client_first, server_first):
        origin = Origin(env, serve=tunnel(serve))
        daemon = proxy(env, origin.address, FOR_TUNNELS)
        with Client(daemon.address()) as client:
            client.send(connect_request()).response("CONNECT")
            if serve is client_first:
                client.send(b"end")
                client.sock.shutdown(socket.SHUT_WR)
                got, how = client.ending()
                assert (got == b"end" + data, how) == (True, "eof"), (len(got), how)
            else:
                got, how = client.ending()
                assert (got == data, how) == (True, "eof"), (len(got), how)
                client.send(data)
                client.sock.shutdown(socket.SHUT_WR)
        wait_requests(daemon)
        wait_until(lambda now=origin: now.opened() == 0, 5, "the tunnel ends")
        origin.check()


def test_tunnel_bytes_right_behind_the_heads(env):
    """What is sent without waiting is the tunnel's: from the client and from the server."""
    def serve(connection):
        assert connection.reader.exactly(5) == b"early"
        connection.send(b"rest")
        assert connection.reader.rest() == b"more"

    def run(connection):
        connection.head()
        connection.send(head("HTTP/1.1 200 OK"), b"first")
        serve(connection)

    origin = Origin(env, serve=run)
    daemon = proxy(env, origin.address, FOR_TUNNELS)
    with Client(daemon.address()) as client:
        client.send(connect_request(), b"early")
        assert client.response("CONNECT").status == 200
        assert client.reader.exactly(9) == b"firstrest"
        client.send(b"more")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.ending() == (b"", "eof")
    origin.check()


def test_connect_is_declined(env):
    """Then it is a request like others."""
    def serve(connection):
        while asked := connection.head():
            declined = asked.method == "CONNECT"
            connection.send(reply(b"no" if declined else b"yes",
                                  status="403 Forbidden" if declined else "200 OK"))

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address, FOR_TUNNELS)
    with Client(daemon.address()) as client:
        answer = client.send(connect_request()).response("CONNECT")
        assert (answer.status, answer.body) == (403, b"no"), answer.raw
        if not answer.wants_close():
            assert client.ask().body == b"yes"


def test_reset_of_a_tunnel(env):
    """A reset is passed on as one."""
    seen = []

    def serve(connection):
        assert connection.reader.exactly(1) == b"x"
        seen.append(ending(connection.reader))

    origin = Origin(env, serve=tunnel(serve))
    daemon = proxy(env, origin.address, FOR_TUNNELS)
    client = Client(daemon.address())
    client.send(connect_request()).response("CONNECT")
    client.send(b"x")
    wait_until(lambda: origin.connections[0].reader.total > len(origin.heads[0].raw), 5, "a byte")
    tcp.reset(client.sock)
    assert wait_requests(daemon)[0]["end"] == "client_reset"
    wait_until(lambda: seen, 5, "the end at the server")
    assert seen[0] == (b"", "reset"), seen


def test_unix_sockets(env):
    """The same over unix sockets on both sides."""
    origin = Origin(env, lambda asked: reply(bytes(asked.body)), address=f"unix:{env.tmp}/b.sock")
    daemon = proxy(env, origin.address, {"bind": f"unix:{env.tmp}/f.sock", "via": "edge",
                                         "x_forwarded_for": "append", "forwarded": "append"})
    with Client(daemon.address()) as client:
        for body in (b"x", b"y" * 500_000):
            assert client.ask("PUT", "/", body=body).body == body
    first = origin.check()[0]
    assert not [value for value in first.all("X-Forwarded-For") if "/" in value], first.raw
    assert first.get("Host") == "www.test"


def test_ipv6(env):
    origin = Origin(env, address="[::1]:0")
    daemon = proxy(env, origin.address, {"bind": "[::1]:0"})
    with Client(daemon.address()) as client:
        for _ in range(3):
            assert client.ask().status == 200
    line = wait_requests(daemon, 3)[0]
    assert line["client"].startswith("[::1]:") and line["backend"] == origin.address, line
