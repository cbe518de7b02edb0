# SPDX-License-Identifier: GPL-2.0-or-later
"""A TCP client of its own behind a TUN device.

It chooses where its segments begin and end, which no kernel lets a program do: so it can repeat
bytes with other boundaries, fill holes late, and let sequence numbers wrap where it likes. It
knows no options but the MSS, and timestamps and selective acknowledgements when it is told to; no
congestion and no loss; the receiver's window it respects.
"""

import fcntl
import os
import select
import socket
import struct

from . import netns, process
from .case import Skip
from .wait import Deadline, TimeoutReached

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
IP_HEADER = struct.Struct("!BBHHHBBH4s4s")
TCP_HEADER = struct.Struct("!HHIIBBHHH")
MSS_OPTION, SACK_PERMITTED, TIMESTAMPS, NO_OPTION = 2, 4, 8, 1
SEQ_MASK = 0xFFFFFFFF

MTU = 65535
WINDOW = 65535
TIMEOUT = 10.0
REPEAT = 1.0        # without an acknowledgement for so long, flush() sends again
CHUNK = 1400        # of what flush() sends again


class TunHost:
    """A namespace with a TUN device: its own address is 10.78.0.1, the peers' are 10.78.0.2."""

    ADDRESS, PEER = "10.78.0.1", "10.78.0.2"

    def __init__(self, env):
        if os.geteuid() != 0:
            raise Skip("a TUN device needs root")
        name = f"spl{os.getpid()}tun"
        env.remember_netns(name)
        process.run("ip", "netns", "add", name)
        self.host = netns.Host(name)
        self.host.run("ip", "link", "set", "lo", "up")
        self.file = self.host.call(self._open)
        env.keep(self.file)
        self.host.run("ip", "addr", "add", f"{self.ADDRESS}/24", "dev", "tun0")
        self.host.run("ip", "link", "set", "tun0", "mtu", MTU, "up")
        self.ports = iter(range(40000, 60000))  # this network has nobody else

    @staticmethod
    def _open():
        try:
            tun = open("/dev/net/tun", "r+b", buffering=0)
        except OSError as error:
            raise Skip(f"no TUN devices here: {error}") from None
        try:
            fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN | IFF_NO_PI))
        except OSError as error:
            tun.close()
            raise Skip(f"no TUN devices here: {error}") from None
        os.set_blocking(tun.fileno(), False)
        return tun

    def peer(self, address, content, isn):
        """A client of IP:PORT that will send `content`."""
        host, _, port = address.rpartition(":")
        return Peer(self.file, (self.PEER, next(self.ports)), (host, int(port)), content, isn)


    def accept(self, port, content=b"", isn=1000):
        """The next connection to PEER:port, as a server; it will send `content`."""
        deadline = Deadline(TIMEOUT)
        while packet := read_packet(self.file, deadline):
            seg = Segment(packet)
            if seg.flags is not None and seg.flags & SYN and seg.target == port:
                peer = Peer(self.file, (self.PEER, port), (self.ADDRESS, seg.source), content, isn)
                return peer.answer(seg)
        raise TimeoutReached(f"no connection to port {port} in time")


def read_packet(tun, deadline):
    """One packet, or None at the deadline."""
    while True:
        if not select.select([tun], [], [], deadline.left())[0]:
            return None
        packet = tun.read(MTU)
        if packet:
            return packet


def checksum(data):
    """The internet checksum: a sum of 16-bit words modulo 65535 is that of the whole number."""
    if len(data) % 2:
        data += b"\0"
    return 0xFFFF - int.from_bytes(data, "big") % 0xFFFF


def tcp_packet(source, target, seq, ack, flags, payload=b"", options=b""):
    """An IPv4 packet; source and target are (address, port)."""
    ends = socket.inet_aton(source[0]), socket.inet_aton(target[0])
    size = TCP_HEADER.size + len(options)
    fields = [source[1], target[1], seq, ack, size // 4 << 4, flags, WINDOW, 0, 0]
    tail = options + payload
    pseudo = struct.pack("!4s4sBBH", *ends, 0, socket.IPPROTO_TCP, size + len(payload))
    fields[7] = checksum(pseudo + TCP_HEADER.pack(*fields) + tail)
    whole = IP_HEADER.size + size + len(payload)
    assert whole <= MTU, f"a packet of {whole} bytes"
    ip = [0x45, 0, whole, 0, 0x4000, 64, socket.IPPROTO_TCP, 0, *ends]
    ip[7] = checksum(IP_HEADER.pack(*ip))
    return IP_HEADER.pack(*ip) + TCP_HEADER.pack(*fields) + tail


class Segment:
    """What came in, if it is TCP over IPv4; else `flags` is None. Checksums are not looked at:
    nothing between here and the kernel could damage a packet."""

    def __init__(self, packet):
        self.flags = None
        if len(packet) < 40 or packet[0] != 0x45 or packet[9] != socket.IPPROTO_TCP:
            return
        size = struct.unpack_from("!H", packet, 2)[0]
        (self.source, self.target, self.seq, self.ack, offset, self.flags, self.window, _,
         _) = TCP_HEADER.unpack_from(packet, IP_HEADER.size)
        self.payload = packet[IP_HEADER.size + (offset >> 4) * 4:size]


def distance(to, since):
    """How far sequence number `to` is behind `since`: negative if before it."""
    return (to - since + 0x80000000 & SEQ_MASK) - 0x80000000


class Peer:
    """One connection. Positions count bytes of the content, from 0; nothing is sent unasked but
    acknowledgements, and those only while a method waits."""

    def __init__(self, tun, source, target, content, isn):
        self.tun, self.source, self.target, self.content = tun, source, target, content
        self.base = isn + 1 & SEQ_MASK  # the sequence number of position 0
        self.acked = 0                  # position; one more than the content once the FIN is
        self.room = 0                   # position up to which the receiver's window reaches
        self.highest = 0                # position up to which something was sent
        self.finished = False
        self.their_next = 0
        self.received = b""
        self.ended = False              # their FIN came
        self.was_reset = False
        self.established = False
        self.ticks = 0                  # of its timestamps; 0: it has none

    # -- out

    def _put(self, seq, flags, payload=b"", options=b""):
        if self.ticks:
            self.ticks += 1
            options += struct.pack("!BBBBII", NO_OPTION, NO_OPTION, TIMESTAMPS, 10, self.ticks, 0)
        packet = tcp_packet(self.source, self.target, seq & SEQ_MASK, self.their_next, flags,
                            payload, options)
        written = self.tun.write(packet)    # never short: a TUN device has no send limit
        assert written == len(packet), f"{written} of {len(packet)} bytes written to the device"

    def connect(self, mss=1460, modern=False):
        """The handshake. modern: with timestamps and selective acknowledgements."""
        options = struct.pack("!BBH", MSS_OPTION, 4, mss)
        if modern:
            self.ticks = 1
            options += struct.pack("!BBBB", NO_OPTION, NO_OPTION, SACK_PERMITTED, 2)
        self._put(self.base - 1, SYN, options=options)
        self._wait(lambda: self.established, "SYN ACK")
        return self

    def knock(self, mss=1460):
        """The first half of the handshake: their answer is left unanswered."""
        self._put(self.base - 1, SYN, options=struct.pack("!BBH", MSS_OPTION, 4, mss))
        deadline = Deadline(TIMEOUT)
        while packet := read_packet(self.tun, deadline):
            seg = Segment(packet)
            if seg.flags is not None and seg.flags & SYN and \
                    (seg.target, seg.source) == (self.source[1], self.target[1]):
                self.their_next, self.room = seg.seq + 1 & SEQ_MASK, seg.window
                return self
        raise TimeoutReached("not in time: SYN ACK")

    def enter(self):
        """The second half."""
        self._put(self.base, ACK)
        return self

    def answer(self, seg, mss=1460):
        """The handshake with who sent that SYN."""
        self.their_next = seg.seq + 1 & SEQ_MASK
        self._put(self.base - 1, SYN | ACK, options=struct.pack("!BBH", MSS_OPTION, 4, mss))
        self._wait(lambda: self.room, "the end of the handshake")
        return self

    def say(self, data):
        """Sends that after all it was to send before, until it is acknowledged."""
        self.content += data
        while self.highest < len(self.content):
            self.send(self.highest, min(len(self.content), self.highest + CHUNK))
        self.flush()

    def until(self, what):
        """Until they have sent that."""
        self._wait(lambda: what in self.received, f"{what!r}")

    def hear(self):
        """The next segment with data, which is neither taken nor acknowledged."""
        deadline = Deadline(TIMEOUT)
        while packet := read_packet(self.tun, deadline):
            seg = Segment(packet)
            if seg.flags is not None and seg.payload and \
                    (seg.target, seg.source) == (self.source[1], self.target[1]):
                return seg
        raise TimeoutReached("no data in time")

    def take(self, seg, size):
        """The first bytes of it: acknowledged by what is sent next."""
        self.received += seg.payload[:size]
        self.their_next = seg.seq + size & SEQ_MASK

    def blurt(self, data, fin=False):
        """Sends that in one segment, and takes nothing in: what was not acknowledged yet is not."""
        self.content += data
        start, self.highest = self.highest, len(self.content)
        assert self.highest <= self.room, (self.highest, self.room)
        self._put(self.base + start, ACK | PSH | (FIN if fin else 0), self.content[start:])

    def close(self):
        """FIN, as of somebody who has not heard what was not taken."""
        self._put(self.base + self.highest, FIN | ACK)

    def refuse(self, seg):
        """What a socket that is closed says to a segment."""
        self._put(seg.ack, RST)

    def send(self, start, end):
        """One segment with the bytes [start, end), whether they were sent before or not. Waits
        for the receiver's window; after a reset it does nothing."""
        self._wait(lambda: end <= self.room, f"room up to {end}")
        if self.was_reset:
            return
        self._put(self.base + start, ACK | PSH, self.content[start:end])
        self.highest = max(self.highest, end)
        self._take()

    def has_room(self, end, seconds=0.5):
        """Whether the receiver's window reaches so far by then."""
        return self._wait_quietly(lambda: end <= self.room, Deadline(seconds))

    def has_acked(self, end, seconds=0.5):
        return self._wait_quietly(lambda: end <= self.acked, Deadline(seconds))

    def flush(self, end=None):
        """Until everything up to `end` is acknowledged; holes and what is lost are sent again."""
        end = self.highest if end is None else end
        deadline = Deadline(TIMEOUT)
        while self.acked < end and not self.was_reset:
            before = self.acked
            self._wait_quietly(lambda: self.acked >= end, Deadline(REPEAT))
            if self.acked == before:
                self.send(before, min(before + CHUNK, end))
            if deadline.passed():
                raise TimeoutReached(f"{self.acked} of {end} bytes acknowledged in time")

    def finish(self):
        """FIN after the last byte, once all of them are acknowledged."""
        self.flush(len(self.content))
        if not self.was_reset:
            self.finished = True
            self._put(self.base + len(self.content), FIN | ACK)
            self._wait(lambda: self.acked > len(self.content), "acknowledgement of the FIN")

    def reset(self):
        self._put(self.base + self.acked, RST | ACK)

    # -- in

    def wait_end(self):
        """Until their FIN or RST."""
        self._wait(lambda: self.ended, "end of their stream")

    def _wait(self, condition, what):
        """Until condition() or a reset."""
        if not self._wait_quietly(condition, Deadline(TIMEOUT)):
            raise TimeoutReached(f"not in time: {what} (acked {self.acked}, room {self.room}, "
                                 f"sent {self.highest}, received {len(self.received)})")

    def _wait_quietly(self, condition, deadline):
        while not condition() and not self.was_reset:
            packet = read_packet(self.tun, deadline)
            if packet is None:
                return False
            self._handle(Segment(packet))
        return True

    def _take(self):
        """Handles what is there."""
        while packet := self.tun.read(MTU):
            self._handle(Segment(packet))

    def _handle(self, seg):
        if seg.flags is None or (seg.target, seg.source) != (self.source[1], self.target[1]):
            return
        if seg.flags & RST:
            self.was_reset = True
            return
        if seg.flags & SYN:
            self.their_next = seg.seq + 1 & SEQ_MASK
            self.established = True
        if seg.flags & ACK:
            ack = self.acked + distance(seg.ack, self.base + self.acked & SEQ_MASK)
            self.acked = max(self.acked, ack)
            self.room = max(self.room, ack + seg.window)
        self._handle_payload(seg)

    def _handle_payload(self, seg):
        size = len(seg.payload) + bool(seg.flags & FIN)
        if size == 0 and not seg.flags & SYN:
            return
        if seg.seq == self.their_next:
            self.received += seg.payload
            self.ended = self.ended or bool(seg.flags & FIN)
            self.their_next = seg.seq + size & SEQ_MASK
        self._put(self.base + self.highest + self.finished, ACK)
