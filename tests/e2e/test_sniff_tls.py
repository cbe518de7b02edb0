# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes by what a ClientHello says, and not a byte of it changed."""

import os
import socket
import struct
import time

from lib import case, pattern, programs, tcp, tls, wait_until
from lib.http import Reader
from lib.pattern import MIB
from lib.segments import send_in_pieces, splits
from lib.sniffing import Recorder, ask, check_refused, connected, talk
from lib.tls import extension, records, usual, vector
from lib.traffic import check_kernel_share
from lib.wait import Deadline

AT_DEBUG = False

LONG = "60s"    # a time that no test waits for


def tls_proxy(env, routes, pools, default=None, listener=None, **options):
    """A daemon with a TLS listener: routes as they are in the file, pools {name: Recorder}."""
    more = {f"pool {name}": {"server": f"s {pool.address}"} for name, pool in pools.items()}
    unused = default or next(iter(pools.values()))
    return env.spliced(unused.address, more=more, listener={
        "protocol": "tls", "route": routes, "pool": "main" if default else None,
        **(listener or {})}, **options)


def recorders(env, *names):
    return {name: Recorder(env, name) for name in names}


# ---- routes ------------------------------------------------------------------------------------

ROUTES = [
    "sni:first.test alpn:h2 -> both",
    "sni:first.test -> one",
    "sni:*.wild.test -> wild",
    "sni:exact.wild.test -> late",
    "alpn:mqtt -> mqtt",
    "sni:192.0.2.1 -> literal",
    "sni:src.test src:127.0.0.2/32 -> src",
    "alpn:any sni:* -> any",
]
POOLS = ("both", "one", "wild", "late", "mqtt", "literal", "src", "any")

# (server name, ALPN, the client's address) -> the server that answers
ROUTED = {
    ("first.test", ("h2",), None): "both",
    ("first.test", ("http/1.1", "h2"), None): "both",
    ("first.test", ("http/1.1",), None): "one",
    ("first.test", (), None): "one",
    ("FIRST.Test", (), None): "one",
    ("sub.first.test", (), None): "default",
    ("xfirst.test", (), None): "default",
    ("a.wild.test", (), None): "wild",
    ("a.b.wild.test", (), None): "wild",
    ("A.WILD.TEST", ("h2",), None): "wild",
    ("wild.test", (), None): "default",
    ("notwild.test", (), None): "default",
    ("exact.wild.test", (), None): "wild",      # file order, not how exact it is
    ("elsewhere.test", ("mqtt",), None): "mqtt",
    (None, ("mqtt",), None): "mqtt",
    ("elsewhere.test", ("mqttx", "mqt"), None): "default",
    ("192.0.2.1", (), None): "literal",
    ("src.test", (), "127.0.0.2"): "src",
    ("src.test", (), "127.0.0.3"): "default",
    ("elsewhere.test", ("any",), None): "any",
    (None, ("any",), None): "default",          # no name is not any name
    (None, (), None): "default",
    ("elsewhere.test", ("h2", "http/1.1"), None): "default",
}


def test_routes(env):
    """In file order, all matchers of a route together; else the listener's pool."""
    pools, default = recorders(env, *POOLS), Recorder(env, "default")
    daemon = tls_proxy(env, ROUTES, pools, default)
    proxy, count = daemon.address(), 0
    for (name, protocols, source), wanted in ROUTED.items():
        hello = records(usual(name, *protocols))
        answer = ask(proxy, hello, source=source)
        assert answer.name == wanted, f"{name} {protocols} {source}: {vars(answer)}"
        count += 1
        line = daemon.wait_access(count)[-1]
        assert line["pool"] == ("main" if wanted == "default" else wanted), line
        assert line["end"] == "done" and line["protocol"] == "tls", line
        assert line["sni"] == (name.lower() if name else "-"), line
        assert line["alpn"] == (",".join(protocols) or "-"), line
    for server in (default, *pools.values()):
        assert server.accepted == sum(wanted == server.name for wanted in ROUTED.values())


def test_thousand_routes(env):
    """The last one is found like the first."""
    pools, default = recorders(env, "one", "two"), Recorder(env, "default")
    routes = [f"sni:host{i}.test -> {('one', 'two')[i % 2]}" for i in range(1000)]
    daemon = tls_proxy(env, routes, pools, default)
    for number in (0, 1, 500, 999, 1000):
        wanted = ("one", "two")[number % 2] if number < 1000 else "default"
        assert ask(daemon.address(), records(usual(f"host{number}.test"))).name == wanted


def test_unix_listener(env):
    pools = recorders(env, "a")
    daemon = tls_proxy(env, ["sni:a.test -> a"], pools,
                       listener={"bind": f"unix:{env.tmp}/front.sock"})
    hello = records(usual("a.test"))
    assert ask(daemon.address(), hello, more=b"and more").name == "a"
    assert pools["a"].stream() == hello + b"and more"


# ---- openssl and nginx -------------------------------------------------------------------------

@case(timeout=90)
def test_openssl(env):
    """openssl's client reaches the server for the name and the protocol it asks for."""
    with tls.OpensslServer(env, "a.test", 4433, "-alpn", "http/1.1") as a, \
            tls.OpensslServer(env, "b.test", 4434, "-alpn", "h2,http/1.1") as b, \
            tls.OpensslServer(env, "default.test", 4435) as default:
        daemon = tls_proxy(env, ["sni:a.test -> a", "alpn:h2 -> b", "sni:*.b.test -> b"],
                           {"a": a, "b": b}, default)
        proxy = daemon.address()
        for options, subject, protocol in (
                (("-servername", "a.test"), "a.test", None),
                (("-servername", "a.test", "-alpn", "h2,http/1.1"), "a.test", "http/1.1"),
                (("-servername", "x.b.test", "-alpn", "http/1.1"), "b.test", "http/1.1"),
                (("-noservername", "-alpn", "h2"), "b.test", "h2"),
                (("-noservername",), "default.test", None),
                (("-servername", "c.test", "-tls1_2"), "default.test", None)):
            seen = tls.s_client(proxy, *options)
            assert (seen.subject, seen.alpn) == (subject, protocol), seen.text
            assert seen.version == ("TLSv1.2" if "-tls1_2" in options else "TLSv1.3"), seen.text


def test_openssl_is_told_of_an_unknown_name(env):
    with tls.OpensslServer(env, "a.test", 4433) as a:
        daemon = tls_proxy(env, ["sni:a.test -> a"], {"a": a})
        for option in (("-servername", "b.test"), ("-noservername",)):
            seen = tls.s_client(daemon.address(), *option, check=False)
            assert "unrecognized name" in seen.text, seen.text
        assert tls.s_client(daemon.address(), "-servername", "a.test").subject == "a.test"


def https_config(env, names):
    """nginx with a certificate for each name; each says which one it is."""
    servers = ""
    for name in names:
        cert, key = tls.certificate(env, name)
        servers += f"""
    server {{{{
        listen {{address}} ssl http2;
        server_name {name};
        ssl_certificate {cert};
        ssl_certificate_key {key};
        location / {{{{ return 200 "{name} $ssl_server_name $ssl_alpn_protocol\\n"; }}}}
    }}}}"""
    return servers


@case(timeout=90)
def test_nginx_certificates(env):
    """curl verifies the certificates of two nginx, one of them with two names."""
    curl = programs.find("curl")
    with programs.Nginx(env, https_config(env, ["a.test", "b.test"]), "one", 8443) as one, \
            programs.Nginx(env, https_config(env, ["c.test"]), "two", 8444) as two:
        daemon = tls_proxy(env, ["sni:c.test -> two", "sni:* -> one"], {"one": one, "two": two})
        host, port = programs.split(daemon.address())
        for name in ("a.test", "b.test", "c.test"):
            for version, protocol in (("--http2", "h2"), ("--http1.1", "http/1.1")):
                said = programs.run(
                    curl, "-sS", "--fail", version, "--cacert", env.tmp / f"{name}.crt",
                    "--resolve", f"{name}:{port}:{host}", f"https://{name}:{port}/").stdout
                assert said.split() == [name, name, protocol], said


@case(timeout=60)
def test_real_hello_of_two_records(env):
    """A real handshake whose first message does not fit into one record."""
    server = tls.Server(env, "a.test", ("h2",))
    backend = env.backend(server.handle)
    daemon = tls_proxy(env, ["sni:a.test alpn:h2 -> a"], {"a": backend})
    protocols = [f"protocol-{i:04}-{'x' * 200}" for i in range(110)] + ["h2"]
    assert len(tls.real_hello("a.test", protocols)) > 20000
    with tls.connect(daemon.address(), "a.test", protocols) as client:
        assert client.recv(100) == b"a.test a.test h2\n"


# ---- byte for byte -----------------------------------------------------------------------------

@case(timeout=60)
def test_tls_both_ways(env):
    """Python's TLS on both ends; each record is authenticated, so this is exact or nothing."""
    server, size = tls.Server(env, "a.test"), env.pick(4, 1) * MIB
    backend = env.backend(server.handle)
    daemon = tls_proxy(env, ["sni:a.test -> a"], {"a": backend})
    with tls.connect(daemon.address(), "a.test") as client:
        assert client.recv(100) == b"a.test a.test None\n"
        stream, got = pattern.Pattern(1), 0
        while got < size:
            piece = stream.piece(got, 1 << 16)
            client.sendall(piece)
            for data in Reader(client).pieces(len(piece)):
                stream.check(got, data)
                got += len(data)


@case(timeout=60)
def test_hello_then_bulk(env):
    """What follows a ClientHello, in the same segment or not, in both directions at once."""
    size = env.pick(24, 2) * MIB
    hello = records(usual("a.test", "h2"))
    exchanges = []

    def serve(sock):
        assert tcp.read_exactly(sock, len(hello)) == hello
        exchange = pattern.Exchange(sock, (2, size), (1, size))
        exchanges.append(exchange)
        exchange.join(40)

    daemon = tls_proxy(env, ["sni:a.test -> a"], {"a": env.backend(serve)})
    with connected(daemon.address()) as client:
        client.sendall(hello)
        pattern.Exchange(client, (1, size), (2, size)).join(Deadline(40).seconds)
    exchanges[0].join(10)
    line = daemon.wait_access()[0]
    assert (line["bytes_up"], line["bytes_down"]) == (str(size + len(hello)), str(size)), line
    assert line["engine"] == env.engine, line
    check_kernel_share(env, daemon)


@case(timeout=90)
def test_hello_split_at_every_byte(env):
    pools = recorders(env, "a")
    daemon = tls_proxy(env, ["sni:a.test alpn:h2 -> a"], pools)
    hello = records(usual("a.test", "h2"))
    proxy = daemon.address()
    for number, (at, pieces) in enumerate(splits(hello + b"tail", env.pick(1, 9)), 1):
        answer = ask(proxy, *pieces, more=b"more")
        assert (answer.name, answer.end) == ("a", "eof"), f"split at {at}: {vars(answer)}"
        assert pools["a"].stream(number) == hello + b"tailmore", f"split at {at}"


@case(timeout=60)
def test_hello_in_single_bytes(env):
    """Records of a byte, segments of a byte, and both."""
    pools = recorders(env, "a")
    daemon = tls_proxy(env, ["sni:a.test alpn:h2 -> a"], pools)
    message = usual("a.test", "h2")
    forms = (records(message, 1), 1 << 20), (records(message), 1), (records(message, 1), 1)
    for number, (stream, size) in enumerate(forms, 1):
        pieces = [stream[at:at + size] for at in range(0, len(stream), size)]
        assert ask(daemon.address(), *pieces, more=b"more").name == "a"
        assert pools["a"].stream(number) == stream + b"more"


def test_hello_records_of_every_size(env):
    pools = recorders(env, "a")
    daemon = tls_proxy(env, ["sni:a.test -> a"], pools)
    message = usual("a.test", "h2")
    for number, size in enumerate(range(2, 64), 1):
        assert ask(daemon.address(), records(message, size)).name == "a", f"records of {size}"
        assert pools["a"].stream(number) == records(message, size)


def without_extensions():
    """A ClientHello from before there were extensions."""
    body = b"\3\1" + os.urandom(32) + b"\0" + vector(b"\0\x2f") + vector(b"\0", 1)
    return b"\1" + vector(body, 3)


# Hellos as they are met, and as they could be: name -> (message, where it goes)
HELLOS = {
    "plain": (usual("a.test"), "a"),
    "grease": (tls.hello(extension(tls.GREASE), tls.server_name("a.test"),
                         extension(0x1A1A, b"\0"), tls.alpn("\x0a\x0a", "h2"),
                         suites=(0x2A2A, 0x1301)), "a"),
    "name_last": (usual(more=[extension(tls.PADDING, bytes(300)), tls.server_name("a.test")]), "a"),
    "post_quantum": (usual("a.test", more=[tls.key_share((0x11EC, 1216), (0x6399, 16000))]), "a"),
    "padding_16k": (usual("a.test", more=[extension(tls.PADDING, bytes(16000))]), "a"),
    "padding_60k": (usual(more=[extension(tls.PADDING, bytes(60000)),
                                tls.server_name("a.test")]), "a"),
    "outer_name": (usual("a.test", more=[extension(tls.ECH, os.urandom(300))]), "a"),
    "many_protocols": (usual("a.test", *(f"p{i}" for i in range(200))), "a"),
    "trailing_dot": (usual("a.test."), "a"),
    "before_extensions": (without_extensions(), "default"),
    "no_name": (usual(), "default"),
    "no_extensions": (tls.hello(), "default"),
    "long_name": (usual("x" * 63 + "." + "y" * 63 + "." + "z" * 63 + ".test"), "default"),
}


def test_hellos(env):
    pools, default = recorders(env, "a"), Recorder(env, "default")
    daemon = tls_proxy(env, ["sni:a.test -> a"], pools, default)
    counts = {"a": 0, "default": 0}
    for name, (message, wanted) in HELLOS.items():
        stream = records(message)
        answer = ask(daemon.address(), stream, more=b"more")
        assert answer.name == wanted, f"{name}: {vars(answer)}"
        counts[wanted] += 1
        server = default if wanted == "default" else pools["a"]
        assert server.stream(counts[wanted]) == stream + b"more", name


# ---- refusals ----------------------------------------------------------------------------------

def test_no_route_is_an_alert(env):
    pools = recorders(env, "a")
    daemon = tls_proxy(env, ["sni:a.test -> a"], pools)
    for number, name in enumerate(("b.test", None, "xa.test"), 1):
        answer = ask(daemon.address(), records(usual(name)))
        line = check_refused(daemon, answer, "no_route", number)
        assert tls.is_alert(answer.rest, tls.UNRECOGNIZED_NAME), (name, answer.rest)
        assert line["sni"] == (name or "-"), line
        assert (line["pool"], line["server"], line["backend"]) == ("-", "-", "-"), line
    assert pools["a"].accepted == 0
    assert daemon.stats()["ends"]["no_route"] == 3


NOT_TLS = (b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", b"SSH-2.0-client\r\n", b"G", b"\0", b"\x15",
           b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10", b"\x17\3\3\0\5hello", b"\x16\x02", b"\xff" * 50,
           b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")


def test_not_tls(env):
    """Refused as soon as it is certain, which the first wrong byte makes it."""
    pools = recorders(env, "a")
    daemon = tls_proxy(env, [], pools, pools["a"], listener={"sniff_timeout": LONG})
    for number, data in enumerate(NOT_TLS, 1):
        answer = ask(daemon.address(), data)
        check_refused(daemon, answer, "not_tls", number)
    assert pools["a"].accepted == 0
    assert daemon.stats()["ends"]["not_tls"] == len(NOT_TLS)


def name_list(*names):
    """A server_name extension with that list, whatever it is."""
    return extension(tls.SERVER_NAME, vector(b"".join(names)))


A_NAME = b"\0" + vector(b"a.test")
WHOLE = usual("a.test")
MALFORMED = {
    "two_name_extensions": usual("a.test", more=[tls.server_name("b.test")]),
    "two_names": tls.hello(name_list(A_NAME, b"\0" + vector(b"b.test"))),
    "name_too_long_for_list": tls.hello(extension(tls.SERVER_NAME, vector(b"\0\0\x09a.test"))),
    "list_too_long": tls.hello(extension(tls.SERVER_NAME, b"\0\x20" + A_NAME)),
    "nul_in_name": tls.hello(name_list(b"\0" + vector(b"a.te\0st"))),
    "extension_too_long": tls.hello(struct.pack("!HH", tls.SERVER_NAME, 500) + vector(A_NAME)),
    "bytes_behind": b"\1" + vector(WHOLE[4:] + b"\0\0", 3),
    "session_id_too_long": b"\1" + vector(b"\3\3" + bytes(32) + vector(bytes(33), 1)
                                          + vector(b"\x13\1") + vector(b"\0", 1), 3),
    "odd_suites": b"\1" + vector(b"\3\3" + bytes(32) + b"\0" + vector(b"\x13\1\0")
                                 + vector(b"\0", 1), 3),
    "alpn_list_too_long": tls.hello(extension(tls.ALPN, b"\0\x20\2h2")),
    "alpn_empty_name": tls.hello(extension(tls.ALPN, vector(b"\0"))),
    "too_short": b"\1" + vector(b"\3\3" + bytes(10), 3),
}


def test_malformed_hellos(env):
    pools = recorders(env, "a")
    daemon = tls_proxy(env, [], pools, pools["a"], listener={"sniff_timeout": LONG})
    for number, (name, message) in enumerate(MALFORMED.items(), 1):
        answer = ask(daemon.address(), records(message))
        assert answer.refused, f"{name}: answered"
        line = daemon.wait_access(number)[-1]
        assert line["end"] == "bad_hello", f"{name}: {line}"
    assert pools["a"].accepted == 0


def test_broken_records(env):
    """Another record inside the hello, a record longer than can be, another message."""
    pools = recorders(env, "a")
    daemon = tls_proxy(env, [], pools, pools["a"], listener={"sniff_timeout": LONG})
    start = tls.record(WHOLE[:40])
    streams = (start + tls.record(b"\2\x28", tls.ALERT), start + tls.record(b"x", 23),
               start + b"\x16\3\1\xff\xff", tls.record(b"\2" + WHOLE[1:]), start + b"\x16\7\1\0\1x")
    for number, stream in enumerate(streams, 1):
        answer = ask(daemon.address(), stream)
        assert answer.refused, stream[40:]
        line = daemon.wait_access(number)[-1]
        assert line["end"] in ("bad_hello", "not_tls"), (stream[40:60], line)
    assert pools["a"].accepted == 0


def test_hello_too_large(env):
    """More than 64 KiB is nobody's hello; it is not waited for either."""
    pools = recorders(env, "a")
    daemon = tls_proxy(env, [], pools, pools["a"], listener={"sniff_timeout": LONG})
    check_refused(daemon, ask(daemon.address(), tls.record(b"\1\xff\xff\xff" + bytes(100))),
                  "bad_hello")
    check_refused(daemon, ask(daemon.address(), records(b"\1" + vector(bytes(80000), 3))),
                  "bad_hello", 2)
    assert pools["a"].accepted == 0


def test_client_leaves_in_the_hello(env):
    pools = recorders(env, "a")
    daemon = tls_proxy(env, [], pools, pools["a"], listener={"sniff_timeout": LONG})
    for number, leave in enumerate((tcp.reset, lambda sock: sock.close(),
                                    lambda sock: sock.shutdown(socket.SHUT_WR)), 1):
        client = env.keep(connected(daemon.address()))
        send_in_pieces(client, records(WHOLE)[:50])
        leave(client)
        line = daemon.wait_access(number)[-1]
        assert line["end"] != "done" and line["backend"] == "-", line
    daemon.wait_sessions(0)
    assert pools["a"].accepted == 0


# ---- time and number ---------------------------------------------------------------------------

def test_sniff_timeout(env):
    """For who says nothing, and for who says a byte now and then."""
    pools = recorders(env, "a")
    daemon = tls_proxy(env, [], pools, pools["a"], listener={"sniff_timeout": "1s"})
    began = time.monotonic()
    check_refused(daemon, talk(env.keep(connected(daemon.address()))), "sniff_timeout")
    assert 0.8 < time.monotonic() - began < Deadline(4).seconds

    began, hello = time.monotonic(), records(WHOLE)
    client, sent = env.keep(connected(daemon.address())), 0
    while not daemon.stats()["ends"]["sniff_timeout"] == 2:
        assert time.monotonic() - began < Deadline(4).seconds, f"still there after {sent} bytes"
        try:
            send_in_pieces(client, hello[sent:sent + 1])
        except OSError:
            break
        sent += 1
        due = time.monotonic() + 0.1
        wait_until(lambda at=due: time.monotonic() >= at, 1, "the next byte's time")
    check_refused(daemon, talk(client), "sniff_timeout", 2)
    assert time.monotonic() - began > 0.8 and pools["a"].accepted == 0


def test_max_sniffing(env):
    """Who has waited longest makes room for who comes new; routed sessions do not count."""
    pools = recorders(env, "a")
    daemon = tls_proxy(env, [], pools, pools["a"], listener={"sniff_timeout": LONG},
                       spliced={"max_sniffing": 4, "workers": 1})
    proxy = daemon.address()
    served = [env.keep(connected(proxy)) for _ in range(3)]
    for client in served:
        client.sendall(records(WHOLE))
        assert tcp.read_exactly(client, 2) == b"a\n"
    waiting = []
    for number in range(1, 7):
        waiting.append(env.keep(connected(proxy)))
        send_in_pieces(waiting[-1], b"\x16")
        wait_until(lambda count=min(number, 4): daemon.stats()["sessions_sniffing"] == count, 5,
                   f"sessions sniffing after {number} clients")
    lines = daemon.wait_access(2)
    assert [line["end"] for line in lines] == ["sniff_limit"] * 2, lines
    wanted = ["%s:%d" % client.getsockname() for client in waiting[:2]]
    assert [line["client"] for line in lines] == wanted, lines
    for client in waiting[2:]:
        client.sendall(records(WHOLE)[1:])
        assert tcp.read_exactly(client, 2) == b"a\n"
    assert daemon.stats()["sessions_sniffing"] == 0
    assert daemon.stats()["ends"]["sniff_limit"] == 2
