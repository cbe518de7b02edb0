# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtual machines: what their runs are worth, and that they find a checkout wherever it is."""

import tempfile

from lib import case, machines
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
