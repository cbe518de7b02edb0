# SPDX-License-Identifier: GPL-2.0-or-later
"""The image, as conf/container/ describes it: a user that is nobody, three capabilities, a root that is read-only."""

import contextlib
import json
import os
import re
from pathlib import Path

from lib import case, process
from lib.container import BUNDLE, Container, busybox, forget_cgroups, in_network, needed, spliced_config
from lib.env import ROOT
from lib.wait import wait_until

AT_DEBUG = False

PAGE = "".join(f"line {number} of what is asked for\n" for number in range(50_000))
CONF = """
[spliced]
engine = kernel
engage_after = 0
workers = 1
max_sessions = 256
shutdown_grace = 10s

[intercept outbound]
cgroup = pod
outbound = 8080
intercept = require
listener = outbound

[listener outbound]
bind = 127.0.0.1:15001
protocol = auto
pool = original

[pool original]
server = any original:
"""


def network(env, name):
    """The pod's, which its containers share."""
    env.remember_netns(name)
    process.run("ip", "netns", "add", name)
    process.run("ip", "-n", name, "link", "set", "lo", "up")


def application(folder, config, netns):
    """(its configuration, its file system): a web server that has no right at all."""
    root = busybox(folder / "app")
    (root / "www/index.html").write_text(PAGE, encoding="ascii")
    app = in_network(config, netns)
    app["mounts"] = [mount for mount in app["mounts"] if mount["destination"] in ("/proc", "/dev", "/sys")]
    app["process"].update(args=["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"], capabilities={})
    del app["linux"]["seccomp"]
    return app, root


@contextlib.contextmanager
def pod(env, change=lambda config: None, conf=CONF, alone=False, netns=None):
    """spliced's container, and the application's unless it is alone; in a network of their own, or that one."""
    config = needed()
    if not netns:
        netns = f"spl{os.getpid()}pod{len(env.cgroups)}"
        network(env, netns)
    folder = env.tmp / netns
    for part in (env.tmp, folder):
        part.mkdir(exist_ok=True)
        part.chmod(0o755)
    path = folder / "spliced.conf"
    path.write_text(conf, encoding="ascii")
    path.chmod(0o644)
    with contextlib.ExitStack() as stack:
        shared = env.cgroup()
        stack.callback(forget_cgroups, shared)
        app = None
        if not alone:
            app = Container(folder, "app", *application(folder, config, netns), env.cgroup(shared))
            stack.callback(app.close)
        its = spliced_config(config, netns, path)
        change(its)
        spliced = Container(folder, "spliced", its, BUNDLE / "rootfs", env.cgroup(shared))
        stack.callback(spliced.close)
        yield spliced, app


def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def fetch(app, host="127.0.0.1:8080"):
    done = app.exec("/bin/busybox", "wget", "-q", "-O", "-", f"http://{host}/", check=False)
    return done.stdout if done.returncode == 0 else None


def check_interception(spliced, app):
    """What the application asks another program of its pod for goes through spliced."""
    before = spliced.control("status")["intercepts"][0]
    assert before["active"], before
    page = wait_until(lambda: fetch(app), 20, "the application is answered")
    assert page == PAGE, (len(page), page[:100])
    after = spliced.control("status")["intercepts"][0]
    assert after["redirected"] > before["redirected"], (before, after)


@case(engines=("kernel",), vm=False, timeout=120)
def test_sidecar(env):
    """As runc.json has it: the kernel engine, interception, the probes, and the end."""
    with pod(env) as (spliced, app):
        status = spliced.wait_control("status")
        assert status["engine"] == "kernel" and status["pid"] == 1, status
        seen = status_of(spliced.pid())
        assert seen["Uid"].split() == ["65532"] * 4 and seen["NoNewPrivs"] == "1", seen
        assert int(seen["CapBnd"], 16) == 1 << 12 | 1 << 38 | 1 << 39, seen["CapBnd"]
        check_interception(spliced, app)
        with app.running("/bin/busybox", "nc", "127.0.0.1", "8080"):
            wait_until(lambda: [one["engine"] for one in spliced.control("sessions")] == ["kernel"], 20,
                       "the kernel has a session")
        doctor = spliced.exec("/usr/sbin/spliced", "doctor").stdout
        assert re.search(r"^Engine +kernel$", doctor, re.M), doctor
        assert re.search(r"^intercept +yes ", doctor, re.M), doctor
        spliced.signal("TERM")
        assert spliced.process.wait(20) == 0, spliced.log()
        warnings = [line for line in spliced.log().splitlines() if " warning " in line]
        assert len(warnings) == 1 and "no address of IPv6" in warnings[0], spliced.log()


# As docs/container.md has it, beside what sidecar.conf has.
INBOUND = """
[listener inbound]
bind = steer:*:1-65535 except 127.0.0.0/8 [::1]
protocol = auto
pool = app

[pool app]
server = any original:
"""


def answer_elsewhere(sock):
    while b"\r\n\r\n" not in sock.recv(65536):
        pass
    sock.sendall(b"HTTP/1.0 200 OK\r\n\r\nfrom another host\n")


@case(engines=("kernel",), vm=False, timeout=120)
def test_as_it_is_shipped(env):
    """sidecar.conf, with what docs/container.md adds for what comes in: both ways past other hosts, and drain_delay."""
    conf = (ROOT / "conf/container/sidecar.conf").read_text(encoding="utf-8") + INBOUND
    hosts = env.network()
    elsewhere = hosts.backend.call(env.backend, answer_elsewhere, f"{hosts.backend_address()}:0")
    with pod(env, conf=conf, netns=hosts.proxy.name) as (spliced, app):
        status = spliced.wait_control("status")
        assert status["intercepts"][0]["active"] and status["steering"], (status, spliced.log())
        assert wait_until(lambda: fetch(app, elsewhere.address), 20, "it is answered") == "from another host\n"
        from_client = hosts.client.command("curl", "-s", f"http://{hosts.proxy_address()}:8080/")
        wait_until(lambda: process.run(*from_client, check=False).stdout == PAGE, 20, "the application answers")
        status = spliced.control("status")
        assert status["intercepts"][0]["redirected"] >= 1 and status["steering"]["steered"] >= 1, status
        by_name = {one["name"]: one["sessions_total"] for one in status["listeners"]}
        assert by_name["outbound"] >= 1 and by_name["inbound"] >= 1, by_name
        spliced.signal("TERM")
        wait_until(lambda: spliced.control("status")["drain_in_ms"], 5, "it is going to drain")
        redirected = spliced.control("status")["intercepts"][0]["redirected"]
        assert fetch(app, elsewhere.address) == "from another host\n"
        assert process.run(*from_client).stdout == PAGE
        assert (spliced.control("status") or status)["intercepts"][0]["redirected"] > redirected
        assert spliced.process.wait(40) == 0, spliced.log()
        # Without it, what comes and goes is as it was.
        assert fetch(app, elsewhere.address) == "from another host\n"
        assert process.run(*from_client).stdout == PAGE


def strict_as_docker(config):
    """What the profile does not have ends the process, but the call that glibc tries first; and the capabilities are
    those that docker gives a user who is not root."""
    config["process"]["noNewPrivileges"] = False
    config["process"]["capabilities"] = {"bounding": config["process"]["capabilities"]["bounding"]}
    seccomp = config["linux"]["seccomp"]
    seccomp["defaultAction"] = "SCMP_ACT_KILL_PROCESS"
    del seccomp["defaultErrnoRet"]


@case(engines=("kernel",), vm=False, timeout=120)
def test_profile_has_what_it_takes(env):
    """From the start over a reload and an upgrade; and by the capabilities of the file."""
    with pod(env, strict_as_docker) as (spliced, app):
        status = spliced.wait_control("status")
        assert status["engine"] == "kernel", status
        assert spliced.control("reload")["reloaded"], spliced.log()
        assert spliced.control("upgrade") == {"upgraded": True}, spliced.log()
        wait_until(lambda: (spliced.control("status") or {}).get("generation") == 2, 20, "another worker serves")
        assert spliced.control("status")["engine"] == "kernel", spliced.log()
        check_interception(spliced, app)
        spliced.signal("TERM")
        assert spliced.process.wait(20) == 0, spliced.log()
        assert " died" not in spliced.log() and "killed by" not in spliced.log(), spliced.log()


def without_bpf(config):
    for rule in config["linux"]["seccomp"]["syscalls"]:
        rule["names"] = [name for name in rule["names"] if name != "bpf"]


def with_an_older_profile(config):
    """As those of Debian 12's docker and podman have it, without CAP_SYS_ADMIN."""
    without_bpf(config)
    config["linux"]["seccomp"]["syscalls"].append({"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1})


def without_perfmon(config):
    for names in config["process"]["capabilities"].values():
        names.remove("CAP_PERFMON")


def without_hosts_cgroups(config):
    config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] != "/host/cgroup"]


# what takes it away -> (what is said, whether it concerns the engine as well)
MISSING = ((without_bpf, "bpf(2) is missing or blocked (a seccomp profile?)", True),
           (with_an_older_profile, "bpf(2) is blocked (a seccomp profile?)", True),
           (without_perfmon, "CAP_PERFMON is missing", True),
           (without_hosts_cgroups, "mount the host's /sys/fs/cgroup into the container, read-only", False))


@case(engines=("kernel",), vm=False, timeout=120)
def test_what_is_missing_is_named(env):
    """One line for the engine and one for interception, and the rest works; or nothing starts."""
    lax = CONF.replace("= kernel", "= auto").replace("= require", "= while_ready")
    for change, words, engine in MISSING:
        with pod(env, change, lax, alone=True) as (spliced, _):
            status = spliced.wait_control("status")
            assert status["engine"] == ("copy" if engine else "kernel"), status
            assert not any(one["active"] for one in status["intercepts"]), status
            told = [line for line in spliced.log().splitlines() if words in line]
            assert len(told) == 1 + engine, spliced.log()
            assert " warning intercept outbound: nothing is intercepted: " in told[0], told
            assert "libbpf" not in spliced.log(), spliced.log()
    with pod(env, without_hosts_cgroups, alone=True) as (spliced, _):
        assert spliced.process.wait(20) == 1, spliced.log()
        assert ": intercept outbound: nothing is intercepted: " in spliced.log(), spliced.log()


# ---- what is written -----------------------------------------------------------------------------

@case(engines=(), vm=False)
def test_profile_knows_the_daemons_own_list(env):
    """What the daemon leaves itself the profile has, but a way to make threads whose flags no filter can look at. That is
    not there (ENOSYS), as C libraries want it, also for who knows no defaultErrnoRet."""
    source = (ROOT / "daemon/sandbox.c").read_text(encoding="ascii")
    listed = re.findall(r'^    "(\w+)",$', source, re.M)
    assert len(listed) > 100, listed
    profile = json.loads((ROOT / "conf/container/seccomp.json").read_text(encoding="ascii"))
    names = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert set(listed) - names == {"clone3"}, set(listed) - names
    assert {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38} in profile["syscalls"], profile


CONTAINERS = ROOT / "conf/container"


@case(engines=(), vm=False)
def test_the_examples_say_the_same(env):
    """They are valid, and mean the same sidecar; and who starts it gives it the same capabilities."""
    dumped = []
    manifest = (CONTAINERS / "kubernetes.yml").read_text(encoding="ascii")
    pairs = re.findall(r'^ +- name: (SPLICED_\w+)\n +value: "?(.*?)"?$', manifest, re.M)
    assert len(pairs) > 5, pairs
    empty = env.tmp / "empty.conf"
    empty.touch()
    for path, variables in ((CONTAINERS / "sidecar.conf", {}), (empty, dict(pairs))):
        done = process.run(env.binary("spliced"), "-c", path, "--dump-config",
                           env={**env.environment(), **variables})
        lines = [line for line in done.stdout.splitlines() if not line.startswith(("#", "status ="))]
        dumped.append([line for line in lines if not line.startswith("log_target")])
    assert dumped[0] == dumped[1], dumped
    config = json.loads((CONTAINERS / "runc.json").read_text(encoding="ascii"))
    above = Path(config["linux"]["cgroupsPath"]).parent
    assert above.is_absolute() and above.name, "cgroup = pod would be the root"
    granted = [name.removeprefix("CAP_") for name in config["process"]["capabilities"]["bounding"]]
    for name in ("kubernetes.yml", "compose.yml"):
        text = (CONTAINERS / name).read_text(encoding="ascii")
        assert re.findall(r"add: \[(.*?)\]", text) == [", ".join(granted)], name
