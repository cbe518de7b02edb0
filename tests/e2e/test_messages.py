# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon says about what is wrong, or does nothing, or is not allowed here."""

import contextlib
import fcntl
import json
import os
import pwd
import re
import shutil
import signal
import socket
import tempfile

from lib import case, connect, process, read_exactly, wait_until
from lib.reloads import text_of
from lib.spliced import config_text
from lib.tcp import free_port


def echo(env, proxy, data=b"hello"):
    with connect(proxy) as client:
        client.sendall(data)
        assert read_exactly(client, len(data)) == data


# ---- why the kernel engine is off -------------------------------------------------------------

# Denies bpf(2) with EPERM to what it executes, as the default profile of a container does.
SECCOMP = """
import ctypes, os, platform, struct, sys
number = {"x86_64": 321, "aarch64": 280, "riscv64": 280}[platform.machine()]
code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | 1), (0x06, 0, 0, 0x7fff0000)]
program = b"".join(struct.pack("HBBI", *one) for one in code)
buffer = ctypes.create_string_buffer(program)
class Fprog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
fprog = Fprog(len(code), ctypes.addressof(buffer))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(fprog), 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execvp(sys.argv[1], sys.argv[1:])
"""


def without(*caps):
    dropped = ",".join(f"-{cap}" for cap in caps)
    return "setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}"


HIDDEN_BTF = ("unshare", "--mount", "sh", "-c",
              'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh")
BLOCKED = ("python3", "-c", SECCOMP)
NAMESPACE = ("unshare", "--user", "--map-root-user")

# what takes it away -> (what is said, the check that says no)
OBSTACLES = {
    "bpf": (without("bpf", "sys_admin"), "CAP_BPF is missing", "cap_bpf"),
    "net_admin": (without("net_admin", "sys_admin"), "CAP_NET_ADMIN is missing", "cap_net_admin"),
    "perfmon": (without("perfmon", "sys_admin"), "CAP_PERFMON is missing", "cap_perfmon"),
    "btf": (HIDDEN_BTF, "no BTF: /sys/kernel/btf/vmlinux: No such file", "btf"),
    "seccomp": (BLOCKED, "bpf(2) is blocked (a seccomp profile?)", "bpf"),
    "namespace": (NAMESPACE, "not the initial user namespace", "user_namespace"),
}


@case(engines=("kernel",))
def test_what_keeps_the_kernel_engine_off(env):
    """Each is named for what it is, by doctor as text and JSON, and by the log; no other is."""
    said = {name: words for name, (_, words, _) in OBSTACLES.items()}
    for name, (prefix, words, check) in OBSTACLES.items():
        binary = env.binary("spliced")
        done = process.run(*prefix, binary, "doctor", "--json", check=False)
        assert done.returncode == 1, (name, done)
        doctor = json.loads(done.stdout)
        answers = {entry["name"]: entry["answer"] for entry in doctor["checks"]}
        assert answers[check] == "no", (name, answers)
        assert words in doctor["engine_reason"], (name, doctor["engine_reason"])
        for other, others_words in said.items():
            assert other == name or others_words not in doctor["engine_reason"], (name, doctor)
        text = process.run(*prefix, binary, "doctor", check=False).stdout
        because = next(line for line in text.splitlines() if line.startswith("Because"))
        assert words in because, (name, text)


@case(engines=())
def test_obstacles_in_the_log(env):
    for name in ("perfmon", "seccomp"):
        prefix, words, _ = OBSTACLES[name]
        daemon = env.spliced(env.backend().address, spliced={"engine": "auto"}, prefix=prefix)
        assert any(" warning engine copy: " in line and words in line for line in daemon.log()), \
            (name, daemon.log())
        echo(env, daemon.address())
        forced = env.spliced(env.backend().address, spliced={"engine": "kernel"}, prefix=prefix,
                             start=False)
        try:
            forced.start()
            raise RuntimeError("it started")
        except AssertionError as error:
            assert words in str(error), error
        forced.process = None


# ---- the file -----------------------------------------------------------------------------------

BASE = {"spliced": {"user": "", "control": "none", "engine": "copy"},
        "listener web": {"bind": "127.0.0.1:0", "pool": "main"},
        "pool main": {"server": "a 127.0.0.1:9"}}


def checked(env, change, **sections):
    """(exit status, {line's text: message}) of -t on BASE with what `sections` says; what is said of
    no line is at None."""
    config = {name: dict(options) for name, options in BASE.items()}
    config.update(change)
    for name, options in sections.items():
        config[name].update(options)
    path = env.tmp / "test.conf"
    text = config_text(config)
    path.write_text(text, encoding="utf-8")
    done = process.run(env.binary("spliced"), "-t", "-c", path, check=False)
    lines = text.splitlines()
    found = {}
    for number, message in re.findall(rf"^{re.escape(str(path))}(?::(\d+))?: (.*)$", done.stderr,
                                      re.M):
        if message != "the configuration is valid":
            found.setdefault(lines[int(number) - 1] if number else None, []).append(message)
    return done.returncode, found


def listeners(*binds, **options):
    return {f"listener l{i}": {"bind": bind, "pool": "main", **options}
            for i, bind in enumerate(binds)}


@case(engines=())
def test_binds_that_collide(env):
    """What the start would find, -t finds."""
    collide = (("0.0.0.0:80", "127.0.0.1:80"), ("127.0.0.1:80", "0.0.0.0:80"),
               ("[::]:80", "[::1]:80"), ("[::1]:80", "[::]:80"), ("0.0.0.0:80", "0.0.0.0:80"),
               ("unix:/run/x", "unix:/run/x"), ("unix:@x", "unix:@x"))
    for pair in collide:
        status, found = checked(env, listeners(*pair))
        assert status == 2 and list(found) == [f"bind = {pair[1]}"] or pair[0] == pair[1], found
        assert any("bound" in message for messages in found.values() for message in messages), found
    for pair in (("0.0.0.0:80", "[::]:80"), ("127.0.0.1:80", "127.0.0.2:80"),
                 ("127.0.0.1:80", "[::]:80"), ("0.0.0.0:80", "127.0.0.1:81"),
                 ("0.0.0.0:0", "127.0.0.1:0")):
        status, found = checked(env, listeners(*pair))
        assert status == 0, (pair, found)
    for other in ("0.0.0.0:80", "127.0.0.1:80"):
        dual = {**listeners(other), **{"listener dual": {
            "bind": "[::]:80", "pool": "main", "ipv6_only": "no"}}}
        status, found = checked(env, dual)
        assert status == 2 and "bind = [::]:80" in found, (other, found)
    status, found = checked(env, {
        "spliced": {**BASE["spliced"], "control": "/run/x"}, **listeners("unix:/run/x")})
    assert status == 2 and "control socket" in found["bind = unix:/run/x"][0], found


@case(engines=("copy",))
def test_what_collides_does_not_start(env):
    """The other direction: -t is not stricter than the start."""
    address, holder = free_port()
    port = address.rpartition(":")[2]
    holder.close()
    daemon = env.spliced(config={**BASE, **listeners(f"0.0.0.0:{port}", f"127.0.0.1:{port}")},
                         start=False)
    done = process.run(daemon.binary, "-c", daemon.config_path, check=False)
    assert done.returncode == 2, done


@case(engines=())
def test_options_that_do_nothing(env):
    cases = (
        ({"body_max": "1M"}, "body_max = 1M", "http"),
        ({"x_forwarded_for": "replace"}, "x_forwarded_for = replace", "http"),
        ({"protocol": "tls", "head_timeout": "1s"}, "head_timeout = 1s", "http"),
        ({"auto_wait": "1s"}, "auto_wait = 1s", "auto"),
        ({"protocol": "http", "auto_wait": "1s"}, "auto_wait = 1s", "auto"),
        ({"protocol": "http", "idle_timeout": "1s"}, "idle_timeout = 1s", "tcp"),
        ({"unix_mode": "0600"}, "unix_mode = 0600", "unix:"),
        ({"ipv6_only": "no"}, "ipv6_only = no", "IPv6"),
        ({"trusted": "10.0.0.0/8"}, "trusted = 10.0.0.0/8", "accept_proxy"),
        ({"sniff_timeout": "1s"}, "sniff_timeout = 1s", "tcp"),
    )
    for options, line, words in cases:
        status, found = checked(env, {}, **{"listener web": options})
        assert status == 0, (options, found)
        assert len(found[line]) == 1 and found[line][0].startswith("warning: "), (options, found)
        assert "does nothing" in found[line][0] and words in found[line][0], (options, found)
    meant = ({"protocol": "http", "body_max": "1M", "head_timeout": "1s"},
             {"protocol": "auto", "body_max": "1M", "auto_wait": "1s", "idle_timeout": "1s",
              "trusted": "10.0.0.0/8"},
             {"bind": "unix:/run/x", "unix_mode": "0600"},
             {"bind": "[::1]:0", "ipv6_only": "no"},
             {"accept_proxy": "v2", "sniff_timeout": "1s", "trusted": "10.0.0.0/8"})
    for options in meant:
        status, found = checked(env, {}, **{"listener web": options})
        warnings = {line: messages for line, messages in found.items() if line != "[spliced]"}
        assert status == 0 and not warnings, (options, found)


@case(engines=())
def test_pools_that_do_nothing(env):
    status, found = checked(env, {"pool spare": {"server": "a 127.0.0.1:9"}})
    assert status == 0 and "used by no listener" in found["[pool spare]"][0], found
    status, found = checked(env, {"pool spare": {"server": "a 127.0.0.1:9"},
                                  "listener web": {"bind": "127.0.0.1:0", "pool": "main",
                                                   "route": "src:10.0.0.0/8 -> spare"}})
    assert status == 0 and not found, found
    for key, value in (("keepalive", "3"), ("reuse", "always")):
        status, found = checked(env, {}, **{"pool main": {key: value}})
        assert status == 0 and "does nothing in [pool main]" in found[f"{key} = {value}"][0], found
        status, found = checked(env, {}, **{"pool main": {key: value},
                                            "listener web": {"protocol": "http"}})
        assert status == 0 and not found, found


@case(engines=())
def test_a_bypass_that_does_nothing(env):
    both = {"listener web": {"local_bypass": "both"}}
    status, found = checked(env, {}, **both)
    assert status == 0 and "local_bypass does nothing" in found["[listener web]"][0], found
    status, found = checked(env, {}, spliced={"bypass_cgroup": "/nonexistent"}, **both)
    [message] = found["bypass_cgroup = /nonexistent"]
    assert status == 0 and "no bypass" in message and "No such file" in message, found
    status, found = checked(env, {}, spliced={"bypass_cgroup": env.tmp})
    assert status == 0 and "does nothing" in found[f"bypass_cgroup = {env.tmp}"][0], found
    status, found = checked(env, {}, spliced={"bypass_cgroup": env.tmp}, **both)
    [message] = found[f"bypass_cgroup = {env.tmp}"]
    assert status == 0 and "no bypass" in message and "not of a cgroup2 mount" in message, found
    status, found = checked(env, {}, spliced={"bypass_cgroup": env.cgroup().path}, **both)
    assert status == 0 and not set(found) - {"[spliced]"}, found


@case(engines=("copy",))
def test_warnings_at_the_start(env):
    daemon = env.spliced(env.backend().address, listener={"body_max": "1M"},
                         more={"pool spare": {"server": "a 127.0.0.1:9"}})
    warnings = [line for line in daemon.log() if " warning " in line]
    assert any("body_max does nothing" in line and f"{daemon.config_path}:" in line
               for line in warnings), warnings
    assert any("[pool spare]" in line for line in warnings), warnings


@case(engines=())
def test_inline_hash(env):
    status, found = checked(env, {}, spliced={"workers": "2 # two"})
    message = found["workers = 2 # two"][0]
    assert status == 2 and "starts with ;" in message, message
    status, found = checked(env, {}, spliced={"control": "/run/x.sock # here"})
    message = found["control = /run/x.sock # here"][0]
    assert status == 0 and message.startswith("warning: ") and "starts with ;" in message, message
    status, found = checked(env, {}, spliced={"workers": "2 ; two"})
    assert status == 0 and not found, found


@case(engines=())
def test_root_that_stays_root(env):
    if os.geteuid() != 0:
        env.skip("root only")
    try:
        pwd.getpwnam("spliced")
        env.skip("the default user exists here")
    except KeyError:
        pass
    sections = {name: dict(options) for name, options in BASE.items()}
    del sections["spliced"]["user"]
    status, found = checked(env, sections)
    assert status == 0, found
    assert list(found) == [None], found     # no line says it
    assert "(the default)" in found[None][0] and "stays root" in found[None][0], found
    daemon = env.spliced(config={**sections, "spliced": {**sections["spliced"],
                                                         "log_target": "stderr"}})
    assert any(" warning " in line and "stays root" in line for line in daemon.log()), daemon.log()


@case(engines=("copy",), debug=False)
def test_reload_names_what_waits_for_a_restart(env):
    daemon = env.spliced(env.backend().address)
    text = daemon.config_path.read_text(encoding="utf-8")

    def reload(changed):
        before = len([line for line in daemon.log() if " reload: " in line])
        daemon.write_config(changed)
        daemon.signal(signal.SIGHUP)
        return wait_until(lambda: [line for line in daemon.log() if " reload: " in line][before:],
                          5, "reloaded")[-1]

    assert "all of it is in effect" in reload(text)
    assert "all of it is in effect" in reload(text.replace("[spliced]",
                                                           "[spliced]\nlog_level = debug"))
    line = reload(text.replace("workers = 2", "workers = 1").replace(
        "[spliced]", "[spliced]\nseccomp = no").replace(
        "bind = 127.0.0.1:0", "bind = 127.0.0.1:0\nbacklog = 7\nipv6_only = no")
        + "\n[pool fresh]\nserver = a 127.0.0.1:9\n")
    assert line.endswith("waits for a restart: workers, seccomp"), line
    assert "all of it is in effect" in reload(
        text.replace("pool main", "pool other").replace("pool = main", "pool = other"))


# ---- IPv4 on IPv6 ----------------------------------------------------------------------------------

def test_ipv6_only(env):
    only = env.spliced(env.backend().address, listener={"bind": "[::]:0"})
    assert any("(IPv6 only)" in line for line in only.log()), only.log()
    port = only.address().rpartition(":")[2]
    echo(env, f"[::1]:{port}")
    # Somebody else may have that port of IPv4.
    with contextlib.suppress(ConnectionRefusedError):
        connect(f"127.0.0.1:{port}", timeout=1).close()
    echo(env, f"[::1]:{port}")
    only.wait_sessions(0)
    assert only.stats()["sessions_total"] == 2, "it takes IPv4"


def test_ipv4_comes_with_an_upgrade(env):
    """The socket that takes none, at a port that the kernel chose, is not the one that is wanted then."""
    daemon = env.spliced(env.backend().address, listener={"bind": "[::]:0"})
    daemon.write_config(text_of(daemon).replace("bind = [::]:0", "bind = [::]:0\nipv6_only = no"))
    daemon.control("upgrade")
    wait_until(lambda: daemon.status()["generation"] == 2, 20, "another worker serves")
    assert any("(IPv6 and IPv4)" in line for line in daemon.log()), daemon.log()
    port = daemon.address().rpartition(":")[2]
    for host in ("127.0.0.1", "[::1]"):
        echo(env, f"{host}:{port}")


def test_ports_that_are_named(env):
    """A single address of IPv6 is looked at for others who listen there, as one of IPv4 is."""
    for host in ("127.0.0.1", "::1"):
        address, holder = free_port(host)
        holder.close()
        daemon = env.spliced(env.backend().address, listener={"bind": address})
        echo(env, address)
        daemon.stop()


def test_ipv6_that_takes_ipv4(env):
    """A client of IPv4 is known by its IPv4 address: in the log, in allow, to the server."""
    seen = []

    def serve(sock):
        head = b""
        while not head.endswith(b"\r\n"):
            head += sock.recv(1)
        seen.append(head)
        while data := sock.recv(1 << 16):
            sock.sendall(data)

    daemon = env.spliced(env.backend(serve).address, pool={"send_proxy": "v1"},
                         listener={"bind": "[::]:0", "ipv6_only": "no",
                                   "allow": "127.0.0.1, ::1", "deny": "127.0.0.2"})
    assert any("(IPv6 and IPv4)" in line for line in daemon.log()), daemon.log()
    port = int(daemon.address().rpartition(":")[2])
    for host in ("127.0.0.1", "[::1]"):
        with connect(f"{host}:{port}") as client:
            client.sendall(b"x" * 200_000)
            assert read_exactly(client, 200_000) == b"x" * 200_000
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
    lines = daemon.wait_access(2)
    assert lines[0]["client"].startswith("127.0.0.1:"), lines
    assert lines[1]["client"].startswith("[::1]:"), lines
    assert [line["end"] for line in lines] == ["done", "done"], lines
    assert seen[0].startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 "), seen
    assert seen[1].startswith(b"PROXY TCP6 ::1 ::1 "), seen
    try:
        with connect(f"127.0.0.1:{port}", source="127.0.0.2") as client:
            assert client.recv(1) == b"", "denied, and yet served"
    except ConnectionResetError:
        pass
    wait_until(lambda: daemon.stats()["denied"] == 1, 5, "denied")


# ---- an ordinary user --------------------------------------------------------------------------------

@contextlib.contextmanager
def fallback_of(user):
    """The folder in /tmp that a user's daemon may use; nobody else's test does meanwhile."""
    path = f"/tmp/spliced-{user.pw_uid}"
    with open(f"{path}.tests", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(path, ignore_errors=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


@case(engines=())
def test_quick_start_of_an_ordinary_user(env):
    """The copy engine, and a control socket where splicectl of the same user finds it."""
    if os.geteuid() != 0:
        env.skip("only root becomes another user")
    user = pwd.getpwnam("nobody")
    port = free_port()
    port[1].close()
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(f"{root}/conf/quickstart.conf", encoding="utf-8") as file:
        text = file.read().replace("127.0.0.1:8080", port[0])
    with fallback_of(user) as fallback, tempfile.TemporaryDirectory() as directory:
        os.chown(directory, user.pw_uid, user.pw_gid)
        for name in ("spliced", "splicectl"):
            shutil.copy(env.binary(name), f"{directory}/{name}")
        conf, log = f"{directory}/quick.conf", f"{directory}/log"
        with open(conf, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(directory, 0o755)
        runtime = f"{directory}/run"
        os.mkdir(runtime, 0o700)
        os.chown(runtime, user.pw_uid, user.pw_gid)
        become = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups",
                  "env")
        for setting, where in ((f"XDG_RUNTIME_DIR={runtime}", f"{runtime}/spliced/control.sock"),
                               ("-uXDG_RUNTIME_DIR", f"{fallback}/control.sock")):
            script = f"""
                {directory}/spliced -c {conf} 2>{log} & pid=$!
                for i in $(seq 500); do
                    {directory}/splicectl --json status && break
                    kill -0 $pid || break
                    sleep 0.02
                done 2>{directory}/errors
                curl -s http://{port[0]}/ >&2
                kill $pid; wait $pid"""
            done = process.run(*become, setting, "sh", "-c", script, check=False, timeout=40)
            with open(log, encoding="utf-8") as file:
                told = file.read()
            assert done.returncode == 0, (done, told)
            assert json.loads(done.stdout)["engine"] == "copy", done
            assert "hello server" in done.stderr, done
            assert f"control socket: {where}" in told, told
            assert "CAP_BPF is missing" in told, told


@case(engines=())
def test_folder_of_somebody_else(env):
    """A stranger's /tmp/spliced-UID is neither used nor believed."""
    if os.geteuid() != 0:
        env.skip("only root becomes another user")
    user = pwd.getpwnam("nobody")
    with fallback_of(user) as fallback, tempfile.TemporaryDirectory() as directory:
        os.mkdir(fallback, 0o755)   # root's
        for name in ("spliced", "splicectl"):
            shutil.copy(env.binary(name), f"{directory}/{name}")
        os.chmod(directory, 0o755)
        path = f"{directory}/t.conf"
        with open(path, "w", encoding="utf-8") as file:
            file.write(config_text({"listener web": BASE["listener web"],
                                    "pool main": BASE["pool main"]}))
        done = process.run("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}",
                           "--clear-groups", "env", "-uXDG_RUNTIME_DIR", f"{directory}/spliced",
                           "-c", path, check=False)
        assert done.returncode == 1, done
        assert f"a folder for the control socket instead: {fallback}: Operation not permitted" in done.stderr, done
