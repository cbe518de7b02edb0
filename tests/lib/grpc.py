# SPDX-License-Identifier: GPL-2.0-or-later
"""gRPC clients and servers: Debian's python3-grpcio, and @grpc/grpc-js.

Both sides know four methods of messages without a schema: /t.T/Unary answers a message reversed,
/t.T/Up many with their number and the SHA-256 of all, /t.T/Down sends as many as it is told,
/t.T/Both sends each back. A client calls all of them and prints a line for each that was right.
"""

import fcntl
import os
import subprocess

from . import env as environment
from . import programs
from .case import Skip

PYTHON = "/usr/bin/python3"     # Debian's, which has Debian's packages
CALLS = ["unary", "up", "down", "both", "bulk"]
NODE_PACKAGE = "@grpc/grpc-js@1"

PYTHON_SERVER = r"""
import hashlib, sys
from concurrent import futures
import grpc

def up(requests, _context):
    count, digest = 0, hashlib.sha256()
    for message in requests:
        count += 1
        digest.update(message)
    return b"%d %s" % (count, digest.hexdigest().encode())

def down(request, _context):
    count, size = map(int, request.split())
    for number in range(count):
        yield b"%08d" % number + bytes(size - 8)

class All(grpc.GenericRpcHandler):
    methods = {
        "/t.T/Unary": grpc.unary_unary_rpc_method_handler(lambda message, _: message[::-1]),
        "/t.T/Up": grpc.stream_unary_rpc_method_handler(up),
        "/t.T/Down": grpc.unary_stream_rpc_method_handler(down),
        "/t.T/Both": grpc.stream_stream_rpc_method_handler(lambda messages, _: messages),
    }
    def service(self, details):
        return self.methods.get(details.method)

server = grpc.server(futures.ThreadPoolExecutor(4), handlers=(All(),))
assert server.add_insecure_port(sys.argv[1])
server.start()
server.wait_for_termination()
"""

PYTHON_CLIENT = r"""
import hashlib, sys
import grpc

channel = grpc.insecure_channel(sys.argv[1])
bulk = int(sys.argv[2])
wait = {"timeout": float(sys.argv[3])}
assert channel.unary_unary("/t.T/Unary")(b"abc", **wait) == b"cba"
print("unary", flush=True)
messages = [b"%d" % i * 100 for i in range(200)]
told = channel.stream_unary("/t.T/Up")(iter(messages), **wait)
assert told == b"200 " + hashlib.sha256(b"".join(messages)).hexdigest().encode(), told
print("up", flush=True)
got = list(channel.unary_stream("/t.T/Down")(b"200 1000", **wait))
assert got == [b"%08d" % i + bytes(992) for i in range(200)]
print("down", flush=True)
assert list(channel.stream_stream("/t.T/Both")(iter(messages), **wait)) == messages
print("both", flush=True)
large = [bytes([i]) * (1 << 20) for i in range(bulk)]
assert list(channel.stream_stream("/t.T/Both")(iter(large), **wait)) == large
print("bulk", flush=True)
channel.close()
"""

NODE_SERVICE = r"""
const grpc = require('@grpc/grpc-js');
const crypto = require('crypto');
const raw = {requestSerialize: b => b, requestDeserialize: b => b,
             responseSerialize: b => b, responseDeserialize: b => b};
const method = (name, up, down) =>
    ({path: '/t.T/' + name, requestStream: up, responseStream: down, ...raw});
const service = {Unary: method('Unary', false, false), Up: method('Up', true, false),
                 Down: method('Down', false, true), Both: method('Both', true, true)};
"""

NODE_SERVER = NODE_SERVICE + r"""
const server = new grpc.Server();
server.addService(service, {
    Unary: (call, done) => done(null, Buffer.from(call.request).reverse()),
    Up: (call, done) => {
        const digest = crypto.createHash('sha256');
        let count = 0;
        call.on('data', m => { count++; digest.update(m); });
        call.on('end', () => done(null, Buffer.from(count + ' ' + digest.digest('hex'))));
    },
    Down: call => {
        const [count, size] = call.request.toString().split(' ').map(Number);
        for (let i = 0; i < count; i++) {
            const m = Buffer.alloc(size);
            m.write(String(i).padStart(8, '0'));
            call.write(m);
        }
        call.end();
    },
    Both: call => {
        call.on('data', m => { if (!call.write(m)) { call.pause();
                                                     call.once('drain', () => call.resume()); } });
        call.on('end', () => call.end());
    },
});
server.bindAsync(process.env.HOST + ':' + process.env.PORT,
                 grpc.ServerCredentials.createInsecure(),
                 error => { if (error) throw error; });
"""

NODE_CLIENT = NODE_SERVICE + r"""
const [address, bulk, seconds] = process.argv.slice(2);
const Client = grpc.makeGenericClientConstructor(service, 'T');
const client = new Client(address, grpc.credentials.createInsecure(),
                          {'grpc.max_receive_message_length': -1});
const until = () => ({deadline: Date.now() + 1000 * seconds});
const unary = m => new Promise((yes, no) =>
    client.Unary(m, until(), (error, answer) => error ? no(error) : yes(answer)));
const collect = call => new Promise((yes, no) => {
    const got = [];
    call.on('data', m => got.push(m));
    call.on('end', () => yes(got));
    call.on('error', no);
});
const must = (good, what) => { if (!good) throw new Error(what); console.log(what); };
const same = (a, b) => a.length === b.length && a.every((m, i) => m.equals(b[i]));
const send = (call, messages) => { for (const m of messages) call.write(m); call.end(); };

(async () => {
    must((await unary(Buffer.from('abc'))).toString() === 'cba', 'unary');
    const messages = [...Array(200).keys()].map(i => Buffer.from(String(i).repeat(100)));
    const told = await new Promise((yes, no) => send(
        client.Up(until(), (error, answer) => error ? no(error) : yes(answer)), messages));
    const digest = crypto.createHash('sha256').update(Buffer.concat(messages)).digest('hex');
    must(told.toString() === '200 ' + digest, 'up');
    const down = await collect(client.Down(Buffer.from('200 1000'), until()));
    must(down.length === 200 && down.every((m, i) => m.length === 1000
         && Number(m.toString('latin1', 0, 8)) === i), 'down');
    let call = client.Both(until());
    send(call, messages);
    must(same(await collect(call), messages), 'both');
    const large = [...Array(Number(bulk)).keys()].map(i => Buffer.alloc(1 << 20, i));
    call = client.Both(until());
    send(call, large);
    must(same(await collect(call), large), 'bulk');
    client.close();
})().catch(error => { console.error(error); process.exit(1); });
"""


def need_python():
    done = subprocess.run([PYTHON, "-c", "import grpc"], capture_output=True, check=False)
    if done.returncode:
        raise Skip("not installed: python3-grpcio")


def node_modules():
    """The directory with Node's gRPC, which is fetched once into the build directory."""
    npm = programs.find("npm")
    place = environment.build_dir() / "tests/npm"
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            done = subprocess.run([npm, "install", "--prefix", place, "--no-audit", "--no-fund",
                                   "--ignore-scripts", NODE_PACKAGE], capture_output=True,
                                  timeout=programs.scaled(90), check=False)
            if done.returncode:
                raise Skip(f"{NODE_PACKAGE} cannot be installed by npm")
            (place / "complete").touch()
    return place / "node_modules"


class Python:
    """Debian's python3-grpcio."""

    name = "python"

    def __init__(self, env):
        need_python()
        self.env = env

    def server(self, port):
        """A running server, for a `with` block."""
        path, address = self.env.tmp / "server.py", f"{programs.own_address()}:{port}"
        path.write_text(PYTHON_SERVER, encoding="ascii")
        return programs.Program(self.env, "grpc-python", [PYTHON, path, address], address)

    def call(self, address, bulk, seconds=30):
        """What a client that calls everything has printed."""
        path = self.env.tmp / "client.py"
        path.write_text(PYTHON_CLIENT, encoding="ascii")
        return programs.run(PYTHON, path, address, bulk, programs.scaled(seconds),
                            timeout=seconds + 10).stdout.split()


class Node:
    """@grpc/grpc-js."""

    name = "node"

    def __init__(self, env):
        self.env = env
        os.environ["NODE_PATH"] = str(node_modules())

    def server(self, port):
        return programs.Node(self.env, NODE_SERVER, "grpc-node", port)

    def call(self, address, bulk, seconds=30):
        path = self.env.tmp / "client.js"
        path.write_text(NODE_CLIENT, encoding="ascii")
        return programs.run(programs.find("node"), path, address, bulk, programs.scaled(seconds),
                            timeout=seconds + 10).stdout.split()
