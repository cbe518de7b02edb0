# SPDX-License-Identifier: GPL-2.0-or-later
"""The PROXY protocol, versions 1 and 2: headers to send, and those that came."""

import ipaddress
import re
import socket
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
UNSPEC, TCP4, UDP4, TCP6, UDP6, UNIX_STREAM, UNIX_DGRAM = 0x00, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32
ALPN, AUTHORITY, CRC32C, NOOP, UNIQUE_ID, SSL, NETNS = 0x01, 0x02, 0x03, 0x04, 0x05, 0x20, 0x30
V1_MAX = 107


class BadHeader(AssertionError):
    """What came is no PROXY header."""


def v1(source, target, family=None):
    """A version 1 line from (address, port) pairs."""
    family = family or ("TCP6" if ":" in source[0] else "TCP4")
    return f"PROXY {family} {source[0]} {target[0]} {source[1]} {target[1]}\r\n".encode()


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def ends(source, target):
    """(family, the address block) of two (address, port) pairs or two paths."""
    if isinstance(source, bytes):
        return UNIX_STREAM, source.ljust(108, b"\0") + target.ljust(108, b"\0")
    packed = [ipaddress.ip_address(end[0]).packed for end in (source, target)]
    family = TCP4 if len(packed[0]) == 4 else TCP6
    return family, b"".join(packed) + struct.pack("!HH", source[1], target[1])


def v2_raw(command, family, block):
    """A version 2 header from its parts, right or wrong."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(block)) + block


def v2(source, target, *tlvs):
    family, block = ends(source, target)
    return v2_raw(PROXY, family, block + b"".join(tlvs))


def crc32c(data):
    """Castagnoli's CRC, as the checksum TLV wants it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def v2_checked(source, target, *tlvs, wrong=0):
    """A version 2 header with its checksum, of which `wrong` changes bits."""
    plain = v2(source, target, *tlvs, tlv(CRC32C, bytes(4)))
    return plain[:-4] + struct.pack("!L", crc32c(plain) ^ wrong)


class Header:
    """A header that came."""

    def __init__(self, version, local, source=None, target=None, tlvs=(), size=0):
        self.version, self.local, self.source, self.target = version, local, source, target
        self.tlvs = dict(tlvs)
        self.size = size    # of the header, in bytes


def _parse_v1(line):
    """The Header of a line with its CR LF."""
    if len(line) > V1_MAX or not line.endswith(b"\r\n"):
        raise BadHeader(f"version 1: {line!r}")
    words = line[:-2].decode("ascii").split(" ")
    if words[:2] == ["PROXY", "UNKNOWN"]:
        return Header(1, True, size=len(line))
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise BadHeader(f"version 1: {line!r}")
    hosts = [ipaddress.ip_address(word) for word in words[2:4]]
    if {host.version for host in hosts} != {int(words[1][-1])}:
        raise BadHeader(f"version 1: {line!r}")
    if not all(re.fullmatch("0|[1-9][0-9]{0,4}", word) for word in words[4:]):
        raise BadHeader(f"version 1: {line!r}")
    ports = [int(word) for word in words[4:]]
    return Header(1, False, (words[2], ports[0]), (words[3], ports[1]), size=len(line))


def tlvs(block):
    """(type, value) of each TLV, in their order."""
    while block:
        if len(block) < 3:
            raise BadHeader(f"{len(block)} bytes behind the last TLV")
        kind, size = struct.unpack_from("!BH", block)
        if len(block) < 3 + size:
            raise BadHeader(f"TLV {kind} has {len(block) - 3} of {size} bytes")
        yield kind, block[3:3 + size]
        block = block[3 + size:]


def _parse_v2(command, family, block):
    size = 16 + len(block)
    if command == LOCAL or family == UNSPEC:
        return Header(2, True, size=size)
    if command != PROXY:
        raise BadHeader(f"version and command {command:#x}")
    if family == UNIX_STREAM:
        source, target, rest = block[:108].rstrip(b"\0"), block[108:216].rstrip(b"\0"), block[216:]
    elif family in (TCP4, TCP6):
        width, kind = (4, socket.AF_INET) if family == TCP4 else (16, socket.AF_INET6)
        hosts = [socket.inet_ntop(kind, block[at:at + width]) for at in (0, width)]
        ports = struct.unpack_from("!HH", block, 2 * width)
        source, target = zip(hosts, ports)
        rest = block[2 * width + 4:]
    else:
        raise BadHeader(f"family {family:#x}")
    return Header(2, False, source, target, tlvs(rest), size)


def read(reader):
    """Takes the header from the front of a lib.http.Reader, and not a byte more."""
    first = reader.exactly(6)
    if first == b"PROXY ":
        return _parse_v1(first + reader.until(b"\r\n", V1_MAX))
    if first != SIGNATURE[:6]:
        raise BadHeader(f"{first!r}")
    rest = reader.exactly(10)
    if rest[:6] != SIGNATURE[6:]:
        raise BadHeader(f"signature {first + rest!r}")
    command, family, size = struct.unpack("!BBH", rest[6:])
    return _parse_v2(command, family, reader.exactly(size))
