# SPDX-License-Identifier: GPL-2.0-or-later
"""What `make` installs, takes away again and packs. (The package in a machine: tests/service.)"""

import os
import re
import shutil
import tarfile

from lib import case, process
from lib.env import ROOT

UNIT = "lib/systemd/system/spliced.service"


def make(*words, cwd=ROOT, **environment):
    plain = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return process.run("make", "-s", *words, cwd=cwd, timeout=300, env={**plain, **environment}).stdout


def files(root):
    return {str(path.relative_to(root)): path for path in root.rglob("*") if not path.is_dir()}


@case(engines=(), vm=False, timeout=300)
def test_uninstall_leaves_nothing(env):
    if env.sanitized:
        env.skip("the build that is installed is the other one")
    root = env.tmp / "root"
    target = (f"DESTDIR={root}", "PREFIX=/opt/x", "SYSCONFDIR=/opt/etc")
    make("install", *target)
    found = files(root)
    for path, mode in (("opt/x/sbin/spliced", 0o755), ("opt/x/bin/splicectl", 0o755), (f"opt/x/{UNIT}", 0o644),
                       ("opt/x/lib/systemd/system/spliced.socket", 0o644),
                       ("opt/etc/spliced/spliced.conf", 0o644), ("opt/x/share/man/man8/spliced.8", 0o644),
                       ("opt/x/lib/sysusers.d/spliced.conf", 0o644),
                       ("opt/x/share/doc/spliced/examples/http.conf", 0o644),
                       ("opt/x/share/spliced/grafana-dashboard.json", 0o644),
                       ("opt/x/share/spliced/prometheus-rules.yml", 0o644)):
        assert path in found and found[path].stat().st_mode & 0o777 == mode, (path, sorted(found))
    assert "ExecStart=/opt/x/sbin/spliced -c /opt/etc/spliced/spliced.conf\n" in found[f"opt/x/{UNIT}"].read_text()
    assert os.readlink(root / "opt/x/share/bash-completion/completions/spliced") == "splicectl"
    make("uninstall", *target)
    left = list(files(root)) + [str(path) for path in root.rglob("*spliced*")]
    assert not left, left
    # What the administrator has changed stays, also under a second installation.
    make("install", *target)
    conf = root / "opt/etc/spliced/spliced.conf"
    conf.write_text("[listener mine]\n", encoding="ascii")
    make("install", *target)
    assert "kept: " in make("uninstall", *target)
    assert list(files(root)) == ["opt/etc/spliced/spliced.conf"]
    assert conf.read_text(encoding="ascii") == "[listener mine]\n"


@case(engines=(), vm=False)
def test_systemd_finds_nothing_wrong(env):
    if not shutil.which("systemd-analyze"):
        env.skip("systemd-analyze is not installed")
    for name in ("spliced.service", "spliced.socket"):
        text = (ROOT / "systemd" / name).read_text(encoding="utf-8")
        (env.tmp / name).write_text(text.replace("/usr/sbin/spliced", str(env.binary("spliced"))), encoding="utf-8")
    done = process.run("systemd-analyze", "verify", "--man=no", env.tmp / "spliced.service", env.tmp / "spliced.socket")
    assert "spliced" not in done.stdout + done.stderr, done


def copy_of_sources(place, **modes):
    """The tree without what was built, and without git."""
    shutil.copytree(ROOT, place, symlinks=True,
                    ignore=lambda directory, names: [name for name in names if name in ("__pycache__", ".git")
                                                     or directory == str(ROOT) and name.startswith("build")])
    for path in place.rglob("*"):
        os.utime(path, (modes["time"], modes["time"]), follow_symlinks=False)
        if not path.is_dir():
            path.chmod(path.stat().st_mode & 0o100 | modes["mode"])


@case(engines=(), vm=False, timeout=120)
def test_the_tarball_is_the_same_whoever_makes_it(env):
    made = []
    for name, modes in (("a", {"time": 1e9, "mode": 0o644}), ("b", {"time": 1.5e9, "mode": 0o600})):
        copy_of_sources(env.tmp / name, **modes)
        make("dist", cwd=env.tmp / name)
        made += (env.tmp / name / "build").glob("spliced-*.tar.gz")
    assert len(made) == 2 and made[0].read_bytes() == made[1].read_bytes(), made
    with tarfile.open(made[0]) as tar:
        members = tar.getmembers()
        tar.extractall(env.tmp / "c")
    top = made[0].name.removesuffix(".tar.gz")
    names = [member.name for member in members]
    assert names == sorted(names, key=os.fsencode) and {name.split("/")[0] for name in names} == {top}
    assert {f"{top}/Makefile", f"{top}/daemon/main.c", f"{top}/debian/control", f"{top}/.ci/run"} <= set(names)
    assert {(member.uid, member.gid, oct(member.mode)) for member in members} \
        == {(0, 0, "0o644"), (0, 0, "0o755")}
    # From an unpacked one comes the same.
    make("dist", cwd=env.tmp / "c" / top)
    assert (env.tmp / "c" / top / "build" / made[0].name).read_bytes() == made[0].read_bytes()


@case(engines=(), vm=False)
def test_one_version_everywhere(env):
    version = process.run(env.binary("spliced"), "--version").stdout.split()[1]
    assert re.match(rf"spliced \({re.escape(version)}\) ", (ROOT / "debian/changelog").read_text(encoding="utf-8"))
    assert f"\nVERSION := {version}\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


@case(engines=(), vm=False, timeout=180)
def test_lintian_finds_nothing(env):
    built = list((ROOT / "build/deb").glob("*.changes"))
    if not built:
        env.skip("not built: make deb")
    if not shutil.which("lintian"):
        env.skip("lintian is not installed")
    said = process.run("lintian", "--allow-root", "--fail-on", "error,warning", built[0], timeout=150).stdout
    assert said == "", said
