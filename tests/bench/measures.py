# SPDX-License-Identifier: GPL-2.0-or-later
"""The measurements: how each is taken and what is computed from it."""

import json
import os
import subprocess
import time
from dataclasses import dataclass, field

import clients
from configurations import LOCAL, OBSERVE, PROTOCOLS, SIDECAR
from processes import Failure, child_setup, machine_available, memory
from scraper import Scraper


GROUPS = tuple(PROTOCOLS)
BULK = 1 << 20  # bodies from this size on are measured in bytes
BUSY = 0.3  # CPUs that others may use, for CPU time to be measured


@dataclass(frozen=True)
class Measure:
    """One kind of load. Its name is what --only takes (or the beginning of it, or the group)."""

    name: str
    role: str
    connections: int
    size: int = 64
    group: str = "tcp"
    write: int = 0  # what an upload gives to one system call; 0 is what is best
    pipeline: int = 1  # requests of a connection on their way at a time

    @property
    def bulk(self):
        """Whether bytes are counted, not requests."""
        return self.role in ("up", "down") or self.size >= BULK

    @property
    def idle(self):
        """Whether it is memory that is measured."""
        return self.role.startswith("idle")

    @property
    def redirects(self):
        """Whether a kernel engine that moves no byte of it is one that does not work."""
        return self.bulk or self.role == "echo"


ECHO_CONNECTIONS = (1, 16, 256)
MEASURES = (
    *(Measure(f"echo64-{count}", "echo", count, 64) for count in ECHO_CONNECTIONS),
    *(Measure(f"echo16k-{count}", "echo", count, 16384) for count in ECHO_CONNECTIONS),
    *(Measure(f"{way}-{count}", way, count) for way in ("up", "down") for count in (1, 8)),
    Measure("connrate", "connrate", 32),
    Measure("idle", "idle", 0),
    *(Measure(f"http-get-{count}", "get", count, 64, "http") for count in (16, 256)),
    Measure("http-1m-8", "get", 8, 1 << 20, "http"),
    Measure("http-100m-8", "get", 8, 100 << 20, "http"),
    Measure("http-idle", "idle-get", 0, 64, "http"),
    Measure("tls-connrate", "connrate", 32, group="tls"),
    *(Measure(f"tls-{way}-8", way, 8, group="tls") for way in ("up", "down")),
    *(Measure(f"local-echo64-{count}", "echo", count, 64, "local")
      for count in ECHO_CONNECTIONS),
    *(Measure(f"local-up{name}-{count}", "up", count, group="local", write=size)
      for name, size in (("64k", 65536), ("1000", 1000)) for count in (1, 8)),
    Measure("local-connrate", "connrate", 32, group="local"),
    *(Measure(f"local-redis-{count}-p{depth}", "redis", count, 64, "local-redis", pipeline=depth)
      for depth in (1, 16) for count in (1, 50)),
    *(Measure(f"local-pgbench-{count}", "pgbench", count, group="local-pgbench")
      for count in (1, 16)),
    *(Measure(f"sidecar-echo64-{count}", "echo", count, 64, "sidecar")
      for count in ECHO_CONNECTIONS),
    *(Measure(f"sidecar-up-{count}", "up", count, group="sidecar") for count in (1, 8)),
    Measure("sidecar-connrate", "connrate", 32, group="sidecar"),
    *(Measure(f"observe-get-{count}", "get", count, 64, "observe-http") for count in (16, 256)),
    Measure("observe-connrate", "connrate", 32, group="observe-tcp"),
)


def rounds(group, quick):
    """How many samples of each measurement are enough."""
    return 3 if quick else 7 if group in LOCAL + SIDECAR + OBSERVE else 5


@dataclass
class Load:
    """How the load generator is run."""

    program: str
    stats: str
    preface: str  # file with what a TLS connection begins with
    warmup: float
    seconds: float
    idle_cost: float = 0.0  # CPU seconds per second the machine uses anyway
    sessions: int = 10000
    applications: object = None  # the cgroup of clients and servers
    programs: dict = field(default_factory=dict)  # paths of other clients

    def command(self, role, port, *options):
        """The command line of one run."""
        return [self.program, role, "--stats", self.stats, "--port", str(port),
                *(str(option) for option in options)]

    def run(self, command):
        """What a client prints; Failure with what it complains of."""
        limit = self.warmup + self.seconds + 15
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=limit, text=True, errors="replace", check=False,
                                  preexec_fn=child_setup(self.applications))
        except subprocess.TimeoutExpired as error:
            raise Failure(f"no end after {limit:.0f} s") from error
        if done.returncode != 0:
            raise Failure(done.stderr.strip().rpartition("\n")[2] or "no result")
        return done.stdout


def take(load, measure, target):
    """One sample: what the load generator says, and what follows from it."""
    if measure.role in clients.LOADS:
        return clients.LOADS[measure.role](load, measure, target.port)
    options = ["--host", target.host, "--connections", measure.connections, "--size", measure.size,
               "--warmup", load.warmup, "--seconds", load.seconds]
    if measure.group == "tls":
        options += ["--preface", load.preface]
    if measure.write:
        options += ["--write", measure.write]
    if target.pids():
        options += ["--watch", ",".join(map(str, target.pids()))]
    with Scraper(target.metrics_port):
        text = load.run(load.command(measure.role, target.port, *options))
    sample = json.loads(text)
    derive(sample, measure, load.idle_cost)
    return sample


def cpu_used(sample, idle_cost):
    """CPU seconds of the machine beyond what it uses anyway, or None.

    All of the machine, because the kernel's workers move bytes for nobody's account. Others get
    less while we run, so beside others who use more than a little the difference says nothing.
    """
    if idle_cost > BUSY:
        return None
    used = sample["busy_s"] - idle_cost * sample["seconds"]
    return used if used > 0 else None


def derive(sample, measure, idle_cost):
    """Adds rates and costs to a sample."""
    seconds = sample["seconds"]
    cpu = cpu_used(sample, idle_cost)
    if measure.bulk:
        if not sample["bytes"]:
            raise Failure("not one byte arrived")
        sample["gbit_s"] = sample["bytes"] * 8 / seconds / 1e9
        if cpu:
            sample["cpu_s_per_gb"] = cpu / (sample["bytes"] / 1e9)
        if "watched_s" in sample:
            sample["proxy_cpu_s_per_gb"] = sample["watched_s"] / (sample["bytes"] / 1e9)
    else:
        if not sample["requests"]:
            raise Failure("not one request was answered")
        sample["per_s"] = sample["requests"] / seconds
        if cpu:
            sample["cpu_s_per_100k"] = cpu / (sample["requests"] / 1e5)


def complaints(sample):
    """What a reader must know about a sample, in words."""
    words = []
    if sample.get("errors"):
        words.append(f"{sample['errors']} connections failed")
    if sample.get("mismatches"):
        words.append(f"{sample['mismatches']} WRONG ANSWERS")
    if sample.get("leftover"):
        words.append(f"{sample['leftover']} backend connections still open 3 s later")
    return words


def hold(load, role, port, count, meanwhile):
    """Opens sessions, calls meanwhile() while they idle, closes them. Returns how many."""
    command = load.command(role, port, "--connections", count)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        try:
            answer = client.stdout.readline()
            if not answer:
                raise Failure("the sessions could not be opened")
            meanwhile()
        finally:
            client.stdin.close()
            try:
                client.wait(20)
            except subprocess.TimeoutExpired:
                client.kill()
    return json.loads(answer)["established"]


def take_idle(load, measure, target):
    """Memory per idle session of a fresh instance of a target."""
    readings = []

    def read():
        time.sleep(1)  # let timers, deferred frees and late FINs settle
        pid = target.process.pid if target.process else None
        readings.append((machine_available(), memory(pid) if pid else None))

    # A few sessions first, so that code and first-use tables do not count as sessions.
    hold(load, measure.role, target.port, 64, lambda: None)
    read()
    established = hold(load, measure.role, target.port, load.sessions, read)
    return idle_sample(readings, established, load.sessions)


def idle_sample(readings, established, asked):
    """The difference of two readings, per session."""
    (free_before, before), (free_after, after) = readings
    if established == 0:
        raise Failure("no session was established")
    sample = {"sessions": established, "errors": asked - established,
              "machine_per_session": (free_before - free_after) / established}
    if before and after:
        for kind in ("Rss", "Pss"):
            name = kind.lower()
            sample[f"{name}_before"] = before[kind]
            sample[f"{name}_per_session"] = (after[kind] - before[kind]) / established
    return sample


def capacity(limit):
    """Sessions a proxy can be configured for: two descriptors each, and some for itself."""
    possible = min(20000, (limit - 1000) // 2 // 100 * 100)
    if possible < 400:
        raise Failure(f"the descriptor limit of {limit} is too low")
    return possible


def cpu_count():
    """The CPUs this process may use."""
    return len(os.sched_getaffinity(0))
