# SPDX-License-Identifier: GPL-2.0-or-later
"""Which addresses clients reach while a reload changes them: none is lost on the way from one to another."""

import threading

from lib import connect, read_exactly
from lib.reloads import reload, text_of
from lib.tcp import free_port, refuses

FAMILIES = {"IPv4": "127.0.0.1", "IPv6": "[::1]"}


def free_everywhere(env):
    """A port that nobody has in either family."""
    address, holder = free_port()
    holder.close()
    return address.rpartition(":")[2]


def echo(address):
    with connect(address) as client:
        client.sendall(b"there?")
        return read_exactly(client, 6) == b"there?"


def check_reached(port, *names):
    """By these families, and by no other."""
    for name, host in FAMILIES.items():
        if name in names:
            assert echo(f"{host}:{port}"), name
        else:
            assert refuses(f"{host}:{port}"), name


def clients_of(env, address, problems, over):
    """Sessions one after the other, each of which must be served."""
    def run():
        while not over.is_set():
            try:
                assert echo(address)
            except (OSError, AssertionError) as error:
                problems.append(f"{address}: {error!r}")
    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_ipv6_only_of_an_address_that_is_new(env):
    """[::]:P in place of 0.0.0.0:P, for both: those of IPv4 are not turned away."""
    port = free_everywhere(env)
    daemon = env.spliced(env.backend().address, listener={"bind": f"0.0.0.0:{port}"})
    check_reached(port, "IPv4")
    text = text_of(daemon)
    answer = reload(daemon, text.replace(f"bind = 0.0.0.0:{port}", f"bind = [::]:{port}\nipv6_only = no"))
    assert answer["restart"] == [], answer
    check_reached(port, "IPv4", "IPv6")
    reload(daemon, text)
    check_reached(port, "IPv4")


def test_ipv6_only_of_an_address_that_stays(env):
    """It is bound once more, the other way, before the first socket is closed; who waits is accepted."""
    port = free_everywhere(env)
    daemon = env.spliced(env.backend().address, listener={"bind": f"[::]:{port}"})
    alone = text_of(daemon)
    both = alone.replace(f"bind = [::]:{port}", f"bind = [::]:{port}\nipv6_only = no")
    beside = alone.replace(f"bind = [::]:{port}", f"bind = [::]:{port}, 0.0.0.0:{port}")
    check_reached(port, "IPv6")
    kept = env.keep(connect(f"[::1]:{port}"))
    fds = daemon.fds()
    for text, names in ((both, FAMILIES), (alone, ("IPv6",)), (both, FAMILIES), (beside, FAMILIES), (both, FAMILIES),
                        (alone, ("IPv6",))):
        assert reload(daemon, text)["restart"] == []
        check_reached(port, *names)
        kept.sendall(b"still")
        assert read_exactly(kept, 5) == b"still"
    daemon.wait_sessions(1)
    assert daemon.fds() <= fds
    assert daemon.address() == f"[::]:{port}"


def test_clients_while_ipv6_only_changes(env):
    """Nobody of a family that both files have is turned away."""
    port = free_everywhere(env)
    daemon = env.spliced(env.backend().address, listener={"bind": f"[::]:{port}, 0.0.0.0:{port}"})
    beside = text_of(daemon)
    both = beside.replace(f"bind = [::]:{port}, 0.0.0.0:{port}", f"bind = [::]:{port}\nipv6_only = no")
    problems, over = [], threading.Event()
    threads = [clients_of(env, f"{host}:{port}", problems, over) for host in FAMILIES.values()]
    try:
        for number in range(env.pick(20, 6)):
            reload(daemon, (both, beside)[number % 2])
    finally:
        over.set()
        for thread in threads:
            thread.join(30)
    assert not problems, (len(problems), problems[:5])
