# SPDX-License-Identifier: GPL-2.0-or-later
"""Start and end, of the daemon and of sessions; what happens when something is missing."""

import fcntl
import json
import os
import re
import resource
import select
import signal
import socket
import threading
import time

from lib import case, connect, process, read_all, read_exactly, reset, wait_until
from lib.http import Client, Origin, reply, request, request_log
from lib.http import proxy as http_proxy
from lib.metrics import get
from lib.tcp import free_port, refuses, serve_echo, serve_name
from lib.wait import Deadline, stays

LONG = 60   # seconds that a test never waits for


def echo(client, data=b"still there?"):
    """One round through the proxy."""
    client.sendall(data)
    got = read_exactly(client, len(data))
    assert got == data, f"sent {data!r}, got back {got!r}"


def ends(client):
    """How the peer ended the connection, after what bytes: (b"...", "eof" or "reset")."""
    parts = []
    try:
        while data := client.recv(1 << 16):
            parts.append(data)
    except ConnectionResetError:
        return b"".join(parts), "reset"
    return b"".join(parts), "eof"


def turned_away(proxy):
    """How a client ends that gets no server; connect() itself may see the reset."""
    try:
        with connect(proxy) as client:
            return ends(client)
    except ConnectionResetError:
        return b"", "reset"


def open_session(env, proxy):
    """A client whose session works."""
    client = env.keep(connect(proxy))
    echo(client)
    return client


def fails_to_start(daemon, *words):
    try:
        daemon.start()
    except AssertionError as error:
        assert "exit 1" in str(error), error
        for word in words:
            assert word in str(error), error
    else:
        raise AssertionError("it started")
    daemon.process = None


# ---- the daemon's end ------------------------------------------------------------------------

def test_sigterm_drains(env):
    daemon = env.spliced(env.backend().address, spliced={"shutdown_grace": f"{LONG}s"})
    proxy = daemon.address()
    clients = [open_session(env, proxy) for _ in range(5)]
    names = ["%s:%d" % client.getsockname() for client in clients]
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: refuses(proxy, or_resets=True), 5, "new connections are refused")
    assert daemon.status()["draining"] is True
    for client in clients:
        echo(client, os.urandom(100_000))
        client.shutdown(socket.SHUT_WR)
        assert ends(client) == (b"", "eof")
        assert daemon.running or client is clients[-1]
    assert daemon.wait_exit(5) == 0
    # Whoever asked whether it is refused already may have had a session, too.
    ended = [line["end"] for line in daemon.access_log() if line["client"] in names]
    assert ended == ["done"] * 5, ended


def test_sigterm_without_sessions(env):
    daemon = env.spliced(env.backend().address, spliced={"shutdown_grace": f"{LONG}s"})
    daemon.stop(seconds=3)
    assert not daemon.control_path.exists(), "the control socket is left behind"


def test_shutdown_grace_passes(env):
    daemon = env.spliced(env.backend().address, spliced={"shutdown_grace": "1s"})
    client = open_session(env, daemon.address())
    began = time.monotonic()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_exit(10) == 0
    assert time.monotonic() - began >= 0.9, "the session was not given its time"
    assert ends(client) == (b"", "reset"), "a cut-off stream must not look like an ended one"
    assert daemon.access_log()[-1]["end"] == "shutdown"


def test_second_sigterm_ends_at_once(env):
    daemon = env.spliced(env.backend().address, spliced={"shutdown_grace": f"{LONG}s"})
    client = open_session(env, daemon.address())
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: daemon.status()["draining"], 5, "draining")
    stays(lambda: daemon.running, 0.3, "it waits for the session")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_exit(3) == 0
    assert ends(client)[1] == "reset"
    assert daemon.access_log()[-1]["end"] == "shutdown"


@case(debug=False)
def test_drain_delay(env):
    """Clients are served as before, but whoever asks is told; then it is as without."""
    daemon = env.spliced(env.backend().address, spliced={
        "drain_delay": f"{LONG}s", "shutdown_grace": f"{LONG}s", "status": "127.0.0.1:0"})
    proxy = daemon.address()
    client = open_session(env, proxy)
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: 0 < daemon.status()["drain_in_ms"] <= LONG * 1000, 5, "it is going to drain")
    assert daemon.status()["draining"] is False
    answer = get(daemon, "/readyz")
    assert (answer.status, answer.body) == (503, b"draining\n"), answer
    shown = process.run(daemon.control_tool, "-s", daemon.control_path, "status").stdout
    assert re.search(r"^State +ending, drains in ", shown, re.M), shown
    for _ in range(3):
        echo(open_session(env, proxy))
    echo(client)
    answer = process.run(daemon.control_tool, "-s", daemon.control_path, "reload", check=False)
    assert answer.returncode == 1 and "is ending" in answer.stdout + answer.stderr, answer
    daemon.signal(signal.SIGINT)
    wait_until(lambda: refuses(proxy, or_resets=True), 5, "new connections are refused")
    status = daemon.status()
    assert status["draining"] is True and status["drain_in_ms"] == 0, status
    echo(client)
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_exit(3) == 0
    assert ends(client)[1] == "reset"


@case(debug=False)
def test_drain_delay_passes(env):
    """By itself; and the parent waits for both times."""
    daemon = env.spliced(env.backend().address,
                         spliced={"drain_delay": "400ms", "shutdown_grace": "100ms"})
    client = open_session(env, daemon.address())
    began = time.monotonic()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_exit(10) == 0
    assert time.monotonic() - began >= 0.45, "it was given less than both times"
    assert ends(client)[1] == "reset"
    said = "\n".join(daemon.log())
    assert "drain_delay is over: draining 1 sessions" in said, said


@case(engines=("copy",), timeout=120)
def test_signals_up_to_the_end(env):
    """However many come, and when: it ends as after one."""
    for _ in range(env.pick(15, 3)):
        daemon = env.spliced(env.backend().address)
        over = Deadline(2)
        while daemon.running and not over.passed():
            for number in (signal.SIGTERM, signal.SIGINT) * 50:
                os.kill(daemon.pid, number)     # a zombie does not mind
        assert daemon.wait_exit(10) == 0
        again = [line for line in daemon.log() if " again: " in line]
        assert len(again) <= 1, again


def test_sigterm_during_load(env):
    """The sessions that are there finish byte-exactly."""
    load = env.load("--sessions", 50, "--bytes-up", "2M", "--bytes-down", "2M", "--idle")
    daemon = env.spliced(load.backend, spliced={"shutdown_grace": f"{LONG}s"})
    load.go(daemon.address())
    load.wait_idle()
    daemon.signal(signal.SIGTERM)
    load.send("go")
    load.ok()
    assert daemon.wait_exit(10) == 0
    assert {line["end"] for line in daemon.access_log()} == {"done"}


def test_sigkill_then_restart(env):
    backend = env.backend()
    daemon = env.spliced(backend.address)
    proxy = daemon.address()
    client = open_session(env, proxy)
    daemon.kill()
    assert ends(client)[0] == b""
    # On the same address, and with the control socket of the dead one still there.
    assert daemon.control_path.exists()
    again = env.sections(backend.address, listener={"bind": proxy})
    again["spliced"]["control"] = daemon.control_path
    daemon.write_config(again)
    daemon.start()
    assert daemon.address() == proxy
    open_session(env, proxy)


def test_second_daemon_does_not_take_the_control_socket(env):
    daemon = env.spliced(env.backend().address)
    other = env.spliced(env.backend().address, start=False)
    sections = env.sections(env.backend().address)
    sections["spliced"]["control"] = daemon.control_path
    other.write_config(sections)
    fails_to_start(other, str(daemon.control_path))
    open_session(env, daemon.address())


# ---- a unix listener and its successor -------------------------------------------------------

def unix_listener(env, start=True, **options):
    """A daemon on the one path that these tests are about, and on a port of its own."""
    return env.spliced(env.backend().address, start=start, **options,
                       listener={"bind": f"unix:{env.tmp}/front.sock, 127.0.0.1:0"})


def test_unix_listener_of_a_living_daemon_stays(env):
    first = unix_listener(env)
    fails_to_start(unix_listener(env, start=False), "front.sock", "in use")
    open_session(env, first.address())


def test_unix_listener_is_taken_over(env):
    """The successor starts while the first one drains. The first goes on with its session, and at
    its end leaves alone what is not its own any more (even where the file system gave the new file
    the number of the old one)."""
    first = unix_listener(env, spliced={"shutdown_grace": f"{LONG}s"})
    path = first.address()
    client = open_session(env, first.address(index=1))
    first.signal(signal.SIGTERM)
    wait_until(lambda: refuses(path, or_resets=True), 5, "new connections are refused")
    second = unix_listener(env, spliced={"shutdown_grace": "0s"})
    open_session(env, path)
    echo(client)
    client.close()
    assert first.wait_exit(5) == 0
    open_session(env, path)
    second.stop()
    assert not (env.tmp / "front.sock").exists(), "the socket is left behind"


def test_unix_listener_left_behind_is_replaced(env):
    first = unix_listener(env)
    path = first.address()
    first.kill()
    assert refuses(path, or_resets=True)
    unix_listener(env)
    open_session(env, path)


def test_unix_listener_on_another_file(env):
    """What is not a socket is nobody's to remove."""
    (env.tmp / "front.sock").write_text("precious")
    fails_to_start(unix_listener(env, start=False), "front.sock")
    assert (env.tmp / "front.sock").read_text() == "precious"


# ---- the log ---------------------------------------------------------------------------------

def drain(pipe):
    """What is in the pipe now."""
    os.set_blocking(pipe, False)
    parts = []
    try:
        while data := os.read(pipe, 1 << 16):
            parts.append(data)
    except BlockingIOError:
        pass
    return b"".join(parts).decode()


def test_stderr_that_nobody_reads(env):
    """A pipe that is full, then read, then closed: lines are lost, and nothing waits for it."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    load = env.load("--sessions", 300, "--concurrency", 50, "--bytes-up", "1K", "--bytes-down",
                    "1K")
    daemon = env.spliced(load.backend, spliced={"log_level": "debug"}, start=False)
    daemon.start(output=writer)
    os.close(writer)
    env.check_engine(daemon)
    load.go(daemon.address()).ok()
    daemon.wait_sessions(0)
    assert daemon.stats()["ends"]["done"] == 300

    lines = drain(reader).splitlines()
    assert lines and all(re.match(r"\d{4}-\S+Z (info|debug|warning) ", line) for line in lines), lines
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 1 << 16)
    # The load tool's backend is gone by now.
    assert turned_away(daemon.address()) == (b"", "reset")
    text = [""]

    def told():
        text[0] += drain(reader)
        return " end=connect_failed" in text[0]
    wait_until(told, 5, "a line that somebody reads")

    os.close(reader)
    assert turned_away(daemon.address()) == (b"", "reset")
    daemon.stop()


def test_sighup_changes_the_log(env):
    daemon = env.spliced(env.backend().address)
    proxy = daemon.address()
    client = open_session(env, proxy)
    sections = env.sections(env.backend().address, spliced={"log_level": "debug"})
    sections["spliced"]["control"] = daemon.control_path
    daemon.write_config(sections)
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: any("reload" in line for line in daemon.log()), 5, "a line about the reload")
    echo(client)
    open_session(env, proxy)
    wait_until(lambda: any(" debug " in line for line in daemon.log()), 5, "debug lines")


def test_sighup_with_a_bad_file_changes_nothing(env):
    daemon = env.spliced(env.backend().address)
    proxy = daemon.address()
    client = open_session(env, proxy)
    daemon.write_config("[spliced]\nengine = fast\n")
    daemon.signal(signal.SIGHUP)
    expected = f"{daemon.config_path}:2:"
    wait_until(lambda: any(expected in line for line in daemon.log()), 5, f"a line with {expected}")
    assert daemon.running
    echo(client)
    open_session(env, proxy)


# ---- sessions as they are shown ----------------------------------------------------------------

def test_sessions_are_listed(env):
    backend = env.backend()
    daemon = env.spliced(backend.address)
    client = open_session(env, daemon.address())
    echo(client, b"x" * 100_000)
    moved = 100_000 + len(b"still there?")

    def shown():
        sessions = daemon.sessions()
        assert len(sessions) == 1, sessions
        return sessions[0] if sessions[0]["bytes_down"] == moved else None
    session = wait_until(shown, 5, f"a session with {moved} bytes down")
    assert session["bytes_up"] == moved, session
    assert session["engine"] == env.engine, session
    assert session["client"] == "%s:%d" % client.getsockname(), session
    assert session["backend"] == backend.address, session
    assert (session["listener"], session["pool"], session["server"]) == ("web", "main", "a")
    assert session["state"] == "open" and session["age_ms"] >= 0, session
    client.shutdown(socket.SHUT_WR)
    assert ends(client) == (b"", "eof")
    line = daemon.wait_access()[0]
    assert (line["bytes_up"], line["bytes_down"], line["end"]) == (str(moved), str(moved), "done")
    assert (line["engine"], line["client"]) == (env.engine, session["client"]), line
    assert daemon.sessions() == []


def algorithms(*filters):
    """What `ss` says of the congestion control of the established sockets it finds."""
    lines = process.run("ss", "-Htni", "state", "established", *filters).stdout.splitlines()
    return [line.split()[0] for line in lines if " cwnd:" in line]


@case(debug=False)
def test_congestion_control_of_the_loopback(env):
    """Both sockets of the daemon, whatever the listener is bound to; the peers' keep theirs."""
    with open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="ascii") as file:
        system = file.read().strip()
    for option, expected in (("auto", "reno" if system == "bbr" else system), ("system", system)):
        for bind in ("127.0.0.1:0", "0.0.0.0:0", "[::]:0, 127.0.0.1:0"):
            backend = env.backend()
            daemon = env.spliced(backend.address, spliced={"local_congestion": option},
                                 listener={"bind": bind})
            port = daemon.address().rpartition(":")[2]
            host = "[::1]" if bind.startswith("[") else "127.0.0.1"
            client = open_session(env, f"{host}:{port}")
            assert algorithms("sport", "=", f":{port}") == [expected], (option, bind)
            assert algorithms("dport", "=", f":{port}") == [system], (option, bind)
            to_backend = f":{backend.address.rpartition(':')[2]}"
            assert algorithms("dport", "=", to_backend) == [expected], (option, bind)
            client.close()


# ---- too little of something -----------------------------------------------------------------

def descriptors_for(daemon, sessions):
    """Leaves the daemon descriptors for about that many more sessions."""
    limit = daemon.fds() + 2 * sessions
    resource.prlimit(daemon.worker_pid, resource.RLIMIT_NOFILE, (limit, limit))


def pauses(daemon):
    return [line for line in daemon.log() if "accepting is paused" in line]


def test_out_of_descriptors(env):
    daemon = env.spliced(env.backend().address)
    proxy = daemon.address()
    open_session(env, proxy)    # whatever is opened once is open
    descriptors_for(daemon, 10)
    # The kernel takes connections into the queue without the daemon's help.
    clients = [env.keep(connect(proxy)) for _ in range(30)]
    for client in clients:
        client.sendall(b"hello")
    # Not by the control socket: nothing is left for its connections either.
    wait_until(lambda: pauses(daemon), 10, "accepting is paused")
    cpu, began = daemon.cpu_seconds(), time.monotonic()
    stays(lambda: daemon.running, 2, "it lives")
    share = (daemon.cpu_seconds() - cpu) / (time.monotonic() - began)
    assert share < 0.15, f"it spins: {share:.0%} of a CPU while it can accept nothing"
    assert len(pauses(daemon)) == 1, pauses(daemon)

    while clients:
        # Each gets its answer once others have made room; in which order is the workers' affair.
        ready = select.select(clients, [], [], 10)[0]
        assert ready, f"{len(clients)} clients still wait"
        for client in ready:
            assert read_exactly(client, 5) == b"hello"
            client.close()
            clients.remove(client)
    daemon.wait_sessions(1)
    assert daemon.stats()["accept_failures"] > 0
    assert len(pauses(daemon)) == 1, pauses(daemon)
    open_session(env, proxy)


def test_out_of_descriptors_for_servers(env):
    """Clients that were accepted before descriptors ran out wait for those of others."""
    origin = Origin(env)
    daemon = http_proxy(env, origin.address)
    with Client(daemon.address()) as client:
        assert client.ask().status == 200
    daemon.wait_sessions(0)
    descriptors_for(daemon, 10)
    clients = [Client(daemon.address()) for _ in range(14)]
    daemon.wait_sessions(len(clients))
    for client in clients:
        client.send(request("GET", "/", "Connection: close"))
    assert [client.response().status for client in clients] == [200] * len(clients)
    for client in clients:
        client.close()
    daemon.wait_sessions(0)


def fill_descriptors(env, daemon):
    """Clients of its first listener take all of its numbers that are free, and there are no more: only the number of
    what it closes is there again."""
    def free():
        used = {int(name) for name in os.listdir(f"/proc/{daemon.worker_pid}/fd")}
        return len(set(range(max(used))) - used), max(used) + 1

    clients = 0
    while (missing := free()[0]):
        for _ in range(missing):
            env.keep(connect(daemon.address("web")))
        clients += missing
        daemon.wait_sessions(clients)
    limit = free()[1]
    resource.prlimit(daemon.worker_pid, resource.RLIMIT_NOFILE, (limit, limit))


@case(engines=("copy",))
def test_out_of_descriptors_that_another_worker_keeps(env):
    """Connections that one worker keeps for later make way for the clients of all."""
    number = 24
    gather = threading.Barrier(number, timeout=20)

    def serve(connection):
        connection.head()
        gather.wait()
        connection.send(reply(b"x"))
        connection.reader.rest()

    origin = Origin(env, serve=serve)
    daemon = env.spliced(origin.address, spliced={"workers": 2, "spread": "hash"},
                        listener={"protocol": "http", "keepalive_timeout": f"{LONG}s", "head_timeout": f"{LONG}s",
                                  "sniff_timeout": f"{LONG}s"},
                        more={"listener plain": {"bind": "127.0.0.1:0", "pool": "echo"},
                              "pool echo": {"server": f"a {env.backend().address}"}})
    clients, others = [], []
    while len(clients) < number:
        before = daemon.status()["spread"]["sessions"]
        client = Client(daemon.address())
        daemon.wait_sessions(sum(before) + 1)
        (others if before[0] == daemon.status()["spread"]["sessions"][0] else clients).append(client)
    for client in clients:
        client.send(request())
    for client in clients:
        assert client.response().body == b"x"
    for client in clients + others:
        client.close()
    daemon.wait_sessions(0)
    fill_descriptors(env, daemon)
    # The kernel chooses: all of them at the first worker, which keeps all, is next to impossible.
    for _ in range(number // 2 - 1):
        echo(env.keep(connect(daemon.address("plain"))))


def test_out_of_descriptors_for_long(env):
    """Not for longer than a server may take."""
    origin = Origin(env, serve=lambda connection: connection.reader.rest())
    daemon = http_proxy(env, origin.address, pool={"connect_timeout": "500ms"})
    descriptors_for(daemon, 10)
    clients = [Client(daemon.address()) for _ in range(14)]
    daemon.wait_sessions(len(clients))
    for client in clients:
        client.send(request("GET", "/"))
    ended = wait_until(lambda: request_log(daemon), 5, "a request ends")
    assert {line["end"] for line in ended} == {"limit"}, ended
    assert all(int(line["total_ms"]) >= 500 for line in ended), ended


def test_global_session_limit(env):
    daemon = env.spliced(env.backend().address, spliced={"max_sessions": 3})
    check_limit_of_three(env, daemon)


def test_listener_session_limit(env):
    daemon = env.spliced(env.backend().address, listener={"max_sessions": 3})
    check_limit_of_three(env, daemon)


def check_limit_of_three(env, daemon):
    """The fourth client waits in the backlog, costs nothing, and is served when there is room."""
    proxy = daemon.address()
    clients = [open_session(env, proxy) for _ in range(3)]
    waiting = env.keep(connect(proxy))
    waiting.sendall(b"me too")
    cpu = daemon.cpu_seconds()
    stays(lambda: daemon.status()["sessions_active"] == 3, 0.7, "three sessions, not four")
    assert daemon.cpu_seconds() - cpu < 0.3, "it spins while it is full"
    clients[1].close()
    assert read_exactly(waiting, 6) == b"me too"
    assert daemon.status()["sessions_active"] == 3
    for client in (clients[0], clients[2]):
        echo(client)


# ---- backends that are not there -------------------------------------------------------------

def test_refused_goes_to_the_next_server(env):
    closed, holder = free_port()
    env.keep(holder)
    daemon = env.spliced([closed, env.backend().address])
    for _ in range(10):
        open_session(env, daemon.address())
    stats = daemon.stats()
    assert stats["retries"] == 1, stats
    assert daemon.server("a")["connect_failures"] == 1
    assert daemon.server("b")["sessions_active"] == 10
    assert daemon.server("a")["sessions_active"] == 0


def test_unanswered_goes_to_the_next_server(env):
    """A server that drops connection attempts."""
    daemon = env.spliced([env.deaf(), env.backend().address], pool={"connect_timeout": "300ms"})
    for _ in range(2):
        began = time.monotonic()
        open_session(env, daemon.address())
        assert time.monotonic() - began < 3, "connect_timeout is 300 ms"
    assert daemon.server("a")["connect_failures"] >= 1


def test_all_servers_down(env):
    closed, holder = free_port()
    other, holder2 = free_port()
    env.keep(holder), env.keep(holder2)
    daemon = env.spliced([closed, other])
    assert turned_away(daemon.address()) == (b"", "reset")
    line = daemon.wait_access()[0]
    assert line["end"] == "connect_failed", line
    assert (line["bytes_up"], line["bytes_down"]) == ("0", "0"), line
    warnings = [line for line in daemon.log() if "refused" in line]
    assert any(closed in line for line in warnings), warnings


def test_server_comes_back(env):
    address, holder = free_port()
    daemon = env.spliced(address, pool={"retries": 0})
    assert turned_away(daemon.address()) == (b"", "reset")
    holder.close()
    env.backend(address=address)
    open_session(env, daemon.address())


def fork_sender(env, data, unread):
    """A backend in a process of its own, which sends `data` again and again: (address, pid).

    With `unread` it leaves what the client sent in its queue, so that killing it resets.
    """
    listener = env.keep(socket.create_server(("127.0.0.1", 0)))
    pid = os.fork()
    if pid == 0:
        sock, _ = listener.accept()
        if not unread:
            sock.recv(100)
        while True:
            sock.sendall(data)
    return "127.0.0.1:%d" % listener.getsockname()[1], pid


def check_killed_backend(env, unread):
    data = os.urandom(10_007)
    address, pid = fork_sender(env, data, unread)
    daemon = env.spliced(address)
    client = env.keep(connect(daemon.address()))
    client.sendall(b"begin")
    got = read_exactly(client, 1_000_000)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    rest, ending = ends(client)
    got += rest
    repeats = len(got) // len(data) + 1
    assert got == (data * repeats)[:len(got)], "the bytes before the end are not what was sent"
    client.close()
    line = daemon.wait_access()[0]
    return ending, line["end"], int(line["bytes_down"]) - len(got)


def test_backend_dies_with_unread_data(env):
    ending, end, _ = check_killed_backend(env, unread=True)
    assert (ending, end) == ("reset", "server_reset")


def test_backend_dies(env):
    """Its kernel ends the stream properly: all that was sent arrives, and then the end."""
    ending, end, missing = check_killed_backend(env, unread=False)
    assert (ending, end, missing) == ("eof", "done", 0)


def test_client_dies(env):
    daemon = env.spliced(env.backend().address)
    client = open_session(env, daemon.address())
    reset(client)
    line = daemon.wait_access()[0]
    assert line["end"] == "client_reset", line
    daemon.wait_sessions(0)


# ---- who is let in -------------------------------------------------------------------------------

def is_served(env, proxy, source):
    """Whether a client from that address reaches the backend."""
    try:
        client = env.keep(connect(proxy, source=source))
        echo(client)
    except (AssertionError, ConnectionError):
        return False
    return True


def test_deny(env):
    daemon = env.spliced(env.backend().address, listener={"deny": "127.0.0.2, 127.0.1.0/24"})
    proxy = daemon.address()
    served = {source: is_served(env, proxy, source)
              for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.1.77", "127.0.2.1")}
    assert served == {"127.0.0.1": True, "127.0.0.2": False, "127.0.0.3": True,
                      "127.0.1.77": False, "127.0.2.1": True}
    wait_until(lambda: daemon.stats()["denied"] == 2, 5, "two clients denied")
    denied = [line["client"].split(":")[0] for line in daemon.access_log()
              if line["end"] == "denied"]
    assert denied == ["127.0.0.2", "127.0.1.77"], denied


def test_allow_and_deny(env):
    daemon = env.spliced(env.backend().address,
                         listener={"allow": "127.0.0.0/24", "deny": "127.0.0.9"})
    proxy = daemon.address()
    served = {source: is_served(env, proxy, source)
              for source in ("127.0.0.1", "127.0.0.9", "127.0.3.1")}
    assert served == {"127.0.0.1": True, "127.0.0.9": False, "127.0.3.1": False}


# ---- who is chosen -----------------------------------------------------------------------------

def named_servers(env, *words):
    """Servers that say their name: ["a ADDRESS weight=2", ...] for the words after the name."""
    servers = []
    for word in words:
        name, _, rest = word.partition(" ")
        servers.append(f"{name} {env.backend(serve_name(name)).address} {rest}".strip())
    return servers


def ask(env, proxy):
    """(name of the server, the client), which stays connected."""
    client = env.keep(connect(proxy))
    return read_exactly(client, 2).decode().strip(), client


def test_round_robin(env):
    daemon = env.spliced(named_servers(env, "a", "b", "c"))
    names = [ask(env, daemon.address())[0] for _ in range(12)]
    assert names == names[:3] * 4 and set(names) == {"a", "b", "c"}, names


def test_weights(env):
    daemon = env.spliced(named_servers(env, "a weight=3", "b", "c weight=2"))
    names = [ask(env, daemon.address())[0] for _ in range(36)]
    assert {name: names.count(name) for name in "abc"} == {"a": 18, "b": 6, "c": 12}, names
    # Smooth: no server gets its share in one go.
    assert "aaaa" not in "".join(names), names


def test_least_sessions(env):
    daemon = env.spliced(named_servers(env, "a", "b"), pool={"balance": "least_sessions"})
    proxy = daemon.address()
    held = [ask(env, proxy) for _ in range(6)]
    assert sorted(name for name, _ in held) == list("aaabbb"), held
    for name, client in held:
        if name == "a":
            client.close()
    wait_until(lambda: daemon.server("a")["sessions_active"] == 0, 5, "a is free")
    assert [ask(env, proxy)[0] for _ in range(3)] == ["a", "a", "a"]


def test_least_sessions_by_weight(env):
    daemon = env.spliced(named_servers(env, "a weight=2", "b"), pool={"balance": "least_sessions"})
    names = [ask(env, daemon.address())[0] for _ in range(9)]
    assert (names.count("a"), names.count("b")) == (6, 3), names


def test_backup_only_when_needed(env):
    closed, holder = free_port()
    servers = named_servers(env, "b backup")
    daemon = env.spliced([f"a {closed}", *servers], pool={"fail_timeout": "200ms"})
    assert ask(env, daemon.address())[0] == "b"
    holder.close()
    env.backend(serve_name("a"), address=closed)
    wait_until(lambda: ask(env, daemon.address())[0] == "a", 10, "a is back", poll=0.05)
    assert [ask(env, daemon.address())[0] for _ in range(5)] == ["a"] * 5


def test_server_session_limit(env):
    daemon = env.spliced(named_servers(env, "a max_sessions=1", "b max_sessions=2"))
    proxy = daemon.address()
    held = [ask(env, proxy) for _ in range(3)]
    assert sorted(name for name, _ in held) == ["a", "b", "b"], held
    assert turned_away(proxy) == (b"", "reset")
    assert daemon.wait_access()[0]["end"] == "no_server"
    dict(held)["a"].close()
    wait_until(lambda: daemon.server("a")["sessions_active"] == 0, 5, "a is free")
    assert ask(env, proxy)[0] == "a"


# ---- silence -----------------------------------------------------------------------------------

def test_idle_timeout(env):
    daemon = env.spliced(env.backend().address, listener={"idle_timeout": "500ms"})
    began = time.monotonic()
    client = open_session(env, daemon.address())
    assert ends(client) == (b"", "reset")
    assert 0.4 < time.monotonic() - began < 5
    line = daemon.wait_access()[0]
    assert line["end"] == "idle_timeout", line
    daemon.wait_sessions(0)


def test_trickle_is_not_idle(env):
    """Bytes that the kernel moves count, in either direction alone."""
    def talk(sock):
        sock.recv(1)
        for i in range(16):
            time.sleep(0.1)
            sock.sendall(b"%x" % i)

    daemon = env.spliced(env.backend(talk).address, listener={"idle_timeout": "700ms"})
    client = env.keep(connect(daemon.address()))
    client.sendall(b"!")
    assert read_exactly(client, 16) == b"0123456789abcdef"
    client.close()
    assert daemon.wait_access()[0]["end"] == "done"


def silent_after_end(sock):
    """Answers once the client has ended, then neither sends nor ends."""
    data = read_all(sock)
    sock.sendall(data)
    time.sleep(LONG)


def test_half_close_timeout(env):
    daemon = env.spliced(env.backend(silent_after_end).address,
                         listener={"half_close_timeout": "500ms"})
    client = env.keep(connect(daemon.address()))
    client.sendall(b"the last word")
    client.shutdown(socket.SHUT_WR)
    began = time.monotonic()
    assert ends(client)[0] == b"the last word"
    assert time.monotonic() - began < 5
    assert daemon.wait_access()[0]["end"] == "half_close_timeout"


def test_half_close_timeout_counts_from_the_last_byte(env):
    def slow_answer(sock):
        data = read_all(sock)
        for i in range(0, len(data), 100):
            time.sleep(0.1)
            sock.sendall(data[i:i + 100])

    daemon = env.spliced(env.backend(slow_answer).address,
                         listener={"half_close_timeout": "700ms"})
    client = env.keep(connect(daemon.address()))
    data = os.urandom(1500)
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    assert ends(client) == (data, "eof")
    assert daemon.wait_access()[0]["end"] == "done"


def test_no_timeouts(env):
    daemon = env.spliced(env.backend().address,
                         listener={"idle_timeout": 0, "half_close_timeout": 0})
    client = open_session(env, daemon.address())
    stays(lambda: daemon.status()["sessions_active"] == 1, 1, "the session is kept")
    echo(client)


# ---- the engine ----------------------------------------------------------------------------------

def test_idle_sessions_cost_no_cpu(env):
    """A session that moves nothing wakes nobody."""
    load = env.load("--sessions", 200, "--idle")
    daemon = env.spliced(load.backend)
    load.go(daemon.address())
    load.wait_idle()
    cpu = daemon.cpu_seconds()
    stays(lambda: daemon.running, 2, "it lives")
    used = daemon.cpu_seconds() - cpu
    assert used <= env.pick(0.05, 0.5), f"{used:.2f} s of CPU for 200 idle sessions in 2 s"
    load.send("go")
    load.ok()


@case(engines=("kernel",))
def test_spliced_bytes_wake_nobody(env):
    """Requests and responses between peers that keep up: the daemon sleeps through them."""
    load = env.load("--sessions", 4, "--pingpong", 64, env.pick(10_000, 1000), "--idle")
    daemon = env.spliced(load.backend)
    load.go(daemon.address())
    load.wait_idle()
    wait_until(lambda: daemon.stats()["sessions_kernel"] == 4, 5, "four sessions in the kernel")
    cpu = daemon.cpu_seconds()
    load.send("go")
    load.ok()
    used = daemon.cpu_seconds() - cpu
    assert used <= env.pick(0.1, 1), f"{used:.2f} s of CPU for 40 000 round trips"


@case(engines=("kernel",), core=True)
def test_process_namespace(env):
    """As in a container: sockops knows the daemon's sockets by a process id that the daemon cannot
    see. (That sources leave the map under their lock is what the canary wants to see.)"""
    done = process.run("unshare", "--pid", "--fork", "--kill-child",
                       env.binary("spliced"), "doctor", "--json")
    checks = {check["name"]: check["answer"] for check in json.loads(done.stdout)["checks"]}
    assert checks["sockops"] == "yes" and checks["canary_burst"] == "yes", done.stdout


@case(engines=())
def test_engine_auto(env):
    """auto is the kernel where the canary passes, and says why where not."""
    daemon = env.spliced(env.backend(serve_echo).address)
    status = daemon.status()
    assert status["engine"] in ("kernel", "copy"), status
    assert status["engine_reason"], status
    assert (status["engine"] == "kernel") == (status["canary"] == "passed"), status
    open_session(env, daemon.address())


@case(engines=("copy",))
def test_hello_server_runs_out_of_descriptors(env):
    """The server inside the daemon accepts again when there are descriptors, also where those who
    wait for that hold all of them."""
    daemon = env.spliced("internal:hello", listener={"protocol": "http"},
                         spliced={"max_sessions": 64, "workers": 1},
                         prefix=("prlimit", "--nofile=64:64"))
    proxy = daemon.address()
    clients = [Client(proxy) for _ in range(40)]
    for client in clients:
        client.send(request("GET", "/stream"))
    wait_until(lambda: daemon.fds() >= 63, 10, "descriptors have run out")
    stays(lambda: daemon.running, 1, "it lives")
    for client in clients:
        client.close()

    def answers():
        with Client(proxy, timeout=20) as client:
            client.send(request("GET", "/"))
            return client.response().status == 200
    wait_until(answers, 25, "the server inside answers again")
    assert not [line for line in daemon.log() if "[warn]" in line or "event_base" in line]
