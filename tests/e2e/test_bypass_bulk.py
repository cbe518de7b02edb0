# SPDX-License-Identifier: GPL-2.0-or-later
"""A bulk of small messages leaves the bypass by itself, and nothing else does."""

import os
import select
import socket
import time

from lib import case, host, wait_until
from lib.joined import ending, joined, ready, receive

# bpf/bypass-send.h
CHECK = 4096    # messages that are looked at together
TIMES = 4       # ... and how often they must be a bulk
CHECK_TIME = 0.2

BATCH = 32_000  # bytes that are on their way at once: nobody has to wait
PATTERN = os.urandom(1 << 20)
SIDES = "both", "client"
# Not small any more, beside the kernel's ways.
LARGE = {"both": 4000, "client": 8000}


def each_side(test, **options):
    """The same of either shape, as test_NAME_SIDE."""
    for side in SIDES:
        def run_side(env, side=side):
            test(env, side)
        run_side.__doc__ = test.__doc__
        globals()[f"test_{test.__name__}_{side}"] = \
            case(engines=("kernel",), debug=False, **options)(run_side)


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
            assert both.daemon.stats()["bypass_left"]["small"] == 1, both.daemon.stats()
            before = both.daemon.stats()["bytes_bypassed"]
            move(both.a, both.b, 1000, 100)
            assert both.daemon.stats()["bytes_bypassed"] == before
            assert both.daemon.sessions()[0]["engine_reason"] == "small", both.daemon.sessions()
        goes_on(both, left)
        # The other way is left with what it sends next: the sockets are in no map then.
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


each_side(small_messages, core=True)
each_side(small_messages_and_large)
each_side(small_requests, core=True)
each_side(large_messages)
each_side(slow_messages)


@case(engines=("kernel",), debug=False)
def test_only_one_has_ever_sent(env):
    """Then nothing keeps the sockets in a map: the other way is given up, too."""
    with joined(env, direct=False) as both:
        def is_joined():
            move(both.a, both.b, 1000, 10)
            return both.daemon.stats()["sessions_bypass"]
        wait_until(is_joined, 20, "they are joined")
        number = host.bpf_maps(both.daemon.worker_pid)["joined"]
        assert host.map_entries(number) > 0
        if bulk(both, 1000):
            wait_until(lambda: both.daemon.stats()["bypass_left"]["small"] == 2, 10,
                       "both ways are left")
            wait_until(lambda: host.map_entries(number) == 0, 10, "nobody is in a map")
            goes_on(both, True)
