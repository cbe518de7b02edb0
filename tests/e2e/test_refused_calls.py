# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls that the kernel refuses, for want of memory mostly: no byte is lost over it, nobody
hangs, nothing crashes, and nothing is left behind."""

from lib import case, connect, pattern, read_all, wait_until
from lib.case import Skip
from lib.http import Client, Origin, proxy, reply, wait_requests
from lib.pattern import MIB
from lib.refuse import Refusals
from lib.traffic import check_accounts

KIB = 1 << 10
LOW_MARKS = {"splice_low": "64K", "splice_high": "128K", "splice_hard": "256K",
             "splice_window": "64K"}


def settle(daemon):
    """No session is left."""
    wait_until(lambda: daemon.status()["sessions_active"] == 0, 20, "no session is left")


@case(timeout=90)
def test_epoll_refuses_in_http(env):
    """At whichever change of what is watched: it is asked again, and nobody notices."""
    body = bytes(300 * KIB)
    origin = Origin(env, lambda asked: reply(body))
    for every in (2, 3, 7):
        refusals = Refusals(env, {"epoll_ctl": ("ENOMEM", every)})
        daemon = proxy(env, origin.address, {"body_splice_min": "16K"}, prefix=refusals.prefix)
        address = daemon.address()
        refusals.start()
        for _ in range(env.pick(15, 3)):
            with Client(address) as client:
                for _ in range(2):
                    answer = client.ask("POST", "/", body=body)
                    assert (answer.status, answer.body) == (200, body), answer.raw
        refusals.stop()
        settle(daemon)
    assert len(wait_requests(daemon, 2 * env.pick(15, 3))) > 0


@case(timeout=90)
def test_epoll_refuses_in_a_session(env):
    backend = env.backend()
    for every in (2, 3, 5):
        refusals = Refusals(env, {"epoll_ctl": ("ENOSPC", every)})
        daemon = env.spliced(backend.address, prefix=refusals.prefix)
        address = daemon.address()
        refusals.start()
        for _ in range(env.pick(15, 3)):
            sock = connect(address)
            pattern.Exchange(sock, (1, 200 * KIB), (1, 200 * KIB)).join(20)
            sock.close()
        refusals.stop()
        settle(daemon)
    assert {line["end"] for line in daemon.access_log()} == {"done"}


@case(timeout=60)
def test_epoll_refuses_for_good(env):
    """Then a client does not wait for longer than a moment."""
    refusals = Refusals(env, {"epoll_ctl": ("ENOMEM", 1)})
    origin = Origin(env)
    daemon = proxy(env, origin.address, prefix=refusals.prefix)
    address = daemon.address()
    with Client(address) as kept:
        assert kept.ask().status == 200
        refusals.start()
        for _ in range(3):
            with Client(address, timeout=10) as client:
                assert client.ending()[1] == "reset"
    wait_until(lambda: {line["end"] for line in daemon.access_log()} == {"limit"}, 5,
               "the log says so")
    refusals.stop()
    settle(daemon)
    with Client(address) as client:
        assert client.ask().status == 200


def slow_receivers(env, rule):
    """Their sources are stopped again and again while the kernel refuses that; the counters."""
    refusals = Refusals(env, rule)
    load = env.load("--sessions", "8", "--bytes-up", f"{env.pick(8, 1)}M",
                    "--bytes-down", f"{env.pick(8, 1)}M", "--slow-reader", "server",
                    str(env.pick(8, 1) * MIB), timeout=60)
    daemon = env.spliced(load.backends, spliced=LOW_MARKS, prefix=refusals.prefix)
    refusals.start()
    load.go(daemon.address())
    result = load.ok()
    check_accounts(env, daemon, result)
    refusals.stop()
    return daemon.stats()


@case(timeout=90)
def test_epoll_refuses_while_a_receiver_is_slow(env):
    """What it waits for it is not told then: it looks by itself."""
    for every in (1, 2, 3):
        stats = slow_receivers(env, {"epoll_ask": ("ENOMEM", every)})
        assert stats["integrity_aborts"] == 0, stats


def leave(env, name, every):
    """A source must leave the map while the kernel refuses the call."""
    stats = slow_receivers(env, {"send0": (name, every)})
    assert stats["pauses"] > 0, stats
    assert stats["integrity_aborts"] == 0, stats


@case(engines=("kernel",), timeout=90)
def test_leaving_is_interrupted(env):
    leave(env, "EINTR", 2)


@case(engines=("kernel",), timeout=90)
def test_leaving_without_memory(env):
    leave(env, "ENOMEM", 2)


@case(engines=("kernel",), timeout=90)
def test_leaving_without_buffers(env):
    leave(env, "ENOBUFS", 2)


@case(engines=("kernel",), timeout=60)
def test_lanes_are_removed_later(env):
    """What cannot be removed from the kernel's map at the end of a session is removed then."""
    refusals = Refusals(env, {"bpf_delete": ("ENOMEM", 1)})
    backend = env.backend()
    daemon = env.spliced(backend.address, prefix=refusals.prefix)
    refusals.start()
    for _ in range(5):
        sock = connect(daemon.address())
        sock.sendall(b"x" * 1000)
        sock.shutdown(1)
        assert len(read_all(sock)) == 1000
        sock.close()
    daemon.wait_access(5)
    assert daemon.map_entries()["lane_of"] > 0
    refusals.stop()
    settle(daemon)
    wait_until(lambda: daemon.map_entries()["lane_of"] == 0, 5, "the entries are removed")


@case(engines=("kernel",), timeout=60)
def test_lanes_of_bodies_are_removed_later(env):
    """The same for the connections of HTTP, which outlive their lanes."""
    refusals = Refusals(env, {"bpf_delete": ("ENOMEM", 1)})
    body = bytes(MIB)
    origin = Origin(env, lambda asked: reply(body))
    daemon = proxy(env, origin.address, {"body_splice_min": "16K"}, prefix=refusals.prefix,
                   pool={"keepalive_timeout": "1s"})
    refusals.start()
    for _ in range(5):
        with Client(daemon.address()) as client:
            assert client.ask("POST", "/", body=body).body == body
            assert client.ask("POST", "/", body=body).body == body
    refusals.stop()
    settle(daemon)
    wait_until(lambda: daemon.map_entries()["lane_of"] == 0, 10, "the entries are removed")


@case(engines=("kernel",), timeout=60)
def test_lanes_are_refused(env):
    """Without a place in the maps a stream is copied."""
    refusals = Refusals(env, {"bpf_update": ("ENOMEM", 2)})
    backend = env.backend()
    daemon = env.spliced(backend.address, prefix=refusals.prefix)
    refusals.start()
    for _ in range(20):
        sock = connect(daemon.address())
        both = pattern.Exchange(sock, (1, 200 * KIB), (1, 200 * KIB))
        both.join(20)
        sock.close()
    refusals.stop()
    settle(daemon)


@case(engines=("kernel",), timeout=60, vm=False)
def test_no_room_for_filters(env):
    """No socket may have a program of its own (optmem_max): what the kernel then cannot promise is copied, and
    the log says why."""
    net = env.network()
    if net.proxy.run("sysctl", "-qw", "net.core.optmem_max=64", check=False).returncode:
        raise Skip("optmem_max is not a namespace's own on this kernel")
    backend = net.backend.call(env.backend, None, f"{net.backend_address()}:0")
    why = "a filter cannot be attached to a socket: Cannot allocate memory (net.core.optmem_max may be small)"
    daemon = net.spliced(backend.address, spliced={"engine": "auto"}, start=False).start()
    assert daemon.status()["engine"] == "copy", daemon.status()
    for _ in range(5):
        sock = net.client.call(connect, daemon.address())
        both = pattern.Exchange(sock, (1, MIB), (1, MIB))
        both.join(20)
        sock.close()
    settle(daemon)
    stats = daemon.stats()
    assert stats["bytes_copied"] == 10 * MIB and not stats["bytes_redirected"], stats
    assert [line for line in daemon.log() if why in line], daemon.log_tail()
