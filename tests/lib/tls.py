# SPDX-License-Identifier: GPL-2.0-or-later
"""TLS: ClientHellos of every shape, certificates, and openssl's own client and server."""

import os
import re
import socket
import ssl
import struct
import subprocess

from . import programs, tcp

HANDSHAKE, ALERT, APPLICATION_DATA = 22, 21, 23
SERVER_NAME, GROUPS, SIGNATURES, ALPN, PADDING, VERSIONS, KEY_SHARE = 0, 10, 13, 16, 21, 43, 51
ECH = 0xFE0D
UNRECOGNIZED_NAME = 112
GREASE = 0x0A0A


# ---- ClientHellos by hand ----------------------------------------------------------------------

def vector(data, width=2):
    """data behind its length."""
    return len(data).to_bytes(width, "big") + data


def extension(kind, data=b""):
    return struct.pack("!H", kind) + vector(data)


def server_name(name):
    return extension(SERVER_NAME, vector(b"\0" + vector(name.encode())))


def alpn(*names):
    return extension(ALPN, vector(b"".join(vector(name.encode(), 1) for name in names)))


def key_share(*shares):
    """shares: (group, size of the key)"""
    return extension(KEY_SHARE, vector(b"".join(struct.pack("!H", group) + vector(os.urandom(size))
                                                for group, size in shares)))


def hello(*extensions, suites=(0x1301, 0x1302, 0xC02F), version=0x0303):
    """A ClientHello message, without records."""
    body = struct.pack("!H", version) + os.urandom(32) + vector(os.urandom(32), 1)
    body += vector(b"".join(struct.pack("!H", suite) for suite in suites)) + vector(b"\0", 1)
    body += vector(b"".join(extensions))
    return b"\1" + vector(body, 3)


def usual(sni=None, *protocols, more=()):
    """A ClientHello with what a TLS 1.3 client has in it."""
    found = [server_name(sni)] if sni else []
    found += [alpn(*protocols)] if protocols else []
    return hello(extension(VERSIONS, vector(b"\3\4\3\3", 1)),
                 extension(GROUPS, vector(struct.pack("!HH", 29, 23))), key_share((29, 32)),
                 extension(SIGNATURES, vector(struct.pack("!HH", 0x0403, 0x0804))),
                 *found, *more)


def record(data, kind=HANDSHAKE, version=0x0301):
    return struct.pack("!BH", kind, version) + vector(data)


def records(message, size=1 << 14):
    """A message in records of at most that many bytes."""
    return b"".join(record(message[at:at + size]) for at in range(0, len(message), size))


def is_alert(data, description):
    """Whether data is one fatal alert, and nothing else."""
    return len(data) == 7 and data[0] == ALERT and data[1] == 3 \
        and data[3:] == bytes([0, 2, 2, description])


def real_hello(name=None, protocols=()):
    """What Python's TLS library says first."""
    context = lenient_context(protocols)
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(into, out, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


# ---- real TLS ----------------------------------------------------------------------------------

def lenient_context(protocols=()):
    """A client's context that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def certificate(env, name):
    """(certificate, key) for a host name, self-signed."""
    cert, key = env.tmp / f"{name}.crt", env.tmp / f"{name}.key"
    if not cert.exists():
        programs.run(programs.find("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-days", 2,
                     "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", cert)
    return cert, key


class Server:
    """handle() for a Backend: a TLS server that says its name, the SNI and the ALPN it saw, and
    then echoes."""

    def __init__(self, env, name, protocols=()):
        self.name = name
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*certificate(env, name))
        self.context.sni_callback = self._remember
        if protocols:
            self.context.set_alpn_protocols(list(protocols))

    @staticmethod
    def _remember(session, name, _context):
        session.seen_name = name

    def handle(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.context.wrap_socket(sock, server_side=True) as session:
            name = getattr(session, "seen_name", None)
            line = f"{self.name} {name} {session.selected_alpn_protocol()}\n"
            session.sendall(line.encode())
            while data := session.recv(1 << 16):
                session.sendall(data)


class OpensslServer(programs.Program):
    """openssl s_server, which sends every line back reversed. One connection at a time."""

    def __init__(self, env, name, port, *options):
        cert, key = certificate(env, name)
        address = f"{programs.own_address()}:{port}"
        command = [programs.find("openssl"), "s_server", "-accept", address, "-cert", cert, "-key",
                   key, "-rev", *options]
        super().__init__(env, f"s_server-{name}", command, address)


class Seen:
    """What openssl s_client reports of a handshake."""

    def __init__(self, text):
        self.text = text
        subject = re.search(r"^subject=.*?CN ?= ?(\S+)", text, re.MULTILINE)
        protocol = re.search(r"^ALPN protocol: (\S+)", text, re.MULTILINE)
        version = re.search(r"^New, (TLSv[\d.]+)", text, re.MULTILINE)
        self.subject, self.alpn, self.version = (match and match[1]
                                                 for match in (subject, protocol, version))


def s_client(address, *options, line="hello", check=True):
    """Connects with openssl, sends a line, waits for the answer and ends; what was Seen. The
    answer must be the line reversed."""
    command = [programs.find("openssl"), "s_client", "-connect", address, *map(str, options)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as client:
        try:
            said = _talk(client, line[::-1].encode(), line.encode() + b"\n")
        finally:
            client.kill()
    if check:
        assert line[::-1].encode() in said, said.decode(errors="replace")
    return Seen(said.decode(errors="replace"))


def _talk(client, answer, line):
    """What s_client prints until the answer or its end."""
    try:
        client.stdin.write(line)
        client.stdin.flush()
    except BrokenPipeError:
        pass
    said = b""
    while answer not in said and (data := os.read(client.stdout.fileno(), 1 << 16)):
        said += data
    return said


def connect(address, name=None, protocols=(), sock=None, **options):
    """A TLS client on a new connection, or on `sock`."""
    sock = sock or tcp.connect(address, **options)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return lenient_context(protocols).wrap_socket(sock, server_hostname=name)
