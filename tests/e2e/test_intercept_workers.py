# SPDX-License-Identifier: GPL-2.0-or-later
"""Interception from one worker to the next: whose rules count, and where connects go meanwhile."""

import os
import signal

from lib import case, process, tcp
from lib.intercepted import check, connect, connecting, intercepting, more_of, moved, named, peer, port_of
from lib.reloads import reload, text_of
from lib.upgrades import begin_upgrade
from lib.wait import wait_until

AT_DEBUG = False


@case(timeout=90)
def test_a_new_worker_that_dies(env):
    """Before it serves, when the one before it is about to make way: connects wait for a third one."""
    cgroup = env.cgroup()
    backends = named(env)
    daemon = intercepting(env, cgroup, [port_of(backend.address) for backend, _ in backends],
                          intercept={"intercept": "require"}, spliced={"shutdown_grace": "60s"})
    stays = env.keep(connect(cgroup, backends[0][0].address))
    old = daemon.worker_pid
    process.kill_and_wait(begin_upgrade(daemon, old))
    wait_until(lambda: any("upgrade: the new worker has died" in line for line in daemon.log()), 10, "that is known")
    with connecting(cgroup, backends) as results:
        os.kill(old, signal.SIGCONT)
        wait_until(lambda: daemon.status()["generation"] == 3, 30, "a third one serves")
        more_of(results)
    check(results)
    assert peer(stays) == backends[0][0].address
    stays.close()
    lines = daemon.wait_access(len(results) + 1, 10)
    assert len(lines) == len(results) + 1, (len(lines), len(results))
    assert daemon.status()["worker_deaths"] == 1


@case(timeout=90)
def test_an_upgrade_that_changes_the_rules(env):
    """What only one of the workers wants is refused by neither: it goes where it was to go while that one does not
    serve."""
    cgroup = env.cgroup()
    backends = named(env)
    first, second = (port_of(backend.address) for backend, _ in backends)
    daemon = intercepting(env, cgroup, first, intercept={"intercept": "require"})
    rule, text = "outbound = ", text_of(daemon)
    with connecting(cgroup, backends) as results:
        for generation, ports in ((2, (first, second)), (3, (second,))):
            daemon.write_config(text.replace(f"{rule}{first}\n", "".join(f"{rule}{port}\n" for port in ports)))
            daemon.control("upgrade")
            wait_until(lambda number=generation: daemon.status()["generation"] == number, 30, "the next serves")
            more_of(results)
    check(results)
    number, clients = len(daemon.access_log()), {}

    def lines_of(name):
        return [line for line in daemon.access_log()[number:] if line["client"] == clients[name]]
    for backend, name in backends:
        with connect(cgroup, backend.address) as sock:
            assert peer(sock) == backend.address
            clients[name] = "{}:{}".format(*sock.getsockname())
    # Beside these, what was over before may be logged a moment later; and ports are used again.
    line, = wait_until(lambda: lines_of("b"), 10, "its line")
    assert line["original"] == backends[1][0].address, line
    assert not lines_of("a")


def free_address():
    """One with a port that is in the file, for a listener under another name."""
    address, holder = tcp.free_port()
    holder.close()
    return address


@case(timeout=90)
def test_an_upgrade_that_moves_the_listener(env):
    """Connects go to where it was until the worker that serves has heard that they should not."""
    cgroup = env.cgroup()
    backends = named(env)
    daemon = intercepting(env, cgroup, [port_of(backend.address) for backend, _ in backends],
                          intercept={"intercept": "require"})
    old = daemon.worker_pid
    daemon.write_config(moved(daemon))
    begin_upgrade(daemon, old)
    with connecting(cgroup, backends) as results:
        with connect(cgroup, backends[0][0].address) as sock:
            os.kill(old, signal.SIGCONT)
            assert tcp.read_exactly(sock, 2) == b"a\n"
        wait_until(lambda: daemon.status()["generation"] == 2, 30, "the next serves")
        more_of(results)
    check(results)
    lines = daemon.wait_access(len(results) + 1, 10)
    assert len(lines) == len(results) + 1, (len(lines), len(results))
    assert daemon.address().startswith("127.0.0.2:"), daemon.status()["listeners"]


@case(timeout=90)
def test_a_stopped_worker_and_another_listener(env):
    """The worker that serves is not waited for. Connects that it intercepts still wait for it, and nobody refuses them."""
    cgroup = env.cgroup()
    (backend, _), = named(env, "a")
    daemon = intercepting(env, cgroup, port_of(backend.address), intercept={"intercept": "require"})
    old = daemon.worker_pid
    daemon.write_config(moved(daemon))
    begin_upgrade(daemon, old)
    wait_until(lambda: daemon.status()["generation"] == 2, 30, "the next serves")
    with connect(cgroup, backend.address) as sock:
        os.kill(old, signal.SIGCONT)
        assert tcp.read_exactly(sock, 2) == b"a\n"
    wait_until(lambda: process.is_gone(old), 10, "it has ended")
    with connect(cgroup, backend.address) as sock:
        assert tcp.read_exactly(sock, 2) == b"a\n"
    lines = daemon.wait_access(2)
    assert [line["original"] for line in lines] == 2 * [backend.address], lines


def with_a_session(env):
    """A daemon that has to intercept, and somebody who stays when it ends."""
    cgroup = env.cgroup()
    (backend, _), = named(env, "a")
    daemon = intercepting(env, cgroup, port_of(backend.address), intercept={"intercept": "require"},
                          spliced={"shutdown_grace": "60s"})
    stays = env.keep(connect(cgroup, backend.address))
    assert tcp.read_exactly(stays, 2) == b"a\n"
    return daemon, cgroup, backend, stays


def check_end(daemon, cgroup, backend, stays):
    """Whoever comes is refused until the last session is over."""
    def is_refused():
        try:
            connect(cgroup, backend.address).close()
            return False
        except ConnectionRefusedError:
            return True
    wait_until(is_refused, 10, "a connect is refused", poll=0.02)
    for _ in range(10):
        assert is_refused()
    assert peer(stays) == backend.address
    stays.close()
    assert daemon.wait_exit(10) == 0


@case(timeout=90)
def test_the_end_while_an_upgrade_hands_over(env):
    """Nobody is to accept any more: neither the new worker, nor the one that makes way for it."""
    daemon, cgroup, backend, stays = with_a_session(env)
    old = daemon.worker_pid
    new = begin_upgrade(daemon, old)
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: process.is_gone(new), 10, "the new worker is gone")
    os.kill(old, signal.SIGCONT)
    wait_until(lambda: any("signal 15: draining" in line for line in daemon.log()), 10, "it drains")
    check_end(daemon, cgroup, backend, stays)


@case(timeout=90)
def test_reloads_that_move_the_listener(env):
    """Connects follow: none is sent to where it was, and none refused while it moves."""
    cgroup = env.cgroup()
    backends = named(env)
    daemon = intercepting(env, cgroup, [port_of(backend.address) for backend, _ in backends],
                          intercept={"intercept": "require"})
    text = text_of(daemon)
    with connecting(cgroup, backends) as results:
        for number in range(15):
            reload(daemon, text.replace("127.0.0.1:0", f"127.0.0.{2 + number % 2}:0"))
            more_of(results)
    check(results)
    lines = daemon.wait_access(len(results), 10)
    assert len(lines) == len(results), (len(lines), len(results))


@case(timeout=90)
def test_the_end_while_an_older_worker_drains(env):
    """Longer than the one that serves, which takes its programs along: what was required is so to the end."""
    daemon, cgroup, backend, stays = with_a_session(env)
    old = daemon.worker_pid
    daemon.control("upgrade")
    wait_until(lambda: daemon.status()["generation"] == 2, 30, "the next serves")
    new, = set(daemon.worker_pids()) - {old}
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: process.is_gone(new), 10, "the new worker is gone")
    check_end(daemon, cgroup, backend, stays)


@case(timeout=90)
def test_another_upgrade_while_a_stopped_worker_makes_way(env):
    """For a worker that has died meanwhile: the second one has what was meant for that."""
    cgroup = env.cgroup()
    backends = named(env)
    daemon = intercepting(env, cgroup, [port_of(backend.address) for backend, _ in backends],
                          intercept={"intercept": "require"})
    old = daemon.worker_pid
    process.kill_and_wait(begin_upgrade(daemon, old))
    wait_until(lambda: any("upgrade: the new worker has died" in line for line in daemon.log()), 10, "that is known",
               poll=0.01)
    daemon.signal(signal.SIGUSR2)
    wait_until(lambda: daemon.status()["generation"] == 3, 30, "a third one serves")
    os.kill(old, signal.SIGCONT)
    with connecting(cgroup, backends) as results:
        more_of(results)
    check(results)
    wait_until(lambda: process.is_gone(old), 10, "it has ended")
    assert daemon.worker_pids() == [daemon.worker_pid]


def begins_to_intercept(env, more):
    """A daemon with a listener that nobody is sent to, and `more`, whose file has two sections that do it: a worker
    that is ready, and the one that serves does not know."""
    cgroup = env.cgroup()
    (own, _), (wanted, _) = named(env, "oa")
    daemon = env.spliced(own.address, listener={"protocol": "tcp"}, more=more(cgroup))
    rules = f"cgroup = {cgroup.path}\noutbound = {port_of(wanted.address)}\nintercept = require\n"
    daemon.write_config(text_of(daemon).replace(f"server = a {own.address}\n", "server = any original:\n") +
                        f"\n[intercept second]\nlistener = web\n{rules}")
    old = daemon.worker_pid
    begin_upgrade(daemon, old)
    with connect(cgroup, wanted.address) as sock:
        os.kill(old, signal.SIGCONT)
        assert tcp.read_exactly(sock, 2) == b"a\n", "another one than who was wanted has answered"
    wait_until(lambda: daemon.status()["generation"] == 2, 30, "the next serves")
    number = len(daemon.access_log())
    with connect(cgroup, wanted.address) as sock:
        assert tcp.read_exactly(sock, 2) == b"a\n"
    assert daemon.wait_access(number + 1)[-1]["original"] == wanted.address
    assert own.accepted == 0


@case(timeout=90)
def test_an_upgrade_that_begins_to_intercept(env):
    """Connects go to a listener that was there already when its worker knows that they do, and no sooner."""
    begins_to_intercept(env, lambda cgroup: None)


@case(timeout=90)
def test_an_upgrade_that_intercepts_more(env):
    """The same where the worker before intercepts something else."""
    begins_to_intercept(env, lambda cgroup: {
        "intercept first": {"listener": "other", "cgroup": cgroup.path, "outbound": "127.0.0.1:1"},
        "listener other": {"bind": "127.0.0.1:0", "pool": "main"}})


@case(core=True, timeout=90)
def test_an_upgrade_that_renames_the_listener(env):
    """Where it was: it is still one that connects are sent to, and they are, all the time."""
    cgroup = env.cgroup()
    backends = named(env)
    daemon = intercepting(env, cgroup, [port_of(backend.address) for backend, _ in backends],
                          listener={"bind": free_address()}, intercept={"intercept": "require"})
    texts = [text_of(daemon)]
    texts.append(texts[0].replace("[listener web]", "[listener net]").replace("listener = web", "listener = net"))
    with connecting(cgroup, backends) as results:
        for number in range(1, 5):
            daemon.write_config(texts[number % 2])
            daemon.control("upgrade")
            wait_until(lambda wanted=number + 1: daemon.status()["generation"] == wanted, 30, "the next serves")
            more_of(results)
    check(results)
    lines = daemon.wait_access(len(results), 10)
    assert len(lines) == len(results), (len(lines), len(results))
