# SPDX-License-Identifier: GPL-2.0-or-later
"""Where log lines go, what they look like there, and what happens when nobody takes them."""

import json
import os
import pwd
import re
import signal
import socket
import tempfile

from lib import case, connect, process, read_exactly, wait_until
from lib.http import Client, Origin
from lib.http import proxy as http_proxy
from lib.proxyheader import LOCAL, UNSPEC, v1, v2, v2_raw
from lib.wait import stays

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def echo(env, proxy, data=b"hello"):
    """A session with one round, which ends."""
    with connect(proxy) as client:
        client.sendall(data)
        assert read_exactly(client, len(data)) == data


def lines_of(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return text[:text.rfind("\n") + 1].splitlines()


def wait_lines(path, number, seconds=5):
    def enough():
        lines = lines_of(path)
        return lines if len(lines) >= number else None
    return wait_until(enough, seconds, f"{number} lines in {path}", poll=0.02)


# ---- JSON ------------------------------------------------------------------------------------

def test_json_is_all_there_is_on_the_stream(env):
    daemon = env.spliced(env.backend().address, spliced={"access_log_format": "json"})
    echo(env, daemon.address())
    daemon.signal(signal.SIGALRM)
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: any("reload" in line for line in daemon.log()), 5, "reloaded")
    wait_until(lambda: any('"session"' in line for line in daemon.log()), 5, "an access line")
    daemon.stop()
    lines = [json.loads(line) for line in daemon.log()]
    for line in lines:
        assert re.fullmatch(TIME, line["time"]), line
        assert line["level"] in ("error", "warning", "info", "debug"), line
        assert line["kind"] in ("message", "session"), line
    session = next(line for line in lines if line["kind"] == "session")
    assert list(session)[:4] == ["time", "level", "kind", "id"] and session["end"] == "done", session
    messages = [line["message"] for line in lines if line["kind"] == "message"]
    assert any(message.startswith("ready: ") for message in messages), messages
    assert any("SIGALRM" in message for message in messages), messages
    assert messages[-1] == "ended", messages


def test_json_of_its_own(env):
    """On another stream there are access lines and nothing else; messages stay text."""
    path = env.tmp / "access.json"
    daemon = env.spliced(env.backend().address,
                         spliced={"access_log": path, "access_log_format": "json"})
    for _ in range(3):
        echo(env, daemon.address())
    entries = [json.loads(line) for line in wait_lines(path, 3)]
    assert [entry["kind"] for entry in entries] == ["session"] * 3, entries
    assert not any("session id=" in line or line.startswith("{") for line in daemon.log())
    assert any(re.match(TIME + " info listener web: ", line) for line in daemon.log()), daemon.log()


# ---- files -------------------------------------------------------------------------------------

def test_rotation(env):
    """rename + SIGUSR1, as logrotate does it: no line is lost, none is in two files."""
    path, old = env.tmp / "access.log", env.tmp / "access.log.1"
    daemon = env.spliced(env.backend().address, spliced={"access_log": path})
    for _ in range(3):
        echo(env, daemon.address())
    wait_lines(path, 3)
    path.rename(old)
    echo(env, daemon.address())     # still goes to the old one
    wait_lines(old, 4)
    daemon.signal(signal.SIGUSR1)
    wait_until(path.exists, 5, "the file is made again")
    for _ in range(2):
        echo(env, daemon.address())
    wait_lines(path, 2)
    daemon.stop()
    lines = lines_of(old) + lines_of(path)
    ids = [int(re.search(r"session id=(\d+) ", line)[1]) for line in lines]
    assert ids == [1, 2, 3, 4, 5, 6], lines
    assert all(re.match(TIME + " info session id=", line) for line in lines), lines
    assert (os.stat(path).st_mode & 0o777) == 0o640
    assert any("opened again" in line for line in daemon.log()), daemon.log_tail()


def test_a_reopen_that_fails_keeps_the_old_file(env):
    directory = env.tmp / "logs"
    directory.mkdir()
    path = directory / "access.log"
    daemon = env.spliced(env.backend().address, spliced={"access_log": path})
    echo(env, daemon.address())
    wait_lines(path, 1)
    moved = env.tmp / "moved"
    directory.rename(moved)
    daemon.signal(signal.SIGUSR1)
    line = wait_until(lambda: next((line for line in daemon.log() if "the old one is kept" in line),
                                   None), 5, "it says so")
    assert " error " in line and str(path) in line and "No such file" in line, line
    echo(env, daemon.address())
    assert len(wait_lines(moved / "access.log", 2)) == 2


def test_file_of_the_user(env):
    """Opened by root, opened again by the user the daemon has become."""
    if os.geteuid() != 0:
        env.skip("only root becomes another user")
    user = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        os.chmod(env.tmp, 0o755)
        path = f"{directory}/access.log"
        daemon = env.spliced(env.backend().address, spliced={"access_log": path, "user": "nobody"})
        assert os.stat(path).st_uid == user.pw_uid
        echo(env, daemon.address())
        wait_lines(path, 1)
        # As logrotate with `create 0640 nobody nogroup`: the folder stays root's.
        os.rename(path, path + ".1")
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o640))
        os.chown(path, user.pw_uid, user.pw_gid)
        daemon.signal(signal.SIGUSR1)
        wait_until(lambda: any("opened again" in line for line in daemon.log()), 5, "opened again")
        echo(env, daemon.address())
        wait_lines(path, 1)
        # Without that it may not, and says so.
        os.rename(path, path + ".2")
        daemon.signal(signal.SIGUSR1)
        wait_until(lambda: any("Permission denied" in line for line in daemon.log()), 5, "it says so")
        echo(env, daemon.address())
        wait_lines(path + ".2", 2)


def check_folder_of_the_user(env, prefix):
    if os.geteuid() != 0:
        env.skip("only root becomes another user")
    user = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(env.tmp, 0o755)
        os.chown(directory, user.pw_uid, user.pw_gid)
        os.chmod(directory, 0o755)
        path = f"{directory}/access.log"
        daemon = env.spliced(env.backend().address, prefix=prefix,
                             spliced={"access_log": path, "user": "nobody"})
        echo(env, daemon.address())
        wait_lines(path, 1)
        assert os.stat(path).st_uid == user.pw_uid
        os.rename(path, path + ".1")
        daemon.signal(signal.SIGUSR1)
        wait_until(lambda: os.path.exists(path), 5, "made again")
        echo(env, daemon.address())
        wait_lines(path, 1)


def test_folder_of_the_user(env):
    """Made by root for the user, and again by the user."""
    check_folder_of_the_user(env, ())


def test_folder_of_the_user_alone(env):
    """Where root has no CAP_DAC_OVERRIDE, as under the unit, the user's folder is the user's."""
    check_folder_of_the_user(env, (
        "setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"))


@case(engines=("copy",))
def test_file_that_cannot_be_opened(env):
    for path in (env.tmp / "none/access.log", env.tmp):
        daemon = env.spliced(env.backend().address, spliced={"access_log": path}, start=False)
        try:
            daemon.start()
            raise RuntimeError("it started")
        except AssertionError as error:
            line = daemon.config_path.read_text(encoding="utf-8").splitlines().index(f"access_log = {path}") + 1
            assert "exit 1" in str(error) and f"{daemon.config_path}:{line}: access_log = {path}: " in str(error), error
        daemon.process = None


@case(engines=())
def test_file_of_an_included_one_that_cannot_be_opened(env):
    """At a reload: the message names where it was written."""
    more = env.tmp / "more.conf"
    daemon = env.spliced(env.backend().address, spliced={"access_log": None, "include": more}, start=False)
    more.write_text("")
    daemon.start()
    path = env.tmp / "none/access.log"
    more.write_text(f"[spliced]\naccess_log = {path}\n")
    done = process.run(daemon.control_tool, "-s", daemon.control_path, "reload", check=False)
    assert done.returncode == 1, done
    assert f"{more}:2: access_log = {path}: No such file or directory" in done.stdout + done.stderr, done


def test_link_in_a_strangers_folder(env):
    """Root does not follow what another user may have put there."""
    if os.geteuid() != 0:
        env.skip("only root has something to lose")
    user = pwd.getpwnam("nobody")
    directory, target = env.tmp / "theirs", env.tmp / "precious"
    directory.mkdir()
    target.write_text("precious\n", encoding="utf-8")
    os.symlink(target, directory / "access.log")
    os.chown(directory, user.pw_uid, user.pw_gid)
    daemon = env.spliced(env.backend().address, start=False,
                         spliced={"access_log": directory / "access.log"})
    try:
        daemon.start()
        raise RuntimeError("it started")
    except AssertionError as error:
        assert "symbolic links" in str(error), error
    daemon.process = None
    assert target.read_text(encoding="utf-8") == "precious\n"


# ---- other places ----------------------------------------------------------------------------

def test_standard_output(env):
    path = env.tmp / "stdout"
    daemon = env.spliced(env.backend().address, spliced={"access_log": "stdout"},
                         prefix=("sh", "-c", f'exec "$@" >{path}', "sh"))
    echo(env, daemon.address())
    assert "session id=1 " in wait_lines(path, 1)[0]
    daemon.stop()
    assert not any("session id=" in line for line in daemon.log()), daemon.log_tail()
    assert len(lines_of(path)) == 1, lines_of(path)


def receive(sock):
    sock.settimeout(10)
    return sock.recv(8192).decode()


def test_syslog_unix(env):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(env.tmp / "log"))
        daemon = env.spliced(env.backend().address, spliced={
            "access_log": f"syslog:{env.tmp}/log,facility=local7,tag=web"})
        echo(env, daemon.address())
        line = receive(log)
        assert re.fullmatch(r"<190>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d web\[%d\]: session id=1 .* "
                            r"end=done" % daemon.worker_pid, line), line
        # Started again: a new socket under the same name.
        log.close()
        os.unlink(env.tmp / "log")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
            again.bind(str(env.tmp / "log"))
            echo(env, daemon.address())
            assert "session id=2 " in receive(again)


def test_syslog_udp(env):
    for host, family in (("127.0.0.1", socket.AF_INET), ("[::1]", socket.AF_INET6)):
        with socket.socket(family, socket.SOCK_DGRAM) as log:
            log.bind((host.strip("[]"), 0))
            port = log.getsockname()[1]
            daemon = env.spliced(env.backend().address, spliced={
                "access_log": f"syslog:{host}:{port}", "access_log_format": "json"})
            echo(env, daemon.address())
            line = receive(log)
            head, _, text = line.partition(" - - ")
            assert re.fullmatch(r"<30>1 %s \S+ spliced %d" % (TIME, daemon.worker_pid), head), line
            assert json.loads(text)["end"] == "done", line
            daemon.stop()


def test_sighup_changes_the_place(env):
    first, second = env.tmp / "first", env.tmp / "second"
    daemon = env.spliced(env.backend().address, spliced={"access_log": first})
    echo(env, daemon.address())
    wait_lines(first, 1)
    text = daemon.config_path.read_text(encoding="utf-8")

    def reload(value, word):
        before = len([line for line in daemon.log() if "reload: " in line and word in line])
        daemon.write_config(text.replace(f"access_log = {first}", f"access_log = {value}"))
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: [line for line in daemon.log() if "reload: " in line and word in line
                            ][before:] or None, 5, f"reload says {word!r}")

    reload(second, "is valid")
    echo(env, daemon.address())
    wait_lines(second, 1)
    reload(env.tmp / "no/such", "nothing is changed")
    echo(env, daemon.address())
    wait_lines(second, 2)
    assert len(lines_of(first)) == 1
    daemon.stop()


# ---- readers that do not read -------------------------------------------------------------------

def test_stuck_reader_costs_lines_and_nothing_else(env):
    """A pipe that nobody empties: sessions go on, what is lost is counted, and told afterwards."""
    path = env.tmp / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        daemon = env.spliced(env.backend().address, spliced={"access_log": path})
        proxy = daemon.address()

        def lose():
            for _ in range(100):
                echo(env, proxy)
            return daemon.stats()["log_lost"] > 100
        # Its queue and the pipe hold some thousand lines.
        wait_until(lose, 60, "lines are lost", poll=0)
        lost = daemon.stats()["log_lost"]
        got = bytearray()

        def drained():
            try:
                while data := os.read(reader, 1 << 20):
                    got.extend(data)
            except BlockingIOError:
                pass
            return any("lines were lost" in line for line in daemon.log())
        wait_until(drained, 10, "the loss is told", poll=0.01)
        lines = got.decode().splitlines()
        assert all(re.match(TIME + " info session id=", line) and line.endswith("end=done")
                   for line in lines[:-1]), "a line is not whole"
        told = next(line for line in daemon.log() if "lines were lost" in line)
        assert str(path) in told and int(re.search(r"(\d+) lines were lost", told)[1]) >= lost, told
        echo(env, proxy)
    finally:
        os.close(reader)


def test_stuck_reader_of_the_messages(env):
    """The same of standard error, and it ends in time all the same."""
    read_end, write_end = os.pipe()
    try:
        daemon = env.spliced(env.backend().address, start=False)
        daemon.start(output=write_end)
        proxy = daemon.address()
        for _ in range(500):
            echo(env, proxy)
        daemon.stop(seconds=10)
    finally:
        os.close(read_end)
        os.close(write_end)


@case(engines=("copy",))
def test_full_disk(env):
    daemon = env.spliced(env.backend().address, spliced={"access_log": "/dev/full"})
    for _ in range(5):
        echo(env, daemon.address())
    wait_until(lambda: daemon.stats()["log_lost"] == 5, 5, "five lines are lost")
    wait_until(lambda: any("No space left" in line for line in daemon.log()), 5, "it says why")


@case(engines=("copy",))
def test_no_standard_descriptors(env):
    """Whoever starts it without them must not get log lines into a socket."""
    daemon = env.spliced(env.backend().address, prefix=(
        "sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"))
    echo(env, daemon.address())
    for fd in range(3):
        assert os.readlink(f"/proc/{daemon.worker_pid}/fd/{fd}") == "/dev/null"
    daemon.stop()


# ---- what is left out --------------------------------------------------------------------------

def test_empty_probes(env):
    """log_empty = no: a connection without a byte has no line, everything else has."""
    daemon = env.spliced(env.backend().address, spliced={"log_empty": "no"},
                         more={"listener sniffed": {"bind": "127.0.0.1:0", "protocol": "tls",
                                                    "pool": "main"}})
    for name in ("web", "sniffed"):
        for _ in range(3):
            connect(daemon.address(name)).close()
    echo(env, daemon.address())
    daemon.wait_access(1)
    daemon.wait_sessions(0)
    stays(lambda: len(daemon.access_log()) == 1, 0.3, "one line")
    assert daemon.access_log()[0]["bytes_up"] == "5"
    assert daemon.stats()["sessions_total"] == 7


def test_probes_with_a_proxy_header(env):
    """log_empty = no: a load balancer's probe may announce itself, or a client of its own; what is
    no whole header, or has a byte behind it, has a line."""
    listeners = {name: {"bind": "127.0.0.1:0", "protocol": name, "pool": "main",
                        "accept_proxy": "any"} for name in ("tls", "http", "auto")}
    daemon = env.spliced(env.backend().address, spliced={"log_empty": "no"},
                         listener={"accept_proxy": "any"},
                         more={f"listener {name}": keys for name, keys in listeners.items()})
    names = ("web", *listeners)
    headers = (v1(("192.0.2.1", 1), ("192.0.2.2", 2)), b"PROXY UNKNOWN\r\n",
               v2_raw(LOCAL, UNSPEC, b""), v2(("192.0.2.1", 1), ("192.0.2.2", 2)))
    for name in names:
        for header in headers:
            with connect(daemon.address(name)) as client:
                client.sendall(header)
                client.shutdown(socket.SHUT_WR)
                assert client.recv(1) == b""
    daemon.wait_sessions(0)
    stays(lambda: daemon.access_log() == [], 0.3, "no line")
    assert daemon.stats()["sessions_total"] == len(names) * len(headers)
    for n, sent in enumerate((headers[0] + b"x", headers[0][:-1], b"PROXY nonsense\r\n"), 1):
        with connect(daemon.address()) as client:
            client.sendall(sent)
            if n < 3:       # the last is refused, whoever ends first
                client.shutdown(socket.SHUT_WR)
            daemon.wait_access(n)
    assert [line["bytes_up"] for line in daemon.access_log()] == ["1", "0", "0"]


def test_empty_probes_are_logged_by_default(env):
    daemon = env.spliced(env.backend().address)
    connect(daemon.address()).close()
    assert daemon.wait_access(1)[0]["bytes_up"] == "0"


def test_repeated_warnings(env):
    """A server that answers nonsense again and again: some warnings, and how many more."""
    def nonsense(connection):
        connection.head()
        connection.send(b"nonsense\r\n\r\n")

    origin = Origin(env, serve=nonsense)
    daemon = http_proxy(env, origin.address)
    for _ in range(80):
        with Client(daemon.address()) as client:
            assert client.ask().status == 502

    def warnings():
        return [line for line in daemon.log() if " warning " in line and "response: " in line]
    left = re.compile(r" (\d+) more like this were left out: ")

    def all_told():
        told = sum(int(found[1]) if (found := left.search(line)) else 1 for line in warnings())
        return told == 80 and "yes"
    wait_until(all_told, 15, "every one is written or counted")
    assert len(warnings()) < 50, len(warnings())
