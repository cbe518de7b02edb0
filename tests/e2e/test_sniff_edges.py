# SPDX-License-Identifier: GPL-2.0-or-later
"""What sniffing must not be mistaken about: beginnings that are no PROXY header, names that are
none, a balancer's own checks, clients that go away."""

import signal
import socket
import struct
import time

from lib import case, proxyheader, tls
from lib.http import Client, Origin, Reader, request
from lib.proxyheader import LOCAL, PROXY, TCP4, UNSPEC, ends, tlv, v1, v2, v2_checked, v2_raw
from lib.sniffing import Recorder, ask, check_refused, connected, talk
from lib.segments import send_in_pieces, splits
from lib.tls import extension, hello, records, usual, vector
from lib.wait import Deadline, wait_until

LONG = "60s"
A4, B4 = ("192.0.2.1", 40001), ("198.51.100.2", 443)


# ---- auto: what begins like a PROXY header -------------------------------------------------------

WORDS = (b"PING\r\n", b"PASS secret\r\n", b"PROXIES\r\n", b"PROXY\r\n", b"PUB a 1\r\n", b"P\r\n",
         b"PRINT\n", b"\r\n", b"\r\n\r\n", b"\r\nPASS x\r\n", b"\r\n\r\n\0\r\nQUIX\n", b"\r")
METHODS = ("POST", "PUT", "PROPFIND", "PROPPATCH", "PATCH", "PURGE", "PR")


def auto(env, listener=None):
    other, http = Recorder(env, "other"), Origin(env, name="http")
    daemon = env.spliced(other.address, more={"pool http": {"server": f"s {http.address}"}},
                         listener={"protocol": "auto", "route": ["host:a.test -> http"],
                                   "sniff_timeout": LONG, **(listener or {})})
    return daemon, other, http


def check_beginnings(env, listener):
    """Each is what it is, wherever it is cut. An end, not a silence, says that no more comes."""
    daemon, other, _ = auto(env, {"auto_wait": "20s", **listener})
    count = 0
    for word in WORDS:
        for at, pieces in splits(word + b"tail", env.pick(1, 3)):
            count += 1
            assert ask(daemon.address(), *pieces).name == "other", f"{word} cut at {at}"
            assert other.stream(count) == word + b"tail", f"{word} cut at {at}"
    for method in METHODS:
        for at, pieces in splits(request(method, "/", "Content-Length: 0", host="a.test")[:12]):
            with Client(daemon.address()) as client:
                rest = request(method, "/", "Content-Length: 0", host="a.test")[12:]
                send_in_pieces(client.sock, *pieces, rest)
                assert client.response().body == b"http", f"{method} cut at {at}"
    assert daemon.stats()["ends"]["untrusted_proxy"] == 0


@case(timeout=120)
def test_beginnings_from_an_untrusted_client(env):
    check_beginnings(env, {})


@case(timeout=120)
def test_beginnings_from_a_trusted_client(env):
    check_beginnings(env, {"trusted": "127.0.0.0/8"})


@case(timeout=90)
def test_beginnings_and_then_silence(env):
    """Who sends an empty line, or a letter, and waits, gets a server after auto_wait."""
    for listener in ({}, {"trusted": "127.0.0.0/8"}):
        daemon, other, _ = auto(env, {"auto_wait": "300ms", **listener})
        for number, word in enumerate((b"\r\n", b"P", b"PROXY", b"\r\n\r\n\0\r\nQUIT"), 1):
            began = time.monotonic()
            client = env.keep(connected(daemon.address()))
            client.sendall(word)
            assert client.recv(16) == b"other\n", word
            assert 0.28 < time.monotonic() - began < Deadline(3).seconds
            client.sendall(b"more")
            client.close()
            assert other.stream(number) == word + b"more"


def test_silence_begins_anew_with_each_byte(env):
    daemon, other, _ = auto(env, {"auto_wait": "1s"})
    client = env.keep(connected(daemon.address()))
    for byte in (b"P", b"R", b"O"):
        client.sendall(byte)
        time.sleep(0.5)
    client.sendall(b"PFIND / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert b"http" in client.recv(4096)
    assert other.accepted == 0


def test_whole_signatures(env):
    """Those are headers, and only those."""
    daemon, other, _ = auto(env)
    for number, (_, pieces) in enumerate(
            [*splits(v1(A4, B4) + b"x", 3), *splits(v2(A4, B4) + b"x", 3)], 1):
        check_refused(daemon, ask(daemon.address(), *pieces), "untrusted_proxy", number)
    assert other.accepted == 0


# ---- TLS names -----------------------------------------------------------------------------------

def hello_with(body):
    """A ClientHello whose server_name extension has these contents."""
    return records(hello(extension(tls.SERVER_NAME, body)))


def name_list(name):
    return vector(b"\0" + vector(name))


@case(timeout=60)
def test_empty_names_are_no_name(env):
    servers = {name: Recorder(env, name) for name in ("any", "default", "alpn")}
    for protocol in ("tls", "auto"):
        daemon = env.spliced(servers["default"].address, listener={
            "protocol": protocol, "route": ["sni:* -> any", "alpn:h2 -> alpn"],
            "sniff_timeout": LONG},
            more={f"pool {name}": {"server": f"s {servers[name].address}"}
                  for name in ("any", "alpn")})
        for body in (b"", vector(b""), name_list(b"")):
            number = len(daemon.access_log())
            assert ask(daemon.address(), hello_with(body)).name == "default", body
            line = daemon.wait_access(number + 1)[-1]
            assert (line["sni"], line["end"], line["protocol"]) == ("-", "done", "tls"), line
        more = [extension(tls.SERVER_NAME, name_list(b""))]
        assert ask(daemon.address(), records(usual(None, "h2", more=more))).name == "alpn"
        assert ask(daemon.address(), records(usual("a.test"))).name == "any"
    assert servers["any"].accepted == 2


# The name -> how the access log shows it.
NO_NAMES = {
    b"a b.test": "a%20b.test", b".": ".", b"a..b": "a..b", b".a": ".a", b"*.a.test": "*.a.test",
    b"a.test\0b": "a.test%00b", b"b\xc3\xbccher.test": "b%C3%BCcher.test", b"a\n.test": "a%0A.test",
    b"a.test:443": "a.test:443", b"[a]": "[a]", b"a/b": "a/b", b"a\"b": "a%22b", b"\xff": "%FF",
    b"x" * 256: "x" * 255, b"user@a.test": "user@a.test",
}


@case(timeout=60)
def test_names_that_are_none(env):
    """Refused, and the log says what was sent."""
    server = Recorder(env, "a")
    for protocol in ("tls", "auto"):
        daemon = env.spliced(server.address, listener={"protocol": protocol,
                                                       "sniff_timeout": LONG})
        for number, (name, shown) in enumerate(NO_NAMES.items(), 1):
            line = check_refused(daemon, ask(daemon.address(), hello_with(name_list(name))),
                                 "bad_hello", number)
            assert line["sni"] == shown, (name, line)
    assert server.accepted == 0


def test_names_of_every_kind(env):
    server = Recorder(env, "a")
    daemon = env.spliced(server.address, listener={"protocol": "tls"})
    for number, (name, shown) in enumerate({
            b"A.Test.": "a.test", b"_sip.a_b": "_sip.a_b", b"192.0.2.1": "192.0.2.1",
            b"2001:DB8::1": "2001:db8::1", b"[::1]": "[::1]", b"x" * 255: "x" * 255,
            b"xn--bcher-kva.test": "xn--bcher-kva.test", b"-a-": "-a-"}.items(), 1):
        assert ask(daemon.address(), hello_with(name_list(name))).name == "a", name
        assert daemon.wait_access(number)[-1]["sni"] == shown


@case(timeout=60)
def test_large_hello_in_pieces(env):
    """60 KB, in small records and small segments."""
    server = Recorder(env, "a")
    daemon = env.spliced(server.address, listener={"protocol": "tls", "sniff_timeout": LONG,
                                                   "route": "sni:a.test -> main", "pool": None})
    message = usual("a.test", more=[extension(tls.PADDING, bytes(50000))])
    for size, step in ((1 << 14, 1000), (40, 700), (1 << 14, 61000)):
        data = records(message, size)
        with connected(daemon.address()) as sock:
            answer = talk(sock, *(data[at:at + step] for at in range(0, len(data), step)),
                          more=b"more")
        assert answer.name == "a", vars(answer)
        assert server.stream(server.accepted) == data + b"more"


# ---- a balancer's own checks ---------------------------------------------------------------------

BLOCK4 = ends(A4, B4)[1]
OWN_CHECKS = (v2_raw(LOCAL, UNSPEC, b""), v2_raw(LOCAL, TCP4, BLOCK4), b"PROXY UNKNOWN\r\n",
              b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n")


@case(timeout=60)
def test_own_checks_are_let_through(env):
    """`allow` and `deny` are about the clients that are announced."""
    server, http = Recorder(env, "a"), Origin(env)
    for lists in ({"allow": "192.0.2.0/24"}, {"deny": "127.0.0.0/8"}):
        options = {"accept_proxy": "any", "trusted": "127.0.0.1/32", **lists}
        daemon = env.spliced(server.address, listener=options)
        for number, header in enumerate(OWN_CHECKS, 1):
            assert ask(daemon.address(), header + b"x").name == "a", (lists, header)
            assert daemon.wait_access(number)[-1]["end"] == "done"
        web = env.spliced(http.address, listener={"protocol": "http", **options})
        for header in OWN_CHECKS:
            with Client(web.address()) as client:
                client.send(header)
                assert client.ask().status == 200, (lists, header)
        # Not so a client that is announced without an address, nor a peer that is not trusted.
        number = len(daemon.wait_access(len(OWN_CHECKS)))
        check_refused(daemon, ask(daemon.address(), v2_raw(PROXY, UNSPEC, b"") + b"x"), "denied",
                      number + 1)
        check_refused(daemon, ask(daemon.address(), OWN_CHECKS[0] + b"x", source="127.0.0.2"),
                      "untrusted_proxy", number + 2)


# ---- clients that go away ------------------------------------------------------------------------

def leave_meanwhile(env, daemon, data, after):
    """A client that has sent data and left before the daemon looks at it."""
    daemon.signal(signal.SIGSTOP)
    try:
        wait_until(lambda: stopped(daemon.worker_pid), 5, "the daemon is stopped")
        client = env.keep(connected(daemon.address_before))
        client.sendall(data)
        after(client)
    finally:
        daemon.signal(signal.SIGCONT)


def stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"


def end_and_reset(client):
    client.shutdown(socket.SHUT_WR)
    reset(client)


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@case(timeout=60)
def test_resets_while_sniffing(env):
    """The client's, also when it had ended before: the kernel then says EPIPE."""
    server = Recorder(env, "a")
    for protocol in ("tls", "http", "auto"):
        daemon = env.spliced(server.address, listener={"protocol": protocol,
                                                       "sniff_timeout": LONG})
        daemon.address_before = daemon.address()
        for number, after in enumerate((reset, end_and_reset), 1):
            leave_meanwhile(env, daemon, b"\x16\3" if protocol == "tls" else b"PR", after)
            line = daemon.wait_access(number)[-1]
            assert line["end"] == "client_reset", (protocol, line)
    assert server.accepted == 0


# ---- what else a PROXY header says ---------------------------------------------------------------

AWS, AZURE, GCP, NOBODYS = 0xEA, 0xEE, 0xE0, 0x7B
CLIENT_TLS = bytes([7]) + bytes(4) + tlv(0x21, b"TLSv1.3") + tlv(0x22, b"client.test")
OTHERS = ((AWS, b"\1vpce-0a1b2c3d"), (AZURE, b"\1\0\0\0\7"), (GCP, bytes(range(8))),
          (proxyheader.SSL, CLIENT_TLS), (NOBODYS, b""), (NOBODYS, bytes(300)),
          (proxyheader.NETNS, b"blue"))


class Announced:
    """A server that keeps the TLVs of the header it gets, in their order, and checks the sum."""

    def __init__(self, env):
        self.tlvs, self.sums = [], []
        self.backend = env.backend(self.serve)
        self.address = self.backend.address

    def serve(self, sock):
        reader = Reader(sock)
        head = reader.exactly(16)
        size = int.from_bytes(head[14:], "big")
        block = reader.exactly(size)
        skip = {TCP4: 12, proxyheader.TCP6: 36, UNSPEC: 0}[head[13]]
        self.tlvs.append(list(proxyheader.tlvs(block[skip:])))
        sums = [value for kind, value in self.tlvs[-1] if kind == proxyheader.CRC32C]
        self.sums.append(bool(sums))
        if sums:
            at = (head + block).index(tlv(proxyheader.CRC32C, sums[0])) + 3
            zeroed = (head + block)[:at] + bytes(4) + (head + block)[at + 4:]
            assert sums[0] == struct.pack("!L", proxyheader.crc32c(zeroed))
        assert len(head + block) <= 4096
        sock.sendall(b"a\n")
        reader.rest()

    def others(self):
        """Those of the last header that the daemon did not write itself."""
        own = (proxyheader.ALPN, proxyheader.AUTHORITY, proxyheader.CRC32C, proxyheader.UNIQUE_ID)
        return [pair for pair in self.tlvs[-1] if pair[0] not in own]


@case(timeout=60)
def test_tlvs_of_others_go_on(env):
    """In their order, whatever the daemon writes itself; the checksum is computed anew."""
    server = Announced(env)
    daemon = env.spliced(server.address, listener={"accept_proxy": "v2"},
                         pool={"send_proxy": "v2"})
    wire = [tlv(*pair) for pair in OTHERS]
    padding, own = tlv(proxyheader.NOOP, b"xx"), tlv(proxyheader.AUTHORITY, b"a.test")
    for header, summed in ((v2(A4, B4, *wire), False), (v2(A4, B4, padding, own, *wire), False),
                           (v2_checked(A4, B4, *wire, own, padding), True),
                           (v2_checked(("2001:db8::1", 1), ("2001:db8::2", 2), *wire), True)):
        for pieces in ((header + b"x",), (header[:60], header[60:] + b"x")):
            assert ask(daemon.address(), *pieces).name == "a"
            assert server.others() == list(OTHERS), server.tlvs[-1]
            assert server.sums[-1] == summed


@case(timeout=60)
def test_tlvs_of_others_are_bounded(env):
    """The header is no longer than 4096 bytes; what fits behind a large one still goes on."""
    server = Announced(env)
    daemon = env.spliced(server.address, listener={"accept_proxy": "v2", "sniff_timeout": LONG},
                         pool={"send_proxy": "v2"})
    most = [(NOBODYS, bytes(3900)), (AWS, b"\1vpce-1"), (NOBODYS, bytes(140)), (AZURE, b"\1abcd")]
    assert ask(daemon.address(), v2(A4, B4, *(tlv(*pair) for pair in most)) + b"x").name == "a"
    assert server.others() == [most[0], most[1], most[3]], [
        (kind, len(value)) for kind, value in server.tlvs[-1]]
    # Of a LOCAL header nothing is told.
    data = v2_raw(LOCAL, TCP4, BLOCK4 + tlv(AWS, b"\1vpce-1")) + b"x"
    assert ask(daemon.address(), data).name == "a"
    assert server.others() == []


@case(timeout=60)
def test_tlvs_of_others_before_http_and_tls(env):
    server = Announced(env)
    header = v2(A4, B4, *(tlv(*pair) for pair in OTHERS))
    for protocol, data in (("http", request(host="a.test")), ("tls", records(usual("a.test"))),
                           ("auto", records(usual("a.test")))):
        daemon = env.spliced(server.address, pool={"send_proxy": "v2"}, listener={
            "protocol": protocol, "accept_proxy": "any", "sniff_timeout": LONG})
        client = env.keep(connected(daemon.address()))
        count = len(server.tlvs)
        client.sendall(header + data)
        wait_until(lambda: len(server.tlvs) > count, 5, "the server is told")
        assert server.others() == list(OTHERS), protocol
        client.close()
