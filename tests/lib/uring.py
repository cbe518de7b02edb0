# SPDX-License-Identifier: GPL-2.0-or-later
"""io_uring, as much as a test of sockets needs: one operation at a time, and its result."""

import ctypes
import errno
import mmap
import os
import struct

SETUP, ENTER = 425, 426     # the numbers of the system calls, the same on every architecture
GETEVENTS = 1
OFF_SQ_RING, OFF_CQ_RING, OFF_SQES = 0, 0x8000000, 0x10000000
POLL_ADD, SEND, RECV, SEND_ZC = 6, 26, 27, 47
MORE, NOTIFICATION = 1 << 1, 1 << 3     # of a completion's flags
SQE, CQE = struct.Struct("=BBHiQQIIQ24x"), struct.Struct("=QiI")

libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    result = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Ring:
    """A ring of its own. OSError where the kernel has or allows none."""

    def __init__(self, entries=8):
        params = bytearray(120)
        self.fd = call(SETUP, entries, (ctypes.c_char * 120).from_buffer(params))
        sq_entries, cq_entries = struct.unpack_from("=II", params)
        _, self.sq_tail, self.sq_mask, _, _, _, self.sq_array = struct.unpack_from("=7I", params, 40)
        self.cq_head, self.cq_tail, self.cq_mask, _, _, self.cqes = \
            struct.unpack_from("=6I", params, 80)
        self.sq = self.map(OFF_SQ_RING, self.sq_array + 4 * sq_entries)
        self.cq = self.map(OFF_CQ_RING, self.cqes + CQE.size * cq_entries)
        self.requests = self.map(OFF_SQES, SQE.size * sq_entries)
        self.kept = {}      # buffers of what is under way, by user_data
        self.number = 0

    def map(self, offset, size):
        return mmap.mmap(self.fd, size, mmap.MAP_SHARED | mmap.MAP_POPULATE, offset=offset)

    @staticmethod
    def word(ring, offset):
        return struct.unpack_from("=I", ring, offset)[0]

    def submit(self, opcode, sock, buffer=None, flags=0):
        """Hands an operation over; what names it."""
        self.number += 1
        at = self.word(self.sq, self.sq_tail)
        index = at & self.word(self.sq, self.sq_mask)
        address = ctypes.addressof(buffer) if buffer is not None else 0
        SQE.pack_into(self.requests, SQE.size * index, opcode, 0, 0, sock.fileno(), 0, address,
                      ctypes.sizeof(buffer) if buffer is not None else 0, flags, self.number)
        struct.pack_into("=I", self.sq, self.sq_array + 4 * index, index)
        self.kept[self.number] = buffer
        struct.pack_into("=I", self.sq, self.sq_tail, at + 1)
        call(ENTER, self.fd, 1, 0, 0, None, 0)
        return self.number

    def complete(self, wait=True):
        """(name, result, flags) of what is over; None if nothing is and it is not to be waited for."""
        head = self.word(self.cq, self.cq_head)
        if head == self.word(self.cq, self.cq_tail):
            if not wait:
                return None
            call(ENTER, self.fd, 0, 1, GETEVENTS, None, 0)
        at = self.cqes + CQE.size * (head & self.word(self.cq, self.cq_mask))
        done = CQE.unpack_from(self.cq, at)
        struct.pack_into("=I", self.cq, self.cq_head, head + 1)
        if not done[2] & MORE:
            del self.kept[done[0]]
        return done

    def do(self, opcode, sock, buffer=None, flags=0):
        """An operation's result, when all that tells of it has come; an OSError for a negative one."""
        name, result = self.submit(opcode, sock, buffer, flags), None
        while name in self.kept:
            _, number, told = self.complete()
            if not told & NOTIFICATION:
                result = number
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    def poll(self, sock, events):
        return self.do(POLL_ADD, sock, flags=events)

    def send(self, sock, data, opcode=SEND):
        """Sends all of it. A socket without O_NONBLOCK is waited for by the kernel."""
        sent = 0
        while sent < len(data):
            part = (ctypes.c_char * (len(data) - sent)).from_buffer_copy(data[sent:])
            try:
                sent += self.do(opcode, sock, part)
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise
                self.poll(sock, 4)      # POLLOUT

    def recv(self, sock, size):
        """What comes first of at most that many bytes."""
        buffer = (ctypes.c_char * size)()
        while True:
            try:
                number = self.do(RECV, sock, buffer)
                return buffer.raw[:number]
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise
                self.poll(sock, 1)      # POLLIN

    def close(self):
        for mapped in (self.sq, self.cq, self.requests):
            mapped.close()
        os.close(self.fd)
