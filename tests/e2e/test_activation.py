# SPDX-License-Identifier: GPL-2.0-or-later
"""Sockets that the service manager passes: those of socket units, and its descriptor store."""

import os
import signal
import socket

from lib import case, connect, process, read_exactly, wait_until
from lib.clients import Clients
from lib.servicemanager import ServiceManager
from lib.tcp import free_port

AT_DEBUG = False


def echo(client, data=b"still there?"):
    client.sendall(data)
    assert read_exactly(client, len(data)) == data


def asks(address, data=b"who is there?"):
    with connect(address, timeout=20) as client:
        echo(client, data)


def unused():
    address, holder = free_port()
    holder.close()
    return address


def listening(env, where="127.0.0.1:0"):
    """As systemd opens it; (address, socket)."""
    if where.startswith("unix:"):
        made = env.keep(socket.socket(socket.AF_UNIX))
        made.bind(where.removeprefix("unix:"))
    else:
        made = env.keep(socket.socket())
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((where.rpartition(":")[0], int(where.rpartition(":")[2])))
        where = "%s:%d" % made.getsockname()
    made.listen(128)
    return where, made


def prepare(env, bind, **spliced):
    """A daemon that was not started."""
    return env.spliced(env.backend().address, start=False, spliced=spliced,
                       listener={"bind": bind})


def start(env, manager, daemon):
    manager.start(daemon)
    env.check_engine(daemon)


def says(daemon, text):
    return any(text in line for line in daemon.log())


def fails(manager, daemon):
    """What a start says that comes to nothing."""
    done = process.run(*manager.prefix(), daemon.binary, "-c", daemon.config_path, check=False,
                       env={**daemon.environment, **manager.environment()},
                       pass_fds=[fd for _, fd in manager.passes()])
    assert done.returncode == 1, (done.returncode, done.stdout + done.stderr)
    return done.stdout + done.stderr


# ---- socket units -----------------------------------------------------------------------------

def test_passed_sockets_are_served(env):
    """All of one name, of each family, beside an address of the daemon's own; by fewer workers
    than sockets, and by more."""
    ones = [listening(env), listening(env), listening(env, f"unix:{env.tmp}/passed.sock")]
    other = listening(env)
    manager = ServiceManager(env, [("web", one) for _, one in ones] + [("single", other[1])])
    for workers in (1, 2, 5):
        daemon = prepare(env, "systemd:web, 127.0.0.1:0, systemd:single", workers=workers)
        start(env, manager, daemon)
        for where in [*(where for where, _ in ones), other[0], daemon.address(index=1)]:
            for _ in range(10):
                asks(where)
        binds = [daemon.address(index=index) for index in range(3)]
        assert binds[0] == "systemd:web" and binds[2] == other[0], binds
        for where, _ in ones:
            assert says(daemon, f"listener web: {where} (systemd:web)"), daemon.log_tail()
        assert not says(daemon, "it is closed"), daemon.log_tail()
        daemon.stop()
        assert os.path.exists(f"{env.tmp}/passed.sock"), "it is systemd's"


def test_clients_wait_for_the_start(env):
    where, one = listening(env)
    client = env.keep(connect(where, timeout=20))
    for data, flags in ((b"ear", 0), (b"l", socket.MSG_OOB), (b"y", 0)):
        client.send(data, flags)        # in line, as with who comes later
    manager = ServiceManager(env, [("web", one)])
    daemon = prepare(env, "systemd:web")
    start(env, manager, daemon)
    assert read_exactly(client, 5) == b"early"
    client.close()
    daemon.stop()
    late = env.keep(connect(where, timeout=20))     # nobody is refused between two lives
    late.sendall(b"late")
    start(env, manager, daemon)
    assert read_exactly(late, 4) == b"late"


@case(engines=("copy",))
def test_a_name_that_was_not_passed(env):
    manager = ServiceManager(env, [("one", listening(env)[1]), ("two", listening(env)[1]),
                                   ("two", listening(env)[1])])
    daemon = prepare(env, "systemd:three")
    said = fails(manager, daemon)
    lines = daemon.config_path.read_text().splitlines()
    line = lines.index("bind = systemd:three") + 1
    assert (f"{daemon.config_path}:{line}: listener web: systemd:three: no such socket was passed; "
            "passed: systemd:one, systemd:two\n") in said, said
    manager.sockets = []
    assert "no such socket was passed; passed: none\n" in fails(manager, daemon)
    done = process.run(daemon.binary, "-t", "-c", daemon.config_path)
    assert "warning" not in done.stdout + done.stderr, done


@case(engines=("copy",))
def test_what_was_passed_is_no_listening_stream(env):
    datagram = env.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    datagram.bind(("127.0.0.1", 0))
    silent = env.keep(socket.socket())
    silent.bind(("127.0.0.1", 0))
    with open(os.devnull, "rb") as null:
        for what, problem in ((datagram, "not a stream socket"), (silent, "not a listening socket"),
                              (null, "not a socket")):
            manager = ServiceManager(env, [("web", what)])
            said = fails(manager, prepare(env, "systemd:web"))
            assert f"listener web: systemd:web: what was passed is {problem}" in said, said


@case(engines=("copy",))
def test_a_passed_socket_that_nobody_has(env):
    manager = ServiceManager(env, [("web", listening(env)[1]), ("spare", listening(env)[1])])
    daemon = prepare(env, "systemd:web")
    start(env, manager, daemon)
    said = [line for line in daemon.log() if "systemd:spare: the socket was passed, and no listener "
            "has it: it is closed" in line]
    assert len(said) == 1, daemon.log_tail()


@case(engines=("copy",))
def test_bad_names(env):
    for name, problem in (("", "needs the FileDescriptorName="), ("a:b", "printable ASCII"),
                          ("x" * 108, "longer than 107 bytes"),
                          ("spliced-store/0/0.0/x", "descriptor store")):
        daemon = prepare(env, f"systemd:{name}")
        done = process.run(daemon.binary, "-t", "-c", daemon.config_path, check=False)
        assert done.returncode == 2 and problem in done.stdout + done.stderr, done
    daemon = prepare(env, "systemd:web, systemd:web")
    done = process.run(daemon.binary, "-t", "-c", daemon.config_path, check=False)
    assert "systemd:web is already bound" in done.stdout + done.stderr, done
    daemon = prepare(env, "systemd:web")
    done = process.run(daemon.binary, "--dump-config", "-c", daemon.config_path)
    assert "bind = systemd:web" in done.stdout, done.stdout


def test_reload_and_upgrade_keep_passed_sockets(env):
    where, one = listening(env)
    manager = ServiceManager(env, [("web", one)])
    daemon = prepare(env, "systemd:web, 127.0.0.1:0")
    start(env, manager, daemon)
    with_it = daemon.config_path.read_text()
    for _ in range(2):
        daemon.write_config(with_it.replace("systemd:web, ", ""))
        daemon.control("reload")
        client = env.keep(connect(where, timeout=20))
        client.sendall(b"patience")
        daemon.write_config(with_it)
        daemon.control("reload")
        assert read_exactly(client, 8) == b"patience"
        client.close()
    assert daemon.control("upgrade")["upgraded"] is True
    asks(where)
    wait_until(lambda: says(daemon, "upgraded: spliced "), 10, "the parent is the new program")
    os.kill(daemon.worker_pid, signal.SIGKILL)
    asks(where)
    assert not manager.names() or all("systemd" not in name for name in manager.names())


@case(engines=("kernel",))
def test_clients_of_passed_sockets_are_copied(env):
    """Sockops is not called for them: the program is attached to the daemon's own cgroup. What
    comes to the daemon's own sockets has the kernel as ever."""
    where, one = listening(env)
    manager = ServiceManager(env, [("web", one)])
    backend = env.backend().address
    daemon = env.spliced(backend, start=False, listener={"bind": "systemd:web"},
                         more={"listener own": {"bind": "127.0.0.1:0", "pool": "main"}})
    start(env, manager, daemon)
    for _ in range(3):
        asks(where, bytes(100_000))
    assert says(daemon, "listener web: its clients are copied (foreign)"), daemon.log_tail()
    assert not says(daemon, "listener own: its clients are copied"), daemon.log_tail()
    with connect(where) as client:
        echo(client)
        sessions = daemon.control("sessions")
        assert [each["engine_reason"] for each in sessions] == ["foreign"], sessions
    daemon.wait_sessions(0)
    stats = daemon.stats()
    assert stats["copy_reasons"]["foreign"] == 2 * 4, stats["copy_reasons"]
    asks(daemon.address("own"), bytes(100_000))
    daemon.wait_sessions(0)
    stats = daemon.stats()
    assert stats["sessions_copy"] == 4 and stats["verdicts"]["unheard"] == 0, stats


# ---- the store --------------------------------------------------------------------------------

def test_restarts_refuse_nobody(env):
    """Under load, with other numbers of workers: what waits in any queue is served."""
    manager = ServiceManager(env)
    daemon = prepare(env, unused(), workers=2)
    start(env, manager, daemon)
    where, text = daemon.address(), daemon.config_path.read_text()
    manager.wait_store(2)
    with Clients(where) as clients:
        for workers in (1, 4, 3, 2):
            clients.wait_served(20)
            daemon.write_config(text.replace("workers = 2", f"workers = {workers}"))
            daemon.stop()
            start(env, manager, daemon)
            clients.wait_served(20)
        manager.wait_store(4)
    assert not clients.refused, clients.refused
    assert not clients.lost, clients.lost
    assert daemon.address() == where
    assert not says(daemon, "no listener has it")


def test_a_killed_daemon_loses_no_address(env):
    manager = ServiceManager(env)
    path = env.tmp / "front.sock"
    daemon = prepare(env, f"127.0.0.1:0, unix:{path}")
    start(env, manager, daemon)
    where, inode = daemon.address(), os.stat(path).st_ino
    manager.wait_store(3)
    daemon.kill()
    waiting = [env.keep(connect(to, timeout=20)) for to in (where, f"unix:{path}")]
    for client in waiting:
        client.sendall(b"patience")
    start(env, manager, daemon)
    for client in waiting:
        assert read_exactly(client, 8) == b"patience"
    assert daemon.address() == where and os.stat(path).st_ino == inode
    manager.wait_store(3)


def test_unix_sockets_outlive_a_restart(env):
    manager = ServiceManager(env)
    path = env.tmp / "front.sock"
    daemon = prepare(env, f"unix:{path}, unix:@{env.tmp}")
    start(env, manager, daemon)
    daemon.stop()
    waiting = [env.keep(connect(to, timeout=20)) for to in (f"unix:{path}", f"unix:@{env.tmp}")]
    for client in waiting:
        client.sendall(b"patience")
    start(env, manager, daemon)
    for client in waiting:
        assert read_exactly(client, 8) == b"patience"
        client.close()
    daemon.stop()
    os.unlink(path)                 # with its folder, as RuntimeDirectory= does it
    start(env, manager, daemon)
    asks(f"unix:{path}")
    manager.wait_store(2)


@case(engines=("copy",))
def test_unix_socket_in_a_linked_folder_outlives_a_restart(env):
    """As in /var/run. It is bound through a descriptor of the process before; and its name has bytes
    that are not ASCII."""
    manager = ServiceManager(env)
    (env.tmp / "folder").mkdir()
    (env.tmp / "link").symlink_to("folder")
    paths = [f"{env.tmp}/link/fr{letter}nt.sock" for letter in "o\u00f6\u00e4"]
    daemon = prepare(env, ", ".join(f"unix:{path}" for path in paths))
    start(env, manager, daemon)
    inodes = [os.stat(path).st_ino for path in paths]
    for _ in range(2):
        manager.wait_store(3)
        daemon.stop()
        waiting = [env.keep(connect(f"unix:{path}", timeout=20)) for path in paths]
        for client in waiting:
            client.sendall(b"patience")
        start(env, manager, daemon)
        for client in waiting:
            assert read_exactly(client, 8) == b"patience"
            client.close()
    assert inodes == [os.stat(path).st_ino for path in paths]
    assert not says(daemon, "not taken over"), daemon.log_tail()


@case(engines=("copy",))
def test_a_start_that_fails_gives_up_nothing(env):
    """The next one finds what this one found, and who waits goes on waiting."""
    manager = ServiceManager(env)
    path, taken = env.tmp / "front.sock", env.keep(socket.create_server(("127.0.0.1", 0)))
    own = unused()
    daemon = prepare(env, f"{own}, unix:{path}")
    start(env, manager, daemon)
    manager.wait_store(3)
    daemon.stop()
    waiting = [env.keep(connect(to, timeout=20)) for to in (own, f"unix:{path}")]
    for client in waiting:
        client.sendall(b"patience")
    text = daemon.config_path.read_text()
    daemon.write_config(f"{text}\n[listener more]\npool = main\n"
                        f"bind = 127.0.0.1:{taken.getsockname()[1]}\n")
    assert "in use" in fails(manager, daemon)
    daemon.write_config(text)
    start(env, manager, daemon)
    for client in waiting:
        assert read_exactly(client, 8) == b"patience"
    manager.wait_store(3)


@case(engines=("copy",))
def test_a_first_start_that_fails_leaves_nothing(env):
    """Nobody waits at an address of a daemon that is not there, and the next start makes sockets of its
    own."""
    manager = ServiceManager(env)
    path, taken = env.tmp / "front.sock", env.keep(socket.create_server(("127.0.0.1", 0)))
    own = unused()
    daemon = prepare(env, f"{own}, unix:{path}, 127.0.0.1:{taken.getsockname()[1]}")
    assert "in use" in fails(manager, daemon)
    manager.wait_store(0)
    assert not path.exists()
    try:
        connect(own).close()
    except ConnectionRefusedError:
        pass
    else:
        raise AssertionError("somebody listens there")
    taken.close()
    start(env, manager, daemon)
    manager.wait_store(5)
    asks(own)
    assert not says(daemon, "foreign"), daemon.log_tail()


@case(engines=("copy",))
def test_the_store_has_what_is_configured(env):
    """What a reload or a restart gives up is given up there, too."""
    manager = ServiceManager(env)
    first, second = (unused() for _ in range(2))
    daemon = prepare(env, f"{first}, {second}")
    start(env, manager, daemon)
    text = daemon.config_path.read_text()
    manager.wait_store(4)
    daemon.write_config(text.replace(f"{first}, ", ""))
    daemon.control("reload")
    manager.wait_store(2)
    daemon.write_config(text)
    daemon.control("reload")
    manager.wait_store(4)
    daemon.stop()
    daemon.write_config(text.replace(f"{first}, ", ""))
    start(env, manager, daemon)
    asks(second)
    manager.wait_store(2)
    try:
        connect(first)
    except ConnectionRefusedError:
        pass
    else:
        raise AssertionError("somebody listens where nothing is configured")
    assert all(second.replace(":", "%3A") in name for name in manager.names()), manager.names()


@case(engines=("copy",))
def test_store_and_socket_units_are_told_apart(env):
    """One is no replacement for the other; and what is no good in the store is removed."""
    where, one = listening(env)
    manager = ServiceManager(env, [("web", one)])
    own = unused()
    daemon = prepare(env, f"systemd:web, {own}")
    start(env, manager, daemon)
    manager.wait_store(2)
    daemon.stop()
    manager.store += [("spliced-store/7", os.dup(one.fileno())),
                      ("spliced-store/0/0.0/systemd%3Aother", os.dup(listening(env)[1].fileno()))]
    start(env, manager, daemon)
    asks(where)
    asks(own)
    manager.wait_store(2)
    assert all(own.replace(":", "%3A") in name for name in manager.names()), manager.names()
    daemon.stop()
    daemon.write_config(daemon.config_path.read_text().replace("systemd:web", "systemd:other"))
    assert "passed: systemd:web" in fails(manager, daemon)


@case(engines=("copy",))
def test_another_kind_of_socket_is_not_used(env):
    """The name is that of the address, and the socket is another one."""
    manager = ServiceManager(env)
    own = unused()
    other, foreign = listening(env)
    manager.store.append((f"spliced-store/0/0.0/{own.replace(':', '%3A')}", os.dup(foreign.fileno())))
    daemon = prepare(env, own)
    start(env, manager, daemon)
    for _ in range(10):
        asks(own)
    manager.wait_store(2)
    assert other != own and daemon.address() == own
