# SPDX-License-Identifier: GPL-2.0-or-later
"""W3C Trace Context: what servers and the access log see of a trace."""

import re

from lib import case, process, websocket
from lib.http import Client, Origin, chunked, proxy, request, wait_requests

ID = "0af7651916cd43dd8448eb211c80319c"
VALID = f"00-{ID}-b7ad6b7169203331-01"
BEGUN = r"00-([0-9a-f]{32})-[0-9a-f]{16}-0([01])"


def exchange(env, listener, *fields, **options):
    """(the request that a server has seen, the access line of it)."""
    origin = Origin(env)
    daemon = proxy(env, origin.address, listener)
    with Client(daemon.address()) as client:
        assert client.ask("GET", "/", *fields, **options).status == 200
    return origin.check()[0], wait_requests(daemon)[0]


def test_passed_on(env):
    """As it comes, valid or not; the log has an id that is one."""
    for listener in ({}, {"traceparent": "begin"}):
        asked, line = exchange(env, listener, f"TraceParent: {VALID}", "tracestate: a=b", "Tracestate: c=d")
        assert asked.all("traceparent") == [VALID] and asked.all("tracestate") == ["a=b", "c=d"], asked.raw
        assert line["trace"] == ID, line
    asked, line = exchange(env, {}, "traceparent: nonsense", "tracestate: a=b")
    assert asked.get("traceparent") == "nonsense" and asked.get("tracestate") == "a=b", asked.raw
    assert "trace" not in line
    asked, line = exchange(env, {})
    assert not asked.all("traceparent") and "trace" not in line, asked.raw
    asked, line = exchange(env, {}, f"traceparent: {VALID}", "Connection: traceparent")
    assert not asked.all("traceparent") and "trace" not in line, asked.raw


def test_begun(env):
    """What was said of another trace does not come along."""
    for fields in ((), ("traceparent: nonsense", "tracestate: a=b"), ("tracestate: a=b",),
                   (f"traceparent: {VALID}", f"TRACEPARENT: {VALID}", "tracestate: a=b"),
                   (f"traceparent: {VALID}", "Connection: traceparent", "tracestate: a=b")):
        asked, line = exchange(env, {"traceparent": "begin"}, *fields)
        match = re.fullmatch(BEGUN, asked.get("traceparent"))
        assert match and match[2] == "1" and match[1] != ID, asked.raw
        assert len(asked.all("traceparent")) == 1 and not asked.all("tracestate"), asked.raw
        assert line["trace"] == match[1], line
    asked, line = exchange(env, {"traceparent": "replace", "traceparent_sample": 0},
                           f"traceparent: {VALID}", "tracestate: a=b")
    match = re.fullmatch(BEGUN, asked.get("traceparent"))
    assert match and match[2] == "0" and match[1] != ID and not asked.all("tracestate"), asked.raw
    assert line["trace"] == match[1], line


def test_each_request_has_its_own(env):
    origin = Origin(env)
    daemon = proxy(env, origin.address, {"traceparent": "begin", "request_id": "X-Id"})
    with Client(daemon.address()) as client:
        for _ in range(20):
            client.ask()
        client.ask("GET", "/", f"traceparent: {VALID}")
    asked = origin.check()
    ids = [request.get("traceparent").split("-")[1] for request in asked]
    assert len(set(ids)) == 21 and ids[-1] == ID
    assert [line["trace"] for line in wait_requests(daemon, 21)] == ids
    assert all(request.get("X-Id") for request in asked)


def test_a_request_that_is_sent_again(env):
    """To another server: it is the same request, of the same trace."""
    spare = Origin(env)
    daemon = proxy(env, ["127.0.0.1:1", spare.address], {"traceparent": "begin"})
    with Client(daemon.address()) as client:
        for _ in range(3):
            assert client.ask().status == 200
    traces = [asked.get("traceparent").split("-")[1] for asked in spare.check()]
    assert [line["trace"] for line in wait_requests(daemon, 3)] == traces and len(set(traces)) == 3


def test_tunnels_and_trailers(env):
    origin = Origin(env, serve=websocket.serve_echo)
    daemon = proxy(env, origin.address, {"traceparent": "begin"})
    with Client(daemon.address()) as client:
        websocket.upgrade(client)
        client.send(websocket.frame(websocket.CLOSE, b"", masked=True))
        websocket.read_frame(client.reader, masked=False)
    assert re.fullmatch(BEGUN, origin.requests[0].get("traceparent"))
    origin = Origin(env)
    daemon = proxy(env, origin.address, {"traceparent": "begin"})
    with Client(daemon.address()) as client:
        client.send(request("POST", "/", "Transfer-Encoding: chunked"),
                    chunked(b"x", trailers=[f"traceparent: {VALID}", "tracestate: a=b", "X-Sum: 1"]))
        assert client.response().status == 200
    asked = origin.check()[0]
    assert asked.trailers == [("X-Sum", "1")] and VALID not in asked.all("traceparent"), asked.raw


def test_log_in_json(env):
    origin = Origin(env)
    daemon = proxy(env, origin.address, {"traceparent": "begin"},
                   spliced={"access_log": env.tmp / "access", "access_log_format": "json"})
    with Client(daemon.address()) as client:
        client.ask("GET", "/", f"traceparent: {VALID}")
    daemon.wait_sessions(0)
    daemon.stop()
    assert f'"trace":"{ID}","end":"done"' in (env.tmp / "access").read_text()


@case(engines=())
def test_messages(env):
    for options, said in (
            ("traceparent = yes", 'traceparent: "yes" is not one of the choices; allowed: pass, begin or replace'),
            ("traceparent = begin\ntraceparent_sample = 101", 'traceparent_sample: "101" is out of range'),
            ("traceparent_sample = 10", "traceparent_sample does nothing in [listener web]: it needs "
                                        "traceparent = begin or replace"),
            ("request_id = Traceparent", 'request_id: "Traceparent" is a field with a meaning of its own')):
        path = env.tmp / "t.conf"
        path.write_text(f"[listener web]\nbind = 127.0.0.1:0\nprotocol = http\npool = p\n{options}\n"
                        "[pool p]\nserver = a 127.0.0.1:1\n", encoding="ascii")
        done = process.run(env.binary("spliced"), "-t", "-c", path, check=False)
        assert said in done.stderr + done.stdout, (options, done)
