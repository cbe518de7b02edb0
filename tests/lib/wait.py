# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting on conditions, never for a fixed time."""

import time


# How much longer than on the development machine everything may take: set by tests/run for
# sanitised builds and emulated machines.
SCALE = 1.0


class TimeoutReached(AssertionError):
    """A condition did not come true in time."""


class Deadline:
    """A moment after which waiting is over."""

    def __init__(self, seconds):
        self.seconds = seconds * SCALE
        self.at = time.monotonic() + self.seconds

    def left(self):
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    def passed(self):
        return time.monotonic() >= self.at


def wait_until(condition, seconds, what, poll=0.02):
    """The first true value of condition(); TimeoutReached naming `what` if there is none in time.

    What condition() returned last is told, so return something that explains itself: a count
    wrapped with a comparison says less than `stats()["x"] == 3 and "yes"`. what: a text, or what
    gives it then.
    """
    deadline = Deadline(seconds)
    while True:
        value = condition()
        if value:
            return value
        if deadline.passed():
            text = what() if callable(what) else what
            raise TimeoutReached(f"not within {deadline.seconds} s: {text} (last: {value!r})")
        time.sleep(poll)


def stays(condition, seconds, what, poll=0.05):
    """Checks that condition() stays true for that long: for what must NOT happen. what: a text,
    or what gives it then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not condition():
            raise AssertionError(f"did not stay so for {seconds} s: "
                                 f"{what() if callable(what) else what}")
        time.sleep(poll)
