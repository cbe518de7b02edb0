# SPDX-License-Identifier: GPL-2.0-or-later
"""What a test that is not over in time leaves behind."""

import threading
import types

from lib import case, isolate
from lib.wait import wait_until


def hangs(env):
    """Beside what it has opened, its program in a cgroup below its own."""
    inner = env.cgroup(parent=env.cgroup())
    with inner.inside():
        threading.Event().wait()


@case(engines=())
def test_cgroups_of_a_test_that_is_killed(env):
    root = env.cgroup().path.parent
    test = types.SimpleNamespace(name="hangs", function=hangs, engine=None, debug=False,
                                 case=types.SimpleNamespace(timeout=60))
    options = types.SimpleNamespace(vm=False, quick=True, full=False, keep=False)
    its_turn = types.SimpleNamespace(release=lambda: None)
    running = isolate.Running(test, options, its_turn)
    mine = f"spliced-test-{running.pid}-*"
    wait_until(lambda: any(path.read_text().split() for path in root.glob(f"{mine}/{mine}/cgroup.procs")), 20,
               "it is inside")
    running.deadline = 0
    assert running.poll().verdict == isolate.FAIL
    assert not list(root.glob(mine))
