# SPDX-License-Identifier: GPL-2.0-or-later
"""Joined applications where it ends badly: what is lost is told."""

import select
import signal
import socket
import sys
import threading

from lib import case, programs, wait_until
from lib.bypassed import SERVE, echo_server
from lib.joined import ending, notice, ready, receive


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


# ---- it drains ----------------------------------------------------------------------------------

def says_all(both):
    """A joined session goes on, and ends as its peers end it: what each has sent last is read when
    the sender has gone."""
    both.check_direct()
    for source, target in ((both.a, both.b), (both.b, both.a)):
        assert source.send(b"l" * 100_000) == 100_000
        assert receive(target, 50_000) == b"l" * 50_000
    both.a.shutdown(socket.SHUT_WR)
    assert receive(both.b, 50_000) == b"l" * 50_000 and ending(both.b) == "eof"
    assert both.b.send(b"goodbye") == 7
    both.b.close()
    assert receive(both.a, 50_007) == b"l" * 50_000 + b"goodbye" and ending(both.a) == "eof"


def ended(both):
    """How the session ended, and whether all of it had gone directly."""
    line = both.daemon.wait_access()[-1]
    return line["end"], line["bypass"]


def server_drained(both):
    """`splicectl drain`: it is for new sessions."""
    both.daemon.control("drain", "main/a")
    assert both.daemon.server("a")["state"] == "drain"
    says_all(both)
    both.daemon.wait_sessions(0)
    assert ended(both) == ("done", "yes")
    assert both.daemon.server("a")["sessions_active"] == 0


def told_to_end(both):
    """SIGTERM: the daemon waits for it, and no longer."""
    both.daemon.signal(signal.SIGTERM)
    wait_until(lambda: both.daemon.status()["draining"], 10, "it drains")
    says_all(both)
    assert both.daemon.wait_exit(20) == 0
    assert ended(both) == ("done", "yes")


def told_to_end_while_one_waits(both):
    """The time is over for a sender that has to wait: its reader has all of it, and both an end."""
    sent = both.fill()
    both.daemon.signal(signal.SIGTERM)
    wait_until(lambda: "shutdown_grace is over: ending 1 sessions" in both.daemon.log_tail(), 20,
               "the end")
    assert receive(both.b, sent) == b"f" * sent
    for sock in (both.a, both.b):
        assert rest(sock) == (0, "reset")
    assert both.daemon.wait_exit(20) == 0
    assert ended(both)[0] == "shutdown"


def told_to_end_while_one_sleeps(both):
    """No reader keeps the daemon, and no sender waits for one that will not read."""
    both.fill()
    both.daemon.signal(signal.SIGTERM)
    assert both.daemon.wait_exit(20) == 0
    assert rest(both.a) == (0, "reset")
    assert ended(both)[0] == "shutdown"


test_server_drained = notice(server_drained)
test_told_to_end = notice(told_to_end, shutdown_grace="120s")
test_told_to_end_while_one_waits = notice(told_to_end_while_one_waits, shutdown_grace="100ms")
test_told_to_end_while_one_sleeps = notice(told_to_end_while_one_sleeps, shutdown_grace="100ms")


# ---- sockets that block -------------------------------------------------------------------------

def blocks_again(both):
    """O_NONBLOCK is taken back: the ways are left when the daemon looks, here for a sender that has
    to wait, and recv() is TCP's."""
    both.b.setblocking(True)
    sent = both.fill()
    assert receive(both.b, sent) == b"f" * sent

    def are_left():
        both.exchange()
        return both.left() == {"blocking"}
    wait_until(are_left, 10, "the ways are left")
    both.exchange()
    both.a.send(b"1" * 500)
    later = threading.Timer(0.2, both.a.send, (b"2" * 500,))
    later.start()
    assert both.b.recv(1000, socket.MSG_WAITALL) == b"1" * 500 + b"2" * 500
    later.join()


test_blocks_again = notice(blocks_again)


# Blocks from its connect() on: the end of what it sends wakes it, and nothing is there yet.
ASKS = """
import socket, sys
for i in range(int(sys.argv[3])):
    with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as s:
        s.sendall(b"question")
        s.shutdown(socket.SHUT_WR)
        got = s.recv(6, socket.MSG_WAITALL)
        assert got == b"answer", got
print("done")
"""
ANSWERS = f"""
import asyncio, sys
async def serve(reader, writer):
    await reader.read()
    await asyncio.sleep(0.05)
    writer.write(b"answer")
    writer.close()
{SERVE}"""


@case(engines=("kernel",))
def test_a_blocking_client_of_another_network(env):
    """Where the daemon cannot look for a socket later, one that blocks is left alone from the
    beginning."""
    cgroup, network = env.cgroup(), env.network(joined=True)
    address, _ = echo_server(env, cgroup, network.backend_address(), program=ANSWERS,
                             at=network.backend.command())
    daemon = network.spliced(address, spliced={"bypass_cgroup": cgroup.path},
                             listener={"local_bypass": "both"})
    host, port = daemon.address().rsplit(":", 1)
    done = programs.run(*cgroup.prefix(), *network.client.command(), sys.executable, "-c", ASKS,
                        host, port, 20)
    assert done.stdout == "done\n", done
    daemon.wait_sessions(0)
    assert daemon.stats()["sessions_bypass"] == 0, daemon.stats()
