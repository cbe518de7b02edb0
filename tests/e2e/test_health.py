# SPDX-License-Identifier: GPL-2.0-or-later
"""Health checks: what a server must answer to be given sessions, and what becomes of one that
does not."""

import contextlib
import os
import re
import signal
import socket
import threading
import time

from lib import case, connect, programs, read_all, read_exactly, tls, wait_until
from lib.dns import NameServer
from lib.http import Client, Origin, reply
from lib.metrics import scrape
from lib.reloads import reload, text_of
from lib.tcp import free_port, reset, serve_echo, serve_name
from lib.wait import stays

COPY = ("copy",)    # the engines have nothing to do with it
FAST = {"health_interval": "50ms", "health_timeout": "1s", "fail_timeout": "1h"}
SICK = reply(b"sick", status="503 Service Unavailable")


class Patient(Origin):
    """An HTTP server that says its name, and whose answer to /health is `says`: bytes, or a function
    of the connection. times: when it was asked."""

    def __init__(self, env, name, says=None, **options):
        self.says, self.times, self.checks = says or reply(b"well"), [], []
        super().__init__(env, serve=self._talk, name=name, **options)

    def _talk(self, connection):
        while asked := connection.request():
            if asked.target != "/health":
                connection.send(reply(self.name.encode()))
                continue
            self.times.append(time.monotonic())
            self.checks.append(asked)
            if callable(self.says):
                self.says(connection)
            else:
                connection.send(self.says)
            return


def proxy(env, servers, listener=None, spliced=None, **pool):
    """HTTP, with checks of /health."""
    return env.spliced([f"{s.name} {s.address}" if isinstance(s, Patient) else s for s in servers],
                       spliced=spliced, listener={"protocol": "http", **(listener or {})},
                       pool={"health_check": "http", "health_path": "/health", **FAST, **pool})


def ask(daemon, number=1):
    """Who answers that many requests on one connection."""
    with Client(daemon.address()) as client:
        return [client.ask().body.decode() for _ in range(number)]


def standing(daemon, name):
    return daemon.server(name)["state"]


def wait_state(daemon, name, state):
    return wait_until(lambda: (lambda s: s if s["state"] == state else None)(daemon.server(name)),
                      20, lambda: f"{name} is {state}: {daemon.server(name)}")


def lines(daemon, pattern):
    return [line for line in daemon.log() if re.search(pattern, line)]


def wait_lines(daemon, pattern, number=1):
    return wait_until(lambda: (lambda got: got if len(got) >= number else None)(
        lines(daemon, pattern)), 10, lambda: f"{number} lines of {pattern}: {daemon.log_tail()}")


def check_of(daemon, name):
    (target,) = daemon.server(name)["targets"]
    return target


# -- a real server

NGINX = """
    server {{
        listen {address};
        location /health {{
            if (-f {root}/sick) {{ return 500; }}
            return 200 "well";
        }}
        location / {{ return 200 "nginx"; }}
    }}
"""


def processes_of(program):
    """nginx and its workers."""
    pids = [program.process.pid]
    children = f"/proc/{pids[0]}/task/{pids[0]}/children"
    with open(children, encoding="ascii") as f:
        return pids + [int(pid) for pid in f.read().split()]


def send_all(program, number):
    for pid in processes_of(program):
        os.kill(pid, number)


def wait_both(daemon):
    """One that is slow to accept may be passed over for a moment."""
    wait_until(lambda: set(ask(daemon, 4)) == {"nginx", "other"}, 10, "both serve")


def test_nginx(env):
    """It answers 500, hangs, goes, and comes back each time; another one has the requests."""
    (env.tmp / "www").mkdir()
    sick = env.tmp / "www" / "sick"
    other = Patient(env, "other")
    with programs.Nginx(env, NGINX) as nginx:
        address = nginx.address
        daemon = proxy(env, [f"nginx {address}", other], health_timeout="300ms")
        wait_state(daemon, "nginx", "up")
        wait_both(daemon)

        sick.touch()
        server = wait_state(daemon, "nginx", "down")
        assert server["reason"] == "HTTP status 500, expected 200-399", server
        assert set(ask(daemon, 8)) == {"other"}
        (line,) = wait_lines(daemon, r"server main/nginx: down")
        assert "warning" in line and \
            line.endswith("down: 3 checks failed (HTTP status 500, expected 200-399)"), line
        sick.unlink()
        wait_state(daemon, "nginx", "up")
        wait_lines(daemon, r"server main/nginx: is back: 2 checks passed \(HTTP status 200\)$")
        wait_both(daemon)

        send_all(nginx, signal.SIGSTOP)
        try:
            server = wait_state(daemon, "nginx", "down")
            assert server["reason"] == "timeout after 300ms, waiting for the answer", server
            assert set(ask(daemon, 8)) == {"other"}
        finally:
            send_all(nginx, signal.SIGCONT)
        wait_state(daemon, "nginx", "up")
    server = wait_state(daemon, "nginx", "down")
    assert server["reason"] == "connecting: Connection refused", server
    assert set(ask(daemon, 8)) == {"other"}
    with programs.Nginx(env, NGINX, name="again"):
        wait_state(daemon, "nginx", "up")
        wait_both(daemon)
    assert not lines(daemon, "server main/other: (down|is back)")


# -- what a check is

@case(engines=COPY)
def test_tcp(env):
    address, holder = free_port()
    daemon = env.spliced([f"a {address}", f"b {env.backend(serve_name('b')).address}"],
                         pool={"health_check": "tcp", **FAST})
    server = wait_state(daemon, "a", "down")
    assert server["reason"] == "connecting: Connection refused", server
    assert check_of(daemon, "a")["check"] == "refused"
    assert server["connect_failures"] == 0, "a check is no session"
    holder.close()
    env.backend(serve_name("a"), address)
    wait_state(daemon, "a", "up")
    assert check_of(daemon, "a")["check_reason"] == "connected"
    wait_state(daemon, "b", "up")
    got = set()
    for _ in range(4):
        with connect(daemon.address()) as sock:
            got.add(read_exactly(sock, 2))
    assert got == {b"a\n", b"b\n"}


@case(engines=COPY)
def test_request(env):
    """What a check asks for."""
    a, b = Patient(env, "a"), Patient(env, "b")
    proxy(env, [a])
    proxy(env, [b], health_host="shop.test:8080")
    for patient, host in ((a, a.address), (b, "shop.test:8080")):
        wait_until(lambda p=patient: p.checks, 10, "a check")
        asked = patient.checks[0]
        assert asked.method == "GET" and asked.get("Host") == host, asked
        assert asked.get("Connection") == "close" and \
            re.fullmatch(r"spliced/\S+ \(health check\)", asked.get("User-Agent")), asked


def say(data, ends=True):
    """An answer to a check, in pieces of a byte each; with `ends` the connection's end follows."""
    def handle(connection):
        for i in range(len(data)):
            connection.send(data[i:i + 1])
        if not ends:
            read_all(connection.sock)
    return handle


def break_off(connection):
    reset(connection.sock)


WRONG = {
    "status": (reply(status="404 Not Found"), "HTTP status 404, expected 200-299, 503"),
    "redirect": (reply(status="302 Found"), "HTTP status 302, expected 200-299, 503"),
    "closed": (say(b""), "closed without an answer"),
    "cut": (say(b"HTTP/1.1 20"), "closed within its answer"),
    "broken": (break_off, "reading: Connection reset by peer"),
    "garbage": (say(b"SSH-2.0-x\r\n"), "the answer is not HTTP/1"),
    "http2": (say(b"HTTP/2 200\r\n\r\n"), "the answer is not HTTP/1"),
    "endless": (say(b"HTTP/1.1 103 x\r\na: " + b"x" * 5000, ends=False),
                "the answer is not HTTP/1"),
    "silent": (say(b"", ends=False), "timeout after 1s, waiting for the answer"),
    "slow": (say(b"HTTP/1.1 20", ends=False), "timeout after 1s, waiting for the answer"),
}
RIGHT = {
    "plain": reply(),
    "other": SICK,
    "old": b"HTTP/1.0 200\r\n\r\n",
    "bytewise": say(reply(b"well")),
    "interim": say(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
    "unending": say(b"HTTP/1.1 200 OK\r\n", ends=False),
}


@case(engines=COPY)
def test_answers(env):
    """The first check decides; each wrong answer has its reason."""
    patients = [Patient(env, name, says) for name, says in RIGHT.items()] + \
        [Patient(env, name, says) for name, (says, _) in WRONG.items()]
    daemon = proxy(env, patients, health_status="200-299, 503")
    for name in RIGHT:
        wait_state(daemon, name, "up")
    for name, (_, reason) in WRONG.items():
        server = wait_state(daemon, name, "down")
        assert server["reason"] == reason, server
        wait_lines(daemon, rf"server main/{name}: down: 1 check failed \({re.escape(reason)}\)$")
    assert set(ask(daemon, 30)) == set(RIGHT)


@case(engines=COPY)
def test_tls(env):
    """TLS 1.2 and 1.3 of openssl, asked for its name; what does not speak it, or not to us."""
    seen = tls.Server(env, "named.test")

    def alert(sock):
        sock.recv(4096)
        sock.sendall(bytes.fromhex("15030300020228"))
        read_all(sock)

    def silent(sock):
        read_all(sock)

    asked = []

    def remember(sock):
        asked.append(sock.recv(4096))
        sock.sendall(b"\x16\x03\x03\x00\x04\x02\x00\x00\x00")
        read_all(sock)

    with contextlib.ExitStack() as stack:
        both, old, new = (stack.enter_context(tls.OpensslServer(env, f"{name}.test", port, *more))
                          for name, port, more in (("both", 8501, ()), ("old", 8502, ("-tls1_2",)),
                                                   ("new", 8503, ("-tls1_3",))))
        daemon = env.spliced(
            [f"both {both.address}", f"old {old.address}", f"new {new.address}",
             f"python {env.backend(seen.handle).address}",
             f"asked {env.backend(remember).address}",
             f"echo {env.backend(serve_echo).address}", f"alert {env.backend(alert).address}",
             f"silent {env.backend(silent).address}"],
            listener={"protocol": "tls"},
            pool={"health_check": "tls", "health_host": "named.test:443", **FAST})
        for name in ("both", "old", "new", "python", "asked"):
            wait_state(daemon, name, "up")
            assert check_of(daemon, name)["check_reason"] == "TLS ServerHello"
        assert b"\0\0\x0anamed.test" in asked[0], asked[0]
        for name, outcome, reason in (
                ("echo", "invalid", "the answer is not TLS"),
                ("alert", "invalid", "TLS alert 40 instead of a ServerHello"),
                ("silent", "timeout", "timeout after 1s, waiting for the answer")):
            assert wait_state(daemon, name, "down")["reason"] == reason
            assert check_of(daemon, name)["check"] == outcome


@case(engines=COPY)
def test_proxy_header(env):
    """A server that insists on a header gets one that speaks for the daemon itself."""
    first = {"v1": b"PROXY UNKNOWN\r\n", "v2": b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"}
    for version, header in first.items():
        got = []

        def handle(sock, got=got, header=header):
            got.append(read_exactly(sock, len(header)))
            sock.recv(4096)
            sock.sendall(reply())

        daemon = env.spliced(f"a {env.backend(handle).address}", listener={"protocol": "http"},
                             pool={"health_check": "http", "send_proxy": version, **FAST})
        wait_state(daemon, "a", "up")
        assert got[0] == header, got


@case(engines=COPY)
def test_addresses(env):
    """Unix sockets and IPv6."""
    path = env.tmp / "server.sock"
    patients = [Patient(env, "unix", address=f"unix:{path}"), Patient(env, "six", address="[::1]:0"),
                Patient(env, "sick", SICK, address=f"unix:{env.tmp}/sick.sock")]
    daemon = proxy(env, [*patients, f"gone unix:{env.tmp}/gone.sock"])
    wait_state(daemon, "unix", "up")
    wait_state(daemon, "six", "up")
    wait_state(daemon, "sick", "down")
    assert wait_state(daemon, "gone", "down")["reason"] == "connecting: No such file or directory"
    assert set(ask(daemon, 6)) == {"unix", "six"}
    assert patients[0].checks[0].get("Host") == "localhost"


@case(engines=COPY)
def test_full_unix_backlog(env):
    """Nobody accepts: it is asked again until the time is over."""
    listener = env.keep(socket.socket(socket.AF_UNIX))
    listener.bind(f"{env.tmp}/full.sock")
    listener.listen(0)
    filler = env.keep(socket.socket(socket.AF_UNIX))
    filler.connect(f"{env.tmp}/full.sock")
    daemon = env.spliced(f"a unix:{env.tmp}/full.sock",
                         pool={"health_check": "tcp", **FAST, "health_timeout": "300ms"})
    assert wait_state(daemon, "a", "down")["reason"] == "connecting: its backlog is full"
    listener.accept()[0].close()
    wait_until(lambda: standing(daemon, "a") != "down", 10, "it has room again")


@case(engines=COPY)
def test_name(env):
    """Each address of a name is checked for itself."""
    first, second = (programs.own_address().rsplit(".", 1)[0] + f".{n}" for n in (201, 202))
    port = 8601
    well, sick = (Patient(env, name, says, address=f"{host}:{port}") for name, says, host in
                  (("well", None, first), ("sick", SICK, second)))
    dns = NameServer({"two.spliced.test": [first, second]})
    env.keep(dns.socket)
    daemon = env.spliced(f"a two.spliced.test:{port}", spliced={"nameserver": dns.address},
                         listener={"protocol": "http"},
                         pool={"health_check": "http", "health_path": "/health", **FAST})

    def states():
        return {t["address"].split(":")[0]: t["state"] for t in daemon.server("a")["targets"]}

    wait_until(lambda: states() == {first: "up", second: "down"}, 10, states)
    assert standing(daemon, "a") == "up"
    assert set(ask(daemon, 8)) == {"well"}
    wait_lines(daemon, rf"server main/a: address {second}:{port} down: 1 check failed")
    # Both have their turns.
    counts = len(well.times), len(sick.times)
    wait_until(lambda: len(well.times) >= counts[0] + 10, 20, "ten checks")
    assert 9 <= len(sick.times) - counts[1] <= 12
    well.says, sick.says = SICK, reply()
    wait_until(lambda: states() == {first: "down", second: "up"}, 10, states)
    assert set(ask(daemon, 8)) == {"sick"}


# -- how often

@case(engines=COPY, timeout=90)
def test_many_that_do_not_answer(env):
    """Who does is checked as often as ever, though more checks than there are places wait for those."""
    well, dead = Patient(env, "well"), env.deaf()
    daemon = proxy(env, [well, *(f"dead{n} {dead}" for n in range(600))],
                   spliced={"log_level": "error"}, health_interval="200ms", health_timeout="1s", health_fall=1)
    wait_until(lambda: sum(s["state"] == "down" for p in daemon.status()["pools"] for s in p["servers"]) == 600, 60,
               "all of these are known")
    number, began = len(well.times), time.monotonic()
    wait_until(lambda: len(well.times) >= number + 10, 30, lambda: f"{len(well.times) - number} of ten checks")
    assert time.monotonic() - began < 10 * 3 * 0.2


@case(engines=COPY)
def test_interval(env):
    """Each time 90 to 110 % of health_interval, and not always the same."""
    patients = [Patient(env, name) for name in "abc"]
    proxy(env, patients, health_interval="100ms")
    wait_until(lambda: all(len(p.times) > 30 for p in patients), 30, "thirty checks")
    for patient in patients:
        gaps = [b - a for a, b in zip(patient.times, patient.times[1:30])]
        # This machine may be late, and the next check is early then; never twice in a row.
        assert 0.095 < sum(gaps) / len(gaps) < 0.2, gaps
        assert max(gaps) - min(gaps) > 0.002, gaps


@case(engines=COPY)
def test_longer_than_interval(env):
    """One at a time: a check that is late begins when the one before is over."""
    most = [0]
    now = [0]
    lock = threading.Lock()

    def slow(connection):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.15)
        with lock:
            now[0] -= 1
        connection.send(reply())

    patient = Patient(env, "a", slow)
    daemon = proxy(env, [patient], health_interval="50ms")
    wait_until(lambda: len(patient.times) >= 8, 20, "eight checks")
    assert most == [1] and standing(daemon, "a") == "up"


@case(engines=COPY)
def test_rise_and_fall(env):
    """So many in a row, exactly; in between it is told how far it is."""
    answers = [reply()] + [SICK] * 3 + [reply()] + [SICK] * 4 + [reply()] * 2 + [SICK] + \
        [reply()] * 3
    patient = Patient(env, "a")
    states, number = [], [None]

    def next_answer(connection):
        if number[0] is None:
            connection.send(reply())
            return
        if number[0]:
            states.append(standing(daemon, "a"))
        number[0] += 1
        connection.send(answers[min(number[0], len(answers)) - 1])

    patient.says = next_answer
    daemon = proxy(env, [patient], health_fall=4, health_rise=3, health_interval="200ms")
    wait_state(daemon, "a", "up")
    number[0] = 0
    wait_until(lambda: len(states) >= len(answers), 30, lambda: states)
    assert states[:len(answers)] == ["up"] + ["going_down"] * 3 + ["up"] + ["going_down"] * 3 + \
        ["down"] + ["going_up"] * 2 + ["down"] + ["going_up"] * 2 + ["up"], states
    told = [re.sub(r" \(HTTP.*?\)", "", line.partition("server main/a: ")[2])
            for line in wait_lines(daemon, "server main/a: is back") and
            lines(daemon, "server main/a:")]
    assert told == ["going down: check failed, 1 of 4", "not going down: check passed",
                    "going down: check failed, 1 of 4", "down: 4 checks failed",
                    "going up: check passed, 1 of 3", "down: 1 check failed",
                    "going up: check passed, 1 of 3", "is back: 3 checks passed"], told


@case(engines=COPY)
def test_flapping(env):
    """One that always changes is logged ten times in ten seconds."""
    patient = Patient(env, "a")
    patient.says = lambda connection: connection.send(SICK if len(patient.times) % 2 else reply())
    daemon = proxy(env, [patient], health_rise=1, health_fall=1, health_interval="20ms")
    wait_until(lambda: len(patient.times) > 60, 20, "sixty checks")
    assert len(lines(daemon, r"server main/a: (down|is back)")) <= 20, lines(daemon, "main/a")


# -- what sessions see

def ended(sock):
    """Whether a session was refused, with whichever end."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_sessions_go_on(env):
    """Those of a server that is down; new ones go to a backup."""
    patient, other = Patient(env, "a"), Patient(env, "b")
    daemon = env.spliced([f"a {patient.address}", f"b {other.address} backup"],
                         pool={"health_check": "http", "health_path": "/health", **FAST})
    wait_state(daemon, "a", "up")
    with Client(daemon.address()) as client:
        assert client.ask().body == b"a"
        patient.says = SICK
        wait_state(daemon, "a", "down")
        for _ in range(3):
            assert client.ask().body == b"a"
        assert ask(daemon) == ["b"]
        patient.says = reply()
        wait_state(daemon, "a", "up")
        assert ask(daemon) == ["a"]


@case(engines=COPY)
def test_kept_connections(env):
    """Those to a server that is down are closed, and none is kept."""
    patient, other = Patient(env, "a"), Patient(env, "b")
    daemon = proxy(env, [patient, other])
    wait_state(daemon, "a", "up")
    for _ in range(8):
        ask(daemon, 2)
    wait_until(lambda: patient.opened() >= 1, 10, "a connection is kept")
    patient.says = SICK
    wait_state(daemon, "a", "down")
    wait_until(lambda: patient.opened() == 0, 10, "it is closed")
    assert other.opened() >= 1


@case(engines=COPY)
def test_all_down_try(env):
    """Nobody is well: they are tried all the same, backups last, and who answers serves."""
    daemon = proxy(env, [Patient(env, "a", SICK), Patient(env, "b", SICK),
                         f"c {Patient(env, 'c', SICK).address} backup"])
    for name in "abc":
        wait_state(daemon, name, "down")
    assert sorted(ask(daemon, 6)) == ["a"] * 3 + ["b"] * 3
    assert standing(daemon, "a") == "down"


@case(engines=COPY)
def test_all_down_refuse(env):
    daemon = proxy(env, [Patient(env, "a", SICK), Patient(env, "b", SICK)], all_down="refuse")
    for name in "ab":
        wait_state(daemon, name, "down")
    with Client(daemon.address()) as client:
        assert client.ask().status == 503
    wait_until(lambda: any("end=no_server" in line for line in daemon.log()), 10, "its line")
    assert daemon.server("a")["sessions_total"] == 0

    daemon = env.spliced(f"a {Patient(env, 'a', SICK).address}",
                         pool={"health_check": "http", "health_path": "/health",
                               "all_down": "refuse", **FAST})
    wait_state(daemon, "a", "down")
    with contextlib.suppress(ConnectionResetError), connect(daemon.address()) as sock:
        assert ended(sock)


@case(engines=COPY)
def test_ejected_by_sessions(env):
    """Without checks, all_down = refuse means those that sessions have found to be gone."""
    address, holder = free_port()
    env.keep(holder)
    daemon = env.spliced(f"a {address}", listener={"protocol": "http"},
                         pool={"all_down": "refuse", "fail_timeout": "1h"})
    for status in (502, 503, 503):
        with Client(daemon.address()) as client:
            assert client.ask().status == status
    assert daemon.server("a")["connect_failures"] == 1


@case(engines=COPY)
def test_checks_bring_back(env):
    """A server that sessions could not reach is back when checks pass, long before fail_timeout."""
    address, holder = free_port()
    daemon = env.spliced([f"a {address}", f"b {env.backend(serve_name('b')).address} backup"],
                         pool={"health_check": "tcp", **FAST, "health_fall": 1000,
                               "health_interval": "300ms"})
    wait_state(daemon, "a", "down")         # the first check
    holder.close()
    backend = env.backend(serve_name("a"), address)
    wait_state(daemon, "a", "up")
    backend.close()
    with connect(daemon.address()) as sock:
        assert read_exactly(sock, 2) == b"b\n"
    assert wait_state(daemon, "a", "ejected")["reason"] == "Connection refused"
    env.backend(serve_name("a"), address)
    wait_state(daemon, "a", "up")
    with connect(daemon.address()) as sock:
        assert read_exactly(sock, 2) == b"a\n"


# -- another file

def reread(daemon, **changes):
    """A reload, with these options as they were written in the file."""
    text = text_of(daemon)
    for key, value in changes.items():
        text, n = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        assert n == 1, (key, text)
    reload(daemon, text)


@case(engines=COPY)
def test_a_shorter_interval_is_not_waited_for(env):
    patients = [Patient(env, name) for name in "ab"]
    daemon = proxy(env, patients, health_interval="1h")
    for patient in patients:
        wait_state(daemon, patient.name, "up")
    assert [len(p.times) for p in patients] == [1, 1]
    reread(daemon, health_interval="50ms")
    wait_until(lambda: all(len(p.times) > 4 for p in patients), 10, "they are checked")
    reread(daemon, health_interval="1h")
    for patient in patients:
        patient.says = SICK
    # It is of the new file: those before were of 50 ms.
    before = [len(p.times) for p in patients]
    stays(lambda: all(len(p.times) <= n + 2 for p, n in zip(patients, before)), 0.5,
          lambda: [len(p.times) for p in patients])


@case(engines=COPY)
def test_another_question_is_not_waited_for(env):
    """What the file asks now, and what answer it expects, is known soon, whatever the interval."""
    patient = Patient(env, "a", SICK)
    held = threading.Event()
    daemon = proxy(env, [patient], health_interval="1h", health_timeout="10m", health_rise=1,
                   health_host="one", health_status="200-399")
    wait_state(daemon, "a", "down")
    reread(daemon, health_path="/")
    wait_state(daemon, "a", "up")
    reread(daemon, health_path="/health")
    wait_state(daemon, "a", "going_down")
    reread(daemon, health_status="503")
    wait_state(daemon, "a", "up")
    # One that is under way is not waited for, either.
    patient.says = lambda connection: held.wait(60)
    try:
        reread(daemon, health_host="two")
        wait_until(lambda: patient.checks[-1].get("host") == "two", 10, "it is asked")
        reread(daemon, health_path="/", health_status="404")
        wait_state(daemon, "a", "going_down")
    finally:
        held.set()


@case(engines=COPY)
def test_another_header_is_another_question(env):
    """The header that a check begins with is a part of what is asked."""
    got = []

    def handle(sock):
        got.append(read_exactly(sock, 15))
        sock.recv(4096)
        sock.sendall(reply())

    daemon = env.spliced(f"a {env.backend(handle).address}", listener={"protocol": "http"},
                         pool={"health_check": "http", **FAST, "health_interval": "1h",
                               "send_proxy": "v1"})
    wait_state(daemon, "a", "up")
    reread(daemon, send_proxy="v2")
    wait_until(lambda: len(got) > 1, 10, "it is asked again")
    assert got == [b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0"], got


# -- slow start

def check_share(env, slow_start, least, most, **pool):
    """Of 110 requests, those that a server has that is back."""
    a, b = Patient(env, "a", SICK), Patient(env, "b")
    daemon = proxy(env, [a, b], slow_start=slow_start, **pool)
    wait_state(daemon, "a", "down")
    assert set(ask(daemon, 20)) == {"b"}
    a.says = reply()
    wait_state(daemon, "a", "up")
    over = time.monotonic() + (0.2 if slow_start == "100ms" else 0)
    wait_until(lambda: time.monotonic() > over, 10, "it is over: by the clock alone")
    got = ask(daemon, 110).count("a")
    assert least <= got <= most, got


@case(engines=COPY)
def test_slow_start(env):
    """A tenth of its weight at first: 10 of 110."""
    check_share(env, "1h", 9, 12)
    check_share(env, "1h", 9, 12, balance="least_sessions")


@case(engines=COPY)
def test_slow_start_over(env):
    check_share(env, "100ms", 54, 56)
    check_share(env, "0", 54, 56, balance="least_sessions")


# -- what is told

@case(engines=COPY)
def test_told(env):
    daemon = proxy(env, [Patient(env, "a"), Patient(env, "b", SICK)])
    wait_state(daemon, "a", "up")
    wait_state(daemon, "b", "down")
    (pool,) = daemon.control("pools")
    (target,) = pool["servers"][1]["targets"]
    assert target["check"] == "status" and target["check_reason"].startswith("HTTP status 503")
    assert 0 <= target["check_ms"] < 1000 and 0 <= target["check_ago_ms"] < 5000
    assert pool["servers"][0]["mode"] == "ready" and pool["servers"][0]["reason"] == ""
    shown = programs.run(daemon.control_tool, "-s", daemon.control_path, "pools").stdout
    row = next(line for line in shown.splitlines() if " b " in line)
    assert re.search(r" down +1 .* HTTP status 503, expected 200-399$", row), shown


@case(engines=COPY)
def test_metrics(env):
    daemon = env.spliced([f"a {Patient(env, 'a').address}", f"b {Patient(env, 'b', SICK).address}"],
                         spliced={"status": "127.0.0.1:0"},
                         pool={"health_check": "http", "health_path": "/health", **FAST})
    wait_state(daemon, "a", "up")
    wait_state(daemon, "b", "down")
    wait_until(lambda: scrape(daemon).sum("spliced_server_checks_total", server="b",
                                          result="status") >= 3, 10, "three checks")
    told = scrape(daemon)
    for name, up, result, other in (("a", 1, "passed", "status"), ("b", 0, "status", "passed")):
        of = {"pool": "main", "server": name}
        assert told.sum("spliced_server_up", **of) == up
        assert told.sum("spliced_server_checks_total", result=result, **of) >= 1
        assert told.sum("spliced_server_checks_total", result=other, **of) == 0
        assert 0 < told.sum("spliced_server_check_duration_seconds", **of) < 1
        assert told.sum("spliced_server_weight", **of) == 1
    assert told.sum("spliced_server_state", server="b", state="down") == 1
    assert told.sum("spliced_server_state", server="b") == 1
