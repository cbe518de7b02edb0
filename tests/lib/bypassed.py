# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs on both sides of a bypassed listener."""

import contextlib
import subprocess
import sys

from . import programs


class Place:
    """A cgroup with a server in it, and a daemon in front that joins its clients to it."""

    def __init__(self, env):
        self.env, self.cgroup, self.daemon = env, env.cgroup(), None

    @contextlib.contextmanager
    def serve(self, server, *arguments, **listener):
        """Starts it, and the daemon; the server."""
        with contextlib.ExitStack() as stack:
            with self.cgroup.inside():
                program = stack.enter_context(server(self.env, *arguments))
            self.front(program.address, **listener)
            yield program

    def front(self, address, protocol="tcp", **listener):
        """Starts the daemon alone; it chooses who moves what is not joined."""
        self.daemon = self.env.spliced(
            address, spliced={"engine": "auto", "bypass_cgroup": self.cgroup.path},
            listener={"local_bypass": "both", "protocol": protocol, **listener})

    @property
    def address(self):
        return self.daemon.address()

    def run(self, *command, **options):
        """A client, in the cgroup."""
        with self.cgroup.inside():
            return programs.run(*command, **options)

    def popen(self, *command, **options):
        with self.cgroup.inside():
            return subprocess.Popen([str(word) for word in command], **options)

    def check(self, share, sessions=1):
        """So many sessions at least were joined, and that part of all bytes went directly; no
        session broke."""
        self.daemon.wait_sessions(0)
        stats = self.daemon.stats()
        lines = self.daemon.access_log()
        moved = sum(int(line["bytes_up"]) + int(line["bytes_down"]) for line in lines)
        self.env.note(f"{stats['sessions_bypass']} of {stats['sessions_total']} sessions, "
                      f"{100 * stats['bytes_bypassed'] // max(moved, 1)} % of {moved} bytes")
        assert stats["sessions_bypass"] >= sessions, (stats, lines)
        assert stats["bytes_bypassed"] >= share * moved, (stats, lines)
        assert stats["integrity_aborts"] == 0, stats
        ends = {line["end"] for line in lines}
        assert ends <= {"done", "client_reset", "server_reset"}, ends
        return stats

    def check_left_out(self, reason):
        """Not one byte went directly, for that reason."""
        self.daemon.wait_sessions(0)
        stats = self.daemon.stats()
        assert stats["bytes_bypassed"] == 0 and stats["sessions_bypass"] == 0, stats
        assert stats["bypass_left"][reason] > 0, stats["bypass_left"]


# What a program of echo_server() ends with: serve(reader, writer) is called for each connection.
SERVE = """
async def main():
    server = await asyncio.start_server(serve, sys.argv[1], 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""

# As an event-driven one: the socket is non-blocking when the first byte is sent.
ECHO = f"""
import asyncio, sys
async def serve(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
{SERVE}"""


def echo_server(env, cgroup, host="127.0.0.1", program=ECHO, arguments=(), at=()):
    """The address of a server in the cgroup that sends back what it gets, or does otherwise."""
    process = subprocess.Popen([*cgroup.prefix(), *at, sys.executable, "-c", program, host,
                                *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    port = int(process.stdout.readline())
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}", process
