# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured: the backend itself, and the proxies before it."""

import json
import pathlib
import shutil
import socket
import subprocess
import time

from processes import Failure, free_port

NGINX_STREAM_MODULE = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")
START_SECONDS = 10

# The competitors run with what was best for them here: 64 KiB buffers gave HAProxy up to half
# more stream throughput (also with splice) and nginx a third; more or larger pipes gave nothing,
# nor did one listening socket for all of nginx's workers instead of one each (reuseport).
HAPROXY_CONF = """\
global
    nbthread 2
    maxconn {sessions}
{tuning}
defaults
    mode tcp
    maxconn {sessions}
    timeout connect 10s
    timeout client 1h
    timeout server 1h
{option}
listen b
    bind 127.0.0.1:{port} backlog 4096
    server a 127.0.0.1:{backend}
"""

NGINX_CONF = """\
{module}
worker_processes 2;
daemon off;
user root;
pid {directory}/nginx.pid;
error_log stderr crit;
events {{ worker_connections {connections}; }}
stream {{
    access_log off;
    server {{
        listen 127.0.0.1:{port} backlog=4096{reuseport};
        proxy_pass 127.0.0.1:{backend};
        proxy_buffer_size {buffer};
        proxy_timeout 1h;
    }}
}}
"""

SPLICED_CONF = """\
[spliced]
engine = {engine}
workers = 2
control = {directory}/ctl.sock
access_log = no
user =
max_sessions = {sessions}

[listener b]
bind = 127.0.0.1:0
pool = p

[pool p]
server = a 127.0.0.1:{backend}
"""


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


def echoes(port):
    """Whether a message sent to the port comes back."""
    message = b"E" + bytes(63)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
            client.sendall(message)
            answer = b""
            while len(answer) < len(message):
                piece = client.recv(64)
                if not piece:
                    return False
                answer += piece
            return answer == message
    except OSError:
        return False


class Target:
    """One running way to the backend. Start as many instances as wanted."""

    name = ""
    sessions = 10000  # what every proxy is configured to hold

    def __init__(self, processes, directory, backend):
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
        """Launches, and returns when a message has come back through the target."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for _ in range(3):  # another program may take the free port first
            self.launch()
            if self.await_echo():
                return self
            self.stop()
        raise Failure(f"{self.name} does not serve: {self.complaint()}")

    def await_echo(self):
        """Waits for the first echo; False when the program ended."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process and self.process.poll() is not None:
                return False
            if self.port and echoes(self.port):
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
        conf = self.write_conf(HAPROXY_CONF.format(port=self.port, backend=self.backend,
                                                   option=self.option, tuning=self.tuning,
                                                   sessions=self.sessions))
        self.run([find("haproxy"), "-db", "-f", conf])


class Haproxy(HaproxySplice):
    """HAProxy copying through its buffers."""

    name = "haproxy"
    option = ""
    tuning = "    tune.bufsize 65536"


class Nginx(Target):
    """nginx stream: two workers."""

    name = "nginx"
    reuseport = " reuseport"
    buffer = "64k"

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
        conf = self.write_conf(NGINX_CONF.format(
            module=f"load_module {module};" if module.exists() else "", port=self.port,
            backend=self.backend, directory=self.directory, reuseport=self.reuseport,
            buffer=self.buffer, connections=2 * self.sessions + 64))
        self.run([find("nginx"), "-p", str(self.directory), "-e", "stderr", "-c", conf])


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
        conf = self.write_conf(SPLICED_CONF.format(engine=self.engine, backend=self.backend,
                                                   directory=self.directory,
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


ALL = [Direct, HaproxySplice, Haproxy, Nginx, SplicedKernel, SplicedCopy]
