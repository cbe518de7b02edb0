# SPDX-License-Identifier: GPL-2.0-or-later
"""A bulk of small messages leaves the bypass by itself, and nothing else does; and what becomes of a
peer that sends nothing meanwhile."""

import contextlib
import os
import random
import select
import socket
import threading
import time

from lib import case, host, wait_until
from lib.cgroup import TcpLimit
from lib.joined import each_side, ending, joined, ready, receive

# bpf/bypass-send.h
CHECK = 4096    # messages that are looked at together
TIMES = 4       # ... and how often they must be a bulk
CHECK_TIME = 0.2

BATCH = 32_000  # bytes that are on their way at once: nobody has to wait
PATTERN = os.urandom(1 << 20)
SIDES = "both", "client"
TURNS = 20      # sessions in which the other one speaks by chance
TCP_NOTSENT_LOWAT = 25
# Not small any more, beside the kernel's ways.
LARGE = {"both": 4000, "client": 8000}


def put(sock, message):
    """Sends it; one that is not direct may have to wait for that, and be told of a part."""
    while message:
        try:
            message = message[sock.send(message):]
        except BlockingIOError:
            assert ready(sock, select.POLLOUT), "there is no room"


def move(source, target, size, count):
    """So many messages of that size, one way, byte-exact."""
    while count:
        n = min(count, max(1, BATCH // size))
        at = int.from_bytes(os.urandom(2), "little")
        data = PATTERN[at:at + size * n]
        for i in range(n):
            put(source, data[i * size:(i + 1) * size])
        assert receive(target, size * n) == data
        count -= n


def bulk(both, size):
    """Moves messages until the way is left for that. False: the machine is too slow for a bulk."""
    fast, slow = 0, []
    while len(slow) < TIMES + 4:
        began = time.monotonic()
        move(both.a, both.b, size, CHECK)
        if both.left():
            assert both.left() == {"small"}, both.left()
            return True
        took = time.monotonic() - began
        # Two of these may make one of the program's.
        if took < CHECK_TIME / 2:
            fast += 1
        else:
            fast = 0
            slow.append(took)
        assert fast < TIMES + 4, f"{fast} times {CHECK} messages of {size} bytes, and it is not left"
    both.env.note(f"{CHECK} messages take {min(slow):.3f} s and more")
    return False


def goes_on(both, left):
    """As a session that is copied, to its end."""
    for size in (1000, 50_000):
        move(both.a, both.b, size, 20)
        move(both.b, both.a, size, 20)
    both.a.close()
    assert ending(both.b) == "eof"
    both.b.close()
    line = both.daemon.wait_access()[-1]
    assert (line["end"], line["bypass"]) == ("done", "small" if left else "yes"), line


def small_messages(env, side):
    with joined(env, side=side) as both:
        left = bulk(both, 1000)
        if left:
            before = both.daemon.stats()["bytes_bypassed"]
            move(both.a, both.b, 1000, 100)
            assert both.daemon.stats()["bytes_bypassed"] == before
            assert both.daemon.sessions()[0]["engine_reason"] == "small", both.daemon.sessions()
        goes_on(both, left)
        # The other way is left without what it would send next: the sockets are in no map then.
        ways = 2 if side == "both" else 1
        assert both.daemon.stats()["bypass_left"]["small"] == left * ways, both.daemon.stats()


def small_messages_and_large(env, side):
    """What the way is left with is larger than all before, and its receiver reads none of it yet."""
    with joined(env, side=side) as both:
        left = bulk(both, 100)
        sent = both.fill()
        assert receive(both.b, sent) == b"f" * sent
        goes_on(both, left)


def small_requests(env, side):
    """Sixteen are on their way at once, and each is answered."""
    with joined(env, side=side) as both:
        # By plain TCP, of one that is not joined, the second would wait for the first one's ACK.
        both.b.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(CHECK * (TIMES + 2) // 16):
            for source, target in ((both.a, both.b), (both.b, both.a)):
                for _ in range(16):
                    put(source, b"r" * 100)
                assert receive(target, 1600) == b"r" * 1600
        assert not both.left(), both.left()
        both.check_direct()


def large_messages(env, side):
    with joined(env, side=side) as both:
        move(both.a, both.b, LARGE[side], CHECK * (TIMES + 2))
        assert not both.left(), both.left()
        both.check_direct()


def slow_messages(env, side):
    """Small ones, but some thousands a second: each has its reader wait for it."""
    with joined(env, side=side) as both:
        for _ in range(TIMES + 2):
            until = time.monotonic() + 1.5 * CHECK_TIME
            move(both.a, both.b, 100, CHECK)
            while time.monotonic() < until:
                time.sleep(0.01)
        assert not both.left(), both.left()
        both.check_direct()


each_side(small_messages, SIDES, core=SIDES)
each_side(small_messages_and_large, SIDES)
each_side(small_requests, SIDES, core=SIDES)
each_side(large_messages, SIDES)
each_side(slow_messages, SIDES)


# ---- the other one is silent ----------------------------------------------------------------------

def map_of(both):
    """The number of the map that joined sockets are in."""
    number = host.bpf_maps(both.daemon.worker_pid)["joined"]
    assert host.map_entries(number) > 0
    return number


def both_left(both, reason, number):
    wait_until(lambda: both.daemon.stats()["bypass_left"][reason] == 2, 10, "both ways are left")
    wait_until(lambda: host.map_entries(number) == 0, 10, "nobody is in a map")


def is_plain(both):
    """Both speak, to their end; the low mark that stops a source is gone when they have."""
    for size in (1000, 50_000, 1):
        move(both.b, both.a, size, 20)
        move(both.a, both.b, size, 20)
    for sock in (both.a, both.b):
        wait_until(lambda: sock.getsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT) == 0, 10,
                   "there is no low mark")
    goes_on(both, True)


@case(engines=("kernel",), debug=False)
def test_only_one_has_ever_sent(env):
    """Then nothing keeps the sockets in a map: the other way is given up, too."""
    with joined(env, direct=False) as both:
        def is_joined():
            move(both.a, both.b, 1000, 10)
            return both.daemon.stats()["sessions_bypass"]
        wait_until(is_joined, 20, "they are joined")
        number = map_of(both)
        if bulk(both, 1000):
            both_left(both, "small", number)
            goes_on(both, True)


@case(engines=("kernel",), core=True, debug=False)
def test_the_other_one_sends_no_more(env):
    """What it has sent went directly. Its way is left without another send."""
    with joined(env) as both:
        number = map_of(both)
        if bulk(both, 1000):
            both_left(both, "small", number)
            is_plain(both)


@case(engines=("kernel",), debug=False)
def test_the_other_one_was_stopped(env):
    """Its tokens have been read when the first way is left, or only then, or with what follows."""
    for late in (False, True):
        with joined(env) as both:
            number, sent = map_of(both), 0
            while ready(both.b, select.POLLOUT, 0.3):
                with contextlib.suppress(BlockingIOError):
                    sent += both.b.send(PATTERN[:50_000])
            assert both.daemon.stats()["pauses"] > 0
            if not late:
                assert len(receive(both.a, sent)) == sent
            if not bulk(both, 1000):
                return
            if late:
                # Its peer has read nothing, and may read all of it yet.
                assert both.daemon.stats()["bypass_left"]["small"] == 1, both.daemon.stats()
                assert len(receive(both.a, sent)) == sent
            both_left(both, "small", number)
            is_plain(both)


@case(engines=("kernel",), debug=False)
def test_the_other_one_waits_in_its_read(env):
    """As long as it does it may as well be in a send: its way is left when it is in none."""
    with joined(env, blocking=True) as both:
        number, got, stop = map_of(both), [], threading.Event()

        def read():
            while not stop.is_set():
                with contextlib.suppress(BlockingIOError):
                    got.append(both.b.recv(1 << 20))

        reader = threading.Thread(target=read)
        reader.start()
        sent, rounds = [], 0
        while not both.left() and rounds < 40:
            for _ in range(CHECK):
                message = os.urandom(1000)
                both.a.sendall(message)
                sent.append(message)
            rounds += 1
        for message in (b"l" * 50_000, b"last"):
            both.a.sendall(message)
            sent.append(message)
        stop.set()
        both.a.sendall(b"!")
        sent.append(b"!")
        reader.join()
        sent = b"".join(sent)
        got.append(receive(both.b, len(sent) - sum(map(len, got))))
        assert b"".join(got) == sent
        left = both.left()
        if left:
            both_left(both, "small", number)
        both.a.setblocking(False)
        both.b.setblocking(False)
        goes_on(both, bool(left))


@case(engines=("kernel",), timeout=90)
def test_the_other_one_speaks_meanwhile(env):
    """One way is left for want of memory, and the other one speaks at any moment about then."""
    with contextlib.closing(TcpLimit("connecting", 1 << 30)) as limit:
        for i in range(TURNS):
            with joined(env, connecting=limit.inside(), engage_after="1ms") as both:
                speak_meanwhile(both, limit, random.Random(i))
                # A cgroup takes 64 programs of a kind.
                both.daemon.stop()


def speak_meanwhile(both, limit, chance):
    """Messages of b's, of any size, each at a moment by chance."""
    pieces = [os.urandom(chance.choice((1, 100, 5000, 40_000))) for _ in range(chance.randrange(1, 9))]
    begun = threading.Event()

    def speak():
        begun.wait()
        for piece in pieces:
            until = time.monotonic() + chance.random() * 0.002
            while time.monotonic() < until:
                pass
            put(both.b, piece)

    speaker = threading.Thread(target=speak)
    speaker.start()
    limit.set(limit.used())
    begun.set()
    data = os.urandom(50_000)
    put(both.a, data)
    limit.set(1 << 30)
    said = b"".join(pieces)
    assert receive(both.b, len(data)) == data
    assert receive(both.a, len(said)) == said
    speaker.join()
    assert both.left() == {"memory"}, both.left()
    wait_until(lambda: both.daemon.stats()["bypass_left"]["memory"] == 2, 10, "both ways are left")
    for source, target in ((both.a, both.b), (both.b, both.a)):
        move(source, target, 10_000, 20)
    both.a.close()
    assert ending(both.b) == "eof"
    both.b.close()
    line = both.daemon.wait_access()[-1]
    assert (line["end"], line["bypass"]) == ("done", "memory"), line
