# SPDX-License-Identifier: GPL-2.0-or-later
"""What systemd is told, by whom, and when its watchdog is fed."""

import contextlib
import ctypes
import errno
import os
import re
import signal
import socket
import struct
import threading
import time

from lib import case, connect, process, read_exactly, wait_until
from lib.shortage import RELOADED, Shortage
from lib.wait import stays

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000


class Manager:
    """Stands for systemd: the socket, and what has come, as (process, {key: value})."""

    def __init__(self, env):
        self.path = env.tmp / "notify"
        self.socket = env.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(str(self.path))
        self.told = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            try:
                data, control, _, _ = self.socket.recvmsg(1 << 16, 1024)
            except OSError:
                return
            pid = next(struct.unpack("3i", value)[0] for _, kind, value in control
                       if kind == socket.SCM_CREDENTIALS)
            fields = dict(line.split("=", 1) for line in data.decode().splitlines())
            self.told.append((pid, fields))

    def of(self, key):
        return [fields for _, fields in self.told if key in fields]

    def wait(self, key, number=1, seconds=10):
        """What was told with the key the nth time."""
        return wait_until(lambda: len(self.of(key)) >= number and self.of(key)[number - 1], seconds,
                          f"{key} is told {number} times")


def echo(client, data=b"still there?"):
    client.sendall(data)
    assert read_exactly(client, len(data)) == data


def start(env, manager, environment=None, **options):
    return env.spliced(env.backend().address,
                       environment={"NOTIFY_SOCKET": str(manager.path), **(environment or {})},
                       **options)


def test_ready_and_stopping(env):
    manager = Manager(env)
    daemon = start(env, manager)
    ready = manager.wait("READY")
    assert ready["MAINPID"] == str(daemon.pid), ready
    assert ready["STATUS"] == f"engine {daemon.status()['engine']}", ready
    daemon.stop()
    assert manager.wait("STOPPING")["STATUS"] == "draining"
    assert {pid for pid, _ in manager.told} == {daemon.pid}, manager.told
    assert not manager.of("WATCHDOG"), "nobody has asked for it"


@case(engines=("copy",))
def test_reload_is_told(env):
    """Its beginning, by systemd's clock, and what became of it; whoever has asked."""
    manager = Manager(env)
    daemon = start(env, manager)
    text = daemon.config_path.read_text()
    manager.wait("READY")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    daemon.control("reload")
    began = int(manager.wait("RELOADING")["MONOTONIC_USEC"])
    assert before <= began <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert manager.wait("READY", 2)["STATUS"] == "engine copy"
    daemon.write_config("[spliced]\nengine = fast\n")
    daemon.signal(signal.SIGHUP)
    manager.wait("RELOADING", 2)
    failed = manager.wait("READY", 3)["STATUS"]
    assert failed.startswith("engine copy; the last reload failed: "), failed
    assert f"{daemon.config_path}:2:" in failed, failed
    daemon.write_config(text)
    daemon.signal(signal.SIGHUP)
    assert manager.wait("READY", 4)["STATUS"] == "engine copy"
    kinds = [next(iter(fields)) for _, fields in manager.told]
    assert kinds == ["READY"] + 3 * ["RELOADING", "READY"], kinds
    assert {pid for pid, _ in manager.told} == {daemon.pid}, manager.told


@case(engines=("copy",))
def test_end_of_a_reload_that_is_lost(env):
    """It is told with the next sign of life."""
    if env.sanitized:
        env.skip("a sanitizer has its own malloc()")
    shortage, manager = Shortage(env), Manager(env)
    daemon = start(env, manager, environment={"WATCHDOG_USEC": "1200000", **shortage.environment()})
    manager.wait("READY")
    shortage.fail("sendmsg", times=1, error=errno.EPERM, arg=RELOADED)
    assert daemon.control("reload")["reloaded"] is True
    assert shortage.failures("sendmsg") == 1
    manager.wait("RELOADING")
    assert manager.wait("READY", 2)["STATUS"] == "engine copy"


def test_upgrade_is_told(env):
    """The process id stays, and so does who tells."""
    manager = Manager(env)
    daemon = start(env, manager)
    manager.wait("READY")
    assert daemon.control("upgrade")["upgraded"] is True
    assert manager.wait("READY", 2)["MAINPID"] == str(daemon.pid)
    os.kill(wait_until(lambda: any("upgraded: " in line for line in daemon.log())
                       and daemon.worker_pid, 10, "upgraded"), signal.SIGKILL)
    manager.wait("READY", 3)
    assert {pid for pid, _ in manager.told} == {daemon.pid}, manager.told


@case(engines=("copy",))
def test_a_manager_that_does_not_read(env):
    """Nobody waits for it: the daemon starts, serves and ends. What state it is in is told when it
    reads again."""
    path = env.tmp / "deaf"
    deaf = env.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    deaf.bind(str(path))

    def fill():
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    sender.sendto(b"FILLER=1", str(path))

    def hear(word):
        deaf.settimeout(20)
        while not (data := deaf.recv(1 << 16)).startswith(word):
            pass
        return data

    fill()
    daemon = env.spliced(env.backend().address, environment={
        "NOTIFY_SOCKET": str(path), "FDSTORE": "512", "WATCHDOG_USEC": "1200000"})
    client = env.keep(connect(daemon.address()))
    echo(client)
    assert f"MAINPID={daemon.pid}".encode() in hear(b"READY=1")
    hear(b"WATCHDOG=1")
    fill()
    assert daemon.control("reload")["reloaded"] is True
    echo(client)
    client.close()
    daemon.stop()


# ---- the watchdog -----------------------------------------------------------------------------

def ptrace(request, tid):
    call = ctypes.CDLL(None, use_errno=True).ptrace
    call.argtypes = [ctypes.c_long] * 4
    assert call(request, tid, 0, 0) == 0, os.strerror(ctypes.get_errno())


def stop(tid):
    """One thread of another process stands still, as in a call that does not come back."""
    ptrace(PTRACE_SEIZE, tid)
    ptrace(PTRACE_INTERRUPT, tid)
    assert os.waitpid(tid, WALL)[0] == tid


@contextlib.contextmanager
def stopped(tid):
    """... and goes on in the end."""
    stop(tid)
    try:
        yield
    finally:
        ptrace(PTRACE_DETACH, tid)


def threads(pid):
    """{name: tid}"""
    found = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/comm", encoding="ascii") as comm:
            found[comm.read().rstrip("\n")] = int(tid)
    return found


def fed(manager, more=3, seconds=10):
    """It is, from now on."""
    n = len(manager.of("WATCHDOG"))
    wait_until(lambda: len(manager.of("WATCHDOG")) >= n + more, seconds, "the watchdog is fed")


def starves(manager, seconds):
    """It is not, but for an answer that was on its way."""
    n = len(manager.of("WATCHDOG"))
    stays(lambda: len(manager.of("WATCHDOG")) <= n + 1, seconds, "the watchdog is not fed")


def with_watchdog(env, manager, usec=400_000, **options):
    daemon = start(env, manager, environment={"WATCHDOG_USEC": str(usec)}, **options)
    manager.wait("READY")
    fed(manager)
    return daemon


def longest_hunger(manager, until, seconds):
    """For how long at most the watchdog was not fed until this was so."""
    began, worst, n = time.monotonic(), 0, len(manager.of("WATCHDOG"))
    fed_at = began
    while not until():
        now, number = time.monotonic(), len(manager.of("WATCHDOG"))
        assert now < began + seconds, "it takes too long"
        worst = max(worst, now - fed_at)
        if number > n:
            n, fed_at = number, now
        time.sleep(0.005)
    return worst


def test_a_worker_that_hangs_is_replaced(env):
    """Each of the threads that clients depend on. Its sessions are reset, and the service manager,
    which would end all of it, has no reason to."""
    manager = Manager(env)
    daemon = with_watchdog(env, manager, 2_000_000, spliced={"workers": 2})
    proxy = daemon.address()
    # A signal is the main thread's to take: where that is the one it takes the second, SIGKILL.
    signals = {"spliced-worker": "SIGKILL", "worker/1": "SIGABRT"}
    for number, name in enumerate(signals, 1):
        client, pid = env.keep(connect(proxy)), daemon.worker_pid
        echo(client)
        tid = threads(pid)[name]
        stop(tid)
        hunger = longest_hunger(manager, lambda: os.waitpid(tid, WALL | os.WNOHANG)[0] == tid, 10)
        assert hunger < 2, hunger
        fed(manager)
        try:
            assert client.recv(1) == b"", "its end"
        except ConnectionResetError:
            pass
        with connect(proxy) as after:
            echo(after)
        status = daemon.status()
        assert (status["generation"], status["worker_deaths"]) == (number + 1, number), status
        log = [line for line in daemon.log() if f"worker {pid} " in line]
        assert re.search(r"hangs: one of its threads has not turned for \d+\.\d s: ending it",
                         log[0]) and f"was killed by {signals[name]}" in log[1], log


@case(engines=("copy",))
def test_a_worker_that_does_not_heed_sigabrt(env):
    """All of its threads stand still. Without a manager it is the same."""
    daemon = env.spliced(env.backend().address, environment={"WATCHDOG_USEC": "800000"})
    pid = daemon.worker_pid
    process.stop(pid)
    wait_until(lambda: any(f"worker {pid} (generation 1) was killed by SIGKILL" in line
                           for line in daemon.log()), 10, "it is killed")
    with connect(daemon.address()) as client:
        echo(client)


@case(engines=("copy",))
def test_a_worker_that_hangs_before_it_drains(env):
    """It is replaced, for clients are accepted still."""
    daemon = env.spliced(env.backend().address, environment={"WATCHDOG_USEC": "800000"},
                         spliced={"drain_delay": "60s"})
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: daemon.status()["drain_in_ms"], 5, "it is going to drain")
    process.stop(daemon.worker_pid)
    with connect(daemon.address(), timeout=20) as client:
        echo(client)
        assert daemon.status()["generation"] == 2
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_exit(10) == 0


@case(engines=("copy",))
def test_a_daemon_that_was_stopped(env):
    """As a frozen container: its worker has not hung, the parent was not there to be answered."""
    manager = Manager(env)
    beat = 0.7
    daemon = with_watchdog(env, manager, int(4_000_000 * beat))
    worker = daemon.worker_pid
    # It is asked in the midst of this, and once only.
    fed(manager, 1)
    process.stop(worker)
    stays(lambda: True, 1.5 * beat, "it is asked")
    daemon.signal(signal.SIGSTOP)
    stays(lambda: True, 4.2 * beat, "the watchdog's time")
    # The parent has its timer's event before it can have the answer.
    daemon.signal(signal.SIGCONT)
    stays(lambda: True, 0.3 * beat, "the parent finds no answer")
    os.kill(worker, signal.SIGCONT)
    fed(manager, 3)
    assert daemon.status()["generation"] == 1


@case(engines=("copy",))
def test_a_question_that_is_lost(env):
    """A worker that was not asked has not hung."""
    if env.sanitized:
        env.skip("a sanitizer has its own malloc()")
    shortage, manager = Shortage(env), Manager(env)
    daemon = start(env, manager, environment={"WATCHDOG_USEC": "1200000",
                                              **shortage.environment()})
    fed(manager)
    with connect(daemon.address()) as client:
        echo(client)
        shortage.fail("sendmsg", times=1, error=errno.EPERM)
        wait_until(lambda: shortage.failures("sendmsg"), 5, "it is lost")
        fed(manager, 3)
        echo(client)
    assert daemon.status()["generation"] == 1


@case(engines=("copy",))
def test_a_stopped_parent_starves_the_watchdog(env):
    manager = Manager(env)
    daemon = with_watchdog(env, manager)
    with stopped(daemon.pid):
        starves(manager, 1)
    fed(manager)


@case(engines=("copy",))
def test_the_watchdog_is_fed_while_workers_change(env):
    manager = Manager(env)
    daemon = with_watchdog(env, manager, usec=2_000_000)
    os.kill(daemon.worker_pid, signal.SIGKILL)
    fed(manager)
    wait_until(lambda: (daemon.control("status", check=False) or {}).get("generation") == 2, 10,
               "another worker serves")
    assert daemon.control("upgrade")["upgraded"] is True
    fed(manager)
    wait_until(lambda: (daemon.control("status", check=False) or {}).get("generation") == 3, 10,
               "the new program's worker serves")
    fed(manager)


@case(engines=("copy",))
def test_the_watchdog_is_fed_while_the_daemon_drains(env):
    manager = Manager(env)
    daemon = with_watchdog(env, manager, spliced={"shutdown_grace": "60s"})
    client = env.keep(connect(daemon.address()))
    echo(client)
    daemon.signal(signal.SIGTERM)
    manager.wait("STOPPING")
    fed(manager)
    echo(client)
    client.close()
    assert daemon.wait_exit(10) == 0
