# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames of HTTP/2, and a client's beginning."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY, WINDOW_UPDATE, DATA, HEADERS, CONTINUATION = 4, 6, 7, 8, 0, 1, 9


def frame(kind, flags=0, stream=0, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") \
        + payload


EMPTY, ACK = frame(SETTINGS), frame(SETTINGS, 1)
BEGINNING = PREFACE + frame(SETTINGS, payload=b"\0\3\0\0\0\x64") \
    + frame(WINDOW_UPDATE, payload=b"\0\1\0\0")
# GET / of a.test, in two frames.
REQUEST = frame(HEADERS, 0, 1, b"\x82\x84\x86") + frame(CONTINUATION, 4, 1, b"\x41\6a.test")
BODY = frame(DATA, 0, 1, b"x" * 70) + frame(PING, payload=b"12345678") + frame(DATA, 0, 1, ACK * 3)
