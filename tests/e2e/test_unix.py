# SPDX-License-Identifier: GPL-2.0-or-later
"""Unix sockets that are listened on: whom they belong to."""

import grp
import os
import pwd
import stat
import tempfile

from lib import case, connect, process, read_exactly
from lib.reloads import refused, reload, text_of
from lib.spliced import config_text


def owner(path):
    info = os.lstat(path)
    return info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)


def served(env, path, uid=None):
    """Whether a client of that user gets an echo."""
    code = ("import os, socket, sys; os.setgroups([]); uid = int(sys.argv[2]);"
            "os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid);"
            "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b'hi');"
            "print(s.recv(2).decode())")
    done = process.run("python3", "-c", code, path, uid, check=False)
    return done.returncode == 0 and done.stdout == "hi\n"


def test_owner_of_a_unix_listener(env):
    if os.geteuid() != 0:
        env.skip("only root gives files away")
    user, group = pwd.getpwnam("nobody"), grp.getgrnam("daemon")
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        path = f"{directory}/web.sock"
        daemon = env.spliced(env.backend().address, listener={
            "bind": f"unix:{path}", "unix_mode": "0600", "unix_user": user.pw_name,
            "unix_group": group.gr_name})
        assert owner(path) == (user.pw_uid, group.gr_gid, 0o600), owner(path)
        assert served(env, path, user.pw_uid)
        assert not served(env, path, 2)
        daemon.stop()
        assert not os.path.exists(path)


def test_group_of_the_user(env):
    """unix_user alone brings its own group; unix_group alone leaves the user."""
    if os.geteuid() != 0:
        env.skip("only root gives files away")
    user, group = pwd.getpwnam("nobody"), grp.getgrnam("daemon")
    more = {"listener other": {"bind": f"unix:{env.tmp}/other.sock", "pool": "main",
                               "unix_group": group.gr_name, "unix_mode": "0660"}}
    env.spliced(env.backend().address, more=more, listener={
        "bind": f"unix:{env.tmp}/web.sock", "unix_user": user.pw_name})
    assert owner(env.tmp / "web.sock") == (user.pw_uid, user.pw_gid, 0o666)
    assert owner(env.tmp / "other.sock") == (os.geteuid(), group.gr_gid, 0o660)


def test_reload_changes_whose_it_is(env):
    """Under the same name of a listener and another one; its clients stay."""
    if os.geteuid() != 0:
        env.skip("only root gives files away")
    user, group = pwd.getpwnam("nobody"), grp.getgrnam("daemon")
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        path = f"{directory}/web.sock"
        daemon = env.spliced(env.backend().address, listener={"bind": f"unix:{path}"})
        client, inode = env.keep(connect(f"unix:{path}")), os.lstat(path).st_ino
        assert owner(path)[2] == 0o666
        text = text_of(daemon)
        for name in ("other", "web"):
            answer = reload(daemon, text.replace(
                "[listener web]", f"[listener {name}]\nunix_mode = 0600\nunix_user = nobody"))
            assert answer["restart"] == [], answer
            assert owner(path) == (user.pw_uid, user.pw_gid, 0o600), owner(path)
            assert served(env, path, user.pw_uid)
            assert not served(env, path, 2)
            reload(daemon, text.replace(
                "[listener web]", "[listener web]\nunix_mode = 0660\nunix_group = daemon"))
            assert owner(path) == (user.pw_uid, group.gr_gid, 0o660), owner(path)
        client.sendall(b"hi")
        assert read_exactly(client, 2) == b"hi"
        assert os.lstat(path).st_ino == inode
        client.close()
        daemon.stop()
        assert not os.path.exists(path)


@case(engines=("copy",))
def test_a_path_in_another_spelling(env):
    """It is the same socket: a reload keeps it, and nothing else can be bound there."""
    path = env.tmp / "web.sock"
    daemon = env.spliced(env.backend().address, listener={"bind": f"unix:{env.tmp}//web.sock"})
    client, inode = env.keep(connect(f"unix:{path}")), path.lstat().st_ino
    text = text_of(daemon)
    for spelling in (f"{env.tmp}/./web.sock", f"/.{env.tmp}/.//./web.sock", path):
        reload(daemon, text.replace(f"unix:{env.tmp}//web.sock", f"unix:{spelling}"))
        assert daemon.address() == f"unix:{path}" and path.lstat().st_ino == inode
        with connect(f"unix:{path}") as other:
            other.sendall(b"hi")
            assert read_exactly(other, 2) == b"hi"
    said = refused(daemon, text.replace(f"unix:{env.tmp}//web.sock", f"unix:{path}, unix:{env.tmp}/./web.sock"))
    assert f"bind: unix:{path} is already bound by listener web" in said, said
    control = str(daemon.control_path)
    said = refused(daemon, text.replace(f"unix:{env.tmp}//web.sock", f"unix:/.{control}"))
    assert f"bind: {control} is the control socket" in said, said
    client.sendall(b"hi")
    assert read_exactly(client, 2) == b"hi"


@case(engines=())
def test_owner_that_does_not_exist(env):
    for option, what in (("unix_user", "user"), ("unix_group", "group")):
        sections = env.sections("127.0.0.1:1", listener={
            "bind": f"unix:{env.tmp}/web.sock", option: "nobody-of-that-name"})
        path = env.tmp / "test.conf"
        path.write_text(config_text(sections), encoding="utf-8")
        line = 1 + path.read_text(encoding="utf-8").splitlines().index(
            f"{option} = nobody-of-that-name")
        done = process.run(env.binary("spliced"), "-t", "-c", path, check=False)
        assert done.returncode == 2, done
        assert f'{path}:{line}: {option}: there is no {what} "nobody-of-that-name"' in done.stderr, \
            done.stderr


def test_control_socket_of_the_user(env):
    """Given to the daemon's user, with its folder."""
    if os.geteuid() != 0:
        env.skip("only root becomes another user")
    user = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        daemon = env.spliced(env.backend().address, start=False, spliced={"user": "nobody"})
        text = daemon.config_path.read_text(encoding="utf-8")
        daemon.control_path = f"{directory}/made/control.sock"
        daemon.write_config("\n".join(f"control = {daemon.control_path}"
                                      if line.startswith("control =") else line
                                      for line in text.splitlines()))
        os.chmod(env.tmp, 0o755)
        daemon.start()
        assert owner(daemon.control_path) == (user.pw_uid, user.pw_gid, 0o660)
        assert owner(f"{directory}/made")[:2] == (user.pw_uid, user.pw_gid)
        client = env.keep(connect(daemon.address()))
        client.sendall(b"hi")
        assert read_exactly(client, 2) == b"hi"
        client.close()
        daemon.stop()
        assert not os.path.exists(daemon.control_path)
