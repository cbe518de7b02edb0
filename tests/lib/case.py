# SPDX-License-Identifier: GPL-2.0-or-later
"""What a test says about itself."""

ENGINES = ("kernel", "copy")


class Skip(Exception):
    """The test cannot be run here; the reason is printed."""


class Case:
    """A test's demands, as `case` was given them."""

    def __init__(self, engines=ENGINES, timeout=60.0, slow=False, full=False, vm=True, alone=False,
                 core=False, debug=True):
        self.engines = engines      # () for a test that starts no daemon or chooses itself
        self.timeout = timeout      # hard, in seconds; the VM gets more
        self.slow = slow            # left out by --quick
        self.full = full            # only with --full
        self.vm = vm                # fit for a small emulated machine
        self.alone = alone          # measures the host: nothing else may run beside it
        self.core = core            # shows what a kernel does: `make check` runs it on several
        self.debug = debug          # with --debug, once with the daemons' longest log

    def reason_to_skip(self, options):
        """Why not with these options, or None."""
        if self.slow and options.quick:
            return "slow, and --quick was given"
        if self.full and not options.full:
            return "only with --full"
        if not self.vm and options.vm:
            return "needs more than an emulated machine"
        return None


def case(**demands):
    """Decorator: @case(engines=("kernel",), timeout=120)."""
    def decorate(function):
        function.case = Case(**demands)
        return function
    return decorate


def case_of(function):
    return getattr(function, "case", None) or Case()
