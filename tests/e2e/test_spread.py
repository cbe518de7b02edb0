# SPDX-License-Identifier: GPL-2.0-or-later
"""Which worker gets a client: the one with the fewest sessions, or whom the hash says."""

from lib import case, process, wait_until
from lib.host import bpf_maps, map_entries
from lib.intercepted import exchange
from lib.refuse import Refusals
from lib.reloads import kill_workers, reload, text_of
from lib.steered import RANGE, Pod, wait_steering
from lib.tcp import connect

AT_DEBUG = False

CORE = {"core": True, "timeout": 60}
BY_SESSIONS = {"spread": "sessions"}


def spread(daemon):
    return daemon.status()["spread"]


def connect_all(env, daemon, number, where=None):
    """Clients one after the other, each of which has its session before the next comes."""
    found = []
    for _ in range(number):
        sock = env.keep(connect(where or daemon.address()))
        exchange(sock)
        found.append(sock)
    return found


def burst(env, where, number):
    """Clients of whom none is waited for: all have shaken hands before they are accepted, or not."""
    found = [env.keep(connect(where)) for _ in range(number)]
    for sock in found:
        exchange(sock)
    return found


def assert_even(daemon, number, workers, slack=1):
    """As many at each, or one more: or `slack`, where several come at once, for a worker that was
    interrupted when it accepted one has neither that nor the session."""
    daemon.wait_sessions(number)
    told = spread(daemon)
    sessions = told["sessions"]
    assert told["by"] == "sessions" and told["missed"] == 0, told
    assert len(sessions) == workers and sum(sessions) == number, told
    assert max(sessions) - min(sessions) <= slack, told
    return told


def upgrade(daemon, **changes):
    text = text_of(daemon)
    for key, (old, new) in changes.items():
        assert f"{key} = {old}" in text, text
        text = text.replace(f"{key} = {old}", f"{key} = {new}")
    daemon.write_config(text)
    assert daemon.control("upgrade", timeout=60)["upgraded"] is True


def close_all(socks):
    for sock in socks:
        sock.close()


@case(**CORE)
def test_each_has_as_many(env):
    """One by one; whom a worker loses, it gets next; and a crowd that comes at once."""
    daemon = env.spliced(env.backend().address, spliced={"workers": 3, **BY_SESSIONS})
    some, crowd = env.pick(12, 6), env.pick(90, 30)
    clients = connect_all(env, daemon, 2 * some)
    assert_even(daemon, 2 * some, 3)
    close_all(clients[:some])
    daemon.wait_sessions(some)
    more = connect_all(env, daemon, some)
    told = assert_even(daemon, 2 * some, 3)
    assert told["chosen"] == 3 * some, told
    close_all(more + clients)
    daemon.wait_sessions(0)
    assert daemon.stats()["handovers"] == 0
    burst(env, daemon.address(), crowd)
    assert_even(daemon, crowd, 3, 4)
    stats = daemon.stats()
    assert stats["handovers"] <= crowd / 10 and stats["accepted_spread"] == 3 * some + crowd, stats


@case()
def test_by_hash(env):
    """The kernel's choice; the workers even out what is clearly uneven."""
    daemon = env.spliced(env.backend().address, spliced={"spread": "hash"})
    assert "groups" not in bpf_maps(daemon.worker_pid)
    connect_all(env, daemon, 40)
    told = spread(daemon)
    assert (told["by"], told["chosen"], told["missed"]) == ("hash", 0, 0), told
    assert sum(told["sessions"]) == 40, told
    assert min(told["sessions"]) * 5 // 4 + 2 >= max(told["sessions"]), told
    assert daemon.stats()["accepted_spread"] == 0


@case(engines=())
def test_what_auto_is(env):
    """The program, but for who wants none of them."""
    for engine, by in (("auto", "sessions"), ("copy", "hash")):
        daemon = env.spliced(env.backend().address, spliced={"engine": engine})
        assert spread(daemon)["by"] == by, daemon.status()
        daemon.stop()


def test_a_reload_changes_it(env):
    """Forth and back, while clients come, and with an address that comes and one that goes."""
    daemon = env.spliced(env.backend().address, spliced=BY_SESSIONS)
    both, text = connect_all(env, daemon, 4), text_of(daemon)
    assert_even(daemon, 4, 2)
    assert reload(daemon, text.replace("spread = sessions", "spread = hash"))["restart"] == []
    told = spread(daemon)
    assert (told["by"], told["chosen"]) == ("hash", 4), told
    both += connect_all(env, daemon, 4)
    assert spread(daemon)["chosen"] == 4 and daemon.stats()["accepted_spread"] == 4
    close_all(both)
    daemon.wait_sessions(0)
    first, known = daemon.address(), bpf_maps(daemon.worker_pid)["groups"]
    more = text + "\n[listener more]\nbind = 127.0.0.1:0\npool = main\n"
    assert reload(daemon, more)["restart"] == []
    assert map_entries(known) == 4
    clients = connect_all(env, daemon, 6, daemon.address("more"))
    clients += connect_all(env, daemon, 6, first)
    assert_even(daemon, 12, 2)
    reload(daemon, text)
    clients += connect_all(env, daemon, 6)
    assert_even(daemon, 18, 2)
    assert map_entries(known) == 2


@case(engines=("copy",))
def test_what_fails_leaves_nothing(env):
    """Sockets that cannot all be told to the program go by the hash, and nothing of them stays in its maps; until they
    can."""
    refused = Refusals(env, {"bpf_update": ("E2BIG", 4)})
    daemon = env.spliced(env.backend().address, spliced={"workers": 2, **BY_SESSIONS}, prefix=refused.prefix)
    maps, text = bpf_maps(daemon.worker_pid), text_of(daemon)
    known = [maps["groups"], maps["queues"]]
    assert list(map(map_entries, known)) == [2, 2]
    refused.start()
    for number in range(1, 6):
        reload(daemon, text + "\n[listener more]\nbind = 127.0.0.1:0\npool = main\n")
        wait_until(lambda times=number: "".join(daemon.log()).count("clients are spread by hash: Arg") == times, 5,
                   "it is told")
        assert list(map(map_entries, known)) == [2, 2], number
    close_all(connect_all(env, daemon, 4, daemon.address("more")))
    daemon.wait_sessions(0)
    refused.stop()
    reload(daemon, text + "\n[listener more]\nbind = 127.0.0.1:0\npool = main\n")
    assert list(map(map_entries, known)) == [4, 4]
    connect_all(env, daemon, 6, daemon.address("more"))
    assert_even(daemon, 6, 2)


def test_a_reload_cannot_begin_it(env):
    """Where it was not wanted the worker has given up what it takes: an upgrade has it."""
    daemon = env.spliced(env.backend().address, spliced={"spread": "hash"})
    text = text_of(daemon)
    answer = reload(daemon, text.replace("spread = hash", "spread = sessions"))
    assert answer["restart"] == ["spread"], answer
    assert spread(daemon)["by"] == "hash"
    upgrade(daemon)
    connect_all(env, daemon, 8)
    assert_even(daemon, 8, 2)


@case()
def test_upgrades(env):
    """By other numbers of workers: the sessions of the worker before do not count, its program is gone,
    and of more sockets than workers none is left to itself."""
    daemon = env.spliced(env.backend().address, spliced={"workers": 2, **BY_SESSIONS})
    where, old = daemon.address(), connect_all(env, daemon, 5)
    for before, workers in ((2, 4), (4, 3)):
        upgrade(daemon, workers=(before, workers))
        assert spread(daemon)["sessions"] == [0] * workers
        clients = connect_all(env, daemon, 12, where)
        assert_even(daemon, 12, workers)
        close_all(clients)
        daemon.wait_sessions(0)
    upgrade(daemon, spread=("sessions", "hash"))
    told = spread(daemon)
    assert (told["by"], told["chosen"]) == ("hash", 0), told
    # By the hash, at all four: each of them is some worker's.
    close_all(connect_all(env, daemon, 40, where))
    for sock in old:
        exchange(sock)


def test_a_killed_worker(env):
    """Who comes meanwhile waits where the next one accepts, whichever comes to serve, and that goes by its own sessions."""
    daemon = env.spliced(env.backend().address, spliced={"workers": 2, **BY_SESSIONS})
    connect_all(env, daemon, 3)
    where = daemon.address()
    process.stop(daemon.worker_pid)
    waiting = [env.keep(connect(where)) for _ in range(20)]
    kill_workers(daemon)
    waiting += [env.keep(connect(where)) for _ in range(20)]
    daemon.may_be_killed = True
    for sock in waiting:
        exchange(sock)
    close_all(waiting)
    wait_until(lambda: daemon.status()["worker_deaths"] == 1, 20, "another worker")
    daemon.wait_sessions(0)
    connect_all(env, daemon, 10, where)
    assert_even(daemon, 10, 2)


@case(**CORE)
def test_what_is_steered(env):
    """Of IPv4 and IPv6: the range's sockets are a group like any other."""
    pod = Pod(env)
    four, six = pod.backend(8080), pod.backend(8081, 6)
    daemon = pod.spliced(f"steer:*:{RANGE}", spliced=BY_SESSIONS)
    wait_steering(daemon)
    for _ in range(6):
        for backend in (four, six):
            exchange(pod.connect(backend.address))
    told = assert_even(daemon, 12, 2)
    assert told["chosen"] == 12, told


@case(engines=("copy",))
def test_without_privileges(env):
    """Who has asked for it is told; who has not has the hash."""
    for options, lines in (({"spread": "sessions"}, 1), ({"engine": "auto"}, 0)):
        daemon = env.spliced(env.backend().address, spliced={**options}, start=False,
                             prefix=["setpriv", "--bounding-set=-bpf,-sys_admin",
                                     "--inh-caps=-all"])
        daemon.start()
        with connect(daemon.address()) as sock:
            exchange(sock)
        assert spread(daemon)["by"] == "hash"
        told = [line for line in daemon.log() if "clients are spread by hash" in line]
        assert len(told) == lines, told
        assert all("spread = sessions: " in line and "CAP_BPF" in line for line in told), told
        daemon.stop()
