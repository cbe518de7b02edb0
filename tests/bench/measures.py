# SPDX-License-Identifier: GPL-2.0-or-later
"""The measurements: how each is taken and what is computed from it."""

import json
import os
import subprocess
import time
from dataclasses import dataclass

from processes import Failure, machine_available, memory


@dataclass(frozen=True)
class Measure:
    """One kind of load. Its name is what --only takes (or the beginning of it)."""

    name: str
    role: str
    connections: int
    size: int = 64


ECHO_CONNECTIONS = (1, 16, 256)
MEASURES = (
    *(Measure(f"echo64-{count}", "echo", count, 64) for count in ECHO_CONNECTIONS),
    *(Measure(f"echo16k-{count}", "echo", count, 16384) for count in ECHO_CONNECTIONS),
    *(Measure(f"{way}-{count}", way, count) for way in ("up", "down") for count in (1, 8)),
    Measure("connrate", "connrate", 32),
)
IDLE = "idle"


@dataclass
class Load:
    """How the load generator is run."""

    program: str
    stats: str
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
                           "--seconds", load.seconds)
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


def derive(sample, measure, idle_cost):
    """Adds rates and costs to a sample."""
    seconds = sample["seconds"]
    cpu = max(0.0, sample["busy_s"] - idle_cost * seconds)
    if measure.role in ("up", "down"):
        if not sample["bytes"]:
            raise Failure("not one byte arrived")
        sample["gbit_s"] = sample["bytes"] * 8 / seconds / 1e9
        sample["cpu_s_per_gb"] = cpu / (sample["bytes"] / 1e9)
    else:
        if not sample["requests"]:
            raise Failure("not one request was answered")
        sample["per_s"] = sample["requests"] / seconds
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


def hold(load, port, count, meanwhile):
    """Opens sessions, calls meanwhile() while they idle, closes them. Returns how many."""
    command = load.command("idle", port, "--connections", count)
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


def take_idle(load, target):
    """Memory per idle session of a fresh instance of a target."""
    readings = []

    def read():
        time.sleep(1)  # let timers, deferred frees and late FINs settle
        pid = target.process.pid if target.process else None
        readings.append((machine_available(), memory(pid) if pid else None))

    # A few sessions first, so that code and first-use tables do not count as sessions.
    hold(load, target.port, 64, lambda: None)
    read()
    established = hold(load, target.port, load.sessions, read)
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
