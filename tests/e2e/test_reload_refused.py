# SPDX-License-Identifier: GPL-2.0-or-later
"""What a reload does not do by halves: it is refused, says why, and leaves everything as it was."""

import grp
import os
import pwd
import shutil

from lib import case, connect, process, read_exactly, wait_until
from lib.intercepted import connect as connect_in
from lib.intercepted import exchange, intercepting, port_of, redirected
from lib.reloads import refused, reload, text_of
from lib.tcp import free_port

COPY = ("copy",)    # the engines have nothing to do with it


def echo(address):
    with connect(address) as client:
        client.sendall(b"there?")
        return read_exactly(client, 6) == b"there?"


def said_of(daemon, command):
    """What splicectl says to a person."""
    return process.run(daemon.control_tool, "-s", daemon.control_path, command, check=False, timeout=60)


def said_of_reload(daemon):
    return said_of(daemon, "reload")


# ---- the file ----------------------------------------------------------------------------------

def with_default_file(env, text):
    """A daemon that has /etc to itself, with that file where it looks for one, and a listener of the
    command line. The file is its config_path."""
    etc = env.tmp / "etc"
    (etc / "spliced").mkdir(parents=True)
    for name in ("passwd", "group", "ld.so.cache"):
        shutil.copy(f"/etc/{name}", etc / name)
    daemon = env.spliced(env.backend().address, start=False)
    daemon.config_path.unlink()
    daemon.config_path = etc / "spliced" / "spliced.conf"
    if text:
        daemon.write_config(text)
    settings = [f"spliced.control={daemon.control_path}", "spliced.user=", "spliced.engine=copy", "spliced.workers=1",
                "listener.own.bind=127.0.0.1:0", "listener.own.pool=hello", "pool.hello.server=demo internal:hello"]
    # sh leaves away the -c FILE that it is started with.
    words = " ".join(f"-o '{setting}'" for setting in settings)
    daemon.prefix = ["unshare", "--mount", "sh", "-c", f"mount --bind '{etc}' /etc && exec \"$0\" {words}"]
    return daemon.start()


@case(engines=COPY)
def test_a_default_file_that_is_gone(env):
    """Its listeners are not dropped, though the command line has one of its own."""
    text = f"[listener web]\nbind = 127.0.0.1:0\npool = main\n[pool main]\nserver = a {env.backend().address}\n"
    daemon = with_default_file(env, text)
    assert daemon.status()["config"] == "/etc/spliced/spliced.conf"
    address = daemon.address()
    daemon.config_path.unlink()
    for _ in range(2):
        said = said_of_reload(daemon)
        assert said.returncode == 1 and said.stderr.startswith(
            "/etc/spliced/spliced.conf: cannot open: No such file or directory; "), said
        assert sorted(entry["name"] for entry in daemon.status()["listeners"]) == ["own", "web"]
        assert daemon.address() == address and echo(address)
    reload(daemon, "")
    assert [entry["name"] for entry in daemon.status()["listeners"]] == ["own"]


@case(engines=COPY)
def test_an_upgrade_without_the_default_file(env):
    """The same mistake: also where the file has come with a reload, or was there before an upgrade. The new program's
    worker would serve the rest of the configuration only."""
    daemon = with_default_file(env, None)
    text = f"[listener web]\nbind = 127.0.0.1:0\npool = main\n[pool main]\nserver = a {env.backend().address}\n"

    def upgrade(generation):
        said = said_of(daemon, "upgrade")
        assert said.returncode == 0, said
        wait_until(lambda: sum("upgraded: spliced " in line for line in daemon.log()) == generation - 1, 10,
                   "the parent is the new program")

    def refuse(generation):
        address = daemon.address()
        daemon.config_path.unlink()
        for _ in range(2):
            said = said_of(daemon, "upgrade")
            assert said.returncode == 1 and (
                "/etc/spliced/spliced.conf: cannot open: No such file or directory; what is in effect was read from it; "
                "allowed: a file, which may be empty") in said.stderr, said
            status = daemon.status()
            assert (status["generation"], status["worker_deaths"]) == (generation, 0), status
            assert sorted(entry["name"] for entry in status["listeners"]) == ["own", "web"], status
            assert daemon.address() == address and echo(address)
        wait_until(lambda: sum(line.endswith("upgrade: nothing is changed") for line in daemon.log())
                   == 2 * (generation - 1), 5, "the log has it")

    upgrade(2)              # there has been none
    reload(daemon, text)
    refuse(2)
    daemon.write_config(text)
    upgrade(3)
    refuse(3)
    daemon.write_config("")
    upgrade(4)
    assert [entry["name"] for entry in daemon.status()["listeners"]] == ["own"]


@case(engines=COPY)
def test_without_a_default_file(env):
    """What is in effect is named, though it has no file; one that comes is read."""
    daemon = with_default_file(env, None)
    said = said_of_reload(daemon)
    assert said.returncode == 0 and said.stdout == "the configuration without a file is in effect\n", said
    wait_until(lambda: "reload: the configuration without a file is valid, and all of it is in effect"
               in "\n".join(daemon.log()), 5, "the log has it")
    answer = reload(daemon, "[listener web]\nbind = 127.0.0.1:0\npool = hello\n")
    assert answer["config"] == "/etc/spliced/spliced.conf", answer
    assert sorted(entry["name"] for entry in daemon.status()["listeners"]) == ["own", "web"]


# ---- what stays as it is -----------------------------------------------------------------------

@case(engines=COPY)
def test_the_control_socket_that_stays_until_a_restart(env):
    """The file is right, but its listener is where the control socket is now."""
    daemon = env.spliced(env.backend().address)
    text = text_of(daemon)
    line = text.splitlines().index("bind = 127.0.0.1:0") + 1
    said = refused(daemon, text.replace(f"control = {daemon.control_path}", f"control = {env.tmp}/other.sock")
                   .replace("bind = 127.0.0.1:0", f"bind = unix:{daemon.control_path}"))
    assert said.startswith(f"{daemon.config_path}:{line}: bind: {daemon.control_path} is the control socket until a "
                           "restart or an upgrade; allowed: another path\n"), said
    assert daemon.address().startswith("127.0.0.1:") and echo(daemon.address())


@case(engines=COPY)
def test_the_status_address_that_stays_until_a_restart(env):
    status, holder = free_port()
    holder.close()
    daemon = env.spliced(env.backend().address, spliced={"status": status})
    text = text_of(daemon)
    line = text.splitlines().index("bind = 127.0.0.1:0") + 1
    said = refused(daemon, text.replace(f"status = {status}", "status = none").replace(
        "bind = 127.0.0.1:0", f"bind = {status}"))
    assert said.startswith(f"{daemon.config_path}:{line}: bind: {status} cannot be bound beside status = {status} until a "
                           "restart or an upgrade; allowed: another port\n"), said
    assert daemon.address() != status and echo(daemon.address())


@case(engines=("kernel",))
def test_an_interception_that_leads_nowhere(env):
    """A section that goes with its listener stays until a restart, and would have none; and so does one that the file
    calls something else."""
    cgroup = env.cgroup()
    backend = env.backend()
    daemon = intercepting(env, cgroup, port_of(backend.address), intercept={"intercept": "require"})
    text = text_of(daemon)
    begin = text.index("[intercept out]")
    section = text[begin:text.find("\n\n", begin)]
    renamed = text.replace("[listener web]", "[listener egress]")
    for changed in (renamed.replace(section, ""), renamed.replace(section, section.replace(
            "[intercept out]", "[intercept other]").replace("listener = web", "listener = egress"))):
        said = refused(daemon, changed)
        assert said.startswith(f"{daemon.config_path}: [intercept out] stays until a restart or an upgrade, and its "
                               "listener web is gone; allowed: "), said
        with connect_in(cgroup, backend.address) as sock:
            exchange(sock)
    assert redirected(daemon) == 2
    # Beside its listener it stays.
    assert reload(daemon, text.replace(section, ""))["restart"] == ["[intercept NAME]"]
    with connect_in(cgroup, backend.address) as sock:
        exchange(sock)
    assert redirected(daemon) == 3


# ---- files of unix sockets ---------------------------------------------------------------------

def access_of(path):
    status = os.stat(path)
    return status.st_uid, status.st_gid, oct(status.st_mode & 0o777)


def listener_at(name, path, *more):
    return "\n".join((f"[listener {name}]", f"bind = unix:{path}", "pool = main", *more, "", ""))


@case(engines=COPY)
def test_an_owner_that_cannot_be_given(env):
    """Without CAP_CHOWN: nothing of the files is changed, and the mistake has its line, each time."""
    paths = [env.tmp / name for name in "ab"]
    daemon = env.spliced(env.backend().address, prefix=("setpriv", "--bounding-set=-chown", "--inh-caps=-chown"))
    text = text_of(daemon)
    reload(daemon, text + "".join(listener_at(path.name, path) for path in paths))
    before = [access_of(path) for path in paths]
    # The first could be changed alone.
    changed = text + listener_at("a", paths[0], "unix_mode = 0600") + listener_at(
        "b", paths[1], "unix_mode = 0660", "unix_user = nobody")
    line = changed.splitlines().index(f"bind = unix:{paths[1]}") + 1
    for _ in range(2):
        said = refused(daemon, changed)
        assert said.startswith(f"{daemon.config_path}:{line}: listener b: unix:{paths[1]}: changing its owner and mode: "
                               "Operation not permitted\n"), said
        assert [access_of(path) for path in paths] == before
    reload(daemon, text + listener_at("a", paths[0], "unix_mode = 0600") + listener_at("b", paths[1]))
    assert access_of(paths[0]) == (*before[0][:2], "0o600")


@case(engines=COPY)
def test_an_owner_is_taken_back(env):
    """When something else of the file cannot be."""
    path, user = env.tmp / "a", pwd.getpwnam("nobody")
    daemon = env.spliced(env.backend().address)
    text = text_of(daemon)
    plain = text + listener_at("a", path)
    group = grp.getgrgid(user.pw_gid).gr_name
    theirs = text + listener_at("a", path, "unix_mode = 0600", "unix_user = nobody", f"unix_group = {group}")
    reload(daemon, plain)
    before = access_of(path)
    lines = [line for line in theirs.splitlines(True) if not line.startswith("access_log =")]
    refused(daemon, "".join(lines).replace("[spliced]", f"[spliced]\naccess_log = {env.tmp}/none/access.log"))
    assert access_of(path) == before
    reload(daemon, theirs)
    assert access_of(path) == (user.pw_uid, user.pw_gid, "0o600")
