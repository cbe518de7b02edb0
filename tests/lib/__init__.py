# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests are written with.

A test is a function test_NAME(env) in tests/e2e; `env` (lib.env.Env) starts the daemon and the
load tool for it and cleans up behind it. `tests/run` finds the tests and runs them.
"""

from .case import Skip, case
from .host import Meminfo
from .load import Load
from .spliced import Spliced
from .tcp import Backend, connect, read_all, read_exactly, reset
from .wait import Deadline, TimeoutReached, wait_until

__all__ = ["Backend", "Deadline", "Load", "Meminfo", "Skip", "Spliced", "TimeoutReached", "case",
           "connect", "read_all", "read_exactly", "reset", "wait_until"]
