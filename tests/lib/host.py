# SPDX-License-Identifier: GPL-2.0-or-later
"""What the host and the processes on it use."""

import json
import os
import time

from . import process

PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")


class Meminfo:
    """The kernel's own memory: what is neither free, nor a cache, nor some process's.

    That is where socket buffers and queued packets are, whoever they are charged to. MemTotal -
    MemAvailable would show them too, but also every compiler that runs beside the test. The
    daemon's own memory comes on top: see Growth.
    """

    OTHERS = ("MemFree", "Buffers", "Cached", "SwapCached", "AnonPages", "SReclaimable",
              "PageTables", "KernelStack")

    @classmethod
    def read(cls):
        with open("/proc/meminfo", encoding="ascii") as meminfo:
            lines = (line.split() for line in meminfo)
            fields = {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines}
        return (fields["MemTotal"] - sum(fields[name] for name in cls.OTHERS)
                - cls.on_cpu_lists())

    @staticmethod
    def on_cpu_lists():
        """Free pages on the CPUs' own lists: hundreds of MiB right after a burst, and no use."""
        with open("/proc/zoneinfo", encoding="ascii") as zones:
            words = (line.split() for line in zones)
            return PAGE * sum(int(word[1]) for word in words if word and word[0] == "count:")

    @classmethod
    def used(cls, readings=10, pause=0.02):
        """The smallest of some readings, for pages on their way between lists are noise."""
        values = []
        for _ in range(readings):
            values.append(cls.read())
            time.sleep(pause)
        return min(values)


class Growth:
    """How much more memory the kernel and one process use than when this was made."""

    def __init__(self, pid):
        self.pid = pid
        self.kernel, self.process = Meminfo.used(), rss(pid)

    def bytes(self):
        return Meminfo.used() - self.kernel + max(0, rss(self.pid) - self.process)

    def settle(self, limit, seconds=5):
        """The growth as soon as it is under the limit, or the last one: what others use comes and
        goes, what a stopped session holds stays."""
        end = time.monotonic() + seconds
        while (grown := self.bytes()) >= limit and time.monotonic() < end:
            pass
        return grown


def rss(pid):
    """Resident memory of a process that is its own, in bytes (no shared file pages)."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no RssAnon")


def fd_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_seconds(pid):
    """Time a process, with all its threads, has had on a CPU."""
    fields = process.stat_fields(pid)
    assert fields, f"process {pid} is gone"
    return (int(fields[11]) + int(fields[12])) / TICK


def sysctl(name):
    with open("/proc/sys/" + name.replace(".", "/"), encoding="ascii") as value:
        return value.read().strip()


def tcp_memory():
    """Bytes that TCP holds, whoever's."""
    with open("/proc/net/sockstat", encoding="ascii") as lines:
        words = next(line for line in lines if line.startswith("TCP:")).split()
    return PAGE * int(words[words.index("mem") + 1])


HARMLESS = ("prog_type:\t21\n", "prog_type:\t1\n")    # SK_REUSEPORT, SOCKET_FILTER


def held_programs(pid):
    """{fd: what it is, and what fdinfo says} of the programs and BTF that a process holds open; not those
    that can be attached to nothing but sockets of one's own: listening ones, to choose among them; others, to
    cut off what comes."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            what = os.readlink(f"/proc/{pid}/fd/{fd}")
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as file:
                info = file.read()
        except FileNotFoundError:
            continue
        if what in ("anon_inode:bpf-prog", "anon_inode:btf") and \
                not any(kind in info for kind in HARMLESS):
            found[fd] = (what, info)
    return found


def bpf_maps(pid):
    """{name: id} of the maps a process holds open, found through its descriptors."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as info:
                fields = dict(line.split(":", 1) for line in info if ":" in line)
        except FileNotFoundError:
            continue
        if "map_id" in fields:
            number = int(fields["map_id"])
            shown = process.run("bpftool", "map", "show", "id", number, "-j", timeout=10)
            found[json.loads(shown.stdout)["name"]] = number
    return found


def map_entries(number):
    """How many entries a map has."""
    shown = process.run("bpftool", "map", "dump", "id", number, "-j", timeout=30)
    entries = json.loads(shown.stdout)
    assert isinstance(entries, list), f"bpftool map dump id {number}: {shown.stdout[:200]}"
    return len(entries)
