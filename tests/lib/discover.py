# SPDX-License-Identifier: GPL-2.0-or-later
"""Which tests there are."""

import importlib.util
import inspect
import os

from .case import case_of


class Test:
    """One function with one engine; `debug`: the daemons log what they can."""

    def __init__(self, name, function, engine, debug=False):
        self.name, self.function, self.engine, self.debug = name, function, engine, debug
        self.case = case_of(function)

    def reason_to_skip(self, options):
        if self.engine == "kernel" and os.geteuid() != 0:
            return "the kernel engine needs root"
        return self.case.reason_to_skip(options)


def load_module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def functions(path):
    """The test functions of a file, in the order in which they are written."""
    module = load_module(path)
    found = [(name, function) for name, function in inspect.getmembers(module, inspect.isfunction)
             if name.startswith("test_")]
    return sorted(found, key=lambda item: inspect.unwrap(item[1]).__code__.co_firstlineno)


def runs_at_debug(function):
    case = case_of(function)
    return case.debug and not case.alone \
        and inspect.unwrap(function).__globals__.get("AT_DEBUG", True)


def for_engines(stem, name, function, engines, debug):
    """The Tests of one function. At log_level = debug, if asked for, are those of the copying engine,
    and once more those of the kernel engine that show what a kernel does or are of no other engine."""
    case = case_of(function)
    wanted = [engine for engine in case.engines if engine in engines]
    debug = debug and runs_at_debug(function)
    found = [Test(f"{engine}/{stem}::{name}", function, engine, debug and engine == "copy")
             for engine in wanted]
    if debug and "kernel" in wanted and (case.core or "copy" not in wanted):
        found.append(Test(f"debug/{stem}::{name}", function, "kernel", debug=True))
    return found


def tests(root, engines, debug=False):
    """The tests of tests/selftest (no engine), then those of tests/e2e for each engine; with
    `debug` each once at log_level = debug: see for_engines(). Those that measure are left out
    there: a log that long is a part of what they would measure. So are those that take long and lead
    the daemon nowhere that others do not: a file that says AT_DEBUG = False, @case(debug=False)."""
    found = []
    for path in sorted((root / "selftest").glob("test_*.py")):
        found += [Test(f"selftest/{path.stem}::{name}", function, None)
                  for name, function in functions(path)]
    for path in sorted((root / "e2e").glob("test_*.py")):
        for name, function in functions(path):
            if not case_of(function).engines:
                found.append(Test(f"any/{path.stem}::{name}", function, None))
            found += for_engines(path.stem, name, function, engines, debug)
    return found
