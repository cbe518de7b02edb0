# SPDX-License-Identifier: GPL-2.0-or-later
"""Published schemas, from Debian's packages, and whether documents fit them."""

import fcntl
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from .case import Skip
from .env import ROOT, build_dir

sys.path.append(str(ROOT / "conf/container"))
import debtree  # noqa: E402

PYTHON = "/usr/bin/python3"     # Debian's, which has Debian's packages
CHECK = Path(__file__).with_name("schemacheck.py")

# A distribution's packages that have schemas: all of an age, and newer than what the files use.
SUITE = "trixie"
PACKAGES = ("python3-kubernetes", "golang-github-opencontainers-specs-dev",
            "golang-github-opencontainers-image-spec-dev", "golang-github-compose-spec-compose-go-dev")


def _apt(place):
    """apt-get for that suite, with nothing of this machine's own lists."""
    site = debtree.sources()[0].split()[1]
    (place / "sources.list").write_text(f"deb {site} {SUITE} main\n", encoding="ascii")
    (place / "status").touch()
    for name in ("lists/partial", "archives/partial"):
        (place / name).mkdir(parents=True)
    options = {"Dir::Etc::sourcelist": place / "sources.list", "Dir::Etc::sourceparts": "-",
               "Dir::State::lists": place / "lists", "Dir::State::status": place / "status",
               "Dir::Cache": place, "APT::Sandbox::User": "root", "Acquire::Languages": "none",
               "Acquire::Retries": 0, "Acquire::http::Timeout": 20, "Acquire::https::Timeout": 20}
    return ["apt-get", "-qq", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]


def _fetch(place):
    """The packages' files, in place/tree. Failure where there are none to be had."""
    apt = _apt(place)
    debtree.ask(*apt, "-o", "APT::Update::Error-Mode=any", "update", seconds=100)
    downloads = place / "packages"
    downloads.mkdir()
    done = subprocess.run([*apt, "download", *PACKAGES], cwd=downloads, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=100, check=False)
    if done.returncode:
        raise debtree.Failure(done.stderr.strip().splitlines()[-1])
    for package in downloads.glob("*.deb"):
        debtree.ask("dpkg-deb", "--extract", package, place / "tree")


def published():
    """A folder with all of them, in the cache; Skip where there is none."""
    cache = build_dir() / "tests/schemas"
    tree = cache / SUITE
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.is_dir():
            with tempfile.TemporaryDirectory(dir=cache, prefix="fetch-") as scratch:
                try:
                    _fetch(Path(scratch))
                except (debtree.Failure, subprocess.TimeoutExpired) as error:
                    raise Skip(f"no packages of {SUITE} with schemas: {error}") from error
                (Path(scratch) / "tree").rename(tree)
    return tree


def misfits(kind, texts):
    """What of each of the documents is not as the schema has it: a list of lines each. kind: as of schemacheck.py."""
    done = subprocess.run([PYTHON, "-c", "import jsonschema, yaml"], capture_output=True, check=False)
    if done.returncode:
        raise Skip("not installed: python3-jsonschema, python3-yaml")
    done = subprocess.run([PYTHON, "-I", CHECK, kind, published()], input=json.dumps(texts), capture_output=True,
                          text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
