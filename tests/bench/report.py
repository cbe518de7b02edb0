# SPDX-License-Identifier: GPL-2.0-or-later
"""Samples to medians, tables and the verdict on the goals."""

import statistics

from sections import (BASE, BODIES, DIRECT, GETS, LOCAL_ECHO, LOCAL_STREAMS, OBSERVED,
                      OBSERVED_CONNRATE, OBSERVED_GETS, PGBENCH, REDIS, SECTIONS, SIDECAR_CONNRATE,
                      SIDECAR_ECHO, SIDECAR_STREAMS, STREAMS, TLS_STREAMS)


class Results:
    """All samples of a run, by measurement and target."""

    def __init__(self, targets):
        self.targets = targets
        self.samples = []

    def add(self, measure, target, number, sample):
        """Keeps one sample."""
        self.samples.append({"measure": measure, "target": target, "round": number, **sample})

    def values(self, measure, target, field):
        """All samples of one field."""
        return [sample[field] for sample in self.samples
                if sample["measure"] == measure and sample["target"] == target
                and field in sample]

    def median(self, measure, target, field):
        """The median of one field, or None."""
        values = self.values(measure, target, field)
        return statistics.median(values) if values else None

    def ratio(self, measure, target, field, base=BASE):
        """A target's median as a multiple of another's, or None."""
        value, reference = self.median(measure, target, field), self.median(measure, base, field)
        if value is None or not reference:
            return None
        return value / reference

    def best(self, measure, field, bases):
        """Which of some targets has the greatest median; the first if none has one."""
        return max(bases, key=lambda name: self.median(measure, name, field) or 0)


def human(value):
    """Three or four digits that can be read."""
    if value is None:
        return "-"
    if abs(value) >= 10000:
        return f"{value / 1000:.1f}k"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _cell(results, measure, target, section):
    value = results.median(measure, target, section.field)
    if value is None:
        return "-"
    ratio = results.ratio(measure, target, section.field, section.base)
    return human(value) + (f" ({ratio:.2f})" if ratio is not None else "")


def _measured(results, rows, field):
    return [(label, measure) for label, measure in rows
            if any(results.values(measure, target, field) for target in results.targets)]


def table(results, section):
    """One section as lines of text; empty if it was not measured."""
    rows = _measured(results, section.rows, section.field)
    if not rows:
        return []
    targets = [target for target in results.targets
               if any(results.values(measure, target, section.field) for _, measure in rows)]
    width = max(16, *(len(name) + 2 for name in targets))
    left = max(22, *(len(label) for label, _ in rows))
    lines = ["", f"{section.title}: {section.unit} ({section.better} is better; in brackets: "
             f"x {section.base})",
             f"  {'':{left}}" + "".join(f"{name:>{width}}" for name in targets)]
    for label, measure in rows:
        cells = (_cell(results, measure, target, section) for target in targets)
        lines.append(f"  {label:{left}}" + "".join(f"{cell:>{width}}" for cell in cells))
    return lines


def _goal(what, target, base, measure, field, compare, bound):
    """A base of several targets is the better of them; without one the bound is the value's."""
    return {"what": what, "target": target, "base": base, "measure": measure, "field": field,
            "compare": compare, "bound": bound}


def _kernel_goals():
    def goal(what, measure, field, compare, bound):
        return _goal(what, "spliced-kernel", BASE, measure, field, compare, bound)

    return [
        goal("requests/s, 64 B, 16 connections", "echo64-16", "per_s", ">=", 1.15),
        goal("p99 latency, 64 B, 16 connections", "echo64-16", "p99_us", "<=", 1.0),
        goal("p99 latency, 16 KiB, 16 connections", "echo16k-16", "p99_us", "<=", 1.0),
        goal("Gbit/s, 8 streams up", "up-8", "gbit_s", ">=", 1.4),
        goal("Gbit/s, 8 streams down", "down-8", "gbit_s", ">=", 1.4),
        goal("Gbit/s, 1 stream up", "up-1", "gbit_s", ">=", 1.0),
        goal("Gbit/s, 1 stream down", "down-1", "gbit_s", ">=", 1.0),
        goal("CPU per byte, 8 streams up", "up-8", "cpu_s_per_gb", "<=", 0.75),
        goal("CPU per byte, 8 streams down", "down-8", "cpu_s_per_gb", "<=", 0.75),
        goal("connections/s", "connrate", "per_s", ">=", 1.0),
    ]


def _copy_goals():
    def goal(what, measure, field):
        return _goal(what, "spliced-copy", "nginx", measure, field, ">=", 1.0)

    return [goal("requests/s, 64 B, 16 connections", "echo64-16", "per_s"),
            *(goal(f"Gbit/s, {label}", measure, "gbit_s") for label, measure in STREAMS)]


def _http_goals():
    def goal(what, base, measure, field, compare, bound):
        return _goal(what, "spliced-kernel", base, measure, field, compare, bound)

    return [
        *(goal(f"HTTP requests/s, {label}", ("haproxy-splice", "haproxy", "nginx"), measure,
               "per_s", ">=", 1.0) for label, measure in GETS),
        *(goal(f"HTTP Gbit/s, {label}", BASE, measure, "gbit_s", ">=", 1.25)
          for label, measure in BODIES),
        *(goal(f"HTTP CPU per byte, {label}", BASE, measure, "cpu_s_per_gb", "<=", 1.0)
          for label, measure in BODIES),
        goal("HTTP Rss bytes per idle connection", None, "http-idle", "rss_per_session", "<=",
             4096),
    ]


def _tls_goals():
    def goal(what, base, measure, field, bound):
        return _goal(what, "spliced-kernel", base, measure, field, ">=", bound)

    return [goal("TLS connections/s", ("haproxy-splice", "haproxy", "sniproxy"), "tls-connrate",
                 "per_s", 1.0),
            *(goal(f"TLS Gbit/s, {label}", BASE, measure, "gbit_s", 1.25)
              for label, measure in TLS_STREAMS)]


def _local_goals():
    def goal(what, measure, field, compare, bound, base=DIRECT):
        return _goal(f"local {what}", "spliced-bypass", base, measure, field, compare, bound)

    def is_bulk(measure):
        return measure.startswith("local-up64k")

    return [
        *(goal(f"requests/s, {label}", measure, "per_s", ">=", bound)
          for (label, measure), bound in zip(LOCAL_ECHO, (1.7, 1.4, 1.3))),
        *(goal(f"p99 latency, {label}", measure, "p99_us", "<=", 1.0)
          for label, measure in LOCAL_ECHO),
        *(goal(f"Gbit/s, {label}", measure, "gbit_s", ">=", bound)
          for (label, measure), bound in zip(LOCAL_STREAMS, (1.6, 1.8, 0.95, 0.95))),
        *(goal(f"CPU per byte, {label}", measure, "cpu_s_per_gb", "<=", 0.6)
          for label, measure in LOCAL_STREAMS if is_bulk(measure)),
        *(goal(f"requests/s, {label}", measure, "per_s", ">=", 3.0, BASE)
          for label, measure in LOCAL_ECHO),
        *(goal(f"Gbit/s, {label}", measure, "gbit_s", ">=", 3.0, BASE)
          for label, measure in LOCAL_STREAMS if is_bulk(measure)),
        goal("connections/s", "local-connrate", "per_s", ">=", 0.95, "spliced-kernel"),
        *(goal(f"redis requests/s, {label}", measure, "per_s", ">=", 1.0)
          for label, measure in REDIS),
        *(goal(f"redis p99 latency, {label}", measure, "p99_us", "<=", 1.0)
          for label, measure in REDIS),
        *(goal(f"pgbench transactions/s, {label}", measure, "per_s", ">=", 1.0)
          for label, measure in PGBENCH),
    ]


def _sidecar_goals():
    """To be intercepted costs next to nothing beside asking the proxy; and HAProxy is asked."""
    pairs = (("one side", "spliced-client", BASE), ("both sides", "spliced-both", "haproxy-both"))
    return [
        *(_goal("sidecar connections/s, intercepted", "spliced-client", "spliced-kernel", measure,
                "per_s", ">=", 0.95) for _, measure in SIDECAR_CONNRATE),
        *(_goal(f"sidecar requests/s, {label}, {how}", target, base, measure, "per_s", ">=", 1.0)
          for label, measure in SIDECAR_ECHO for how, target, base in pairs),
        *(_goal(f"sidecar Gbit/s, {label}, {how}", target, base, measure, "gbit_s", ">=", 1.0)
          for label, measure in SIDECAR_STREAMS for how, target, base in pairs)]


def _observed_goals():
    peers = ("haproxy-observed", "nginx-observed")
    rows = [*((f"HTTP requests/s, {label}", measure) for label, measure in OBSERVED_GETS),
            *(("connections/s", measure) for _, measure in OBSERVED_CONNRATE)]
    return [_goal(f"{what}, {how}", target, base, measure, "per_s", ">=", bound)
            for what, measure in rows
            for how, target, base, bound in (
                ("with the log", "spliced-log", OBSERVED, 0.98),
                ("with metrics", "spliced-metrics", OBSERVED, 0.98),
                ("with both", "spliced-observed", OBSERVED, 0.98),
                ("all with both", "spliced-observed", peers, 1.0))]


GOALS = [*_kernel_goals(),
         _goal("Rss bytes per idle session", "spliced-kernel", None, "idle", "rss_per_session",
               "<=", 2048),
         *_copy_goals(), *_http_goals(), *_tls_goals(), *_local_goals(),
         *_sidecar_goals(), *_observed_goals()]


def judge(results):
    """Every goal with what was measured: ok, MISSED, or None if it was not measured."""
    judged = []
    for goal in GOALS:
        base = goal["base"]
        if isinstance(base, tuple):
            base = results.best(goal["measure"], goal["field"], base)
            goal = {**goal, "base": base}
        if base:
            value = results.ratio(goal["measure"], goal["target"], goal["field"], base)
        else:
            value = results.median(goal["measure"], goal["target"], goal["field"])
        met = None
        if value is not None:
            met = value >= goal["bound"] if goal["compare"] == ">=" else value <= goal["bound"]
        judged.append({**goal, "measured": value, "met": met})
    return judged


def goals_table(judged):
    """The verdicts as lines of text."""
    lines = ["", "Goals (ratio of medians)"]
    for goal in judged:
        versus = f"{goal['target']} / {goal['base']}" if goal["base"] else goal["target"]
        verdict = {True: "ok", False: "MISSED", None: "not measured"}[goal["met"]]
        bound = f"{goal['compare']} {goal['bound']:g}"
        lines.append(f"  {goal['what']:41} {versus:32} {bound:>8} "
                     f"{human(goal['measured']):>8}  {verdict}")
    return lines


def summary(results):
    """Median, least and greatest of every plotted field, for results.json."""
    out = {}
    for section in SECTIONS:
        for _, measure in section.rows:
            for target in results.targets:
                values = results.values(measure, target, section.field)
                if values:
                    out.setdefault(measure, {}).setdefault(target, {})[section.field] = {
                        "unit": section.unit, "median": statistics.median(values),
                        "min": min(values), "max": max(values)}
    return out
