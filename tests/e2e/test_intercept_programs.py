# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that know no proxy, and are sent to one: they reach what they asked for."""

import http.server
import socket
import sys
import threading

from lib import case, programs, sshd, tls
from lib.intercepted import intercepting, port_of
from lib.process import run


def originals(daemon, number=1):
    return {line["original"] for line in daemon.wait_access(number)}


def test_redis_cli(env):
    cgroup = env.cgroup()
    with programs.Redis(env) as redis:
        daemon = intercepting(env, cgroup, port_of(redis.address))
        host, port = programs.split(redis.address)
        cli = [*cgroup.prefix(), programs.find("redis-cli"), "-h", host, "-p", port]
        assert run(*cli, "set", "key", "value").stdout == "OK\n"
        assert run(*cli, "get", "key").stdout == "value\n"
        assert originals(daemon, 2) == {redis.address}


@case(timeout=120)
def test_psql(env):
    cgroup = env.cgroup()
    with programs.Postgres(env) as postgres:
        daemon = intercepting(env, cgroup, f"127.0.0.0/8:{port_of(postgres.address)}")
        host, port = programs.split(postgres.address)
        done = run(*cgroup.prefix(), postgres.tool("psql"), "-h", host, "-p", port, "-U",
                   "postgres", "-Atc", "select inet_server_port(), 6 * 7", "postgres")
        assert done.stdout == f"{port}|42\n", done
        assert originals(daemon) == {postgres.address}


NODE = """
const http = require('http');
http.get({host: process.argv[2], port: process.argv[3], path: '/', family: 4}, (answer) => {
    const peer = answer.socket.remoteAddress + ':' + answer.socket.remotePort;
    answer.resume();
    answer.on('end', () => console.log(answer.statusCode, peer));
});
"""

ASYNCIO = """
import asyncio, sys
async def main():
    reader, writer = await asyncio.open_connection(sys.argv[1], int(sys.argv[2]))
    writer.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
    line = await reader.readline()
    print(line.split()[1].decode(), "%s:%d" % writer.get_extra_info("peername")[:2])
asyncio.run(main())
"""


class Answer(http.server.BaseHTTPRequestHandler):
    """Says which Host it was asked for."""

    def do_GET(self):   # pylint: disable=invalid-name
        body = f"{self.headers.get('Host')}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing."""


class Server6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


def serve(env, kind=http.server.ThreadingHTTPServer, host="127.0.0.1"):
    server = kind((host, 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env.keep(server.socket)
    return f"[{host}]:{server.server_port}" if kind is Server6 else f"{host}:{server.server_port}"


def test_curl_by_name_and_host(env):
    """Names are looked up as ever; requests go by what they ask for."""
    cgroup = env.cgroup()
    there, six, elsewhere = serve(env), serve(env, Server6, "::1"), serve(env)
    daemon = intercepting(env, cgroup, [port_of(there), port_of(six)],
                          listener={"protocol": "auto", "route": "host:other.example -> other"},
                          more={"pool other": {"server": f"b {elsewhere}"}})
    # Not every machine has a localhost of IPv6.
    known = ["--resolve", f"localhost:{port_of(six)}:::1"]
    for options, address, peer in ((["-4"], there, there), (["-6", *known], six, f"::1:{port_of(six)}")):
        curl = [*cgroup.prefix(), programs.find("curl"), "-s", *options, "-w", "%{remote_ip}:%{remote_port}"]
        name = f"localhost:{port_of(address)}"
        assert run(*curl, f"http://{name}/").stdout == f"{name}\n{peer}"
        assert run(*curl, "-H", "Host: other.example", f"http://{address}/").stdout == f"other.example\n{peer}"
    assert daemon.status()["intercepts"][0]["redirected"] == 4, daemon.status()


def test_node(env):
    cgroup = env.cgroup()
    there = serve(env)
    intercepting(env, cgroup, port_of(there))
    script = env.tmp / "get.js"
    script.write_text(NODE, encoding="utf-8")
    host, port = programs.split(there)
    done = run(*cgroup.prefix(), programs.find("node"), script, host, port, timeout=60)
    assert done.stdout == f"200 {there}\n", done


def test_asyncio(env):
    cgroup = env.cgroup()
    there = serve(env)
    daemon = intercepting(env, cgroup, port_of(there))
    host, port = programs.split(there)
    done = run(*cgroup.prefix(), sys.executable, "-c", ASYNCIO, host, port)
    assert done.stdout == f"200 {there}\n", done
    assert originals(daemon) == {there}


@case(timeout=60)
def test_ssh(env):
    """A client that waits for its server to speak."""
    cgroup = env.cgroup()
    with sshd.Sshd(env) as server:
        daemon = intercepting(env, cgroup, port_of(server.address),
                              listener={"protocol": "auto", "auto_wait": "50ms"})
        said = programs.run_bytes(*cgroup.prefix(), *server.command(server.address, "wc", "-c"),
                                  input=bytes(1 << 20))
        assert said.split() == [b"1048576"], said
        assert originals(daemon) == {server.address}


def test_by_server_name(env):
    """TLS goes by the name that it asks for, whatever the address was."""
    cgroup = env.cgroup()
    one, two = (env.backend(tls.Server(env, name).handle) for name in ("one.example", "two.example"))
    daemon = intercepting(env, cgroup, port_of(one.address),
                          listener={"protocol": "tls", "route": "sni:two.example -> two"},
                          more={"pool two": {"server": f"b {two.address}"}})
    for name in ("one.example", "two.example"):
        done = run(*cgroup.prefix(), programs.find("openssl"), "s_client", "-connect", one.address,
                   "-servername", name)
        assert tls.Seen(done.stdout).subject == name, done.stdout
    assert daemon.status()["intercepts"][0]["redirected"] == 2, daemon.status()
