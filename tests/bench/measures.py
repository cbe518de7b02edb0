# SPDX-License-Identifier: GPL-2.0-or-later
"""The measurements: how each is taken and what is computed from it."""

import json
import os
import subprocess
import time
from dataclasses import dataclass

from processes import Failure, machine_available, memory


GROUPS = ("tcp", "http", "tls")
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
)


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

    def command(self, role, port, *options):
        """The command line of one run."""
        return [self.program, role, "--stats", self.stats, "--port", str(port),
                *(str(option) for option in options)]


def take(load, measure, port):
    """One sample: what the load generator says, and what follows from it."""
    command = load.command(measure.role, port, "--connections", measure.connections,
                           "--size", measure.size, "--warmup", load.warmup,
                           "--seconds", load.seconds,
                           *(("--preface", load.preface) if measure.group == "tls" else ()))
    limit = load.warmup + load.seconds + 15
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=limit, check=False)
        sample = json.loads(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise Failure(f"no end after {limit:.0f} s") from error
    except ValueError as error:
        raise Failure(done.stderr.decode(errors="replace").strip() or "no result") from error
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
