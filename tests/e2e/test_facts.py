# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel does to a naive proxy, and what stops it.

Each scenario is run by two tests: with the daemon as it is, where every byte is right, and with one
of its protections switched off (SPLICED_DEBUG), where it goes wrong. So the pair fails if the
protection does nothing, and if the scenario does not need it.
"""

import hashlib
import os
import queue
import random
import signal

from lib import Deadline, case, connect, read_exactly, wait_until
from lib.host import sysctl
from lib.tuntcp import TunHost
from lib.wait import stays

AT_DEBUG = False

KIB, MIB = 1 << 10, 1 << 20


def without(*switches):
    """A command prefix for a daemon without these protections, and without the canary, which
    would notice."""
    return ["env", "SPLICED_DEBUG=" + ",".join(["no-canary", *switches])]


def unprotected(env, servers, *switches, prefix=(), **config):
    """A daemon without them. Its integrity aborts are what the test is after."""
    daemon = env.spliced(servers, prefix=[*without(*switches), *prefix], **config)
    daemon.allow_integrity_aborts = True
    return daemon


def unprotected_load(env, switches, *options, timeout=20, **config):
    """A run of the load tool through such a daemon: (result, stats)."""
    load = env.load(*options, timeout=timeout)
    daemon = unprotected(env, load.backends, *switches, **config)
    load.go(daemon.address())
    result = load.finish()
    stats = daemon.stats()
    daemon.check_and_end()
    return result, stats


def goes_wrong(env, switches, scenarios, is_it, **config):
    """Whether, without the protection, one of the runs goes wrong in the way that `is_it`, which
    is given the result and the stats, looks for. Scenarios are options of the load tool."""
    return any(is_it(*unprotected_load(env, switches, *options, **config))
               for options in scenarios)


def protected_load(env, *options, **config):
    """The same run with the protection: every byte must be right. The stats."""
    load = env.load(*options)
    daemon = env.spliced(load.backends, **config)
    load.go(daemon.address())
    load.ok()
    stats = daemon.stats()
    assert stats["bytes_redirected"] > 0, stats
    daemon.check_and_end()
    return stats


# ---- fact 4: retransmissions with other boundaries -------------------------------------------

WRAP = 1 << 32


class Scenario:
    """What a peer sends: steps of (start, end), or a function that sends."""

    def __init__(self, size, steps, trimmed, isn=12345, queued=False):
        self.size, self.steps, self.isn = size, steps, isn
        self.trimmed = trimmed      # so many bytes at least reach the verdict twice
        self.queued = queued        # all of it is there before the session is

    def content(self):
        return random.Random(self.size).randbytes(self.size)

    def send(self, peer):
        if callable(self.steps):
            self.steps(peer)
            return
        for start, end in self.steps:
            peer.send(start, end)


def send_random(seed, biggest, back, rounds):
    """Segments of any size that begin anywhere in what was sent already, or after a hole, which
    another segment fills later. In the end everything was sent at least once."""
    def send(peer):
        rng, total, holes = random.Random(seed), len(peer.content), []
        for _ in range(rounds):
            start = max(0, peer.highest + rng.randint(-back, back // 8))
            end = min(total, start + rng.randint(1, biggest))
            if start > peer.highest and start < end:
                holes.append((peer.highest, start))
            if start < end:
                peer.send(start, end)
            if rng.random() < 0.2 or peer.highest - peer.acked >= 30000 - biggest:
                for first, last in holes:
                    peer.send(max(0, first - rng.randint(0, back)), last + rng.randint(0, back))
                holes.clear()
                peer.flush()
        for first, last in holes:
            peer.send(first, last)
        while peer.highest < total:
            peer.send(peer.highest, min(total, peer.highest + biggest))
    return send


OVERLAP = [(0, 1000), (1000, 2000), (500, 2500)]
SCENARIOS = {
    "overlap": Scenario(2500, OVERLAP, 1500),
    "fully_old": Scenario(2000, [(0, 1000), (0, 1000), (200, 800), (1000, 2000), (0, 1500)], 0),
    "holes_filled": Scenario(5000, [(0, 1000), (2000, 3000), (4000, 5000), (500, 4500)], 1000),
    "one_byte_new": Scenario(1002, [(0, 1000), (0, 1001), (1, 1002)], 2000),
    "sequence_wraps": Scenario(2500, OVERLAP, 1500, isn=WRAP - 1500),
    "sequence_wraps_in_the_old_part": Scenario(2500, OVERLAP, 1500, isn=WRAP - 700),
    "sequence_wraps_in_the_new_part": Scenario(2500, OVERLAP, 1500, isn=WRAP - 2300),
    # One call takes 4095 bytes off.
    "large": Scenario(60000, [(0, 20000), (10000, 40000), (11000, 60000)], 39000),
    "just_one_step": Scenario(8000, [(0, 4095), (0, 8000)], 4095),
    "just_two_steps": Scenario(8000, [(0, 4096), (0, 8000)], 4096),
    "random_small": Scenario(200000, send_random(1, 1400, 3000, 400), 1000, isn=WRAP - 100000),
    "random_large": Scenario(2000000, send_random(2, 20000, 25000, 300), 10000, isn=WRAP - 10**6),
    "queued": Scenario(2500, OVERLAP, 1500, queued=True),
    "queued_and_wraps": Scenario(2500, OVERLAP, 1500, isn=WRAP - 2100, queued=True),
    "queued_holes": Scenario(5000, [(0, 1000), (2000, 3000), (4000, 5000), (500, 4500)], 1000,
                             queued=True),
}


class Stage:
    """A daemon on a TUN network, and a server that keeps what it got."""

    def __init__(self, env, *switches):
        self.tun = TunHost(env)
        self.ended = queue.Queue()      # how the server saw each session end
        self.data = bytearray()         # what it got in the last one
        backend = self.tun.host.call(env.backend, self._serve)
        config = {"listener": {"bind": f"{TunHost.ADDRESS}:0"}}
        if switches:
            self.daemon = unprotected(env, backend.address, *switches,
                                      prefix=self.tun.host.command(), **config)
        else:
            self.daemon = env.spliced(backend.address, prefix=self.tun.host.command(), **config)
        self.address = self.daemon.address()
        self.engine = env.engine

    def _serve(self, sock):
        self.data = data = bytearray()
        how = "end"
        try:
            while part := sock.recv(1 << 16):
                data += part
        except ConnectionResetError:
            how = "reset"
        self.ended.put(how)
        if how == "end":
            sock.sendall(hashlib.sha256(data).hexdigest().encode())

    def _open(self):
        """Whether the new session moves bytes: with the kernel engine, in the kernel."""
        found = self.daemon.sessions()
        return len(found) == 1 and found[0]["state"] == "open" and \
            found[0]["engine"] == self.engine

    def begin(self, scenario):
        """A peer that has sent all of it, but not the end."""
        peer = self.tun.peer(self.address, scenario.content(), scenario.isn)
        if scenario.queued:
            self.daemon.signal(signal.SIGSTOP)
        try:
            peer.connect()
            if not scenario.queued:
                wait_until(self._open, 5, "the session is open")
            scenario.send(peer)
            peer.flush()
        finally:
            if scenario.queued:
                self.daemon.signal(signal.SIGCONT)
        wait_until(self._open, 5, "the session is open")
        return peer

    def end(self, peer):
        """Sends the end; how the server's stream ended."""
        peer.finish()
        how = self.ended.get(timeout=Deadline(20).seconds)
        peer.wait_end()
        self.wait_over()
        return how

    def wait_over(self):
        wait_until(lambda: self.daemon.stats()["sessions_active"] == 0, 5, "the session is over")


def check_right(name, scenario, stage):
    before = stage.daemon.stats()["bytes_trimmed"]
    peer = stage.begin(scenario)
    how = stage.end(peer)
    data, content = bytes(stage.data), scenario.content()
    assert how == "end", f"{name}: the server saw a {how} after {len(data)} bytes"
    assert len(data) == len(content), f"{name}: {len(data)} bytes of {len(content)}"
    assert data == content, f"{name}: the content is wrong"
    assert peer.received == hashlib.sha256(content).hexdigest().encode(), \
        f"{name}: the answer is {peer.received!r}"
    trimmed = stage.daemon.stats()["bytes_trimmed"] - before
    wanted = scenario.trimmed if stage.engine == "kernel" else 0
    assert trimmed >= wanted, f"{name}: {trimmed} bytes trimmed, not {wanted}"
    assert wanted or not trimmed, f"{name}: {trimmed} bytes trimmed"
    end = stage.daemon.access_log()[-1]["end"]
    assert end == "done", f"{name}: end={end}"


@case(timeout=90, core=True)
def test_overlapping_retransmissions(env):
    """With the copy engine, the kernel's own reading shows that the peer is right."""
    stage = Stage(env)
    for name, scenario in SCENARIOS.items():
        check_right(name, scenario, stage)
    stats = stage.daemon.stats()
    assert stats["integrity_aborts"] == 0, stats
    assert env.engine == "copy" or stats["bytes_redirected"] > stats["bytes_copied"], stats


@case(engines=("kernel",), timeout=90, core=True)
def test_overlapping_retransmissions_without_trim(env):
    """The same bytes reach the server twice. The kernel also counts them as read twice: streams
    that go on for long are left out, since 6.1 writes a warning when it finds itself ahead."""
    stage = Stage(env, "no-trim")
    for name, scenario in SCENARIOS.items():
        if not scenario.trimmed or callable(scenario.steps):
            continue
        peer, content = stage.begin(scenario), scenario.content()
        wait_until(lambda: len(stage.data) > len(content) or
                   not content.startswith(stage.data), 5, f"{name}: bytes arrive twice")
        peer.reset()
        assert stage.ended.get(timeout=Deadline(20).seconds) == "reset"
        stage.wait_over()
    assert stage.daemon.stats()["bytes_trimmed"] == 0


@case(engines=("kernel",), timeout=60, core=True)
def test_overlap_without_trim_ends_as_integrity(env):
    """What the verdict let through is found at the end: the count is wrong."""
    stage, scenario = Stage(env, "no-trim"), SCENARIOS["overlap"]
    content = scenario.content()
    assert stage.end(stage.begin(scenario)) == "reset"
    assert stage.data == content[:2000] + content[500:], f"{len(stage.data)} bytes"
    assert stage.daemon.access_log()[-1]["end"] == "integrity"
    assert stage.daemon.stats()["integrity_aborts"] == 1


# ---- fact 5: a socket leaves the verdict map while a verdict runs ----------------------------

SMALL_MARKS = {"splice_high": "128K", "splice_low": "64K", "splice_hard": "8M"}


@case(engines=("kernel",), timeout=240, core=True)
def test_delete_race(env):
    size = env.pick("200M" if env.quick else "400M", "30M")
    wanted = env.pick(500 if env.quick else 2000, 20)
    options = ("--sessions", 4, "--bytes-up", size, "--bytes-down", size)
    pauses = 0
    for _ in range(12):
        pauses += protected_load(env, *options, spliced=SMALL_MARKS)["pauses"]
        if pauses >= wanted:
            break
    assert pauses >= wanted, f"only {pauses} pauses: the race was not provoked often enough"


@case(engines=("kernel",), timeout=240)
def test_delete_race_without_rcvlowat(env):
    def lost(result, stats):
        return stats["pauses"] and not result["ok"] and \
            (stats["integrity_aborts"] or result["n_errors"])

    size = env.pick("400M", "60M")
    options = ("--sessions", 4, "--bytes-up", size, "--bytes-down", size)
    assert goes_wrong(env, ["no-rcvlowat"], [options] * 5, lost, timeout=env.pick(30, 120),
                      spliced=SMALL_MARKS), "no byte was lost without SO_RCVLOWAT either"


# ---- facts 2 and 3: the end of a stream ------------------------------------------------------

def ends(env):
    """Streams that end while the other direction is still on its way."""
    return (("--bytes-up", "8M", "--bytes-down", "8M", "--half-close", "both",
             "--sessions", env.pick(60, 15)),
            ("--bytes-up", "4M", "--echo", "--fin-delay", 5, "--sessions", env.pick(100, 20)))


@case(engines=("kernel",), timeout=200, core=True)
def test_ends(env):
    """With what waits proved empty before shutdown(), and empty FIN segments dropped."""
    for _ in range(env.pick(1 if env.quick else 3, 1)):
        for options in ends(env):
            protected_load(env, *options)


@case(engines=("kernel",), timeout=150, core=True)
def test_ends_without_proof(env):
    def truncated(result, _):
        return any(error["kind"] == "truncated" for error in result["errors"])

    # A reader that is asleep when the end comes has what is left wait in the kernel.
    asleep = ("--sessions", 8, "--half-close", "client", "--concurrent", "--bytes-up", "6M",
              "--sleep-reader", "server", "1M", 1)
    assert goes_wrong(env, ["no-proof"], [asleep] * 10, truncated,
                      spliced={"splice_high": "12M", "splice_hard": "16M"}), \
        "no stream was truncated by an early shutdown()"


@case(engines=("kernel",), timeout=150)
def test_ends_with_fin_passed(env):
    """Rare: some sessions of a hundred break in one run of four."""
    def broken(result, stats):
        return result["sessions"]["failed"] and \
            stats["ends"]["client_reset"] + stats["ends"]["server_reset"]

    if not goes_wrong(env, ["pass-fin"], ends(env) * env.pick(8, 2), broken):
        env.skip("pass-fin: no session broke on this kernel; not reproduced")


# ---- fact 1: the queue of a target has no limit ----------------------------------------------

NEVER_READ = ("--never-read", "client", "--bytes-down", "120M", "--bytes-up", 16,
              "--rcvbuf", 65536, "--half-close", "server")
MARKS = {"splice_high": "512K", "splice_low": "256K", "splice_hard": "1M", "splice_window": "256K"}


@case(engines=("kernel",), timeout=90, core=True)
def test_marks(env):
    load = env.load(*NEVER_READ)
    daemon = env.spliced(load.backends, spliced=MARKS)
    load.go(daemon.address())
    # What the client's own receive buffer holds (twice what was asked for) is not the daemon's.
    # Beside the hard mark: the source's window, what is on its way when the pause is asked for, and
    # what the target's own write queue takes, which is TCP's affair and no backlog.
    bound = MIB + 3 * 256 * KIB + 2 * 65536 + int(sysctl("net.ipv4.tcp_wmem").split()[2])
    assert bound < 16 * MIB, "the test would prove nothing"
    # Above the high mark there is a pause; above the hard one bytes are handed up and copied.
    wait_until(lambda: daemon.stats()["pauses"] + daemon.stats()["served"] > 0, 10, "a mark")
    stays(lambda: daemon.stats()["bytes_redirected"] < bound, 2,
          f"less than {bound} bytes redirected to a client that never reads")
    load.send("resume")
    load.ok()
    assert daemon.stats()["bytes_redirected"] + daemon.stats()["bytes_copied"] >= 120 * MIB


@case(engines=("kernel",), timeout=90, core=True)
def test_no_marks(env):
    load = env.load(*NEVER_READ)
    daemon = unprotected(env, load.backends, "no-marks", spliced=MARKS)
    load.go(daemon.address())
    wait_until(lambda: daemon.stats()["bytes_redirected"] > 64 * MIB, 20,
               "64 MiB in the kernel for a client that never reads")
    load.close()


# ---- a session that only moves bytes wakes nobody --------------------------------------------

def sleeps(daemon):
    """How often each thread has slept: its voluntary context switches."""
    found = {}
    for task in os.listdir(f"/proc/{daemon.worker_pid}/task"):
        with open(f"/proc/{daemon.worker_pid}/task/{task}/status", encoding="ascii") as status:
            fields = dict(line.split(":", 1) for line in status)
        found[f"{fields['Name'].strip()}/{task}"] = int(fields["voluntary_ctxt_switches"])
    return found


def woken(daemon, before):
    """The threads that have slept since, and how often."""
    return {thread: number - before.get(thread, 0) for thread, number in sleeps(daemon).items()
            if number != before.get(thread)}


def worker_sleeps(daemon):
    return sum(number for name, number in sleeps(daemon).items() if name.startswith("worker"))


def round_trips(sock, number):
    for i in range(number):
        request = i.to_bytes(4, "big") * 16
        sock.sendall(request)
        answer = read_exactly(sock, len(request))
        assert answer == request, f"round trip {i}: {answer!r}"


def open_idle(env, number):
    """A daemon with an echo server and that many open sessions, each in the engine's hands. They
    could not come near memory_max, also on a small host: nobody has to look. A worker may wake up
    once for a timer that was cancelled since: none of theirs is short."""
    daemon = env.spliced(env.backend().address, spliced={"memory_max": "16G"},
                         pool={"connect_timeout": "10m"})
    address = daemon.address()
    clients = [env.keep(connect(address)) for _ in range(number)]
    for client in clients:
        round_trips(client, 2)
    found = daemon.sessions()
    assert len(found) == number and {s["engine"] for s in found} == {env.engine}, found
    return daemon, clients


def settled(daemon):
    """The threads' sleeps once they no longer grow: the last command's answer is behind them."""
    last = [None]

    def same():
        last[0], before = sleeps(daemon), last[0]
        return last[0] == before and last[0]
    return wait_until(same, 5, "the daemon is idle", poll=0.2)


@case(timeout=60, core=True)
def test_idle_sessions_wake_nobody(env):
    """But the parent, which asks every ten seconds whether the worker is alive: of two moments one is quiet."""
    daemon, _ = open_idle(env, 50)
    for last in (False, True):
        before = settled(daemon)
        try:
            stays(lambda now=before: not woken(daemon, now), 2,
                  lambda now=before: f"nobody wakes up, but these did: {woken(daemon, now)}")
            break
        except AssertionError:
            if last or any(number > 2 for number in woken(daemon, before).values()):
                raise


@case(timeout=60, core=True)
def test_moving_bytes_wakes_nobody(env):
    """The copy engine wakes up for each byte: that shows that wake-ups are counted. On a busy
    machine one wake-up serves many bytes."""
    daemon, clients = open_idle(env, 10)
    settled(daemon)
    before, number = worker_sleeps(daemon), 500
    round_trips(clients[0], number)
    woken = worker_sleeps(daemon) - before
    if env.engine == "kernel":
        assert woken <= number // 50, f"{woken} wake-ups in {number} round trips"
    else:
        assert woken >= number // 10, f"only {woken} wake-ups in {number} round trips"
