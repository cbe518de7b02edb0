# SPDX-License-Identifier: GPL-2.0-or-later
"""Names that programs take for others, and trailer fields: no way around what the listener writes
and removes."""

from lib.http import Client, Origin, chunked, head, proxy, reply, request
from lib.segments import send_in_pieces

REWRITES = {"x_forwarded_for": "replace", "x_forwarded_proto": "yes", "forwarded": "replace",
            "via": "edge", "request_id": "X-Request-Id"}


def variable(name):
    """What CGI calls a field (RFC 3875 4.1.18); some programs do so with all that is no letter or
    digit."""
    return "".join(letter if letter.isalnum() else "_" for letter in name.upper())


def spellings(name):
    """The name in ways that become the same variable."""
    other = "".join(letter.swapcase() if at % 2 else letter for at, letter in enumerate(name))
    found = {name.replace("-", "_"), name.replace("-", "_").upper(), name.lower().replace("-", "_"),
             name.replace("-", "_", 1), other.replace("-", "_"), name.replace("-", "."),
             name.replace("-", "~")}
    return sorted(found - {name, name.lower(), name.upper()})


def see(env, listener, *fields, method="GET", body=None):
    """The request that a server sees of one with these fields."""
    origin = Origin(env)
    daemon = proxy(env, origin.address, listener)
    with Client(daemon.address()) as client:
        assert client.ask(method, "/", *fields, body=body).status == 200
    return origin.check()[0]


def values_of(asked, name):
    """The values that a CGI program may find under that name."""
    return [value for known, value in asked.fields if variable(known) == variable(name)]


# ---- underscores -------------------------------------------------------------------------------

def test_other_spellings_of_what_is_written(env):
    """With the option and without it, and whatever the case: a server finds the proxy's value
    alone."""
    for name in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Request-Id"):
        evil = [f"{spelling}: evil" for spelling in spellings(name)]
        for underscores in ("no", "yes"):
            asked = see(env, {**REWRITES, "underscores_in_headers": underscores}, *evil)
            values = values_of(asked, name)
            assert len(values) == 1 and values[0] != "evil", (name, underscores, asked.raw)


def test_other_spellings_of_what_is_appended(env):
    """They would be read instead of the list that the proxy has added to."""
    for underscores in ("no", "yes"):
        asked = see(env, {"x_forwarded_for": "append", "underscores_in_headers": underscores},
                    "X-Forwarded-For: 192.0.2.1", "X_Forwarded_For: evil",
                    "X-Forwarded_For: evil")
        assert values_of(asked, "X-Forwarded-For") == ["192.0.2.1", "127.0.0.1"], asked.raw


def test_other_spellings_of_what_frames(env):
    """Nor is one of a length or coding anybody's, nor of a name for one hop."""
    lines = [f"{spelling}: {value}" for name, value in (
        ("Content-Length", "100"), ("Transfer-Encoding", "chunked"), ("Keep-Alive", "x"),
        ("Proxy-Connection", "x"), ("HTTP2-Settings", "x"), ("Max-Forwards", "0"))
        for spelling in spellings(name)]
    for underscores in ("no", "yes"):
        asked = see(env, {"underscores_in_headers": underscores}, *lines, method="POST",
                    body=b"hello")
        assert asked.body == b"hello"
        assert sorted(asked.names()) == ["content-length", "host"], asked.raw


def test_other_spellings_in_connection(env):
    """What Connection names goes in every spelling, in both directions."""
    fields = ("Connection: X-Mine, x_other, close", "X_Mine: 1", "X-MINE: 1", "X-Other: 1",
              "x.other: 1", "X-Stays: 1")
    origin = Origin(env, lambda _: reply(b"x", *fields))
    daemon = proxy(env, origin.address, {"underscores_in_headers": "yes"})
    with Client(daemon.address()) as client:
        answer = client.ask("GET", "/", *fields)
    for message in (answer, origin.check()[0]):
        assert not [name for name in message.names()
                    if variable(name) in ("X_MINE", "X_OTHER")], message.raw
        assert message.get("X-Stays") == "1", message.raw


def test_connection_cannot_remove_what_proxies_say(env):
    """A proxy in front may pass a client's Connection on. Servers trust what that proxy says, which
    naming it does not take away; what the listener says itself comes all the same."""
    said = [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "a.test"), ("X-Forwarded-Port", "443"), ("X-Real-IP", "192.0.2.1"),
            ("X-Request-Id", "r1"), ("X-My-Id", "r2"), ("Forwarded", "for=192.0.2.1"),
            ("Via", "1.1 front")]
    fields = [f"{name}: {value}" for name, value in said]
    named = [f"Connection: {', '.join(name.lower() for name, _ in said)}, X-Mine", "X-Mine: 1"]
    for listener in ({"request_id": "X-My-Id"},
                     {"request_id": "X-My-Id", "x_forwarded_for": "append", "forwarded": "append",
                      "via": "here"}):
        plain, asked = (see(env, listener, *more, *fields) for more in ((), named))
        assert asked.fields == plain.fields, (asked.raw, plain.raw)
        assert [field for field in asked.fields if field in said] == said, asked.raw
    replaced = {**REWRITES, "forwarded": "replace"}
    asked = see(env, replaced, *named, *fields)
    for name in ("X-Forwarded-For", "X-Forwarded-Proto", "Forwarded"):
        value, = values_of(asked, name)
        assert value != dict(said)[name], asked.raw
    assert values_of(asked, "X-Request-Id") == ["r1"], asked.raw


def test_underscores(env):
    """Other fields with one are dropped, as nginx does it, unless the option lets them pass;
    responses keep theirs."""
    sent = ["X_Custom: 1", "api_key: 2", "_: 3", "X-Custom: 4_5"]
    asked = see(env, {}, *sent)
    assert [field for field in asked.fields if "_" in field[0]] == [], asked.raw
    assert asked.get("X-Custom") == "4_5", asked.raw
    asked = see(env, {"underscores_in_headers": "yes"}, *sent)
    assert [field for field in asked.fields if "ustom" in field[0] or "_" in field[0]] \
        == [tuple(line.split(": ")) for line in sent], asked.raw
    origin = Origin(env, lambda _: reply(b"x", "X_Custom: 1"))
    daemon = proxy(env, origin.address)
    with Client(daemon.address()) as client:
        assert client.ask().get("X_Custom") == "1"


def test_request_id_with_an_underscore(env):
    """The spelling of the option is the one that counts."""
    asked = see(env, {"request_id": "X_My_Id"}, "x_my_id: mine", "X-My-Id: evil")
    assert values_of(asked, "X_My_Id") == ["mine"], asked.raw
    asked = see(env, {"request_id": "X_My_Id"}, "X-My-Id: evil")
    assert values_of(asked, "X_My_Id") not in ([], ["evil"]), asked.raw


def test_request_id_is_one(env):
    """An empty one is none, and of several the first goes on."""
    asked = see(env, {"request_id": "X-Request-Id"}, "X-Request-Id:", "X-Request-Id:  ")
    made, = values_of(asked, "X-Request-Id")
    assert made, asked.raw
    asked = see(env, {"request_id": "X-Request-Id"}, "X-Request-Id:", "X-Request-Id: a", "x-request-id: b")
    assert values_of(asked, "X-Request-Id") == ["a"], asked.raw


def test_proxy(env):
    """HTTP_PROXY is what many programs take their own proxy from."""
    for name in ("Proxy", "PROXY", "proxy"):
        asked = see(env, {"underscores_in_headers": "yes"}, f"{name}: http://evil.test/")
        assert values_of(asked, "Proxy") == [], asked.raw


# ---- trailers ----------------------------------------------------------------------------------

WRITTEN = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port",
           "Forwarded", "Via", "X-Request-Id", "X-Real-IP", "X-My-Id")
CREDENTIALS = ("Cookie", "Authorization", "Proxy-Authorization", "Set-Cookie", "WWW-Authenticate",
               "Proxy-Authenticate")
HOPS = ("Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade",
        "HTTP2-Settings", "Proxy", "X-Named", "X-Named-Too")
OTHERS = ("Expect", "Max-Forwards", "Cache-Control", "Content-Type", "Content-Encoding",
          "Content-Range", "Range", "If-Match")
GOOD = ["X-Sum: 1", "grpc-status: 0", "Server-Timing: a;dur=1", "ETag: x"]


def bad_trailers():
    """What does not trail, in all spellings, between what does."""
    lines = [f"{spelling}: evil" for name in WRITTEN + CREDENTIALS + HOPS + OTHERS
             for spelling in (name, name.lower(), *spellings(name))]
    lines += [f"{spelling}: 100" for name in ("Content-Length", "Transfer-Encoding")
              for spelling in spellings(name)]
    middle = len(lines) // 2
    return [GOOD[0], *lines[:middle], GOOD[1], *lines[middle:], *GOOD[2:]]


def exchange_trailers(env, listener, sent, *fields, pieces=False):
    """Trailers in the request and in the response: what of them arrives at the server and at the
    client."""
    message = chunked(b"some", b"thing", trailers=sent)
    origin = Origin(env, lambda asked: head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked",
                                            *fields) + chunked(bytes(asked.body), trailers=sent))
    daemon = proxy(env, origin.address, listener)
    with Client(daemon.address()) as client:
        for _ in range(2):
            start = request("POST", "/", "Transfer-Encoding: chunked", *fields)
            if pieces:
                send_in_pieces(client.sock, start, *(message[at:at + 700]
                                                     for at in range(0, len(message), 700)))
            else:
                client.send(start, message)
            answer = client.response()
            assert answer.body == b"something", answer.raw
        client.send(request("POST", "/", "Transfer-Encoding: chunked"),
                    chunked(b"x", trailers=["X-Named: now nothing else"]))
        client.response()
    first, second, last = origin.check()
    assert first.trailers == second.trailers
    assert last.trailers == [("X-Named", "now nothing else")], last.trailers
    return [f"{name}: {value}" for name, value in first.trailers], \
        [f"{name}: {value}" for name, value in answer.trailers]


def test_trailers(env):
    """What heads say is not said again behind a body, whether the listener writes it or not."""
    for listener in ({"request_id": "X-My-Id"}, {**REWRITES, "request_id": "X-My-Id"},
                     {"request_id": "X-My-Id", "underscores_in_headers": "yes"}):
        for pieces in (False, True):
            up, down = exchange_trailers(env, listener, bad_trailers(),
                                         "Connection: X-Named", "Connection: x_named_too",
                                         pieces=pieces)
            assert (up, down) == (GOOD, GOOD), (listener, up, down)


def test_trailers_with_underscores(env):
    """As in heads: a request's only where the option says so."""
    sent = ["X_Sum: 1", "X-Sum: 2"]
    assert exchange_trailers(env, {}, sent) == (sent[1:], sent)
    assert exchange_trailers(env, {"underscores_in_headers": "yes"}, sent) == (sent, sent)


def test_trailers_that_frame(env):
    """These are no trailers at all."""
    origin = Origin(env)
    daemon = proxy(env, origin.address)
    for line in ("Content-Length: 1", "Transfer-Encoding: chunked", "Host: evil.test"):
        with Client(daemon.address()) as client:
            client.send(request("POST", "/", "Transfer-Encoding: chunked"),
                        chunked(b"x", trailers=[line]))
            assert client.response().status == 400
    assert origin.requests == []
