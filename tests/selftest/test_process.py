# SPDX-License-Identifier: GPL-2.0-or-later
"""A program that does not end says where it is."""

import os
import re

from lib import case, process


@case(engines=())
def test_place_of_a_program_that_hangs(_env):
    """What it has said, each of its processes, and what these wait for."""
    try:
        process.run("sh", "-c", "echo so far; sleep 1000 3</dev/zero & wait", timeout=3)
    except process.NotOver as error:
        text = str(error)
    else:
        raise AssertionError("it ended")
    assert process.kill_descendants(os.getpid())
    assert "timed out after" in text and "so far\n" in text, text
    assert re.search(r"^process \d+: sh -c .*\n  thread \d+ sh: S, ", text, re.MULTILINE), text
    assert re.search(r"^process \d+: sleep 1000 *\n  thread \d+ sleep: S, ", text, re.MULTILINE), text
    assert "  has 3 /dev/zero\n" in text, text
