# SPDX-License-Identifier: GPL-2.0-or-later
"""The load of other programs' own clients: what they are asked, and what of their answer counts.

They take a number of requests, not a time: a short run says how many.
"""

import csv
import re

from processes import Failure


def _last_line(text):
    return text.strip().rpartition("\n")[2] or "it said nothing"


def _redis_benchmark(load, measure, port, test, requests):
    """One run of redis-benchmark: its row of values by name."""
    text = load.run([load.programs["redis-benchmark"], "-h", "127.0.0.1", "-p", str(port),
                     "-t", test, "-d", str(measure.size), "-c", str(measure.connections),
                     "-P", str(measure.pipeline), "-n", str(requests), "--csv"])
    rows = list(csv.DictReader(text.splitlines()))
    if len(rows) != 1:
        raise Failure(f"redis-benchmark gave no result: {_last_line(text)}")
    return {name: float(value) for name, value in rows[0].items() if name != "test"}


def redis(load, measure, port):
    """GET of a value that is there: SET, as the warm-up, puts it there."""
    warm = _redis_benchmark(load, measure, port, "set", 2000 * measure.pipeline)
    requests = max(1000, int(warm["rps"] * load.seconds))
    row = _redis_benchmark(load, measure, port, "get", requests)
    return {"per_s": row["rps"], "requests": requests,
            "p50_us": row["p50_latency_ms"] * 1e3, "p99_us": row["p99_latency_ms"] * 1e3}


def _pgbench(load, measure, port, transactions):
    """One run of pgbench: so many transactions of each client, of one prepared SELECT each."""
    text = load.run([load.programs["pgbench"], "-h", "127.0.0.1", "-p", str(port), "-U",
                     "postgres", "-n", "-S", "-M", "prepared", "-c", str(measure.connections),
                     "-j", str(min(2, measure.connections)), "-t", str(transactions), "postgres"])
    rate = re.search(r"^tps = ([\d.]+) ", text, re.M)
    latency = re.search(r"^latency average = ([\d.]+) ms", text, re.M)
    if not rate or not latency:
        raise Failure(f"pgbench gave no result: {_last_line(text)}")
    return {"per_s": float(rate[1]), "requests": transactions * measure.connections,
            "mean_us": float(latency[1]) * 1e3}


def pgbench(load, measure, port):
    """Transactions that only read; so many of each client that its backend's first ones, which fill
    caches and cost far more than the others, hardly count."""
    warm = _pgbench(load, measure, port, 100)
    transactions = int(warm["per_s"] * load.seconds / measure.connections)
    return _pgbench(load, measure, port, max(500, transactions))


LOADS = {"redis": redis, "pgbench": pgbench}
