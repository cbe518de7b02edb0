# SPDX-License-Identifier: GPL-2.0-or-later
"""Real programs on both sides of the proxy.

Every test has a loopback address of its own, so a server gets its usual port and nobody else can
have taken it.
"""

import glob
import os
import pwd
import shutil
import signal
import subprocess

from . import process, tcp
from .case import Skip
from .wait import Deadline, wait_until

PATH = os.pathsep.join(["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin",
                        "/bin"])


def find(*names, directories=()):
    """The paths of programs; the test is skipped where one is missing."""
    path = os.pathsep.join([*directories, os.environ.get("PATH", ""), PATH])
    found = {name: shutil.which(name, path=path) for name in names}
    missing = [name for name, where in found.items() if not where]
    if missing:
        raise Skip(f"not installed: {', '.join(missing)}")
    return list(found.values()) if len(names) > 1 else found[names[0]]


def own_address():
    """The first of eight loopback addresses that no other process uses: made from the process id."""
    block, place = divmod(os.getpid(), 31)
    return f"127.{1 + (block >> 8) % 250}.{block & 255}.{1 + 8 * place}"


def split(address):
    """(host, port) as text."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), port


def scaled(seconds):
    """A time limit, longer where the machine is slow."""
    return Deadline(seconds).seconds


def run(*command, timeout=30, **options):
    """process.run() with a time limit that fits the machine."""
    return process.run(*command, timeout=timeout, **options)


def run_bytes(*command, timeout=30, input=None):
    """Runs a program whose output is bytes; its standard output. It must succeed."""
    done = subprocess.run([str(word) for word in command], input=input, capture_output=True,
                          timeout=scaled(timeout), check=False)
    assert done.returncode == 0, \
        f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stderr.decode()}"
    return done.stdout


def is_listening(address):
    """Whether somebody listens at an IPv4 address, without connecting to it."""
    host, port = split(address)
    wanted = "".join(f"{int(part):02X}" for part in reversed(host.split("."))) + f":{int(port):04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        return any(f" {wanted} 00000000:0000 0A" in line for line in table)


def wait_listening(address):
    wait_until(lambda: is_listening(address), 20, f"somebody listens at {address}")


class Program:
    """A server that runs while the `with` block does, and must still run at its end."""

    STOP = signal.SIGTERM

    def __init__(self, env, name, command, address=None, ready=None, seconds=20, **options):
        self.name, self.address = name, address
        self.log_path = env.tmp / f"{name}.log"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, **options)
        try:
            wait_until(lambda: self._ready(ready or self._answers), seconds, f"{name} is ready",
                       poll=0.05)
        except BaseException:
            self._kill()
            raise

    def _ready(self, ready):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended at start, exit {self.process.returncode}:\n"
                                 + self.log_tail())
        return ready()

    def _answers(self):
        try:
            tcp.connect(self.address).close()
        except OSError:
            return False
        return True

    def log_tail(self, lines=20):
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, _value, _traceback):
        ended = self.process.poll()
        try:
            if ended is None:
                self.process.send_signal(self.STOP)
                try:
                    self.process.wait(scaled(10))
                except subprocess.TimeoutExpired:
                    pass
        finally:
            self._kill()
        assert kind or ended is None, f"{self.name} ended early ({ended}):\n{self.log_tail()}"


class Redis(Program):
    """A redis-server that stores nothing on disk."""

    def __init__(self, env):
        host, port = own_address(), 6379
        command = [find("redis-server"), "--bind", host, "--port", port, "--save", "",
                   "--appendonly", "no", "--daemonize", "no", "--protected-mode", "no",
                   "--dir", env.tmp]
        super().__init__(env, "redis", command, f"{host}:{port}")


class Postgres(Program):
    """A PostgreSQL server with a new cluster; root runs it as the user postgres."""

    STOP = signal.SIGINT    # ends the sessions that are open

    def __init__(self, env):
        versions = glob.glob("/usr/lib/postgresql/*/bin")
        self.bin = sorted(versions, key=lambda path: float(path.split("/")[-2]), reverse=True)
        initdb, postgres = find("initdb", "postgres", directories=self.bin)
        host, port = own_address(), 5432
        place = env.tmp / "pg"
        place.mkdir()
        identity = {}
        if os.geteuid() == 0:
            try:
                user = pwd.getpwnam("postgres")
            except KeyError:
                raise Skip("no user postgres") from None
            os.chown(place, user.pw_uid, user.pw_gid)
            identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        run(initdb, "-D", place / "data", "--no-sync", "-A", "trust", "-U", "postgres",
            "--locale=C", "-E", "UTF8", cwd=place, timeout=60, **identity)
        with open(place / "data/pg_hba.conf", "a", encoding="ascii") as hba:
            hba.write("host all all 127.0.0.0/8 trust\n")
        settings = {"listen_addresses": host, "port": port, "unix_socket_directories": place,
                    "fsync": "off", "shared_buffers": "32MB", "max_connections": 40,
                    "autovacuum": "off"}
        command = [postgres, "-D", place / "data"]
        for key, value in settings.items():
            command += ["-c", f"{key}={value}"]
        self.ready_command = [find("pg_isready", directories=self.bin), "-q", "-h", host,
                              "-p", str(port)]
        super().__init__(env, "postgres", command, f"{host}:{port}", self._is_ready, 40,
                         cwd=place, **identity)

    def _is_ready(self):
        return process.run(*self.ready_command, check=False).returncode == 0

    def tool(self, name):
        return find(name, directories=self.bin)


NGINX = """
daemon off;
worker_processes 1;
{user}
pid {place}/nginx.pid;
error_log {place}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 100000;
    client_max_body_size 0;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    {servers}
}}
"""

NGINX_FILES = """
    server {{
        listen {address};
        root {root};
        {dav}
    }}
"""


class Nginx(Program):
    """nginx with the files of env.tmp/www; takes PUT where it was built for that (`dav`).

    servers: other text for its http section, in which {address}, {root} and {dav} are replaced.
    """

    STOP = signal.SIGQUIT

    def __init__(self, env, servers=NGINX_FILES, name="nginx", port=8080):
        nginx = find("nginx")
        address = f"{own_address()}:{port}"
        self.root, place = env.tmp / "www", env.tmp / f"{name}.d"
        place.mkdir()
        self.dav = "http_dav_module" in process.run(nginx, "-V").stderr
        dav = "dav_methods PUT; create_full_put_path on;" if self.dav else ""
        config = place / "nginx.conf"
        config.write_text(NGINX.format(
            place=place, user="user root;" if os.geteuid() == 0 else "",
            servers=servers.format(address=address, root=self.root, dav=dav)), encoding="utf-8")
        super().__init__(env, name, [nginx, "-c", config, "-e", place / "error.log"], address)


HAPROXY = """
global
    maxconn 1000
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout http-request 5s
    retries 0
"""


class HAProxy(Program):
    """HAProxy with `sections`, in which {address} is its own. Nobody connects to it uninvited."""

    def __init__(self, env, sections, name="haproxy", port=8081):
        address = f"{own_address()}:{port}"
        config = env.tmp / f"{name}.cfg"
        config.write_text(HAPROXY + sections.format(address=address), encoding="utf-8")
        super().__init__(env, name, [find("haproxy"), "-f", config, "-db"], address,
                         lambda: is_listening(address))


class Node(Program):
    """A script for Node, which finds its host and port in the environment."""

    def __init__(self, env, script, name="node", port=8082):
        path, host = env.tmp / f"{name}.js", own_address()
        path.write_text(script, encoding="utf-8")
        command = [find("env"), f"HOST={host}", f"PORT={port}", find("node"), path]
        super().__init__(env, name, command, f"{host}:{port}")


class Nghttpd(Program):
    """nghttpd without TLS, with the files of env.tmp/www."""

    def __init__(self, env, port=8005):
        host = own_address()
        super().__init__(env, "nghttpd", [find("nghttpd"), "--no-tls", "-a", host, "-d",
                                          env.tmp / "www", port], f"{host}:{port}")


PGBOUNCER = """
[databases]
postgres = host={host} port={port} dbname=postgres user=postgres pool_size=4
[pgbouncer]
listen_addr = {own}
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
"""


class PgBouncer(Program):
    """pgbouncer in front of a PostgreSQL server, with a connection of it for each transaction; root
    runs it as nobody."""

    STOP = signal.SIGINT

    def __init__(self, env, server, port=6432):
        host, server_port = split(server)
        own, config = own_address(), env.tmp / "pgbouncer.ini"
        config.write_text(PGBOUNCER.format(host=host, port=server_port, own=own, own_port=port),
                          encoding="utf-8")
        command = [find("pgbouncer"), config]
        if os.geteuid() == 0:
            command[1:1] = ["-u", "nobody"]
        super().__init__(env, "pgbouncer", command, f"{own}:{port}")
