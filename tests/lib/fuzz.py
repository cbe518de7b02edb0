# SPDX-License-Identifier: GPL-2.0-or-later
"""The fuzzers: libFuzzer programs, each with its seeds and for some seconds."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from . import turn, wait
from .env import ROOT
from .isolate import FAIL, PASS, SKIP, Outcome

SOURCES = ROOT / "tests" / "fuzz"
BUILD = ROOT / "build-fuzz"
FAILURES = BUILD / "failures"
INPUT_MAX = 68 << 10    # bytes: what the parsers read is bounded at 64 KiB or less
INPUT_TIMEOUT = 20      # seconds for one input
RSS_MAX = 1024          # MB
GRACE = 60              # seconds to start, to read the seeds and to end
TAIL = 60
POLL = 0.05

EXECUTED = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.M)
COVERED = re.compile(r"\bcov: (\d+)")
WRITTEN = re.compile(r"Test unit written to (\S+)")


def names():
    """fuzz/NAME for each tests/fuzz/fuzz_NAME.c."""
    return sorted("fuzz/" + path.stem.removeprefix("fuzz_") for path in SOURCES.glob("fuzz_*.c"))


def command(program, name, scratch, seconds):
    """NAME.dict beside the source, if there is one, has words to try."""
    dictionary = SOURCES / f"{name}.dict"
    FAILURES.mkdir(exist_ok=True)
    return [program, f"-max_total_time={seconds}", f"-max_len={INPUT_MAX}",
            f"-timeout={int(INPUT_TIMEOUT * wait.SCALE)}", f"-rss_limit_mb={RSS_MAX}",
            f"-artifact_prefix={FAILURES}/{name}-", "-print_final_stats=1",
            *([f"-dict={dictionary}"] if dictionary.exists() else []), scratch]


def copy_seeds(name, scratch):
    """The corpus grows as the fuzzer finds more: not in the tree."""
    seeds = SOURCES / "corpus" / name
    for seed in sorted(seeds.iterdir()) if seeds.is_dir() else []:
        shutil.copy(seed, scratch)


def measured(output):
    executed, covered = EXECUTED.search(output), COVERED.findall(output)
    return (f"executions {executed[1] if executed else '?'}, "
            f"edges {covered[-1] if covered else '?'}")


def failure(status, program, output):
    """The exit status, and the command that repeats it: the program and the input it failed on."""
    written = WRITTEN.search(output)
    if not written:
        return f"exit {status}"
    return f"exit {status}: {os.path.relpath(program, ROOT)} {os.path.relpath(written[1], ROOT)}"


def run(test, seconds):
    """Runs fuzz/NAME; its Outcome. An input that fails it is kept in build-fuzz/failures."""
    name = test.removeprefix("fuzz/")
    program = BUILD / "tests" / "fuzz" / f"fuzz_{name}"
    if not program.exists():
        return Outcome(test, SKIP, reason="not built: make fuzzers")
    its_turn = turn.Turn(alone=False)
    while not its_turn.ready():
        time.sleep(POLL)
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="spliced-fuzz-") as scratch:
            copy_seeds(name, scratch)
            done = subprocess.run(command(program, name, scratch, seconds), cwd=scratch,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace",
                                  timeout=seconds + GRACE * wait.SCALE, check=False,
                                  start_new_session=True)
    except subprocess.TimeoutExpired:
        return Outcome(test, FAIL, time.monotonic() - started, "not over in time")
    finally:
        its_turn.release()
    lasted = time.monotonic() - started
    if done.returncode == 0:
        return Outcome(test, PASS, lasted, measured(done.stdout))
    return Outcome(test, FAIL, lasted, failure(done.returncode, program, done.stdout),
                   "\n".join(done.stdout.splitlines()[-TAIL:]))
