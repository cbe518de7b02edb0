# SPDX-License-Identifier: GPL-2.0-or-later
"""Applications that are joined directly: byte-exact, bounded, and ended as the peers ended it."""

import os
import select
import signal
import socket
import subprocess
import sys
import time

from lib import case, netns, process, tcp
from lib.bypassed import SERVE, echo_server
from lib.cgroup import unified
from lib.host import bpf_maps, fd_count, map_entries, tcp_memory
from lib.pattern import MIB
from lib.process import run
from lib.reloads import refused, reload, text_of
from lib.scenarios import SCENARIOS, UPLOAD
from lib.servicemanager import ServiceManager
from lib.traffic import check_accounts, start, through, wait_stalled
from lib.wait import stays, wait_until

# Queues so small that a busy stream is stopped all the time.
SMALL = {"bypass_high": "16K", "bypass_low": "8K"}

# What other kernels are tried with.
CORE = {"hundred_sessions", "echo", "pingpong_small", "slow_both", "half_close_client_concurrent",
        "reset_by_client", "reset_of_sleeping_server"}


def bypassed(env, *options, spliced=None, listener=None, **more):
    """A scenario of the load tool, both of whose sides are in the cgroup; (result, daemon)."""
    cgroup = env.cgroup()
    return through(env, *options, prefix=cgroup.prefix(),
                   spliced={"bypass_cgroup": cgroup.path, **(spliced or {})},
                   listener={"local_bypass": "both", **(listener or {})}, **more)


def scenario_test(options, core):
    @case(engines=("kernel",), timeout=90, core=core, debug=core)
    def test(env):
        _, daemon = bypassed(env, *options)
        stats = daemon.stats()
        env.note(f"{stats['sessions_bypass']} bypassed, {stats['pauses']} pauses")
    return test


def small_test(options):
    @case(engines=("kernel",), timeout=90, debug=False)
    def test(env):
        _, daemon = bypassed(env, *options, spliced=SMALL)
        env.note(f"{daemon.stats()['pauses']} pauses")
    return test


for _name, (_share, *_options) in SCENARIOS.items():
    globals()[f"test_{_name}"] = scenario_test(_options, _name in CORE)
    globals()[f"test_small_{_name}"] = small_test(_options)


def many_stops(env, size):
    """Options of four sessions that are stopped all the time."""
    size = env.pick(size, "8M")
    return "--sessions", 4, "--bytes-up", size, "--bytes-down", size, "--write-size", "1-16384"


def check_stops(env, daemon):
    stats = daemon.stats()
    env.note(f"{stats['pauses']} pauses")
    # One whose source ends while it is stopped is not let go on any more.
    assert stats["pauses"] - 8 <= stats["resumes"] <= stats["pauses"], stats
    assert stats["pauses"] > env.pick(1000, 50), stats


@case(engines=("kernel",), timeout=90)
def test_thousands_of_stops(env):
    _, daemon = bypassed(env, *many_stops(env, "64M"), spliced=SMALL, timeout=80)
    check_stops(env, daemon)


@case(engines=("kernel",), timeout=90, core=True)
def test_on_one_processor(env):
    """Client, server and daemon share it: each has to wait until another one is stopped."""
    cgroup = env.cgroup()
    one = ("taskset", "--cpu-list", str(min(os.sched_getaffinity(0))))
    load = env.load(*many_stops(env, "32M"), prefix=[*one, *cgroup.prefix()], timeout=80)
    daemon = env.spliced(load.backends, spliced={"bypass_cgroup": cgroup.path, **SMALL},
                         listener={"local_bypass": "both"}, prefix=one)
    for pid in (load.process.pid, daemon.worker_pid):
        assert len(os.sched_getaffinity(pid)) == 1, pid
    load.go(daemon.address())
    check_accounts(env, daemon, load.ok())
    check_stops(env, daemon)
    stats = daemon.stats()
    assert stats["sessions_bypass"] > 0 and stats["bytes_bypassed"] > 8 * MIB, stats


@case(engines=("kernel",), timeout=400, debug=False)
def test_last_words(env):
    """The client ends its stream; then the server sends what it has left, and ends."""
    number = 10_000 if env.full else 1000
    result, daemon = bypassed(env, "--sessions", number, "--concurrency", 100,
                              "--bytes-up", 40_000, "--bytes-down", 30_000,
                              "--write-size", "500-3000", "--pause", "0.5:500-3000",
                              "--half-close", "client", timeout=env.pick(300, 2000))
    for side in ("client", "server"):
        assert result[f"{side}_endings"] == {"eof": number}, result
    stats = daemon.stats()
    env.note(f"{stats['sessions_bypass']} bypassed, {stats['bytes_bypassed'] // number} B of each")
    assert stats["sessions_bypass"] > number / 2, stats


@case(engines=("kernel",))
def test_few_messages(env):
    """Writes of a few bytes: the number of messages stops them, long before their bytes do."""
    _, daemon = bypassed(env, "--sessions", 2, "--bytes-up", "2M", "--bytes-down", 0,
                         "--write-size", "1-20", "--sleep-reader", "server", "20K", 0.5, *UPLOAD,
                         spliced={"bypass_messages": 100})
    assert daemon.stats()["pauses"] > 0, daemon.stats()


@case(engines=("kernel", "copy"))
def test_the_default_engage_after(env):
    """Whether they are joined when they are old enough, or busy."""
    _, daemon = bypassed(env, "--sessions", 8, "--bytes-up", "8M", "--bytes-down", "8M",
                         spliced={"engage_after": None})
    stats = daemon.stats()
    assert stats["sessions_bypass"] > 0 and stats["bytes_bypassed"] > 8 << 20, stats


@case(engines=("kernel", "copy"))
def test_short_sessions_are_copied(env):
    """They would pay for being joined, and get nothing for it."""
    _, daemon = bypassed(env, "--sessions", 20, "--bytes-up", "1000", "--bytes-down", "1000",
                         spliced={"engage_after": "10s"})
    stats = daemon.stats()
    assert stats["sessions_bypass"] == 0 and stats["sessions_copy"] == 20, stats
    assert stats["bypass_left"]["young"] == 40, stats["bypass_left"]
    assert {line["bypass"] for line in daemon.access_log()} == {"young"}, daemon.access_log()


@case(engines=("kernel",))
def test_joined_when_old_enough(env):
    """Small messages, long before 64 KiB have been copied."""
    cgroup = env.cgroup()
    daemon, _ = echo_daemon(env, cgroup, engage_after="2s")
    host, port = daemon.address().split(":")
    client = subprocess.Popen([*cgroup.prefix(), sys.executable, "-c", f"""{CLIENT}
{WAIT}
for i in range(20):
    exchange(100)
print("done", flush=True)
{WAIT}
""", host, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert client.stdout.readline() == "ready\n"
    wait_until(lambda: daemon.sessions()[0]["age_ms"] > 2100, 10, "it is old enough")
    assert daemon.stats()["sessions_bypass"] == 0, daemon.stats()
    assert daemon.sessions()[0]["engine_reason"] == "young", daemon.sessions()
    go_on(client)
    assert client.stdout.readline() == "done\n"
    assert daemon.sessions()[0]["engine"] == "bypass", daemon.sessions()
    assert daemon.stats()["bytes_bypassed"] > 0, daemon.stats()


# ---- other networks -----------------------------------------------------------------------------

# With moments of quiet, in which they are joined, long before either side ends.
SLOW = ("--sessions", 8, "--slow-reader", "client", "8M", "--bytes-down", "4M", "--bytes-up", "4M",
        "--pause", "0.5:2000-20000")


def between_hosts(env, network, *options, before=None, **spliced):
    """Applications of one namespace, the daemon in another one; its counters."""
    cgroup = env.cgroup()
    load = env.load(*options, listen=f"{network.backend_address()}:0",
                    prefix=[*cgroup.prefix(), *network.client.command()])
    daemon = network.spliced(load.backends, spliced={"bypass_cgroup": cgroup.path, **spliced},
                             listener={"local_bypass": "both"})
    if before:
        before()
    load.go(daemon.address())
    check_accounts(env, daemon, load.ok())
    return daemon.stats()


@case(engines=("kernel",), timeout=90)
def test_another_namespace(env):
    stats = between_hosts(env, env.network(joined=True), *SLOW, **SMALL)
    assert stats["sessions_bypass"] > 0 and stats["pauses"] > 0, stats
    assert stats["bypass_left"]["segments"] == 0, stats["bypass_left"]


@case(engines=("kernel",), timeout=90)
def test_segments_smaller_than_a_token(env):
    """A token that is not taken whole would have the kernel take data for the rest of it."""
    network = env.network(joined=True)
    for host in network.hosts():
        for device in host.devices():
            host.ip("link", "set", device, "gso_max_size", "4096")
    stats = between_hosts(env, network, *SLOW, **SMALL)
    assert stats["sessions_bypass"] > 0 and stats["bypass_left"]["segments"] > 0, stats


@case(engines=("kernel",), timeout=90, debug=False)
def test_windows_smaller_than_a_token(env):
    network = env.network(joined=True)

    def shrink():
        # Not before the daemon's checks, which it would fail.
        for host in network.hosts():
            host.run("sysctl", "-qw", "net.ipv4.tcp_rmem=4096 8192 16384")
    stats = between_hosts(env, network, *SLOW, before=shrink, **SMALL)
    assert stats["sessions_bypass"] > 0, stats
    env.note(f"{stats['sessions_bypass']} bypassed, {stats['bypass_left']}")


# ---- who is bypassed ----------------------------------------------------------------------------

@case(engines=("kernel", "copy"))
def test_only_one_of_two_in_the_cgroup(env):
    """A server elsewhere: nobody is joined, and the session is as any other."""
    cgroup = env.cgroup()
    _, daemon = through(env, "--sessions", 10, "--bytes-up", "1M", "--bytes-down", "1M",
                        spliced={"bypass_cgroup": cgroup.path}, listener={"local_bypass": "both"})
    stats = daemon.stats()
    assert stats["sessions_bypass"] == 0 and stats["bytes_bypassed"] == 0, stats
    assert stats["bypass_left"]["not_local"] == 20, stats["bypass_left"]


@case(engines=("kernel",))
def test_a_listener_without_it(env):
    cgroup = env.cgroup()
    _, daemon = through(env, "--sessions", 10, prefix=cgroup.prefix(),
                        spliced={"bypass_cgroup": cgroup.path},
                        more={"listener other": {"bind": "127.0.0.1:0", "pool": "main",
                                                 "local_bypass": "both"}})
    assert daemon.stats()["sessions_bypass"] == 0, daemon.stats()


BLOCKING = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
for i in range(50):
    s.sendall(b"x" * 1000)
    got = b""
    while len(got) < 1000:
        got += s.recv(1000 - len(got))
print("done")
"""

def echo_daemon(env, cgroup, host="127.0.0.1", bind="127.0.0.1:0", **spliced):
    address, process = echo_server(env, cgroup, host)
    daemon = env.spliced(address, spliced={"bypass_cgroup": cgroup.path, **spliced},
                         listener={"local_bypass": "both", "bind": bind})
    return daemon, process


@case(engines=("kernel",))
def test_a_blocking_program_is_left_out(env):
    cgroup = env.cgroup()
    daemon, _ = echo_daemon(env, cgroup)
    host, port = daemon.address().split(":")
    done = run(*cgroup.prefix(), sys.executable, "-c", BLOCKING, host, port)
    assert done.stdout == "done\n", done
    stats = daemon.stats()
    assert stats["sessions_bypass"] == 0, stats
    assert stats["bypass_left"]["blocking"] == 2, stats["bypass_left"]


@case(engines=("kernel",))
def test_reload_turns_it_on_and_off(env):
    """For the clients that come then, whether the listener keeps its name or not."""
    cgroup = env.cgroup()
    server, _ = echo_server(env, cgroup)
    other = {"listener first": {"bind": "127.0.0.1:0", "pool": "main", "local_bypass": "both"}}
    address, holder = tcp.free_port()
    holder.close()
    daemon = env.spliced(server, spliced={"bypass_cgroup": cgroup.path}, more=other,
                         listener={"bind": address})
    text = text_of(daemon)
    host, port = address.split(":")
    for number, (name, way) in enumerate((("web", "no"), ("web", "both"), ("second", "no"),
                                          ("third", "both"))):
        answer = reload(daemon, text.replace("[listener web]",
                                             f"[listener {name}]\nlocal_bypass = {way}"))
        assert answer["restart"] == [], answer
        with cgroup.inside(), socket.create_connection((host, int(port)), timeout=20) as sock:
            for _ in range(20):
                sock.sendall(b"data")
                assert sock.recv(4, socket.MSG_WAITALL) == b"data"
        line = daemon.wait_access(number + 1)[-1]
        assert line.get("bypass") == ("yes" if way == "both" else None), line


@case(engines=("kernel",))
def test_reload_forgets_its_listeners(env):
    """Those that are closed are not in the bypass's map any more, nor is one whose reload failed."""
    cgroup = env.cgroup()
    daemon = env.spliced(env.backend().address, spliced={"bypass_cgroup": cgroup.path},
                         listener={"local_bypass": "both", "bind": "127.0.0.1:0"})
    maps, text = bpf_maps(daemon.worker_pid), text_of(daemon)
    sockets = map_entries(maps["listening"])
    assert sockets > 0
    taken, holder = tcp.free_port()
    holder.listen()
    for number in range(2, 5):
        reload(daemon, text.replace("127.0.0.1:0", f"127.0.0.{number}:0"))
        refused(daemon, text.replace("127.0.0.1:0", f"127.0.1.{number}:0, {taken}"))
    holder.close()
    wait_until(lambda: map_entries(maps["listening"]) == sockets, 5,
               lambda: f"{map_entries(maps['listening'])} listeners instead of {sockets}")


@case(engines=("copy",))
def test_reload_cannot_turn_on_what_is_not_there(env):
    """Nobody has asked for it at the start."""
    cgroup = env.cgroup()
    daemon = env.spliced(env.backend().address, spliced={"bypass_cgroup": cgroup.path})
    text = text_of(daemon)
    for name in ("web", "other"):
        changed = text.replace("[listener web]", f"[listener {name}]\nlocal_bypass = both")
        for _ in range(2):
            assert reload(daemon, changed)["restart"] == ["local_bypass"]
        with tcp.connect(daemon.address(name)) as client:
            client.sendall(b"data")
            assert client.recv(4, socket.MSG_WAITALL) == b"data"
    assert "bypass" not in daemon.wait_access(2)[-1]
    assert reload(daemon, text)["restart"] == []


@case(engines=("kernel",))
def test_a_program_that_blocks_at_first(env):
    """It shakes hands, say, with a socket that blocks, long after the session is old enough."""
    cgroup = env.cgroup()
    daemon, _ = echo_daemon(env, cgroup)
    host, port = daemon.address().split(":")
    with cgroup.inside(), socket.create_connection((host, int(port))) as sock:
        for _ in range(10):
            sock.sendall(b"hands")
            assert sock.recv(5) == b"hands"
            time.sleep(0.01)
        assert daemon.stats()["sessions_bypass"] == 0, daemon.stats()
        sock.setblocking(False)

        def is_joined():
            sock.send(b"data")
            assert select.select([sock], [], [], 20)[0] and sock.recv(4) == b"data"
            return daemon.stats()["bytes_bypassed"] > 0
        wait_until(is_joined, 10, "it is joined")


@case(engines=("kernel",))
def test_a_program_that_blocks_after_its_connect(env):
    """O_NONBLOCK was for connect() alone, as where that has a timeout: recv() must go on to block."""
    cgroup = env.cgroup()
    daemon, _ = echo_daemon(env, cgroup, engage_after="0")
    host, port = daemon.address().split(":")
    with cgroup.inside(), socket.create_connection((host, int(port)), timeout=20) as sock:
        daemon.wait_sessions(1)
        stays(lambda: daemon.stats()["sessions_bypass"] == 0, 0.3, "it is not joined")
        sock.setblocking(True)
        for _ in range(300):
            sock.sendall(b"data")
            assert sock.recv(4, socket.MSG_WAITALL) == b"data"
        assert daemon.stats()["sessions_bypass"] == 0, daemon.stats()


@case(engines=("kernel",))
def test_who_is_refused_is_the_kernels_at_once(env):
    """It has waited for engage_after once."""
    cgroup = env.cgroup()
    address, _ = echo_server(env, cgroup)
    daemon = env.spliced(address, spliced={"bypass_cgroup": cgroup.path, "engage_after": "2s"},
                         listener={"local_bypass": "both"})
    with tcp.connect(daemon.address()) as sock:
        sock.sendall(b"1")
        assert sock.recv(1) == b"1"
        assert daemon.sessions()[0]["engine"] == "copy", daemon.sessions()
        session = wait_until(lambda: [s for s in daemon.sessions() if s["engine"] == "kernel"], 10,
                             "the kernel has it")[0]
        assert session["age_ms"] < 3500, session
        assert session["engine_reason"] == "not_local", session


@case(engines=("kernel",))
def test_killed_by_an_operator(env):
    """What the daemon ends while it has none of the bytes; nothing of the session stays."""
    cgroup = env.cgroup()
    daemon, _ = echo_daemon(env, cgroup)
    host, port = daemon.address().split(":")
    with cgroup.inside(), socket.create_connection((host, int(port)), timeout=20) as sock:

        def is_joined():
            sock.sendall(b"data")
            assert sock.recv(4) == b"data"
            return [s for s in daemon.sessions() if s["engine"] == "bypass"]
        session = wait_until(is_joined, 10, "it is joined")[0]
        assert daemon.control("kill", str(session["id"])) == {"killed": session["id"]}
        with tcp.must_reset():
            sock.recv(1)
    line = daemon.wait_access()[0]
    assert (line["end"], line["bypass"]) == ("killed", "yes"), line
    assert line["bytes_up"] == line["bytes_down"] and int(line["bytes_up"]) >= 4, line
    wait_until(lambda: not any(daemon.map_entries().values()), 5, "the maps are empty again")


@case(engines=("kernel",))
def test_a_blocking_program_that_is_trusted(env):
    cgroup = env.cgroup()
    daemon, _ = echo_daemon(env, cgroup, bypass_trust="all")
    host, port = daemon.address().split(":")
    done = run(*cgroup.prefix(), sys.executable, "-c", BLOCKING, host, port)
    assert done.stdout == "done\n", done
    wait_until(lambda: daemon.stats()["bytes_bypassed"] > 0, 5, "the session is counted")


@case(engines=("kernel",))
def test_other_programs_are_untouched(env):
    """A socket of the cgroup that talks to somebody else is in no map of sockets: the kernel's own
    count of what waits unread, which is wrong for those in one, is right."""
    cgroup = env.cgroup()
    daemon, _ = echo_daemon(env, cgroup)
    program = """
import array, fcntl, socket, termios, time
server = socket.create_server(("127.0.0.1", 0))
one = socket.create_connection(server.getsockname()); two, _ = server.accept()
one.sendall(b"x" * 1000)
n = array.array("i", [0])
deadline = time.monotonic() + 10
while n[0] != 1000 and time.monotonic() < deadline:
    fcntl.ioctl(two.fileno(), termios.FIONREAD, n)
print(n[0])
"""
    done = run(*cgroup.prefix(), sys.executable, "-c", program)
    assert done.stdout.split()[0] == "1000", done
    assert daemon.stats()["sessions_bypass"] == 0, daemon.stats()


@case(engines=("kernel",), core=True)
def test_ipv6(env):
    cgroup = env.cgroup()
    daemon, _ = echo_daemon(env, cgroup, host="::1", bind="[::1]:0")
    client = joined_client(env, cgroup, daemon, "exchange(10)")
    ends_bypassed(daemon, client)


@case(engines=("kernel",))
def test_a_client_with_a_mapped_address(env):
    """Its socket is one of IPv6, its connection is not."""
    cgroup = env.cgroup()
    daemon, _ = echo_daemon(env, cgroup)
    client = joined_client(env, cgroup, daemon, "exchange(10)", to="::ffff:127.0.0.1")
    ends_bypassed(daemon, client)


@case(engines=("kernel",))
def test_three_network_namespaces(env):
    """Client, daemon and server have addresses of their own, and one host."""
    cgroup = env.cgroup()
    network = netns.Network(env)
    address, _ = echo_server(env, cgroup, network.backend_address(),
                             at=network.backend.command())
    daemon = network.spliced(address, spliced={"bypass_cgroup": cgroup.path},
                             listener={"local_bypass": "both"})
    client = joined_client(env, cgroup, daemon, "exchange(10)", at=network.client.command())
    ends_bypassed(daemon, client)


@case(engines=("kernel",))
def test_who_is_left_out_is_untouched(env):
    """The socket of a program that blocks has been in no map of sockets."""
    cgroup = env.cgroup()
    daemon, _ = echo_daemon(env, cgroup)
    host, port = daemon.address().split(":")
    done = run(*cgroup.prefix(), sys.executable, "-c", """
import array, fcntl, socket, sys, termios, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
for i in range(50):
    s.sendall(b"x" * 1000)
    n = array.array("i", [0])
    deadline = time.monotonic() + 10
    while n[0] != 1000 and time.monotonic() < deadline:
        fcntl.ioctl(s.fileno(), termios.FIONREAD, n)
    assert n[0] == 1000, n
    assert len(s.recv(1000)) == 1000
""", host, port)
    assert done.returncode == 0, done
    assert daemon.stats()["bypass_left"]["blocking"] == 2, daemon.stats()["bypass_left"]


# ---- ends ---------------------------------------------------------------------------------------

CLIENT = """
import select, socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
s.setblocking(False)
def exchange(n):
    assert s.send(b"x" * n) == n
    while n:
        select.select([s], [], [], 20)
        n -= len(s.recv(n))
for i in range(20):
    exchange(100)
print("ready", flush=True)
"""
# ... and waits to be told, silent or not.
WAIT = "sys.stdin.readline()"
BUSY = """
while not select.select([sys.stdin], [], [], 0.1)[0]:
    exchange(10)
sys.stdin.readline()
"""


def joined_client(env, cgroup, daemon, then, *arguments, wait=WAIT, to=None, at=()):
    """A client in the cgroup that has been joined, waits, and then does what `then` says."""
    host, _, port = daemon.address().rpartition(":")
    program = f"{CLIENT}{wait}\n{then}"
    process = subprocess.Popen([*cgroup.prefix(), *at, sys.executable, "-c", program,
                                to or host.strip("[]"), port, *map(str, arguments)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    assert daemon.sessions()[0]["engine"] == "bypass", daemon.sessions()
    return process


def go_on(client):
    """It does what it waits to do."""
    client.stdin.write("\n")
    client.stdin.flush()


def ends_bypassed(daemon, client):
    """It does that, and some of it goes directly."""
    go_on(client)
    assert client.wait(timeout=20) == 0
    wait_until(lambda: daemon.stats()["bytes_bypassed"] > 0, 5, "the session is counted")


@case(engines=("kernel", "copy"))
def test_the_daemon_is_killed(env):
    """No sender waits for a reader that will never come."""
    cgroup = env.cgroup()
    daemon, server = echo_daemon(env, cgroup)
    client = joined_client(env, cgroup, daemon, """
server_sleeps = True
deadline = time.monotonic() + 30
try:
    while time.monotonic() < deadline:
        _, w, _ = select.select([], [s], [], 1)
        if w:
            s.send(b"y" * 65536)
        else:
            print("stopped", flush=True)
except OSError as error:
    print("ended", flush=True)
""")
    server.send_signal(signal.SIGSTOP)
    go_on(client)
    assert client.stdout.readline() == "stopped\n"
    daemon.kill()
    for line in client.stdout:
        if line == "ended\n":
            break
    else:
        raise AssertionError("the sender went on")
    client.wait(timeout=10)


@case(engines=("kernel", "copy"))
def test_all_bytes_go_directly(env):
    """Whichever engine is behind it: once both ways are direct, the daemon sees none of them."""
    cgroup = env.cgroup()
    daemon, _ = echo_daemon(env, cgroup)
    client = joined_client(env, cgroup, daemon, """
for line in sys.stdin:
    times, size = map(int, line.split())
    for i in range(times):
        exchange(size)
    print("done", flush=True)
""")

    def exchange(times, size):
        before = daemon.stats()
        client.stdin.write(f"{times} {size}\n")
        client.stdin.flush()
        assert client.stdout.readline() == "done\n"
        after = daemon.stats()
        return [after[name] - before[name] for name in ("bytes_bypassed", "bytes_copied")]

    client.stdin.write("\n")
    wait_until(lambda: exchange(1, 100) == [200, 0], 10, "both ways are direct")
    assert exchange(1000, 10000) == [20000000, 0]
    assert daemon.stats()["sessions_bypass"] == 1, daemon.stats()
    client.stdin.close()
    client.wait(timeout=10)
    assert last_end(daemon) == "done"
    line = daemon.access_log()[-1]
    assert (line["engine"], line["bypass"]) == ("bypass", "yes"), line


# Connections that send and receive as fast as it goes, until both are over; once they have had time
# to be joined.
BUSY_CLIENT = """
import asyncio, sys
async def send(writer):
    while True:
        writer.write(b"b" * 50000)
        await writer.drain()
async def receive(reader):
    while await reader.read(65536):
        pass
async def one():
    reader, writer = await asyncio.open_connection(sys.argv[1], int(sys.argv[2]))
    for _ in range(50):
        writer.write(b"b" * 100)
        await reader.readexactly(100)
        await asyncio.sleep(0.01)
    return await asyncio.gather(send(writer), receive(reader), return_exceptions=True)
async def main():
    # One that is late sees the end among those first messages.
    ends = await asyncio.gather(*(one() for _ in range(int(sys.argv[3]))), return_exceptions=True)
    late = [end for end in ends if not isinstance(end, list)]
    assert all(isinstance(end, (OSError, EOFError)) for end in late), late
    print("ended", flush=True)
asyncio.run(main())
"""


@case(engines=("kernel", "copy"))
def test_the_daemon_is_killed_under_load(env):
    """Whoever sends or receives then sees the end of it, on both sides."""
    cgroup = env.cgroup()
    daemon, server = echo_daemon(env, cgroup, **SMALL)
    before = fd_count(server.pid)
    client = subprocess.Popen([*cgroup.prefix(), sys.executable, "-c", BUSY_CLIENT,
                               *daemon.address().split(":"), "8"],
                              stdout=subprocess.PIPE, text=True)
    wait_until(lambda: daemon.stats()["bytes_bypassed"] > 1 << 20, 10, "bytes go directly")
    daemon.kill()
    wait_until(lambda: client.poll() is not None, 20, "all of the client's connections end")
    assert client.stdout.read() == "ended\n"
    wait_until(lambda: fd_count(server.pid) == before, 20, "all of the server's connections end")


def last_end(daemon):
    return wait_until(lambda: daemon.access_log(), 10, "the session is logged")[-1]["end"]


@case(engines=("kernel",))
def test_the_client_is_killed(env):
    cgroup = env.cgroup()
    daemon, _ = echo_daemon(env, cgroup)
    client = joined_client(env, cgroup, daemon, "time.sleep(60)")
    client.kill()
    client.wait()
    assert last_end(daemon) == "done"


@case(engines=("kernel",))
def test_the_client_closes_with_unread_bytes(env):
    """TCP would say RST: so does the bypass, which alone knows of those bytes."""
    cgroup = env.cgroup()
    daemon, _ = echo_daemon(env, cgroup)
    client = joined_client(env, cgroup, daemon, """
s.send(b"z" * 1000)
time.sleep(0.5)
s.close()
""")
    go_on(client)
    client.wait(timeout=20)
    assert last_end(daemon) == "client_reset"


@case(engines=("kernel",))
def test_the_server_is_killed(env):
    cgroup = env.cgroup()
    daemon, server = echo_daemon(env, cgroup)
    client = joined_client(env, cgroup, daemon, """
select.select([s], [], [], 20)
print(repr(s.recv(10)), flush=True)
""")
    go_on(client)
    server.kill()
    server.wait()
    assert client.stdout.readline() == "b''\n"
    client.wait(timeout=10)
    assert last_end(daemon) == "done"


# ---- memory -------------------------------------------------------------------------------------

@case(engines=("kernel",), timeout=150, alone=True)
def test_sleeping_readers_are_bounded(env):
    """What each of them has not read: bypass_high, what was under way, and the daemon's buffers. And
    when they have gone, nothing of them is left."""
    cgroup, number = env.cgroup(), env.pick(200, 10)
    load = env.load("--sessions", number, "--bytes-up", "64M", "--bytes-down", 0, "--pause",
                    "0.2:1000-20000", "--sleep-reader", "server", "2M", 600, *UPLOAD,
                    prefix=cgroup.prefix(), timeout=120)
    daemon = env.spliced(load.backends, spliced={"bypass_cgroup": cgroup.path},
                         listener={"local_bypass": "both"})
    descriptors, memory = daemon.fds(), tcp_memory()
    load.go(daemon.address())
    progress = wait_stalled(load, "up", seconds=90)
    sent, held = progress["up"]["sent"] / number - (2 << 20), tcp_memory() - memory
    bypassed = daemon.stats()["sessions_bypass"]
    env.note(f"{bypassed} bypassed, {sent / MIB:.1f} MiB each, {held / MIB:.0f} MiB of TCP's in all")
    assert sent < 8 * MIB and held < number * 8 * MIB, (sent, held, progress)
    assert bypassed > number / 2, daemon.stats()
    load.close()
    daemon.wait_sessions(0, seconds=20)
    wait_until(lambda: daemon.fds() == descriptors, 10, "descriptors are back")
    wait_until(lambda: not any(daemon.map_entries().values()), 10, "the maps are empty")
    # It is the whole host's.
    wait_until(lambda: tcp_memory() - memory < max(held / 4, 16 * MIB), 20, "TCP's memory is back")


# ---- timeouts -----------------------------------------------------------------------------------

@case(engines=("kernel",))
def test_idle_timeout(env):
    """Bytes that the daemon never sees are movement, and their absence is silence."""
    cgroup = env.cgroup()
    address, _ = echo_server(env, cgroup)
    daemon = env.spliced(address, spliced={"bypass_cgroup": cgroup.path},
                         listener={"local_bypass": "both", "idle_timeout": "1s"})
    client = joined_client(env, cgroup, daemon, """
until = time.monotonic() + 3
while time.monotonic() < until:
    exchange(10)
    time.sleep(0.1)
print("alive", flush=True)
select.select([s], [], [], 20)
try:
    print(repr(s.recv(10)), flush=True)
except OSError as error:
    print("reset", flush=True)
""", wait=BUSY)
    go_on(client)
    assert client.stdout.readline() == "alive\n"
    assert client.stdout.readline() == "reset\n"
    assert last_end(daemon) == "idle_timeout"


# A server that sends it all at once, and then nothing more.
GIVER = f"""
import asyncio, sys
async def serve(reader, writer):
    while data := await reader.read(65536):
        if b"give" in data:
            writer.write(b"g" * int(sys.argv[2]))
        else:
            writer.write(data)
        if b"end" in data:
            writer.write_eof()
    writer.close()
{SERVE}"""

SLOW_READER = """
until = time.monotonic() + 3
left = int(sys.argv[3])
s.send(b"give" + sys.argv[4].encode())
step = left // 60
while left:
    select.select([s], [], [], 20)
    n = len(s.recv(min(step, left)))
    assert n, f"an end, {left} bytes too soon"
    left -= n
    time.sleep(0.05)
print("all", flush=True)
if sys.argv[4]:
    print(s.recv(1), flush=True)
    s.shutdown(socket.SHUT_WR)
    sys.stdin.readline()
"""


def slow_reader_test(end, limits):
    """A reader takes three seconds for what was sent to it at once, within a limit of one second."""
    size = 2 << 20

    @case(engines=("kernel",))
    def test(env):
        cgroup = env.cgroup()
        address, _ = echo_server(env, cgroup, program=GIVER, arguments=(size,))
        daemon = env.spliced(address, spliced={"bypass_cgroup": cgroup.path},
                             listener={"local_bypass": "both", **limits})
        client = joined_client(env, cgroup, daemon, SLOW_READER, size, end, wait=BUSY)
        go_on(client)
        assert client.stdout.readline() == "all\n"
        if end:
            assert client.stdout.readline() == "b''\n"
            client.stdin.close()
        client.wait(timeout=10)
        assert last_end(daemon) == "done"
        assert daemon.stats()["bytes_bypassed"] >= size, daemon.stats()
    return test


test_a_slow_reader_is_not_idle = slow_reader_test("", {"idle_timeout": "1s"})
test_a_slow_reader_is_not_silent = slow_reader_test("end", {"half_close_timeout": "1s"})


# ---- the start ----------------------------------------------------------------------------------

def checks_of(daemon):
    return {check["name"]: check["answer"] for check in daemon.control("doctor")["checks"]}


@case(engines=("kernel", "copy"))
def test_the_canary_proves_it(env):
    cgroup = env.cgroup()
    daemon = env.spliced("127.0.0.1:1", spliced={"bypass_cgroup": cgroup.path},
                         listener={"local_bypass": "both"})
    checks = checks_of(daemon)
    for name in ("bypass", "bypass_account", "bypass_tokens", "bypass_end", "bypass_outlet"):
        assert checks[name] == "yes", checks


@case(engines=("kernel",))
def test_a_cgroup_that_is_not_there(env):
    """No bypass, and the engine that is there serves."""
    _, daemon = through(env, "--sessions", 5,
                        spliced={"bypass_cgroup": "/sys/fs/cgroup/nowhere"},
                        listener={"local_bypass": "both"})
    assert checks_of(daemon)["bypass"] == "no"
    assert "there is no bypass: attaching sockops to bypass_cgroup" in daemon.log_path.read_text()


@case(engines=("kernel",))
def test_the_root_of_all_cgroups(env):
    """It has every program of the host: whoever wants that has to write bypass_trust, too."""
    cgroup, root = env.cgroup(), unified()
    address, _ = echo_server(env, cgroup)

    def daemon_of(path, **options):
        return env.spliced(address, spliced={"bypass_cgroup": path, **options},
                           listener={"local_bypass": "both"}, start=False)

    for path in (root, f"{root}/", cgroup.path / ".."):
        refused = daemon_of(path)
        lines = refused.config_path.read_text(encoding="utf-8").splitlines()
        said = f"{refused.config_path}:{lines.index(f'bypass_cgroup = {path}') + 1}: " \
               f"bypass_cgroup: {path} is the root, with every program of this host; allowed: one " \
               "below it, or bypass_trust is written, too"
        for arguments in (("-t",), ()):
            done = run(refused.binary, *arguments, "-c", refused.config_path, check=False)
            assert done.returncode == 2 and said in done.stderr.splitlines(), (arguments, done)
    for arguments, status in (((), 2), (("-o", "spliced.bypass_trust=all"), 0)):
        named = ("-o", f"spliced.bypass_cgroup={root}")
        done = run(refused.binary, "-t", "-c", daemon_of(cgroup.path).config_path, *named,
                   *arguments, check=False)
        assert done.returncode == status, (arguments, done)
        assert ("is the root" in done.stderr) == (status == 2), (arguments, done)

    daemon = daemon_of(root, bypass_trust="all").start()
    host, port = daemon.address().split(":")
    done = run(sys.executable, "-c", BLOCKING, host, port)
    assert done.stdout == "done\n", done
    wait_until(lambda: daemon.stats()["bytes_bypassed"] > 0, 5, "one of no cgroup is joined")


@case(engines=("kernel",))
def test_what_was_sent_is_read_before_a_session_is_ended(env):
    """The daemon ends it, with bytes unread in the client's queue: they are read, then the end."""
    cgroup = env.cgroup()
    daemon, _ = echo_daemon(env, cgroup, shutdown_grace="0s")
    client = joined_client(env, cgroup, daemon, """
s.send(b"w" * 100000)
sys.stdin.readline()
n = 0
try:
    while True:
        select.select([s], [], [], 20)
        got = len(s.recv(1000))
        if not got:
            break
        n += got
except ConnectionResetError:
    print(n, flush=True)
""")
    go_on(client)
    wait_until(lambda: daemon.sessions()[0]["bytes_down"] == 102000, 20, "it has come back")
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: any("shutdown_grace is over: ending" in line for line in daemon.log()), 20,
               "the end")
    go_on(client)
    assert client.stdout.readline() == "100000\n"
    client.wait(timeout=10)
    assert daemon.wait_exit(10) == 0


CHAINED = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
for i in range(300):
    sent = bytes([i % 251]) * (1 + i * 37 % 40000)
    s.sendall(sent)
    got = b""
    while len(got) < len(sent):
        piece = s.recv(1 << 16)
        assert piece, (i, len(got))
        got += piece
    assert got == sent, i
print("done")
"""


def check_chained(cgroup, outer, inner):
    host, port = outer.address().split(":")
    done = run(*cgroup.prefix(), sys.executable, "-c", CHAINED, host, port)
    assert done.stdout == "done\n", (done, outer.stats()["bypass_left"])
    for daemon in (outer, inner):
        daemon.wait_sessions(0)
        stats = daemon.stats()
        assert stats["sessions_bypass"] == 0 == stats["integrity_aborts"], stats


@case(engines=("kernel", "copy"))
def test_a_daemon_behind_a_daemon(env):
    """Both of the cgroup: the sockets of the one are no application's to the other, which has given
    them to its kernel engine, joins others to them, or counts what their TCP has taken; whichever of
    the two was there first."""
    cgroup = env.cgroup()
    address, _ = echo_server(env, env.cgroup())
    options = {"spliced": {"bypass_cgroup": cgroup.path}, "listener": {"local_bypass": "both"}}
    first, holder = tcp.free_port()
    holder.close()
    early = env.spliced(first, prefix=cgroup.prefix(), **options)
    plain = env.spliced(address, prefix=cgroup.prefix())
    both = env.spliced(address, prefix=cgroup.prefix(), listener={"local_bypass": "both", "bind": first},
                       spliced=options["spliced"])
    check_chained(cgroup, early, both)
    for inner in (both, plain):
        outer = env.spliced(inner.address(), prefix=cgroup.prefix(), **options)
        check_chained(cgroup, outer, inner)
    # The listeners of a later worker are those of the one before.
    old = plain.worker_pid
    plain.control("upgrade")
    wait_until(lambda: process.is_gone(old), 20, "the worker before has ended")
    check_chained(cgroup, outer, plain)


@case(engines=("kernel", "copy"), core=True)
def test_a_daemon_with_a_passed_socket_behind_a_daemon(env):
    """The socket is of the cgroup, which the daemon that has it is not: no program of that daemon sees who comes to it.
    Nor is one an application's that came before the daemon did."""
    cgroup = env.cgroup()
    address, _ = echo_server(env, env.cgroup())
    with cgroup.inside():
        passed = env.keep(socket.create_server(("127.0.0.1", 0)))
    where = "%s:%d" % passed.getsockname()
    outer = env.spliced(where, prefix=cgroup.prefix(), spliced={"bypass_cgroup": cgroup.path},
                        listener={"local_bypass": "both"})
    host, port = outer.address().split(":")
    early = subprocess.Popen([*cgroup.prefix(), sys.executable, "-c", CHAINED, host, port], stdout=subprocess.PIPE,
                             text=True)
    wait_until(lambda: select.select([passed], [], [], 0)[0], 20, "it waits in the queue")
    inner = env.spliced(address, start=False, listener={"bind": "systemd:web"})
    ServiceManager(env, [("web", passed)]).start(inner)
    assert early.communicate(timeout=60)[0] == "done\n"
    check_chained(cgroup, outer, inner)
    assert outer.stats()["bypass_left"]["zerocopy"] > 0, outer.stats()["bypass_left"]
