# SPDX-License-Identifier: GPL-2.0-or-later
"""Containers by runc: the image that `make image` builds, and one with an application."""

import contextlib
import copy
import json
import os
import shutil
import subprocess
from pathlib import Path

from . import process
from .case import Skip
from .cgroup import unified
from .env import ROOT
from .wait import wait_until

BUNDLE = ROOT / "build/image/bundle"


def needed():
    """The bundle's configuration; Skip where there can be no containers."""
    if os.geteuid() != 0:
        raise Skip("containers need root")
    if not shutil.which("runc"):
        raise Skip("runc is not installed")
    if not (BUNDLE / "config.json").exists():
        raise Skip("not built: make image")
    return json.loads((BUNDLE / "config.json").read_text(encoding="utf-8"))


class Container:
    """One that runs in a cgroup of the test's own."""

    def __init__(self, folder, name, config, rootfs, cgroup):
        self.name = f"{folder.name}-{name}"
        self.state = folder / "runc"
        self.bundle = folder / f"bundle-{name}"
        self.bundle.mkdir()
        self.log_path = folder / f"{name}.log"
        config = copy.deepcopy(config)
        config["root"]["path"] = str(rootfs)
        config["linux"]["cgroupsPath"] = f"/{cgroup.path.relative_to(unified())}"
        (self.bundle / "config.json").write_text(json.dumps(config), encoding="utf-8")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*cgroup.prefix(), *self._runc("run", "--bundle", self.bundle, self.name)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _runc(self, *words):
        return ["runc", "--root", str(self.state), *map(str, words)]

    def exec(self, *command, check=True):
        """Runs a program of it in it, as `kubectl exec` and probes do."""
        return process.run(*self._runc("exec", self.name, *command), check=check)

    @contextlib.contextmanager
    def running(self, *command):
        """One that goes on meanwhile, and ends with its input."""
        client = subprocess.Popen(self._runc("exec", self.name, *command), stdin=subprocess.PIPE,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            client.stdin.close()
            client.wait(20)

    def control(self, *command):
        """The JSON answer of splicectl; None when there is none."""
        done = self.exec("/usr/bin/splicectl", "--json", *command, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def wait_control(self, *command, seconds=20):
        def answer():
            if self.process.poll() is not None:
                raise AssertionError(f"it ended, exit {self.process.returncode}:\n{self.log()}")
            return self.control(*command)
        return wait_until(answer, seconds, f"{self.name} answers {command}", poll=0.1)

    def pid(self):
        """Of its first process, seen from here."""
        return json.loads(process.run(*self._runc("state", self.name)).stdout)["pid"]

    def signal(self, name):
        process.run(*self._runc("kill", self.name, name))

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def close(self):
        process.run(*self._runc("delete", "--force", self.name), check=False)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def spliced_config(config, netns, conf):
    """The bundle's, for a test's network and configuration file."""
    config = copy.deepcopy(config)
    for mount in config["mounts"]:
        if mount["destination"] == "/etc/spliced/spliced.conf":
            mount["source"] = str(conf)
        elif mount["destination"] == "/host/cgroup":
            mount["source"] = str(unified())
        elif mount["type"] == "cgroup":
            mount["type"] = "cgroup2"       # where version 1 is beside it, runc mounts that
    return in_network(config, netns)


def in_network(config, netns):
    """The same in a network of the test's."""
    config = copy.deepcopy(config)
    for namespace in config["linux"]["namespaces"]:
        if namespace["type"] == "network":
            namespace["path"] = f"/run/netns/{netns}"
    return config


def forget_cgroups(cgroup):
    """What runc has made of the same name in hierarchies of version 1."""
    for path in Path("/sys/fs/cgroup").glob(f"*/{cgroup.path.relative_to(unified())}"):
        if path != cgroup.path:
            for part in (*(child for child in path.iterdir() if child.is_dir()), path):
                with contextlib.suppress(OSError):
                    part.rmdir()


def busybox(root):
    """A file system with one program, which is many."""
    program = shutil.which("busybox")
    if not program:
        raise Skip("busybox is not installed")
    for name in ("bin", "proc", "sys", "dev", "tmp", "www"):
        (root / name).mkdir(parents=True)
    shutil.copy2(program, root / "bin/busybox")
    return root
