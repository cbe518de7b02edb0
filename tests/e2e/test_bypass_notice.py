# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program can notice of the bypass, row by row of the table in operations.md: it is as with
TCP, or the way is left, or it is what the table says."""

import array
import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

from lib import case, programs, wait_until
from lib.cgroup import TcpLimit, limit_memory, memory_events
from lib.joined import EVENT_TIME, Joined, ending, joined, notice, plain, ready, receive

MSG_ZEROCOPY = 0x4000000
SO_ZEROCOPY, SO_TIMESTAMP, SO_TIMESTAMPING = 60, 29, 37
SENT, ACKNOWLEDGED, SOFTWARE, WITHOUT_DATA = 1 << 1, 1 << 9, 1 << 4, 1 << 11    # SOF_TIMESTAMPING_*
TCP_ZEROCOPY_RECEIVE = 35
SIOCOUTQ = termios.TIOCOUTQ
TCP_ULP, SOL_TLS, TLS_TX, TLS_RX = 31, 282, 1, 2
TCP_NOTSENT_LOWAT = 25
# ---- as with TCP: waiting -----------------------------------------------------------------------

def level(both):
    """Readable until all is read; writable but for the time in which it waits."""
    with select.epoll() as epoll:
        epoll.register(both.b, select.EPOLLIN)
        assert not epoll.poll(0)
        both.a.send(b"l" * 1000)
        for left in range(1000, 0, -100):
            assert epoll.poll(EVENT_TIME), left
            assert len(both.b.recv(100)) == 100
        assert not epoll.poll(0)
        epoll.register(both.a, select.EPOLLOUT)
        assert epoll.poll(0) == [(both.a.fileno(), select.EPOLLOUT)]
        sent = both.fill()
        assert both.a.fileno() not in dict(epoll.poll(0))
        receive(both.b, sent)
        assert dict(epoll.poll(EVENT_TIME)) == {both.a.fileno(): select.EPOLLOUT}
    both.check_direct()


@case(engines=("kernel",), timeout=90, core=True)
def test_large_writes(env):
    """Messages with as many pieces as there can be: who has to wait goes on once there is room."""
    data, times = os.urandom(4 << 20), []
    with joined(env, bypass_high="256K", bypass_low="64K") as both:
        for _ in range(6):
            sent = 0
            while ready(both.a, select.POLLOUT, 0.3):
                with contextlib.suppress(BlockingIOError):
                    sent += both.a.send(data[sent:])
            assert 0 < sent < len(data), "it did not have to wait"
            assert receive(both.b, sent) == data[:sent]
            began = time.monotonic()
            assert ready(both.a, select.POLLOUT), "there is no room"
            times.append(time.monotonic() - began)
        both.check_direct()
    assert min(times) < 0.1, times


@case(engines=("kernel",), timeout=90)
def test_corked(env):
    """It goes by TCP once it has to wait."""
    data, got, sent = os.urandom(4 << 20), b"", 0
    with joined(env, bypass_high="256K", bypass_low="64K") as both:
        both.a.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        while sent < len(data):
            while sent < len(data) and ready(both.a, select.POLLOUT, 0.3):
                with contextlib.suppress(BlockingIOError):
                    sent += both.a.send(data[sent:sent + 50000])
            got += receive(both.b, max(0, sent - len(got) - 100000))
        both.a.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        got += receive(both.b, len(data) - len(got))
        assert got == data
        assert both.left() == {"segments"}, both.left()


@case(engines=("kernel",), timeout=90, core=True)
def test_more(env):
    """MSG_MORE: it waits for a timer of TCP's a few times, and goes by TCP from then on."""
    data, got, times = os.urandom(4 << 20), b"", []
    with joined(env, bypass_high="256K", bypass_low="64K") as both:
        for at in range(0, len(data), 512 << 10):
            part, sent = data[at:at + (512 << 10)], 0
            while sent < len(part):
                with contextlib.suppress(BlockingIOError):
                    sent += both.a.send(part[sent:sent + 50000], socket.MSG_MORE)
                    continue
                got += receive(both.b, max(0, at + sent - len(got) - 1000))
                began = time.monotonic()
                assert ready(both.a, select.POLLOUT), "there is no room"
                times.append(time.monotonic() - began)
        both.a.send(b"end")
        got += receive(both.b, len(data) + 3 - len(got))
        assert got == data + b"end"
        assert both.left() == {"segments"}, (both.left(), times)
    assert len([seconds for seconds in times if seconds > 0.1]) < 5, times


def edge(both):
    """An event for what comes, one only, and one when there is room again."""
    with select.epoll() as epoll:
        epoll.register(both.b, select.EPOLLIN | select.EPOLLET)
        epoll.poll(0)
        for _ in range(100):
            both.a.send(b"l" * 1000)
            assert epoll.poll(EVENT_TIME) == [(both.b.fileno(), select.EPOLLIN)]
            assert not epoll.poll(0)
            receive(both.b, 1000)
        epoll.register(both.a, select.EPOLLOUT | select.EPOLLET)
        epoll.poll(0)
        sent = both.fill()
        epoll.poll(0)
        receive(both.b, sent)
        assert both.a.fileno() in dict(epoll.poll(EVENT_TIME))
    both.check_direct()


def poll_and_select(both):
    assert not ready(both.b, select.POLLIN, 0) and not select.select([both.b], [], [], 0)[0]
    both.a.send(b"p")
    assert ready(both.b, select.POLLIN) and select.select([both.b], [], [], EVENT_TIME)[0]
    assert both.b.recv(10) == b"p"
    assert not ready(both.b, select.POLLIN, 0)
    began = time.monotonic()
    assert not select.select([both.b], [], [], 0.2)[0] and time.monotonic() - began >= 0.19
    both.check_direct()


def hang_up(both):
    """EPOLLRDHUP, and EPOLLHUP when both directions are over."""
    events = select.POLLIN | select.POLLRDHUP
    both.a.shutdown(socket.SHUT_WR)
    assert ready(both.b, select.POLLRDHUP)
    poll = select.poll()
    poll.register(both.b, events)
    assert poll.poll(0) == [(both.b.fileno(), events)]
    assert both.b.recv(10) == b""
    both.b.shutdown(socket.SHUT_WR)
    assert ready(both.b, select.POLLHUP)


test_epoll_level = notice(level, core=True)
test_epoll_edge = notice(edge, core=True)
test_poll_and_select = notice(poll_and_select)
test_hang_up = notice(hang_up)


# ---- as with TCP: reading -----------------------------------------------------------------------

def peek(both):
    """Of several messages, and again and again."""
    both.a.send(b"abc")
    both.a.send(b"defgh")
    for size in (1, 3, 4, 8, 100):
        assert both.b.recv(size, socket.MSG_PEEK) == b"abcdefgh"[:size]
    assert both.b.recv(2) == b"ab" and both.b.recv(100, socket.MSG_PEEK) == b"cdefgh"
    assert both.b.recv(100) == b"cdefgh"
    both.check_direct()


def scattered(both):
    """readv(), recvmsg() with several buffers."""
    both.a.send(bytes(range(100)))
    parts = [bytearray(30), bytearray(50)]
    assert both.b.recvmsg_into(parts)[0] == 80
    assert b"".join(parts) == bytes(range(80))
    parts = [bytearray(7), bytearray(100)]
    assert os.readv(both.b.fileno(), parts) == 20
    assert (b"".join(parts))[:20] == bytes(range(80, 100))
    both.check_direct()


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


class Msghdr(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_uint32),
                ("iov", ctypes.POINTER(Iovec)), ("iovlen", ctypes.c_size_t),
                ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
                ("flags", ctypes.c_int)]


class Mmsghdr(ctypes.Structure):
    _fields_ = [("header", Msghdr), ("len", ctypes.c_uint)]


def many_messages(sock, number, size):
    """What recvmmsg() gives: a list."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffers = [ctypes.create_string_buffer(size) for _ in range(number)]
    iovs = [Iovec(ctypes.cast(buffer, ctypes.c_void_p), size) for buffer in buffers]
    messages = (Mmsghdr * number)(*(Mmsghdr(Msghdr(iov=ctypes.pointer(iov), iovlen=1))
                                    for iov in iovs))
    n = libc.recvmmsg(sock.fileno(), messages, number, socket.MSG_DONTWAIT, None)
    assert n >= 0, os.strerror(ctypes.get_errno())
    return [buffers[i].raw[:messages[i].len] for i in range(n)]


def recvmmsg(both):
    """There are no messages in a stream: as much as there is, over the buffers."""
    both.a.send(b"r" * 100)
    both.a.send(b"s" * 50)
    got = many_messages(both.b, 4, 60)
    assert got == [b"r" * 60, b"r" * 40 + b"s" * 20, b"s" * 30], got
    both.check_direct()


def nothing_there(both):
    for flags in (0, socket.MSG_DONTWAIT, socket.MSG_PEEK, socket.MSG_WAITALL):
        try:
            raise AssertionError(both.b.recv(10, flags))
        except BlockingIOError as error:
            assert error.errno == errno.EAGAIN
    both.check_direct()


def timeout(both):
    """Python's: the socket does not block, and poll() waits."""
    both.b.settimeout(0.2)
    began = time.monotonic()
    try:
        raise AssertionError(both.b.recv(10))
    except TimeoutError:
        assert time.monotonic() - began >= 0.19
    both.a.send(b"t")
    assert both.b.recv(10) == b"t"
    both.check_direct()


test_peek = notice(peek)
test_scattered = notice(scattered)
test_recvmmsg = notice(recvmmsg)
test_nothing_there = notice(nothing_there)
test_timeout = notice(timeout)


# ---- as with TCP: writing -----------------------------------------------------------------------

def sendfile(both):
    path = both.env.tmp / "file"
    path.write_bytes(os.urandom(300_000))
    with open(path, "rb") as file:
        at = 0
        while at < 300_000:
            n = os.sendfile(both.a.fileno(), file.fileno(), at, 300_000 - at)
            assert receive(both.b, n) == path.read_bytes()[at:at + n]
            at += n
    both.check_direct()


def splice_writer(both):
    """From a pipe."""
    data = os.urandom(50_000)
    source, target = os.pipe()
    try:
        assert os.write(target, data) == len(data)
        left = len(data)
        while left:
            left -= os.splice(source, both.a.fileno(), left)
    finally:
        os.close(source)
        os.close(target)
    assert receive(both.b, len(data)) == data
    both.check_direct()


def gathered(both):
    """writev(), sendmsg()."""
    assert os.writev(both.a.fileno(), [b"one", b"two"]) == 6
    assert both.a.sendmsg([b"three", b"four"]) == 9
    assert receive(both.b, 15) == b"onetwothreefour"
    both.check_direct()


test_sendfile = notice(sendfile)
test_splice_writer = notice(splice_writer)
test_gathered = notice(gathered)


# ---- as with TCP: ends --------------------------------------------------------------------------

def half_close(both):
    """What was sent before is read before it, and the other direction goes on."""
    both.a.send(b"last")
    both.a.shutdown(socket.SHUT_WR)
    assert receive(both.b, 4) == b"last" and ending(both.b) == "eof"
    for _ in range(10):
        both.b.send(b"x" * 1000)
        assert receive(both.a, 1000) == b"x" * 1000
    both.b.close()
    assert ending(both.a) == "eof"


def linger(both):
    """SO_LINGER with a time: all is delivered."""
    both.a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
    both.a.send(b"l" * 100_000)
    closing = threading.Thread(target=both.a.close)
    closing.start()
    assert receive(both.b, 100_000) == b"l" * 100_000 and ending(both.b) == "eof"
    closing.join(EVENT_TIME)
    assert not closing.is_alive()


def linger_zero(both):
    """A reset, behind what was sent before."""
    both.a.send(b"l" * 1000)
    both.a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    both.a.close()
    assert receive(both.b, 1000) == b"l" * 1000 and ending(both.b) == "reset"


def deaf(both):
    """shutdown(SHUT_RD) of a receiver: the way to it is left, and its sender is not told."""
    both.b.shutdown(socket.SHUT_RD)
    both.a.send(b"unheard")
    wait_until(lambda: both.left() == {"target_gone"}, 10, "the way is left")
    both.b.send(b"heard")
    assert receive(both.a, 5) == b"heard"


test_half_close = notice(half_close, core=True)
test_linger = notice(linger)
test_linger_zero = notice(linger_zero)
test_deaf = notice(deaf)


def closed_unread(a, b):
    a.close()
    return ending(b)


def shut_unread(a, b):
    """Both ways at once, which is no close."""
    a.shutdown(socket.SHUT_RDWR)
    return ending(b)


def shut_and_closed_unread(a, b):
    a.shutdown(socket.SHUT_RDWR)
    a.close()
    return ending(b)


def unread_test(end, expected, before=None):
    """A socket is closed with bytes that it has not read: its peer is told what TCP tells it."""
    def test(both):
        if before:
            before(both)
        for a, b in (plain(), (both.a, both.b)):
            b.send(b"u" * 1000)
            assert ready(a, select.POLLIN)
            assert end(a, b) == expected
            b.close()
    return notice(test)


def is_told(sock):
    """That it was reset, with what it sends."""
    try:
        sock.send(b"more")
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


def told_when_it_sends(both):
    """Of a socket that was closed with unread bytes after its end: with what the peer sends next."""
    for a, b in (plain(), (both.a, both.b)):
        b.send(b"u" * 1000)
        assert ready(a, select.POLLIN)
        assert shut_and_closed_unread(a, b) == "eof"
        wait_until(lambda sock=b: is_told(sock), 10, "it is told")
        b.close()


def closed_when_all_is_read(both):
    """A receiver that has read all: its peer is told an end, and a reset with what it sends then."""
    for a, b in (plain(), (both.a, both.b)):
        a.send(b"all")
        assert receive(b, 3) == b"all"
        b.close()
        assert ending(a) == "eof"
        wait_until(lambda sock=a: is_told(sock), 10, "it is told")
        a.close()


test_told_when_it_sends = notice(told_when_it_sends)
test_closed_when_all_is_read = notice(closed_when_all_is_read)
test_closed_unread = unread_test(closed_unread, "reset")
test_shut_unread = unread_test(shut_unread, "eof")
test_shut_and_closed_unread = unread_test(shut_and_closed_unread, "eof")


def leave_one_way(both):
    """That of what a sends."""
    both.a.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1 << 20)
    both.exchange()
    wait_until(lambda: both.left() == {"own_lowat"}, 10, "the way is left")


test_closed_unread_on_one_way = unread_test(closed_unread, "reset", leave_one_way)


def last_words(both, end):
    """A process that has the only descriptor of a sends, and then is no more, however."""
    child = os.fork()
    if not child:
        both.b.close()
        both.a.send(b"w" * 100_000)
        end()
    both.a.close()
    os.waitpid(child, 0)
    assert receive(both.b, 100_000) == b"w" * 100_000 and ending(both.b) == "eof"


def exit_after_send(both):
    last_words(both, lambda: os._exit(0))


def killed_after_send(both):
    last_words(both, lambda: os.kill(os.getpid(), signal.SIGKILL))


test_exit_after_send = notice(exit_after_send, core=True)
test_killed_after_send = notice(killed_after_send)


# ---- as with TCP: descriptors -------------------------------------------------------------------

def dup(both):
    """It ends with its last descriptor."""
    other = both.a.dup()
    both.a.send(b"one")
    both.a.close()
    other.send(b"two")
    assert receive(both.b, 6) == b"onetwo" and not ready(both.b, select.POLLIN, 0.2)
    both.a = other
    both.check_direct()


def fork(both):
    """Two processes with one socket."""
    child = os.fork()
    if not child:
        for _ in range(100):
            both.a.send(b"c" * 10)
        os._exit(0)
    for _ in range(100):
        both.a.send(b"p" * 10)
    os.waitpid(child, 0)
    got = receive(both.b, 2000)
    assert got.count(b"c" * 10) == got.count(b"p" * 10) == 100
    both.check_direct()


def execute(both):
    """Another program has it, outside the cgroup."""
    program = "import os, sys; os.write(1, b'x' * 1000); os.write(1, os.read(0, 10))"
    both.b.send(b"in")
    done = subprocess.run([sys.executable, "-c", program], stdin=both.a, stdout=both.a, check=True,
                          timeout=EVENT_TIME)
    assert done.returncode == 0
    assert receive(both.b, 1002) == b"x" * 1000 + b"in"
    both.check_direct()


def passed_on(both):
    """By SCM_RIGHTS, and the sender closes its own."""
    here, there = socket.socketpair()
    with here, there:
        socket.send_fds(here, [b"-"], [both.a.fileno()])
        both.a.close()
        _, fds, _, _ = socket.recv_fds(there, 10, 1)
    both.a = socket.socket(fileno=fds[0])
    both.check_direct()


test_dup = notice(dup)
test_fork = notice(fork)
test_execute = notice(execute)
test_passed_on = notice(passed_on)


# ---- the way is left ----------------------------------------------------------------------------

def zerocopy(both):
    """From SO_ZEROCOPY on that way is TCP's, and so are the completions."""
    both.a.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    data = os.urandom(100_000)
    sent = both.a.send(data, MSG_ZEROCOPY)
    assert receive(both.b, sent) == data[:sent]
    wait_until(lambda: both.left() == {"zerocopy"}, 10, "the way is left")
    sent = both.a.send(data, MSG_ZEROCOPY)
    assert receive(both.b, sent) == data[:sent]
    assert ready(both.a, select.POLLERR)
    _, control, _, _ = both.a.recvmsg(100, 1000, socket.MSG_ERRQUEUE)
    assert control, "no completion"


def begin_tls(both, *socks):
    for sock in socks:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
        except OSError as error:
            both.env.skip(f"the kernel has no TLS: {error}")


def tls(both):
    """kTLS of a socket: neither of its ways is bypassed from then on."""
    begin_tls(both, both.a)
    both.a.send(b"plain")
    assert receive(both.b, 5) == b"plain"
    both.b.send(b"plain")
    assert receive(both.a, 5) == b"plain"
    wait_until(lambda: both.left() == {"ktls"}, 10, "the ways are left")


def set_keys(both):
    """The kernel encrypts from now on, in both directions; or it refuses that, for a socket that is
    joined still."""
    for source, target in ((both.a, both.b), (both.b, both.a)):
        key = struct.pack("HH8s16s4s8s", 0x0303, 51, *map(os.urandom, (8, 16, 4)), bytes(8))
        try:
            source.setsockopt(SOL_TLS, TLS_TX, key)
        except OSError as error:
            assert (error.errno, source) == (errno.EINVAL, both.a), error
            return False
        target.setsockopt(SOL_TLS, TLS_RX, key)
    return True


def tls_with_keys(both):
    """Once the kernel takes keys, what it encrypts on one side it decrypts on the other."""
    begin_tls(both, both.a, both.b)
    if set_keys(both):
        both.env.note("keys while they are joined")
    else:
        both.exchange()
        wait_until(lambda: set_keys(both), 10, "keys are taken")
    bypassed = both.daemon.stats()["bytes_bypassed"]
    for source, target in ((both.a, both.b), (both.b, both.a)):
        for size in (1, 100, 16384, 100_000):
            data, sent = os.urandom(size), 0
            while sent < size:
                assert ready(source, select.POLLOUT)
                n = source.send(data[sent:])
                assert receive(target, n) == data[sent:sent + n]
                sent += n
    assert both.left() == {"ktls"}, both.left()
    assert both.daemon.stats()["bytes_bypassed"] == bypassed
    both.a.shutdown(socket.SHUT_WR)
    assert ending(both.b) == "eof"


def own_low_mark(both):
    """A TCP_NOTSENT_LOWAT that no token fills; below that it is no matter."""
    both.a.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16 << 10)
    both.check_direct()
    both.check_direct()
    both.a.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1 << 20)
    both.exchange()
    wait_until(lambda: both.left() == {"own_lowat"}, 10, "the way is left")
    both.exchange()


test_zerocopy = notice(zerocopy)
test_tls = notice(tls, core=True)
test_tls_with_keys = notice(tls_with_keys, core=True)
test_own_low_mark = notice(own_low_mark)


# ---- memory is short ----------------------------------------------------------------------------

def refused_test(whose, size):
    """A cgroup whose TCP may have less than what a sleeping reader's queue holds: its sender is told
    to wait, as by TCP, and not that there is no memory."""
    @case(engines=("kernel",))
    def test(env):
        with contextlib.closing(TcpLimit(whose, 1 << 30)) as limit, \
                joined(env, **{whose: limit.inside()}) as both:
            limit.set(size)
            sent = both.fill()
            env.note(f"{sent} bytes, {limit.refusals()} refusals")
            assert both.left() == {"memory"}, both.left()
            assert receive(both.b, sent) == b"f" * sent
            both.exchange()
    return test


test_the_receivers_cgroup_is_full = refused_test("accepting", 2 << 20)
test_the_senders_cgroup_is_full = refused_test("connecting", 256 << 10)


@case(engines=("kernel",))
def test_what_the_daemon_forwards_is_refused(env):
    """When they are joined, the receiver's queue being empty: nobody would ever make room. It comes by
    TCP, and so does what the receiver sends, which is refused memory as well."""
    data = os.urandom(100_000)
    with contextlib.closing(TcpLimit("accepting", 1 << 30)) as limit, \
            joined(env, accepting=limit.inside(), direct=False, engage_after="100ms") as both:
        both.exchange()
        wait_until(lambda: both.daemon.sessions()[0]["age_ms"] > 200, 10, "they may be joined")
        limit.set(limit.used())
        assert both.a.send(data) == len(data)
        assert receive(both.b, len(data)) == data
        wait_until(lambda: both.daemon.stats()["bypass_left"]["memory"] == 2, 10, "both ways are left")
        assert both.daemon.stats()["sessions_bypass"] == 1
        assert both.daemon.sessions()[0]["engine_reason"] == "memory", both.daemon.sessions()
        sent = 0
        while sent < len(data):
            assert ready(both.b, select.POLLOUT)
            n = both.b.send(data[sent:])
            assert receive(both.a, n) == data[sent:sent + n]
            sent += n
        # Nothing is left of the bypass in them.
        for sock in (both.a, both.b):
            assert sock.getsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT) == 0


@case(engines=("kernel",), core=True, debug=False)
def test_memory_max_is_met(env):
    """Of the cgroup of both, of version 2, in which nothing can be given back."""
    cgroup = env.cgroup()
    limit_memory(cgroup, None)
    with joined(env) as both:
        used = int((both.cgroup.path / "memory.current").read_text(encoding="ascii"))
        limit_memory(both.cgroup, used + (2 << 20))
        sent = both.fill()
        env.note(f"{sent} bytes of {used}, {memory_events(both.cgroup)}")
        assert both.left() == {"memory"}, both.left()
        assert receive(both.b, sent) == b"f" * sent
        both.exchange()


@case(engines=("kernel",), core=True)
def test_tcp_memory_is_short(env):
    """The kernel's own word for all of TCP."""
    if not env.vm:
        env.skip("it is the host's")
    limits, number = Path("/proc/sys/net/ipv4/tcp_mem"), 3
    with contextlib.ExitStack() as stack:
        pairs = [stack.enter_context(joined(env)) for _ in range(number)]
        before = limits.read_text(encoding="ascii")
        stack.callback(limits.write_text, before, encoding="ascii")
        limits.write_text("500 1000 100000", encoding="ascii")
        sent = [both.fill() for both in pairs]
        assert any(both.left() == {"memory"} for both in pairs), [both.left() for both in pairs]
        limits.write_text(before, encoding="ascii")
        for both, size in zip(pairs, sent):
            assert receive(both.b, size) == b"f" * size
            both.exchange()


# ---- what is different --------------------------------------------------------------------------

def sooner(both):
    """SO_RCVLOWAT does not hold back what is sent directly; MSG_MORE and TCP_CORK do not either."""
    both.b.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1000)
    both.a.send(b"l")
    assert receive(both.b, 1) == b"l"
    both.a.send(b"m", socket.MSG_MORE)
    assert receive(both.b, 1) == b"m"
    both.a.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    both.a.send(b"c")
    assert receive(both.b, 1) == b"c"
    both.check_direct()


def out_of_band(both):
    """MSG_OOB sends an ordinary byte, in its place."""
    both.a.send(b"12")
    both.a.send(b"3", socket.MSG_OOB)
    both.a.send(b"45")
    assert receive(both.b, 5) == b"12345"
    assert not ready(both.b, select.POLLPRI, 0)
    both.check_direct()


def inquired(sock, request):
    n = array.array("i", [0])
    fcntl.ioctl(sock.fileno(), request, n)
    return n[0]


def bytes_there(both):
    """FIONREAD (SIOCINQ): what is there, or 0, by the kernel; never more."""
    assert inquired(both.b, termios.FIONREAD) == 0
    both.a.send(b"n" * 1000)
    said = inquired(both.b, termios.FIONREAD)
    both.env.note(f"FIONREAD of 1000 bytes: {said}")
    assert said in (0, 1000), said
    receive(both.b, 1000)
    assert inquired(both.b, termios.FIONREAD) == 0
    both.check_direct()


def acknowledged(sock):
    """tcpi_bytes_acked."""
    return struct.unpack_from("Q", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 200), 120)[0]


def bytes_unsent(both):
    """SIOCOUTQ and TCP_INFO tell of TCP: nothing of what goes directly, and tokens."""
    before = acknowledged(both.a)
    both.a.send(b"o" * 100_000)
    assert inquired(both.a, SIOCOUTQ) == 0
    receive(both.b, 100_000)
    assert acknowledged(both.a) == before
    sent = both.fill()
    waiting = inquired(both.a, SIOCOUTQ)
    both.env.note(f"SIOCOUTQ of a sender that waits: {waiting}")
    assert 0 < waiting <= 1 << 20, waiting
    receive(both.b, sent)
    wait_until(lambda: inquired(both.a, SIOCOUTQ) == 0, 10, "nothing waits")
    both.check_direct()


def buffers(both):
    """SO_RCVBUF and SO_SNDBUF are no bounds; bypass_high is."""
    both.b.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    both.a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sent = both.fill()
    assert 4 << 20 <= sent <= 8 << 20, sent
    assert receive(both.b, sent) == b"f" * sent
    both.check_direct()


def no_timestamps(both):
    """Nothing that TCP would tell about a segment comes with it."""
    both.b.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMP, 1)
    both.a.send(b"when")
    assert ready(both.b, select.POLLIN)
    data, control, _, _ = both.b.recvmsg(100, 1000)
    assert (data, control) == (b"when", []), control
    both.check_direct()


def stamps(sock):
    """How many timestamps of what it sent are there."""
    found = 0
    while ready(sock, select.POLLERR, 0.2):
        _, control, _, _ = sock.recvmsg(100, 1000, socket.MSG_ERRQUEUE)
        found += len([kind for _, kind, _ in control if kind == SO_TIMESTAMPING])
    return found


def no_stamps_of_sent(both):
    """TCP says when something was sent and acknowledged: nothing of what goes directly, but what a
    sender is stopped with is its TCP's, too."""
    for a, b in (plain(), (both.a, both.b)):
        a.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING,
                     SENT | ACKNOWLEDGED | SOFTWARE | WITHOUT_DATA)
        for _ in range(10):
            a.send(b"when")
            assert receive(b, 4) == b"when"
        assert (stamps(a) > 0) == (a is not both.a)
        if a is not both.a:
            a.close()
            b.close()
    sent, found = 0, 0
    while ready(both.a, select.POLLOUT, 0.3):
        try:
            sent += both.a.send(b"f" * 50000)
        except BlockingIOError:
            found += stamps(both.a)
    both.env.note(f"{found} of a sender that has to wait")
    assert receive(both.b, sent) == b"f" * sent
    both.check_direct()


class ZerocopyReceive(ctypes.Structure):
    """tcp_zerocopy_receive, as far as every kernel has it."""

    _fields_ = [("address", ctypes.c_uint64), ("length", ctypes.c_uint32),
                ("skip", ctypes.c_uint32)]


def mapped(sock, size):
    """TCP_ZEROCOPY_RECEIVE: how many bytes were mapped, or are to be read otherwise first."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
                          ctypes.c_int, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    at = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, sock.fileno(), 0)
    assert at != ctypes.c_void_p(-1).value, os.strerror(ctypes.get_errno())
    asked = ZerocopyReceive(address=at, length=size)
    length = ctypes.c_uint32(ctypes.sizeof(asked))
    try:
        failed = libc.getsockopt(sock.fileno(), socket.IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE,
                                 ctypes.byref(asked), ctypes.byref(length))
        assert not failed, os.strerror(ctypes.get_errno())
    finally:
        libc.munmap(at, size)
    return asked.length + asked.skip


def zerocopy_reader(both):
    """It finds nothing of what goes directly, which stays there for recv()."""
    for a, b in (plain(), (both.a, both.b)):
        a.send(b"z" * 100)
        assert ready(b, select.POLLIN)
        assert mapped(b, 4 * mmap.PAGESIZE) == (0 if b is both.b else 100)
        assert receive(b, 100) == b"z" * 100
        if b is not both.b:
            a.close()
            b.close()
    both.check_direct()


def not_told_before_it_has_read(both):
    """Who waits for a whole record with MSG_PEEK hears of no end before it has read what there is."""
    both.a.send(b"part")
    both.a.shutdown(socket.SHUT_WR)
    assert not ready(both.b, select.POLLRDHUP, 0.5)
    assert both.b.recv(100, socket.MSG_PEEK) == b"part"
    assert both.b.recv(100) == b"part"
    assert ready(both.b, select.POLLRDHUP) and ending(both.b) == "eof"


def none_behind_what_is_unread(both):
    """What comes behind a way that was left is there when all that went directly has been read."""
    both.a.send(b"part")
    assert ready(both.b, select.POLLIN)
    both.a.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1 << 20)
    both.a.send(b" of it")
    wait_until(lambda: both.left() == {"own_lowat"}, 10, "the way is left")
    both.a.send(b", and the rest")
    there = both.b.recv(100, socket.MSG_PEEK)
    assert there and b"part of it, and the rest".startswith(there) and b"rest" not in there, there
    assert receive(both.b, 24) == b"part of it, and the rest"


def splice_reader(both):
    """splice() from the socket finds nothing of what is there."""
    source, target = os.pipe()
    try:
        both.a.send(b"there")
        assert ready(both.b, select.POLLIN)
        try:
            n = os.splice(both.b.fileno(), target, 100, flags=os.SPLICE_F_NONBLOCK)
            raise AssertionError(f"{n} bytes")
        except BlockingIOError:
            pass
        assert receive(both.b, 5) == b"there"
    finally:
        os.close(source)
        os.close(target)
    both.check_direct()


def truncated(both):
    """MSG_TRUNC, which has TCP throw bytes away, reads them."""
    both.a.send(b"gone")
    assert ready(both.b, select.POLLIN)
    assert len(both.b.recv(4, socket.MSG_TRUNC)) == 4
    both.a.send(b"next")
    assert receive(both.b, 4) == b"next"
    both.check_direct()


test_sooner = notice(sooner)
test_out_of_band = notice(out_of_band)
test_bytes_there = notice(bytes_there, core=True)
test_bytes_unsent = notice(bytes_unsent)
test_buffers = notice(buffers)
test_no_timestamps = notice(no_timestamps)
test_no_stamps_of_sent = notice(no_stamps_of_sent)
test_zerocopy_reader = notice(zerocopy_reader)
test_not_told_before_it_has_read = notice(not_told_before_it_has_read)
test_none_behind_what_is_unread = notice(none_behind_what_is_unread)
test_splice_reader = notice(splice_reader)
test_truncated = notice(truncated)


# ---- sockets that block -------------------------------------------------------------------------

def blocking_reader(both):
    """What it reads is right, though it may come in more pieces: MSG_WAITALL and SO_RCVTIMEO end
    early at times, as do reads with EAGAIN."""
    both.b.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 5, 0))
    data = os.urandom(200_000)

    def send():
        for at in range(0, len(data), 1000):
            both.a.sendall(data[at:at + 1000])

    sender = threading.Thread(target=send)
    sender.start()
    got, short = b"", 0
    deadline = time.monotonic() + EVENT_TIME
    while len(got) < len(data) and time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            part = both.b.recv(min(10_000, len(data) - len(got)), socket.MSG_WAITALL)
            assert part
            short += len(part) < 10_000
            got += part
    sender.join()
    assert got == data
    both.env.note(f"{short} short reads with MSG_WAITALL")


test_blocking_reader = notice(blocking_reader, blocking=True)


@case(engines=("kernel",), debug=False)
def test_blocking_is_left_out(env):
    """Unless it is trusted: and then recv() of a socket that blocks is TCP's."""
    try:
        Joined(env, blocking=True, bypass_trust="nonblocking")
    except AssertionError:
        pass
    stats = env.daemons[-1].stats()
    assert stats["bytes_bypassed"] == 0 and stats["bypass_left"]["blocking"] == 2, stats
