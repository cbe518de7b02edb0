# SPDX-License-Identifier: GPL-2.0-or-later
"""The parent and its worker processes: a worker that dies, and upgrades."""

import errno
import os
import random
import re
import selectors
import shutil
import signal
import socket
import time

from lib import case, connect, process, programs, read_exactly, wait_until
from lib.clients import Clients
from lib.shortage import UPGRADED, Shortage, short_of
from lib.tcp import free_port, refuses
from lib.wait import Deadline, stays

LONG = "60s"


def echo(client, data=b"still there?"):
    client.sendall(data)
    assert read_exactly(client, len(data)) == data


def open_session(env, proxy):
    client = env.keep(connect(proxy))
    echo(client)
    return client


def ends(client):
    """What came before the connection's end, however it ended."""
    parts = []
    try:
        while data := client.recv(1 << 16):
            parts.append(data)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def kill_worker(daemon):
    """SIGKILL for the one that serves; its pid."""
    pid = daemon.status()["worker_pid"]
    os.kill(pid, signal.SIGKILL)
    return pid


def wait_generation(daemon, number, seconds=20):
    def served():
        status = daemon.control("status", check=False)
        return status if status and status["generation"] == number else None
    return wait_until(served, seconds, f"generation {number} serves", poll=0.02)


def upgrade(daemon, check=True):
    """What splicectl prints."""
    done = process.run(daemon.control_tool, "-s", daemon.control_path, "upgrade", check=False,
                       timeout=60)
    if check:
        assert done.returncode == 0, done.stderr + daemon.log_tail()
        wait_until(lambda: any("upgraded: spliced " in line for line in daemon.log()), 10,
                   "the parent is the new program")
    return done


def own_binary(env):
    """A copy of the program that a test may replace, and a function that starts a daemon of it."""
    path = env.tmp / "spliced-binary"
    shutil.copy(env.binary("spliced"), path)

    def start(*arguments, **options):
        daemon = env.spliced(*arguments, start=False, **options)
        daemon.binary = str(path)
        daemon.start()
        env.check_engine(daemon)
        return daemon
    return path, start


def replace(path, text=None, source=None):
    """As a package manager does it: under another name first."""
    fresh = path.with_suffix(".new")
    if source:
        shutil.copy(source, fresh)
    else:
        fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o755)
    fresh.replace(path)


# ---- a worker's death -------------------------------------------------------------------------

def test_worker_that_dies_is_replaced(env):
    daemon = env.spliced(env.backend().address)
    proxy = daemon.address()
    before = daemon.status()
    assert (before["pid"], before["generation"], before["worker_deaths"]) == (daemon.pid, 1, 0)
    client = open_session(env, proxy)
    dead = kill_worker(daemon)
    open_session(env, proxy)        # waits for the new one, and is not refused
    assert ends(client) == b""
    after = wait_generation(daemon, 2)
    assert after["pid"] == daemon.pid and after["worker_pid"] not in (dead, daemon.pid)
    assert after["worker_deaths"] == 1 and after["engine"] == before["engine"], after
    assert daemon.address() == proxy
    assert any(f"worker {dead} (generation 1) was killed by SIGKILL" in line
               for line in daemon.log()), daemon.log_tail()
    shown = process.run(daemon.control_tool, "-s", daemon.control_path, "status").stdout
    assert re.search(r"^Worker +process \d+, generation 2, 1 died$", shown, re.MULTILINE), shown


def test_workers_die_under_load(env):
    """No connection is refused; the sessions that a worker had are lost with it, and no others."""
    daemon = env.spliced(env.backend().address)
    deaths = env.pick(6, 2)
    with Clients(daemon.address()) as clients:
        for number in range(1, deaths + 1):
            clients.wait_served(20)
            wait_generation(daemon, number)
            kill_worker(daemon)
        clients.wait_served(20)
    assert not clients.refused, clients.refused
    assert len(clients.lost) <= deaths * len(clients.threads), clients.lost
    assert wait_generation(daemon, deaths + 1)["worker_deaths"] == deaths


@case(engines=())
def test_worker_that_has_ended_before_its_parent_turns(env):
    """A start that is refused ends also where the parent gets no processor until its worker is no
    more."""
    if env.sanitized:
        env.skip("the sanitizers' runtime must be the first library")
    late = {"LD_PRELOAD": str(env.binary("tests/latefork.so"))}
    backend = env.backend().address
    for wrong, code in (("nonsense", 2), ("access_log", 1)):
        daemon = env.spliced(backend, spliced={wrong: "/dev/null/file"}, environment=late,
                             start=False)
        env.daemons.remove(daemon)
        done = process.run(daemon.binary, "-c", daemon.config_path, check=False,
                           env=daemon.environment)
        assert done.returncode == code and wrong in done.stderr, done


@case(engines=("copy",))
def test_unix_listener_outlives_its_worker(env):
    daemon = env.spliced(env.backend().address, listener={"bind": f"unix:{env.tmp}/front.sock"})
    inode = os.stat(env.tmp / "front.sock").st_ino
    kill_worker(daemon)
    open_session(env, daemon.address()).close()
    assert os.stat(env.tmp / "front.sock").st_ino == inode
    daemon.stop()
    assert not (env.tmp / "front.sock").exists() and not daemon.control_path.exists()


@case(engines=("copy",), timeout=120)
def test_no_worker_can_start(env):
    """Tries, slower and slower, and gives up."""
    daemon = env.spliced(env.backend().address)
    daemon.write_config("[spliced]\nnonsense = 1\n")
    kill_worker(daemon)
    assert daemon.wait_exit(40) == 1
    daemon.process = None
    log = daemon.log()
    assert any("8 workers in a row died before they were ready: giving up" in line for line in log)
    assert sum(f"{daemon.config_path}:2:" in line for line in log) == 8, daemon.log_tail()


@case(engines=("copy",))
def test_a_worker_can_start_after_all(env):
    """Clients wait for it."""
    daemon = env.spliced(env.backend().address)
    proxy, text = daemon.address(), daemon.config_path.read_text()
    daemon.write_config("[spliced]\nnonsense = 1\n")
    kill_worker(daemon)
    client = env.keep(connect(proxy))
    wait_until(lambda: any("(3 in a row)" in line for line in daemon.log()), 10, "three failures")
    daemon.write_config(text)
    echo(client)


@case(engines=("copy",))
def test_a_crashing_worker_is_not_replaced_in_a_circle(env):
    """One that crashes as soon as it serves is given time from the third on; one that was killed is
    none of those."""
    daemon = env.spliced(env.backend().address)

    def crash(number):
        """When there was another process; nothing is older than that."""
        pid = wait_generation(daemon, number)["worker_pid"]
        killed = time.clock_gettime(time.CLOCK_BOOTTIME)
        os.kill(pid, signal.SIGABRT)
        fields = process.stat_fields(wait_generation(daemon, number + 1)["worker_pid"])
        return int(fields[19]) / os.sysconf("SC_CLK_TCK") - killed

    def waits():
        return [int(match[1]) for line in daemon.log() if (match := re.search(
            r"(\d+) workers in a row crashed as soon as they served: the next one has to wait",
            line))]
    for number in range(1, 3):
        crash(number)
    assert waits() == []
    for number, seconds in enumerate((0.1, 0.2, 0.4), 3):
        took = crash(number)
        assert took > seconds - 0.02, (number, took)
    assert waits() == [3, 4, 5]
    kill_worker(daemon)
    crash(7)
    assert waits() == [3, 4, 5] and daemon.status()["worker_deaths"] == 7
    open_session(env, daemon.address())


def ending(daemon):
    """Its status, which says that drain_delay has begun."""
    def begun():
        status = daemon.control("status", check=False)
        return status if status and status["drain_in_ms"] else None
    return wait_until(begun, 10, "it is going to drain")


def test_worker_that_dies_before_it_drains(env):
    """For drain_delay all goes on: another one serves, and knows when it is to drain."""
    daemon = env.spliced(env.backend().address, spliced={"drain_delay": LONG, "shutdown_grace": LONG})
    proxy = daemon.address()
    upgrade(daemon)
    daemon.signal(signal.SIGTERM)
    before = ending(daemon)
    kill_worker(daemon)
    client = open_session(env, proxy)       # waits, and is not refused
    after = wait_generation(daemon, 3)
    assert 0 < after["drain_in_ms"] <= before["drain_in_ms"] and not after["draining"], after
    assert daemon.control("upgrade", check=False) is None
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: daemon.status()["draining"], 5, "draining")
    wait_until(lambda: refuses(proxy), 5, "new connections are refused")
    echo(client)
    client.close()
    assert daemon.wait_exit(5) == 0


@case(engines=("copy",))
def test_drain_delay_that_ends_while_nobody_serves(env):
    """Whoever waits is refused, and the exit code says that a worker was lost."""
    daemon = env.spliced(env.backend().address, spliced={"drain_delay": LONG})
    daemon.signal(signal.SIGTERM)
    ending(daemon)
    daemon.write_config("[spliced]\nnonsense = 1\n")
    kill_worker(daemon)
    wait_until(lambda: any("(1 in a row)" in line for line in daemon.log()), 5, "none can start")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_exit(5) == 1
    daemon.process = None


def test_signals_are_for_the_parent(env):
    """Whoever sends one to all that are called so ends the daemon once."""
    daemon = env.spliced(env.backend().address, spliced={"shutdown_grace": LONG})
    client = open_session(env, daemon.address())
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP):
        os.kill(daemon.worker_pid, number)
    wait_until(lambda: any("is for the parent" in line for line in daemon.log()), 5, "it says so")
    echo(client)
    status = daemon.status()
    assert not status["draining"] and status["generation"] == 1, status


# ---- the parent's death -----------------------------------------------------------------------

def test_parent_dies(env):
    """Its worker goes, and the addresses are free."""
    daemon = env.spliced(env.backend().address)
    proxy, worker = daemon.address(), daemon.worker_pid
    client = open_session(env, proxy)
    daemon.may_be_killed = True
    daemon.signal(signal.SIGKILL)
    daemon.process.wait()
    assert ends(client) == b""
    wait_until(lambda: process.is_gone(worker), 10, "the worker is gone")
    assert any("the parent process is gone" in line for line in daemon.log()), daemon.log_tail()
    again = env.sections(env.backend().address, listener={"bind": proxy})
    again["spliced"]["control"] = daemon.control_path
    daemon.write_config(again)
    daemon.start()
    open_session(env, proxy)


@case(engines=("copy",))
def test_parent_of_a_stopped_worker_dies(env):
    """The worker cannot notice, and does as soon as it can."""
    daemon = env.spliced(env.backend().address)
    worker = daemon.worker_pid
    process.stop(worker)
    daemon.may_be_killed = True
    daemon.process.kill()
    daemon.process.wait()
    os.kill(worker, signal.SIGCONT)
    wait_until(lambda: process.is_gone(worker), 10, "the worker is gone")


@case(engines=("copy",))
def test_process_1(env):
    """As in a container: what others leave behind is collected, and it ends when it is told to."""
    daemon = env.spliced(env.backend().address, prefix=(
        "unshare", "--pid", "--fork", "--kill-child", "sh", "-c", "(sleep 1000 &); exec \"$@\"",
        "sh"))
    parent = process.descendants(daemon.process.pid)[0]
    orphan = next(pid for pid in process.descendants(parent) if process.name(pid) == "sleep")
    assert daemon.status()["pid"] == 1
    assert process.stat_fields(orphan)[1] == str(parent), "whose it is now"
    os.kill(orphan, signal.SIGTERM)
    wait_until(lambda: process.stat_fields(orphan) is None, 5, "the orphan is collected")
    worker = daemon.worker_pid
    os.kill(worker, signal.SIGKILL)
    open_session(env, wait_generation(daemon, 2)["listeners"][0]["bind"][0]).close()
    assert process.stat_fields(worker) is None and daemon.status()["worker_deaths"] == 1
    os.kill(parent, signal.SIGTERM)
    assert daemon.wait_exit(10) == 0


# ---- reloads ----------------------------------------------------------------------------------

def reload(daemon, config):
    daemon.write_config(config)
    answer = daemon.control("reload")
    assert answer["reloaded"] is True, answer


PRIVILEGED = range(512, 1024)
# Of these the kernel gives no client one, whoever else runs.
CHOSEN = range(10000, 32768)


def free_of(ports):
    """An address with one of these ports, where nobody listens."""
    return f"{programs.own_address()}:{random.choice(ports)}"


def is_free(address):
    """Whether another program may listen there, which shares it with nobody."""
    host, _, port = address.rpartition(":")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)     # sessions go on there
        try:
            sock.bind((host, int(port)))
            sock.listen()
        except OSError:
            return False
    return True


@case(core=True)
def test_reload_binds_a_low_port(env):
    """The parent does it: the worker has no capability left."""
    daemon = env.spliced(env.backend().address)
    proxy, text, low = daemon.address(), daemon.config_path.read_text(), free_of(PRIVILEGED)
    with open(f"/proc/{daemon.worker_pid}/status", encoding="ascii") as lines:
        assert "CapPrm:\t0000000000000000\n" in lines, "the worker is privileged"
    reload(daemon, text + f"\n[listener low]\nbind = {low}\npool = main\n")
    open_session(env, low)
    reload(daemon, text)
    assert refuses(low) and is_free(low)
    open_session(env, proxy)


def test_upgrade_after_reloads(env):
    """The parent holds what the newest file says, whatever it executes."""
    daemon = env.spliced(env.backend().address)
    proxy, text = daemon.address(), daemon.config_path.read_text()
    first, second = free_of(CHOSEN), free_of(CHOSEN)
    with_first, with_second = (text + f"\n[listener more]\nbind = {address}\npool = main\n"
                               for address in (first, second))
    reload(daemon, with_first)
    reload(daemon, with_second)
    upgrade(daemon)
    wait_generation(daemon, 2)
    assert daemon.address() == proxy
    open_session(env, second)
    assert refuses(first) and is_free(first)
    reload(daemon, with_first)      # as if it had never been there
    open_session(env, first)
    assert refuses(second) and is_free(second)
    kill_worker(daemon)
    open_session(env, first)
    wait_generation(daemon, 3)
    reload(daemon, text)
    assert refuses(first) and is_free(first)
    open_session(env, proxy)


@case(engines=("copy",))
def test_a_reload_that_fails_leaves_nothing_open(env):
    """What the parent has bound for it is closed again."""
    daemon = env.spliced(env.backend().address)
    text, fresh = daemon.config_path.read_text(), free_of(CHOSEN)
    taken = env.keep(socket.create_server(("127.0.0.1", 0)))
    daemon.write_config(text + f"\n[listener more]\nbind = {fresh}, "
                        f"127.0.0.1:{taken.getsockname()[1]}\npool = main\n")
    assert daemon.control("reload", check=False) is None
    assert refuses(fresh) and is_free(fresh)
    open_session(env, daemon.address())


@case(engines=("copy",))
def test_ports_of_the_kernels_choice(env):
    """Each keeps its own, wherever it stands in the list, over reloads and upgrades."""
    daemon = env.spliced(env.backend().address, listener={"bind": "127.0.0.2:0, 127.0.0.1:0"})
    text = daemon.config_path.read_text()
    _, kept = daemon.address(), daemon.address(index=1)
    reload(daemon, text.replace("127.0.0.2:0, 127.0.0.1:0", "127.0.0.1:0"))
    assert daemon.address() == kept
    reload(daemon, text.replace("127.0.0.2:0, 127.0.0.1:0", "127.0.0.1:0, 127.0.0.1:0"))
    both = daemon.address(), daemon.address(index=1)
    assert both[0] == kept and both[1] != kept, both
    upgrade(daemon)
    wait_generation(daemon, 2)
    assert (daemon.address(), daemon.address(index=1)) == both
    for address in both:
        open_session(env, address)


@case(engines=("copy",))
def test_a_worker_that_drains_opens_its_log_again(env):
    """As logrotate wants it of everybody who has the file open."""
    log = env.tmp / "access.log"
    daemon = env.spliced(env.backend().address,
                         spliced={"access_log": log, "shutdown_grace": LONG})
    client = open_session(env, daemon.address())
    upgrade(daemon)
    wait_generation(daemon, 2)
    log.rename(env.tmp / "access.log.1")
    daemon.signal(signal.SIGUSR1)
    wait_until(lambda: sum("opened again" in line for line in daemon.log()) == 2, 5,
               "both workers have it open again")
    client.close()
    wait_until(lambda: "end=done" in log.read_text(), 5, "the session is in the new file")
    assert "session" not in (env.tmp / "access.log.1").read_text()


@case(engines=("copy",))
def test_paths_of_bytes_that_are_not_ascii(env):
    """Each is a socket of its own, over upgrades, and --dump-config writes it as it is."""
    paths = [f"{env.tmp}/{letter}.sock" for letter in "\u00e4\u00f6\u00fc"]
    backends = [env.backend(lambda sock, number=number: sock.sendall(b"%d" % number))
                for number in range(3)]
    daemon = env.spliced(backends[0].address, listener={"bind": f"unix:{paths[0]}"}, more={
        name: section for number in (1, 2) for name, section in (
            (f"listener l{number}", {"bind": f"unix:{paths[number]}", "pool": f"p{number}"}),
            (f"pool p{number}", {"server": f"a {backends[number].address}"}))})

    def check():
        for number, path in enumerate(paths):
            with connect(f"unix:{path}") as client:
                assert read_exactly(client, 1) == b"%d" % number
    check()
    inodes = [os.stat(path).st_ino for path in paths]
    upgrade(daemon)
    check()
    assert inodes == [os.stat(path).st_ino for path in paths]
    dumped = process.run(daemon.binary, "--dump-config", "-c", daemon.config_path).stdout
    for path in paths:
        assert f"bind = unix:{path}\n" in dumped, dumped


def check_changed_file(env, tell):
    """It is what counts, though the worker that starts may have read the one before."""
    path, start = own_binary(env)
    daemon = start(env.backend().address)
    text = daemon.config_path.read_text()
    runs = env.tmp / "runs"
    slow = f"#!/bin/sh\nfor word; do [ \"$word\" = -t ] && exit 0; done; " \
        f": > '{runs}'; exec '{env.binary('spliced')}' \"$@\"\n"
    replace(path, slow)
    daemon.signal(signal.SIGUSR2)
    wait_until(runs.exists, 5, "the new program runs", poll=0.002)
    daemon.write_config(text + "\n[listener more]\nbind = 127.0.0.1:0\npool = main\n")
    tell(daemon)
    wait_generation(daemon, 2)
    wait_until(lambda: len(daemon.status()["listeners"]) == 2, 5, "the new file is in effect")
    open_session(env, daemon.address("more"))


@case(engines=("copy",))
def test_a_signal_while_an_upgrade_is_tried(env):
    check_changed_file(env, lambda daemon: daemon.signal(signal.SIGHUP))


@case(engines=("copy",))
def test_a_reload_while_an_upgrade_is_tried(env):
    """Which is refused where the new worker has read the new file, and has what is to be bound."""
    check_changed_file(env, lambda daemon: daemon.control("reload", check=False))


# ---- upgrades ---------------------------------------------------------------------------------

def test_upgrade(env):
    """A new program under the same process id; sessions go on where they are."""
    path, start = own_binary(env)
    daemon = start(env.backend().address, spliced={"shutdown_grace": LONG},
                   listener={"bind": f"127.0.0.1:0, unix:{env.tmp}/front.sock"})
    proxy, old = daemon.address(), daemon.worker_pid
    clients = [open_session(env, proxy), open_session(env, daemon.address(index=1))]
    replace(path, source=env.binary("spliced"))
    program = os.stat(path).st_ino
    assert os.stat(f"/proc/{daemon.pid}/exe").st_ino != program
    assert "a new worker serves" in upgrade(daemon).stdout
    status = wait_generation(daemon, 2)
    assert status["pid"] == daemon.pid and status["worker_pid"] != old
    assert status["worker_deaths"] == 0 and status["draining"] is False, status
    for pid in (daemon.pid, status["worker_pid"]):
        assert os.stat(f"/proc/{pid}/exe").st_ino == program, pid
    assert daemon.address() == proxy
    open_session(env, proxy).close()
    open_session(env, daemon.address(index=1)).close()
    for client in clients:
        echo(client, os.urandom(100_000))
        client.close()
    wait_until(lambda: process.is_gone(old), 10, "the old worker ends with its last session")
    daemon.stop()
    assert not (env.tmp / "front.sock").exists() and not daemon.control_path.exists()


@case(engines=("copy",))
def test_upgrade_by_a_symbolic_link(env):
    """The program is what the link leads to then, where another version is."""
    path, start = own_binary(env)
    versions = [env.tmp / name for name in ("one", "two", "three")]
    for version in versions:
        shutil.copy(env.binary("spliced"), version)
    path.unlink()
    path.symlink_to("one")
    daemon = start(env.backend().address)
    for generation, version in enumerate(versions[1:], 2):
        fresh = path.with_suffix(".new")
        fresh.symlink_to(version.name)
        fresh.replace(path)
        daemon.control("upgrade")
        status = wait_generation(daemon, generation)
        for pid in (daemon.pid, status["worker_pid"]):
            wait_until(lambda pid=pid: os.path.samefile(f"/proc/{pid}/exe", version), 10, f"{pid} runs {version}")


@case(timeout=120)
def test_upgrades_under_load(env):
    """Every byte of every session, and no session that is refused or reset."""
    load = env.load("--sessions", env.pick(3000, 200), "--concurrency", 20, "--bytes-up", "64K",
                    "--bytes-down", "64K", timeout=env.pick(90, 300))
    daemon = env.spliced(load.backend, spliced={"shutdown_grace": LONG})
    load.go(daemon.address())
    n = 0
    while load.process.poll() is None and n < env.pick(5, 1):
        daemon.signal(signal.SIGUSR2)
        n += 1
        wait_generation(daemon, n + 1)
        wait_until(lambda: sum("upgraded: spliced " in line for line in daemon.log()) == n, 10,
                   "the parent is the new program")
    load.ok()
    assert n > 0
    for line in daemon.access_log():
        assert line["end"] == "done", line
    assert daemon.status()["worker_deaths"] == 0


@case(timeout=120)
def test_upgrades_of_sessions_that_the_kernel_has_at_once(env):
    """With engage_after = 0 sockets are marked for one worker's programs as they connect."""
    load = env.load("--sessions", env.pick(2000, 100), "--concurrency", 10, "--bytes-up", "20K",
                    "--bytes-down", "20K", "--early-data", timeout=env.pick(90, 300))
    daemon = env.spliced(load.backend, spliced={"shutdown_grace": LONG, "engage_after": 0})
    load.go(daemon.address())
    n = 0
    while load.process.poll() is None and n < env.pick(5, 1):
        upgrade(daemon)
        n += 1
        wait_generation(daemon, n + 1)
    load.ok()
    stats = daemon.stats()
    assert stats["integrity_aborts"] == 0 and daemon.status()["worker_deaths"] == 0


@case(engines=("copy",))
def test_one_upgrade_after_another(env):
    """When splicectl is answered the new worker serves, and the next upgrade is its."""
    daemon = env.spliced(env.backend().address, spliced={"shutdown_grace": LONG})
    client = open_session(env, daemon.address())
    for generation in range(2, 5):
        done = process.run(daemon.control_tool, "-s", daemon.control_path, "upgrade", timeout=60)
        assert done.stdout == "a new worker serves, and the one before it drains\n", done
        assert daemon.status()["generation"] == generation
    wait_until(lambda: sum("upgraded: spliced " in line for line in daemon.log()) == 3, 10,
               "the parent is the new program, each time")
    echo(client)
    assert daemon.status()["worker_deaths"] == 0


@case(engines=("copy",))
def test_a_worker_that_cannot_serve(env):
    """Whoever has asked for it is told where and why, and another worker serves."""
    daemon, shortage = short_of(env, env.backend().address, spliced={"shutdown_grace": LONG})
    client, line = open_session(env, daemon.address()), 1 + daemon.config_path.read_text(
        ).splitlines().index("bind = 127.0.0.1:0")

    def fail():
        shortage.fail("setsockopt", times=1, error=errno.ENOBUFS, arg=socket.SO_OOBINLINE)
    fail()
    done = upgrade(daemon, check=False)
    assert done.returncode == 1, done
    why = f"{daemon.config_path}:{line}: listener web: {daemon.address()}: TCP_NODELAY, " \
        "SO_OOBINLINE: No buffer space available"
    assert why in done.stderr and shortage.failures("setsockopt") == 1, done
    assert wait_generation(daemon, 3)["worker_deaths"] == 1
    assert not any("upgraded: spliced " in line for line in daemon.log()), daemon.log_tail()
    assert any("the program that runs goes on, with another worker" in line
               for line in daemon.log()), daemon.log_tail()
    open_session(env, daemon.address())
    echo(client)
    fail()
    kill_worker(daemon)
    assert wait_generation(daemon, 5)["worker_deaths"] == 3
    open_session(env, daemon.address())
    upgrade(daemon)


def fill(pipe):
    """A pipe's write end has no room any more."""
    own = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(own, b"\n" * 4096)
    except BlockingIOError:
        os.close(own)


def stays_still(number, seconds):
    """It does not change for so long."""
    was, over = number(), Deadline(seconds)
    while number() == was and not over.passed():
        time.sleep(0.05)
    return number() == was


@case(engines=("copy",))
def test_lines_that_the_parent_loses(env):
    """They are told and counted, also by the program after it."""
    read_end, write_end = os.pipe()
    daemon = env.spliced(env.backend().address, start=False)
    daemon.start(output=write_end)
    text = daemon.config_path.read_text()
    daemon.write_config("[spliced]\nengine = fast\n")
    fill(write_end)
    assert upgrade(daemon, check=False).returncode == 1

    def lost_so_far():
        return daemon.stats()["log_lost"]
    wait_until(lambda: lost_so_far() >= 3, 5, "they are counted")
    lost = lost_so_far()
    said = []

    def read():
        said.append(os.read(read_end, 1 << 16))
        return re.search(rb"log to standard error: (\d+) lines were lost: its reader or disk was "
                         rb"too slow", b"".join(said))
    with selectors.DefaultSelector() as selector:
        selector.register(read_end, selectors.EVENT_READ)
        told = wait_until(lambda: selector.select(0.1) and read(), 10, "they are told")
    assert int(told[1]) == lost, (lost, told[0])
    daemon.write_config(text)
    kill_worker(daemon)
    wait_generation(daemon, 2)
    assert lost_so_far() == lost
    assert daemon.control("upgrade")["upgraded"] is True
    kill_worker(daemon)
    wait_generation(daemon, 4)
    assert lost_so_far() == lost
    # Nobody will read what is lost now, nor that it is.
    os.close(read_end)
    os.close(write_end)
    kill_worker(daemon)
    wait_generation(daemon, 5)
    wait_until(lambda: lost_so_far() > lost, 5, "they are counted")
    wait_until(lambda: stays_still(lost_so_far, 2.5), 12, "telling it in vain is no loss")


@case(engines=("copy",))
def test_an_upgrade_that_the_parent_is_not_told_of(env):
    daemon, shortage = short_of(env, env.backend().address)
    client = open_session(env, daemon.address())
    shortage.fail("sendmsg", times=1, error=errno.EPERM)
    done = upgrade(daemon, check=False)
    assert done.returncode == 1, done
    assert "telling the parent: Operation not permitted" in done.stderr, done
    echo(client)
    upgrade(daemon)
    assert wait_generation(daemon, 2)["worker_deaths"] == 0


@case(engines=("copy",))
def test_an_answer_that_is_lost(env):
    """Whoever has asked for an upgrade does not wait for ever, and the next one can ask."""
    if env.sanitized:
        env.skip("a sanitizer has its own malloc()")
    shortage = Shortage(env)
    daemon = env.spliced(env.backend().address, environment={
        **shortage.environment(), "SPLICED_UPGRADE_SECONDS": "2"})
    text = daemon.config_path.read_text()
    daemon.write_config("[spliced]\nengine = fast\n")
    shortage.fail("sendmsg", times=1, error=errno.EPERM, arg=UPGRADED)
    done = upgrade(daemon, check=False)
    assert done.returncode == 1 and "the parent has not said how it went" in done.stderr, done
    assert shortage.failures("sendmsg") == 1
    assert "fast" in upgrade(daemon, check=False).stderr
    daemon.write_config(text)
    upgrade(daemon)
    assert wait_generation(daemon, 2)["worker_deaths"] == 0


@case(engines=("copy",))
def test_what_is_left_out_is_told_before_an_upgrade(env):
    """Of many lines of one kind, each is written or counted."""
    path, start = own_binary(env)
    daemon, go = start(env.backend().address), env.tmp / "go"
    replace(path, f"#!/bin/sh\nfor word; do [ \"$word\" = -t ] && while ! [ -e '{go}' ]; do "
            f"sleep 0.05; done && exit 0; done; exec '{env.binary('spliced')}' \"$@\"\n")
    daemon.signal(signal.SIGUSR2)
    wait_until(lambda: any("upgrade: trying" in line for line in daemon.log()), 5, "it begins")

    def is_pending():
        with open(f"/proc/{daemon.pid}/status", encoding="ascii") as status:
            pending = re.search(r"^ShdPnd:\t(\w+)$", status.read(), re.MULTILINE)[1]
        return int(pending, 16) & 1 << signal.SIGUSR2 - 1
    for _ in range(50):
        daemon.signal(signal.SIGUSR2)
        wait_until(lambda: not is_pending(), 5, "it has come", poll=0.001)
    go.touch()
    wait_until(lambda: any("upgraded: spliced " in line for line in daemon.log()), 10, "it is over")
    lines = [line for line in daemon.log() if "an upgrade is under way already" in line]
    left = [re.search(r"(\d+) more like this were left out: ", line) for line in lines]
    assert sum(int(match[1]) if match else 1 for match in left) == 50, lines
    assert any(left), "too slow for a limit"


def check_nothing_changed(env, daemon, client, before, done, *words):
    assert done.returncode == 1, done
    for word in words:
        assert word in done.stderr, done.stderr
        assert any(f"upgrade: " in line and word in line for line in daemon.log()), daemon.log_tail()
    assert any("upgrade: nothing is changed" in line for line in daemon.log()), daemon.log_tail()
    after = daemon.status()
    for key in ("pid", "worker_pid", "generation", "worker_deaths", "draining"):
        assert after[key] == before[key], (key, before[key], after[key])
    assert daemon.worker_pids() == [before["worker_pid"]]
    echo(client)
    open_session(env, daemon.address())


def test_upgrade_to_a_broken_file(env):
    daemon = env.spliced(env.backend().address)
    client, before = open_session(env, daemon.address()), daemon.status()
    daemon.write_config("[spliced]\nengine = fast\n")
    done = upgrade(daemon, check=False)
    check_nothing_changed(env, daemon, client, before, done, f"{daemon.config_path}:2:", "fast")


@case(engines=("copy",))
def test_upgrade_that_fails_leaves_files_alone(env):
    """The mode of a unix socket is the new worker's to change, when it serves."""
    front = env.tmp / "front.sock"
    daemon = env.spliced(env.backend().address, listener={"bind": f"127.0.0.1:0, unix:{front}",
                                                          "unix_mode": "0666"})
    text, taken = daemon.config_path.read_text(), env.keep(socket.create_server(("127.0.0.1", 0)))
    changed = text.replace("unix_mode = 0666", "unix_mode = 0600")
    daemon.write_config(changed + "\n[listener more]\npool = main\n"
                        f"bind = 127.0.0.1:{taken.getsockname()[1]}\n")
    assert "in use" in upgrade(daemon, check=False).stderr
    assert front.stat().st_mode & 0o777 == 0o666
    daemon.write_config(changed)
    upgrade(daemon)
    wait_until(lambda: front.stat().st_mode & 0o777 == 0o600, 5, "its mode is the new one's")


@case(engines=("copy",))
def test_upgrade_to_an_address_that_is_taken(env):
    """The file is right, and yet the new worker cannot start."""
    daemon = env.spliced(env.backend().address)
    client, before, text = open_session(env, daemon.address()), daemon.status(), \
        daemon.config_path.read_text()
    taken = env.keep(socket.create_server(("127.0.0.1", 0)))
    daemon.write_config(text + f"\n[listener more]\nbind = 127.0.0.1:{taken.getsockname()[1]}\n"
                        "pool = main\n" if "[pool main]" in text else
                        text.replace("bind = ", f"bind = 127.0.0.1:{taken.getsockname()[1]}, "))
    done = upgrade(daemon, check=False)
    check_nothing_changed(env, daemon, client, before, done, "in use")
    daemon.write_config(text)
    upgrade(daemon)
    assert wait_generation(daemon, 3)["worker_deaths"] == 0


@case(engines=("copy",))
def test_upgrade_to_a_program_that_fails(env):
    path, start = own_binary(env)
    daemon = start(env.backend().address)
    client, before = open_session(env, daemon.address()), daemon.status()
    replace(path, "#!/bin/sh\necho it is not to be; exit 3\n")
    check_nothing_changed(env, daemon, client, before, upgrade(daemon, check=False),
                          "it is not to be")
    replace(path, "#!/bin/sh\nfor word; do [ \"$word\" = -t ] && exit 0; done; exit 3\n")
    check_nothing_changed(env, daemon, client, before, upgrade(daemon, check=False),
                          "ended with exit code 3")
    path.unlink()
    check_nothing_changed(env, daemon, client, before, upgrade(daemon, check=False),
                          "No such file")
    kill_worker(daemon)     # the one that replaces it is of the program that runs
    open_session(env, daemon.address())


HANGS = "#!/bin/sh\nfor word; do [ \"$word\" = -t ] && exit 0; done; exec sleep 1000\n"


@case(engines=("copy",))
def test_upgrade_to_a_program_that_hangs(env):
    path, start = own_binary(env)
    daemon = start(env.backend().address, environment={"SPLICED_START_SECONDS": "2"})
    client, before = open_session(env, daemon.address()), daemon.status()
    replace(path, HANGS)
    check_nothing_changed(env, daemon, client, before, upgrade(daemon, check=False),
                          "not ready within 2 s")
    replace(path, "#!/bin/sh\nexec sleep 1000\n")
    check_nothing_changed(env, daemon, client, before, upgrade(daemon, check=False),
                          "takes too long")


@case(engines=("copy",))
def test_sigterm_while_an_upgrade_is_tried(env):
    path, start = own_binary(env)
    daemon = start(env.backend().address)
    client = open_session(env, daemon.address())
    replace(path, HANGS)
    daemon.signal(signal.SIGUSR2)
    wait_until(lambda: len(process.descendants(daemon.pid)) == 2, 5, "the new program runs")
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: any("the daemon is ending" in line for line in daemon.log()), 5, "it says so")
    stays(lambda: daemon.running, 0.2, "it waits for the session")
    echo(client)
    client.close()
    assert daemon.wait_exit(5) == 0


@case(engines=("copy",))
def test_sigterm_while_an_upgrade_hands_over(env):
    """The new worker serves for drain_delay, though the old one does not accept any more."""
    daemon = env.spliced(env.backend().address, spliced={"drain_delay": LONG, "shutdown_grace": "0s"})
    old, proxy = daemon.worker_pid, daemon.address()
    process.stop(old)        # and is waited for
    daemon.signal(signal.SIGUSR2)
    wait_until(lambda: sum(" ready: " in line for line in daemon.log()) == 2, 20, "another is ready")
    daemon.signal(signal.SIGTERM)
    client = open_session(env, proxy)
    assert ending(daemon)["generation"] == 2
    os.kill(old, signal.SIGCONT)
    wait_until(lambda: process.is_gone(old), 10, "the old worker is gone")
    echo(client)
    assert daemon.status()["worker_deaths"] == 0
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_exit(5) == 0


def test_sigterm_after_an_upgrade(env):
    """The first signal is the first for both workers, the second ends what is left."""
    daemon = env.spliced(env.backend().address, spliced={"shutdown_grace": LONG})
    old = open_session(env, daemon.address())
    upgrade(daemon)
    wait_generation(daemon, 2)
    new = open_session(env, daemon.address())
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: daemon.status()["draining"], 5, "draining")
    for client in (old, new):
        echo(client)
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_exit(5) == 0
    assert ends(old) == ends(new) == b""


def test_worker_dies_after_an_upgrade(env):
    """The parent is another program by then, and knows its workers."""
    daemon = env.spliced(env.backend().address, spliced={"shutdown_grace": LONG})
    proxy = daemon.address()
    old = open_session(env, proxy)
    upgrade(daemon)
    kill_worker(daemon)
    open_session(env, proxy)
    assert wait_generation(daemon, 3)["worker_deaths"] == 1
    echo(old)
    old.close()


@case(timeout=120)
def test_upgrade_to_another_number_of_workers(env):
    """Every socket of an address is somebody's."""
    daemon = env.spliced(env.backend().address, spliced={"workers": 4})
    proxy = daemon.address()
    for generation, workers in enumerate((1, 3, 2), 2):
        text = re.sub(r"workers = \d+", f"workers = {workers}", daemon.config_path.read_text())
        daemon.write_config(text)
        with Clients(proxy) as clients:
            upgrade(daemon)
            assert wait_generation(daemon, generation)["workers"] == workers
            clients.wait_served(100)
        assert not clients.refused and not clients.lost, (clients.refused, clients.lost)


def test_upgrade_to_other_listeners(env):
    """Those that are new accept, those that are gone refuse."""
    first, holder = free_port()
    second, other = free_port()
    holder.close()
    other.close()
    daemon = env.spliced(env.backend().address, listener={"bind": first})
    client = open_session(env, first)
    text = daemon.config_path.read_text()
    daemon.write_config(text.replace(first, second))
    upgrade(daemon)
    wait_generation(daemon, 2)
    open_session(env, second)
    echo(client)
    wait_until(lambda: refuses(first, or_resets=True), 5, "the old address refuses")


@case(engines=("copy",))
def test_upgrade_from_an_address_to_all(env):
    """The port is its own: nobody else can be said to have it."""
    address, holder = free_port()
    holder.close()
    daemon = env.spliced(env.backend().address, listener={"bind": address})
    text = daemon.config_path.read_text()
    daemon.write_config(text.replace(address, "0.0.0.0:" + address.rpartition(":")[2]))
    with Clients(address) as clients:
        upgrade(daemon)
        wait_generation(daemon, 2)
        clients.wait_served(20)
    assert not clients.refused, clients.refused


@case(engines=("copy",))
def test_only_one_upgrade_at_a_time(env):
    path, start = own_binary(env)
    daemon = start(env.backend().address, environment={"SPLICED_START_SECONDS": "5"})
    replace(path, HANGS)
    daemon.signal(signal.SIGUSR2)
    wait_until(lambda: any("upgrade: trying" in line for line in daemon.log()), 5, "it begins")
    assert "under way" in upgrade(daemon, check=False).stderr
    wait_until(lambda: any("nothing is changed" in line for line in daemon.log()), 10, "it fails")


@case(engines=("copy",))
def test_a_stopped_worker_does_not_stop_an_upgrade(env):
    """It is not waited for, and ends when it can."""
    daemon = env.spliced(env.backend().address)
    old = daemon.worker_pid
    process.stop(old)
    daemon.signal(signal.SIGUSR2)
    wait_generation(daemon, 2)
    over = Deadline(10)
    open_session(env, daemon.address())
    assert not over.passed()
    os.kill(old, signal.SIGCONT)
    wait_until(lambda: process.is_gone(old), 10, "the old worker is gone")


@case(engines=("copy",))
def test_descriptors_of_an_upgraded_daemon(env):
    """None is left behind, in the parent or in a worker."""
    daemon = env.spliced(env.backend().address)

    def counts():
        return len(os.listdir(f"/proc/{daemon.pid}/fd")), daemon.fds()
    open_session(env, daemon.address()).close()
    upgrade(daemon)
    wait_until(lambda: len(daemon.worker_pids()) == 1, 10, "one worker")
    before = counts()
    for generation in range(3, 7):
        done = process.run(daemon.control_tool, "-s", daemon.control_path, "upgrade", timeout=60)
        assert done.returncode == 0
        wait_generation(daemon, generation)
        wait_until(lambda: len(daemon.worker_pids()) == 1, 10, "one worker")
    wait_until(lambda: counts() == before, 5, f"descriptors as before: {before}")
