# SPDX-License-Identifier: GPL-2.0-or-later
"""Enough of WebSocket (RFC 6455) for both ends of a connection."""

import base64
import hashlib
import os
import struct

from . import http

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def accept_key(key):
    """What a server answers to a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def xor(data, mask):
    """data with the four bytes of `mask` over it, again and again."""
    whole = (mask * (len(data) // 4 + 1))[:len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(data), "big")


def frame(kind, payload=b"", masked=False):
    """The bytes of a frame that is a message of its own; clients mask theirs."""
    size = len(payload)
    bit = 0x80 if masked else 0
    if size < 126:
        start = struct.pack("!BB", 0x80 | kind, bit | size)
    elif size < 1 << 16:
        start = struct.pack("!BBH", 0x80 | kind, bit | 126, size)
    else:
        start = struct.pack("!BBQ", 0x80 | kind, bit | 127, size)
    if not masked:
        return start + payload
    mask = os.urandom(4)
    return start + mask + xor(payload, mask)


def read_frame(reader, masked):
    """(kind, payload) of the next frame; who should mask must have."""
    kind, size = reader.exactly(2)
    assert kind & 0xF0 == 0x80, f"a fragment or a reserved bit: {kind:#x}"
    assert bool(size & 0x80) == masked, "masked by the wrong side"
    size &= 0x7F
    if size > 125:
        size = int.from_bytes(reader.exactly(2 if size == 126 else 8), "big")
    mask = reader.exactly(4) if masked else None
    payload = reader.exactly(size)
    return kind & 0x0F, xor(payload, mask) if mask else payload


def upgrade(client, target="/socket", *fields, host="www.test"):
    """A client's handshake; the response, which must be an upgrade."""
    key = base64.b64encode(os.urandom(16)).decode()
    answer = client.ask("GET", target, "Upgrade: websocket", "Connection: Upgrade",
                        f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", *fields,
                        host=host)
    assert answer.status == 101, answer.raw
    assert answer.get("Upgrade").lower() == "websocket", answer.raw
    assert "upgrade" in answer.get("Connection").lower(), answer.raw
    assert answer.get("Sec-WebSocket-Accept") == accept_key(key), answer.raw
    return answer


def serve_echo(connection):
    """An Origin's serve(): plain requests get their target back, a WebSocket its messages."""
    while asked := connection.request():
        if (asked.get("Upgrade") or "").lower() != "websocket":
            connection.send(http.reply(asked.target.encode()))
            continue
        assert "upgrade" in asked.get("Connection").lower(), asked.raw
        connection.send(http.head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket",
                                  "Connection: Upgrade", "Sec-WebSocket-Accept: "
                                  + accept_key(asked.get("Sec-WebSocket-Key"))))
        return echo(connection)


def echo(connection):
    """Sends every message back, until the client closes."""
    while True:
        kind, payload = read_frame(connection.reader, masked=True)
        connection.send(frame(PONG if kind == PING else kind, payload))
        if kind == CLOSE:
            return
