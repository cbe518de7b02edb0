# SPDX-License-Identifier: GPL-2.0-or-later
"""CONNECT and HTTP/2 with prior knowledge carry what nobody looks at: only where they are wanted."""

from lib import programs
from lib.http import Client, Origin, head, proxy, reply, request, wait_requests
from lib.tcp import free_port

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
# HEADERS of GET / at a.test: :method GET, :scheme http, :path /, :authority a.test
HEADERS = b"\0\0\x0b\1\5\0\0\0\1" + b"\x82\x86\x84\x41\x06a.test"


def connect(client, target="a.test:443", *fields, version="1.1"):
    """CONNECT, and its response."""
    client.send(request("CONNECT", target, *fields, host=target, version=version))
    return client.response("CONNECT")


def accept(connection):
    """An Origin's serve(): a tunnel that repeats what it gets."""
    while asked := connection.head():
        if asked.method != "CONNECT":
            connection.send(reply(b"plain"))
            continue
        connection.send(head("HTTP/1.1 200 OK", "Content-Length: 100"))
        while data := connection.sock.recv(1000):
            connection.send(data)
        return


# ---- CONNECT -----------------------------------------------------------------------------------

def test_connect_needs_a_route(env):
    """One that says so: neither `pool` nor a route for everything is for tunnels."""
    origin = Origin(env, serve=accept)
    for number, listener in enumerate((
            {}, {"route": "host:a.test -> main"}, {"route": "path:/ -> main"},
            {"route": ["method:GET -> main", "src:127.0.0.0/8 -> main"], "pool": None},
            {"route": "method:CONNECT host:b.test -> main"}, {"protocol": "auto"})):
        daemon = proxy(env, origin.address, listener)
        for version in ("1.1", "1.0"):
            with Client(daemon.address()) as client:
                answer = connect(client, version=version)
                assert answer.status == 405 and answer.wants_close(), (listener, answer.raw)
                assert "GET" in answer.get("Allow") and "CONNECT" not in answer.get("Allow")
                assert answer.get("Date"), answer.raw
                assert client.ending()[0] == b""
        lines = wait_requests(daemon, 2)
        assert {(line["method"], line["host"], line["status"], line["end"]) for line in lines} \
            == {("CONNECT", "a.test:443", "405", "no_route")}, (number, lines)
        ends = daemon.stats()["http_ends"]
        assert ends["no_route"] == 2, ends
        with Client(daemon.address()) as client:
            if "b.test" not in str(listener):
                assert client.ask(host="a.test").status in (200, 405)
    assert not [asked for asked in origin.heads if asked.method == "CONNECT"]


def test_connect_with_a_route(env):
    """Wherever among the others it stands; what follows is the tunnel's, and a length in the
    response means nothing."""
    plain, tunnel = Origin(env), Origin(env, serve=accept)
    for protocol in ("http", "auto"):
        daemon = proxy(env, plain.address, {"protocol": protocol, "route": [
            "host:a.test -> main", "host:a.test method:CONNECT -> tunnel"]},
            {"tunnel": tunnel.address})
        with Client(daemon.address()) as client:
            assert client.ask(host="a.test").body == b"origin"
            answer = connect(client)
            assert answer.status == 200, answer.raw
            assert not answer.all("Content-Length") + answer.all("Transfer-Encoding"), answer.raw
            client.send(b"GET / HTTP/1.1\r\n\r\n")
            assert client.reader.exactly(18) == b"GET / HTTP/1.1\r\n\r\n"
        lines = wait_requests(daemon, 2)
        assert (lines[1]["method"], lines[1]["status"], lines[1]["pool"], lines[1]["bytes_up"],
                lines[1]["bytes_down"], lines[1]["end"]) \
            == ("CONNECT", "200", "tunnel", "18", "18", "done"), lines


def test_connect_and_retries(env):
    """A server that is not there: the next one; and each tunnel has a connection of its own."""
    closed, holder = free_port()
    env.keep(holder)
    tunnel = Origin(env, serve=accept)
    daemon = proxy(env, [f"a {closed}", f"b {tunnel.address} backup"],
                   {"route": "method:CONNECT -> main"}, spliced={"workers": 1})
    with Client(daemon.address()) as client:
        assert client.ask().body == b"plain"    # leaves a connection that is kept
        assert connect(client).status == 200
        client.send(b"x")
        assert client.reader.exactly(1) == b"x"
    assert [asked.method for asked in tunnel.heads] == ["GET", "CONNECT"]
    assert len(tunnel.connections) == 2
    line = wait_requests(daemon, 2)[1]
    assert (line["server"], line["status"], line["end"]) == ("b", "200", "done"), line
    dead = proxy(env, closed, {"route": "method:CONNECT -> main"})
    with Client(dead.address()) as client:
        assert connect(client).status == 502
    assert wait_requests(dead)[0]["end"] == "connect_failed"


def test_connect_is_declined_with_bytes_behind(env):
    """What was meant for the tunnel is not read as a request."""
    origin = Origin(env, serve=lambda connection: connection.head() and connection.send(
        reply(b"no", status="403 Forbidden")) or connection.head())
    daemon = proxy(env, origin.address, {"route": "method:CONNECT -> main"})
    with Client(daemon.address()) as client:
        client.send(request("CONNECT", "a.test:443", host="a.test:443"), request("GET", "/evil"))
        answer = client.response("CONNECT")
        assert (answer.status, answer.body) == (403, b"no") and answer.wants_close(), answer.raw
        assert client.ending()[0] == b""
    assert [asked.target for asked in origin.heads] == ["a.test:443"]
    assert len(wait_requests(daemon)) == 1


# ---- HTTP/2 ------------------------------------------------------------------------------------

def check_h2(env, tunnels, refuses):
    """One daemon with listeners of these options: HTTP/2 goes through some, and is refused by the
    others, of which the server hears nothing."""
    first = PREFACE + SETTINGS + HEADERS

    def serve(connection):
        got.append(connection.reader.exactly(len(first)))
        connection.send(SETTINGS)

    got, origin = [], Origin(env, serve=serve)
    listeners = [{"pool": "main", **options, "bind": "127.0.0.1:0", "protocol": protocol}
                 for options in (*tunnels, *refuses) for protocol in ("http", "auto")]
    daemon = env.spliced(origin.address, more={f"listener l{at}": options
                                               for at, options in enumerate(listeners)})
    for at, options in enumerate(listeners):
        with Client(daemon.address(f"l{at}")) as client:
            client.send(first)
            if at < 2 * len(tunnels):
                assert client.reader.exactly(len(SETTINGS)) == SETTINGS, options
                assert len(got) == at + 1 and got[-1] == first, options
            else:
                answer = client.response()
                assert answer.status == 505 and answer.wants_close(), (options, answer.raw)
                assert client.ending()[0] == b""
    for line in wait_requests(daemon, 2 * len(refuses)):
        assert (line["status"], line["error"], line["end"]) \
            == ("505", "unsupported_version", "bad_request"), line
    assert len(origin.connections) == 2 * len(tunnels), "a server heard of it"


def test_h2_by_default(env):
    """A tunnel where nothing is lost by it; whatever is done to requests turns it off."""
    check_h2(env, [{}, {"h2": "auto"}, {"route": "host:a.test -> main"}, {"body_max": 0},
                   {"route": ["host:*.test src:127.0.0.1 -> main", "src:10.0.0.0/8 -> main"]}],
             [{"x_forwarded_for": "replace"}, {"x_forwarded_for": "append"},
              {"x_forwarded_proto": "yes"}, {"forwarded": "append"}, {"via": "edge"},
              {"request_id": "X-Id"}, {"body_max": "1M"}, {"route": "path:/ -> main"},
              {"route": ["host:b.test -> main", "host:a.test method:GET -> main"]},
              {"route": "header:X-A -> main"}, {"route": "method:CONNECT -> main"}])


def test_h2_as_configured(env):
    """The option has the last word."""
    check_h2(env, [{"h2": "tunnel", "x_forwarded_for": "replace", "body_max": "1M",
                    "route": "path:/ -> main"}],
             [{"h2": "no"}, {"h2": "no", "route": "host:a.test -> main"}])


def test_h2_is_refused_in_pieces(env):
    """However the preface comes."""
    origin = Origin(env)
    daemon = proxy(env, origin.address, {"h2": "no"})
    with Client(daemon.address()) as client:
        for byte in PREFACE[:18]:
            client.send(bytes([byte]))
        assert client.response().status == 505
    curl = programs.find("curl")
    done = programs.run(curl, "-sS", "--max-time", 5, "--http2-prior-knowledge",
                        f"http://{daemon.address()}/", check=False)
    assert done.returncode not in (0, 28), done
    assert origin.received() == 0


def test_h2_connect(env):
    """The first request of HTTP/2 may not be one for a tunnel, either."""
    headers = b"\x42\x07CONNECT\x41\x0aa.test:443"
    block = b"\0\0%c\1\4\0\0\0\1" % len(headers) + headers
    for route, passes in (("method:CONNECT -> main", True), ("host:a.test -> main", False)):
        origin = Origin(env, serve=lambda connection: connection.reader.exactly(
            len(PREFACE + SETTINGS + block)) and connection.send(SETTINGS))
        daemon = proxy(env, origin.address, {"h2": "tunnel", "route": route})
        with Client(daemon.address()) as client:
            client.send(PREFACE, SETTINGS, block)
            assert (client.ending() == (SETTINGS, "eof")) == passes
        assert daemon.wait_access()[0]["end"] == ("done" if passes else "no_route")
        assert bool(origin.connections) == passes


def test_upgrade_to_h2c_is_for_nobody(env):
    """Whatever h2 says: only the other protocols are offered, and no switch to it is believed."""
    origin = Origin(env, lambda asked: head("HTTP/1.1 101 Switching Protocols",
                                            f"Upgrade: {asked.target[1:]}", "Connection: upgrade"))
    daemon = proxy(env, origin.address, {"h2": "tunnel"})
    for target, status in (("/websocket", 101), ("/h2c", 502), ("/H2C", 502)):
        with Client(daemon.address()) as client:
            client.send(request("GET", target, "Connection: Upgrade, HTTP2-Settings",
                                "Upgrade: h2c, websocket", "HTTP2-Settings: AAMAAABk"))
            assert client.head().status == status, target
        asked = origin.heads[-1]
        assert asked.get("Upgrade") == "websocket", asked.raw
        assert not asked.all("HTTP2-Settings"), asked.raw
