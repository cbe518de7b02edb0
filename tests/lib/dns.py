# SPDX-License-Identifier: GPL-2.0-or-later
"""A DNS server in a thread, for names that change their minds."""

import ipaddress
import socket
import struct
import threading

TYPE_A, TYPE_AAAA, TYPE_OPT = 1, 28, 41
NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NAME_ERROR = 0, 1, 2, 3
PLAIN_MAX = 512     # what a datagram may have without EDNS
TRUNCATED = 0x0200


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


def udp_size(packet, question):
    """What the asker takes in a datagram: EDNS says so; PLAIN_MAX without it."""
    extra = packet[12 + len(question):]
    if len(extra) >= 5 and extra[:3] == struct.pack("!BH", 0, TYPE_OPT):
        return struct.unpack_from("!H", extra, 3)[0]
    return PLAIN_MAX


class NameServer:
    """Answers from `names`, {name: [address, ...]}; a name that is not there does not exist.

    Over UDP what fits into a datagram, and over TCP the rest, unless `tcp` is false. `broken` makes
    it answer SERVFAIL, `silent` nothing at all; without `edns` it knows no such thing. `lost`
    questions get no answer, and `delay` seconds pass before one. `small` is the most of a datagram.
    """

    def __init__(self, names=None, ttl=1, address=("127.0.0.1", 0), tcp=True):
        self.names, self.ttl = names or {}, ttl
        self.broken = self.silent = False
        self.edns, self.small, self.lost, self.delay = True, 65535, 0, 0
        self.questions, self.over_tcp = [], []
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket, self.listener = self._bind(family, address)
        host, port = self.socket.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        threading.Thread(target=self._serve, daemon=True).start()
        if tcp:
            self.listener.listen(16)
            threading.Thread(target=self._accept, daemon=True).start()

    @staticmethod
    def _bind(family, address):
        """Sockets for UDP and TCP with the same port."""
        for _ in range(50):
            datagrams = socket.socket(family, socket.SOCK_DGRAM)
            stream = socket.socket(family, socket.SOCK_STREAM)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                datagrams.bind(address)
                stream.bind((address[0], datagrams.getsockname()[1]))
                return datagrams, stream
            except OSError:     # the port is somebody's
                datagrams.close()
                stream.close()
                if address[1]:
                    raise
        raise OSError("no port that is free for both")

    def _serve(self):
        while True:
            try:
                packet, client = self.socket.recvfrom(4096)
                reply = self._reply(packet)
            except (IndexError, struct.error):
                continue
            except OSError:
                return
            if reply and self.delay:
                threading.Timer(self.delay, self._send, (reply, client)).start()
            elif reply:
                self._send(reply, client)

    def _send(self, reply, client):
        try:
            self.socket.sendto(reply, client)
        except OSError:     # closed meanwhile
            pass

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(client,), daemon=True).start()

    def _converse(self, client):
        with client, client.makefile("rwb") as stream:
            client.settimeout(20)
            try:
                while size := stream.read(2):
                    packet = stream.read(struct.unpack("!H", size)[0])
                    reply = self._reply(packet, tcp=True)
                    if reply:
                        stream.write(struct.pack("!H", len(reply)) + reply)
                        stream.flush()
            except (OSError, IndexError, struct.error):
                return

    def _reply(self, packet, tcp=False):
        name, kind, question = parse_question(packet)
        self.questions.append((name, kind))
        if tcp:
            self.over_tcp.append((name, kind))
        if self.lost > 0:
            self.lost -= 1
            return None
        if self.silent:
            return None
        code, records = NO_ERROR, []
        if not self.edns and len(packet) > 12 + len(question):
            code = FORMAT_ERROR
        elif self.broken:
            code = SERVER_FAILURE
        elif name not in self.names:
            code = NAME_ERROR
        else:
            version = {TYPE_A: 4, TYPE_AAAA: 6}.get(kind)
            records = [answer_record(address, self.ttl) for address in self.names[name]
                       if ipaddress.ip_address(address).version == version]
        most = 65535 if tcp else min(self.small, udp_size(packet, question))
        flags = 0x8580 | code   # a response, authoritative, recursion wanted and available
        if 12 + len(question) + sum(map(len, records)) > most:
            flags |= TRUNCATED
            records = records[:(most - 12 - len(question)) // len(records[0])]
        header = packet[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        return header + question + b"".join(records)

    def count(self, name):
        """How many questions for that name came so far."""
        return sum(1 for asked, _ in self.questions if asked == name)

    def close(self):
        """A thread that waits in one of them would keep it open."""
        for sock in (self.socket, self.listener):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:     # not connected: it wakes its thread all the same
                pass
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
