# SPDX-License-Identifier: GPL-2.0-or-later
"""Tunnels whose ends are joined: after an upgrade, after CONNECT, HTTP/2, and what `auto` finds."""

import contextlib
import re
import select
import socket
import time

from lib import case, grpc, h2, pattern, programs, proxyheader, tcp, tls, wait_until
from lib.bypassed import Place, echo_server
from lib.http import Reader, request, wait_requests
from lib.intercepted import connect, intercepting, original, peer, port_of
from lib.pattern import MIB

AT_DEBUG = False
SO_ZEROCOPY = 60


def check_tunnel(place, number=1, share=0.5):
    """The last of so many requests became a tunnel, of whose bytes that part went directly."""
    line = wait_requests(place.daemon, number)[-1]
    stats = place.daemon.stats()
    moved = int(line["bytes_up"]) + int(line["bytes_down"])
    place.env.note(f"{stats['bytes_bypassed']} of {moved} bytes")
    assert (line["engine"], line["bypass"], line["end"]) == ("bypass", "yes", "done"), line
    assert stats["sessions_bypass"] == 1 and stats["bytes_bypassed"] >= share * moved, stats
    return line


def exchanger(sock):
    """Of the socket, which does not block from now on: sends bytes, and gets exactly those wanted."""
    sock.setblocking(False)

    def exchange(data, wanted=None):
        wanted = data if wanted is None else wanted
        assert sock.send(data) == len(data)
        got = b""
        while len(got) < len(wanted):
            assert select.select([sock], [], [], programs.scaled(20))[0], (got, wanted)
            got += sock.recv(65536)
        assert got == wanted, (got, wanted)
    return exchange


@contextlib.contextmanager
def echoed(env, pool=None, **listener):
    """A connection to a server that sends back what it gets; (daemon, socket, exchange). It is bypassed in
    the end."""
    cgroup = env.cgroup()
    address, _ = echo_server(env, cgroup)
    if "route" in listener:
        listener["pool"] = None
    daemon = env.spliced(address, spliced={"bypass_cgroup": cgroup.path}, pool=pool,
                         listener={"local_bypass": "both", **listener})
    with cgroup.inside(), tcp.connect(daemon.address()) as sock:
        yield daemon, sock, exchanger(sock)
    line = daemon.wait_access(1)[-1]
    assert (line["bypass"], line["end"]) == ("yes", "done"), line


def until_direct(daemon, exchange):
    """Both ways."""
    def is_direct():
        before = daemon.stats()
        exchange()
        after = daemon.stats()
        return after["bytes_bypassed"] > before["bytes_bypassed"] \
            and after["bytes_copied"] == before["bytes_copied"]
    wait_until(is_direct, 10, "bytes go directly")
    assert daemon.sessions()[0]["engine"] == "bypass", daemon.sessions()


# ---- behind what routes it ----------------------------------------------------------------------

@case(engines=("kernel",))
def test_proxy_header(env):
    """The server gets more than its client has sent."""
    with echoed(env, {"send_proxy": "v1"}) as (daemon, sock, exchange):
        exchange(b"head", proxyheader.v1(sock.getsockname(), sock.getpeername()) + b"head")
        until_direct(daemon, lambda: exchange(b"data"))


@case(engines=("kernel",))
def test_an_intercepted_client(env):
    """A program that asks for the server itself is joined to it, and sees the server."""
    cgroup = env.cgroup()
    address, _ = echo_server(env, cgroup)
    daemon = intercepting(env, cgroup, port_of(address), listener={"local_bypass": "both"},
                          spliced={"bypass_cgroup": cgroup.path})
    with connect(cgroup, address) as sock:
        exchange = exchanger(sock)
        until_direct(daemon, lambda: exchange(b"data"))
        assert peer(sock) == original(sock) == address, (peer(sock), original(sock))
    line = daemon.wait_access(1)[-1]
    assert (line["bypass"], line["end"], line["original"]) == ("yes", "done", address), line


@case(engines=("kernel",))
def test_routed_by_server_name(env):
    hello = tls.records(tls.usual("named.test"))
    with echoed(env, protocol="tls", route="sni:named.test -> main") as (daemon, _, exchange):
        exchange(hello)
        until_direct(daemon, lambda: exchange(b"data"))


# ---- upgrades -----------------------------------------------------------------------------------

# Answers requests with as many bytes as they ask for, and sends back what comes after an upgrade.
# The first bytes of a tunnel are behind its head, in the same segment.
UPGRADING_SERVER = """
const server = require('http').createServer((request, answer) => {
    let got = 0;
    request.on('data', data => got += data.length);
    request.on('end', () => answer.end(Buffer.alloc(+request.url.slice(1), String(got))));
});
server.on('upgrade', (request, socket, first) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: echo\\r\\n'
                 + 'Connection: Upgrade\\r\\n\\r\\nhello');
    if (first.length)
        socket.write(first);
    socket.pipe(socket);
});
server.keepAliveTimeout = 60000;
server.listen(+process.env.PORT, process.env.HOST);
"""

# Ordinary requests first, on the same connection.
UPGRADING_CLIENT = """
const http = require('http'), crypto = require('crypto');
const [host, port, size, up] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const agent = new http.Agent({keepAlive: true, maxSockets: 1});
const sockets = new Set();
function ask(method, path, body, then) {
    const request = http.request({host, port, method, path, agent}, answer => {
        let got = 0;
        answer.on('data', data => got += data.length);
        answer.on('end', () => {
            sockets.add(request.socket);
            if (got != +path.slice(1))
                throw new Error(`${got} bytes of ${path}`);
            setImmediate(then);
        });
    });
    request.end(body);
}
function upgrade() {
    const request = http.request({host, port, path: '/', agent,
                                  headers: {Connection: 'Upgrade', Upgrade: 'echo'}});
    request.on('upgrade', (answer, socket, first) => {
        sockets.add(socket);
        if (sockets.size != 1)
            throw new Error('another connection');
        talk(socket, first);
    });
    request.end();
}
function talk(socket, first) {
    const block = crypto.randomBytes(65521);
    const sent = crypto.createHash('sha256'), back = crypto.createHash('sha256');
    sent.update('hello');
    let left = size, rounds = 0, got = 0;
    function take(data) {
        back.update(data);
        got += data.length;
        // What is busy from its first byte on has no moment at which it could be joined.
        if (rounds < 50 && got >= 5 + 1000 * rounds) {
            const piece = Buffer.alloc(1000, ++rounds);
            sent.update(piece);
            socket.write(piece);
        } else if (rounds == 50 && got >= 5 + 50000) {
            rounds++;
            write();
        }
    }
    function write() {
        while (left > 0) {
            const piece = block.subarray(0, Math.min(left, 1 + (left * 31) % block.length));
            sent.update(piece);
            left -= piece.length;
            if (!socket.write(piece))
                return socket.once('drain', write);
        }
        socket.end();
    }
    socket.on('data', take);
    socket.on('end', () => console.log(sockets.size, sent.digest('hex') == back.digest('hex')));
    if (first.length)
        take(first);
}
ask('GET', '/10', '', () => ask('POST', '/70000', Buffer.alloc(up), upgrade));
"""


def upgraded(env, before):
    """A tunnel of Node's, on a connection that has had a request of `before` bytes."""
    node, script, size = programs.find("node"), env.tmp / "client.js", env.pick(32, 4) * MIB
    script.write_text(UPGRADING_CLIENT, encoding="utf-8")
    place = Place(env)
    with place.serve(programs.Node, UPGRADING_SERVER, protocol="http"):
        done = place.run(node, script, *programs.split(place.address), size, before, timeout=60)
        assert done.stdout == "1 true\n", done
        yield place


@case(engines=("kernel",), timeout=90)
def test_upgrade(env):
    for place in upgraded(env, 100):
        line = check_tunnel(place, 3)
        assert int(line["bytes_down"]) == int(line["bytes_up"]) + 5, line


@case(engines=("kernel",), timeout=90)
def test_upgrade_after_a_large_request(env):
    """The daemon's receive buffer has grown: it is bypassed still, or was too large for that."""
    for place in upgraded(env, 30 * MIB):
        line = wait_requests(place.daemon, 3)[-1]
        assert line["bypass"] in ("yes", "buffer") and line["end"] == "done", line
        env.note(line["bypass"])


@case(engines=("kernel",))
def test_upgrade_after_a_body_of_the_kernels(env):
    """A tunnel that leaves the way is copied, though the kernel engine has moved a body before it."""
    place = Place(env)
    with place.serve(programs.Node, UPGRADING_SERVER, protocol="http"):
        with place.cgroup.inside(), tcp.connect(place.address) as sock:
            sock.sendall(request(target=f"/{4 * MIB}"))
            answer = Reader(sock)
            assert answer.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
            assert answer.exactly(4 * MIB) == b"0" * (4 * MIB)
            wait_until(lambda: place.daemon.stats()["bytes_redirected"] > 0, 10, "the kernel had it")
            pid = place.daemon.worker_pid
            sock.sendall(request("GET", "/", "Connection: Upgrade", "Upgrade: echo"))
            answer.until(b"\r\n\r\n")
            assert answer.exactly(5) == b"hello"
            exchange = exchanger(sock)
            until_direct(place.daemon, lambda: exchange(b"data"))
            sock.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
            for number in range(20):
                exchange(b"%d" % number * 1000)
            wait_until(lambda: place.daemon.stats()["bypass_left"]["zerocopy"] == 1, 10, "it was left")
            assert place.daemon.worker_pid == pid
        line = wait_requests(place.daemon, 2)[-1]
        assert (line["bypass"], line["end"]) == ("zerocopy", "done"), line


@case(engines=("kernel",), timeout=60)
def test_requests_are_none_of_it(env):
    """Of HTTP only what asks for a tunnel has a server's connection of its own."""
    h2load = programs.find("h2load")
    place = Place(env)
    with place.serve(programs.Node, UPGRADING_SERVER, protocol="http"):
        said = place.run(h2load, "--h1", "-n", 400, "-c", 4, f"http://{place.address}/1000").stdout
        assert "400 succeeded, 0 failed, 0 errored, 0 timeout" in said, said
        place.daemon.wait_sessions(0)
        stats = place.daemon.stats()
        assert stats["sessions_bypass"] == 0 and stats["bytes_bypassed"] == 0, stats
        assert not any(stats["bypass_left"].values()), stats["bypass_left"]
        assert stats["backend_reused"] >= 390, stats


# ---- CONNECT ------------------------------------------------------------------------------------

# A forward proxy.
CONNECTING = """
const net = require('net');
const server = require('http').createServer();
server.on('connect', (request, socket, first) => {
    const [host, port] = request.url.split(':');
    const there = net.connect({host, port: +port, allowHalfOpen: true}, () => {
        socket.write('HTTP/1.1 200 Connection established\\r\\n\\r\\n');
        there.write(first);
        there.pipe(socket);
        socket.pipe(there);
    });
    for (const s of [there, socket])
        s.on('error', () => { there.destroy(); socket.destroy(); });
});
server.listen(+process.env.PORT, process.env.HOST);
"""


@case(engines=("kernel",), timeout=120)
def test_connect(env):
    """curl, a forward proxy of Node's behind the daemon, and nginx behind that."""
    curl = programs.find("curl")
    (env.tmp / "www").mkdir()
    wanted = pattern.write_file(env.tmp / "www/big", env.pick(128, 8) * MIB, 11)
    place = Place(env)
    with programs.Nginx(env) as nginx, \
            place.serve(programs.Node, CONNECTING, protocol="http",
                        route="method:CONNECT -> main"):
        place.run(curl, "-sS", "--fail", "-p", "-x", f"http://{place.address}", "--max-time",
                  programs.scaled(60), "-o", env.tmp / "got", f"http://{nginx.address}/big",
                  timeout=90)
        assert pattern.sha256_file(env.tmp / "got") == wanted
        line = check_tunnel(place)
        assert (line["method"], line["status"]) == ("CONNECT", "200"), line


# ---- HTTP/2 -------------------------------------------------------------------------------------

def run_h2load(env, protocol, **listener):
    h2load = programs.find("h2load")
    (env.tmp / "www").mkdir()
    wanted = pattern.write_file(env.tmp / "www/0", 20_000, 6)
    place, number = Place(env), env.pick(4000, 400)
    with place.serve(programs.Nghttpd, protocol=protocol, **listener):
        said = place.run(h2load, "-n", number, "-c", 4, "-m", 10, f"http://{place.address}/0",
                         timeout=50).stdout
        assert f"{number} succeeded, 0 failed, 0 errored, 0 timeout" in said, said
        place.run(programs.find("curl"), "-sS", "--fail", "--http2-prior-knowledge", "-o",
                  env.tmp / "got", f"http://{place.address}/0")
        assert pattern.sha256_file(env.tmp / "got") == wanted
        place.check(0.5, 4)
        assert all(line["protocol"] == "h2c" for line in place.daemon.access_log())


@case(engines=("kernel",), timeout=60)
def test_h2_tunnel(env):
    run_h2load(env, "http", h2="tunnel")


@case(engines=("kernel",), timeout=60)
def test_h2_auto(env):
    run_h2load(env, "auto")


@case(engines=("kernel",))
def test_h2_settings(env):
    """A client that waits for SETTINGS gets the daemon's own: joined they are when its
    acknowledgement, which is not for the server, is out of the way."""
    with echoed(env, protocol="http", route="host:a.test -> main", sniff_timeout="60s") as (daemon, _, exchange):
        exchange(h2.BEGINNING, h2.EMPTY)
        exchange(h2.REQUEST, h2.BEGINNING + h2.REQUEST)
        for _ in range(20):
            exchange(h2.BODY)
            time.sleep(0.002)
        assert daemon.sessions()[0]["engine_reason"] == "young", daemon.sessions()
        exchange(h2.ACK + h2.BODY, h2.BODY)
        until_direct(daemon, lambda: exchange(h2.BODY))


@case(engines=("kernel",), timeout=120, vm=False)
def test_grpc(env):
    """Python's has SO_ZEROCOPY, and is left out."""
    client, server, place = grpc.Python(env), grpc.Python(env), Place(env)
    with place.cgroup.inside():
        backend = server.server(50055)
    with backend:
        place.front(backend.address, "http", sniff_timeout="60s")
        with place.cgroup.inside():
            assert client.call(place.address, env.pick(8, 2)) == grpc.CALLS
        place.check_left_out("zerocopy")


# ---- auto ---------------------------------------------------------------------------------------

@case(engines=("kernel",), timeout=90)
def test_auto_redis(env):
    """What is neither TLS nor HTTP."""
    program, requests = programs.find("redis-benchmark"), env.pick(40_000, 4000)
    place = Place(env)
    with place.serve(programs.Redis, protocol="auto"):
        host, port = programs.split(place.address)
        done = place.run(program, "-h", host, "-p", port, "-n", requests, "-c", 20, "-t",
                         "set,get", "-d", 200, "--csv", timeout=60)
        assert len(re.findall(r'^"(SET|GET)",', done.stdout, re.MULTILINE)) == 2, done.stdout
        wait_until(lambda: place.daemon.stats()["bytes_bypassed"] > 0, 5, "it is counted")
        place.check(0.5, 20)
