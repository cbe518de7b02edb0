# SPDX-License-Identifier: GPL-2.0-or-later
"""The servers that the targets lead to."""

import glob
import json
import os
import pwd
import subprocess
import time

import probes
from peers import MACHINE
from processes import Failure, free_port

START_SECONDS = 60


class Backend:
    """A server on a port of its own."""

    programs = ()  # what must be installed, of the client's side, too

    def __init__(self, processes, directory, load):
        self.processes = processes
        self.directory = directory
        self.load = load
        self.load.programs = {name: self.find(name) for name in self.programs}

    def find(self, program):
        """The path of one of its programs."""
        return MACHINE.find(program)

    def launch(self, port):
        """Starts the server; returns its process."""
        raise NotImplementedError

    def start(self, group, count):
        """The ports for `count` targets, when the server answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        port = free_port()
        process = self.launch(port)
        end = time.monotonic() + START_SECONDS
        while not probes.serves(group, port):
            if process.poll() is not None or time.monotonic() > end:
                raise Failure(f"{self.programs[0]} does not serve: {self.complaint()}")
            time.sleep(0.05)
        return [port] * count

    def run(self, command):
        """Starts a program among the applications, with its output in the log."""
        with open(self.directory / "log", "ab") as log:
            return self.processes.start(command, self.load.applications, stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log)

    def complaint(self):
        """The last line of its log."""
        text = (self.directory / "log").read_text(encoding="utf-8", errors="replace")
        return text.strip().rpartition("\n")[2] or "empty log"


class Bench(Backend):
    """spliced-bench, with a listener for each target.

    A listener each keeps one target's TIME_WAIT out of another's search for a port.
    """

    def start(self, group, count):
        backend = self.processes.start(
            [self.load.program, "backend", "--stats", self.load.stats, "--listeners", str(count)],
            self.load.applications, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            return json.loads(backend.stdout.readline())["ports"]
        except ValueError as error:
            raise Failure("the backend did not start") from error


class Redis(Backend):
    """A redis-server that keeps nothing on disk."""

    programs = ("redis-server", "redis-benchmark")

    def launch(self, port):
        return self.run([self.find("redis-server"), "--bind", "127.0.0.1", "--port", str(port),
                         "--save", "", "--appendonly", "no", "--dir", str(self.directory)])


class Postgres(Backend):
    """A PostgreSQL server with a new cluster and pgbench's tables; root runs it as postgres."""

    programs = ("postgres", "initdb", "pgbench")

    def find(self, program):
        releases = glob.glob(f"/usr/lib/postgresql/*/bin/{program}")
        if releases:
            return max(releases, key=lambda path: float(path.split("/")[-3]))
        return MACHINE.find(program)

    def command(self, program, *words):
        """A command line for a program that root may not run."""
        if os.geteuid() != 0:
            return [self.find(program), *words]
        # A change of the user takes away the signal that a child gets when we are killed.
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups",
                "--pdeathsig=INT", self.find(program), *words]

    def call(self, command):
        """Runs a program to its end."""
        if self.run(command).wait(START_SECONDS) != 0:
            raise Failure(f"PostgreSQL cannot be set up: {self.complaint()}")

    def launch(self, port):
        data = self.directory / "data"
        data.mkdir()
        if os.geteuid() == 0:
            try:
                user = pwd.getpwnam("postgres")
            except KeyError:
                raise Failure("there is no user postgres") from None
            os.chown(data, user.pw_uid, user.pw_gid)
        self.call(self.command("initdb", "-D", str(data), "--no-sync", "-A", "trust", "-U",
                               "postgres", "--locale=C", "-E", "UTF8"))
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "",
                    "fsync": "off", "autovacuum": "off"}
        return self.run(self.command("postgres", "-D", str(data), *(
            word for key, value in settings.items() for word in ("-c", f"{key}={value}"))))

    def start(self, group, count):
        ports = super().start(group, count)
        self.call([self.find("pgbench"), "-h", "127.0.0.1", "-p", str(ports[0]), "-U", "postgres",
                   "-i", "-q", "postgres"])
        return ports


OF_GROUP = {"local-redis": Redis, "local-pgbench": Postgres}


def backend_of(group):
    """The class of a group's server."""
    return OF_GROUP.get(group, Bench)
