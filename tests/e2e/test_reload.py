# SPDX-License-Identifier: GPL-2.0-or-later
"""The file is read again while the daemon runs: what changes, for whom, and what stays."""

import signal

from lib import case, connect, process, read_exactly, wait_until
from lib.reloads import refused, reload, text_of
from lib.tcp import free_port, refuses, serve_name


def echo(client, data=b"still there?"):
    client.sendall(data)
    got = read_exactly(client, len(data))
    assert got == data, f"sent {data!r}, got back {got!r}"


def session(env, proxy):
    client = env.keep(connect(proxy))
    echo(client)
    return client


def who(proxy):
    """The name of the server that a client gets."""
    with connect(proxy) as client:
        return read_exactly(client, 2)[:1].decode()


def is_over(client):
    """Whether it is ended, or reset, before it gets anything."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


# ---- what changes ------------------------------------------------------------------------------

def test_next_session_goes_by_the_new_file(env):
    """Another pool: the session that there is goes on where it is."""
    daemon = env.spliced(env.backend().address)
    proxy = daemon.address()
    old = session(env, proxy)
    other = env.backend(serve_name("o")).address
    answer = reload(daemon, text_of(daemon).replace("pool = main", "pool = second")
                    + f"\n[pool second]\nserver = other {other}\n")
    assert answer["restart"] == [], answer
    assert daemon.address() == proxy
    assert who(proxy) == "o"
    echo(old)
    assert [pool["name"] for pool in daemon.status()["pools"]] == ["main", "second"]
    old.close()
    daemon.stop()
    ended = [line for line in daemon.access_log() if line["pool"] == "main"]
    assert [line["end"] for line in ended] == ["done"], ended


def test_listeners_come_and_go(env):
    daemon = env.spliced(env.backend().address)
    proxy, text = daemon.address(), text_of(daemon)
    old = session(env, proxy)
    reload(daemon, text + "\n[listener second]\nbind = 127.0.0.1:0\npool = main\n")
    second = daemon.address("second")
    kept = session(env, second)
    assert daemon.address() == proxy
    reload(daemon, text)
    assert refuses(second)
    echo(kept)
    echo(old)
    session(env, proxy)
    assert [entry["name"] for entry in daemon.status()["listeners"]] == ["web"]


def test_a_renamed_listener_keeps_its_socket(env):
    address, holder = free_port()
    holder.close()
    daemon = env.spliced(env.backend().address, listener={"bind": address})
    old = session(env, address)
    reload(daemon, text_of(daemon).replace("[listener web]", "[listener renamed]"))
    assert daemon.address("renamed") == address
    session(env, address)
    echo(old)


def test_limits_and_times_change(env):
    daemon = env.spliced(env.backend().address)
    proxy, text = daemon.address(), text_of(daemon)
    old = session(env, proxy)
    reload(daemon, text.replace("[listener web]", "[listener web]\nidle_timeout = 200ms"))
    client = session(env, proxy)
    assert is_over(client), "the new one is closed"
    echo(old)
    reload(daemon, text.replace("[listener web]", "[listener web]\ndeny = 127.0.0.0/8"))
    try:
        assert is_over(env.keep(connect(proxy)))
    except ConnectionResetError:
        pass    # connect() itself may see it
    echo(old)


# ---- servers -----------------------------------------------------------------------------------

def test_servers_that_stay_keep_their_counters(env):
    a, b, c = (env.backend(serve_name(name)).address for name in "abc")
    daemon = env.spliced([f"a {a}", f"b {b}"])
    proxy, text = daemon.address(), text_of(daemon)
    assert sorted(who(proxy) for _ in range(4)) == ["a", "a", "b", "b"]
    before = daemon.server("a")
    assert before["sessions_total"] == 2, before
    reload(daemon, text.replace(f"server = b {b}", f"server = c {c}"))
    assert daemon.server("a")["sessions_total"] == 2
    assert daemon.server("c")["sessions_total"] == 0
    assert "b" not in [s["name"] for s in daemon.status()["pools"][0]["servers"]]
    assert sorted(who(proxy) for _ in range(4)) == ["a", "a", "c", "c"]
    assert daemon.server("a")["sessions_total"] == 4
    listener = daemon.status()["listeners"][0]
    assert listener["sessions_total"] == 8, listener
    # A name with another address is another server.
    reload(daemon, text.replace(f"server = a {a}", f"server = a {c}"))
    assert daemon.server("a")["sessions_total"] == 0


@case(engines=("copy",))
def test_passed_over_servers_stay_passed_over(env):
    dead, holder = free_port()
    env.keep(holder)
    daemon = env.spliced([f"dead {dead}", f"b {env.backend(serve_name('b')).address}"])
    proxy = daemon.address()
    for _ in range(4):
        assert who(proxy) == "b"
    state = daemon.server("dead")["state"]
    assert state != "up"
    reload(daemon, text_of(daemon).replace("[pool main]", "[pool main]\nretries = 3"))
    server = daemon.server("dead")
    assert (server["state"], server["connect_failures"]) == (state, 1), server


# ---- mistakes ----------------------------------------------------------------------------------

def test_a_mistake_changes_nothing(env):
    daemon = env.spliced(env.backend().address)
    proxy, text = daemon.address(), text_of(daemon)
    old = session(env, proxy)
    said = refused(daemon, text + "\n[listener second]\nbind = 127.0.0.1:0\npool = nowhere\n")
    line = text.count("\n") + 4
    assert f"{daemon.config_path}:{line}: " in said and "nowhere" in said, said
    wait_until(lambda: any(f"{daemon.config_path}:{line}: " in entry for entry in daemon.log()), 5, "the log says it")
    done = process.run(daemon.control_tool, "-s", daemon.control_path, "--json", "reload",
                       check=False, timeout=15)
    assert done.returncode == 1 and '"reloaded": false' in done.stdout, done
    assert [entry["name"] for entry in daemon.status()["listeners"]] == ["web"]
    echo(old)
    session(env, proxy)
    # And then it works again.
    assert reload(daemon, text)["restart"] == []


def test_a_port_in_use_undoes_all(env):
    daemon = env.spliced(env.backend().address)
    proxy, text = daemon.address(), text_of(daemon)
    taken = env.backend().address
    fds = daemon.fds()
    said = refused(daemon, text.replace("[pool main]", "[pool main]\nretries = 7")
                   + "\n[listener free]\nbind = 127.0.0.1:0\npool = main\n"
                   f"\n[listener second]\nbind = {taken}\npool = main\n")
    assert f"{daemon.config_path}:" in said and taken in said and "in use" in said, said
    assert [entry["name"] for entry in daemon.status()["listeners"]] == ["web"]
    wait_until(lambda: daemon.fds() <= fds, 5, "what was bound is closed")
    session(env, proxy)


@case(engines=("copy",))
def test_what_waits_for_a_restart_is_named_again_and_again(env):
    daemon = env.spliced(env.backend().address)
    text = text_of(daemon)
    changed = text.replace("workers = 2", "workers = 1")
    for _ in range(2):
        assert reload(daemon, changed)["restart"] == ["workers"]
    assert reload(daemon, text)["restart"] == []


# ---- many --------------------------------------------------------------------------------------

def test_reloads_under_load(env):
    """Sessions that last, sessions that come and go, and the file changes all the time."""
    rounds = 100
    daemon = env.spliced(env.backend().address)
    proxy, text = daemon.address(), text_of(daemon)
    old = session(env, proxy)
    for i in range(5):
        reload(daemon, text)
    fds, other = daemon.fds(), env.backend().address
    texts = [text, text + "\n[listener second]\nbind = 127.0.0.1:0\npool = more\n"
             f"[pool more]\nserver = x {other}\n"]
    for i in range(rounds):
        daemon.write_config(texts[i % 2])
        daemon.signal(signal.SIGHUP)
        client = session(env, proxy)
        echo(old, bytes([i]) * 1000)
        client.close()
    assert reload(daemon, text)["reloaded"]
    old.close()
    daemon.wait_sessions(0)
    wait_until(lambda: daemon.fds() <= fds, 5, "its descriptors are as many as before")
    assert daemon.status()["listeners"][0]["sessions_total"] == rounds + 1
