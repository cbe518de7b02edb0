# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that everybody knows, unmodified, on both sides of a bypassed listener."""

import contextlib
import csv
import hashlib
import os
import random
import re
import subprocess

from lib import case, pattern, programs, wait_until
from lib.bypassed import Place
from lib.pattern import MIB

AT_DEBUG = False


# ---- redis --------------------------------------------------------------------------------------

def redis_calls(redis, command):
    """How often the server ran a command, and how often it failed."""
    host, port = programs.split(redis.address)
    text = programs.run(programs.find("redis-cli"), "-h", host, "-p", port, "info",
                        "commandstats").stdout
    match = re.search(rf"cmdstat_{command}:calls=(\d+),.*failed_calls=(\d+)", text)
    assert match, f"redis never saw {command}:\n{text}"
    return int(match[1]), int(match[2])


def run_redis_benchmark(env, requests, pipeline):
    program, _ = programs.find("redis-benchmark", "redis-cli")
    place = Place(env)
    with place.serve(programs.Redis) as redis:
        host, port = programs.split(place.address)
        done = place.run(program, "-h", host, "-p", port, "-n", requests, "-P", pipeline, "-c", 20,
                         "-t", "set,get", "-d", 200, "--csv", timeout=60)
        rows = {row[0]: row for row in csv.reader(done.stdout.splitlines()) if len(row) > 1}
        assert {"SET", "GET"} <= rows.keys(), done.stdout
        for command in ("set", "get"):
            assert redis_calls(redis, command) == (requests, 0), command
        place.check(0.5, 20)


@case(engines=("kernel",), timeout=90)
def test_redis_benchmark(env):
    run_redis_benchmark(env, env.pick(40_000, 4000), 1)


@case(engines=("kernel",), timeout=90)
def test_redis_benchmark_pipelined(env):
    run_redis_benchmark(env, env.pick(200_000, 10_000), 16)


# Any bytes, of any length, many at a time; each value must come back as it was stored.
REDIS_NODE = """
const net = require('net'), crypto = require('crypto');
const [host, port, number] = [process.argv[2], +process.argv[3], +process.argv[4]];
const value = i => { const n = (i * 7919) % 20000;
    return Buffer.alloc(n, crypto.createHash('sha256').update(String(i)).digest()); };
const command = words => Buffer.concat([Buffer.from(`*${words.length}\\r\\n`),
    ...words.flatMap(w => [Buffer.from(`$${w.length}\\r\\n`), w, Buffer.from('\\r\\n')])]);
let got = Buffer.alloc(0), next = 0, asked = 0;
const client = net.connect({host, port}, ask);
function ask() {
    const batch = [];
    for (; asked < number && asked - next < 20; asked++) {
        const key = Buffer.from('key:' + asked);
        batch.push(command([Buffer.from('SET'), key, value(asked)]),
                   command([Buffer.from('GET'), key]));
    }
    client.write(Buffer.concat(batch));
}
client.on('data', data => {
    got = Buffer.concat([got, data]);
    for (;;) {
        const v = value(next);
        const wanted = Buffer.concat([Buffer.from(`+OK\\r\\n$${v.length}\\r\\n`), v,
                                      Buffer.from('\\r\\n')]);
        if (next == number || got.length < wanted.length)
            break;
        if (!got.subarray(0, wanted.length).equals(wanted)) {
            console.log('wrong answer', next);
            process.exit(1);
        }
        got = got.subarray(wanted.length);
        next++;
    }
    if (next == asked && next < number)
        ask();
    if (next == number && !got.length)
        client.end(() => console.log('done', next));
});
"""


@case(engines=("kernel",), timeout=90)
def test_redis_node_client(env):
    node = programs.find("node")
    script, number = env.tmp / "client.js", env.pick(4000, 400)
    script.write_text(REDIS_NODE, encoding="utf-8")
    place = Place(env)
    with place.serve(programs.Redis):
        done = place.run(node, script, *programs.split(place.address), number, timeout=60)
        assert done.stdout == f"done {number}\n", done
        place.check(0.5)


# ---- nginx, wrk and curl ------------------------------------------------------------------------

WRK_LUA = """
local wanted
function setup(thread) threads = threads or {}; table.insert(threads, thread) end
function init(args)
    local file = io.open(args[1], "rb"); wanted = file:read("*a"); file:close()
    bad, good = 0, 0
end
function response(status, headers, body)
    if status == 200 and body == wanted then good = good + 1 else bad = bad + 1 end
end
function done(summary, latency, requests)
    local all, wrong = 0, 0
    for _, thread in ipairs(threads) do
        all = all + thread:get("good"); wrong = wrong + thread:get("bad")
    end
    local e = summary.errors
    print(string.format("GOOD %d BAD %d ERRORS %d", all, wrong,
                        e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@case(engines=("kernel",), timeout=90)
def test_nginx_wrk(env):
    """Each response is compared with the file."""
    wrk = programs.find("wrk")
    (env.tmp / "www").mkdir()
    pattern.write_file(env.tmp / "www/file", 30_000, 3)
    (env.tmp / "check.lua").write_text(WRK_LUA, encoding="utf-8")
    place = Place(env)
    with place.serve(programs.Nginx):
        said = place.run(wrk, "-t", 2, "-c", 16, "-d", f"{env.pick(3, 2)}s", "--timeout",
                         f"{int(programs.scaled(20))}s", "-s", env.tmp / "check.lua",
                         f"http://{place.address}/file", "--", env.tmp / "www/file",
                         timeout=60).stdout
        good, bad, errors = map(int, re.search(r"GOOD (\d+) BAD (\d+) ERRORS (\d+)", said).groups())
        assert good > 100 and not bad and not errors, said
        place.check(0.5, 16)


def big_size(env):
    """1 GiB with --full."""
    if env.vm or env.sanitized:
        return 32 * MIB
    return 1024 * MIB if env.full else 256 * MIB


@case(engines=("kernel",), timeout=150)
def test_curl_download(env):
    curl = programs.find("curl")
    (env.tmp / "www").mkdir()
    wanted = pattern.write_file(env.tmp / "www/big", size := big_size(env), 4)
    place = Place(env)
    with place.serve(programs.Nginx):
        with place.popen(curl, "-sS", "--fail", "--max-time", programs.scaled(90),
                         f"http://{place.address}/big", stdout=subprocess.PIPE) as client:
            got = pattern.sha256_stream(client.stdout)
        assert client.returncode == 0 and got == wanted, f"exit {client.returncode}"
        # sendfile() says MSG_MORE: where it has to wait, TCP is better.
        stats = place.check(0.01)
        assert stats["bytes_bypassed"] + stats["bytes_copied"] >= size, stats


@case(engines=("kernel",), timeout=150)
def test_curl_upload(env):
    curl = programs.find("curl")
    (env.tmp / "www").mkdir()
    sent = pattern.write_file(env.tmp / "up", big_size(env), 5)
    place = Place(env)
    with place.serve(programs.Nginx) as nginx:
        if not nginx.dav:
            env.skip("nginx has no dav module")
        place.run(curl, "-sS", "--fail", "-T", env.tmp / "up", f"http://{place.address}/stored",
                  timeout=90)
        assert pattern.sha256_file(nginx.root / "stored") == sent
        # A sender that never waits goes directly once the daemon has caught up with it: a slow one
        # may need all of the file for that.
        place.check(env.pick(0.5, 0))


@case(engines=("kernel",), timeout=60)
def test_h2load(env):
    """HTTP/2 with prior knowledge, which a tcp listener does not look at."""
    h2load = programs.find("h2load")
    (env.tmp / "www").mkdir()
    wanted = pattern.write_file(env.tmp / "www/0", 20_000, 6)
    place, number = Place(env), env.pick(4000, 400)
    with place.serve(programs.Nghttpd):
        said = place.run(h2load, "-n", number, "-c", 4, "-m", 10, f"http://{place.address}/0",
                         timeout=50).stdout
        assert f"{number} succeeded, 0 failed, 0 errored, 0 timeout" in said, said
        place.run(programs.find("curl"), "-sS", "--fail", "--http2-prior-knowledge", "-o",
                  env.tmp / "got", f"http://{place.address}/0")
        assert pattern.sha256_file(env.tmp / "got") == wanted
        place.check(0.5, 4)


# ---- PostgreSQL ---------------------------------------------------------------------------------

def psql(place, postgres, *command, tool="psql"):
    """What it prints; through the daemon, from the cgroup."""
    host, port = programs.split(place.address)
    environment = {**os.environ, "PGHOST": host, "PGPORT": port, "PGUSER": "postgres",
                   "PGDATABASE": "postgres", "PGCONNECT_TIMEOUT": "30"}
    done = place.run(postgres.tool(tool), *command, env=environment, timeout=90)
    assert "aborted" not in done.stderr and "error:" not in done.stderr, done.stderr
    return done.stdout.strip()


def query(place, postgres, text):
    return psql(place, postgres, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text)


def check_bank(env, place, postgres):
    """Eight clients of pgbench; afterwards the books must balance."""
    clients, transactions = 8, env.pick(100, 10)
    psql(place, postgres, "-i", "-s", 1, "-q", "--no-vacuum", tool="pgbench")
    assert query(place, postgres, "select count(*) from pgbench_accounts") == "100000"
    done = clients * transactions
    said = psql(place, postgres, "-n", "-c", clients, "-j", 2, "-t", transactions, tool="pgbench")
    assert f"processed: {done}/{done}" in said, said
    said = psql(place, postgres, "-n", "-S", "-c", clients, "-j", 2, "-t", transactions * 5,
                tool="pgbench")
    assert f"processed: {done * 5}/{done * 5}" in said, said
    rows, *sums = query(place, postgres, "select count(*), sum(delta), (select sum(abalance) from"
                        " pgbench_accounts), (select sum(bbalance) from pgbench_branches)"
                        " from pgbench_history").split("|")
    assert int(rows) == done and len(set(sums)) == 1, (rows, sums)


@case(engines=("kernel",), timeout=180)
def test_postgres_pgbench(env):
    """Backends and libpq wait in poll(), with sockets that do not block."""
    place = Place(env)
    with place.serve(programs.Postgres) as postgres:
        postgres.tool("pgbench")
        check_bank(env, place, postgres)
        place.check(0.5, 8)


@case(engines=("kernel",), timeout=180)
def test_pgbouncer(env):
    """An event-driven server, which is a client of another one."""
    programs.find("pgbouncer")
    place = Place(env)
    with place.cgroup.inside():
        postgres = programs.Postgres(env)
    with postgres:
        with place.serve(programs.PgBouncer, postgres.address):
            check_bank(env, place, postgres)
            place.check(0.5, 8)


# ---- Node ---------------------------------------------------------------------------------------

# Sends back what it gets, and ends when its client does.
NODE_ECHO = """
require('net').createServer({allowHalfOpen: true}, s => { s.on('error', () => {}); s.pipe(s); })
    .listen(+process.env.PORT, process.env.HOST);
"""

NODE_CLIENT = """
const net = require('net'), crypto = require('crypto');
const [host, port, size] = [process.argv[2], +process.argv[3], +process.argv[4]];
const block = crypto.randomBytes(65521), sent = crypto.createHash('sha256');
const client = net.connect({host, port}), back = crypto.createHash('sha256');
let left = size, got = 0;
// What is busy from its first byte on has no moment at which it could be joined.
let rounds = 0;
function talk(data) {
    if (data && (got += data.length) < 1000)
        return;
    got = 0;
    if (rounds++ < 50)
        return client.write(Buffer.alloc(1000, rounds));
    client.off('data', talk);
    client.on('data', data => { back.update(data); got += data.length; });
    write();
}
client.on('data', talk);
client.on('end', () => console.log(got == size && sent.digest('hex') == back.digest('hex')));
function write() {
    while (left > 0) {
        const piece = block.subarray(0, Math.min(left, 1 + (left * 31) % block.length));
        sent.update(piece);
        left -= piece.length;
        if (!client.write(piece))
            return client.once('drain', write);
    }
    client.end();
}
client.on('connect', () => talk());
"""


@case(engines=("kernel",), timeout=90)
def test_node_to_node(env):
    """A stream and its echo, which ends after the end of the stream."""
    node, script, size = programs.find("node"), env.tmp / "client.js", env.pick(64, 4) * MIB
    script.write_text(NODE_CLIENT, encoding="utf-8")
    place = Place(env)
    with place.serve(programs.Node, NODE_ECHO):
        done = place.run(node, script, *programs.split(place.address), size, timeout=60)
        assert done.stdout == "true\n", done
        place.check(0.5)


# ---- a neighbour --------------------------------------------------------------------------------

SPLICING = """
listen all
    mode tcp
    option splice-auto
    bind {address}
    server a SERVER
"""


@case(engines=("kernel",), timeout=120)
def test_haproxy_beside(env):
    """HAProxy in the cgroup, which moves bytes with splice() and talks to others: it is not
    touched, while its neighbours are joined."""
    curl = programs.find("curl")
    (env.tmp / "www").mkdir()
    wanted = pattern.write_file(env.tmp / "www/big", env.pick(64, 8) * MIB, 8)
    place = Place(env)
    with place.serve(programs.Nginx) as nginx:
        with place.cgroup.inside():
            haproxy = programs.HAProxy(env, SPLICING.replace("SERVER", nginx.address))
        with haproxy:
            for address in (haproxy.address, place.address) * 3:
                place.run(curl, "-sS", "--fail", "-o", env.tmp / "got", f"http://{address}/big")
                assert pattern.sha256_file(env.tmp / "got") == wanted, address
        # A short file is mostly over by the time a slow machine has joined the sockets.
        stats = place.check(0.01)    # nginx sends by sendfile(), see above
        assert stats["sessions_total"] == 3, stats


# ---- openssl ------------------------------------------------------------------------------------

@contextlib.contextmanager
def tls_lines(env, *options, protocol="tls"):
    """Lines from s_client to s_server and back, routed by the name of the server; the place."""
    place, dice = Place(env), random.Random(9)
    openssl, address = programs.find("openssl"), f"{programs.own_address()}:4433"
    lines = [hashlib.sha256(dice.randbytes(8)).hexdigest() * dice.randint(1, 60)
             for _ in range(env.pick(400, 50))]
    programs.run(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                 "-nodes", "-subj", "/CN=spliced.test", "-days", "2", "-keyout", env.tmp / "key",
                 "-out", env.tmp / "cert")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL,
             "text": True}
    with place.popen(openssl, "s_server", "-accept", address, "-cert", env.tmp / "cert", "-key",
                     env.tmp / "key", "-quiet", *options, **pipes) as server:
        programs.wait_listening(address)
        place.front(address, protocol, route="sni:spliced.test -> main", pool=None)
        with place.popen(openssl, "s_client", "-connect", place.address, "-servername",
                         "spliced.test", "-CAfile", env.tmp / "cert", "-verify_return_error",
                         "-quiet", *options, **pipes) as client:
            for line in lines:
                for source, target in ((client, server), (server, client)):
                    source.stdin.write(line + "\n")
                    source.stdin.flush()
                    assert target.stdout.readline() == line + "\n"
            client.terminate()
        yield place
        server.terminate()


@case(engines=("kernel",), timeout=60)
def test_openssl(env):
    """As it comes its sockets block, and it is left out."""
    with tls_lines(env) as place:
        place.check_left_out("blocking")


@case(engines=("kernel",), timeout=60)
def test_openssl_that_does_not_block(env):
    with tls_lines(env, "-nbio") as place:
        place.check(0.5)


@case(engines=("kernel",), timeout=60)
def test_openssl_through_auto(env):
    with tls_lines(env, "-nbio", protocol="auto") as place:
        place.check(0.5)
