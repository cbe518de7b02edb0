# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon tells Prometheus: asked for as Prometheus does, and read strictly."""

import json
import re

from .env import ROOT
from .http import BadMessage, Client, request

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SERIES = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
UNESCAPED = {'"': '"', "\\": "\\", "n": "\n"}


def parse_labels(text):
    """{name: value} of what stands between the braces."""
    labels, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        assert match and match[1] not in labels, f"labels {text!r}"
        labels[match[1]] = re.sub(r"\\(.)", lambda m: UNESCAPED[m[1]], match[2])
        at = match.end()
    return labels


class Metrics:
    """One scrape. types: {metric: type}; values: {(name, labels as sorted pairs): number}."""

    def __init__(self, text):
        self.text, self.types, self.help, self.values = text, {}, {}, {}
        metric = None
        assert text.endswith("\n"), text[-100:]
        for line in text.splitlines():
            if line.startswith("# HELP "):
                metric, _, told = line[7:].partition(" ")
                assert metric not in self.help, f"{metric} comes twice"
                self.help[metric] = told
            elif line.startswith("# TYPE "):
                name, _, kind = line[7:].partition(" ")
                assert name == metric and kind in ("counter", "gauge", "histogram"), line
                self.types[name] = kind
            else:
                self._add(metric, line)

    def _add(self, metric, line):
        match = SERIES.fullmatch(line)
        assert match, f"line {line!r}"
        name, labels = match[1], parse_labels(match[2] or "")
        if self.types[metric] == "histogram":
            assert name in (metric + "_bucket", metric + "_sum", metric + "_count"), line
        else:
            assert name == metric, f"{line!r} under {metric}"
        key = name, tuple(sorted(labels.items()))
        assert key not in self.values, f"{line!r} comes twice"
        self.values[key] = float(match[3])

    def sum(self, name, **labels):
        """The sum of the series that have these labels, whatever others they have; it must have
        some."""
        found = [value for (known, has), value in self.values.items()
                 if known == name and labels.items() <= dict(has).items()]
        assert found, f"no {name} {labels}"
        return sum(found)

    def names(self):
        return set(self.types)

    def counters(self):
        """{series: number} of what must not become less."""
        return {key: value for key, value in self.values.items()
                if self.types.get(key[0]) == "counter"
                or re.sub("_(bucket|count|sum)$", "", key[0]) in self.types
                and key[0] not in self.types}


def address(daemon):
    """Where the status server listens; it stays there."""
    if not hasattr(daemon, "status_address"):
        daemon.status_address = daemon.status()["status_address"]
    return daemon.status_address


def get(daemon, path="/metrics", method="GET", *fields, **options):
    """The response of the status server, after which the connection must end."""
    with Client(address(daemon), **options) as client:
        client.send(request(method, path, *fields, host="status"))
        answer = client.response(method)
        rest, how = client.ending()
    if rest or how != "eof" or answer.get("Connection") != "close":
        raise BadMessage(f"{rest!r} and {how} behind a response: {answer.raw!r}")
    return answer


def scrape(daemon):
    """Metrics of the daemon, as of now."""
    answer = get(daemon)
    assert answer.status == 200, answer.raw
    assert answer.get("Content-Type") == "text/plain; version=0.0.4; charset=utf-8", answer.raw
    return Metrics(answer.body.decode())


# ---- who reads it -----------------------------------------------------------------------------

def expressions():
    """[(where, expression of PromQL)] of the dashboard and of the rules in conf/."""
    with open(ROOT / "conf/grafana-dashboard.json", encoding="utf-8") as file:
        board = json.load(file)
    found = [(panel["title"], target["expr"]) for panel in board["panels"]
             for target in panel.get("targets", ())]
    found += [(one["name"], one["query"]["query"]) for one in board["templating"]["list"]
              if one["type"] == "query"]
    rules = (ROOT / "conf/prometheus-rules.yml").read_text(encoding="utf-8")
    for name, body in re.findall(r"- alert: (\w+)\n((?: {8}.*\n)+)", rules):
        found.append((name, re.search(r"expr:((?: [^|\n].*)| \|\n(?: {10}.*\n)+)", body)[1].lstrip(" |\n")))
    return found
