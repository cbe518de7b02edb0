# SPDX-License-Identifier: GPL-2.0-or-later
"""What the host and the processes on it use."""

import json
import os
import time

from . import process

PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")


class Meminfo:
    """Used memory of the host: MemTotal - MemAvailable.

    Page cache that comes and goes does not count as used; slabs and socket buffers do. Other
    programs are noise, so a reading is the smallest of a few in a row.
    """

    @staticmethod
    def read():
        with open("/proc/meminfo", encoding="ascii") as meminfo:
            lines = (line.split() for line in meminfo)
            fields = {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines}
        return fields["MemTotal"] - fields["MemAvailable"]

    @classmethod
    def used(cls, readings=10, pause=0.02):
        """The smallest of some readings."""
        values = []
        for _ in range(readings):
            values.append(cls.read())
            time.sleep(pause)
        return min(values)


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
