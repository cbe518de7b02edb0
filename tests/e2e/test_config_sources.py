# SPDX-License-Identifier: GPL-2.0-or-later
"""Where settings come from: files and those they include, the environment, the command line."""

import os
import re
import signal
import threading

from lib import case, process, wait_until
from lib.tcp import connect, read_all

FILE = """\
[spliced]
control = none
workers = 2
[listener web]
bind = 127.0.0.1:0
pool = app
[pool app]
server = a 10.0.0.1:80
"""


def spliced(env, *arguments, **variables):
    """Runs the program with these variables added to the environment."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SPLICED_")}
    return process.run(env.binary("spliced"), *arguments, check=False, timeout=10,
                       env={**clean, **variables}, cwd=env.tmp)


def write(env, name, text):
    path = env.tmp / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def dump(env, *arguments, **variables):
    """{section: [(place, key, value)]} of --dump-config."""
    done = spliced(env, *arguments, "--dump-config", **variables)
    assert done.returncode == 0, done
    found, section, place = {}, None, None
    for line in done.stdout.splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), [])
        elif re.match(r"# [a-z_]+ =", line) or not line:
            pass
        elif line.startswith("# "):
            place = line[2:]
        else:
            key, _, value = line.partition(" =")
            section.append((place, key, value.strip()))
            place = None
    return found


def values(found, section, key):
    return [(place, value) for place, name, value in found[section] if name == key]


def refused(env, *arguments, **variables):
    """The messages of a configuration that is refused."""
    done = spliced(env, *arguments, "-t", **variables)
    assert done.returncode == 2 and not done.stdout, done
    return done.stderr.splitlines()


@case(engines=())
def test_what_weighs_more(env):
    write(env, "a.conf", FILE)
    options = ("-c", "a.conf", "-o", "spliced.log_level=debug", "-o", "pool.app.retries=3",
               "-o", "pool.app.retries=4")
    found = dump(env, *options, SPLICED_WORKERS="5", SPLICED_LOG_LEVEL="error",
                 SPLICED_LISTENER_WEB_IDLE_TIMEOUT="7s")
    assert values(found, "spliced", "workers") == [("SPLICED_WORKERS", "5")]
    assert values(found, "spliced", "log_level") == [("-o spliced.log_level", "debug")]
    assert values(found, "spliced", "max_sessions") == [("default", "65536")]
    assert values(found, "spliced", "control") == [("a.conf:2", "none")]
    assert values(found, "listener web", "bind") == [("a.conf:5", "127.0.0.1:0")]
    assert values(found, "listener web", "idle_timeout") == [
        ("SPLICED_LISTENER_WEB_IDLE_TIMEOUT", "7s")]
    assert values(found, "pool app", "retries") == [("-o pool.app.retries", "4")]
    # One file alone has no places: its dump is what it was.
    assert "#" not in spliced(env, "-c", "a.conf", "--dump-config").stdout.replace("# user", "") \
        .replace("# include", "")


@case(engines=())
def test_lists(env):
    """A source of more weight replaces a list as a whole; its own values are in their order."""
    write(env, "a.conf", FILE + "server = b 10.0.0.2:80\n")
    numbered = {f"SPLICED_POOL_APP_SERVER_{n}": f"s{n} 10.0.1.{n}:80" for n in (10, 9, 1)}
    found = dump(env, "-c", "a.conf", **numbered)
    assert [(place, value.split()[0]) for place, value in values(found, "pool app", "server")] == [
        ("SPLICED_POOL_APP_SERVER_1", "s1"), ("SPLICED_POOL_APP_SERVER_9", "s9"),
        ("SPLICED_POOL_APP_SERVER_10", "s10")]
    found = dump(env, "-c", "a.conf", "-o", "pool.app.server=x 10.0.2.1:80", "-o",
                 "pool.app.server=y 10.0.2.2:80", "-o", "listener.web.bind=[::1]:0,127.0.0.1:0",
                 **numbered)
    assert [value.split()[0] for _, value in values(found, "pool app", "server")] == ["x", "y"]
    assert values(found, "listener web", "bind") == [
        ("-o listener.web.bind", "[::1]:0"), ("-o listener.web.bind", "127.0.0.1:0")]


@case(engines=())
def test_each_value_of_a_list_has_its_place(env):
    lists = "allow = 10.0.0.0/8\nallow = 192.0.2.0/24, ::1\nroute = path:/a -> app\n" \
            "route = path:/b -> app\nprotocol = http\n"
    write(env, "a.conf", FILE.replace("pool = app\n", "pool = app\n" + lists))
    found = dump(env, "-c", "a.conf", SPLICED_LISTENER_WEB_DENY_1="10.1.0.0/16,10.2.0.0/16",
                 SPLICED_LISTENER_WEB_DENY_2="10.3.0.0/16")
    first, *rest = (int(place.rpartition(":")[2]) for name in ("allow", "route")
                    for place, _ in values(found, "listener web", name))
    assert rest == [first + 1, first + 1, first + 2, first + 3], found
    assert values(found, "listener web", "deny") == [
        ("SPLICED_LISTENER_WEB_DENY_1", "10.1.0.0/16"),
        ("SPLICED_LISTENER_WEB_DENY_1", "10.2.0.0/16"),
        ("SPLICED_LISTENER_WEB_DENY_2", "10.3.0.0/16")]


@case(engines=())
def test_names_in_variables(env):
    """Letters, digits and '_' are all that a variable's name has."""
    write(env, "a.conf", FILE + "[pool Back-End.v2]\nserver = a 10.0.0.1:80\n")
    found = dump(env, "-c", "a.conf", SPLICED_POOL_BACK_END_V2_CONNECT_TIMEOUT="9s",
                 SPLICED_POOL_MY_OTHER_SERVER="z 10.0.0.9:80")
    assert values(found, "pool Back-End.v2", "connect_timeout") == [
        ("SPLICED_POOL_BACK_END_V2_CONNECT_TIMEOUT", "9s")]
    assert values(found, "pool my_other", "server")[0][1].startswith("z 10.0.0.9:80")
    write(env, "b.conf", FILE + "[pool a-b]\nserver = a 10.0.0.1:80\n"
                                "[pool a.b]\nserver = a 10.0.0.1:80\n")
    assert refused(env, "-c", "b.conf", SPLICED_POOL_A_B_RETRIES="1") == [
        "SPLICED_POOL_A_B_RETRIES: a-b and a.b are both called so; allowed: -o pool.NAME.retries"]


@case(engines=())
def test_includes(env):
    write(env, "etc/main.conf", FILE.replace("workers = 2", "include = conf.d/*.conf, more.conf"))
    write(env, "etc/conf.d/20.conf", "[pool b]\nserver = two 10.0.0.2:80\n")
    write(env, "etc/conf.d/10.conf", "[spliced]\nworkers = 3\ninclude = deep/*\n"
                                     "[pool a]\nserver = one 10.0.0.1:80\n")
    write(env, "etc/conf.d/ignored.txt", "nonsense\n")
    write(env, "etc/conf.d/deep/x", "[pool deep]\nserver = three 10.0.0.3:80\n")
    write(env, "etc/more.conf", "[spliced]\nengine = copy\n")
    found = dump(env, "-c", "etc/main.conf")
    assert values(found, "spliced", "workers") == [("etc/conf.d/10.conf:2", "3")]
    assert values(found, "spliced", "engine") == [("etc/more.conf:2", "copy")]
    assert list(found) == ["spliced", "listener web", "pool app", "pool a", "pool b", "pool deep"]
    assert values(found, "pool deep", "server")[0][0] == "etc/conf.d/deep/x:2"


@case(engines=())
def test_includes_from_outside_of_files(env):
    """They are files: what a variable or an option says weighs more than what is in them."""
    write(env, "main.conf", FILE.replace("workers = 2", "include = first.conf"))
    write(env, "first.conf", "[spliced]\nworkers = 3\n")
    write(env, "second/x.conf", "[spliced]\nworkers = 4\nlog_level = error\ninclude = y.conf\n"
                                "[pool back]\nserver = a 10.0.0.1:80\nretries = 1\n")
    write(env, "second/y.conf", "[pool deep]\nserver = a 10.0.0.1:80\n")
    write(env, "third.conf", "[spliced]\nworkers = 5\n")
    base = ("-c", "main.conf")
    assert values(dump(env, *base), "spliced", "workers") == [("first.conf:2", "3")]
    found = dump(env, *base, SPLICED_INCLUDE="second/x.conf", SPLICED_LOG_LEVEL="debug",
                 SPLICED_POOL_BACK_RETRIES="7")
    assert values(found, "spliced", "workers") == [("second/x.conf:2", "4")]
    assert values(found, "spliced", "log_level") == [("SPLICED_LOG_LEVEL", "debug")]
    assert values(found, "pool back", "retries") == [("SPLICED_POOL_BACK_RETRIES", "7")]
    assert values(found, "pool deep", "server")[0][0] == "second/y.conf:2"
    options = ("-o", "spliced.include=third.conf", "-o", "spliced.include=second/x.conf",
               "-o", "spliced.workers=6")
    found = dump(env, *base, *options[2:], SPLICED_INCLUDE="third.conf")
    assert values(found, "spliced", "workers") == [("-o spliced.workers", "6")]
    assert "pool back" in found
    assert refused(env, *base, *options[:4]) == [
        "second/x.conf:2: workers is already at third.conf:2; allowed: once in a section"]
    assert refused(env, *base, SPLICED_INCLUDE="none.conf") == [
        "SPLICED_INCLUDE: include: none.conf: cannot open: No such file or directory"]
    assert refused(env, *base, "-o", "spliced.include=none.conf") == [
        "-o spliced.include: include: none.conf: cannot open: No such file or directory"]


@case(engines=())
def test_includes_that_are_wrong(env):
    def messages(line, **files):
        write(env, "main.conf", FILE.replace("workers = 2", f"include = {line}"))
        for name, text in files.items():
            write(env, f"{name}.conf", text)
        return refused(env, "-c", "main.conf")

    assert messages("none.conf") == \
        ["main.conf:3: include: none.conf: cannot open: No such file or directory"]
    assert messages("main.conf") == \
        ["main.conf:3: include: main.conf is read already; allowed: each file once"]
    assert messages("/dev/zero") == \
        ["main.conf:3: include: /dev/zero: not a regular file; allowed: files"]
    os.mkfifo(env.tmp / "pipe")
    assert messages("pipe") == \
        ["main.conf:3: include: pipe: not a regular file; allowed: files"]
    assert messages("x.conf", x="[pool y]\nserver = a 1.2.3.4:80\nretries = many\n") == [
        "x.conf:3: retries: \"many\" is not a whole number; allowed: 0 to 16 attempts"]
    assert messages("x.conf", x="[pool app]\nserver = a 1.2.3.4:80\n") == [
        "x.conf:1: pool app is already at main.conf:7; allowed: each name once"]
    assert messages("x.conf", x="[spliced]\ncontrol = /x\n") == [
        "x.conf:2: control is already at main.conf:2; allowed: once in a section"]
    # Nothing there is no mistake for a pattern.
    write(env, "main.conf", FILE.replace("workers = 2", "include = none.d/*.conf"))
    assert spliced(env, "-c", "main.conf", "-t").returncode == 0


@case(engines=())
def test_variables_in_values(env):
    write(env, "a.conf", FILE.replace("10.0.0.1:80", "${ADDRESS}:${PORT:-81} weight=${W:-3}")
          + "[listener http]\nprotocol = http\nbind = 127.0.0.1:0\npool = app\n"
            "route = path:/$${X}/$1 -> app\n")
    found = dump(env, "-c", "a.conf", ADDRESS="10.9.8.7", W="")
    assert values(found, "pool app", "server")[0][1].startswith("a 10.9.8.7:81 weight=3")
    assert values(found, "listener http", "route") == [(None, "path:/$${X}/$1 -> app")]
    text = spliced(env, "-c", "a.conf", "--dump-config", ADDRESS="10.9.8.7").stdout
    write(env, "again.conf", text)
    assert spliced(env, "-c", "again.conf", "--dump-config").stdout == text
    assert refused(env, "-c", "a.conf")[0] == (
        "a.conf:8: server: the environment has no ADDRESS; allowed: one that is there, or "
        "${NAME:-TEXT}")
    assert refused(env, "-c", "a.conf", ADDRESS="1\n2")[0] == \
        "a.conf:8: server: a control byte in the value; allowed: one line"
    write(env, "b.conf", FILE.replace("workers = 2", "workers = ${2}"))
    assert refused(env, "-c", "b.conf") == [
        "b.conf:3: workers: \"${2}\" names no variable; allowed: ${NAME}, ${NAME:-TEXT}, or $${ "
        "for the characters themselves"]


@case(engines=())
def test_a_dump_is_read_back_as_it_is(env):
    """What a file could not say is no value of a variable, either."""
    write(env, "a.conf", FILE.replace("workers = 2", "access_log = /tmp/${NAME}"))
    assert refused(env, "-c", "a.conf", NAME="x ;y") == [
        "a.conf:3: access_log: a ; at the beginning or behind a space; allowed: values as in a file, where it begins "
        "a comment"]
    found = dump(env, "-c", "a.conf", NAME="x;y \t ", SPLICED_LOG_LEVEL=" debug ")
    assert values(found, "spliced", "access_log")[0][1] == "/tmp/x;y"
    done = spliced(env, "-c", "a.conf", "--dump-config", NAME="x;y \t ")
    assert "\naccess_log = /tmp/x;y\n" in done.stdout, done.stdout


@case(engines=())
def test_a_pipe_is_read_once(env):
    """By a check; a daemon reads its file again with each reload, and must not wait for who writes into it."""
    os.mkfifo(env.tmp / "pipe")
    writer = threading.Thread(target=write, args=(env, "pipe", FILE))
    writer.start()
    done = spliced(env, "-c", "pipe", "-t")
    writer.join(10)
    assert done.returncode == 0 and not writer.is_alive(), done
    done = spliced(env, "-c", "pipe")
    assert done.returncode == 2, done
    assert done.stderr == "pipe: cannot open: not a regular file: it is read again with each reload\n", done
    # One that is there by the time of a reload changes nothing.
    daemon = env.spliced(env.backend().address)
    daemon.config_path.unlink()
    os.mkfifo(daemon.config_path)
    done = process.run(daemon.control_tool, "-s", daemon.control_path, "reload", check=False)
    assert done.returncode == 1 and f"{daemon.config_path}: cannot open: not a regular file" in \
        done.stdout + done.stderr, done
    with connect(daemon.address()) as sock:
        sock.sendall(b"still there")
        assert sock.recv(100)
    daemon.config_path.unlink()


@case(engines=())
def test_a_path_of_any_bytes(env):
    """A file's name need not be UTF-8; JSON is."""
    daemon = env.spliced(env.backend().address, start=False)
    path = os.fsencode(daemon.config_path.parent) + b"/\xff.conf"
    os.rename(daemon.config_path, path)
    daemon.config_path = os.fsdecode(path)
    daemon.start()
    assert daemon.status()["config"].endswith("/?.conf"), daemon.status()["config"]


@case(engines=())
def test_a_socket_that_cannot_be_had(env):
    """The error names where it is written; a path that ends with / is a folder's."""
    for line in (f"control = {env.tmp}/", f"control = {env.tmp}/none/there/ctl"):
        write(env, "a.conf", FILE.replace("control = none", line))
        done = spliced(env, "-c", "a.conf")
        assert done.returncode in (1, 2) and "a.conf:2: control" in done.stderr.splitlines()[-1], done
    write(env, "a.conf", FILE.replace("bind = 127.0.0.1:0", f"bind = unix:{env.tmp}/"))
    said, = refused(env, "-c", "a.conf")
    assert said.startswith("a.conf:5: bind: ") and "a path that ends with / is a folder's" in said, said


@case(engines=())
def test_what_is_wrong_outside_of_files(env):
    write(env, "a.conf", FILE)
    wrong = {
        "SPLICED_WORKERS": ("many", "workers: \"many\" is not a whole number; allowed: auto, or 1 "
                                    "to 256 threads"),
        "SPLICED_LISTENER_WEB_BIND": ("nowhere", "bind: \"nowhere\": port is missing"),
        "SPLICED_POOL_APP_SERVER_1": ("a 1.2.3.4:1 ;x", "server: a ; at the beginning or behind a "
                                                        "space"),
        "SPLICED_LISTENER_X_POOL": ("app", "[listener x] has no bind; needed: bind = "),
        "SPLICED_USER": ("nobody\n", "user: a control byte in the value; allowed: one line"),
    }
    for name, (value, message) in wrong.items():
        lines = refused(env, "-c", "a.conf", **{name: value})
        assert len(lines) == 1 and lines[0].startswith(f"{name}: {message}"), lines
    wrong = {
        "workers": "no = and value behind it; allowed: spliced.KEY=VALUE, ",
        "workers=3": "names no section and key; allowed: spliced.KEY=VALUE, ",
        "pool.app=3": "names no section and key; allowed: spliced.KEY=VALUE, ",
        "server.app.x=3": "names no section and key; allowed: spliced.KEY=VALUE, ",
        "spliced.workerz=3": "unknown key \"workerz\" in [spliced], did you mean workers?",
        "pool.a b.retries=3": "\"a b\" is not a valid name; allowed: ",
        "pool.app.retries=17": "retries: \"17\" is out of range; allowed: 0 to 16 attempts",
    }
    for setting, message in wrong.items():
        lines = refused(env, "-c", "a.conf", "-o", setting)
        assert len(lines) == 1, lines
        assert lines[0].startswith(f"-o {setting.partition('=')[0]}: {message}"), lines


@case(engines=())
def test_a_file_without_a_listener(env):
    """It is to blame, whatever was read behind it."""
    write(env, "a.conf", "")
    for variables in ({}, {"SPLICED_DEBUG": "check-bytes"}, {"SPLICED_WORKERS": "2"}):
        said, = refused(env, "-c", "a.conf", **variables)
        assert said.startswith("a.conf") and "no listener; allowed: at least one [listener NAME] section" in said, said


@case(engines=())
def test_variables_of_others(env):
    """What is nearly ours is told, and what Kubernetes writes there is not."""
    write(env, "a.conf", FILE)
    done = spliced(env, "-c", "a.conf", "-t", SPLICED_WORKES="3", SPLICED_POOL_APP_SERVERS="x",
                   SPLICED_LISENER_WEB_BIND="127.0.0.1:1", SPLICED_INTERCEPTS_A_CGROUP="self",
                   SPLICED_SERVICE_HOST="10.0.0.1", SPLICED_SERVICE_PORT_HTTP="80", SPLICED_PORT="tcp://10.0.0.1:80",
                   SPLICED_PORT_80_TCP="tcp://10.0.0.1:80", SPLICED_WEB_SERVICE_HOST="10.0.0.2")
    assert done.returncode == 0, done
    warnings = [line for line in done.stderr.splitlines() if line.startswith("SPLICED")]
    assert sorted(warnings) == [
        "SPLICED_INTERCEPTS_A_CGROUP: warning: names no option, did you mean one of a [intercept NAME]?",
        "SPLICED_LISENER_WEB_BIND: warning: names no option, did you mean one of a [listener NAME]?",
        "SPLICED_POOL_APP_SERVERS: warning: names no option of a [pool NAME]",
        "SPLICED_WORKES: warning: names no option, did you mean the one of workers?"]


@case(engines=("copy",))
def test_without_a_file(env):
    """The daemon runs on variables alone; at SIGHUP they, and options -o, still count."""
    daemon = env.spliced("127.0.0.1:9", start=False)
    daemon.config_path.unlink()
    # bash leaves away the -c FILE that it is started with.
    daemon.prefix = ["env", f"SPLICED_CONTROL={daemon.control_path}", "SPLICED_USER=",
                     "SPLICED_LISTENER_WEB_BIND=127.0.0.1:0", "SPLICED_LISTENER_WEB_PROTOCOL=http",
                     "SPLICED_LISTENER_WEB_POOL=hello", "SPLICED_ENGINE=copy",
                     "SPLICED_POOL_HELLO_SERVER=demo internal:hello",
                     "bash", "-c", "exec \"$0\" -o spliced.workers=1"]
    daemon.start()
    status = daemon.status()
    assert (status["workers"], status["config"], status["engine"]) == (1, "", "copy"), status

    def served():
        with connect(daemon.address()) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return read_all(client).startswith(b"HTTP/1.1 200 ")
    assert served()
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: any("reload: " in line for line in daemon.log()), 5, "it has reloaded")
    assert not any(" error " in line for line in daemon.log()), daemon.log()
    assert served()


@case(engines=())
def test_a_default_file_that_is_missing(env):
    """Nothing set at all is a mistake, and a file that was asked for must be there."""
    if os.path.exists("/etc/spliced/spliced.conf"):
        env.skip("this machine has a /etc/spliced/spliced.conf")
    assert refused(env) == ["/etc/spliced/spliced.conf: cannot open: No such file or directory"]
    assert refused(env, "-c", "x.conf", SPLICED_WORKERS="1") == [
        "x.conf: cannot open: No such file or directory"]
    assert refused(env, SPLICED_WORKERS="1") == [
        "/etc/spliced/spliced.conf: cannot open: No such file or directory; and no listener is set without it; allowed: "
        "at least one [listener NAME] section"]
