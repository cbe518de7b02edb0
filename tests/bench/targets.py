# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured: the backend itself, and the proxies before it."""

import json
import pathlib
import shutil
import subprocess
import time

import configurations
import probes
from processes import Failure, free_port

NGINX_STREAM_MODULE = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")
START_SECONDS = 10


def find(program):
    """The path of an installed program, also of one in sbin."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if not path:
        raise Failure(f"{program} is not installed")
    return path


def first_line(command):
    """What a program says about its version."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    return done.stdout.strip().partition("\n")[0]


class Target:
    """One running way to the backend. Start as many instances as wanted."""

    name = ""
    groups = ("tcp", "http", "tls")  # what it can be configured for
    sessions = 10000  # what every proxy is configured to hold

    def __init__(self, group, processes, directory, backend):
        self.group = group
        self.processes = processes
        self.directory = directory
        self.backend = backend
        self.process = None
        self.port = None

    @classmethod
    def version(cls):
        """A line for the report; raises Failure when the program is missing."""
        raise NotImplementedError

    def launch(self):
        """Starts the program and sets self.process and self.port."""
        raise NotImplementedError

    def start(self):
        """Launches, and returns when an answer has come back through the target."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for _ in range(3):  # another program may take the free port first
            self.launch()
            if self.await_answer():
                return self
            self.stop()
        raise Failure(f"{self.name} does not serve: {self.complaint()}")

    def await_answer(self):
        """Waits for the first answer; False when the program ended."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process and self.process.poll() is not None:
                return False
            if self.port and probes.serves(self.group, self.port):
                return True
            time.sleep(0.05)
        return False

    def alive(self):
        """Whether the program still runs."""
        return self.process is None or self.process.poll() is None

    def complaint(self):
        """The last line of its log."""
        try:
            text = (self.directory / "log").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "no log"
        return text.strip().rpartition("\n")[2] or "empty log"

    def run(self, command):
        """Starts the program with its output in the log."""
        with open(self.directory / "log", "wb") as log:
            self.process = self.processes.start(command, stdin=subprocess.DEVNULL, stdout=log,
                                                stderr=log)

    def write_conf(self, text):
        """Writes the configuration and returns its path."""
        path = self.directory / f"{self.name}.conf"
        path.write_text(text, encoding="utf-8")
        return str(path)

    def stop(self):
        """Ends the program."""
        if self.process:
            self.processes.stop(self.process)
            self.process = None

    def statistics(self):
        """What the program counted itself, if it can tell."""
        return None


class Direct(Target):
    """No proxy at all: the upper bound."""

    name = "direct"

    @classmethod
    def version(cls):
        return "client to backend without a proxy"

    def launch(self):
        self.port = self.backend


class HaproxySplice(Target):
    """HAProxy with splice(): the one to beat."""

    name = "haproxy-splice"
    option = "    option splice-auto"
    tuning = "    maxpipes 400\n    tune.bufsize 65536"

    @classmethod
    def version(cls):
        return first_line([find("haproxy"), "-v"])

    def launch(self):
        self.port = free_port()
        conf = self.write_conf(configurations.HAPROXY[self.group].format(
            port=self.port, backend=self.backend, option=self.option, tuning=self.tuning,
            sessions=self.sessions))
        self.run([find("haproxy"), "-db", "-f", conf])


class Haproxy(HaproxySplice):
    """HAProxy copying through its buffers."""

    name = "haproxy"
    option = ""
    tuning = "    tune.bufsize 65536"


class Nginx(Target):
    """nginx as a stream or HTTP proxy: two workers."""

    name = "nginx"
    groups = ("tcp", "http")

    @classmethod
    def version(cls):
        program = find("nginx")
        text = subprocess.run([program, "-V"], stderr=subprocess.PIPE, text=True,
                              check=False).stderr
        if "--with-stream=dynamic" in text and not NGINX_STREAM_MODULE.exists():
            raise Failure("nginx has no stream module (package libnginx-mod-stream)")
        return text.partition("\n")[0]

    def launch(self):
        self.port = free_port()
        module = NGINX_STREAM_MODULE
        conf = self.write_conf(configurations.NGINX[self.group].format(
            module=f"load_module {module};" if module.exists() else "", port=self.port,
            backend=self.backend, directory=self.directory,
            connections=2 * self.sessions + 64))
        self.run([find("nginx"), "-p", str(self.directory), "-e", "stderr", "-c", conf])


class Sniproxy(Target):
    """sniproxy: one thread, which is all it has."""

    name = "sniproxy"
    groups = ("tls",)

    @classmethod
    def version(cls):
        return first_line([find("sniproxy"), "-V"])

    def launch(self):
        self.port = free_port()
        conf = self.write_conf(configurations.SNIPROXY.format(
            port=self.port, backend=self.backend, directory=self.directory))
        self.run([find("sniproxy"), "-f", "-c", conf])


class SplicedKernel(Target):
    """spliced with the kernel moving the bytes."""

    name = "spliced-kernel"
    engine = "kernel"
    build = pathlib.Path("build")

    @classmethod
    def version(cls):
        for program in ("spliced", "splicectl"):
            if not (cls.build / program).exists():
                raise Failure(f"{cls.build / program} is not built")
        return first_line([str(cls.build / "spliced"), "--version"])

    def launch(self):
        conf = self.write_conf(configurations.SPLICED[self.group].format(
            engine=self.engine, backend=self.backend, directory=self.directory,
            sessions=self.sessions))
        self.run([str(self.build / "spliced"), "-c", conf])
        self.port = self.find_port()

    def control(self, command):
        """The answer of splicectl, or None."""
        try:
            done = subprocess.run(
                [str(self.build / "splicectl"), "-s", str(self.directory / "ctl.sock"), "--json",
                 command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=5,
                check=False)
            return json.loads(done.stdout)
        except (ValueError, subprocess.TimeoutExpired):
            return None

    def find_port(self):
        """Asks the daemon which port it was given."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.alive():
            status = self.control("status")
            try:
                return int(status["listeners"][0]["bind"][0].rpartition(":")[2])
            except (TypeError, KeyError, IndexError, ValueError):
                time.sleep(0.1)
        return None

    def statistics(self):
        return self.control("stats")


class SplicedCopy(SplicedKernel):
    """spliced copying in user space."""

    name = "spliced-copy"
    engine = "copy"


ALL = [Direct, HaproxySplice, Haproxy, Nginx, Sniproxy, SplicedKernel, SplicedCopy]
