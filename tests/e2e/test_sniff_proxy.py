# SPDX-License-Identifier: GPL-2.0-or-later
"""PROXY headers, taken from clients and given to servers."""

import re
import socket
import time

from lib import case, pattern, programs, proxyheader, tcp, tls
from lib.http import Client, Origin, Reader, reply
from lib.http import proxy as http_proxy
from lib.pattern import MIB
from lib.proxyheader import (ALPN, AUTHORITY, LOCAL, NOOP, PROXY, SIGNATURE, TCP4, TCP6, UDP4,
                             UNIQUE_ID, UNIX_STREAM, UNSPEC, ends, tlv, v1, v2, v2_checked, v2_raw)
from lib.segments import send_in_pieces, splits
from lib.sniffing import Recorder, ask, check_refused, connected, talk
from lib.tcp import free_port
from lib.tls import records, usual
from lib.traffic import check_kernel_share
from lib.wait import Deadline

AT_DEBUG = False

LONG = "60s"
A4, B4 = ("192.0.2.1", 40001), ("198.51.100.2", 443)
A6, B6 = ("2001:db8::1", 40001), ("2001:db8:ffff::2", 443)
WIDE6 = ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535)
BLOCK4 = ends(A4, B4)[1]


def accepting(env, server, versions="any", listener=None, **options):
    """A daemon that wants a PROXY header from every client."""
    return env.spliced(server.address, listener={
        "accept_proxy": versions, "sniff_timeout": LONG, **(listener or {})}, **options)


def name_of(address):
    """As the access log writes an (address, port) pair."""
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


# ---- in ----------------------------------------------------------------------------------------

# The header -> the client it names; None: the connection's own.
GOOD = {
    v1(A4, B4): A4,
    v1(A6, B6): A6,
    v1(("255.255.255.255", 65535), ("255.255.255.255", 65535)): ("255.255.255.255", 65535),
    v1(WIDE6, WIDE6): WIDE6,
    v1(("0.0.0.0", 0), ("0.0.0.0", 0)): ("0.0.0.0", 0),
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN whatever this may be\r\n": None,
    v1(WIDE6, WIDE6, "UNKNOWN"): None,          # the longest line there is
    v2(A4, B4): A4,
    v2(A6, B6): A6,
    v2(b"/run/a.sock", b"/run/b.sock"): "unix:",
    v2(A4, B4, tlv(NOOP, b""), tlv(NOOP, b"padding"), tlv(0xE0, b"mine"), tlv(0xF1, b"")): A4,
    v2(A6, B6, tlv(ALPN, b"h2"), tlv(AUTHORITY, b"a.test"), tlv(UNIQUE_ID, bytes(range(128)))): A6,
    v2_checked(A4, B4): A4,
    v2_checked(A6, B6, tlv(AUTHORITY, b"a.test")): A6,
    v2_raw(LOCAL, UNSPEC, b""): None,
    v2_raw(LOCAL, TCP4, BLOCK4): None,          # to be discarded, whatever it says
    v2_raw(PROXY, UNSPEC, b""): None,
    v2_raw(PROXY, UNSPEC, b"ignored" * 10): None,
    v2(A4, B4, tlv(NOOP, bytes(3800))): A4,
}
GOOD[v1(WIDE6, WIDE6, "UNKNOWN")[:107]] = None

BAD_V1 = [b"PROXY TCP4 %s\r\n" % rest for rest in (
    b"192.0.2.1 192.0.2.2 1", b"192.0.2.1 192.0.2.2 1 2 3", b"192.0.2.1 192.0.2.2 1 2 ",
    b" 192.0.2.1 192.0.2.2 1 2", b"192.0.2.1  192.0.2.2 1 2", b"192.0.2.1\t192.0.2.2 1 2",
    b"192.0.2.1 192.0.2.2 65536 2", b"192.0.2.1 192.0.2.2 -1 2", b"192.0.2.1 192.0.2.2 01 2",
    b"192.0.2.1 192.0.2.2 +1 2", b"192.0.2.1 192.0.2.2 0x1 2", b"192.0.2.1 192.0.2.2 1 ",
    b"192.0.2.1 192.0.2.2 99999999999999999999 2", b"192.0.2 192.0.2.2 1 2",
    b"192.0.2.01 192.0.2.2 1 2", b"192.0.2.256 192.0.2.2 1 2", b"192.0.2.1.1 192.0.2.2 1 2",
    b"2001:db8::1 2001:db8::2 1 2", b"a.test b.test 1 2", b"192.0.2.1 192.0.2.2 1 2\0")]
BAD_V1 += [b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", b"PROXY TCP6 2001:db8:::1 ::1 1 2\r\n",
           b"PROXY TCP6 [::1] [::1] 1 2\r\n", b"PROXY TCP6 ::g ::1 1 2\r\n",
           b"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n", b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
           b"PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n", b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
           b"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
           b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rX", b"PROXY TCP4\r\n", b"PROXY\r\n", b"PROXY \r\n",
           b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", b"PROXY UNKNOWN" + b" " * 200, b"\r\nPROXY"]
BAD_V2 = [
    v2_raw(0x11, TCP4, BLOCK4), v2_raw(0x31, TCP4, BLOCK4), v2_raw(0x01, TCP4, BLOCK4),
    v2_raw(0x22, TCP4, BLOCK4), v2_raw(0x2F, TCP4, BLOCK4),     # versions and commands
    v2_raw(PROXY, 0x41, BLOCK4), v2_raw(PROXY, 0x13, BLOCK4), v2_raw(PROXY, 0xFF, BLOCK4),
    v2_raw(PROXY, UDP4, BLOCK4),                                # over a stream
    v2_raw(PROXY, TCP4, BLOCK4[:-1]), v2_raw(PROXY, TCP4, b""), v2_raw(PROXY, TCP6, BLOCK4),
    v2_raw(PROXY, UNIX_STREAM, bytes(215)),                     # too short for the family
    v2_raw(PROXY, TCP4, BLOCK4 + b"\1"), v2_raw(PROXY, TCP4, BLOCK4 + b"\1\0"),
    v2_raw(PROXY, TCP4, BLOCK4 + b"\1\0\3h2"),                  # TLVs cut off
    v2_raw(PROXY, TCP4, BLOCK4 + bytes([NOOP, 0xFF, 0xFF]) + bytes(20)),
    v2_checked(A4, B4, wrong=1), v2(A4, B4, tlv(proxyheader.CRC32C, b"\0\0")),
    v2(A4, B4, tlv(NOOP, bytes(5000))), SIGNATURE + b"\x21\x11\xff\xff",    # too much
    SIGNATURE[:-1] + b"X", b"\r\n\r\n\0\r\nQUIX", b"\r\n\r\n\r\n",
]
NOT_PROXY = [b"GET / HTTP/1.1\r\n\r\n", records(usual("a.test")), b"SSH-2.0-x\r\n", b"P\0",
             b"\r\n\r\n\1", b"PUT ", b"\n"]


def test_good_headers(env):
    """The session is the named client's, and the server sees nothing of the header."""
    server = Recorder(env, "a")
    daemon = accepting(env, server)
    for number, (header, client) in enumerate(GOOD.items(), 1):
        with connected(daemon.address()) as sock:
            own = sock.getsockname()
            answer = talk(sock, header + b"payload", more=b"more")
        assert answer.name == "a", f"{header}: {vars(answer)}"
        assert server.stream(number) == b"payloadmore", header
        line = daemon.wait_access(number)[-1]
        if client == "unix:":
            assert line["client"].startswith("unix:"), line
        else:
            assert line["client"] == name_of(client or own), f"{header}: {line}"
        assert line["end"] == "done", line


def test_bad_headers(env):
    """Refused with a name as soon as they are certain to be bad, before any server hears of it."""
    server = Recorder(env, "a")
    daemon = accepting(env, server)
    for number, header in enumerate(BAD_V1 + BAD_V2 + NOT_PROXY, 1):
        answer = ask(daemon.address(), header)
        assert answer.refused, f"{header}: accepted"
        line = daemon.wait_access(number)[-1]
        assert line["end"] == "bad_proxy", f"{header}: {line}"
    assert server.accepted == 0
    assert daemon.stats()["ends"]["bad_proxy"] == len(BAD_V1 + BAD_V2 + NOT_PROXY)


def test_versions(env):
    server = Recorder(env, "a")
    for versions, good, bad in (("v1", v1(A4, B4), v2(A4, B4)), ("v2", v2(A6, B6), v1(A6, B6))):
        daemon = accepting(env, server, versions)
        assert ask(daemon.address(), good + b"x").name == "a"
        check_refused(daemon, ask(daemon.address(), bad), "bad_proxy", 2)


def test_header_split_at_every_byte(env):
    server = Recorder(env, "a")
    daemon, number = accepting(env, server), 0
    for header in (v1(A6, B6), v2(A4, B4, tlv(AUTHORITY, b"a.test"), tlv(NOOP, b"xx"))):
        for at, pieces in splits(header + b"tail", env.pick(1, 5)):
            number += 1
            assert ask(daemon.address(), *pieces, more=b"more").name == "a", f"split at {at}"
            assert server.stream(number) == b"tailmore", f"split at {at}"


def test_header_missing(env):
    """A header is waited for as long as for anything else to be sniffed; its half is none."""
    server = Recorder(env, "a")
    daemon = accepting(env, server, listener={"sniff_timeout": "500ms"})
    check_refused(daemon, talk(env.keep(connected(daemon.address()))), "sniff_timeout")
    check_refused(daemon, ask(daemon.address(), v2(A4, B4)[:-1]), "sniff_timeout", 2)
    with connected(daemon.address()) as client:
        send_in_pieces(client, v1(A4, B4)[:-1])
        client.shutdown(socket.SHUT_WR)
        assert daemon.wait_access(3)[-1]["end"] != "done"
    assert server.accepted == 0


def test_half_a_header_and_auto(env):
    """An end in a header, or in a ClientHello, is one with protocol = auto, too."""
    server = Recorder(env, "a")
    for options, halves in (
            ({"accept_proxy": "any"}, (v1(A4, B4)[:-1], v2(A4, B4)[:-1], b"PRO")),
            ({"trusted": "127.0.0.0/8"}, (v1(A4, B4)[:-1], v2(A4, B4)[:-1])),
            ({}, (records(usual("a.test"))[:-1],))):
        daemon = accepting(env, server, listener={"accept_proxy": "no", "protocol": "auto",
                                                  "sniff_timeout": "20s", **options})
        for number, half in enumerate(halves):
            with connected(daemon.address()) as client:
                client.sendall(half)
                client.shutdown(socket.SHUT_WR)
                assert tcp.read_all(client) == b""
            assert daemon.wait_access(number + 1)[-1]["end"] == "client_closed", (options, half)
    assert server.accepted == 0


def test_trusted(env):
    server = Recorder(env, "a")
    daemon = accepting(env, server, listener={"trusted": "127.0.0.2/32, 127.0.1.0/24, ::1/128",
                                              "bind": "127.0.0.1:0, [::1]:0"})
    number = 0
    for source, index, good in (("127.0.0.2", 0, True), ("127.0.0.3", 0, False), ("::1", 1, True),
                                ("127.0.1.77", 0, True), ("127.0.0.1", 0, False)):
        number += 1
        answer = ask(daemon.address(index=index), v1(A4, B4) + b"x", source=source)
        if good:
            assert answer.name == "a", (source, vars(answer))
            assert daemon.wait_access(number)[-1]["client"] == name_of(A4)
        else:
            line = check_refused(daemon, answer, "untrusted_proxy", number)
            assert line["client"].startswith(source + ":"), line
    assert server.accepted == 3
    assert daemon.stats()["ends"]["untrusted_proxy"] == 2


def test_routes_see_the_named_client(env):
    """src: is the client, not the proxy in front."""
    servers = {name: Recorder(env, name) for name in ("four", "six", "local", "default")}
    more = {f"pool {name}": {"server": f"s {server.address}"} for name, server in servers.items()}
    routes = ["src:192.0.2.0/24 -> four", "src:2001:db8::/32 -> six", "src:127.0.0.0/8 -> local"]
    daemon = accepting(env, servers["default"], listener={"route": routes}, more=more)
    for header, wanted in ((v1(A4, B4), "four"), (v2(A6, B6), "six"), (v1(B4, A4), "default"),
                           (b"PROXY UNKNOWN\r\n", "local"), (v2_raw(LOCAL, TCP4, BLOCK4), "local")):
        assert ask(daemon.address(), header + b"x").name == wanted, header


def test_tls_behind_a_header(env):
    server = Recorder(env, "a")
    daemon = accepting(env, server, listener={"protocol": "tls", "route": "sni:a.test -> main",
                                              "pool": None})
    hello = records(usual("a.test", "h2"))
    for number, (at, pieces) in enumerate(splits(v2(A6, B6) + hello, env.pick(7, 31)), 1):
        assert ask(daemon.address(), *pieces, more=b"more").name == "a", f"split at {at}"
        assert server.stream(number) == hello + b"more"
    line = daemon.wait_access(number)[-1]
    assert (line["client"], line["sni"], line["alpn"]) == (name_of(A6), "a.test", "h2"), line


def test_other_sockets(env):
    """Over IPv6 and unix sockets."""
    server = Recorder(env, "a")
    daemon = accepting(env, server, listener={"bind": f"[::1]:0, unix:{env.tmp}/front.sock"})
    number = 0
    for index in (0, 1):
        for header, client in ((v1(A4, B4), name_of(A4)), (v2(A6, B6), name_of(A6)),
                               (b"PROXY UNKNOWN\r\n", ("[::1]:", "unix:")[index])):
            number += 1
            assert ask(daemon.address(index=index), header + b"x", more=b"more").name == "a"
            line = daemon.wait_access(number)[-1]
            assert line["client"].startswith(client), (header, line)


# ---- out ---------------------------------------------------------------------------------------

def check_named(header, version, sock_names):
    """The header names the client's connection."""
    client, target = sock_names
    assert header.version == version and not header.local, vars(header)
    assert header.source == client[:2] and header.target == target[:2], vars(header)


@case(timeout=60)
def test_send(env):
    """Both versions, from IPv4 and IPv6, to every kind of server."""
    for back in ("127.0.0.1:0", "[::1]:0", f"unix:{env.tmp}/back.sock"):
        for version in (1, 2):
            server = Recorder(env, "a", header=True, address=back)
            daemon = env.spliced(server.address, pool={"send_proxy": f"v{version}"},
                                 listener={"bind": "127.0.0.1:0, [::1]:0"})
            for index in (0, 1):
                with connected(daemon.address(index=index)) as sock:
                    names = sock.getsockname(), sock.getpeername()
                    assert talk(sock, b"payload", more=b"more").name == "a"
                assert server.stream(index + 1) == b"payloadmore"
                check_named(server.headers[index], version, names)
            server.backend.close()
            if back.startswith("unix:"):
                (env.tmp / "back.sock").unlink()


def test_send_for_a_unix_client(env):
    for version in ("v1", "v2"):
        server = Recorder(env, "a", header=True)
        daemon = env.spliced(server.address, pool={"send_proxy": version},
                             listener={"bind": f"unix:{env.tmp}/{version}.sock"})
        assert ask(daemon.address(), b"payload").name == "a"
        assert server.stream() == b"payload"
        header = server.headers[0]
        assert header.local or isinstance(header.source, bytes), vars(header)
        if version == "v1":
            assert header.size == len(b"PROXY UNKNOWN\r\n"), vars(header)


def told(header):
    """The TLVs without the unique id that the daemon makes where it was told none."""
    made = header.tlvs.get(UNIQUE_ID, b"")
    assert made, header.tlvs
    return {kind: value for kind, value in header.tlvs.items()
            if kind != UNIQUE_ID or not re.fullmatch(rb"[0-9a-f]{16}-[0-9a-f]+", value)}


def test_send_what_tls_says(env):
    server = Recorder(env, "a", header=True)
    daemon = env.spliced(server.address, pool={"send_proxy": "v2"}, listener={"protocol": "tls"})
    for number, (name, protocols, tlvs) in enumerate((
            ("a.test", ("h2",), {AUTHORITY: b"a.test", ALPN: b"h2"}),
            ("a.test", ("\x0a\x0a", "h2"), {AUTHORITY: b"a.test", ALPN: b"h2"}),
            ("A.Test", (), {AUTHORITY: b"a.test"}), (None, (), {})), 1):
        hello = records(usual(name, *protocols))
        with connected(daemon.address()) as sock:
            names = sock.getsockname(), sock.getpeername()
            assert talk(sock, hello).name == "a"
        assert server.stream(number) == hello
        check_named(server.headers[-1], 2, names)
        assert told(server.headers[-1]) == tlvs, server.headers[-1].tlvs


def test_passed_on(env):
    """What a header said on the way in, another says on the way out."""
    server = Recorder(env, "a", header=True)
    daemon = accepting(env, server, pool={"send_proxy": "v2"})
    tlvs = {UNIQUE_ID: bytes(range(100)), AUTHORITY: b"a.test", ALPN: b"h2"}
    given = [tlv(kind, value) for kind, value in tlvs.items()]
    for number, (header, source, target, wanted) in enumerate((
            (v1(A4, B4), A4, B4, {}), (v1(A6, B6), A6, B6, {}), (v2(A6, B6, *given), A6, B6, tlvs),
            (v2(A4, B4, given[0]), A4, B4, {UNIQUE_ID: tlvs[UNIQUE_ID]}),
            (v2(A4, B4, tlv(NOOP, b"x"), tlv(0xE0, b"x")), A4, B4, {0xE0: b"x"})), 1):
        assert ask(daemon.address(), header + b"payload").name == "a"
        assert server.stream(number) == b"payload"
        check_named(server.headers[-1], 2, (source, target))
        assert told(server.headers[-1]) == wanted, server.headers[-1].tlvs


def test_passed_on_as_version_1(env):
    server = Recorder(env, "a", header=True)
    daemon = accepting(env, server, pool={"send_proxy": "v1"})
    unix = v2(b"/run/a.sock", b"/run/b.sock")
    for number, header in enumerate((v2(A4, B4), v2(A6, B6), unix), 1):
        assert ask(daemon.address(), header + b"payload").name == "a"
        assert server.stream(number) == b"payload"
        if header == unix:
            assert server.headers[-1].local and server.headers[-1].size == 15
        else:
            check_named(server.headers[-1], 1, (A4, B4) if number == 1 else (A6, B6))


def test_sent_once_after_a_retry(env):
    """The server that takes the connection in the end gets one header."""
    closed, holder = free_port()
    env.keep(holder)
    server = Recorder(env, "b", header=True)
    daemon = env.spliced([closed, server.address], pool={"send_proxy": "v1"})
    for number in (1, 2):
        assert ask(daemon.address(), b"payload").name == "b"
        assert server.stream(number) == b"payload"
    assert daemon.stats()["retries"] >= 1


def test_server_that_speaks_first(env):
    """The header goes ahead of a client who waits for the server's greeting."""
    def serve(sock):
        header = proxyheader.read(Reader(sock))
        sock.sendall(f"hello {header.source[0]}\n".encode())
        tcp.serve_echo(sock)

    daemon = env.spliced(env.backend(serve).address, pool={"send_proxy": "v2"})
    with connected(daemon.address()) as client:
        assert Reader(client).until(b"\n") == b"hello 127.0.0.1\n"
        client.sendall(b"echo")
        assert tcp.read_exactly(client, 4) == b"echo"


@case(timeout=60)
def test_bulk_behind_headers(env):
    """Bytes both ways at full speed between two headers."""
    size, exchanges = env.pick(24, 2) * MIB, []

    def serve(sock):
        header = proxyheader.read(OneByOne(sock))
        assert header.source == A6, vars(header)
        exchanges.append(pattern.Exchange(sock, (2, size), (1, size)))
        exchanges[-1].join(40)

    daemon = accepting(env, env.backend(serve), pool={"send_proxy": "v2"})
    with connected(daemon.address()) as client:
        client.sendall(v2(A6, B6))
        pattern.Exchange(client, (1, size), (2, size)).join(Deadline(40).seconds)
    exchanges[0].join(10)
    line = daemon.wait_access()[0]
    assert line["end"] == "done" and int(line["bytes_down"]) == size, line
    check_kernel_share(env, daemon)


class OneByOne(Reader):
    """Takes no byte more than it is asked for."""

    def fill(self, _most=1):
        return super().fill(1)


# ---- HTTP --------------------------------------------------------------------------------------

def test_http_client_is_the_named_one(env):
    origin = Origin(env)
    daemon = http_proxy(env, origin.address, {"accept_proxy": "any", "x_forwarded_for": "append"})
    with Client(daemon.address()) as client:
        client.send(v2(A6, B6))
        for _ in range(2):
            assert client.ask().status == 200
    assert [asked.get("X-Forwarded-For") for asked in origin.requests] == [A6[0]] * 2


def test_http_headers_are_each_clients_own(env):
    """A connection to a server that begins with a client's header carries that client's requests
    only, however many there are."""
    headers = {}

    def serve(connection):
        headers[connection.number] = proxyheader.read(connection.reader)
        while asked := connection.request():
            connection.send(reply(asked.target.encode()))

    origin = Origin(env, serve=serve)
    daemon = http_proxy(env, origin.address, pool={"send_proxy": "v2"}, spliced={"workers": 1})
    names = {}
    clients = [Client(daemon.address(), source=f"127.0.0.{i}") for i in (2, 3, 4)]
    for turn in range(4):
        for number, client in enumerate(clients):
            target = f"/{number}/{turn}"
            names[target] = client.sock.getsockname()
            assert client.ask("GET", target).body == target.encode()
    again = Client(daemon.address(), source="127.0.0.2")
    names["/again"] = again.sock.getsockname()
    assert again.ask("GET", "/again").status == 200
    for client in (*clients, again):
        client.close()
    for asked in origin.check():
        assert headers[asked.connection].source == names[asked.target], asked.target


# ---- HAProxy, nginx, curl ----------------------------------------------------------------------

IN_FRONT = """
frontend front
    mode tcp
    bind {{address}}
    unique-id-format id-%[src_port]
    default_backend spliced
backend spliced
    mode tcp
    server spliced {proxy} send-proxy-v2 proxy-v2-options authority,unique-id
"""


def test_haproxy_in_front(env):
    server = Recorder(env, "a", header=True)
    daemon = accepting(env, server, "v2", {"trusted": "127.0.0.1/32"}, pool={"send_proxy": "v2"})
    sections = IN_FRONT.format(proxy=daemon.address())
    with programs.HAProxy(env, sections) as haproxy:
        with connected(haproxy.address, "127.0.0.9") as sock:
            names = sock.getsockname(), sock.getpeername()
            assert talk(sock, b"payload", more=b"more").name == "a"
        assert server.stream() == b"payloadmore"
        check_named(server.headers[-1], 2, names)
        assert server.headers[-1].tlvs.get(UNIQUE_ID) == b"id-%d" % names[0][1]


WORDS = ("src", "src_port", "dst", "dst_port", "fc_pp_authority", "fc_pp_unique_id")
BEHIND = """
frontend behind
    bind {address} accept-proxy
    http-request return status 200 content-type text/plain lf-string "%s"
""" % " ".join(f"%[{word}]" for word in WORDS)


def test_haproxy_behind(env):
    with programs.HAProxy(env, BEHIND) as haproxy:
        daemon = accepting(env, haproxy, pool={"send_proxy": "v2"})
        plain = env.spliced(haproxy.address, pool={"send_proxy": "v1"})
        tlvs = tlv(AUTHORITY, b"a.test"), tlv(UNIQUE_ID, b"id-1")
        for header, words in (
                (v1(A6, B6), [A6[0], "40001", B6[0], "443"]),
                (v2(A4, B4, *tlvs), [A4[0], "40001", B4[0], "443", "a.test", "id-1"])):
            with Client(daemon.address()) as client:
                client.send(header)
                assert client.ask().body.decode().split()[:len(words)] == words
        with Client(plain.address(), source="127.0.0.9") as client:
            wanted = [*client.sock.getsockname(), *client.sock.getpeername()]
            assert client.ask().body.decode().split() == [str(word) for word in wanted]


PROXIED_NGINX = """
    server {{
        listen {address} proxy_protocol;
        set $client "$proxy_protocol_addr $proxy_protocol_port";
        location / {{ return 200 "$client $proxy_protocol_server_addr\\n"; }}
    }}
"""


def test_nginx_behind_and_curl_in_front(env):
    curl = programs.find("curl")
    with programs.Nginx(env, PROXIED_NGINX) as nginx:
        for version in ("v1", "v2"):
            daemon = accepting(env, nginx, "v1", pool={"send_proxy": version})
            with Client(daemon.address()) as client:
                client.send(v1(A6, B6))
                assert client.ask().body.decode().split() == [A6[0], "40001", B6[0]]
            said = programs.run(curl, "-sS", "--fail", "--haproxy-protocol", "--interface",
                                "127.0.0.9", f"http://{daemon.address()}/").stdout.split()
            assert said[0] == "127.0.0.9" and said[2] == "127.0.0.1", said


@case(timeout=60)
def test_haproxy_on_both_sides_of_tls(env):
    """A chain: HAProxy, spliced with routes by name, and a TLS server that wants the header."""
    served = tls.Server(env, "a.test", ("h2",))
    seen = []

    def serve(sock):
        seen.append(proxyheader.read(OneByOne(sock)))
        served.handle(sock)

    backend = env.backend(serve)
    daemon = accepting(env, backend, "v2", {"protocol": "tls", "route": "sni:a.test -> main",
                                            "pool": None}, pool={"send_proxy": "v2"})
    with programs.HAProxy(env, IN_FRONT.format(proxy=daemon.address())) as haproxy:
        began = time.monotonic()
        with tls.connect(haproxy.address, "a.test", ("h2",), source="127.0.0.9") as client:
            assert client.recv(100) == b"a.test a.test h2\n"
            names = client.getsockname(), client.getpeername()
        assert time.monotonic() - began < Deadline(10).seconds
    check_named(seen[0], 2, names)
    assert seen[0].tlvs[AUTHORITY] == b"a.test" and seen[0].tlvs[ALPN] == b"h2", seen[0].tlvs
