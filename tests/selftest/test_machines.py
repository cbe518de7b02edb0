# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtual machines: what their runs are worth, and that they find a checkout wherever it is."""

import tempfile

from lib import case, guest, machines
from lib.isolate import FAIL, PASS, SKIP
from lib.process import run

KERNEL = "6.1"


def told(*lines):
    transcript = machines.Transcript("vm/")
    for line in lines:
        transcript.line(line)
    return transcript


def test_tests_that_ran_are_counted(env):
    transcript = told("PASS kernel/a (0.10)", "FAIL kernel/b (1.00) why", "    details",
                      "SKIP kernel/c (0.00) no time left after 900 s", "1 passed, 1 failed, 1 skipped")
    assert transcript.ran == 2, transcript.ran
    assert transcript.complete


def test_too_few_that_ran_are_a_failure(env):
    def verdict(ran, wanted):
        outcomes = machines.coverage("vm/core", ran, wanted)
        return outcomes[0].verdict if outcomes else None

    assert verdict(108, 108) == PASS
    assert verdict(98, 108) == PASS
    assert verdict(97, 108) == FAIL
    assert verdict(0, 108) == FAIL
    assert verdict(0, 0) is None


class Heard:
    """A Report that keeps what it is told."""

    def __init__(self):
        self.lines, self.outcomes = [], []

    def say(self, line):
        self.lines.append(line)

    def add(self, outcome):
        self.outcomes.append((outcome.verdict, outcome.name))


def stand_in(env, *lives):
    """Takes the place of tests/vm/vm: a shell script whose nth run is the nth of these, the last one
    from then on."""
    path, count = env.tmp / "vm", env.tmp / "count"
    count.write_text("0")
    cases = [f"{'*' if number == len(lives) else number}) {life};;\n"
             for number, life in enumerate(lives, 1)]
    path.write_text(f"#!/bin/sh\nn=$(($(cat {count}) + 1)); echo $n >{count}\n"
                    f"case $n in {''.join(cases)} esac\n")
    path.chmod(0o755)
    machines.VM = path      # of this test's process
    return lambda: int(count.read_text())


DEATH = "echo vm: kernel panic >&2; exit 125"
LIFE = "echo START kernel/a; echo 'PASS kernel/a (0.10)'; echo '1 passed, 0 failed, 0 skipped'"


@case(engines=())
def test_machine_that_dies_at_once_is_started_once_more(env):
    def watch(*lives):
        runs, heard = stand_in(env, *lives), Heard()
        machine = machines.Machine("6.1", [], 10, 1)
        try:
            machines.watch([machine], heard)
        finally:
            machine.end()
        return runs(), heard.lines, heard.outcomes

    told = "vm-6.1 died before anything ran in it (kernel panic): it is started once more"
    well = [(PASS, "vm-6.1/kernel/a"), (PASS, "vm-6.1/core"), (PASS, "vm-6.1/kernel_log")]
    assert watch(LIFE) == (1, [], well)
    assert watch(DEATH, LIFE) == (2, [told], well)
    nothing = [(FAIL, "vm-6.1/core"), (FAIL, "vm-6.1/kernel_log")]
    assert watch(DEATH) == (2, [told], nothing)
    assert watch(f"echo START kernel/a; {DEATH}", LIFE) == (1, [], nothing)
    assert watch("echo vm: QEMU did not start >&2; exit 126", LIFE) == (1, [], nothing)


@case(engines=())
def test_machine_with_systemd_is_started_once_more(env):
    def boot(*lives):
        runs, machine = stand_in(env, *lives), guest.Guest("6.1", "disk", 10)
        try:
            return machine.boot(), runs()
        except guest.Ended:
            return runs()
        finally:
            machine.end()

    ready = "echo ready; exec cat >/dev/null"
    assert boot(ready) == ("", 1)
    assert boot(DEATH, ready) == (
        "vm-6.1 died before anything ran in it (kernel panic): it is started once more", 2)
    assert boot(DEATH) == 2
    assert boot("exit 126", ready) == 1


@case(engines=(), timeout=180, vm=False, full=True)
def test_directory_below_tmp_is_found(env):
    verdict, reason = machines.missing(KERNEL)
    if verdict == SKIP:
        env.skip(reason)
    assert verdict == PASS, reason
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        with open(f"{place}/word", "w", encoding="ascii") as word:
            word.write("as on the host\n")
        done = run(str(machines.VM), "run", KERNEL, "--timeout", "150", "--", "sh", "-c",
                   "cat word && echo written >new && cat new && pwd", cwd=place, timeout=170)
    assert done.stdout.split("\n")[:3] == ["as on the host", "written", place], done
