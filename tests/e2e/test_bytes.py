# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes that were counted as moved have arrived: whatever closes, and whenever.

The daemons of the suite end with an error when they close a socket that has not taken what the log
says it took (SPLICED_DEBUG=check-bytes), so every other test is one of this, too.
"""

import os
import random
import socket
import threading
import time

from lib import case, wait_until
from lib.http import Client, Origin, head, proxy, reply, request, wait_requests
from lib.pattern import MIB, Pattern

KIB = 1 << 10
UP, DOWN = Pattern(11), Pattern(12)


def framed(stream, size, chunk=0, base=0):
    """A body in pieces of at most 64 KiB, as it goes over the wire; chunked with `chunk`. It begins
    at `base` of the pattern."""
    step = chunk or 1 << 16
    for at in range(0, size, step):
        end = min(size, at + step)
        if chunk:
            yield b"%x\r\n" % (end - at)
        while at < end:
            piece = stream.piece(base + at, min(end - at, 1 << 16))
            yield piece
            at += len(piece)
        if chunk:
            yield b"\r\n"
    if chunk:
        yield b"0\r\n\r\n"


def framing(size, chunk=0):
    return "Transfer-Encoding: chunked" if chunk else f"Content-Length: {size}"


def checked_body(reader, message, stream, how, pace=None, base=0):
    """Reads a body, framed as `how` says, and compares every byte of it; the size."""
    def add(data):
        stream.check(base + message.size, data)
        message.size += len(data)
        if pace:
            pace()

    message.add = add
    reader.body(message, how)
    return message.size


class Task:
    """A function in a thread; join() raises what it raised."""

    def __init__(self, function, *args):
        self.error = self.value = None
        self.thread = threading.Thread(target=self._work, args=(function, args), daemon=True)
        self.thread.start()

    def _work(self, function, args):
        try:
            self.value = function(*args)
        except BaseException as error:  # handed to join()
            self.error = error

    def join(self, seconds=90):
        self.thread.join(seconds)
        if self.error:
            raise self.error
        assert not self.thread.is_alive(), f"not over after {seconds} s"
        return self.value


def send_all(sock, pieces, pace=None):
    for piece in pieces:
        sock.sendall(piece)
        if pace:
            pace()


# ---- the last bytes of a request -----------------------------------------------------------------

def both_ways(env, rounds, size, chunk):
    """Both bodies of an exchange at once, on eight connections: neither end waits for the other. No
    segment is handed up behind what waits for its own socket, where the kernel loses count of its
    memory; what the daemon counts."""
    taken, lock = [], threading.Lock()

    def serve(connection):
        while asked := connection.head():
            connection.send(head("HTTP/1.1 200 OK", framing(size, chunk)))
            answer = Task(send_all, connection.sock, framed(DOWN, size, chunk))
            try:
                checked_body(connection.reader, asked, UP, asked.framing())
            finally:
                with lock:
                    taken.append(asked.size)
            answer.join()

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address)

    def talk():
        for _ in range(rounds):
            with Client(daemon.address(), timeout=90) as client:
                client.send(request("POST", "/", framing(size, chunk)))
                body = Task(send_all, client.sock, framed(UP, size, chunk))
                answer = client.head()
                assert checked_body(client.reader, answer, DOWN, answer.framing("POST")) == size
                body.join()

    for task in [Task(talk) for _ in range(8)]:
        task.join()
    lines = wait_requests(daemon, 8 * rounds, 20)
    # An exchange is over when the server's TCP has its last byte: the server may not have read it.
    wait_until(lambda: len(taken) >= 8 * rounds, 20, "the server has read all")
    origin.check()
    assert sorted(taken) == [size] * 8 * rounds, taken
    for line in lines:
        assert line["end"] == "done", line
        assert int(line["bytes_up"]) == int(line["bytes_down"]) == size, line
    verdicts = daemon.stats()["verdicts"]
    # The copy engine has no verdicts.
    assert (verdicts["behind"] == 0) if env.engine == "kernel" else not verdicts, verdicts
    return verdicts


@case(timeout=240, core=True)
def test_both_ways_in_chunks(env):
    for chunk in (MIB, 200_000):
        verdicts = both_ways(env, env.pick(2, 1), 4 * MIB, chunk)
        assert env.engine == "copy" or verdicts["passed_limit"] > 0, verdicts


@case(timeout=240)
def test_both_ways_with_lengths(env):
    both_ways(env, env.pick(4, 1), 4 * MIB, 0)


class Stop:
    """Lets the reader of a body stop once, after so many bytes, answer, and wait."""

    def __init__(self, message, after, answer, go_on):
        self.message, self.after, self.answer, self.go_on = message, after, answer, go_on
        self()

    def __call__(self):
        if self.answer and self.message.size >= self.after:
            self.answer()
            self.answer = None
            assert self.go_on.acquire(timeout=30), "nobody got the answer"


class EarlyOrigin(Origin):
    """Answers POST /REST when all but so many bytes of the body have come, and reads them when it
    is told to; ends after X-Ends."""

    SIZE = 600 * KIB

    def __init__(self, env, address="127.0.0.1:0"):
        super().__init__(env, serve=self._early, address=address)
        self.go_on = threading.Semaphore(0)
        self.whole = 0

    def _early(self, connection):
        fill = connection.reader.fill
        connection.reader.fill = lambda most=0: fill(4 * KIB)   # no more than it needs
        while asked := connection.head():
            ends = ["Connection: close"] if asked.get("X-Ends") else []
            answer = reply(b"early", *ends)
            stop = Stop(asked, self.SIZE - int(asked.target[1:]),
                        lambda: connection.send(answer), self.go_on)
            assert checked_body(connection.reader, asked, UP, asked.framing(), stop) == self.SIZE
            self.whole += 1
            if ends:
                return

    def ask(self, address, rest, *fields, chunk=0):
        """A request that is answered early, and the rest of it."""
        number = self.whole + 1
        with Client(address, timeout=30) as client:
            client.send(request("POST", f"/{rest}", framing(self.SIZE, chunk), *fields))
            body = Task(send_all, client.sock, framed(UP, self.SIZE, chunk))
            answer = client.response()
            assert answer.body == b"early", answer.raw
            self.go_on.release()
            body.join()
            wait_until(lambda: self.whole == number or self.problems, 20,
                       f"the whole request ({rest} {fields} {chunk})")
            self.check()


def overtaken(origin, daemon, address, rests):
    """The answer comes at different bytes of the request, in every framing and way to end."""
    number = 0
    for chunk in (0, 150 * KIB):
        for fields in ((), ("Connection: close",), ("X-Ends: yes",)):
            for rest in rests:
                origin.ask(address, rest, *fields, chunk=chunk)
                number += 1
    for line in wait_requests(daemon, number, 20):
        assert (line["end"], line["bytes_up"]) == ("done", str(origin.SIZE)), line


@case(timeout=90)
def test_answer_overtakes_the_request(env):
    """A server that has answered, and still reads what it was asked: the rest of the request
    follows its response, whoever will close the connection then."""
    origin = EarlyOrigin(env)
    daemon = proxy(env, origin.address, {"body_splice_min": "64K"})
    overtaken(origin, daemon, daemon.address(),
              (1, 40 * KIB, 80 * KIB, 120 * KIB, 180 * KIB, 300 * KIB, origin.SIZE))


@case(timeout=90, vm=False)
def test_answer_overtakes_a_kept_request(env):
    """The same where TCP takes little at once: the rest is in the daemon's own memory then."""
    net = env.network()
    net.proxy.run("sysctl", "-qw", "net.ipv4.tcp_wmem=4096 16384 16384")
    net.backend.run("sysctl", "-qw", "net.ipv4.tcp_rmem=4096 16384 16384")
    origin = net.backend.call(EarlyOrigin, env, f"{net.backend_address()}:0")
    daemon = net.spliced(origin.address, listener={"protocol": "http", "body_splice_min": "64K"})
    net.client.call(overtaken, origin, daemon, daemon.address(), (20 * KIB, 60 * KIB, 100 * KIB))


# ---- everything by chance ------------------------------------------------------------------------

SEED = int(os.environ.get("SPLICED_TEST_SEED", "0")) or int.from_bytes(os.urandom(4), "big")
SIZES = (0, 1, 700, 20 * KIB, 64 * KIB, 130 * KIB, 300 * KIB, MIB, 2 * MIB)


class Exchange:
    """What both ends of one exchange do, known to both by its seed."""

    def __init__(self, name, largest):
        chance = random.Random(name)
        self.name = name
        self.tunnel = chance.random() < 0.12
        self.minor = int(chance.random() < 0.85)
        self.up = min(largest, chance.choice(SIZES) + chance.randrange(100))
        self.down = min(largest, chance.choice(SIZES) + chance.randrange(100))
        self.up_base, self.down_base = chance.randrange(1 << 20), chance.randrange(1 << 20)
        self.up_chunk = chance.choice((0, 0, 900, 70 * KIB, MIB)) if self.minor else 0
        self.down_chunk = chance.choice((0, 0, 900, 70 * KIB, MIB)) if self.minor else 0
        self.order = chance.choice(("early", "both", "both", "after"))
        self.client_closes = chance.random() < 0.2
        self.server_closes = chance.random() < 0.2
        self.until_close = chance.random() < 0.15
        # Who is slow: client sends, client reads, server reads, server sends.
        self.slow = [chance.random() < 0.25 for _ in range(4)]

    def server_ends(self):
        return self.tunnel or self.server_closes or self.until_close

    def pace(self, who):
        return (lambda: time.sleep(0.0005)) if self.slow[who] else None

    def bytes_up(self):
        return framed(UP, self.up, self.up_chunk, self.up_base)

    def bytes_down(self):
        return framed(DOWN, self.down, 0 if self.until_close else self.down_chunk, self.down_base)

    # -- the client's half

    def ask(self, client):
        """True: the connection has ended with it."""
        if self.tunnel:
            self._ask_tunnel(client)
            return True
        fields = [framing(self.up, self.up_chunk)]
        if self.client_closes:
            fields.append("Connection: close")
        elif not self.minor:
            fields.append("Connection: keep-alive")
        client.send(request("POST", f"/{self.name}", *fields, version=f"1.{self.minor}"))
        body = Task(send_all, client.sock, self.bytes_up(), self.pace(0))
        answer = client.head()
        assert answer.status == 200, answer.raw
        how = answer.framing("POST")
        size = checked_body(client.reader, answer, DOWN, how, self.pace(1), self.down_base)
        assert size == self.down, f"{size} of {self.down} bytes"
        body.join()
        if not answer.wants_close():
            return False
        assert client.ending() == (b"", "eof")
        return True

    def _ask_tunnel(self, client):
        client.send(request("GET", f"/{self.name}", "Connection: upgrade", "Upgrade: bytes"))
        assert client.head().status == 101
        self._tunnel(client.sock, client.reader, UP, self.up, self.up_base, DOWN, self.down,
                     self.down_base, self.pace(0), self.pace(1))

    # -- the server's half

    def answer(self, connection, asked):
        if self.tunnel:
            connection.send(head("HTTP/1.1 101 Switching Protocols", "Connection: upgrade",
                                 "Upgrade: bytes"))
            self._tunnel(connection.sock, connection.reader, DOWN, self.down, self.down_base, UP,
                         self.up, self.up_base, self.pace(3), self.pace(2))
            return
        fields = [] if self.until_close else [framing(self.down, self.down_chunk)]
        if self.server_closes:
            fields.append("Connection: close")
        steps = [lambda: self._say(connection, fields), lambda: self._hear(connection, asked)]
        if self.order == "both":
            other = Task(steps[0])
            steps[1]()
            other.join()
            return
        for step in reversed(steps) if self.order == "after" else steps:
            step()

    def _say(self, connection, fields):
        connection.send(head("HTTP/1.1 200 OK", *fields))
        send_all(connection.sock, self.bytes_down(), self.pace(3))

    def _hear(self, connection, asked):
        size = checked_body(connection.reader, asked, UP, asked.framing(), self.pace(2),
                            self.up_base)
        assert size == self.up, f"the server got {size} of {self.up} bytes"

    @staticmethod
    def _tunnel(sock, reader, out, size, base, into, in_size, in_base, send_pace, read_pace):
        def send():
            send_all(sock, framed(out, size, 0, base), send_pace)
            sock.shutdown(socket.SHUT_WR)

        sender, at = Task(send), 0
        while reader.buffer or reader.fill():
            data = reader.take(len(reader.buffer))
            into.check(in_base + at, data)
            at += len(data)
            if read_pace:
                read_pace()
        assert at == in_size, f"{at} of {in_size} bytes through a tunnel"
        sender.join()


def by_chance(env, seed, **options):
    """Eight clients with exchanges of every kind; every byte is compared at both ends, and counted
    in the log."""
    largest = env.pick(2 * MIB, 300 * KIB)
    heard = set()

    def serve(connection):
        while asked := connection.head():
            exchange = Exchange(asked.target[1:], largest)
            exchange.answer(connection, asked)
            heard.add(exchange.name)
            if exchange.server_ends() or asked.wants_close():
                return

    origin = Origin(env, serve=serve)
    daemon = proxy(env, origin.address, {"body_splice_min": "16K"}, **options)

    def client(number):
        exchanges = iter([Exchange(f"{seed}.{number}.{i}", largest)
                          for i in range(env.pick(12, 3))])
        exchange = next(exchanges, None)
        while exchange:
            with Client(daemon.address(), timeout=40) as connection:
                ended = False
                while exchange and not ended:
                    try:
                        ended = exchange.ask(connection)
                    except (AssertionError, OSError) as error:
                        raise AssertionError(f"{vars(exchange)}: {error!r}") from error
                    exchange = next(exchanges, None)

    problem = None
    try:
        for task in [Task(client, number) for number in range(8)]:
            task.join(90)
    except AssertionError as error:
        problem = error
    origin.check()
    if problem:
        raise problem
    lines = wait_requests(daemon, 8 * env.pick(12, 3), 30)
    wait_until(lambda: len(heard) == len(lines), 20, "the servers have heard everything")
    for line in lines:
        exchange = Exchange(line["path"][1:], largest)
        wanted = ("done", str(exchange.up), str(exchange.down))
        assert (line["end"], line["bytes_up"], line["bytes_down"]) == wanted, \
            f"{line} for {vars(exchange)}"


@case(timeout=150)
def test_by_chance(env):
    env.note(f"seed {SEED}")
    by_chance(env, SEED)


@case(timeout=150)
def test_by_chance_with_low_marks(env):
    """Where the kernel pauses all the time."""
    env.note(f"seed {SEED}")
    by_chance(env, SEED + 1, spliced={"splice_high": "128K", "splice_low": "64K",
                                      "splice_hard": "512K",
                                      "splice_window": "64K"})
