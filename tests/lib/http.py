# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP/1 peers that say exactly what they are told, and remember exactly what they were told.

Nothing here is lenient: what is not framed as RFC 9112 wants it is a BadMessage.
"""

import hashlib
import json
import re
import socket
import threading

from . import tcp
from .wait import Deadline, wait_until

KEEP = 8 << 20      # so much of a connection or a body is remembered byte by byte
HEAD_LIMIT = 1 << 20
CHUNKED, UNTIL_CLOSE = "chunked", "until close"
NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class BadMessage(AssertionError):
    """A peer sent what is no HTTP/1 message, or ended in the middle of one."""


# ---- bytes of messages -----------------------------------------------------------------------

def head(start, *fields):
    """The bytes of a head from its lines."""
    return "\r\n".join([start, *fields, "", ""]).encode("latin-1")


def request(method="GET", target="/", *fields, host="www.test", body=None, version="1.1"):
    """The bytes of a request; `host` None leaves the field out, a body gets its length."""
    lines = list(fields)
    if host is not None:
        lines.insert(0, f"Host: {host}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return head(f"{method} {target} HTTP/{version}", *lines) + (body or b"")


def reply(body=b"", *fields, status="200 OK", version="1.1"):
    """The bytes of a response with a Content-Length."""
    return head(f"HTTP/{version} {status}", f"Content-Length: {len(body)}", *fields) + body


def chunked(*pieces, trailers=()):
    """The bytes of a chunked body: one chunk for each piece."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)
    return chunks + head("0", *trailers)


def parse_field(line):
    """(name, value) of a field line."""
    name, colon, value = line.partition(":")
    if not colon or not NAME.fullmatch(name) or re.search(r"[\0-\x08\x0a-\x1f\x7f]", value):
        raise BadMessage(f"field {line!r}")
    return name, value.strip(" \t")


class Message:
    """A head that was received, and what is known of its body."""

    def __init__(self, raw):
        self.raw = raw
        lines = raw.decode("latin-1").split("\r\n")[:-2]
        self.start, self.fields = lines[0], [parse_field(line) for line in lines[1:]]
        self.body, self.size, self.sha = bytearray(), 0, hashlib.sha256()
        self.chunks, self.trailers = [], []
        self.complete = False

    def all(self, name):
        """The values of all fields with that name."""
        return [value for known, value in self.fields if known.lower() == name.lower()]

    def get(self, name):
        """The value of the only field with that name; None without it."""
        values = self.all(name)
        if len(values) > 1:
            raise BadMessage(f"{len(values)} fields {name}: {values}")
        return values[0] if values else None

    def names(self):
        """The names of its fields, lower case."""
        return [name.lower() for name, _ in self.fields]

    def add(self, data):
        """More of the body."""
        self.size += len(data)
        self.sha.update(data)
        self.body += data[:max(0, KEEP - len(self.body))]

    def _declared(self):
        """CHUNKED, a length, or None; both at once is what smuggling is made of."""
        coding, length = self.get("Transfer-Encoding"), self.get("Content-Length")
        if coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise BadMessage(f"Transfer-Encoding {coding!r}, Content-Length {length!r}")
            return CHUNKED
        if length is None:
            return None
        if not re.fullmatch(r"\d+", length):
            raise BadMessage(f"Content-Length {length!r}")
        return int(length)

    def wants_close(self):
        """Whether its sender will close the connection behind it."""
        options = ",".join(self.all("Connection")).lower().replace(" ", "").split(",")
        return "close" in options or (self.version == "1.0" and "keep-alive" not in options)


class Request(Message):
    """A request as it was received."""

    def __init__(self, raw):
        super().__init__(raw)
        match = re.fullmatch(r"(\S+) (\S+) HTTP/(1\.[01])", self.start)
        if not match or not NAME.fullmatch(match[1]):
            raise BadMessage(f"request line {self.start!r}")
        self.method, self.target, self.version = match.groups()

    def framing(self):
        return self._declared() or 0


class Response(Message):
    """A response as it was received."""

    def __init__(self, raw):
        super().__init__(raw)
        match = re.fullmatch(r"HTTP/(1\.[01]) (\d{3})(?: (.*))?", self.start)
        if not match:
            raise BadMessage(f"status line {self.start!r}")
        self.version, self.status, self.reason = match[1], int(match[2]), match[3] or ""

    def framing(self, method):
        """What its body is, after a request with that method."""
        if method == "HEAD" or self.status < 200 or self.status in (204, 304):
            return 0
        if method == "CONNECT" and self.status < 300:
            return 0
        declared = self._declared()
        return UNTIL_CLOSE if declared is None else declared


# ---- reading ---------------------------------------------------------------------------------

class Reader:
    """What a socket says, in pieces of one's choice."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer, self.received, self.total = bytearray(), bytearray(), 0

    def fill(self, most=1 << 18):
        """Receives something; false at the end of the stream."""
        data = self.sock.recv(most)
        self.total += len(data)
        self.received += data[:max(0, KEEP - len(self.received))]
        self.buffer += data
        return bool(data)

    def take(self, size):
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def until(self, mark, limit=HEAD_LIMIT):
        """Everything through `mark`; b"" if the stream ends before its first byte."""
        searched = 0
        while (at := self.buffer.find(mark, searched)) < 0:
            searched = max(0, len(self.buffer) - len(mark) + 1)
            if len(self.buffer) > limit:
                raise BadMessage(f"{len(self.buffer)} bytes without {mark!r}")
            if not self.fill():
                if self.buffer:
                    raise BadMessage(f"ended after {bytes(self.buffer[:200])!r}")
                return b""
        return self.take(at + len(mark))

    def pieces(self, size):
        """The next `size` bytes as they come."""
        while size > 0:
            if not self.buffer and not self.fill():
                raise BadMessage(f"ended {size} bytes before its time")
            piece = self.take(min(size, len(self.buffer)))
            size -= len(piece)
            yield piece

    def exactly(self, size):
        return b"".join(self.pieces(size))

    def rest(self):
        """Everything up to the end of the stream."""
        while self.fill():
            pass
        return self.take(len(self.buffer))

    def body(self, message, framing):
        """Reads a message's body into it."""
        if framing == CHUNKED:
            self._chunks(message)
        elif framing == UNTIL_CLOSE:
            while self.buffer or self.fill():
                message.add(self.take(len(self.buffer)))
        else:
            for piece in self.pieces(framing):
                message.add(piece)
        message.complete = True

    def _chunks(self, message):
        while True:
            line = self.until(b"\r\n", 8192)
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}(;[^\r\n]*)?\r\n", line):
                raise BadMessage(f"chunk line {line!r}")
            size = int(line.split(b";")[0], 16)
            if size == 0:
                break
            message.chunks.append(size)
            for piece in self.pieces(size):
                message.add(piece)
            end = self.exactly(2)
            if end != b"\r\n":
                raise BadMessage(f"{end!r} behind a chunk")
        while (line := self.until(b"\r\n", 65536)) != b"\r\n":
            if not line:
                raise BadMessage("ended in the trailers")
            message.trailers.append(parse_field(line[:-2].decode("latin-1")))


# ---- the client ------------------------------------------------------------------------------

def ending(reader):
    """What still comes, and how it ends: (bytes, "eof" or "reset")."""
    try:
        return reader.rest(), "eof"
    except (ConnectionResetError, BrokenPipeError):
        return reader.take(len(reader.buffer)), "reset"


def is_last(answer):
    """Whether a response says that none follows on its connection."""
    return (answer.get("Connection") or "").lower() == "close"


def ends(client):
    """Whether nothing more came, and then the end, properly."""
    return client.ending() == (b"", "eof")


def send_halves(connection, go_on):
    """An Origin's response of two halves, the second one when it is told so."""
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
    assert go_on.wait(20), "nobody said so"
    connection.send(b"rest")


class Client:
    """A connection to somebody who speaks HTTP/1; `sock` is one that is there already."""

    def __init__(self, address, source=None, timeout=tcp.TIMEOUT, sock=None):
        self.sock = sock or tcp.connect(address, source, Deadline(timeout).seconds)
        if self.sock.family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = Reader(self.sock)
        self.interim = []   # the 1xx responses before the last final one

    def send(self, *parts):
        self.sock.sendall(b"".join(parts))
        return self

    def head(self):
        """The next head, whatever its status."""
        raw = self.reader.until(b"\r\n\r\n")
        if not raw:
            raise BadMessage("the connection ended instead of a response")
        return Response(raw)

    def response(self, method="GET"):
        """The final response to a request with that method, with its body."""
        self.interim = []
        while (answer := self.head()).status < 200 and answer.status != 101:
            self.interim.append(answer)
        self.reader.body(answer, answer.framing(method))
        return answer

    def ask(self, method="GET", target="/", *fields, **options):
        """A request, and its response."""
        return self.send(request(method, target, *fields, **options)).response(method)

    def ending(self):
        return ending(self.reader)

    def is_open(self):
        """Whether the other side has left it open, with nothing unread in it."""
        if self.reader.buffer:
            return False
        self.sock.setblocking(False)
        try:
            self.sock.recv(1, socket.MSG_PEEK)  # a byte or the end
            return False
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self.sock.settimeout(Deadline(tcp.TIMEOUT).seconds)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---- the server ------------------------------------------------------------------------------

class Connection:
    """One connection of an Origin."""

    def __init__(self, origin, sock, number):
        self.origin, self.sock, self.number = origin, sock, number
        self.reader = Reader(sock)
        self.requests = []

    @property
    def open(self):
        """Until it is closed, and not only about to be."""
        return self.sock in self.origin.backend.sockets

    def send(self, *parts):
        self.sock.sendall(b"".join(parts))

    def head(self):
        """The next request, its body still unread; None at the end of the stream."""
        raw = self.reader.until(b"\r\n\r\n")
        if not raw:
            return None
        asked = Request(raw)
        asked.connection = self.number
        self.requests.append(asked)
        self.origin.heads.append(asked)
        return asked

    def body(self, asked):
        """Reads that request's body; now it is one of origin.requests."""
        self.reader.body(asked, asked.framing())
        self.origin.requests.append(asked)
        return asked

    def request(self):
        """The next request with its body; who expects it is told to go on."""
        asked = self.head()
        if asked is None:
            return None
        if "100-continue" in (asked.get("Expect") or "").lower():
            self.send(head("HTTP/1.1 100 Continue"))
        return self.body(asked)


class Origin:
    """A server. answer(request) gives the bytes of a response, or None to close; for more,
    serve(connection) is called once for each connection, which ends with it.

    heads: requests of which the head came; requests: those that came to their end, in order.
    """

    def __init__(self, env, answer=None, serve=None, name="origin", address="127.0.0.1:0"):
        self.name = name
        self.answer, self.serve = answer or (lambda _: reply(name.encode())), serve or self._serve
        self.connections, self.heads, self.requests, self.problems = [], [], [], []
        self.lock = threading.Lock()
        self.backend = env.backend(self._handle, address)
        self.address = self.backend.address

    def _handle(self, sock):
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.lock:
            connection = Connection(self, sock, len(self.connections))
            self.connections.append(connection)
        try:
            self.serve(connection)
        except AssertionError as error:
            self.problems.append(error)

    def _serve(self, connection):
        while asked := connection.request():
            answer = self.answer(asked)
            if answer is None:
                break
            connection.send(answer)
            closes = re.search(rb"(?mi)^connection: *close", answer.partition(b"\r\n\r\n")[0])
            if closes or asked.wants_close():
                break

    def check(self):
        """What came was HTTP; returns the finished requests."""
        if self.problems:
            raise self.problems[0]
        return self.requests

    def targets(self):
        """The targets of the finished requests, in order."""
        return [asked.target for asked in self.check()]

    def received(self):
        """How many bytes came, on all connections."""
        return sum(connection.reader.total for connection in self.connections)

    def opened(self):
        """How many connections are open: of others the peer's TCP has been told."""
        return sum(connection.open for connection in self.connections)


# ---- the daemon's side -----------------------------------------------------------------------

def proxy(env, servers, listener=None, pools=None, **options):
    """A daemon with an HTTP listener. pools: {name: server or options}."""
    more = {f"pool {name}": pool if isinstance(pool, dict) else {"server": f"s {pool}"}
            for name, pool in (pools or {}).items()}
    return env.spliced(servers, listener={"protocol": "http", **(listener or {})}, more=more,
                       **options)


def request_log(daemon):
    """The access lines of requests, as dicts of text."""
    return [dict(word.split("=", 1) for word in line.split() if "=" in word)
            for line in daemon.log() if re.search(r"\brequest id=\S+ client=", line)]


def json_log(daemon):
    """The access lines in JSON format, as objects."""
    return [json.loads(line[line.index("{"):]) for line in daemon.log()
            if re.search(r'\{.*"kind":"(session|request)"', line)]


def wait_requests(daemon, number=1, seconds=5):
    """The access lines of requests once there are that many; not one more is there."""
    lines = wait_until(lambda: len(found := request_log(daemon)) >= number and found, seconds,
                       f"{number} access lines of requests", poll=0.05)
    assert len(lines) == number, f"{len(lines)} lines for {number} requests: {lines}"
    return lines


def wait_end(daemon, number=1):
    """How the last of so many requests ended, for the log."""
    return wait_requests(daemon, number)[-1]["end"]
