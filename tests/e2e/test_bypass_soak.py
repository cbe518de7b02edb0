# SPDX-License-Identifier: GPL-2.0-or-later
"""Joined applications that are killed at random, minutes long, while others go on: no byte of anybody's
is wrong, nobody's stream ends but by a kill, nobody hangs, and nothing stays behind."""

import collections
import contextlib
import json
import queue
import random
import socket
import subprocess
import sys
import threading
import time

from lib import case, programs, wait_until
from lib.host import tcp_memory

AT_DEBUG = False

CLIENTS, CONNECTIONS = 3, 8     # processes, and connections of each at a time
PATIENCE = 60       # seconds, after which one hangs
MIB = 1 << 20

# Says who it is, sends back what comes, and says at its end that it was one: "." after the rest.
SERVER = """
import asyncio, os, sys
async def serve(reader, writer):
    try:
        writer.write(b"%10d" % os.getpid())
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write(b".")
        writer.close()
        await writer.wait_closed()
    except OSError:
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    print("ready", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""

# Connections one after the other, until SIGTERM: echoes, then a stream both ways. A line when SIGTERM is
# heard, then one for each connection: how it went, and whose it was.
CLIENT = """
import asyncio, json, os, random, signal, sys
host, port, connections, seed, patience = sys.argv[1], *map(int, sys.argv[2:])
chance = random.Random(seed)
def tell(how, server):
    print(json.dumps([how, server]), flush=True)
async def answer(reader, data):
    if await reader.readexactly(len(data)) != data:
        raise ValueError
async def session(number, told):
    reader, writer = await asyncio.open_connection(host, port)
    try:
        told.append(int(await reader.readexactly(10)))
        data = random.Random(number).randbytes(chance.choice((20_000, 300_000, 3_000_000)))
        for i in range(chance.randrange(60)):
            small = data[i * 100:][:chance.randrange(1, 2000)]
            writer.write(small)
            await answer(reader, small)
            await asyncio.sleep(chance.random() * 0.02)
        async def write():
            for at in range(0, len(data), 50_000):
                writer.write(data[at:at + 50_000])
                await writer.drain()
            writer.write_eof()
        writing = asyncio.create_task(write())
        try:
            await answer(reader, data)
            if await reader.read() != b".":
                raise EOFError
            await writing
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
    finally:
        writer.close()
async def forever(lane):
    number = 1000 * (100 * seed + lane)
    while not over:
        told = []
        number += 1
        try:
            await asyncio.wait_for(session(number, told), patience)
            how = "done"
        except ValueError:
            how = "wrong"
        except (asyncio.IncompleteReadError, EOFError):
            how = "cut"
        except (TimeoutError, asyncio.TimeoutError):
            how = "hangs"
        except OSError:
            how = "reset"
        tell(how, told[0] if told else 0)
async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.append, True)
    print("ready", flush=True)
    await asyncio.gather(*map(forever, range(connections)))
over = []
asyncio.run(main())
"""


class Herd:
    """The servers and clients, and what the clients have told."""

    def __init__(self, env, stack, seed):
        self.env, self.stack, self.chance = env, stack, random.Random(seed)
        self.cgroup = env.cgroup()
        self.told, self.killed, self.clients = queue.Queue(), set(), []
        self.ports, self.servers = [self.own_port() for _ in range(2)], [None, None]
        for index in range(2):
            self.start_server(index)
        self.daemon = env.spliced(
            [f"127.0.0.1:{port}" for port in self.ports],
            spliced={"bypass_cgroup": self.cgroup.path, "bypass_high": "64K", "bypass_low": "16K"},
            listener={"local_bypass": "both"}, pool={"max_fails": 0})

    def popen(self, program, *arguments):
        process = subprocess.Popen(
            [*self.cgroup.prefix(), sys.executable, "-c", program, *map(str, arguments)],
            stdout=subprocess.PIPE, text=True)
        self.stack.callback(process.stdout.close)
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    def own_port(self):
        """One that no connect() gets while its server is dead."""
        holder = self.stack.enter_context(socket.socket())
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        return holder.getsockname()[1]

    def start_server(self, index):
        process = self.popen(SERVER, self.ports[index])
        assert process.stdout.readline() == "ready\n", "a server did not start"
        self.servers[index] = process

    def start_client(self):
        process = self.popen(CLIENT, *self.daemon.address().split(":"), CONNECTIONS,
                             self.chance.randrange(1 << 16), int(programs.scaled(PATIENCE)))
        assert process.stdout.readline() == "ready\n", "a client did not start"

        def listen():
            for line in process.stdout:
                with contextlib.suppress(ValueError):   # of one that was killed in the middle of it
                    self.told.put(json.loads(line))
        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        self.clients.append((process, listener))

    def disturb(self):
        """One of them dies, or its session; what it was."""
        what = self.chance.choice(("server", "client", "session", "session", "reload"))
        if what == "server":
            index = self.chance.randrange(len(self.servers))
            self.killed.add(self.servers[index].pid)
            self.servers[index].kill()
            self.servers[index].wait()
            self.start_server(index)
        elif what == "client":
            client, _ = self.clients.pop(self.chance.randrange(len(self.clients)))
            client.kill()
            client.wait()
            self.start_client()
        elif what == "session":
            sessions = self.daemon.sessions()
            if not sessions:
                return "none"
            number = self.chance.choice(sessions)["id"]
            if not self.daemon.control("kill", str(number), check=False):
                return "none"       # it has ended by itself
        else:
            self.daemon.control("reload")
        return what

    def results(self):
        """What the clients have told; a cut or reset that a server's death has brought about apart. (Who
        had not said who it was, 0, had died before or at its accept.)"""
        results = collections.Counter()
        while not self.told.empty():
            how, server = self.told.get()
            results[how if how in ("done", "wrong", "hangs") or server not in {0, *self.killed}
                    else "of a dead server"] += 1
        return results

    def over(self):
        """The clients end what they are at, or find out that it hangs, and all is told."""
        for process, _ in self.clients:
            process.terminate()
        for process, listener in self.clients:
            ended = process.wait(programs.scaled(PATIENCE + 20))
            assert ended == 0, f"a client ended with {ended}"
            listener.join(programs.scaled(10))
            assert not listener.is_alive()


def soak(env, seconds, seed):
    with contextlib.ExitStack() as stack:
        herd = Herd(env, stack, seed)
        daemon = herd.daemon
        descriptors, memory, rss = daemon.fds(), tcp_memory(), daemon.rss()
        for _ in range(CLIENTS):
            herd.start_client()
        wait_until(lambda: daemon.stats()["sessions_bypass"] > 0, 20, "the first are joined")
        done, ends = collections.Counter(), time.monotonic() + seconds
        while time.monotonic() < ends:
            done[herd.disturb()] += 1
            time.sleep(herd.chance.random())
        herd.over()
        results = herd.results()
        stats = daemon.stats()
        env.note(f"seed {seed}: {dict(done)}, {dict(results)}, "
                 f"{stats['bytes_bypassed'] // MIB} MiB bypassed")
        assert not set(results) & {"wrong", "hangs"}, results
        assert results["cut"] + results["reset"] <= done["session"], (results, done)
        assert results["done"] > 10, results
        assert stats["integrity_aborts"] == 0, stats
        daemon.wait_sessions(0, seconds=20)
        wait_until(lambda: daemon.fds() <= descriptors, 10, "descriptors are back")
        wait_until(lambda: not any(daemon.map_entries().values()), 10, "the maps are empty")
        wait_until(lambda: tcp_memory() <= memory + 4 * MIB, 20, "TCP's memory is back")
        if not env.sanitized:
            wait_until(lambda: daemon.rss() <= rss + 8 * MIB, 20, "the daemon's memory is back")


@case(engines=("kernel",), timeout=180)
def test_a_short_one(env):
    soak(env, env.pick(20, 5), 1)


@case(engines=("kernel",), full=True, timeout=1200)
def test_soak(env):
    soak(env, 900, random.randrange(1 << 16))
