# SPDX-License-Identifier: GPL-2.0-or-later
"""What a reload does not do by halves: it is refused, says why, and leaves everything as it was."""

import shutil

from lib import case, connect, process, read_exactly, wait_until
from lib.reloads import refused, reload

COPY = ("copy",)    # the engines have nothing to do with it


def echo(address):
    with connect(address) as client:
        client.sendall(b"there?")
        return read_exactly(client, 6) == b"there?"


def said_of_reload(daemon):
    """What splicectl says to a person."""
    return process.run(daemon.control_tool, "-s", daemon.control_path, "reload", check=False, timeout=15)


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
