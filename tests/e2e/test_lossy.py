# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad networks: what is lost, repeated and reordered on the way must arrive once and in order."""

from lib import case, lossy


def run(env, network, family, *options):
    """The load tool over the network; what the way did to it is noted."""
    host = network.backend_address(family)
    load = env.load(*options, prefix=network.client.command(), timeout=env.pick(50, 280),
                    listen=f"[{host}]:0" if family == 6 else f"{host}:0")
    daemon = network.spliced(load.backend)
    load.go(daemon.address(index=0 if family == 4 else 1)).ok()
    daemon.wait_sessions(0, 10)
    stats = daemon.stats()
    assert stats["integrity_aborts"] == 0, stats
    if env.engine == "kernel":
        # Under emulation, or sanitized, a short session may be over before its backend is connected.
        assert stats["bytes_redirected"] > 0 or env.vm or env.sanitized, stats
    else:
        assert stats["bytes_trimmed"] == 0, stats
    again = lossy.retransmitted(network)
    assert again > 0, "nothing was sent twice: the network is not a bad one"
    env.note(f"{again} segments sent again, {stats['bytes_trimmed']} bytes trimmed, "
             f"{stats['pauses']} pauses")


def netem(env):
    network = env.network(joined=True)
    lossy.use_netem(network)
    return network


def bpf(env):
    network = env.network(joined=True)
    lossy.use_bpf(network)
    return network


@case(timeout=75, core=True)
def test_netem_both_ways(env):
    """netem: delay 20 ms, loss 1 %, duplication 1 %, reordering 20 % on both links."""
    run(env, netem(env), 4, "--sessions", 8, "--bytes-up", "1M", "--bytes-down", "1M",
        "--write-size", "1-64K")


@case(timeout=75, core=True)
def test_netem_half_close(env):
    run(env, netem(env), 6, "--sessions", 8, "--bytes-up", "512K", "--bytes-down", "1M",
        "--half-close", "client")


@case(timeout=75, core=True)
def test_netem_requests(env):
    run(env, netem(env), 4, "--sessions", 16, "--pingpong", "3000", 20)


@case(timeout=75)
def test_lossy_both_ways(env):
    """A tc program: loss 1 %, duplication 1 %, reordering 20 % on both links, without delay."""
    size = env.pick("16M", "1M")
    run(env, bpf(env), 4, "--sessions", 8, "--bytes-up", size, "--bytes-down", size,
        "--write-size", "1-64K")


@case(timeout=75)
def test_lossy_half_close(env):
    run(env, bpf(env), 6, "--sessions", env.pick(100, 10), "--concurrency", 16, "--bytes-up",
        "100K", "--bytes-down", "300K", "--half-close", "client")


@case(timeout=75)
def test_lossy_requests(env):
    run(env, bpf(env), 4, "--sessions", 16, "--pingpong", "3000", env.pick(300, 30))


@case(timeout=75, core=True)
def test_lossy_many_short(env):
    """Many sessions of a few segments: beginnings and ends are lost, too."""
    run(env, bpf(env), 4, "--sessions", env.pick(1000, 60), "--concurrency", 64, "--bytes-up",
        "20K", "--bytes-down", "20K")


@case(timeout=75)
def test_lossy_small_writes(env):
    """Small segments are joined when they are sent again, and may overlap what has arrived."""
    size = env.pick("2M", "200K")
    run(env, bpf(env), 4, "--sessions", 8, "--bytes-up", size, "--bytes-down", size, "--nodelay",
        "--write-size", "1-700")
