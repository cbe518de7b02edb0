# SPDX-License-Identifier: GPL-2.0-or-later
"""Anything fails now and then, in the middle of traffic: no byte is wrong, no end comes too soon, nobody
hangs, and afterwards all is as before."""

import collections
import contextlib
import errno
import random
import socket
import threading

from lib import case, connect, wait_until
from lib.http import BadMessage, Client, Origin, reply, request
from lib.shortage import short_of
from lib.tcp import serve_echo

SIZE = 300_000
EVERY = {"malloc": 60, "calloc": 60, "realloc": 60, "epoll_ctl": 60, "send": 100, "sendmsg": 100,
         "recv": 200, "accept4": 20, "socket": 20, "setsockopt": 300, "getsockopt": 300, "bpf": 60,
         "connect": 20}
ERRORS = {"send": errno.ENOBUFS, "sendmsg": errno.ENOMEM, "recv": errno.ENOMEM,
          "setsockopt": errno.ENOMEM, "getsockopt": errno.ENOBUFS, "accept4": errno.EMFILE,
          "socket": errno.EMFILE, "connect": errno.EAGAIN}


class Talk(threading.Thread):
    """A client of an echo server: sends SIZE bytes and gets them back, or is told that it does not.
    `result`: "done", "cut" (a proper end too soon), "wrong", or the name of an error. An error is told
    once, to whoever reads or writes then."""

    def __init__(self, address, number):
        super().__init__(daemon=True)
        self.address, self.result, self.told = address, None, None
        self.data = random.Random(number).randbytes(SIZE)
        self.start()

    def run(self):
        try:
            with connect(self.address, timeout=30) as sock:
                writer = threading.Thread(target=self.write, args=(sock,), daemon=True)
                writer.start()
                try:
                    self.result = self.read(sock)
                finally:
                    with contextlib.suppress(OSError):
                        sock.shutdown(socket.SHUT_RDWR)     # which wakes the writer
                    writer.join()
                if self.result == "cut" and self.told:
                    self.result = self.told
        except OSError as error:
            self.result = errno.errorcode.get(error.errno, str(error))

    def write(self, sock):
        try:
            sock.sendall(self.data)
            sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.told = errno.errorcode.get(error.errno, str(error))

    def read(self, sock):
        at = 0
        while got := sock.recv(65536):
            if got != self.data[at:at + len(got)]:
                return "wrong"
            at += len(got)
        return "done" if at == SIZE else "cut"


class Ask(Talk):
    """The same with a request to an HTTP server that sends the body back, in a chunked response.
    A whole response that says so is fine, too: 503, or 502 and 504 where the server was lost."""

    def run(self):
        try:
            with Client(self.address, timeout=30) as client:
                client.send(request("POST", "/", "Connection: close", body=self.data))
                answer = client.response("POST")
                if answer.status in (502, 503, 504):
                    self.result = str(answer.status)
                else:
                    right = answer.status == 200 and answer.body == self.data
                    self.result = "done" if right else "wrong"
        except OSError as error:
            self.result = errno.errorcode.get(error.errno, str(error))
        except BadMessage as error:
            self.result = "cut" if "ended" in str(error) else "wrong"


def rounds(proxy, talk, number, times):
    """The results of so many clients at once, so many times."""
    results = collections.Counter()
    for i in range(times):
        talks = [talk(proxy, 100 * i + n) for n in range(number)]
        for each in talks:
            each.join(40)
            results[each.result or "hangs"] += 1
    return results


def at_rest(daemon):
    """How many descriptors it has without sessions and kept connections."""
    daemon.wait_sessions(0)
    wait_until(lambda: not any(daemon.map_entries().values()), 5, "no map has an entry")
    return daemon.fds()


def check_chaos(env, daemon, shortage, talk, seed):
    proxy = daemon.address()
    assert rounds(proxy, talk, 8, 1) == {"done": 8}
    fds = at_rest(daemon)
    for call, one_in in EVERY.items():
        shortage.fail(call, one_in, error=ERRORS.get(call, errno.ENOMEM))
    results = rounds(proxy, talk, 8, 4)
    failures = shortage.over()
    env.note(f"seed {seed}, {failures} failures: {dict(results)}")
    assert not set(results) & {"wrong", "cut", "hangs", "timed out"}, (failures, results)
    assert failures >= 5, failures
    daemon.wait_sessions(0, seconds=15)
    assert rounds(proxy, talk, 8, 1) == {"done": 8}
    wait_until(lambda: at_rest(daemon) <= fds, 10, f"descriptors are {fds} again")


@case(timeout=200)
def test_anything_fails_now_and_then(env):
    for seed in range(1, env.pick(4, 2)):
        daemon, shortage = short_of(env, env.backend(serve_echo).address, seed,
                                    listener={"idle_timeout": "10s"})
        check_chaos(env, daemon, shortage, Talk, seed)
        daemon.stop()


@case(timeout=200)
def test_anything_fails_now_and_then_in_http(env):
    def answer(asked):
        return reply(asked.body)
    for seed in range(1, env.pick(4, 2)):
        daemon, shortage = short_of(env, Origin(env, answer).address, seed,
                                    pool={"keepalive_timeout": "500ms"},
                                    listener={"protocol": "http", "body_splice_min": "64K",
                                              "response_timeout": "10s", "request_timeout": "10s"})
        check_chaos(env, daemon, shortage, Ask, seed)
        daemon.stop()
