# SPDX-License-Identifier: GPL-2.0-or-later
"""What a test is given: the binaries, a directory, the engine, and things that clean up."""

import os
import socket
import string
import subprocess
from pathlib import Path

from . import netns
from .case import Skip
from .cgroup import Cgroup
from .load import Load
from .spliced import Spliced
from .tcp import Backend

ROOT = Path(__file__).resolve().parents[2]


def build_dir():
    """SPLICED_BUILD, relative to the project; `build` by default."""
    return ROOT / os.environ.get("SPLICED_BUILD", "build")


def is_sanitized():
    return "san" in build_dir().name


def merge(base, more):
    return {**base, **(more or {})}


class Env:
    """One test's surroundings. Everything made through it is ended by close()."""

    def __init__(self, tmp, engine=None, vm=False, quick=False, full=False, debug=False):
        self.tmp = Path(tmp)
        self.engine = engine
        self.vm, self.quick, self.full, self.debug = vm, quick, full, debug
        self.build = build_dir()
        self.sanitized = is_sanitized()
        self.daemons, self.loads, self.backends, self.sockets = [], [], [], []
        self.cgroups = []
        self.notes = []

    # -- choices

    def pick(self, normal, small):
        """`small` where the machine is: emulated, or a sanitised build."""
        return small if self.vm or self.sanitized else normal

    def skip(self, reason):
        raise Skip(reason)

    def note(self, text):
        """Something measured, for the test's line in the report."""
        self.notes.append(text)

    def binary(self, name):
        path = self.build / name
        if not path.exists():
            raise AssertionError(f"{path} is not built")
        return path

    # -- the daemon

    def sections(self, servers, spliced=None, listener=None, pool=None):
        """A configuration: one listener `web`, one pool `main`.

        servers: an address, "NAME ADDRESS OPTION...", or a list of these; those without a name
        are called a, b, c. A None in the dicts takes a default away.
        """
        if isinstance(servers, str):
            servers = [servers]
        named = [server if " " in server else f"{string.ascii_lowercase[i]} {server}"
                 for i, server in enumerate(servers)]
        spliced = merge({
            "engine": self.engine or "auto",
            "workers": 2,
            "user": "",
            "log_target": "stderr",
            "engage_after": 0,
            "max_sessions": 4096,
        }, spliced)
        listener = merge({"bind": "127.0.0.1:0", "pool": "main"}, listener)
        pool = merge({"server": named}, pool)
        sections = {"spliced": spliced, "listener web": listener, "pool main": pool}
        return {section: {key: value for key, value in options.items() if value is not None}
                for section, options in sections.items()}

    def spliced(self, servers=None, spliced=None, listener=None, pool=None, config=None,
                start=True, prefix=(), more=None, environment=None):
        """A daemon (see sections()), or one with a whole `config`: a dict of sections.

        `more` adds sections, `environment` variables. The control socket is always this test's
        own.
        """
        name = f"spliced{len(self.daemons)}"
        sections = config or merge(self.sections(servers, spliced, listener, pool), more)
        sections["spliced"] = merge(sections.get("spliced", {}),
                                    {"control": self.tmp / f"{name}.sock"})
        if self.debug:
            sections["spliced"].setdefault("log_level", "debug")
        daemon = Spliced(self.binary("spliced"), self.binary("splicectl"), self.tmp, name,
                         sections, prefix=prefix, environment=merge(self.environment(), environment))
        self.daemons.append(daemon)
        if start:
            daemon.start()
            self.check_engine(daemon)
        return daemon

    def check_engine(self, daemon):
        """The engine under test must be what runs: a silent fallback would pass everything."""
        if self.engine:
            status = daemon.status()
            assert status["engine"] == self.engine, \
                f"engine {status['engine']} instead of {self.engine}: {status['engine_reason']}"

    @staticmethod
    def environment():
        return {**os.environ,
                "SPLICED_DEBUG_SECCOMP": "kill",      # a system call that its list lacks is noticed
                "SPLICED_DEBUG": os.environ.get("SPLICED_DEBUG", "check-bytes"),
                "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:detect_stack_use_after_return=1",
                "UBSAN_OPTIONS": "print_stacktrace=1"}

    # -- peers

    def load(self, *options, **keywords):
        """The load tool; its backend listens already."""
        keywords.setdefault("timeout", self.pick(40, 240))
        load = Load(self.binary("tests/spliced-load"), *options, **keywords)
        self.loads.append(load)
        return load

    def backend(self, handle=None, address="127.0.0.1:0"):
        backend = Backend(handle, address) if handle else Backend(address=address)
        self.backends.append(backend)
        return backend

    def keep(self, sock):
        """A socket that is closed at the end; returns it."""
        self.sockets.append(sock)
        return sock

    def cgroup(self, parent=None, name=None):
        """A cgroup of this test's own, or one in such a one."""
        self.cgroups.append(Cgroup(name or len(self.cgroups), parent))
        return self.cgroups[-1]

    def deaf(self, host="127.0.0.1", port=0):
        """An address that drops connection attempts: its queue is full and nobody accepts."""
        listener = self.keep(socket.socket())
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(8):
            filler = self.keep(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        return "%s:%d" % listener.getsockname()

    def network(self, joined=False):
        """client - proxy - backend in namespaces; see netns.Network."""
        return netns.Network(self, joined)

    def remember_netns(self, name):
        """For the runner, which deletes it whatever happens to this process."""
        with open(self.tmp / "netns", "a", encoding="ascii") as names:
            names.write(name + "\n")

    # -- the end

    def counters(self):
        """What the daemons count, non-zero values only, for the report of a failure."""
        lines = []
        for daemon in self.daemons:
            stats = daemon.try_stats()
            if stats:
                flat = {**stats, **stats.get("verdicts", {}), **stats.get("ends", {}),
                        **{f"copied_{key}": value
                           for key, value in stats.get("copy_reasons", {}).items()}}
                lines.append(" ".join(f"{key}={value}" for key, value in flat.items()
                                      if value and not isinstance(value, dict)))
        return "".join(f"counters: {line}\n" for line in lines)

    def logs(self):
        """{file: tail} of what the daemons said."""
        return {daemon.log_path.name: daemon.log_tail() for daemon in self.daemons
                if daemon.log_path.exists()}

    def close(self, check=True):
        """Ends everything; with check, the daemons must have behaved."""
        for sock in self.sockets:
            sock.close()
        for load in self.loads:
            load.close()
        errors = []
        for daemon in self.daemons:
            try:
                daemon.check_and_end()
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                errors.append(error)    # the others are ended, too
        for backend in self.backends:
            backend.close()
        for cgroup in reversed(self.cgroups):
            cgroup.close()
        if check and errors:
            raise errors[0]
