# SPDX-License-Identifier: GPL-2.0-or-later
"""A DNS server in a thread, for names that change their minds."""

import ipaddress
import socket
import struct
import threading

TYPE_A, TYPE_AAAA = 1, 28
NO_ERROR, SERVER_FAILURE, NAME_ERROR = 0, 2, 3


def parse_question(packet):
    """(name, type, the question's bytes) of a query with one question."""
    labels, at = [], 12
    while length := packet[at]:
        labels.append(packet[at + 1:at + 1 + length].decode("ascii"))
        at += 1 + length
    kind, _ = struct.unpack_from("!HH", packet, at + 1)
    return ".".join(labels).lower(), kind, packet[12:at + 5]


def answer_record(address, ttl):
    """Its name is a pointer to the question's."""
    packed = ipaddress.ip_address(address).packed
    kind = TYPE_A if len(packed) == 4 else TYPE_AAAA
    return struct.pack("!HHHIH", 0xC00C, kind, 1, ttl, len(packed)) + packed


class NameServer:
    """Answers from `names`, {name: [address, ...]}; a name that is not there does not exist.

    `broken` makes it answer SERVFAIL, `silent` nothing at all.
    """

    def __init__(self, names=None, ttl=1):
        self.names, self.ttl = names or {}, ttl
        self.broken = self.silent = False
        self.questions = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                packet, client = self.socket.recvfrom(4096)
                reply = self._reply(packet)
                if reply:
                    self.socket.sendto(reply, client)
            except (IndexError, struct.error):
                continue
            except OSError:
                return

    def _reply(self, packet):
        name, kind, question = parse_question(packet)
        self.questions.append((name, kind))
        if self.silent:
            return None
        code, records = NO_ERROR, []
        if self.broken:
            code = SERVER_FAILURE
        elif name not in self.names:
            code = NAME_ERROR
        else:
            version = {TYPE_A: 4, TYPE_AAAA: 6}.get(kind)
            records = [answer_record(address, self.ttl) for address in self.names[name]
                       if ipaddress.ip_address(address).version == version]
        flags = 0x8580 | code   # a response, authoritative, recursion wanted and available
        header = packet[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        return header + question + b"".join(records)

    def count(self, name):
        """How many questions for that name came so far."""
        return sum(1 for asked, _ in self.questions if asked == name)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
