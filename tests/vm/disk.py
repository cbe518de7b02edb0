# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk with a small Debian that has systemd, for `vm boot`: what a package needs, and no more, is on it."""

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

from kernels import CACHE, HERE, Failure, ask, find_program, lock, say

sys.path.append(str(HERE.parent.parent / "conf/container"))
import debtree  # noqa: E402

PACKAGES = ("systemd", "systemd-sysv", "dbus", "iproute2", "kmod")
SIZE = "800M"

# No journal of ext4: the disk is thrown away after each run. ttyS0 is the kernel's log.
MKE2FS = ("-q", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=1", "-m", "0")
MASKED = ("serial-getty@ttyS0.service", "getty@tty1.service", "e2scrub_all.timer", "fstrim.timer",
          "dpkg-db-backup.timer", "systemd-pstore.service")
FILES = {"etc/machine-id": "5b1ced00000000000000000000000001\n", "etc/hostname": "spliced-vm\n",
         "etc/hosts": "127.0.0.1 localhost spliced-vm\n::1 localhost\n"}


def prepare(root):
    """What is different from a fresh system."""
    for name, text in FILES.items():
        (root / name).write_text(text)
    for unit in MASKED:
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")


def make(packages, image):
    say(f"a root file system: {len(packages)} packages and what they need")
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="disk-") as scratch:
        root, new = Path(scratch) / "root", Path(scratch) / "image"
        try:
            debtree.unpack(root, packages, "essential")
        except debtree.Failure as error:
            raise Failure(str(error)) from error
        prepare(root)
        ask(find_program("mke2fs"), *MKE2FS, "-d", str(root), str(new), SIZE)
        new.rename(image)
        shutil.rmtree(root)


def disk(more):
    """The image with these packages as well; one that was made before, if there is."""
    packages = sorted({*PACKAGES, *more})
    digest = hashlib.sha256(f"{packages} {MKE2FS} {MASKED} {FILES} {SIZE}".encode()).hexdigest()
    image = CACHE / f"disk-{digest[:12]}.ext4"
    with lock("disk"):
        if not image.exists():
            make(packages, image)
            for old in CACHE.glob("disk-*.ext4"):
                if old != image:
                    old.unlink()
    return image
