# SPDX-License-Identifier: GPL-2.0-or-later
"""A daemon whose kernel refuses single system calls now and then."""

import errno

from . import process
from .env import ROOT


class Refusals:
    """Calls of a daemon that fail, from start() to stop().

    rules: {call: (errno, every)}; the calls are named in refuse.c. Pass `prefix` to env.spliced().
    """

    def __init__(self, env, rules):
        if env.sanitized:
            env.skip("the sanitizers' runtime must be the first library")
        library = env.tmp / "refuse.so"
        process.run("gcc", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC",
                    ROOT / "tests/lib/refuse.c", "-o", library, "-ldl")
        self.switch = env.tmp / "refuse"
        words = ",".join(f"{call}:{getattr(errno, name)}:{every}"
                         for call, (name, every) in rules.items())
        self.prefix = ["env", f"LD_PRELOAD={library}", f"REFUSE={words}",
                       f"REFUSE_WHILE={self.switch}"]

    def start(self):
        self.switch.touch()

    def stop(self):
        self.switch.unlink()
