# SPDX-License-Identifier: GPL-2.0-or-later
"""One exchange through a target, to see whether it serves; and the ClientHello for TLS."""

import http.client
import socket
import ssl
import struct

HOST = "bench.example"


def client_hello():
    """The record that OpenSSL would send for HOST."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2", "http/1.1"])
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=HOST)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def _echoes(port, preface=b""):
    message = b"E" + bytes(63)
    with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
        client.sendall(preface + message)
        answer = b""
        while len(answer) < len(message):
            piece = client.recv(64)
            if not piece:
                return False
            answer += piece
        return answer == message


def _answers(port):
    mark = "0123456789abcdef"
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        client.request("GET", f"/{mark}/64", headers={"Host": HOST})
        response = client.getresponse()
        body = response.read()
        return response.status == 200 and len(body) == 64 and body.endswith(mark.encode())
    finally:
        client.close()


def _replies(port, question, answers):
    with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
        client.sendall(question)
        return client.recv(64).startswith(answers)


def _redis(port):
    return _replies(port, b"PING\r\n", b"+PONG")


def _postgres(port):
    return _replies(port, struct.pack("!II", 8, 80877103), (b"S", b"N"))  # SSLRequest


_PROBES = {"tcp": _echoes, "local": _echoes, "sidecar": _echoes, "local-redis": _redis, "local-pgbench": _postgres,
           "http": _answers, "observe-http": _answers, "observe-tcp": _echoes,
           "tls": lambda port: _echoes(port, client_hello())}


def serves(group, port):
    """Whether a message of the group comes back through the port."""
    try:
        return _PROBES[group](port)
    except (OSError, http.client.HTTPException):
        return False
