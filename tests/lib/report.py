# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run says: a line for each outcome, and the counts."""

import sys

from . import isolate


# What the list at the end says of each failure: the end of a long run is often all that is kept.
TAIL, WIDTH = 10, 300


class Report:
    """Prints outcomes as they come, and counts them."""

    def __init__(self):
        self.counts = {isolate.PASS: 0, isolate.FAIL: 0, isolate.SKIP: 0}
        self.failed = []

    def add(self, outcome):
        self.counts[outcome.verdict] += 1
        line = f"{outcome.verdict} {outcome.name} ({outcome.seconds:.2f})"
        reason = outcome.reason.split("\n", 1)
        print(f"{line} {reason[0]}".rstrip())
        if outcome.verdict == isolate.FAIL:
            self.failed.append(outcome)
            if len(reason) > 1:
                print(isolate.indent(reason[1]), end="")
            if outcome.details:
                print(isolate.indent(outcome.details), end="")
        sys.stdout.flush()

    @staticmethod
    def say(line):
        """What is no outcome."""
        print(line, flush=True)

    def end(self):
        """The last line; the exit status."""
        if len(self.failed) > 1:
            print("failed:")
            for outcome in self.failed:
                reason, *more = outcome.reason.splitlines() or [""]
                print(f"    {outcome.name} {reason}".rstrip())
                for line in (more + (outcome.details or "").splitlines())[-TAIL:]:
                    print(f"        {line.strip()[:WIDTH]}")
        passed, failed, skipped = (self.counts[verdict] for verdict in
                                   (isolate.PASS, isolate.FAIL, isolate.SKIP))
        print(f"{passed} passed, {failed} failed, {skipped} skipped")
        return 1 if failed or passed == 0 else 0
