# SPDX-License-Identifier: GPL-2.0-or-later
"""Prometheus itself scrapes the daemon; the dashboard's questions and the rules are asked of it."""

import json
import re
import urllib.parse
import urllib.request

from lib import case, programs, wait_until
from lib.env import ROOT
from lib.http import Client, Origin
from lib.metrics import address, expressions, scrape

AT_DEBUG = False

CONFIG = """
global:
  scrape_interval: 500ms
  scrape_timeout: 500ms
  evaluation_interval: 500ms
rule_files: [{rules}]
scrape_configs:
  - job_name: spliced
    static_configs: [{{targets: ['{target}']}}]
"""
# What a panel shows only when something has gone wrong.
MAY_BE_EMPTY = {"Servers not up"}


class Prometheus(programs.Program):
    """One that scrapes `target` twice a second."""

    def __init__(self, env, target):
        where, place = f"{programs.own_address()}:9090", env.tmp / "prometheus"
        place.mkdir()
        config = place / "prometheus.yml"
        config.write_text(CONFIG.format(rules=ROOT / "conf/prometheus-rules.yml", target=target),
                          encoding="utf-8")
        super().__init__(env, "prometheus", [
            programs.find("prometheus"), f"--config.file={config}",
            f"--storage.tsdb.path={place}/data", f"--web.listen-address={where}",
            "--log.level=warn"], where, seconds=40, cwd=place)

    def get(self, path, **query):
        """What its API answers."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=programs.scaled(10)) as answer:
            told = json.load(answer)
        assert told["status"] == "success", told
        return told["data"]

    def query(self, expression):
        """[(labels, value)] now."""
        return [(one["metric"], float(one["value"][1]))
                for one in self.get("query", query=expression)["result"]]

    def value(self, expression):
        """The value of the only series; None: there is none."""
        found = self.query(expression)
        assert len(found) <= 1, (expression, found)
        return found[0][1] if found else None

    def wait_scrapes(self, number):
        """Until that many more have succeeded."""
        def succeeded():
            return self.value("sum_over_time(up[5m])") or 0
        wanted = succeeded() + number
        wait_until(lambda: succeeded() >= wanted, 60, lambda: f"scrapes: {self.get('targets')}",
                   poll=0.2)


def busy(env):
    """A daemon with something to tell of everything that the dashboard asks for."""
    sick = Origin(env, name="sick", answer=lambda _: b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
    well = Origin(env, name="well")
    daemon = env.spliced(
        [f"well {well.address}", f"sick {sick.address}", "gone 127.0.0.1:1"],
        spliced={"status": "127.0.0.1:0"}, listener={"protocol": "http"},
        pool={"health_check": "http", "health_path": "/", "health_interval": "100ms"})
    wait_until(lambda: [daemon.server(name)["state"] for name in ("well", "sick", "gone")] ==
               ["up", "down", "down"], 20, "their states")
    return daemon


def ask(daemon, number):
    with Client(daemon.address()) as client:
        for _ in range(number):
            assert client.ask().body == b"well"


@case(engines=("kernel",), timeout=150)
def test_prometheus(env):
    """It takes every series, the numbers are ours, and every panel has an answer."""
    programs.find("prometheus")
    daemon = busy(env)
    with Prometheus(env, address(daemon)) as prometheus:
        ask(daemon, 20)
        prometheus.wait_scrapes(4)
        assert not [t for t in prometheus.get("targets")["activeTargets"] if t["lastError"]]
        taken = prometheus.value("scrape_samples_scraped")
        assert taken == len(scrape(daemon).values), taken
        ask(daemon, 30)
        wait_until(lambda: prometheus.value(
            'sum(spliced_listener_http_responses_total{class="2xx"})') == 50, 20,
            "all responses are told")
        assert prometheus.value('spliced_server_up{server="well"}') == 1
        assert prometheus.value('spliced_server_state{server="sick",state="down"}') == 1
        assert prometheus.value('spliced_server_checks_total{server="sick",result="status"}') >= 3
        # A rate needs two of what has changed.
        prometheus.wait_scrapes(2)
        for where, expression in expressions():
            if "label_values" in expression:
                continue
            asked = re.sub(r'job="\$job",instance=~"\$instance"', 'job="spliced"',
                           expression).replace("$__rate_interval", "1m")
            assert "$" not in asked, asked
            found = prometheus.query(asked)
            alert = re.fullmatch(r"Spliced\w+", where)
            assert found or alert or where in MAY_BE_EMPTY, (where, asked)
        rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
        wait_until(lambda: all(rule["health"] == "ok" for group in prometheus.get("rules")["groups"]
                               for rule in group["rules"]), 20, "every rule was evaluated")
        env.note(f"{taken:.0f} series, {len(rules)} rules, "
                 f"{prometheus.value('scrape_duration_seconds') * 1e3:.1f} ms a scrape")
