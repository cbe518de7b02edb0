# SPDX-License-Identifier: GPL-2.0-or-later
"""Sending so that the receiver sees the pieces one by one."""

import socket
import struct
import time

from .wait import Deadline

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLMSG_ERROR = 4, 20, 2
NETLINK_HEADER = struct.Struct("=LHHLL")
PATIENCE = 0.5      # for who does not read what was sent: then the next piece follows all the same
UNKNOWN = 0.003     # where the kernel does not tell


def _packed(sockaddr, family):
    return socket.inet_pton(family, sockaddr[0].partition("%")[0]).ljust(16, b"\0")


def unread(local, remote, family):
    """How many bytes wait in the receive queue of the socket with that local and remote address;
    None if there is none, or the kernel has no answer."""
    ports = struct.pack("!HH", local[1], remote[1])
    identity = ports + _packed(local, family) + _packed(remote, family) + b"\0\0\0\0" + b"\xff" * 8
    body = struct.pack("=BBBxL", family, socket.IPPROTO_TCP, 0, 0xFFFFFFFF) + identity
    size = NETLINK_HEADER.size + len(body)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(1)
        netlink.sendto(NETLINK_HEADER.pack(size, SOCK_DIAG_BY_FAMILY, 1, 1, 0) + body, (0, 0))
        answer = netlink.recv(8192)
    if NETLINK_HEADER.unpack_from(answer)[1] == NLMSG_ERROR:
        return None
    # struct inet_diag_msg: 4 bytes, the identity, a timer, and then the receive queue
    return struct.unpack_from("=L", answer, NETLINK_HEADER.size + 4 + 48 + 4)[0]


def wait_taken(sock):
    """Until the other side has read all that was sent."""
    if sock.family == socket.AF_UNIX:
        time.sleep(UNKNOWN)
        return
    deadline = Deadline(PATIENCE)
    try:
        ends = sock.getpeername(), sock.getsockname(), sock.family
    except OSError:     # reset meanwhile: what reads next will tell
        return
    while (left := unread(*ends)) and not deadline.passed():
        time.sleep(0.0002)
    if left is None:
        time.sleep(UNKNOWN)


def send_in_pieces(sock, *pieces):
    """Each piece is read before the next is sent, so that it is alone in its segments."""
    for piece in pieces:
        if piece:
            sock.sendall(piece)
            wait_taken(sock)


def splits(data, step=1):
    """All ways to cut data in two, `step` bytes apart."""
    for at in range(1, len(data), step):
        yield at, (data[:at], data[at:])
