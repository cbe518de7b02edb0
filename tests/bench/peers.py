# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the other proxies come from: Debian 13 in a folder of its own, or this machine."""

import os
import pathlib
import platform
import re
import shutil
import subprocess
import tempfile

from processes import Failure, Processes

SUITE = "trixie"
PACKAGES = ("haproxy", "nginx", "libnginx-mod-stream")
FETCH_SECONDS = 600
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The mounts are those of a namespace of the program's own and go with it, however it ends. nginx
# wants /dev; what the program reads and writes for us it finds in /tmp.
_ENTER = ('mount --rbind /dev "$0/dev" && mount --bind "$1" "$0/tmp" && shift && '
          'exec chroot "$0" "$@"')


def _os_release(root):
    try:
        text = (root / "etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return {}
    return dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.M))


class Machine:
    """The programs that are installed on this machine."""

    root = pathlib.Path("/")

    @property
    def title(self):
        """The name of the distribution."""
        return _os_release(self.root).get("PRETTY_NAME", "unknown distribution")

    def find(self, program):
        """The path of an installed program as the place has it, also of one in sbin."""
        path = shutil.which(program) or shutil.which(program, path=SYSTEM_PATH)
        if not path:
            raise Failure(f"{program} is not installed")
        return path

    def has(self, path):
        """Whether a file is there."""
        return (self.root / path.lstrip("/")).exists()

    def home(self, directory):
        """What a program is to call a directory of ours."""
        return str(directory)

    def command(self, _directory, *words):
        """The command line that runs a program of this place beside a directory of ours."""
        return list(words)


class Tree(Machine):
    """A distribution's root in a folder; only root may run its programs."""

    def __init__(self, root):
        self.root = root

    def find(self, program):
        for directory in SYSTEM_PATH.split(":"):
            if self.has(f"{directory}/{program}"):
                return f"{directory}/{program}"
        raise Failure(f"{program} is not in {self.root}")

    def home(self, _directory):
        return "/tmp"

    def command(self, directory, *words):
        return ["unshare", "--mount", "sh", "-c", _ENTER, str(self.root), str(directory), *words]


def _ask(*command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failure(f"{command[0]} does not tell: {error}") from error


def _mirror():
    """Where this machine has its own Debian from."""
    own = _os_release(pathlib.Path("/")).get("VERSION_CODENAME")
    for line in _ask("apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(SITE)",
                     "Created-By: Packages").splitlines():
        release, component, site = line.split(maxsplit=2)
        if release == own and component == "main":
            return site
    raise Failure("apt has no Debian mirror")


def _proxies():
    """apt's settings of how to get there; those in the environment are inherited."""
    return [line for kind in ("http", "https")
            for line in _ask("apt-config", "dump", f"Acquire::{kind}::Proxy").splitlines()]


def _unpack(scratch, say):
    """A tree with the programs and what they need, in scratch; no script of a package is run.

    What mmdebstrap complains of names the mirror: it is said, and not part of a report.
    """
    tree, log = scratch / SUITE, scratch / "log"
    command = ["mmdebstrap", "--variant=extract", "--mode=root",
               f"--include={','.join(('base-files', 'base-passwd', *PACKAGES))}",
               *(f"--aptopt={line}" for line in _proxies()),
               SUITE, str(tree), f"deb {_mirror()} {SUITE} main"]
    with Processes() as processes, open(log, "wb") as output:
        process = processes.start(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            status = process.wait(FETCH_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"mmdebstrap has no end after {FETCH_SECONDS} s") from error
    if status != 0:
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("E: "):
                say(f"mmdebstrap: {line.removeprefix('E: ')}")
        raise Failure("mmdebstrap failed")
    for name in ("passwd", "group"):
        shutil.copy(tree / f"usr/share/base-passwd/{name}.master", tree / f"etc/{name}")
    return tree


def debian_13(cache, say):
    """The tree in the folder `cache`, made if it is not there; Failure where there can be none."""
    MACHINE.find("unshare")
    if os.geteuid() != 0:
        raise Failure("chroot is root's")
    root = cache / f"{SUITE}-{platform.machine()}"
    if not root.is_dir():
        MACHINE.find("mmdebstrap")
        say(f"fetching HAProxy and nginx of {SUITE} into {root}")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="fetch-") as scratch:
            _unpack(pathlib.Path(scratch), say).rename(root)
    return Tree(root.resolve())


MACHINE = Machine()
