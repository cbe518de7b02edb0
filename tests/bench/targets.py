# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured: the backend itself, and the proxies before it."""

import json
import pathlib
import subprocess
import time

import configurations
import probes
from configurations import LOCAL, OBSERVE, PLAIN, PROTOCOLS, SIDECAR
from peers import MACHINE
from processes import Failure, family, free_port

NGINX_STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
START_SECONDS = 10


def output_of(command):
    """What a program says, on whichever of its outputs."""
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False).stdout.strip()


def first_line(command):
    """What a program says about its version."""
    return output_of(command).partition("\n")[0]


class Target:
    """One running way to the backend. Start as many instances as wanted."""

    name = ""
    groups = PLAIN  # of measurements, in which it takes part
    sessions = 10000  # what every proxy is configured to hold
    host = "127.0.0.1"  # where clients ask for it

    def __init__(self, group, processes, directory, backend, cgroup=None):
        self.group = group
        self.protocol = PROTOCOLS[group]
        self.cgroup = cgroup  # the applications', if they have one
        self.processes = processes
        self.directory = directory
        self.backend = backend
        self.process = None
        self.port = None
        self.metrics_port = None  # whose /metrics is fetched meanwhile

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

    def pids(self):
        """Its processes, whose processor time is the proxy's."""
        return family(self.process.pid) if self.process else []

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
            self.process = self.processes.start(command, self.processes.own_cgroup(self.name),
                                                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

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

    def complaints(self):
        """What a reader must know about it after its measurements, in words."""
        return []


class Direct(Target):
    """No proxy at all: the upper bound."""

    name = "direct"
    groups = (*PLAIN, *SIDECAR, *OBSERVE)

    @classmethod
    def version(cls):
        return "client to backend without a proxy"

    def launch(self):
        self.port = self.backend


class Peer(Target):
    """A proxy of others; `place` is where its program comes from."""

    place = MACHINE
    program = ""

    def __init__(self, group, processes, directory, backend, cgroup=None):
        super().__init__(group, processes, directory, backend, cgroup)
        self.home = self.place.home(directory)

    @classmethod
    def ask(cls, option):
        """What the program says about itself."""
        return output_of(cls.place.command("/tmp", cls.place.find(cls.program), option))

    @classmethod
    def version(cls):
        return f"{cls.ask('-v').partition(chr(10))[0]}; {cls.place.title}"

    def adapt(self, text):
        """The configuration, with what a target adds to it."""
        return text

    def run_with(self, text, *options):
        """Starts the program with the options, the last of which takes the configuration."""
        path = pathlib.Path(self.write_conf(self.adapt(text)))
        self.run(self.place.command(self.directory, self.place.find(self.program), *options,
                                    f"{self.home}/{path.name}"))


class HaproxySplice(Peer):
    """HAProxy with splice(): the one to beat."""

    name = "haproxy-splice"
    groups = (*PLAIN, *SIDECAR)
    program = "haproxy"
    option = "    option splice-auto"
    tuning = "    maxpipes 400\n    tune.bufsize 65536"

    def launch(self):
        self.port = free_port()
        self.run_with(configurations.HAPROXY[self.protocol].format(
            port=self.port, backend=self.backend, option=self.option, tuning=self.tuning,
            sessions=self.sessions), "-db", "-f")


class HaproxySpliceOwn(HaproxySplice):
    """This machine's HAProxy, where the other one is newer."""

    name = "haproxy-splice-own"
    groups = LOCAL
    place = MACHINE  # HaproxySplice's may be another one

    @classmethod
    def version(cls):
        if HaproxySplice.place is cls.place:
            raise Failure("it is the same as haproxy-splice here")
        return super().version()


class Haproxy(HaproxySplice):
    """HAProxy copying through its buffers."""

    name = "haproxy"
    groups = ("tcp", "http", "tls", *OBSERVE)
    option = ""
    tuning = "    tune.bufsize 65536"


class HaproxyObserved(Haproxy):
    """... with its log, and its figures for Prometheus, which are fetched."""

    name = "haproxy-observed"
    groups = OBSERVE

    def launch(self):
        self.option = configurations.HAPROXY_LOG[self.protocol]
        self.metrics_port = free_port()
        super().launch()

    def adapt(self, text):
        return text + configurations.HAPROXY_METRICS.format(port=self.metrics_port)


class Nginx(Peer):
    """nginx as a stream or HTTP proxy: two workers."""

    name = "nginx"
    program = "nginx"
    groups = ("tcp", "http", *LOCAL, *OBSERVE)

    @classmethod
    def version(cls):
        if "--with-stream=dynamic" in cls.ask("-V") and not cls.place.has(NGINX_STREAM_MODULE):
            raise Failure("nginx has no stream module (package libnginx-mod-stream)")
        return super().version()

    def launch(self):
        self.port = free_port()
        module = NGINX_STREAM_MODULE
        self.run_with(configurations.NGINX[self.protocol].format(
            module=f"load_module {module};" if self.place.has(module) else "", port=self.port,
            backend=self.backend, directory=self.home,
            connections=2 * self.sessions + 64), "-p", self.home, "-e", "stderr", "-c")


class NginxObserved(Nginx):
    """... with its log; of its few figures those are fetched that there are."""

    name = "nginx-observed"
    groups = OBSERVE

    def launch(self):
        self.metrics_port = free_port()
        super().launch()

    def adapt(self, text):
        log = configurations.NGINX_LOG[self.protocol].format(directory=self.home)
        text = text.replace("access_log off;", log, 1)
        metrics = configurations.NGINX_METRICS.format(port=self.metrics_port)
        if self.protocol == "tcp":
            return text + metrics
        # One section of that name is all that there may be.
        server = metrics[metrics.index("    server"):metrics.rindex("}")]
        server = server.replace("location", "access_log off;\n        location")
        return text[:text.rindex("}")] + server + "}\n"


class Sniproxy(Peer):
    """sniproxy: one thread, which is all it has."""

    name = "sniproxy"
    program = "sniproxy"
    groups = ("tls",)

    @classmethod
    def version(cls):
        return f"{cls.ask('-V')}; {cls.place.title}"

    def launch(self):
        self.port = free_port()
        self.run_with(configurations.SNIPROXY.format(
            port=self.port, backend=self.backend, directory=self.home), "-f", "-c")


class Spliced(Target):
    """spliced, with further lines in its configuration or without."""

    engine = ""
    options = ""  # of the daemon; {cgroup} is the applications'
    listener = ""
    log = False  # whether it writes its access log
    metrics = False  # ... and is asked for its metrics
    build = pathlib.Path("build")

    @classmethod
    def version(cls):
        for program in ("spliced", "splicectl"):
            if not (cls.build / program).exists():
                raise Failure(f"{cls.build / program} is not built")
        return first_line([str(cls.build / "spliced"), "--version"])

    def template(self):
        """The configuration, to be filled in."""
        return configurations.SPLICED[self.protocol]

    def launch(self):
        if "{cgroup}" in self.options + self.template() and not (self.cgroup and self.cgroup.path):
            raise Failure("no cgroup can be made for the applications")
        options = [self.options.format(cgroup=self.cgroup and self.cgroup.path)]
        if self.metrics:
            self.metrics_port = free_port()
            options.append(f"status = 127.0.0.1:{self.metrics_port}")
        text = self.template().format(
            engine=self.engine, backend=self.backend, directory=self.directory,
            sessions=self.sessions, listener=self.listener, options="\n".join(options),
            cgroup=self.cgroup and self.cgroup.path)
        if self.log:
            text = text.replace("access_log = no", f"access_log = {self.directory}/access.log")
        conf = self.write_conf(text)
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


def spliced(name, **attributes):
    """The class of spliced configured in one way."""
    return type(name, (Spliced,), {"name": name, **attributes})


SplicedKernel = spliced("spliced-kernel", engine="kernel",
                        groups=(*PLAIN, *SIDECAR, *OBSERVE))
SplicedCopy = spliced("spliced-copy", engine="copy")
SplicedBypass = spliced("spliced-bypass", engine="kernel", groups=LOCAL,
                        options="bypass_cgroup = {cgroup}", listener="local_bypass = both")
# One of the two alone, though both are of this host.
SplicedBypassClient = spliced("spliced-bypass-client", engine="kernel", groups=LOCAL,
                              options="bypass_cgroup = {cgroup}", listener="local_bypass = client")
SplicedBypassServer = spliced("spliced-bypass-server", engine="kernel", groups=LOCAL,
                              options="bypass_cgroup = {cgroup}", listener="local_bypass = server")

# Whose workers get clients by the kernel's hash.
SplicedHash = spliced("spliced-hash", engine="kernel", groups=OBSERVE, options="spread = hash")
SplicedLog = spliced("spliced-log", engine="kernel", groups=OBSERVE, log=True)
SplicedMetrics = spliced("spliced-metrics", engine="kernel", groups=OBSERVE, metrics=True)
SplicedObserved = spliced("spliced-observed", engine="kernel", groups=OBSERVE, log=True,
                          metrics=True)
