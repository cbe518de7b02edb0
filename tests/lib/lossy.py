# SPDX-License-Identifier: GPL-2.0-or-later
"""Links that lose, repeat and reorder packets."""

import platform
from pathlib import Path

from . import process, programs
from .case import Skip

NETEM = ("delay", "20ms", "loss", "1%", "duplicate", "1%", "reorder", "20%")
SOURCE = Path(__file__).with_name("lossy.bpf.c")


def each_device(network):
    return [(host, device) for host in network.hosts() for device in host.devices()]


def try_tc(host, *words):
    """Runs tc(8) in a namespace; what it complains about, or None."""
    done = process.run("tc", "-n", host.name, *words, check=False)
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def use_netem(network, *options):
    """netem on every device of a network."""
    for host, device in each_device(network):
        problem = try_tc(host, "qdisc", "add", "dev", device, "root", "netem", *(options or NETEM))
        if problem:
            raise Skip(f"no netem: {problem}")


def use_bpf(network):
    """The tc program of lossy.bpf.c on every device of a network."""
    target = network.env.tmp / "lossy.bpf.o"
    programs.run(programs.find("clang"), "-O2", "-g", "-target", "bpf",
                 f"-I/usr/include/{platform.machine()}-linux-gnu", "-c", SOURCE, "-o", target)
    for host, device in each_device(network):
        problem = (try_tc(host, "qdisc", "add", "dev", device, "clsact")
                   or try_tc(host, "filter", "add", "dev", device, "ingress", "bpf",
                             "direct-action", "object-file", target, "section", "tc"))
        if problem:
            raise Skip(f"no tc programs: {problem}")


def tcp_counter(host, name):
    """A counter of TCP in a namespace, by its name in /proc/net/snmp."""
    lines = [line.split() for line in host.run("cat", "/proc/net/snmp").stdout.splitlines()
             if line.startswith("Tcp:")]
    return int(dict(zip(*lines))[name])


def retransmitted(network):
    """Segments that were sent again, over all hosts."""
    return sum(tcp_counter(host, "RetransSegs") for host in network.hosts())
