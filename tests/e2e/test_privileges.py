# SPDX-License-Identifier: GPL-2.0-or-later
"""What the running daemon still can do, and what it holds."""

import json
import os
import pwd
import re
import shutil

from lib import case, connect, process, programs, read_exactly, wait_until
from lib.env import ROOT
from lib.host import held_programs
from lib.reloads import text_of

AT_DEBUG = False


def echo(env, proxy, data=b"hello"):
    client = env.keep(connect(proxy))
    client.sendall(data)
    assert read_exactly(client, len(data)) == data


def descriptors(pid):
    """{fd: (what it is, its fdinfo)}"""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as info:
                found[fd] = os.readlink(f"/proc/{pid}/fd/{fd}"), info.read()
        except FileNotFoundError:
            continue
    return found


@case(engines=("kernel",), core=True)
def test_no_program_is_held(env):
    """Only maps, the links without which sockops and the mark would leave their cgroup, and the program that
    chooses among one's own sockets."""
    daemon = env.spliced(env.backend().address)
    echo(env, daemon.address())
    wait_until(lambda: daemon.stats()["sessions_kernel"] == 1, 5, "the kernel has the session")
    assert not held_programs(daemon.worker_pid), held_programs(daemon.worker_pid)
    links = [(what, info) for what, info in descriptors(daemon.worker_pid).values()
             if "bpf" in what and "map_id" not in info and "prog_type" not in info]
    assert len(links) <= 2, links
    for what, info in links:
        assert "link" in what and "cgroup" in info, (what, info)


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        return dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)


def test_no_way_back(env):
    """Started by hand: every thread without a capability, and without a way to get one."""
    daemon = env.spliced(env.backend().address)
    echo(env, daemon.address())
    for task in os.listdir(f"/proc/{daemon.worker_pid}/task"):
        fields = status(f"{daemon.worker_pid}/task/{task}")
        sets = {name: int(fields[name], 16)
                for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        assert not any(sets.values()), (task, sets)
        assert fields["NoNewPrivs"] == "1", fields


def test_bounding_set_that_cannot_be_dropped(env):
    """Without CAP_SETPCAP it stays, and that is no failure."""
    daemon = env.spliced(env.backend().address,
                         prefix=("setpriv", "--bounding-set=-setpcap", "--inh-caps=-setpcap"))
    echo(env, daemon.address())
    assert int(status(daemon.worker_pid)["CapEff"], 16) == 0


# ---- system calls ------------------------------------------------------------------------------

def test_seccomp_filter(env):
    """Of every thread; and none where it is not wanted."""
    if env.sanitized:
        env.skip("not in a sanitised build")
    daemon = env.spliced(env.backend().address)
    echo(env, daemon.address())
    for task in os.listdir(f"/proc/{daemon.worker_pid}/task"):
        assert status(f"{daemon.worker_pid}/task/{task}")["Seccomp"] == "2", task
    without = env.spliced(env.backend().address, spliced={"seccomp": "no"})
    echo(env, without.address())
    assert status(without.worker_pid)["Seccomp"] == "0"


# ---- as the unit starts it -----------------------------------------------------------------------

UNIT = ROOT / "systemd" / "spliced.service"
CAPABILITIES = ("bpf", "net_admin", "perfmon", "net_bind_service")
KERNEL = CAPABILITIES[:3]


def unit_values(key):
    """What the unit says for a key, words of all its lines."""
    lines = UNIT.read_text(encoding="ascii").splitlines()
    return [word for line in lines if line.startswith(f"{key}=")
            for word in line.partition("=")[2].split()]


def numbers(names):
    """The set of capabilities as /proc has it."""
    known = {"net_bind_service": 10, "net_admin": 12, "perfmon": 38, "bpf": 39}
    return sum(1 << known[name] for name in names)


def ambient(*names, user="nobody", bounding=None):
    """What starts a program as systemd does with User= and AmbientCapabilities=."""
    gid = str(pwd.getpwnam(user).pw_gid)
    wanted = ",".join(["-all", *(f"+{name}" for name in names)])
    bound = ",".join(["-all", *(f"+{name}" for name in (bounding or names))])
    return ("setpriv", "--reuid", user, "--regid", gid, "--clear-groups", "--inh-caps", wanted,
            "--ambient-caps", wanted, "--bounding-set", bound, "--no-new-privs")


def only_root(env):
    if os.geteuid() != 0:
        env.skip("only root starts something as another user")
    env.tmp.chmod(0o777)
    for log in env.tmp.glob("*.log"):
        log.chmod(0o666)


def low_address():
    """One with a port below 1024, where nobody else listens."""
    return f"{programs.own_address()}:600"


def workers(daemon):
    """The pids of the daemon's processes that serve clients."""
    return [daemon.worker_pid]


def test_capabilities_of_the_unit(env):
    """What the tests below use is what the unit says."""
    for key in ("AmbientCapabilities", "CapabilityBoundingSet"):
        assert unit_values(key) == [f"CAP_{name.upper()}" for name in CAPABILITIES], key
    env.note(" ".join(unit_values("User")))


@case(core=True)
def test_ambient_capabilities(env):
    """As User= and AmbientCapabilities= start it: both engines work, a port below 1024 is bound,
    and afterwards nothing is left but the bounding set, which only CAP_SETPCAP can empty."""
    only_root(env)
    low = low_address()
    daemon = env.spliced(env.backend().address, prefix=ambient(*CAPABILITIES),
                         listener={"bind": low}, spliced={"user": None})
    echo(env, low)
    if env.engine == "kernel":
        wait_until(lambda: daemon.stats()["sessions_kernel"] == 1, 5, "the kernel has the session")
    for pid in workers(daemon):
        for task in os.listdir(f"/proc/{pid}/task"):
            fields = status(f"{pid}/task/{task}")
            sets = {name: int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
            assert not any(sets.values()), (task, sets)
            assert int(fields["CapBnd"], 16) == numbers(CAPABILITIES), fields["CapBnd"]
            assert fields["NoNewPrivs"] == "1", fields
    socket_file = os.stat(daemon.control_path)
    assert socket_file.st_uid == pwd.getpwnam("nobody").pw_uid, socket_file
    assert socket_file.st_mode & 0o777 == 0o660, oct(socket_file.st_mode)
    assert not any(" warning " in line for line in daemon.log()), daemon.log_tail()


def test_limits_of_the_unit(env):
    """The soft limit of descriptors is raised without CAP_SYS_RESOURCE; locked memory is not
    needed."""
    only_root(env)
    daemon = env.spliced(env.backend().address, spliced={"user": None, "max_sessions": 1000},
                         prefix=("prlimit", "--nofile=100:5000", "--memlock=0",
                                 *ambient(*CAPABILITIES)))
    echo(env, daemon.address())
    for pid in workers(daemon):
        with open(f"/proc/{pid}/limits", encoding="ascii") as limits:
            assert re.search(r"^Max open files +3024 +5000 ", limits.read(), re.M)


@case(engines=("kernel",))
def test_a_missing_capability_is_named(env):
    """Each of the three, one line; and all three in one."""
    only_root(env)
    for missing in (*((name,) for name in KERNEL), KERNEL):
        held = [name for name in CAPABILITIES if name not in missing]
        daemon = env.spliced(env.backend().address, spliced={"engine": "auto", "user": None},
                             start=False, prefix=ambient(*held, bounding=CAPABILITIES))
        daemon.start()
        with connect(daemon.address()) as client:
            client.sendall(b"x")
            assert read_exactly(client, 1) == b"x"
        lines = [line for line in daemon.log() if "is missing" in line]
        assert len(lines) == 1 and " warning engine copy: the kernel engine is off: " in lines[0], lines
        for name in KERNEL:
            assert (f"CAP_{name.upper()} is missing" in lines[0]) == (name in missing), lines
        daemon.stop()


def test_a_port_that_needs_a_capability(env):
    only_root(env)
    low = low_address()
    for where in ({"listener": {"bind": low}},
                  {"spliced": {"user": None, "status": low}}):
        daemon = env.spliced(env.backend().address, prefix=ambient(*KERNEL), start=False,
                             **{"spliced": {"user": None}, **where})
        assert start_and_fail(daemon) == 1
        lines = [line for line in daemon.log() if "this port needs CAP_NET_BIND_SERVICE" in line]
        assert len(lines) == 1 and low in lines[0], daemon.log_tail()
        assert not any("killed by" in line for line in daemon.log()), daemon.log_tail()


def start_and_fail(daemon):
    """The exit status of a start that cannot succeed."""
    try:
        daemon.start()
    except AssertionError as error:
        assert "ended at start" in str(error), error
        code, daemon.process = daemon.process.returncode, None
        return code
    raise AssertionError("it started")


def test_user_that_it_cannot_become(env):
    """Another one than it was started as: it stays, and says so. The same one: nothing to say."""
    only_root(env)
    for user, said in (("daemon", True), ("nobody", False)):
        daemon = env.spliced(env.backend().address, spliced={"user": user},
                             prefix=ambient(*CAPABILITIES))
        echo(env, daemon.address())
        assert os.stat(daemon.control_path).st_uid == pwd.getpwnam("nobody").pw_uid
        lines = [line for line in daemon.log() if "user = " in line]
        assert len(lines) == said, daemon.log_tail()
        if said:
            assert lines[0].endswith(" warning user = daemon: only root becomes another user, and it "
                                     "was started by nobody: it stays that"), lines


def test_root_that_may_not_change(env):
    """A container's root with three capabilities: a user that was written is a failure that names
    what is missing."""
    only_root(env)
    held = ",".join(["-all", *(f"+{name}" for name in KERNEL)])
    daemon = env.spliced(env.backend().address, spliced={"user": "nobody"}, start=False,
                         prefix=("setpriv", "--bounding-set", held, "--inh-caps", held))
    assert start_and_fail(daemon) == 1
    assert any("user nobody: initgroups: CAP_SETGID is missing: " in line for line in daemon.log()), \
        daemon.log_tail()


def test_root_without_chown(env):
    """The control socket stays root's, which is a warning."""
    only_root(env)
    held = ",".join(["-all", *(f"+{name}" for name in (*KERNEL, "setuid", "setgid"))])
    daemon = env.spliced(env.backend().address, spliced={"user": "nobody"},
                         prefix=("setpriv", "--bounding-set", held, "--inh-caps", held))
    echo(env, daemon.address())
    assert os.stat(daemon.control_path).st_uid == 0
    lines = [line for line in daemon.log() if "CAP_CHOWN" in line]
    assert len(lines) == 1, daemon.log_tail()
    assert lines[0].endswith(f" warning control: {daemon.control_path} stays root's, and only root may "
                             "use splicectl: chown: Operation not permitted: CAP_CHOWN is missing")


@case(engines=("copy",))
def test_root_without_a_folder(env):
    """A container's root with three capabilities, where /run/spliced is another user's: its control socket is where any
    user's would be, and splicectl of root finds it."""
    only_root(env)
    runtime = env.tmp / "runtime"
    runtime.mkdir(mode=0o700)
    held = ",".join(["-all", *(f"+{name}" for name in KERNEL)])
    # In a mount namespace of its own.
    script = ('mount -t tmpfs none /run && mkdir /run/spliced && chown nobody /run/spliced && '
              f'exec env XDG_RUNTIME_DIR={runtime} setpriv --bounding-set {held} --inh-caps {held} "$0" "$@"')
    daemon = env.spliced(env.backend().address, spliced={"user": None}, start=False,
                         prefix=("unshare", "--mount", "sh", "-c", script))
    daemon.write_config(text_of(daemon).replace(f"control = {daemon.control_path}\n", ""))
    daemon.control_path = runtime / "spliced" / "control.sock"
    daemon.start()
    echo(env, daemon.address())
    assert any(line.endswith(f"control socket: {daemon.control_path}") for line in daemon.log()), daemon.log_tail()
    done = process.run("nsenter", "--mount", "--target", str(daemon.pid), "env", f"XDG_RUNTIME_DIR={runtime}",
                       daemon.control_tool, "--json", "status")
    assert json.loads(done.stdout)["pid"] == daemon.pid, done


def test_root_without_devices(env):
    """It needs nothing of /dev, unless a standard descriptor is missing, which it says."""
    only_root(env)
    bare = ("unshare", "--mount", "sh", "-c")
    script = "mount -t tmpfs none /dev && exec"
    daemon = env.spliced(env.backend().address, prefix=(*bare, f'{script} "$0" "$@"'))
    echo(env, daemon.address())
    version = (env.build / "spliced", "--version")
    assert process.run(*bare, f'{script} "$0" "$@"', *version).stdout == process.run(*version).stdout
    done = process.run(*bare, f'{script} "$0" "$@" <&-', *version, check=False)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr == "spliced: opening /dev/null for a standard descriptor: No such file or directory\n", done


def test_access_log_that_cannot_be_given_away(env):
    """Without CAP_CHOWN the new user makes the file."""
    only_root(env)
    held = ",".join(["-all", *(f"+{name}" for name in (*KERNEL, "setuid", "setgid", "dac_override"))])
    path = env.tmp / "access.log"
    daemon = env.spliced(env.backend().address, spliced={"user": "nobody", "access_log": path},
                         prefix=("setpriv", "--bounding-set", held, "--inh-caps", held))
    with connect(daemon.address()) as client:
        client.sendall(b"x")
        assert read_exactly(client, 1) == b"x"
    wait_until(lambda: path.read_text(encoding="utf-8").count("\n") == 1, 5, "a line in the file")
    assert os.stat(path).st_uid == pwd.getpwnam("nobody").pw_uid


def test_score_of_the_unit(env):
    """systemd's own judgement: 1.7 at most."""
    if not shutil.which("systemd-analyze"):
        env.skip("systemd-analyze is not installed")
    found = process.run("systemd-analyze", "security", "--offline=yes", UNIT).stdout
    score = re.search(r"Overall exposure level for spliced.service: ([\d.]+)", found)
    assert score and float(score[1]) <= 1.7, found
    env.note(f"score {score[1]}")


def test_reload_and_upgrade_without_root(env):
    """The parent keeps what later workers need: a reload binds a port below 1024, and the worker of
    an upgrade has the engine."""
    only_root(env)
    low = low_address()
    daemon = env.spliced(env.backend().address, spliced={"user": None},
                         prefix=ambient(*CAPABILITIES))
    sections = daemon.config_path.read_text(encoding="utf-8")
    daemon.write_config(sections.replace("127.0.0.1:0", low))
    answer = daemon.control("reload")
    assert answer["reloaded"], answer
    echo(env, low)
    before = daemon.worker_pid
    daemon.control("upgrade")
    wait_until(lambda: daemon.worker_pid != before, 20, "another worker serves")
    env.check_engine(daemon)
    echo(env, low)
    assert int(status(daemon.worker_pid)["CapEff"], 16) == 0
