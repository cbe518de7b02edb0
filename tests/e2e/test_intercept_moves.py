# SPDX-License-Identifier: GPL-2.0-or-later
"""An upgrade, and at the same time something else, by which a listener goes elsewhere."""

import os
import signal

from lib import case, process, tcp
from lib.intercepted import (check, connect, connecting, intercepting, more_of, moved, named, port_of)
from lib.reloads import reload
from lib.upgrades import begin_start, begin_upgrade
from lib.wait import wait_until

AT_DEBUG = False


def begin(env, **options):
    """The cgroup, its servers, and the daemon that intercepts what goes to them."""
    cgroup = env.cgroup()
    backends = named(env)
    return cgroup, backends, intercepting(env, cgroup, [port_of(backend.address) for backend, _ in backends],
                                          intercept={"intercept": "require"}, **options)


def break_file(daemon):
    """It cannot be read: whoever has read it before goes by what it said."""
    daemon.write_config("nonsense\n")


def say_new_failed(daemon):
    return any("reload: nothing is changed" in line for line in daemon.log())


@case(timeout=90)
def test_a_reload_while_a_new_worker_starts(env):
    """Which has read the file as it was before, and cannot read it as it is now: it serves where it was to."""
    cgroup, backends, daemon = begin(env)
    old = daemon.address()
    _, new = begin_start(daemon)
    with connecting(cgroup, backends) as results:
        reload(daemon, moved(daemon))
        assert daemon.address() != old
        break_file(daemon)
        os.kill(new, signal.SIGCONT)
        wait_until(lambda: daemon.status()["generation"] > 1 and daemon.worker_pid == new, 30, "the next serves")
        wait_until(lambda: say_new_failed(daemon), 10, "it has tried to read the file")
        more_of(results)
    check(results)
    assert daemon.address() == old


@case(timeout=90)
def test_a_reload_that_the_old_worker_hears_of_late(env):
    """When another one is ready that goes by the file as it was, and cannot read it as it is."""
    cgroup, backends, daemon = begin(env)
    at, file = daemon.address(), moved(daemon)
    old, new = begin_start(daemon)
    process.stop(old)
    break_file(daemon)
    daemon.signal(signal.SIGHUP)
    os.kill(new, signal.SIGCONT)
    wait_until(lambda: say_new_failed(daemon), 10, "the new worker has tried to read the file", poll=0.005)
    daemon.write_config(file)
    os.kill(old, signal.SIGCONT)
    with connecting(cgroup, backends) as results:
        wait_until(lambda: daemon.worker_pid == new, 30, "the next serves")
        more_of(results)
    check(results)
    assert daemon.address() == at
    assert any("reload: " in line and "all of it is in effect" in line for line in daemon.log())


@case(timeout=90)
def test_a_reload_that_the_new_worker_hears_of_first(env):
    """Who serves still accepts where it did, and connects are sent there."""
    cgroup, backends, daemon = begin(env)
    (backend, _), old = backends[0], daemon.worker_pid
    begin_upgrade(daemon, old)
    daemon.write_config(moved(daemon))
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: any("all of it is in effect" in line for line in daemon.log()), 10, "the new worker has read it",
               poll=0.005)
    with connect(cgroup, backend.address) as sock:
        os.kill(old, signal.SIGCONT)
        assert tcp.read_exactly(sock, 2) == b"a\n"
    with connecting(cgroup, backends) as results:
        wait_until(lambda: daemon.status()["generation"] == 2, 30, "the next serves")
        more_of(results)
    check(results)
    assert daemon.address().startswith("127.0.0.2:"), daemon.status()["listeners"]


# ---- the end, while the old worker has not said that it intercepts no more --------------------------

def served_or_refused(address):
    """Who comes is served or refused, and nobody is reset or left to wait. Whether it was served."""
    try:
        sock = tcp.connect(address)
    except ConnectionRefusedError:
        return False
    with sock:
        assert tcp.read_exactly(sock, 2) == b"a\n"
        return True


def begin_move(env, **options):
    """An upgrade whose new worker is ready elsewhere, and of which the one that serves has not heard: the daemon, that
    one, and where it is."""
    (backend, _), = named(env, "a")
    daemon = env.spliced(backend.address, **options)
    old, at = daemon.worker_pid, daemon.address()
    daemon.write_config(moved(daemon))
    begin_upgrade(daemon, old)
    return daemon, old, at


@case(timeout=90)
def test_the_end_in_a_while(env):
    """Within drain_delay the new worker takes over all the same, and the old one gives up where it was in good
    order."""
    daemon, old, at = begin_move(env, spliced={"drain_delay": "20s"})
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: any("signal 15: clients are accepted" in line for line in daemon.log()), 10, "it was heard",
               poll=0.005)
    process.stop(daemon.pid)
    os.kill(old, signal.SIGCONT)
    for _ in range(50):
        assert served_or_refused(at), "nothing has been given up yet"
    os.kill(daemon.pid, signal.SIGCONT)
    wait_until(lambda: not served_or_refused(at), 10, "it is given up", poll=0)
    wait_until(lambda: daemon.address() != at, 10, "the next serves")
    assert served_or_refused(daemon.address())


@case(timeout=90)
def test_the_end_at_once(env):
    """It is the old worker that drains."""
    daemon, old, at = begin_move(env)
    process.stop(daemon.pid)
    daemon.process.send_signal(signal.SIGTERM)
    os.kill(daemon.pid, signal.SIGCONT)
    os.kill(old, signal.SIGCONT)
    wait_until(lambda: not served_or_refused(at), 10, "it is given up", poll=0)
    assert daemon.wait_exit(10) == 0
    assert any("signal 15: draining" in line for line in daemon.log())
