# SPDX-License-Identifier: GPL-2.0-or-later
"""The suite on other kernels: tests/run runs again in virtual machines, and its lines are told as
outcomes here, with `vm-KERNEL/` before their names."""

import os
import re
import select
import subprocess
import time
from pathlib import Path

from . import env
from .isolate import FAIL, PASS, SKIP, Outcome

VM = Path(__file__).resolve().parents[1] / "vm" / "vm"
POLL = 1.0

# Seconds within which the core tests begin, and what the last of them may take after that. On two
# idle processors the core takes some 270; a busy machine needs more, and is given it.
BUDGET, MARGIN = 900, 120
ENOUGH = 0.9    # of the chosen tests must have run: what was skipped for want of time shows nothing
LONG, VERY_LONG = 3600, 7200    # for everything, and everything with --full

RESULT = re.compile(r"(PASS|FAIL|SKIP) (\S+) \((\d+\.\d+)\) ?(.*)")
SUMMARY = re.compile(r"\d+ passed, \d+ failed, \d+ skipped")
LINUX = re.compile(r"vm: Linux (\S+), .*")

DIED = 125
WHY = {124: "it was not over in time", DIED: "the kernel wrote a warning, or died",
       126: "the machine could not be started"}


class Transcript:
    """What a guest's tests/run prints, line by line; turns it into Outcomes."""

    def __init__(self, prefix):
        self.prefix = prefix
        self.release = self.running = ""    # the kernel's; the test that was started last
        self.complete = False               # the summary was there
        self.ran = 0                        # tests that passed or failed
        self.others = []                    # lines that are no outcome, of the end
        self.pending = None                 # an outcome whose details may follow

    def line(self, text):
        """Takes a line; the Outcome that is complete with it, or None."""
        if self.pending and self.pending.verdict == FAIL and text.startswith("    "):
            self.pending.details += text[4:] + "\n"
            return None
        done, self.pending = self.pending, None
        result = RESULT.fullmatch(text)
        if result:
            verdict, name, seconds, reason = result.groups()
            self.pending = Outcome(self.prefix + name, verdict, float(seconds), reason)
            self.ran += verdict != SKIP
        elif text.startswith("START "):
            self.running = text.split()[1]
        elif SUMMARY.fullmatch(text):
            self.complete = True
        elif LINUX.fullmatch(text):
            self.release = LINUX.fullmatch(text)[1]
        else:
            self.others = [*self.others[-150:], text]
        return done


def coverage(name, ran, wanted):
    """The Outcome of how many of the wanted tests ran, in a list; an empty one if none are."""
    if not wanted:
        return []
    verdict = PASS if ran >= ENOUGH * wanted else FAIL
    return [Outcome(name, verdict, reason=f"{ran} of {wanted} tests ran")]


def died_at_once(name, said):
    """The line about a machine that is started once more; `said`: lines of what was told of it."""
    why = next((line.removeprefix("vm: ") for line in reversed(said) if line.strip()), "")
    return f"{name} died before anything ran in it ({why}): it is started once more"


class Machine:
    """One kernel's virtual machine, running."""

    def __init__(self, kernel, arguments, timeout, wanted):
        self.name = f"vm-{kernel}"
        self.wanted = wanted    # so many tests were chosen; 0: some may well be skipped
        self.command = [str(VM), "run", kernel, "--timeout", str(timeout), "--env", "SPLICED_BUILD",
                        "--", "tests/run", "--verbose", *arguments]
        self.again = False      # it was started once more
        self.began = time.monotonic()
        self._start()

    def _start(self):
        self.transcript = Transcript(f"{self.name}/")
        self.process = subprocess.Popen(self.command, cwd=env.ROOT, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.rest = b""

    def start_again(self):
        """At its end: once, if it has died before a test began in it, which shows nothing. What is
        to be told of that; None: it stays ended. An emulated processor may fault in the first second
        of a kernel that is well; one that is not does so again."""
        if self.again or self.transcript.running or self.process.wait() != DIED:
            return None
        said = self.transcript.others
        self.again = True
        self.process.stdout.close()
        self._start()
        return died_at_once(self.name, said)

    def read(self):
        """Outcomes of what it wrote by now; None at the end."""
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        *lines, self.rest = (self.rest + data).split(b"\n")
        done = [self.transcript.line(line.decode(errors="replace").rstrip("\r"))
                for line in lines]
        return [outcome for outcome in done if outcome] if data else None

    def last(self):
        """The Outcomes that are left at its end: its last test, and how the machine itself did."""
        status = self.process.wait()
        transcript = self.transcript
        name, seconds = f"{self.name}/kernel_log", time.monotonic() - self.began
        left = [transcript.pending] if transcript.pending else []
        left += coverage(f"{self.name}/core", transcript.ran, self.wanted)
        if transcript.complete and status in (0, 1):
            return [*left, Outcome(name, PASS, seconds, f"{transcript.release}: no warning")]
        reason = WHY.get(status, f"status {status}")
        if not transcript.complete:
            reason += f" ({transcript.running or 'nothing'} was running)"
        details = "\n".join(transcript.others)
        return [*left, Outcome(name, FAIL, seconds, reason, details)]

    def end(self):
        """Kills it, if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        self.process.stdout.close()


def kernels():
    return subprocess.check_output([str(VM), "kernels"], text=True).split()


def missing(kernel):
    """(SKIP or FAIL, why there is no machine with that kernel here), or (PASS, None). Fetches the
    kernel's package; where that fails, the kernel was not tested, and the suite must not pass."""
    if os.geteuid() != 0:
        return SKIP, "virtual machines need root"
    if env.is_sanitized():
        return SKIP, "a sanitised build is too slow for an emulated machine"
    done = subprocess.run([str(VM), "fetch", kernel], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return PASS, None
    why = (done.stderr.strip().splitlines() or ["no reason given"])[-1].removeprefix("vm: ")
    return FAIL, why


def guest_options(which, options):
    """(options of the guest's tests/run, seconds for the machine)."""
    if which == "core":
        return (["--vm", "--core", "--no-unit", "--engine", "kernel", "--budget", str(BUDGET)],
                BUDGET + MARGIN)
    return (["--vm", *["--full"] * options.full], VERY_LONG if options.full else LONG)


def run(chosen, which, options, report):
    """Runs {kernel: names of tests}, every machine at the same time."""
    common, timeout = guest_options(which, options)
    running = []
    try:
        for kernel, names in chosen.items():
            verdict, reason = missing(kernel)
            if reason:
                report.add(Outcome(f"vm-{kernel}", verdict, reason=reason))
                continue
            only = [word for name in names for word in ("--only", name)]
            wanted = len(names) if which == "core" else 0
            running.append(Machine(kernel, [*common, *only], timeout, wanted))
        watch(running, report)
    finally:
        for machine in running:
            machine.end()


def watch(machines, report):
    """Reports until all have ended."""
    pipes = {machine.process.stdout: machine for machine in machines}
    while pipes:
        for pipe in select.select(pipes, [], [], POLL)[0]:
            machine = pipes[pipe]
            outcomes = machine.read()
            if outcomes is None:
                del pipes[pipe]
                told = machine.start_again()
                if told:
                    report.say(told)
                    pipes[machine.process.stdout] = machine
                    continue
                outcomes = machine.last()
            for outcome in outcomes:
                report.add(outcome)
