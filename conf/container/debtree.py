# SPDX-License-Identifier: GPL-2.0-or-later
"""Trees of Debian's packages, from where this machine's own apt gets them: no registry is asked."""

import shutil
import subprocess

SUITE = "bookworm"
SECONDS = 900
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Failure(Exception):
    """A tree could not be made; in a sentence."""


def ask(*command, seconds=60):
    """What a command prints; Failure when it fails, or takes longer."""
    try:
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=seconds, check=False)
    except FileNotFoundError as error:
        raise Failure(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{command[0]} takes longer than {seconds} s") from error
    if done.returncode:
        detail = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Failure(f"{command[0]}: {detail[-1] if detail else 'failed'}")
    return done.stdout


def sources(suite=SUITE):
    """The lines of sources.list: the mirror that this machine's own Debian comes from, and that of its
    security updates where it has one."""
    found = {}
    for line in ask("apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(SITE)",
                    "Created-By: Packages").splitlines():
        codename, component, site = line.split(maxsplit=2)
        if codename in (suite, f"{suite}-security") and component == "main":
            found.setdefault(codename, f"deb {site} {codename} main")
    if suite not in found:
        raise Failure(f"apt knows no mirror of {suite}")
    return [found[codename] for codename in sorted(found)]


def proxies():
    """apt's settings of how to get there; those in the environment are inherited."""
    return [f"--aptopt={line}" for kind in ("http", "https")
            for line in ask("apt-config", "dump", f"Acquire::{kind}::Proxy").splitlines()]


def unpack(root, packages, variant, suite=SUITE):
    """A tree in `root`, which must not be there, with the packages and what they need. variant: mmdebstrap's;
    with "extract" nothing else is in it, and no script of a package is run."""
    program = shutil.which("mmdebstrap", path=PATH)
    if not program:
        raise Failure("mmdebstrap is not installed")
    ask(program, "--quiet", f"--variant={variant}", "--mode=root", f"--include={','.join(packages)}", *proxies(),
        suite, root, *sources(suite), seconds=SECONDS)
