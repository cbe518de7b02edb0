# SPDX-License-Identifier: GPL-2.0-or-later
"""The unit tests: cmocka programs, and scripts about the source itself, that speak TAP."""

import os
import re
import subprocess
import time
from pathlib import Path

from . import wait
from .env import Env
from .isolate import FAIL, PASS, SKIP, Outcome, indent

LINE = re.compile(r"^(not )?ok \d+ - (\S+)(.*)$")
TIMEOUT = 120
SCRIPTS = Path(__file__).resolve().parents[1] / "unit"


def parse(program, text):
    """Outcomes of the cases in a TAP text."""
    outcomes = []
    for line in text.splitlines():
        match = LINE.match(line)
        if not match:
            continue
        bad, name, rest = match.groups()
        skipped = "# skip" in rest.lower()
        verdict = SKIP if skipped else FAIL if bad else PASS
        reason = (rest.strip(" #") or "skipped by the test") if skipped else ""
        outcomes.append(Outcome(f"unit/{program}::{name}", verdict, 0, reason))
    return outcomes


def run(path):
    """Runs one program; the Outcomes of its cases, and one of its own if it went wrong itself."""
    started = time.monotonic()
    environment = {**Env.environment(), "CMOCKA_MESSAGE_OUTPUT": "TAP"}
    try:
        done = subprocess.run([str(path)], capture_output=True, text=True, errors="replace",
                              timeout=TIMEOUT * wait.SCALE, env=environment, check=False,
                              stdin=subprocess.DEVNULL, start_new_session=True)
    except subprocess.TimeoutExpired as expired:
        return [Outcome(f"unit/{path.name}", FAIL, TIMEOUT, "not over in time",
                        indent(str(expired.stdout or "")))]
    seconds = time.monotonic() - started
    outcomes = parse(path.name, done.stdout)
    output = indent(done.stdout + done.stderr)
    failed = [outcome for outcome in outcomes if outcome.verdict == FAIL]
    for outcome in failed:
        outcome.reason, outcome.details = "see the output", output
    if outcomes:
        outcomes[-1].seconds = seconds
    if not outcomes or (done.returncode != 0 and not failed):
        outcomes.append(Outcome(f"unit/{path.name}", FAIL, seconds,
                                f"exit {done.returncode} after {len(outcomes)} cases", output))
    return outcomes


def programs(build, scripts=True):
    """The programs, by name; with the scripts, which need the source and the tools of the build."""
    directories = [build / "tests" / "unit"] + ([SCRIPTS] if scripts else [])
    found = [path for directory in directories if directory.is_dir()
             for path in directory.iterdir()]
    return sorted((path for path in found if path.name.startswith("test_")
                   and "." not in path.name and os.access(path, os.X_OK)),
                  key=lambda path: path.name)
