# SPDX-License-Identifier: GPL-2.0-or-later
"""What the running daemon still can do, and what it holds."""

import os

from lib import case, connect, read_exactly, wait_until


def echo(env, proxy, data=b"hello"):
    client = env.keep(connect(proxy))
    client.sendall(data)
    assert read_exactly(client, len(data)) == data


def descriptors(pid):
    """{fd: (what it is, its fdinfo)}"""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as info:
                found[fd] = os.readlink(f"/proc/{pid}/fd/{fd}"), info.read()
        except FileNotFoundError:
            continue
    return found


@case(engines=("kernel",), core=True)
def test_no_program_is_held(env):
    """Only maps, and the link without which the sockops program would leave its cgroup."""
    daemon = env.spliced(env.backend().address)
    echo(env, daemon.address())
    wait_until(lambda: daemon.stats()["sessions_kernel"] == 1, 5, "the kernel has the session")
    links = []
    for fd, (what, info) in descriptors(daemon.worker_pid).items():
        assert what != "anon_inode:bpf-prog", f"descriptor {fd} is a program: {info}"
        assert what != "anon_inode:btf", f"descriptor {fd} is BTF: {info}"
        if "bpf" in what and "map_id" not in info:
            links.append((what, info))
    assert len(links) <= 1, links
    for what, info in links:
        assert "link" in what and "cgroup" in info, (what, info)


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        return dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)


def test_no_way_back(env):
    """Started by hand: every thread without a capability, and without a way to get one."""
    daemon = env.spliced(env.backend().address)
    echo(env, daemon.address())
    for task in os.listdir(f"/proc/{daemon.worker_pid}/task"):
        fields = status(f"{daemon.worker_pid}/task/{task}")
        sets = {name: int(fields[name], 16)
                for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        assert not any(sets.values()), (task, sets)
        assert fields["NoNewPrivs"] == "1", fields


def test_bounding_set_that_cannot_be_dropped(env):
    """Without CAP_SETPCAP it stays, and that is no failure."""
    daemon = env.spliced(env.backend().address,
                         prefix=("setpriv", "--bounding-set=-setpcap", "--inh-caps=-setpcap"))
    echo(env, daemon.address())
    assert int(status(daemon.worker_pid)["CapEff"], 16) == 0


# ---- system calls ------------------------------------------------------------------------------

def test_seccomp_filter(env):
    """Of every thread; and none where it is not wanted."""
    if env.sanitized:
        env.skip("not in a sanitised build")
    daemon = env.spliced(env.backend().address)
    echo(env, daemon.address())
    for task in os.listdir(f"/proc/{daemon.worker_pid}/task"):
        assert status(f"{daemon.worker_pid}/task/{task}")["Seccomp"] == "2", task
    without = env.spliced(env.backend().address, spliced={"seccomp": "no"})
    echo(env, without.address())
    assert status(without.worker_pid)["Seccomp"] == "0"
