# SPDX-License-Identifier: GPL-2.0-or-later
"""The status server: what /metrics tells, /healthz and /readyz, and clients that mean it no good."""

import ctypes
import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import time

from lib import case, connect, process, read_all, read_exactly, reset, wait_until
from lib.env import ROOT
from lib.http import Client, Origin, reply, request
from lib.http import proxy as http_proxy
from lib.metrics import Metrics, address, expressions, get, scrape
from lib.tcp import free_port
from lib.traffic import through
from lib.wait import Deadline, stays

AT_DEBUG = False

STATUS = {"status": "127.0.0.1:0"}
MIB = 1 << 20


def histogram_sums(metrics, name, **labels):
    """(how many, seconds) of a histogram, whose bounds must add up."""
    count = metrics.sum(name + "_count", **labels)
    assert metrics.sum(name + "_bucket", le="+Inf", **labels) == count
    before = 0
    for (known, has), value in metrics.values.items():
        if known == name + "_bucket" and labels.items() <= dict(has).items():
            before = value if dict(has)["le"] != "+Inf" and value >= before else 0
    return count, metrics.sum(name + "_sum", **labels)


def wait_metrics(daemon, condition, what, seconds=5):
    """A scrape for which it holds."""
    def look():
        metrics = scrape(daemon)
        return metrics if condition(metrics) else None
    return wait_until(look, seconds, what, poll=0.05)


# ---- what is counted -------------------------------------------------------------------------

def serve_answer(size):
    """Reads everything, and then answers with so many bytes."""
    def handle(sock):
        read_all(sock)
        sock.sendall(b"y" * size)
    return handle


@case(core=True)
def test_bytes_of_a_session(env):
    up, down = 5 * MIB + 1, 3 * MIB + 7
    daemon = env.spliced(env.backend(serve_answer(down)).address, spliced=STATUS)
    began = time.monotonic()
    with connect(daemon.address()) as client:
        client.sendall(b"x" * up)
        live = wait_metrics(
            daemon, lambda m: m.sum("spliced_listener_bytes_total", direction="up") == up,
            "the bytes of a session that lives")
        assert live.sum("spliced_sessions_active") == 1
        assert live.sum("spliced_listener_sessions_active", listener="web") == 1
        assert live.sum("spliced_server_sessions_active", pool="main", server="a") == 1
        assert live.sum("spliced_server_bytes_total", server="a", direction="up") == up
        assert histogram_sums(live, "spliced_listener_session_duration_seconds") == (0, 0)
        client.shutdown(socket.SHUT_WR)
        assert len(read_all(client)) == down
    lasted = time.monotonic() - began
    daemon.wait_sessions(0)
    told = scrape(daemon)
    for of, labels in (("listener", {"listener": "web"}), ("server", {"pool": "main", "server": "a"})):
        name = f"spliced_{of}_bytes_total"
        assert told.sum(name, direction="up", **labels) == up
        assert told.sum(name, direction="down", **labels) == down
        assert told.sum(name, engine=env.engine, direction="up", **labels) > up // 2
        if env.engine == "copy":
            assert told.sum(name, engine="kernel", **labels) == 0
    assert told.sum("spliced_bytes_copied_total") + told.sum("spliced_bytes_redirected_total") \
        == up + down
    assert told.sum("spliced_listener_sessions_total", listener="web") == 1
    assert told.sum("spliced_listener_sessions_ended_total", engine=env.engine) == 1
    assert told.sum("spliced_listener_sessions_ended_total") == 1
    assert told.sum("spliced_ends_total", end="done") == told.sum("spliced_ends_total") == 1
    count, seconds = histogram_sums(told, "spliced_listener_session_duration_seconds")
    assert count == 1 and 0 < seconds <= lasted, seconds
    count, seconds = histogram_sums(told, "spliced_server_connect_duration_seconds",
                                    pool="main", server="a")
    assert count == 1 and 0 < seconds < lasted, seconds
    assert told.sum("spliced_server_sessions_total", server="a") == 1
    assert told.sum("spliced_sessions_active") == 0


def test_requests(env):
    """By server and by listener: responses, times, and the daemon's own answers."""
    wait = 0.2

    def answer(asked):
        if asked.target == "/slow":
            time.sleep(wait)
        return reply(b"12345", status="404 Not Found" if asked.target == "/no" else "200 OK")
    good, dead = Origin(env, answer), free_port()
    daemon = http_proxy(env, good.address, spliced=STATUS, pools={"dead": dead[0]},
                        listener={"route": "path:/dead -> dead"})
    with Client(daemon.address()) as client:
        assert [client.ask(target=target).status
                for target in ("/", "/slow", "/no", "/", "/dead")] == [200, 200, 404, 200, 502]
    daemon.wait_sessions(0)
    told = scrape(daemon)
    web, a, s = {"listener": "web"}, {"pool": "main", "server": "a"}, {"pool": "dead", "server": "s"}
    for name, labels, ends in (
            ("spliced_http_responses_total", {}, (3, 1, 1)),
            ("spliced_listener_http_responses_total", web, (3, 1, 1)),
            ("spliced_server_http_responses_total", a, (3, 1, 0)),
            ("spliced_server_http_responses_total", s, (0, 0, 0))):
        got = tuple(told.sum(name, **{"class": digit}, **labels) for digit in ("2xx", "4xx", "5xx"))
        assert got == ends, (name, labels, got)
    count, seconds = histogram_sums(told, "spliced_server_first_byte_duration_seconds", **a)
    assert count == 4 and seconds >= wait
    assert told.sum("spliced_server_first_byte_duration_seconds_bucket", le="0.05", **a) <= 3
    count, seconds = histogram_sums(told, "spliced_listener_request_duration_seconds", **web)
    assert count == 5 and seconds >= wait
    # The connection was kept; it was not connected a second time.
    assert histogram_sums(told, "spliced_server_connect_duration_seconds", **a)[0] \
        == len(good.connections)
    assert histogram_sums(told, "spliced_server_connect_duration_seconds", **s)[0] == 0
    assert told.sum("spliced_server_connect_failures_total", **s) >= 1
    assert told.sum("spliced_server_up", **s) == 0 and told.sum("spliced_server_up", **a) == 1
    assert told.sum("spliced_server_state", state="ejected", **s) == 1
    assert told.sum("spliced_server_passed_over_total", **s) == 1
    assert told.sum("spliced_http_ends_total", end="connect_failed") == 1
    assert told.sum("spliced_server_bytes_total", direction="down", **a) > 4 * 5


def test_bytes_are_the_servers_they_came_from(env):
    """One connection of a client, two servers by turns."""
    sizes = {"/a": 200_000, "/b": 70_000}
    origins = {path: Origin(env, lambda asked: reply(b"z" * sizes[asked.target]), name=path[1:])
               for path in sizes}
    daemon = http_proxy(env, origins["/a"].address, spliced=STATUS, pools={"b": origins["/b"].address},
                        listener={"route": "path:/b -> b", "body_splice_min": "1K"})
    with Client(daemon.address()) as client:
        for path in ("/a", "/b", "/a", "/a", "/b"):
            assert client.ask(target=path).size == sizes[path]
    daemon.wait_sessions(0)
    told = scrape(daemon)
    for pool, times, path in (("main", 3, "/a"), ("b", 2, "/b")):
        got = told.sum("spliced_server_bytes_total", pool=pool, direction="down")
        assert times * sizes[path] < got < times * (sizes[path] + 300), (pool, got)
    assert told.sum("spliced_listener_bytes_total", direction="down") \
        == told.sum("spliced_server_bytes_total", direction="down")


@case(engines=("kernel",))
def test_bytes_of_the_bypass(env):
    number, size, rounds = 4, 2000, 1000
    cgroup = env.cgroup()
    _, daemon = through(env, "--sessions", number, "--pingpong", size, rounds,
                        prefix=cgroup.prefix(), listener={"local_bypass": "both"},
                        spliced={**STATUS, "bypass_cgroup": cgroup.path})
    daemon.wait_sessions(0)
    told = scrape(daemon)
    for name in ("spliced_listener_bytes_total", "spliced_server_bytes_total"):
        assert told.sum(name, direction="up") == number * size * rounds
        assert told.sum(name, direction="down") == number * size * rounds
        assert told.sum(name, engine="bypass") == told.sum("spliced_bytes_bypassed_total")
    assert told.sum("spliced_bytes_bypassed_total") > 0
    bypassed = daemon.stats()["sessions_bypass"]
    assert told.sum("spliced_listener_sessions_ended_total", engine="bypass") == bypassed > 0
    assert told.sum("spliced_canary_check_passed", check="bypass_account") == 1


def test_nothing_becomes_less(env):
    """What a client that resets its connection never took was counted while it lived."""
    daemon = env.spliced(env.backend(lambda sock: sock.sendall(b"x" * (64 * MIB))).address,
                         spliced=STATUS)
    before = scrape(daemon).counters()
    deadline = Deadline(2)
    while not deadline.passed():
        client = connect(daemon.address())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        read_exactly(client, 128 << 10)
        for _ in range(3):
            now = scrape(daemon).counters()
            fell = {key: (before[key], now.get(key)) for key in before
                    if now.get(key, -1) < before[key]}
            assert not fell, fell
            before = now
        reset(client)
    daemon.wait_sessions(0)
    assert scrape(daemon).sum("spliced_ends_total", end="client_reset") >= 1


def test_many_sessions(env):
    """More than a worker looks at in one turn; each is counted once."""
    number = env.pick(600, 150)
    daemon = env.spliced(env.backend().address, spliced=STATUS)
    clients = [env.keep(connect(daemon.address())) for _ in range(number)]
    for i, client in enumerate(clients):
        client.sendall(b"x" * (i + 1))
    for i, client in enumerate(clients):
        assert len(read_exactly(client, i + 1)) == i + 1
    total = number * (number + 1) // 2
    told = scrape(daemon)
    assert told.sum("spliced_listener_bytes_total", direction="up") == total
    assert told.sum("spliced_listener_bytes_total", direction="down") == total
    assert told.sum("spliced_sessions_active") == number
    for client in clients[::2]:
        client.close()
    daemon.wait_sessions(number - len(clients[::2]))
    assert scrape(daemon).sum("spliced_server_bytes_total") == 2 * total


# ---- the text --------------------------------------------------------------------------------

def every_kind(env, **spliced):
    """A daemon with listeners of every kind, and servers in several states."""
    origin = Origin(env)
    daemon = env.spliced(
        [origin.address, "b 127.0.0.1:1", "c nowhere.invalid:80 backup"],
        spliced={**STATUS, **spliced}, listener={"protocol": "http"},
        more={"listener raw": {"bind": "127.0.0.1:0", "pool": "tcp"},
              "listener names": {"bind": "127.0.0.1:0", "protocol": "tls", "pool": "tcp"},
              "pool tcp": {"server": f"s {env.backend().address}", "health_check": "tcp",
                           "health_interval": "100ms"}})
    wait_until(lambda: daemon.server("s")["state"] == "up", 10, "it is checked")
    with Client(daemon.address()) as client:
        assert client.ask().status == 200
    with connect(daemon.address("raw")) as client:
        client.sendall(b"hello")
        assert read_exactly(client, 5) == b"hello"
    return daemon


def test_promtool(env):
    if not shutil.which("promtool"):
        env.skip("promtool is not installed")
    daemon = every_kind(env)
    text = get(daemon).body.decode()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                          capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, ""), done


def test_control_socket_tells_the_same(env):
    daemon = every_kind(env)
    done = process.run(daemon.control_tool, "-s", daemon.control_path, "stats", "--prometheus")
    by_control, by_http = Metrics(done.stdout), scrape(daemon)
    assert by_control.values.keys() == by_http.values.keys()
    assert by_control.help == by_http.help
    stats = daemon.stats()
    for name, value in stats.items():
        if isinstance(value, int):
            kind = name if name in ("sessions_active", "sessions_sniffing") \
                else name.removesuffix("_total") + "_total"
            assert abs(by_http.sum(f"spliced_{kind}") - value) <= max(100, value / 10), name
        elif isinstance(value, dict):
            for key in value:
                assert [1 for known, labels in by_http.values
                        if known == f"spliced_{name}_total" and key in dict(labels).values()] \
                    == [1], (name, key)


def test_control_socket_says_what_is_wrong(env):
    daemon = env.spliced(env.backend().address)
    for words, status, text in (
            (("pools", "--prometheus"), 2, "--prometheus is for stats, not for pools"),
            (("stats", "graphite"), 2, "too many arguments: graphite")):
        done = process.run(daemon.control_tool, "-s", daemon.control_path, *words, check=False)
        assert done.returncode == status and text in done.stderr, done
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(daemon.control_path))
        sock.sendall(b"stats graphite\n")
        assert read_all(sock) == b'{"error":"stats: \\"graphite\\" is not prometheus"}\n'


def test_http_series_are_of_http(env):
    told = scrape(every_kind(env))
    for name in ("spliced_listener_http_responses_total",
                 "spliced_listener_request_duration_seconds_count"):
        assert {dict(labels)["listener"] for known, labels in told.values if known == name} == {"web"}
    for name in ("spliced_server_http_responses_total",
                 "spliced_server_first_byte_duration_seconds_count"):
        assert {dict(labels)["pool"] for known, labels in told.values if known == name} == {"main"}
    assert told.sum("spliced_server_state", server="c", state="unresolved") == 1
    assert told.sum("spliced_server_addresses", server="c") == 0


def test_about_the_daemon(env):
    daemon = every_kind(env)
    told = scrape(daemon)
    assert told.sum("spliced_engine_info", engine=env.engine,
                    reason=daemon.status()["engine_reason"]) == 1
    state = "passed" if env.engine == "kernel" else "not_run"
    assert told.sum("spliced_canary", state=state) == told.sum("spliced_canary") == 1
    if env.engine == "kernel":
        assert told.sum("spliced_canary_check_passed") == 5
    assert told.sum("spliced_worker_responding") == 2
    assert told.sum("spliced_sessions_max") == 4096
    # The scrape's own connection is one of them.
    assert abs(told.sum("process_open_fds") - daemon.fds()) <= 3, \
        (told.sum("process_open_fds"), daemon.fds())
    # With the files that it has mapped.
    assert daemon.rss() / 2 < told.sum("process_resident_memory_bytes") < daemon.rss() + 64 * MIB
    assert 0 <= time.time() - told.sum("process_start_time_seconds") < 60
    assert told.sum("process_cpu_seconds_total") <= daemon.cpu_seconds() + 0.1
    assert ("spliced_verdicts_total" in told.names()) == (env.engine == "kernel")


@case(engines=("kernel",))
def test_what_is_told_is_documented(env):
    """Each metric is named in operations.md: in its table, or as a counter of splicectl stats; and
    each that is named in full is told."""
    with open(ROOT / "docs/operations.md", encoding="utf-8") as file:
        documented = set(re.findall(r"`([a-z_]+)(?:\{[^}]*\})?`", file.read()))
    told = scrape(every_kind(env)).names()
    for name in told:
        bare = name.removeprefix("spliced_")
        assert {name, bare, bare.removesuffix("_total")} & documented, name
    missing = {name for name in documented if re.match("spliced_.", name)} - told
    assert not missing, missing


# ---- who reads it -----------------------------------------------------------------------------

@case(engines=("kernel",))
def test_dashboard_and_rules_know_the_metrics(env):
    """And the labels that they ask for."""
    told = scrape(every_kind(env))
    labels = {}
    for name, has in told.values:
        labels.setdefault(name, set()).update(dict(has))
    found = expressions()
    assert len(found) > 40, len(found)
    for where, expression in found:
        names = re.findall(r"\b((?:spliced|process)_[a-z_]+)\b(?:\{([^}]*)\})?", expression)
        assert names or "up{" in expression, (where, expression)
        for name, asked in names:
            assert name in labels, f"{where}: there is no {name}"
            for label, value in re.findall(r'(\w+)=~?"([^"]*)"', asked):
                if label in ("job", "instance"):
                    continue
                assert any(dict(has).get(label) == value for known, has in told.values
                           if known == name), f"{where}: no {name} with {label}={value}"
        grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", expression))))
        for label in grouped - {"job", "instance"}:
            assert any(label in labels[name] for name, _ in names), (where, label)


@case(engines=())
def test_rules_are_valid(env):
    if not shutil.which("promtool"):
        env.skip("promtool is not installed")
    process.run("promtool", "check", "rules", ROOT / "conf/prometheus-rules.yml")
    # What the dashboard asks for, as rules: YAML takes JSON.
    asked = [expression.replace("$__rate_interval", "5m") for _, expression in expressions()
             if "label_values" not in expression]
    rules = [{"record": f"r{i}", "expr": expression} for i, expression in enumerate(asked)]
    path = env.tmp / "dashboard.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}),
                    encoding="utf-8")
    process.run("promtool", "check", "rules", path)


@case(alone=True, engines=("copy",))
def test_cost_of_5000_series(env):
    servers = [f"s{i} 127.0.0.1:{1000 + i}" for i in range(90)]
    daemon = http_proxy(env, servers, spliced=STATUS)
    number = len(scrape(daemon).values)
    assert number >= 5000, number
    costs = []
    for _ in range(20):
        cpu = daemon.cpu_seconds()
        for _ in range(10):
            assert get(daemon).status == 200
        costs.append((daemon.cpu_seconds() - cpu) / 10)
    cost = statistics.median(costs) * 1000
    env.note(f"{number} series: {cost:.2f} ms of processor time")
    assert cost < env.pick(10, 200), costs


# ---- HTTP ------------------------------------------------------------------------------------

def raw(daemon, *pieces):
    """The whole answer to these bytes, each sent by itself."""
    with connect(address(daemon)) as sock:
        for piece in pieces:
            sock.sendall(piece)
        return read_all(sock)


def test_what_http_answers(env):
    daemon = env.spliced(env.backend().address, spliced=STATUS)
    for path, method, status, body in (
            ("/healthz", "GET", 200, b"ok\n"),
            ("/readyz", "GET", 200, b"ready\n"),
            ("/readyz?verbose", "GET", 200, b"ready\n"),
            ("/healthz", "HEAD", 200, b""),
            ("/metrics", "HEAD", 200, b""),
            ("/nowhere", "HEAD", 404, b""),
            ("/page", "GET", 404, b"there is /, /status.json, /metrics, /healthz and /readyz\n"),
            ("/metrics/", "GET", 404, None), ("/METRICS", "GET", 404, None),
            ("/metrics", "POST", 405, b"GET or HEAD\n"),
            ("/healthz", "DELETE", 405, None)):
        answer = get(daemon, path, method)
        assert answer.status == status, (path, method, answer.start)
        assert body is None or bytes(answer.body) == body, (path, method, answer.body)
        assert answer.get("Cache-Control") == "no-store" and answer.get("Date"), answer.raw
        if method == "HEAD":
            assert int(answer.get("Content-Length")) > 0
        assert (answer.get("Allow") == "GET, HEAD") == (status == 405)
    head = int(get(daemon, "/healthz", "HEAD").get("Content-Length"))
    assert head == len(get(daemon, "/healthz").body)


def test_requests_that_are_none(env):
    daemon = env.spliced(env.backend().address, spliced=STATUS)
    ask = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
    for pieces, status in (
            ((ask + b"\r\n",), b"200 OK"),
            ((ask[:7], ask[7:], b"\r", b"\n"), b"200 OK"),
            ((b"\r\n" + ask + b"\r\n",), b"200 OK"),
            # As much as one piece of the daemon's buffers holds.
            ((b"\r\n" * 488, b"\r\n" * 20 + ask + b"\r\n"), b"400 Bad Request"),
            ((b"GET /healthz HTTP/1.0\r\n\r\n",), b"200 OK"),
            # A body, and a second request behind the first: neither is looked at, nor does it
            # reset the answer.
            ((ask + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000,), b"200 OK"),
            ((ask + b"\r\n" + ask + b"\r\n",), b"200 OK"),
            ((b"GET /healthz HTTP/1.1\r\n\r\n",), b"400 Bad Request"),
            ((b"GET /healthz HTTP/1.1\nHost: x\n\n",), b"400 Bad Request"),
            ((b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",), b"400 Bad Request"),
            ((b"G" * 20_000,), b"400 Bad Request"),
            ((ask + b"A: " + b"a" * 9000 + b"\r\n\r\n",), b"431 Request Header Fields Too Large"),
            ((b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n",), b"400 Bad Request")):
        answer = raw(daemon, *pieces)
        assert answer.startswith(b"HTTP/1.1 " + status + b"\r\n"), (pieces[0][:40], answer[:60])
        assert answer.count(b"HTTP/1.1 ") == 1, answer
    # What ends before it is whole gets no answer.
    with connect(address(daemon)) as sock:
        sock.sendall(ask)
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b""
    assert get(daemon, "/healthz").status == 200


# ---- health ----------------------------------------------------------------------------------

def test_not_ready_while_draining(env):
    daemon = env.spliced(env.backend().address, spliced={**STATUS, "shutdown_grace": "60s"})
    client = env.keep(connect(daemon.address()))
    client.sendall(b"hello")
    assert read_exactly(client, 5) == b"hello"
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: get(daemon, "/readyz").status == 503, 5, "it is not ready any more")
    assert get(daemon, "/readyz").body == b"draining\n"
    assert get(daemon, "/healthz").status == 200
    assert scrape(daemon).sum("spliced_draining") == 1
    client.close()
    assert daemon.wait_exit(5) == 0


def test_not_ready_when_it_is_full(env):
    daemon = env.spliced(env.backend().address, spliced={**STATUS, "max_sessions": 3})
    clients = [env.keep(connect(daemon.address())) for _ in range(3)]
    wait_until(lambda: get(daemon, "/readyz").status == 503, 5, "it is full")
    assert get(daemon, "/readyz").body == b"max_sessions is reached\n"
    assert get(daemon, "/healthz").status == 200
    clients[0].close()
    wait_until(lambda: get(daemon, "/readyz").status == 200, 5, "there is room again")


PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000


def ptrace(call, thread):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(call, thread, None, None) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {call}")


def thread_of(daemon, name):
    for thread in os.listdir(f"/proc/{daemon.worker_pid}/task"):
        with open(f"/proc/{daemon.worker_pid}/task/{thread}/comm", encoding="ascii") as comm:
            if comm.read().strip() == name:
                return int(thread)
    raise AssertionError(f"no thread {name}")


def test_a_worker_that_does_not_answer(env):
    """It is told of, and whoever else asks is answered."""
    daemon = env.spliced(env.backend().address, spliced=STATUS)
    assert get(daemon, "/healthz").status == 200
    thread = thread_of(daemon, "worker/1")
    ptrace(PTRACE_SEIZE, thread)
    ptrace(PTRACE_INTERRUPT, thread)
    os.waitpid(thread, WALL)
    try:
        for path in ("/healthz", "/readyz", "/healthz"):
            answer = get(daemon, path)
            assert (answer.status, answer.body) == (503, b"worker/1 does not answer\n"), answer.raw
        told = scrape(daemon)
        assert told.sum("spliced_worker_responding", worker="1") == 0
        assert told.sum("spliced_worker_responding", worker="0") == 1
        assert daemon.stats()["sessions_total"] == 0
    finally:
        ptrace(PTRACE_DETACH, thread)
    wait_until(lambda: get(daemon, "/healthz").status == 200, 5, "it answers again")
    assert scrape(daemon).sum("spliced_worker_responding") == 2


# ---- slow and hostile clients ----------------------------------------------------------------

def test_silent_clients_make_room(env):
    """A scrape is answered at once, however many others say nothing."""
    daemon = env.spliced(env.backend().address, spliced=STATUS)
    where = address(daemon)
    fds = daemon.fds()
    silent = [env.keep(connect(where)) for _ in range(100)]
    for sock in silent:
        sock.sendall(b"GET /metr")
    began = time.monotonic()
    for _ in range(20):
        assert scrape(daemon).sum("spliced_sessions_total") == 0
    assert time.monotonic() - began < Deadline(5).seconds
    assert daemon.fds() - fds <= 40
    for sock in silent[:60]:    # the oldest have made room
        try:
            assert sock.recv(1, socket.MSG_DONTWAIT) == b""
        except ConnectionResetError:
            pass                # what it had sent was not even read


def test_clients_that_do_not_read_make_room(env):
    """A probe is answered at once, however many others leave a long answer where it is."""
    servers = [f"s{i} 127.0.0.1:{1000 + i}" for i in range(500)]
    daemon = http_proxy(env, servers, spliced=STATUS)
    host, port = address(daemon).split(":")
    for _ in range(40):
        sock = env.keep(socket.socket())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        sock.settimeout(10)
        sock.connect((host, int(port)))
        sock.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert sock.recv(1) == b"H"
    assert raw(daemon, b"GET /healthz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@case(slow=True)
def test_clients_that_take_too_long(env):
    """To say what they want, and to take it."""
    servers = [f"s{i} 127.0.0.1:{1000 + i}" for i in range(90)]
    daemon = http_proxy(env, servers, spliced=STATUS)
    where = address(daemon)
    fds, rss = daemon.fds(), daemon.rss()
    trickling, deaf = connect(where), []
    for _ in range(20):
        sock = env.keep(socket.socket())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect((where.rpartition(":")[0], int(where.rpartition(":")[2])))
        sock.sendall(request("GET", "/metrics"))
        deaf.append(sock)
    began, sent = time.monotonic(), 0
    request_bytes = request("GET", "/metrics", *[f"Field-{i}: x" for i in range(50)])
    try:
        while sent < len(request_bytes):
            trickling.sendall(request_bytes[sent:sent + 1])
            sent += 1
            time.sleep(0.1)
    except (BrokenPipeError, ConnectionResetError):
        pass
    lasted = time.monotonic() - began
    assert 8 < lasted < Deadline(20).seconds, f"it was let trickle for {lasted:.1f} s"
    wait_until(lambda: daemon.fds() <= fds, 15, "those that take nothing are gone")
    assert env.sanitized or daemon.rss() - rss < 64 * MIB
    assert scrape(daemon).sum("spliced_sessions_total") == 0
    trickling.close()


def test_no_descriptors(env):
    """One scrape after the other goes on; the daemon does, too."""
    daemon = env.spliced(env.backend().address, spliced=STATUS)
    proxy, where = daemon.address(), address(daemon)
    limit = daemon.fds() + 10
    resource.prlimit(daemon.worker_pid, resource.RLIMIT_NOFILE, (limit, limit))
    clients = [env.keep(connect(proxy)) for _ in range(30)]
    wait_until(lambda: [line for line in daemon.log() if "accepting is paused" in line], 10,
               "there are no descriptors left")

    def metrics():
        with Client(where) as client:
            try:
                answer = client.send(request("GET", "/metrics")).response()
            except (AssertionError, OSError):
                return None     # a worker may take what was given up
        return Metrics(answer.body.decode())
    for _ in range(3):
        told = wait_until(metrics, 10, "a scrape without descriptors")
        assert told.sum("spliced_accept_failures_total") > 0
        assert told.sum("process_open_fds") >= limit - 3, told.sum("process_open_fds")
    for client in clients:
        client.close()
    daemon.wait_sessions(0)
    stays(lambda: get(daemon, "/readyz").status == 200, 0.5, "it is ready")


def test_scrapes_under_load(env):
    """Hundreds of them, and nothing of them stays; sessions end as they should."""
    backend = env.backend()
    daemon = env.spliced(backend.address, spliced=STATUS)
    proxy = daemon.address()

    def round_trips(client, number):
        for _ in range(number):
            client.sendall(b"q" * 1000)
            assert len(read_exactly(client, 1000)) == 1000
    for _ in range(20):
        assert get(daemon).status == 200
    fds, rss = daemon.fds(), daemon.rss()
    live = [env.keep(connect(proxy)) for _ in range(10)]
    for i in range(env.pick(400, 60)):
        assert get(daemon).status == 200
        round_trips(live[i % len(live)], 3)
        if i % 10 == 0:
            with connect(proxy) as short:
                round_trips(short, 1)
    for client in live:
        client.close()
    daemon.wait_sessions(0)
    wait_until(lambda: daemon.fds() <= fds, 5, "no descriptor is left")
    assert env.sanitized or daemon.rss() - rss < 8 * MIB, f"{(daemon.rss() - rss) >> 10} KiB more"
    told = scrape(daemon)
    assert told.sum("spliced_ends_total", end="done") == told.sum("spliced_sessions_total")


def test_a_flood_of_scrapes(env):
    """They share what the workers do for them."""
    daemon = env.spliced(env.backend().address, spliced=STATUS)
    where = address(daemon)
    clients = [Client(where) for _ in range(30)]
    for client in clients:
        client.send(request("GET", "/metrics"))
    for client in clients:
        assert client.response().status == 200
        client.close()


# ---- the option ------------------------------------------------------------------------------

def check(env, daemon, *options):
    """What spliced -t says of the file."""
    return process.run(env.binary("spliced"), "-c", daemon.config_path, "-t", *options, check=False)


@case(engines=())
def test_off_unless_set(env):
    daemon = env.spliced(env.backend().address, spliced={"engine": "copy"})
    assert daemon.status()["status_address"] == ""
    assert not [line for line in daemon.log() if "status:" in line]
    assert Metrics(process.run(daemon.control_tool, "-s", daemon.control_path, "stats",
                               "--prometheus").stdout).sum("spliced_sessions_total") == 0


@case(engines=())
def test_a_port_alone_is_loopback(env):
    where, holder = free_port()
    holder.close()
    daemon = env.spliced(env.backend().address,
                         spliced={"engine": "copy", "status": where.rpartition(":")[2]})
    assert daemon.status()["status_address"] == where
    assert any(f"status: http://{where}/" in line for line in daemon.log())


@case(engines=())
def test_address_in_use(env):
    where, holder = free_port()
    holder.listen()
    daemon = env.spliced(env.backend().address, spliced={"engine": "copy", "status": where},
                         start=False)
    line = daemon.config_path.read_text(encoding="utf-8").splitlines().index(f"status = {where}") + 1
    try:
        daemon.start()
    except AssertionError as error:
        assert "exit 1" in str(error), error
        assert f"{daemon.config_path}:{line}: status = {where}: Address already in use" in str(error)
    else:
        raise AssertionError("it started")
    daemon.process = None


@case(engines=())
def test_check_of_the_value(env):
    for value, status, text in (
            ("127.0.0.1:9180", 0, ""), ("9180", 0, ""), ("[::1]:9180", 0, ""), ("none", 0, ""),
            ("0.0.0.0:9180", 0, "warning: status = 0.0.0.0:9180: is not of this host alone"),
            ("[::]:9180", 0, "warning: status = [::]:9180: is not of this host alone"),
            ("127.0.0.1:7", 2, "bind: 0.0.0.0:7 cannot be bound beside status = 127.0.0.1:7 on "),
            ("0.0.0.0:7", 2, "bind: 0.0.0.0:7 cannot be bound beside status = 0.0.0.0:7 on "),
            ("[::]:7", 2, "bind: 0.0.0.0:7 cannot be bound beside status = [::]:7 on "),
            ("[::1]:7", 0, ""),
            ("9180x", 2, '"9180x": port is missing; allowed: none, or IPV4:PORT, [IPV6]:PORT or PORT'),
            ("70000", 2, '"70000": port is not 0-65535'),
            ("unix:/run/x", 2, '"unix:/run/x" is not an IP address')):
        daemon = env.spliced(env.backend().address, spliced={"engine": "copy", "status": value},
                             listener={"bind": "0.0.0.0:7"}, start=False)
        done = check(env, daemon)
        assert done.returncode == status and text in done.stderr, (value, done)
        if text:
            assert f"{daemon.config_path}:" in done.stderr, done.stderr
        else:
            assert "warning" not in done.stderr, done.stderr


def test_reload_and_log_reopen(env):
    daemon = env.spliced(env.backend().address,
                         spliced={**STATUS, "access_log": env.tmp / "access.log"})
    where = address(daemon)
    (env.tmp / "access.log").rename(env.tmp / "access.log.1")
    daemon.signal(signal.SIGUSR1)
    wait_until((env.tmp / "access.log").exists, 5, "the log was opened again")
    daemon.write_config(daemon.config_path.read_text(encoding="utf-8")
                        .replace("status = 127.0.0.1:0", "status = none"))
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: [line for line in daemon.log() if "waits for a restart: status" in line], 5,
               "that it takes effect at a restart is said")
    assert daemon.status()["status_address"] == where
    assert scrape(daemon).sum("spliced_sessions_total") == 0


RULE_TEST = """
rule_files: [{rules}]
tests:
  - interval: 1m
    input_series:
{series}
    alert_rule_test:
      - eval_time: 5m
        alertname: SplicedServerDown
        exp_alerts:
          - exp_labels: {{severity: warning, job: spliced, instance: i, pool: p, server: c}}
            exp_annotations: {{summary: server p/c on i is not up}}
"""


@case(engines=())
def test_who_is_drained_is_not_alerted_of(env):
    if not shutil.which("promtool"):
        env.skip("promtool is not installed")
    series = []
    for server, up, state in (("a", 0, "drain"), ("b", 0, "maint"), ("c", 0, "down"), ("d", 1, "up")):
        of = f'job="spliced",instance="i",pool="p",server="{server}"'
        series.append((f"spliced_server_up{{{of}}}", up))
        series += [(f'spliced_server_state{{{of},state="{s}"}}', int(s == state))
                   for s in ("up", "down", "drain", "maint")]
    path = env.tmp / "test.yml"
    path.write_text(RULE_TEST.format(
        rules=ROOT / "conf/prometheus-rules.yml",
        series="\n".join(f"      - {{series: '{name}', values: '{value}x9'}}" for name, value in series)),
        encoding="utf-8")
    process.run("promtool", "test", "rules", path)
