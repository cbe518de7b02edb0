# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that everybody knows, through the proxy."""

import csv
import hashlib
import http.server
import json
import os
import random
import re
import select
import subprocess
import threading

from lib import Deadline, case, pattern, programs, wait_until
from lib.pattern import MIB


def check_engine_used(env, daemon):
    """The engine under test moved the bytes, and no session broke."""
    daemon.wait_sessions(0)
    stats = daemon.stats()
    assert stats["integrity_aborts"] == 0, stats
    if env.engine == "kernel":
        assert stats["sessions_kernel"] > 0, stats
        assert stats["bytes_redirected"] > 0, stats
    else:
        assert stats["sessions_kernel"] == 0, stats
        assert stats["bytes_redirected"] == 0, stats
        assert stats["bytes_copied"] > 0, stats
    bad = [line for line in daemon.access_log()
           if line["end"] not in ("done", "client_reset", "server_reset")]
    assert not bad, bad


# -- redis

def redis_cli(address, *command, timeout=30, input=b""):
    """The bytes that redis-cli prints for a command."""
    host, port = programs.split(address)
    return programs.run_bytes(programs.find("redis-cli"), "-h", host, "-p", port, *command,
                              timeout=timeout, input=input)


def redis_calls(address, command):
    """How often the server ran a command, and how often it failed."""
    text = redis_cli(address, "info", "commandstats").decode()
    match = re.search(rf"cmdstat_{command}:calls=(\d+),.*failed_calls=(\d+)", text)
    assert match, f"redis never saw {command}:\n{text}"
    return int(match[1]), int(match[2])


def redis_benchmark(proxy, requests, pipeline):
    """redis-benchmark's requests a second, by command."""
    host, port = programs.split(proxy)
    done = programs.run(programs.find("redis-benchmark"), "-h", host, "-p", port, "-n", requests,
                        "-P", pipeline, "-c", 20, "-t", "set,get", "-d", 200, "--csv", timeout=60)
    rows = [row for row in csv.reader(done.stdout.splitlines()) if len(row) > 1]
    return {row[0]: float(row[1]) for row in rows if row[0] in ("SET", "GET")}


def run_redis_benchmark(env, requests, pipeline):
    programs.find("redis-benchmark", "redis-cli")
    with programs.Redis(env) as redis:
        daemon = env.spliced(redis.address)
        rates = redis_benchmark(daemon.address(), requests, pipeline)
        assert rates.keys() == {"SET", "GET"} and min(rates.values()) > 0, rates
        for command in ("set", "get"):
            calls = redis_calls(redis.address, command)
            assert calls == (requests, 0), f"{command}: {calls}"
        check_engine_used(env, daemon)


def test_redis_benchmark_pipelined(env):
    run_redis_benchmark(env, env.pick(100_000, 4000), 16)


def test_redis_benchmark_single(env):
    run_redis_benchmark(env, env.pick(20_000, 1000), 1)


def test_redis_big_value(env):
    """1 MiB of any bytes comes back as it was stored, and was stored as it was sent."""
    programs.find("redis-cli")
    value = random.Random(7).randbytes(MIB)
    with programs.Redis(env) as redis:
        daemon = env.spliced(redis.address)
        assert redis_cli(daemon.address(), "-x", "set", "big", input=value) == b"OK\n"
        for address in (redis.address, daemon.address()):
            got = redis_cli(address, "--raw", "get", "big")
            assert hashlib.sha256(got).digest() == hashlib.sha256(value + b"\n").digest(), address
        check_engine_used(env, daemon)


LUA_DIGEST = """
local values = {}
for i = 0, ARGV[1] - 1 do values[i + 1] = redis.call('get', 'key:' .. i) end
return redis.sha1hex(table.concat(values))
"""


def redis_protocol(*words):
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
    return b"".join(parts)


def test_redis_pipe(env):
    """A mass insertion: 20 000 commands sent without waiting for an answer."""
    programs.find("redis-cli")
    count = env.pick(20_000, 2000)
    dice = random.Random(11)
    values = [dice.randbytes(dice.randint(0, 600)) for _ in range(count)]
    commands = b"".join(redis_protocol(b"SET", b"key:%d" % i, value)
                        for i, value in enumerate(values))
    wanted = hashlib.sha1(b"".join(values)).hexdigest().encode()
    with programs.Redis(env) as redis:
        daemon = env.spliced(redis.address)
        said = redis_cli(daemon.address(), "--pipe", input=commands).decode()
        assert f"errors: 0, replies: {count}" in said, said
        assert redis_cli(daemon.address(), "dbsize").split()[-1] == b"%d" % count
        for address in (redis.address, daemon.address()):
            digest = redis_cli(address, "eval", LUA_DIGEST, "0", str(count)).strip().strip(b'"')
            assert digest == wanted, f"{address}: {digest} instead of {wanted}"
        check_engine_used(env, daemon)


# -- PostgreSQL

class Psql:
    """psql and pgbench through one address."""

    def __init__(self, postgres, address):
        self.postgres = postgres
        host, port = programs.split(address)
        self.environment = {**os.environ, "PGHOST": host, "PGPORT": port, "PGUSER": "postgres",
                            "PGDATABASE": "postgres", "PGCONNECT_TIMEOUT": "30"}

    def run(self, command, timeout=60):
        """The rows of one command, as text."""
        return programs.run(self.postgres.tool("psql"), "-X", "-q", "-A", "-t", "-v",
                            "ON_ERROR_STOP=1", "-c", command, env=self.environment,
                            timeout=timeout).stdout.strip()

    def pgbench(self, *options, timeout=90):
        done = programs.run(self.postgres.tool("pgbench"), *options, env=self.environment,
                            timeout=timeout)
        assert "aborted" not in done.stderr and "error:" not in done.stderr, done.stderr
        return done.stdout


@case(timeout=150)
def test_postgres_pgbench(env):
    """Eight clients; afterwards the bank's books must balance."""
    clients, transactions = 8, env.pick(100, 10)
    with programs.Postgres(env) as postgres:
        postgres.tool("pgbench")
        daemon = env.spliced(postgres.address)
        psql = Psql(postgres, daemon.address())
        psql.pgbench("-i", "-s", 1, "-q", "--no-vacuum")
        assert psql.run("select count(*) from pgbench_accounts") == "100000"
        done = clients * transactions
        said = psql.pgbench("-n", "-c", clients, "-j", 2, "-t", transactions)
        assert f"processed: {done}/{done}" in said, said
        books = psql.run("select count(*), sum(delta), (select sum(abalance) from"
                         " pgbench_accounts), (select sum(bbalance) from pgbench_branches)"
                         " from pgbench_history")
        rows, *sums = books.split("|")
        assert int(rows) == done and len(set(sums)) == 1, books
        reads = clients * transactions * 5
        said = psql.pgbench("-n", "-S", "-c", clients, "-j", 2, "-t", transactions * 5)
        assert f"processed: {reads}/{reads}" in said, said
        check_engine_used(env, daemon)


def write_table(path, rows):
    """A file in COPY's text format; returns its SHA-256."""
    sha = hashlib.sha256()
    with open(path, "wb") as table:
        for start in range(0, rows, 1000):
            text = "".join(f"{i}\t{hashlib.sha256(b'%d' % i).hexdigest()}\tline {i * 7919}\n"
                           for i in range(start, min(start + 1000, rows))).encode()
            sha.update(text)
            table.write(text)
    return sha.hexdigest()


@case(timeout=150)
def test_postgres_copy(env):
    """A large table goes in and comes out again."""
    rows = env.pick(200_000, 10_000)
    with programs.Postgres(env) as postgres:
        daemon = env.spliced(postgres.address)
        psql = Psql(postgres, daemon.address())
        sent = write_table(env.tmp / "in", rows)
        psql.run("create table big (id int, hash text, line text)")
        psql.run(f"\\copy big from '{env.tmp}/in'")
        assert psql.run("select count(*), count(distinct id) from big") == f"{rows}|{rows}"
        psql.run(f"\\copy (select * from big order by id) to '{env.tmp}/out'")
        assert pattern.sha256_file(env.tmp / "out") == sent
        check_engine_used(env, daemon)


# -- nginx and curl

def big_size(env):
    if env.vm or env.sanitized:
        return 32 * MIB
    return 256 * MIB if env.quick else 1024 * MIB


@case(timeout=120)
def test_nginx_download(env):
    curl = programs.find("curl")
    (env.tmp / "www").mkdir()
    size = big_size(env)
    wanted = pattern.write_file(env.tmp / "www/big", size, 3)
    with programs.Nginx(env) as nginx:
        daemon = env.spliced(nginx.address)
        with subprocess.Popen([curl, "-sS", "--fail", "--max-time", str(programs.scaled(60)),
                               f"http://{daemon.address()}/big"], stdout=subprocess.PIPE) as client:
            got = pattern.sha256_stream(client.stdout)
        assert client.returncode == 0, f"curl: exit {client.returncode}"
        assert got == wanted
        check_engine_used(env, daemon)
        assert sum(int(line["bytes_down"]) for line in daemon.access_log()) > size


def upload(env, daemon, path, url_path, size):
    """PUTs a file with curl."""
    programs.run(programs.find("curl"), "-sS", "--fail", "-T", path,
                 f"http://{daemon.address()}{url_path}", timeout=60)
    check_engine_used(env, daemon)
    assert sum(int(line["bytes_up"]) for line in daemon.access_log()) > size


@case(timeout=120)
def test_nginx_upload(env):
    programs.find("curl")
    (env.tmp / "www").mkdir()
    with programs.Nginx(env) as nginx:
        if not nginx.dav:
            env.skip("nginx has no dav module")
        size = big_size(env) // 4
        sent = pattern.write_file(env.tmp / "up", size, 4)
        upload(env, env.spliced(nginx.address), env.tmp / "up", "/stored", size)
        assert pattern.sha256_file(nginx.root / "stored") == sent


class Hasher(http.server.BaseHTTPRequestHandler):
    """Takes PUT and remembers the hash of its body."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        """Called by the base class."""
        sha, left = hashlib.sha256(), int(self.headers["Content-Length"])
        if self.headers.get("Expect") == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        while left > 0:
            data = self.rfile.read(min(left, MIB))
            if not data:
                break
            sha.update(data)
            left -= len(data)
        self.server.hashes.append(sha.hexdigest())
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@case(timeout=120)
def test_python_upload(env):
    """The same to a server that reads as it likes, and with Expect: 100-continue."""
    programs.find("curl")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hasher)
    server.daemon_threads = True
    server.hashes = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        size = big_size(env) // 4
        sent = pattern.write_file(env.tmp / "up", size, 5)
        daemon = env.spliced(f"127.0.0.1:{server.server_port}")
        upload(env, daemon, env.tmp / "up", "/", size)
        assert server.hashes == [sent]
    finally:
        server.shutdown()
        server.server_close()


@case(timeout=90)
def test_nginx_small_files(env):
    """Three curls, each fetching many small files over connections that it keeps."""
    curl = programs.find("curl")
    if "--parallel " not in programs.run(curl, "--help", "all").stdout:
        env.skip("curl is older than 7.66: no --parallel")
    (env.tmp / "www").mkdir()
    files, clients = env.pick(300, 40), 3
    dice = random.Random(13)
    wanted = [pattern.write_file(env.tmp / f"www/{i}", dice.randint(0, 80_000), i)
              for i in range(files)]
    with programs.Nginx(env) as nginx:
        daemon = env.spliced(nginx.address)
        running = []
        for number in range(clients):
            command = [curl, "-sS", "--fail", "--parallel", "--parallel-max", "8", "--create-dirs",
                       "--max-time", str(programs.scaled(60)), "-o", f"{env.tmp}/got{number}/#1",
                       f"http://{daemon.address()}/[0-{files - 1}]"]
            running.append(subprocess.Popen(command))
        for client in running:
            assert client.wait(programs.scaled(70)) == 0, f"curl: exit {client.returncode}"
        for number in range(clients):
            for i in range(files):
                assert pattern.sha256_file(env.tmp / f"got{number}/{i}") == wanted[i], \
                    f"file {i} of curl {number}"
        check_engine_used(env, daemon)
        sessions = daemon.stats()["sessions_total"]
        assert sessions < files * clients, f"{sessions} sessions: connections were not kept"


# -- openssl

class Tool:
    """An openssl command between two pipes."""

    def __init__(self, command, error_path, **options):
        with open(error_path, "wb") as errors:
            self.process = subprocess.Popen([str(word) for word in command], stderr=errors,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            **options)
        self.error_path = error_path
        self.got = bytearray()

    def feed(self, data):
        """Writes all of it, in a thread."""
        def write():
            try:
                self.process.stdin.write(data)
                self.process.stdin.flush()
            except BrokenPipeError:
                pass    # the missing bytes will tell
        threading.Thread(target=write, daemon=True).start()

    def errors(self):
        return self.error_path.read_text(errors="replace")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def collect(tools, size, seconds):
    """Reads until each has printed `size` bytes."""
    deadline = Deadline(seconds)
    pipes = {tool.process.stdout.fileno(): tool for tool in tools}
    while any(len(tool.got) < size for tool in tools):
        ready = select.select(pipes, [], [], deadline.left())[0]
        counts = [len(tool.got) for tool in tools]
        assert ready, f"{counts} of {size} bytes after {seconds} s"
        for fd in ready:
            data = os.read(fd, 1 << 18)
            assert data, f"the end after {counts} of {size} bytes: {pipes[fd].errors()}"
            pipes[fd].got += data


def alerts(path):
    """The alerts in a message file of openssl, as (direction, name)."""
    return re.findall(r"^(<<<|>>>) .*Alert.*, warning (\w+)", path.read_text(errors="replace"),
                      re.MULTILINE)


class TlsServer:
    """Files for a server, and the command line that runs it for one session."""

    def __init__(self, env):
        self.openssl, self.tmp = programs.find("openssl"), env.tmp
        self.address = f"{programs.own_address()}:4433"
        if "-naccept" not in programs.run(self.openssl, "s_server", "-help", check=False).stderr:
            env.skip("openssl s_server has no -naccept")
        programs.run(self.openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=spliced.test", "-days", "2",
                     "-keyout", self.tmp / "key", "-out", self.tmp / "cert")

    def serve(self, *options):
        tool = Tool([self.openssl, "s_server", "-accept", self.address, "-cert", self.tmp / "cert",
                     "-key", self.tmp / "key", "-quiet", "-naccept", 1, "-tls1_3", "-msg",
                     "-msgfile", self.tmp / "server.msg", *options], self.tmp / "server.err",
                    cwd=self.tmp)
        programs.wait_listening(self.address)
        return tool

    def connect(self, proxy, *options):
        return Tool([self.openssl, "s_client", "-connect", proxy, "-CAfile", self.tmp / "cert",
                     "-verify_return_error", "-verify_hostname", "spliced.test", "-msg",
                     "-msgfile", self.tmp / "client.msg", *options], self.tmp / "client.err",
                    cwd=self.tmp)


def check_tls_end(tools):
    for tool in tools:
        status = tool.process.wait(programs.scaled(10))
        assert status == 0, f"exit {status}: {tool.errors()}"
        assert "unexpected eof" not in tool.errors(), tool.errors()


@case(timeout=60)
def test_openssl_both_ways(env):
    """TLS 1.3: a handshake, 5 MiB each way at the same time, and the client's close_notify."""
    tls, size = TlsServer(env), env.pick(5, 1) * MIB
    # hexadecimal: a line that begins with Q or R would be a command to s_client
    up, down = (random.Random(seed).randbytes(size // 2).hex().encode() for seed in (1, 2))
    tools = []
    try:
        tools.append(server := tls.serve())
        daemon = env.spliced(tls.address)
        tools.append(client := tls.connect(daemon.address(), "-brief"))
        server.feed(down)
        client.feed(up)
        collect(tools, size, 30)
        assert bytes(server.got) == up, "the server received something else"
        assert bytes(client.got) == down, "the client received something else"
        client.process.stdin.close()
        check_tls_end(tools)
        assert "Protocol version: TLSv1.3" in client.errors(), client.errors()
        said = alerts(tls.tmp / "server.msg")
        assert ("<<<", "close_notify") in said, said
        check_engine_used(env, daemon)
    finally:
        for tool in tools:
            tool.kill()


@case(timeout=60)
def test_openssl_server_ends(env):
    """The server sends a file, its close_notify and its FIN in one go: the client gets all."""
    tls, size = TlsServer(env), env.pick(5, 1) * MIB
    pattern.write_file(tls.tmp / "file", size, 8)
    wanted = (tls.tmp / "file").read_bytes()
    tools = []
    try:
        tools.append(tls.serve("-WWW"))
        daemon = env.spliced(tls.address)
        tools.append(client := tls.connect(daemon.address(), "-quiet"))
        client.feed(b"GET /file HTTP/1.0\r\n\r\n")
        got = client.process.stdout.read()
        assert got.partition(b"\r\n\r\n")[2] == wanted, \
            f"the client received something else, {len(got)} bytes: {client.errors()}"
        check_tls_end(tools)
        said = alerts(tls.tmp / "client.msg")
        assert ("<<<", "close_notify") in said, said
        check_engine_used(env, daemon)
    finally:
        for tool in tools:
            tool.kill()


# -- iperf3

def run_iperf3(env, proxy, *options):
    """One measurement; iperf3's own summary."""
    host, port = programs.split(proxy)
    seconds = 1 if env.quick else 2
    done = programs.run(programs.find("iperf3"), "-c", host, "-p", port, "-t", seconds, "-J",
                        *options, check=False, timeout=40)
    result = json.loads(done.stdout or "{}")
    assert done.returncode == 0 and "error" not in result, \
        f"iperf3 {' '.join(map(str, options))}: exit {done.returncode}: {result.get('error')}"
    return result["end"]


@case(timeout=90)
def test_iperf3(env):
    """Both directions, one stream and four."""
    iperf3 = programs.find("iperf3")
    host, port = programs.own_address(), 5201
    command = [iperf3, "-s", "-B", host, "-p", port]

    def listening():
        programs.wait_listening(f"{host}:{port}")
        return True
    with programs.Program(env, "iperf3", command, ready=listening):
        daemon = env.spliced(f"{host}:{port}")
        for streams in (1, 4):
            for direction in ([], ["-R"]):
                end = run_iperf3(env, daemon.address(), "-P", streams, *direction)
                sent, received = end["sum_sent"]["bytes"], end["sum_received"]["bytes"]
                assert 0 < received <= sent, f"{streams} streams {direction}: {received} of {sent}"
                assert len(end["streams"]) == streams, end["streams"]
        check_engine_used(env, daemon)
