# SPDX-License-Identifier: GPL-2.0-or-later
"""Server connections that are kept, and servers that close them just then."""

import contextlib
import random
import signal
import socket
import struct
import threading
import time

from lib import case, connect, process, wait_until
from lib.http import Client, Origin, chunked, proxy, reply, request, request_log, wait_requests
from lib.tuntcp import TunHost

ONE_WORKER = {"workers": 1}
PORT = 8000


# ---- a server that closes while a request is on its way -----------------------------------------

class Crossing:
    """A daemon whose server's TCP is the test's own, segment by segment, and a client of it that
    has had one answer."""

    def __init__(self, env, listener=None, **pool):
        self.tun = TunHost(env)
        self.daemon = proxy(env, f"{TunHost.PEER}:{PORT}", listener, spliced=ONE_WORKER, pool=pool,
                            prefix=self.tun.host.command())
        self.client = self.connect(env)
        self.client.send(request())
        self.server = self.tun.accept(PORT)
        self.server.until(b"\r\n\r\n")
        self.server.say(reply(b"first"))
        assert self.client.response().body == b"first"

    def connect(self, env):
        return env.keep(Client(None, sock=self.tun.host.call(connect, self.daemon.address())))

    def over(self):
        """Another one may come."""
        self.daemon.stop()
        process.run("ip", "netns", "del", self.tun.host.name)

    def close_before(self, *parts, fin=True):
        """The request is sent, and the server has closed before it came."""
        self.client.send(*parts)
        asked = self.server.hear()
        if fin:
            self.server.close()
        self.server.refuse(asked)

    def repeated(self, end):
        """The request once more, on another connection, where it is answered."""
        other = self.tun.accept(PORT, isn=5000)
        other.until(end)
        other.say(reply(b"second"))
        return other.received


def test_closed_before_a_post(env):
    """A server's FIN that acknowledges nothing of a request: it is sent again, body and all."""
    for body in (b"order", b"o" * 30_000):
        crossing = Crossing(env)
        asked = request("POST", "/shop", body=body)
        crossing.close_before(asked)
        again = crossing.repeated(body)
        assert again.startswith(b"POST /shop HTTP/1.1\r\n") and again.endswith(b"\r\n\r\n" + body)
        answer = crossing.client.response()
        assert (answer.status, answer.body) == (200, b"second")
        line = wait_requests(crossing.daemon, 2)[1]
        assert (line["end"], line["bytes_up"]) == ("done", str(len(body))), line
        assert crossing.daemon.stats()["retries"] == 1
        crossing.over()


def test_closed_and_refused_before_it_is_noticed(env):
    """A busy daemon sees the FIN together with the reset that answers its request."""
    crossing = Crossing(env)
    crossing.client.send(request("POST", "/shop", body=b"order"))
    asked = crossing.server.hear()
    crossing.daemon.signal(signal.SIGSTOP)
    crossing.server.close()
    crossing.server.refuse(asked)
    crossing.daemon.signal(signal.SIGCONT)
    assert crossing.repeated(b"order").startswith(b"POST /shop ")
    assert crossing.client.response().body == b"second"


def test_closed_before_a_post_in_pieces(env):
    """The rest of the body comes after the request was sent again."""
    crossing = Crossing(env)
    crossing.close_before(request("POST", "/", "Transfer-Encoding: chunked"), b"5\r\norder\r\n")
    other = crossing.tun.accept(PORT, isn=5000)
    other.until(b"order\r\n")
    crossing.client.send(b"3\r\nend\r\n0\r\n\r\n")
    other.until(b"0\r\n\r\n")
    assert other.received.endswith(b"\r\n\r\n5\r\norder\r\n3\r\nend\r\n0\r\n\r\n"), other.received
    other.say(reply(b"second"))
    assert crossing.client.response().body == b"second"


def test_closed_before_a_large_post(env):
    """More than is kept for that: the client is told nothing, which is what it expects of a
    connection that ends between two requests."""
    crossing = Crossing(env)
    crossing.close_before(request("POST", "/", body=b"o" * 60_000))
    how = crossing.client.ending()
    assert how == (b"", "eof"), how
    line = wait_requests(crossing.daemon, 2)[1]
    assert (line["end"], line["status"]) == ("server_reset", "-"), line


def test_reset_before_a_post(env):
    """A reset without an end before it does not say whether the request was read."""
    crossing = Crossing(env)
    crossing.close_before(request("POST", "/", body=b"order"), fin=False)
    assert crossing.client.ending() == (b"", "eof")
    assert wait_requests(crossing.daemon, 2)[1]["status"] == "-"


def test_reset_before_a_get(env):
    """What may be asked twice is, whatever the server's TCP says."""
    for method, body in (("GET", None), ("PUT", b"thing")):
        crossing = Crossing(env)
        crossing.close_before(request(method, "/second", body=body), fin=False)
        again = crossing.repeated(body or b"\r\n\r\n")
        assert again.startswith(f"{method} /second ".encode()), again
        assert crossing.client.response().body == b"second"
        crossing.over()


def closes_on_request(connection):
    """Answers one request and closes with the next one unread: a reset."""
    if connection.number:
        while connection.request():
            connection.send(reply(b"again"))
        return
    connection.request()
    connection.send(reply(b"first"))
    connection.sock.recv(1, socket.MSG_PEEK)


def test_closed_with_a_post_unread(env):
    """Nobody knows whether the server has read it. No answer for a client that has had one on this
    connection, and an error for one that has not."""
    for always in (False, True):
        origin = Origin(env, serve=closes_on_request)
        daemon = proxy(env, origin.address, spliced=ONE_WORKER,
                       pool={"reuse": "always" if always else "safe"})
        with Client(daemon.address()) as client, Client(daemon.address()) as other:
            assert client.ask().body == b"first"
            second = other if always else client
            second.send(request("POST", "/", body=b"order"))
            if always:
                assert second.response().status == 502
            else:
                assert second.ending() == (b"", "eof")
        line = wait_requests(daemon, 2)[1]
        assert (line["end"], line["status"]) == ("server_reset", "502" if always else "-"), line
        assert not origin.check()[1:]


@case(timeout=90)
def test_server_closes_after_each_answer(env):
    """Soon after it, without a word: no POST is answered with an error, and none comes twice."""
    rng = random.Random(7)
    pauses = [rng.choice((0, 0, 0.0002, 0.001)) for _ in range(1000)]

    def serve(connection):
        if asked := connection.request():
            connection.send(reply(asked.target.encode()))
            time.sleep(pauses[connection.number % len(pauses)])

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address, spliced=ONE_WORKER)
    client, silent = env.keep(Client(daemon.address())), 0
    for number in range(env.pick(400, 60)):
        client.send(request("POST", f"/{number}", body=b"order"))
        try:
            answer = client.response()
            assert (answer.status, answer.body) == (200, f"/{number}".encode()), answer.raw
        except (AssertionError, ConnectionResetError) as error:
            assert isinstance(error, ConnectionResetError) or "ended instead" in str(error), error
            silent += 1
            client = env.keep(Client(daemon.address()))
    targets = origin.targets()
    assert len(set(targets)) == len(targets), "a request came twice"
    statuses = {line["status"] for line in request_log(daemon)}
    assert statuses <= {"200", "-"}, statuses
    # The first such end tells that there will be others.
    assert silent <= 2, silent


def test_server_that_closed_one_and_keeps_the_others(env):
    """No kept connection is trusted with a POST at first. Soon one is, however fast they come."""
    def serve(connection):
        while connection.request():
            connection.send(reply(str(connection.number).encode()))
            if not connection.number:
                return

    for reuse in ("safe", "never"):
        origin = Origin(env, serve=serve)
        daemon = proxy(env, origin.address, spliced=ONE_WORKER,
                       pool={"reuse": reuse, "keepalive": 2})
        with Client(daemon.address()) as client:
            def post(client=client):
                return int(client.ask("POST", "/", body=b"order").body)

            assert post() == 0
            wait_until(lambda now=origin: not now.connections[0].open, 5, "the server's end")
            assert post() == 1, "on a new one"
            seen = [0, 1]
            wait_until(lambda: seen.append(post()) or seen[-1] in seen[:-1], 5,
                       "a POST on a kept connection", poll=0.02)
            assert [post() for _ in range(50)] == [seen[-1]] * 50
        assert len(origin.check()) == len(seen) + 50
        served = sorted(len(one.requests) for one in origin.connections)
        assert served[:-1] == [1] * (len(served) - 1), served
        daemon.stop()


def test_end_that_came_before(env):
    """A FIN or RST that is there when the next request comes is seen, whatever came with it."""
    for behind in (b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", "reset"):
        gone = threading.Event()

        def serve(connection, behind=behind, gone=gone):
            connection.request()
            connection.send(reply(b"first"))
            if connection.number:
                return
            gone.wait(10)
            if behind == "reset":
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                           struct.pack("ii", 1, 0))
            else:
                connection.send(behind)
            connection.sock.close()

        origin = Origin(env, serve=serve)
        daemon = proxy(env, origin.address, spliced=ONE_WORKER)
        with Client(daemon.address()) as client:
            assert client.ask().body == b"first"
            # Stopped, the daemon hears of the end and of the request in one turn.
            daemon.signal(signal.SIGSTOP)
            gone.set()
            wait_until(lambda origin=origin: not origin.connections[0].open, 5, "the server ends")
            client.send(request("POST", "/", body=b"order"))
            daemon.signal(signal.SIGCONT)
            assert client.response().status == 200
        assert len(origin.check()) == 2


# ---- what is left in a connection ------------------------------------------------------------------

def test_answer_before_the_body(env):
    """A server that answers before it has the body, keeps the connection, and takes the body for
    its next request: that is not to be completed by another client's."""
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: www.test\r\nX-Rest: "

    def serve(connection):
        while asked := connection.head():
            connection.send(reply(asked.target.encode()))

    for more in (0, 300_000):
        body = smuggled + b"x" * more
        origin = Origin(env, serve=serve)
        daemon = proxy(env, origin.address, {"body_splice_min": "16K"}, spliced=ONE_WORKER)
        with Client(daemon.address()) as client, Client(daemon.address()) as other:
            client.send(request("POST", "/early", f"Content-Length: {len(body)}"))
            assert client.response().body == b"/early"
            client.send(body)
            wait_requests(daemon)
            assert other.ask("GET", "/other").body == b"/other"
            assert client.ask("GET", "/again").body == b"/again", "its connection stays"
        assert len(origin.connections) == 2, "the second one is kept"
        daemon.stop()


def test_answer_before_its_tcp_had_the_body(env):
    """All of the body is sent, and the answer acknowledges only the head."""
    crossing = Crossing(env)
    crossing.client.send(request("POST", "/", body=b"order"))
    asked = crossing.server.hear()
    if not asked.payload.endswith(b"order"):
        assert crossing.server.hear().payload == b"order"
    crossing.server.take(asked, asked.payload.index(b"\r\n\r\n") + 4)
    crossing.server.blurt(reply(b"early"))
    assert crossing.client.response().body == b"early"
    crossing.server.wait_end()
    crossing.client.send(request("GET", "/again"))
    assert crossing.repeated(b"\r\n\r\n").startswith(b"GET /again ")
    assert crossing.client.response().body == b"second", "its connection stays"


TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlate"


def test_response_to_nothing(env):
    """A server that gives up an idle connection with a word says it while a request is on its way: that is no
    answer to it, whatever it is. The request is sent again if the server has closed or it may be repeated."""
    get, post = request("GET", "/get"), request("POST", "/shop", body=b"order")
    for word, asked, fin in ((TIMED_OUT, get, False), (reply(b"of another"), get, False),
                             (TIMED_OUT, post, True), (b"HTTP/1.1 4", post, True)):
        crossing = Crossing(env)
        crossing.client.send(asked)
        crossing.server.hear()
        crossing.server.blurt(word, fin)
        again = crossing.repeated(asked[-5:])
        assert again.split()[:2] == asked.split()[:2], again
        answer = crossing.client.response()
        assert (answer.status, answer.body) == (200, b"second")
        line = wait_requests(crossing.daemon, 2)[1]
        assert (line["end"], line["status"]) == ("done", "200"), line
        stats = crossing.daemon.stats()
        assert (stats["retries"], stats["http_errors"]["unasked"]) == (1, 1), stats
        crossing.over()


def test_response_to_nothing_of_a_server_that_stays(env):
    """It may still read the request: what cannot be repeated is not, and that word is no answer either."""
    crossing = Crossing(env)
    for n, word in enumerate((TIMED_OUT, reply(b"of another"))):
        if n:
            crossing.over()
            crossing = Crossing(env)
        crossing.client.send(request("POST", "/shop", body=b"order"))
        crossing.server.hear()
        crossing.server.blurt(word)
        assert crossing.client.response().status == 502
        line = wait_requests(crossing.daemon, 2)[1]
        assert (line["end"], line["error"]) == ("bad_response", "unasked"), line
        assert crossing.daemon.stats()["retries"] == 0


def test_response_to_nothing_before_a_large_post(env):
    """More than is kept for that: nothing, which is what a client expects of a connection that ends between
    two requests."""
    crossing = Crossing(env)
    crossing.client.send(request("POST", "/", body=b"o" * 60_000))
    crossing.server.hear()
    crossing.server.blurt(TIMED_OUT, fin=True)
    how = crossing.client.ending()
    assert how == (b"", "eof"), how
    line = wait_requests(crossing.daemon, 2)[1]
    assert (line["end"], line["status"]) == ("server_reset", "-"), line


@case(engines=("kernel",))
def test_response_to_nothing_beside_the_kernel(env):
    """The kernel has a part of the body by then: that is not sent again, but the word is no answer either."""
    crossing = Crossing(env, listener={"body_splice_min": "16K"})
    crossing.client.send(request("PUT", "/", f"Content-Length: {64 << 20}"))

    def send():
        with contextlib.suppress(OSError):      # not all of it is taken
            crossing.client.sock.sendall(b"o" * (1 << 20))
    # What comes together with the head is written by hand, and a server that takes no more of it keeps the
    # rest from the kernel.
    crossing.server.hear()
    threading.Thread(target=send, daemon=True).start()
    wait_until(lambda: crossing.daemon.stats()["bytes_redirected"], 5, "the kernel has a part of it")
    crossing.server.blurt(TIMED_OUT)
    line = wait_requests(crossing.daemon, 2)[1]
    assert line["status"] == "502" and line["engine"] == "kernel", line
    assert crossing.daemon.stats()["http_errors"]["unasked"] == 1


def test_answer_behind_the_body(env):
    """Whoever moves the body: a server that has all of it is asked again."""
    origin = Origin(env)
    daemon = proxy(env, origin.address, {"body_splice_min": "16K"}, spliced=ONE_WORKER)
    with Client(daemon.address()) as client:
        for size in (10, 20_000, 1_000_000):
            assert client.ask("POST", "/", body=b"x" * size).status == 200
            client.send(request("POST", "/", "Transfer-Encoding: chunked"),
                        chunked(b"x" * size, b"end"))
            assert client.response().status == 200
    assert len(origin.connections) == 1


# ---- whose requests go on a kept connection -------------------------------------------------------

def numbers(env, reuse, *requests, **options):
    """On which of the server's connections each request came; a request is (client, method, body).
    """
    origin = Origin(env, lambda asked: reply(str(asked.connection).encode()))
    daemon = proxy(env, origin.address, spliced=ONE_WORKER, pool={"reuse": reuse, **options})
    clients, seen = {}, []
    for name, method, body in requests:
        client = clients.setdefault(name, None) or env.keep(Client(daemon.address()))
        clients[name] = client
        seen.append(int(client.ask(method, "/", body=body).body))
    for client in clients.values():
        client.close()
    return seen, origin, daemon


def test_reuse_safe(env):
    """A client's first request goes on a new connection unless it can be repeated."""
    get, post, put = ("GET", None), ("POST", b"order"), ("PUT", b"thing")
    seen, origin, _ = numbers(env, "safe", ("a", *get), ("b", *get), ("c", *post), ("d", *put),
                              ("e", "PUT", b"t" * 100_000), ("a", *post), ("c", *post))
    assert seen[:4] == [0, 0, 1, 1], seen
    assert seen[4] == 2 and len(origin.connections) == 3, seen


def test_reuse_always(env):
    seen, origin, _ = numbers(env, "always", *((name, "POST", b"order") for name in "abcab"))
    assert seen == [0] * 5 and len(origin.connections) == 1


def test_reuse_never(env):
    """Each client has its own, which ends with it."""
    seen, origin, daemon = numbers(env, "never", *((name, method, None) for name in "abab"
                                                  for method in ("GET", "DELETE")))
    assert seen == [0, 0, 1, 1] * 2, seen
    wait_until(lambda: origin.opened() == 0, 5, "the servers' connections end with the clients'")
    assert daemon.stats()["backend_reused"] == 6


def test_reuse_never_and_many_servers(env):
    """A client keeps a few, and no more."""
    origins = [Origin(env, name=str(i)) for i in range(8)]
    daemon = proxy(env, [origin.address for origin in origins], spliced=ONE_WORKER,
                   pool={"reuse": "never"})
    with Client(daemon.address()) as client:
        for _ in range(4 * len(origins)):
            assert client.ask().status == 200
        wait_until(lambda: sum(origin.opened() for origin in origins) == 5, 5, "five are kept")
    wait_until(lambda: not sum(origin.opened() for origin in origins), 5, "all of them end")


def test_own_connection_that_ends(env):
    """The server closes the one that a client has for itself: it gets a new one."""
    def serve(connection):
        connection.request()
        connection.send(reply(b"once"))

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address, spliced=ONE_WORKER, pool={"reuse": "never"})
    with Client(daemon.address()) as client:
        for number in range(5):
            assert client.ask("POST", "/", body=b"x").body == b"once"
            wait_until(lambda: origin.opened() == 0, 5, "the server's side is closed")
            assert len(origin.connections) == number + 1


def test_own_connections_and_no_keepalive(env):
    seen, _, _ = numbers(env, "never", *(("a", "GET", None),) * 3, keepalive=0)
    assert seen == [0, 1, 2]


# ---- who a client is, by its connection -----------------------------------------------------------

CHALLENGES = [["WWW-Authenticate: NTLM"], ["www-authenticate: negotiate"],
              ["WWW-Authenticate: Basic realm=\"a, b\\\", c\", NTLM"],
              ["WWW-Authenticate: Basic realm=x", "WWW-Authenticate: Negotiate oRQwEg=="],
              ["WWW-Authenticate: Digest realm=\"x\", nonce=\"y\",Negotiate , Basic realm=z"],
              ["Proxy-Authenticate: ntlm"]]
OTHERS = [["WWW-Authenticate: Basic realm=\"NTLM\""], ["WWW-Authenticate: NTLMv9, Bearer"],
          ["WWW-Authenticate: Basic realm=\"a\\\", NTLM\""], ["X-Authenticate: NTLM"]]


def identity_proxy(env, fields=(), status="401 Unauthorized", count=2, **options):
    """Servers whose /login says `fields`; each response says on which connection of which server
    it came."""
    def answer(name):
        def reply_to(asked):
            body = f"{name}{asked.connection}".encode()
            return reply(body, *fields, status=status) if asked.target == "/login" else reply(body)
        return reply_to

    origins = [Origin(env, answer(name)) for name in "abcd"[:count]]
    daemon = proxy(env, [origin.address for origin in origins], spliced=ONE_WORKER, **options)
    return origins, daemon


def where(client, *arguments, **options):
    return client.ask(*arguments, **options).body.decode()


def check_private(origins, daemon, login):
    """After login(client) its connection is its own, through both servers' turns."""
    with Client(daemon.address()) as client:
        mine = login(client)
        for _ in range(3):
            assert where(client) == mine
            with Client(daemon.address()) as other:
                assert mine not in {where(other) for _ in range(4)}
        assert where(client, "POST", "/", body=b"order") == mine
        before = sum(origin.opened() for origin in origins)
    wait_until(lambda: sum(origin.opened() for origin in origins) < before, 5,
               "the connection ends with its client's")
    with Client(daemon.address()) as other:
        assert mine not in {where(other) for _ in range(4)}


def test_challenge_makes_a_connection_private(env):
    for fields in CHALLENGES:
        status = "407 Proxy Authentication Required" if "Proxy" in fields[0] else "401 Unauthorized"
        origins, daemon = identity_proxy(env, fields, status)
        check_private(origins, daemon, lambda client: where(client, "GET", "/login"))
        daemon.stop()


def test_credentials_make_a_connection_private(env):
    for field in ("Authorization: NTLM TlRMTVNTUAAB", "authorization: NEGOTIATE YII=",
                  "Proxy-Authorization: Negotiate YII="):
        origins, daemon = identity_proxy(env)
        check_private(origins, daemon, lambda client, field=field: where(client, "GET", "/", field))
        daemon.stop()


def test_private_without_keepalive(env):
    """`keepalive = 0` keeps none for others; an authentication of three requests needs its own."""
    origins, daemon = identity_proxy(env, CHALLENGES[0], pool={"keepalive": 0})
    check_private(origins, daemon, lambda client: where(client, "GET", "/login"))


def test_private_after_a_large_body(env):
    """What the kernel moved does not change whose it is."""
    size = 3 << 20
    origin = Origin(env, lambda asked: reply(b"x" * size if asked.target == "/large"
                                             else str(asked.connection).encode()))
    daemon = proxy(env, origin.address, spliced=ONE_WORKER)
    with Client(daemon.address()) as client, Client(daemon.address()) as other:
        mine = where(client, "GET", "/", "Authorization: NTLM TlRM")
        assert len(client.ask("GET", "/large").body) == size
        assert where(other) != mine and where(client) == mine


def test_other_schemes_are_shared(env):
    """Basic and Bearer say who a request is from, not a connection."""
    for fields in OTHERS:
        _, daemon = identity_proxy(env, fields, count=1)
        with Client(daemon.address()) as client, Client(daemon.address()) as other:
            assert where(client, "GET", "/login", "Authorization: Basic TlRMTQ==") == where(other)
        daemon.stop()


def test_private_connection_that_ends(env):
    """The server closes it between two requests: the next one is served elsewhere."""
    gone = threading.Event()

    def serve(connection):
        connection.request()
        connection.send(reply(str(connection.number).encode()))
        if connection.number == 0:
            gone.wait(10)
            return
        while connection.request():
            connection.send(reply(str(connection.number).encode()))

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address, spliced=ONE_WORKER)
    with Client(daemon.address()) as client:
        assert where(client, "GET", "/", "Authorization: NTLM TlRM") == "0"
        gone.set()
        wait_until(lambda: origin.opened() == 0, 5, "the server ends it")
        assert where(client, "POST", "/", body=b"order") == "1"


# ---- bodies that a server leaves unread ----------------------------------------------------------

SMUGGLED = b"GET /bytes/5 HTTP/1.1\r\nX: "


def test_a_body_that_is_taken_for_a_request(env):
    """Of methods for which a body means nothing, and which servers need not read: nobody else's request comes
    behind it."""
    def careless(connection):
        while asked := connection.reader.until(b"\r\n\r\n"):
            connection.send(reply(b"" if asked.startswith(b"HEAD") else asked.partition(b" HTTP")[0]))

    origin = Origin(env, serve=careless)
    daemon = proxy(env, origin.address, spliced=ONE_WORKER)
    for method in ("HEAD", "TRACE", "GET", "DELETE", "OPTIONS"):
        for encoded in (f"Content-Length: {len(SMUGGLED)}", "Transfer-Encoding: chunked"):
            sent = SMUGGLED if encoded.startswith("Content") else chunked(SMUGGLED)
            with Client(daemon.address()) as attacker, Client(daemon.address()) as victim:
                attacker.send(request(method, "/", encoded), sent).response(method)
                assert victim.ask("GET", "/victim").body == b"GET /victim", (method, encoded)


def test_a_body_that_the_own_server_leaves(env):
    daemon = proxy(env, "internal:hello", spliced=ONE_WORKER)
    for method in ("HEAD", "TRACE", "GET", "DELETE", "OPTIONS") * env.pick(8, 3):
        with Client(daemon.address()) as attacker, Client(daemon.address()) as victim:
            attacker.send(request(method, "/", f"Content-Length: {len(SMUGGLED)}"), SMUGGLED).response(method)
            answer = victim.ask("GET", "/bytes/9")
            assert (answer.status, len(answer.body)) == (200, 9), (method, answer.raw)
