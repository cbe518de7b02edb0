# SPDX-License-Identifier: GPL-2.0-or-later
"""The package, in machines with systemd: tests/service has steps that build on each other, one machine takes them
all in order, and each is an outcome of its own, vm-KERNEL/service/FILE::FUNCTION."""

import contextlib
import shutil
import subprocess
import time
import traceback
from pathlib import Path

from . import env, machines
from .case import case_of
from .discover import functions
from .guest import Dead, Guest
from .isolate import FAIL, PASS, SKIP, Outcome, where

STEPS = Path(__file__).resolve().parents[1] / "service"
FILES = ("install", "traffic", "changes", "sockets", "upgrade", "removal")     # in this order
CORE_KERNELS = ("6.1",)     # the distribution's own, which the package is for
SECONDS = 1800              # after which the machine is ended
JOURNAL = 40


def steps(core):
    """{name without the kernel: function}; with core, those that are marked."""
    found = [(f"service/test_{name}::{function_name}", function) for name in FILES
             for function_name, function in functions(STEPS / f"test_{name}.py")]
    return {name: function for name, function in found if not core or case_of(function).core}


def names(which):
    """{kernel: names of its steps} for --kernels core or all."""
    kernels = CORE_KERNELS if which == "core" else machines.kernels()
    return {kernel: [f"vm-{kernel}/{name}" for name in steps(which == "core")] for kernel in kernels}


class Package:
    """The package as it was built, and one that is the same but newer."""

    def __init__(self):
        built = sorted((env.ROOT / "build/deb").glob("spliced_*.deb"))
        self.path = built[-1] if built else None

    def field(self, name):
        return subprocess.check_output(["dpkg-deb", "--field", str(self.path), name], text=True).strip()

    def depends(self):
        """Names of the packages that it needs; of alternatives the first."""
        return [clause.split("|")[0].split("(")[0].strip() for clause in self.field("Depends").split(",")]

    def newer(self):
        tree, path = env.ROOT / "build/deb/newer", env.ROOT / "build/deb/newer.deb"
        shutil.rmtree(tree, ignore_errors=True)
        subprocess.run(["dpkg-deb", "--raw-extract", self.path, tree], check=True)
        control = tree / "DEBIAN/control"
        version = self.field("Version")
        control.write_text(control.read_text().replace(f"Version: {version}", f"Version: {version}+1"))
        subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "--build", tree, path], check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(tree)
        return path


def missing(kernel, package):
    """(SKIP or FAIL, why there is no such machine here), or (PASS, None)."""
    if not package.path:
        return SKIP, "not built: make deb"
    if not shutil.which("mmdebstrap", path="/usr/bin:/bin"):
        return SKIP, "mmdebstrap is not installed"
    return machines.missing(kernel)


def disk(package):
    """The image; makes it, which takes its time. Raises CalledProcessError."""
    done = subprocess.run([machines.VM, "disk", *package.depends()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    return done.stdout.strip()


def run_step(guest, name, function):
    """Its Outcome."""
    started = time.monotonic()
    try:
        note = function(guest)
    except Exception as error:  # whatever it is, it is the step's result
        details = "".join(traceback.format_exception(error))
        if not isinstance(error, Dead):
            with contextlib.suppress(Dead):
                details += guest.ask(f"journalctl --no-pager -o short-monotonic -n {JOURNAL}").text
        first, _, more = (str(error) or type(error).__name__).partition("\n")
        return Outcome(name, FAIL, time.monotonic() - started, where(error, function) + first, more + details)
    return Outcome(name, PASS, time.monotonic() - started, note or "")


def run_steps(guest, chosen, report):
    """Every step; those that are left when the machine is dead fail."""
    for name, function in chosen:
        if guest.process.poll() is not None:
            report.add(Outcome(name, FAIL, reason="the machine has ended"))
            continue
        outcome = run_step(guest, name, function)
        report.add(outcome)
        if outcome.verdict == FAIL and "Dead" in outcome.details:
            guest.process.terminate()
            guest.process.wait()


def how_it_ended(guest, prefix, started):
    """The Outcome of the machine itself, which is ended if it has not."""
    name, why, status = f"{prefix}/service/kernel_log", None, guest.process.poll()
    if status is None:
        try:
            status = guest.power_off()
        except (Dead, subprocess.TimeoutExpired) as error:
            why = f"it did not end: {error}"
    seconds = time.monotonic() - started
    if status == 0:
        return Outcome(name, PASS, seconds, "no warning")
    return Outcome(name, FAIL, seconds, why or machines.WHY.get(status, f"status {status}"), guest.messages())


def run_machine(kernel, chosen, report):
    prefix = f"vm-{kernel}"
    package = Package()
    verdict, reason = missing(kernel, package)
    if reason:
        report.add(Outcome(f"{prefix}/service", verdict, reason=reason))
        return
    started = time.monotonic()
    try:
        newer, image = package.newer(), disk(package)
        guest = Guest(kernel, image, SECONDS)
    except (AssertionError, OSError, subprocess.CalledProcessError) as error:
        report.add(Outcome(f"{prefix}/service", FAIL, reason=str(error)))
        return
    guest.package, guest.newer = package.path, newer
    report.add(Outcome(f"{prefix}/service/disk", PASS, time.monotonic() - started))
    try:
        run_steps(guest, chosen, report)
        report.add(how_it_ended(guest, prefix, started))
    finally:
        guest.end()


def run(chosen, which, report):
    """Runs {kernel: names}. A step needs those before it: they are run, and told, too."""
    for kernel, wanted in chosen.items():
        every = [(f"vm-{kernel}/{name}", function) for name, function in steps(which == "core").items()]
        last = max(index for index, (name, _) in enumerate(every) if name in wanted)
        run_machine(kernel, every[:last + 1], report)
