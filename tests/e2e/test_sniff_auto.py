# SPDX-License-Identifier: GPL-2.0-or-later
"""One listener for whatever comes: TLS, HTTP, PROXY headers, and servers that speak first."""

import hashlib
import os
import smtplib
import struct
import time

from lib import case, pattern, programs, proxyheader, sshd, tls, wait_until
from lib.http import Client, Origin, Reader, request, wait_requests
from lib.pattern import MIB
from lib.proxyheader import v1, v2
from lib.segments import send_in_pieces, splits
from lib.sniffing import Recorder, ask, check_refused, connected, talk
from lib.tls import records, usual
from lib.wait import Deadline

LONG = "60s"
A4, B4, A6, B6 = ("192.0.2.1", 40001), ("198.51.100.2", 443), ("2001:db8::1", 1), ("2001:db8::2", 2)


def auto(env, default, routes=(), pools=None, listener=None, **options):
    """A daemon that finds out what its clients speak. What it cannot tell goes to `default`."""
    more = {f"pool {name}": {"server": f"s {pool.address}"} for name, pool in (pools or {}).items()}
    return env.spliced(default.address, more=more, listener={
        "protocol": "auto", "route": list(routes), "sniff_timeout": LONG, **(listener or {})},
        **options)


class Everything:
    """A server for each protocol, and the daemon in front of them."""

    def __init__(self, env, listener=None, **options):
        self.tls, self.other = Recorder(env, "tls"), Recorder(env, "other")
        self.http = Origin(env, name="http")
        self.daemon = auto(env, self.other, ["sni:a.test -> tls", "host:a.test -> http"],
                           {"tls": self.tls, "http": self.http}, listener, **options)
        self.address = self.daemon.address()


UNKNOWN = (b"*1\r\n$4\r\nPING\r\n", b"SSH-2.0-OpenSSH_9.2p1\r\n", b"\0\0\0\x08\x04\xd2\x16\x2f",
           b"\x10\x1e\0\4MQTT\4\2\0\x3c", b"\xff\xfe\xfd", b"\x16\x07nonsense",
           b"{\"jsonrpc\": \"2.0\"}\n")


def test_kinds(env):
    """Each to where it belongs, one after the other."""
    all_kinds = Everything(env)
    hello = records(usual("a.test", "h2"))
    assert ask(all_kinds.address, hello, more=b"more").name == "tls"
    assert all_kinds.tls.stream() == hello + b"more"
    with Client(all_kinds.address) as client:
        for target in ("/one", "/two"):
            assert client.ask("GET", target, host="a.test").body == b"http"
    assert all_kinds.http.targets() == ["/one", "/two"]
    for number, data in enumerate(UNKNOWN, 1):
        answer = ask(all_kinds.address, data, more=b"more")
        assert answer.name == "other", f"{data}: {vars(answer)}"
        assert all_kinds.other.stream(number) == data + b"more"
    assert [line["path"] for line in wait_requests(all_kinds.daemon, 2)] == ["/one", "/two"]
    first = all_kinds.daemon.wait_access(1)[0]
    assert (first["protocol"], first["sni"]) == ("tls", "a.test"), first


@case(timeout=90)
def test_first_bytes_in_pieces(env):
    """Nothing is decided too early."""
    all_kinds = Everything(env)
    hello = records(usual("a.test"))
    for at, pieces in splits(hello, env.pick(3, 17)):
        assert ask(all_kinds.address, *pieces).name == "tls", f"TLS split at {at}"
    for at, pieces in splits(request(host="a.test"), env.pick(1, 5)):
        with Client(all_kinds.address) as client:
            send_in_pieces(client.sock, *pieces)
            assert client.response().body == b"http", f"HTTP split at {at}"
    single = [hello[at:at + 1] for at in range(len(hello))]
    assert ask(all_kinds.address, *single).name == "tls"
    for data in UNKNOWN:
        pieces = [data[at:at + 1] for at in range(len(data))]
        assert ask(all_kinds.address, *pieces).name == "other", data


def test_refusals(env):
    """Where no route matches and there is no pool, each protocol is told in its own words."""
    other, http = Recorder(env, "other"), Origin(env)
    daemon = auto(env, other, ["sni:a.test -> main", "host:a.test -> http"], {"http": http},
                  {"pool": None, "auto_wait": "200ms"})
    answer = ask(daemon.address(), records(usual("b.test")))
    check_refused(daemon, answer, "no_route")
    assert tls.is_alert(answer.rest, tls.UNRECOGNIZED_NAME), answer.rest
    with Client(daemon.address()) as client:
        assert client.ask(host="b.test").status == 421
    assert wait_requests(daemon)[0]["end"] == "no_route"
    number = len(daemon.access_log())
    answer = ask(daemon.address(), b"\xff\xfe")
    check_refused(daemon, answer, "no_route", number + 1)
    assert answer.end == "reset"
    check_refused(daemon, talk(env.keep(connected(daemon.address()))), "no_route", number + 2)
    assert (other.accepted, http.backend.accepted) == (0, 0)


def test_bad_http(env):
    """What is HTTP is held to its rules, and does not become something unknown."""
    all_kinds = Everything(env)
    for data in (b"GET / HTTP/1.1\r\nHost : a.test\r\n\r\n",
                 request("POST", "/", "Content-Length: 1", "Content-Length: 2")):
        with Client(all_kinds.address) as client:
            assert client.send(data).response().status == 400
            assert client.ending() == (b"", "eof")
    assert all_kinds.other.accepted == 0 and all_kinds.http.received() == 0


# ---- PROXY headers -----------------------------------------------------------------------------

HEADERS = (v1(A4, B4), v1(A6, B6), v2(A4, B4), v2(A6, B6), b"PROXY UNKNOWN\r\n")


def check_behind_headers(all_kinds):
    """Everything works behind every header."""
    hello, count = records(usual("a.test")), 0
    for header in HEADERS:
        count += 1
        assert ask(all_kinds.address, header + hello, more=b"more").name == "tls", header
        assert all_kinds.tls.stream(count) == hello + b"more", header
        with Client(all_kinds.address) as client:
            client.send(header)
            assert client.ask(host="a.test").body == b"http", header
            assert client.ask(host="a.test").body == b"http", header
        assert ask(all_kinds.address, header + b"\xff\xfe", more=b"more").name == "other", header
        assert all_kinds.other.stream(count) == b"\xff\xfemore", header
    clients = {line["client"] for line in all_kinds.daemon.wait_access(2 * count)}
    assert {"192.0.2.1:40001", "[2001:db8::1]:1"} < clients, clients


def test_proxy_headers(env):
    """They are seen without being asked for, from those that are trusted."""
    check_behind_headers(Everything(env, {"trusted": "127.0.0.0/8"}))


def test_proxy_headers_of_nobody_trusted(env):
    all_kinds = Everything(env)
    answer = ask(all_kinds.address, v1(A4, B4) + records(usual("a.test")))
    check_refused(all_kinds.daemon, answer, "untrusted_proxy", 1)


def test_proxy_headers_demanded(env):
    all_kinds = Everything(env, {"accept_proxy": "any"})
    check_behind_headers(all_kinds)
    number = len(all_kinds.daemon.access_log())
    for data in (records(usual("a.test")), b"\xff\xfe", b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"):
        number += 1
        check_refused(all_kinds.daemon, ask(all_kinds.address, data), "bad_proxy", number)


def test_proxy_headers_trusted(env):
    all_kinds = Everything(env, {"trusted": "127.0.0.2/32"})
    hello = records(usual("a.test"))
    assert ask(all_kinds.address, v1(A4, B4) + hello, source="127.0.0.2").name == "tls"
    answer = ask(all_kinds.address, v1(A4, B4) + hello, source="127.0.0.3")
    check_refused(all_kinds.daemon, answer, "untrusted_proxy", 2)


def test_proxy_header_in_pieces(env):
    all_kinds = Everything(env, {"trusted": "127.0.0.0/8"})
    for header in (v1(A4, B4), v2(A6, B6, proxyheader.tlv(proxyheader.NOOP, b"x"))):
        for at, pieces in splits(header + b"\xff\xfe", env.pick(1, 7)):
            assert ask(all_kinds.address, *pieces).name == "other", f"{header} split at {at}"
            assert all_kinds.other.stream(all_kinds.other.accepted) == b"\xff\xfe"


# ---- servers that speak first ------------------------------------------------------------------

MYSQL_GREETING = b"\x0a8.0.36\0" + struct.pack("<L", 7) + b"saltsalt\0" + bytes(40)


def mysql_packet(number, payload):
    return struct.pack("<L", len(payload))[:3] + bytes([number]) + payload


def serve_mysql(sock):
    """A greeting, a login, OK; then a query gets an OK, too."""
    reader = Reader(sock)
    sock.sendall(mysql_packet(0, MYSQL_GREETING))
    for number in (1, 0):
        size = int.from_bytes(reader.exactly(3), "little")
        assert reader.exactly(1)[0] == number
        reader.exactly(size)
        sock.sendall(mysql_packet(number + 1, b"\0\0\0\2\0\0\0"))


def serve_ssh(sock):
    """A banner, the client's, and then whatever it likes."""
    reader = Reader(sock)
    sock.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
    sock.sendall(b"heard " + reader.until(b"\r\n"))
    sock.sendall(hashlib.sha256(reader.rest()).hexdigest().encode())


class Smtp:
    """A mail server that keeps what it gets."""

    def __init__(self):
        self.mails = []

    def serve(self, sock):
        reader = Reader(sock)
        sock.sendall(b"220 mail.test ESMTP\r\n")
        while line := reader.until(b"\r\n"):
            verb = line[:4].upper()
            if verb == b"DATA":
                sock.sendall(b"354 go on\r\n")
                self.mails.append(reader.until(b"\r\n.\r\n")[:-5])
            sock.sendall(b"221 bye\r\n" if verb == b"QUIT" else b"250 OK\r\n")


def greeting_after(env, serve, wait="300ms"):
    """A client that says nothing before the server has: (client, seconds until the greeting)."""
    backend = env.backend(serve)
    daemon = auto(env, backend, listener={"auto_wait": wait})
    began = time.monotonic()
    client = env.keep(connected(daemon.address()))
    assert client.recv(1, 2) != b"", "the connection ended"    # MSG_PEEK
    return client, time.monotonic() - began


def test_mysql(env):
    client, seconds = greeting_after(env, serve_mysql)
    assert 0.25 < seconds < Deadline(3).seconds, f"{seconds} s"
    reader = Reader(client)
    greeting = mysql_packet(0, MYSQL_GREETING)
    assert reader.exactly(len(greeting)) == greeting
    for number, payload in ((1, b"\x05\xa6\x3f\0" + bytes(28) + b"root\0"), (0, b"\3SELECT 1")):
        client.sendall(mysql_packet(number, payload))
        assert reader.exactly(11) == mysql_packet(number + 1, b"\0\0\0\2\0\0\0")
    assert reader.rest() == b""


def test_ssh_greeting(env):
    """A client that waits for the server's banner, as some do."""
    client, _ = greeting_after(env, serve_ssh)
    reader = Reader(client)
    assert reader.until(b"\r\n") == b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"
    data = os.urandom(env.pick(4 * MIB, MIB))
    client.sendall(b"SSH-2.0-client\r\n" + data)
    client.shutdown(1)
    assert reader.until(b"\r\n") == b"heard SSH-2.0-client\r\n"
    assert reader.rest().decode() == hashlib.sha256(data).hexdigest()


def test_smtp(env):
    server = Smtp()
    daemon = auto(env, env.backend(server.serve), listener={"auto_wait": "200ms"})
    host, port = programs.split(daemon.address())
    text = "Subject: mail\r\n\r\n" + "".join(f"line {i}\r\n" for i in range(5000))
    for _ in range(2):
        with smtplib.SMTP(host, int(port), local_hostname="me.test",
                          timeout=Deadline(10).seconds) as smtp:
            smtp.sendmail("a@a.test", ["b@b.test"], text)
    assert server.mails == [text.encode()[:-2]] * 2, [len(mail) for mail in server.mails]


def test_default_wait(env):
    backend = env.backend(serve_ssh)
    daemon = auto(env, backend)
    began = time.monotonic()
    with connected(daemon.address()) as client:
        assert client.recv(8) == b"SSH-2.0-"
    assert 0.4 < time.monotonic() - began < Deadline(3).seconds


def test_empty_lines_before_a_request(env):
    """Servers of HTTP skip them. So they are no way past what the listener does to requests."""
    origin = Origin(env, name="http")
    daemon = auto(env, origin, listener={"x_forwarded_for": "replace"})
    asked = request("GET", "/", "X-Forwarded-For: 192.0.2.66")
    for lines, pieces in ((b"\r\n", False), (b"\r\n", True), (b"\r\n\r\n", True)):
        with Client(daemon.address()) as client:
            if pieces:
                send_in_pieces(client.sock, *(lines[i:i + 1] for i in range(len(lines))), asked)
            else:
                client.send(lines, asked)
            assert client.response().body == b"http"
            assert client.ask("GET", "/", "X-Forwarded-For: 192.0.2.66").body == b"http"
    assert [one.get("X-Forwarded-For") for one in origin.requests] == ["127.0.0.1"] * 6
    for lines in (b"\n", b"\r\n" * 3):
        with Client(daemon.address()) as client:
            assert client.send(lines, asked).response().status == 400
    assert len(origin.heads) == 6


def test_empty_lines_and_no_more(env):
    """As many as somebody likes who waits for what the server makes of them."""
    other = Recorder(env, "other")
    daemon = auto(env, other, listener={"auto_wait": "100ms"})
    for number, lines in enumerate((b"\n", b"\r\n" * 5), 1):
        with connected(daemon.address()) as client:
            client.sendall(lines)
            wait_until(lambda number=number: other.accepted >= number, 5, "a server")
            assert talk(client, b"more").name == "other"
            assert other.stream(number) == lines + b"more"


def test_late_client_is_not_looked_at(env):
    """Once the server was given its chance to speak, what the client says is the server's."""
    other = Recorder(env, "other")
    daemon = auto(env, other, ["sni:a.test -> main"], listener={"auto_wait": "100ms"})
    client = env.keep(connected(daemon.address()))
    deadline = Deadline(5)
    while other.accepted == 0:
        assert not deadline.passed(), "no server was connected"
    data = request(host="a.test") + records(usual("b.test"))
    assert talk(client, data).name == "other"
    assert other.stream() == data


# ---- real programs -----------------------------------------------------------------------------

@case(timeout=60)
def test_openssh(env):
    """Files through ssh, both ways, byte by byte."""
    with sshd.Sshd(env) as server:
        daemon = auto(env, server)
        path, size = env.tmp / "file", MIB
        wanted = pattern.write_file(path, size, 3)
        got = programs.run_bytes(*server.command(daemon.address(), "cat", path))
        assert hashlib.sha256(got).hexdigest() == wanted
        said = programs.run_bytes(*server.command(daemon.address(), "sha256sum"), input=got)
        assert said.split()[0].decode() == wanted
        ends = [line["end"] for line in daemon.wait_access(2)]
        assert ends == ["done", "done"], ends


def test_redis(env):
    """A client that speaks first, and nothing that could be anything else."""
    redis_cli = programs.find("redis-cli")
    with programs.Redis(env) as redis:
        host, port = programs.split(auto(env, redis).address())
        for command, answer in ((("set", "key", "x" * 5000), b"OK\n"),
                                (("get", "key"), b"x" * 5000 + b"\n")):
            assert programs.run_bytes(redis_cli, "-h", host, "-p", port, *command) == answer


@case(timeout=60)
def test_openssl_and_curl(env):
    """Real clients of both protocols at one port."""
    curl = programs.find("curl")
    (env.tmp / "www").mkdir()
    wanted = pattern.write_file(env.tmp / "www/file", env.pick(8, 1) * MIB, 1)
    with programs.Nginx(env) as nginx, tls.OpensslServer(env, "a.test", 4433) as server:
        daemon = auto(env, nginx, ["sni:a.test -> tls"], {"tls": server})
        assert tls.s_client(daemon.address(), "-servername", "a.test").subject == "a.test"
        got = programs.run_bytes(curl, "-sS", "--fail", f"http://{daemon.address()}/file")
        assert hashlib.sha256(got).hexdigest() == wanted


@case(timeout=60)
def test_http2(env):
    """curl with prior knowledge, to nghttpd; the requests of a connection go one way."""
    curl, nghttpd = programs.find("curl"), programs.find("nghttpd")
    (env.tmp / "www").mkdir()
    wanted = pattern.write_file(env.tmp / "www/file", env.pick(8, 1) * MIB, 1)
    address = f"{programs.own_address()}:8085"
    host, port = programs.split(address)
    command = [nghttpd, "--no-tls", "-a", host, "-d", env.tmp / "www", port]
    with programs.Program(env, "nghttpd", command, address):
        other = Recorder(env, "other")
        daemon = env.spliced(other.address, listener={
            "protocol": "auto", "h2": "tunnel", "route": "host:a.test path:/f -> h2"},
            more={"pool h2": {"server": f"s {address}"}})
        got = programs.run_bytes(curl, "-sS", "--fail", "--http2-prior-knowledge", "-H",
                                 "Host: a.test", f"http://{daemon.address()}/file")
        assert hashlib.sha256(got).hexdigest() == wanted
        assert other.accepted == 0
