# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's cloud kernels, from their packages, in a cache; and what else the machines' scripts share."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("SPLICED_VM_CACHE") or HERE.parent.parent / "build" / "vm").absolute()

# Series to the meta-package that depends on the newest kernel of that series.
KERNELS = {"6.1": "linux-image-cloud-amd64", "6.12": "linux-image-6.12-cloud-amd64"}

GUEST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

class Failure(Exception):
    """The guest could not be started, or the kernel could not be had."""


def say(text):
    print(f"vm: {text}", file=sys.stderr, flush=True)


def find_program(name, *directories):
    path = shutil.which(name, path=os.pathsep.join((GUEST_PATH, *directories)))
    if not path:
        raise Failure(f"{name} is not installed")
    return path


@contextlib.contextmanager
def lock(name):
    """Holds CACHE/NAME.lock; waits, and says so, while another process does."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for {handle.name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def ask(*command, seconds=300, **options):
    """What a command prints; Failure when it fails, or takes longer."""
    try:
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=seconds, **options,
        )
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{command[0]} takes longer than {error.timeout:.0f} s") from error
    if result.returncode:
        detail = (result.stderr.strip() or result.stdout.strip()).splitlines()
        raise Failure(f"{command[0]}: {detail[-1] if detail else 'failed'}")
    return result.stdout


def newest_package(series):
    pattern = rf"Depends: (linux-image-{re.escape(series)}\.\S+-cloud-amd64)$"
    found = re.search(pattern, ask("apt-cache", "depends", KERNELS[series]), re.M)
    if not found:
        raise Failure(f"{KERNELS[series]} does not lead to a {series} kernel here")
    return found[1]


def unpacked(series):
    """The trees in the cache for a series, oldest first."""
    trees = [p for p in (CACHE / series).glob("linux-image-*") if p.is_dir()]
    return sorted(trees, key=lambda path: path.stat().st_mtime)


def newest_tree(series):
    """The tree of the newest kernel of a series that apt's lists know, downloaded if need be."""
    package = newest_package(series)
    tree = CACHE / series / package
    if tree.is_dir():
        return tree
    say(f"fetching {package}")
    tree.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tree.parent, prefix="fetch-") as scratch:
        # User=root: apt's own user may not be able to write in the cache.
        ask("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package, cwd=scratch)
        archive = next(Path(scratch).glob("*.deb"))
        new = Path(scratch) / "tree"
        ask("dpkg-deb", "-x", str(archive), str(new))
        ask(find_program("depmod"), "-b", str(new), release_of(new))
        new.rename(tree)
    for old in unpacked(series):
        if old != tree:
            shutil.rmtree(old)
    return tree


def fetch(series):
    """The newest tree, or one that is there already, or the newest after a look for new lists."""
    with lock("fetch"):
        try:
            return newest_tree(series)
        except (Failure, OSError):
            if unpacked(series):
                return unpacked(series)[-1]
        try:
            ask("apt-get", "-qq", "update")
            return newest_tree(series)
        except (Failure, OSError) as error:
            raise Failure(f"no package for kernel {series}: {error}") from error


def release_of(tree):
    return next((tree / "lib/modules").iterdir()).name
