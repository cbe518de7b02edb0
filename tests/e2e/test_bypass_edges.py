# SPDX-License-Identifier: GPL-2.0-or-later
"""Joined applications where it ends badly: what is lost is told."""

import select
import socket

from lib.joined import notice, ready


def rest(sock):
    """What can be read yet: how many bytes, and how it ends."""
    got = 0
    while ready(sock, select.POLLIN):
        try:
            part = sock.recv(65536)
        except ConnectionResetError:
            return got, "reset"
        if not part:
            return got, "eof"
        got += len(part)
    raise AssertionError(f"no end after {got} bytes")


# ---- the daemon dies ----------------------------------------------------------------------------

def killed_with_bytes_unread(both):
    """What was sent stays readable: an end, and no byte of it is missing; or it is a reset."""
    sent = 0
    for _ in range(20):
        sent += both.a.send(b"k" * 50_000)
    both.daemon.kill()
    assert ready(both.b, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    got, end = rest(both.b)
    both.env.note(f"{got} of {sent} bytes, then {end}")
    assert end == "reset" or got == sent, (got, sent, end)


def closed_after_all(both):
    """The sockets of a session that ends as it should are closed as ever: both see an end."""
    both.a.send(b"last words")
    both.a.shutdown(socket.SHUT_WR)
    assert rest(both.b) == (10, "eof")
    both.b.send(b"goodbye")
    both.b.close()
    assert rest(both.a) == (7, "eof")
    both.daemon.wait_sessions(0)
    assert both.daemon.access_log()[-1]["end"] == "done"


test_killed_with_bytes_unread = notice(killed_with_bytes_unread, core=True)
test_closed_after_all = notice(closed_after_all)
