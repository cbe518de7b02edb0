# SPDX-License-Identifier: GPL-2.0-or-later
"""The status page: what it is made of, and what Chromium makes of it."""

import contextlib
import http.server
import json
import re
import threading

from lib import case, connect, read_exactly, wait_until
from lib.browser import Browser
from lib.http import Client, Origin
from lib.metrics import address, get

AT_DEBUG = False

STATUS = {"status": "127.0.0.1:0"}
WIDE, PHONE = (1200, 900), (390, 844)
HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>&amp;"


def everything(env):
    """A daemon with two listeners, a server that is down and one without an address, and a path
    that looks like HTML."""
    origin = Origin(env)
    web = {"protocol": "http", "route": "path:/dead -> dead"}
    daemon = env.spliced(origin.address, spliced=STATUS, listener=web, more={
        "pool dead": {"server": ["d 127.0.0.1:1", "n nowhere.invalid:80 backup"]},
        "listener raw": {"bind": ["127.0.0.1:0", f"unix:{env.tmp}/<i>x"], "pool": "tcp"},
        "pool tcp": {"server": f"s {env.backend().address}"}})
    with Client(daemon.address()) as client:
        assert client.ask().status == 200
        assert client.ask(target="/dead").status == 502
    return daemon


@contextlib.contextmanager
def page(env, url, size=WIDE, dark=False, complaints=()):
    """The page in a browser; what else than `complaints` the console says is a failure."""
    with Browser(env) as browser:
        browser.look(*size, dark)
        browser.open(url)
        yield browser
        browser.run("1")
        unexpected = [text for text in browser.complaints
                      if not any(known in text for known in complaints)]
        assert not unexpected, unexpected


def text_of(browser, selector):
    """What is read in the elements."""
    return browser.run(f"[...document.querySelectorAll({json.dumps(selector)})]"
                       ".map((e) => e.innerText).join('\\n')")


def rows_of(browser, table):
    """The cells of a table, a list a row."""
    return browser.run(f"[...document.querySelectorAll('#{table} tbody tr')].map((row) =>"
                       " [...row.cells].map((cell) => cell.innerText))")


# ---- without a browser -----------------------------------------------------------------------

def test_page_brings_everything_along(env):
    daemon = env.spliced(env.backend().address, spliced=STATUS)
    answers = [get(daemon, "/") for _ in range(2)]
    nonces = set()
    for answer in answers:
        assert answer.status == 200
        assert answer.get("Content-Type") == "text/html; charset=utf-8"
        policy = answer.get("Content-Security-Policy")
        assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy, policy
        nonce = re.search("script-src 'nonce-([0-9a-f]{32})'", policy)[1]
        body = answer.body.decode()
        assert re.findall(r'<(script|style) nonce="([^"]*)"', body) == [("style", nonce), ("script", nonce)]
        assert not re.search(r"""(src|href)=["']?(https?:)?//|@import|url\(|\son\w+=| style=|@[A-Z]+@""", body)
        assert not re.search("innerHTML|outerHTML|insertAdjacent|document.write|eval", body)
        nonces.add(nonce)
    assert len(nonces) == 2
    for path in ("/", "/status.json"):
        head = get(daemon, path, "HEAD")
        assert head.status == 200 and int(head.get("Content-Length")) > 1000 and not head.body
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert get(daemon, path, method).status == 405


def test_document_is_what_the_commands_say(env):
    daemon = everything(env)
    answer = get(daemon, "/status.json")
    assert answer.status == 200 and answer.get("Content-Type") == "application/json"
    told = json.loads(answer.body)
    assert list(told) == ["status", "stats", "not_ready"] and told["not_ready"] == ""
    status, stats = daemon.status(), daemon.stats()
    assert list(told["status"]) == list(status) and list(told["stats"]) == list(stats)
    assert told["status"]["listeners"] == status["listeners"]
    assert told["status"]["status_address"] == address(daemon)
    assert [s["name"] for p in told["status"]["pools"] for s in p["servers"]] == ["a", "d", "n", "s"]
    assert told["stats"]["http_requests"] == 2


def test_document_says_why_not_ready(env):
    daemon = env.spliced(env.backend().address, spliced={**STATUS, "max_sessions": 1})
    with connect(daemon.address()) as client:
        client.sendall(b"x")
        assert read_exactly(client, 1) == b"x"
        assert json.loads(get(daemon, "/status.json").body)["not_ready"] == "max_sessions is reached"


# ---- in Chromium -----------------------------------------------------------------------------

@case(vm=False, timeout=120)
def test_page_shows_the_daemon(env):
    daemon = everything(env)
    with page(env, f"http://{address(daemon)}/") as browser:
        browser.wait("document.getElementById('standing').textContent === 'ready'", 20, "an answer")
        assert browser.run("document.title") == "spliced"
        facts = text_of(browser, "#engine")
        assert env.engine in facts and daemon.status()["engine_reason"] in facts, facts
        names = [row[:4] for row in rows_of(browser, "listeners")]
        assert names[0] == ["web", "http", daemon.address(), "main"], names
        assert names[1][:2] == ["raw", "tcp"] and names[1][2].endswith(f"unix:{env.tmp}/<i>x"), names
        servers = {row[0].split("\n")[0]: row for row in rows_of(browser, "pools")}
        assert list(servers) == ["main/a", "dead/d", "dead/n", "tcp/s"], servers
        assert servers["main/a"][1] == "up" and servers["main/a"][6] == "1"
        assert servers["dead/d"][1].startswith("ejected\nConnection refused"), servers
        assert servers["dead/n"][:2] == ["dead/n\nbackup", "unresolved"], servers
        assert "2 not up" in text_of(browser, "#pools-summary")
        assert ["connect_failed", "1"] in rows_of(browser, "http-ends")
        assert ["5xx", "1"] in rows_of(browser, "http-responses")


@case(vm=False, timeout=120)
def test_page_is_live(env):
    """Sessions come and go, and the plots have them."""
    daemon = env.spliced(env.backend().address, spliced=STATUS)
    with page(env, f"http://{address(daemon)}/") as browser:
        tile = "document.querySelector('#tiles dd span')?.textContent"
        browser.wait(f"{tile} === '0'", 20, "no session")
        clients = [env.keep(connect(daemon.address())) for _ in range(3)]
        for client in clients:
            client.sendall(b"x" * 50_000)
            read_exactly(client, 50_000)
        browser.wait(f"{tile} === '3'", 20, "three sessions")
        sums = browser.run("[...document.querySelectorAll('#engines tbody tr')].map((r) => r.cells[2].textContent)")
        assert any(text.endswith("KiB") for text in sums), sums
        browser.wait("past.length >= 3 && past.some((s) => s.moved > 0)", 20, "samples")
        paths = browser.run("[...document.querySelectorAll('.plot .area, .plot .trace')]"
                            ".map((p) => p.getAttribute('d'))")
        assert len(paths) == 6 and all(re.fullmatch(r"(M[-0-9.]+ [-0-9.]+(L[-0-9.]+ [-0-9.]+)*Z?)+", p)
                                       for p in paths), paths
        clients[0].close()
        browser.wait(f"{tile} === '2'", 20, "two sessions")


@case(engines=("copy",), vm=False, timeout=120)
def test_page_fits_a_phone_and_the_dark(env):
    daemon = everything(env)
    with page(env, f"http://{address(daemon)}/", PHONE, dark=True) as browser:
        browser.wait("document.getElementById('standing').textContent === 'ready'", 20, "an answer")

        def light(selector, property_name):
            colour = browser.run(f"getComputedStyle(document.querySelector('{selector}')).{property_name}")
            return sum(int(n) for n in re.findall(r"\d+", colour)[:3]) / 3
        for size in (PHONE, (320, 568), WIDE, (768, 1024)):
            for dark in (True, False):
                browser.look(*size, dark)
                width = browser.run("document.documentElement.scrollWidth")
                assert width <= size[0], f"{width} wide in {size}"
                assert (light("body", "backgroundColor") < 100) == dark
                assert (light("body", "color") > 155) == dark
        browser.look(*PHONE)
        assert browser.run("getComputedStyle(document.querySelector('#pools tr td')).display") == "block"
        assert browser.screenshot().startswith(b"\x89PNG")


@case(engines=("copy",), vm=False, timeout=120)
def test_page_says_that_the_daemon_is_gone(env):
    """And that it is back: another process, whose counters begin anew."""
    daemon = env.spliced(env.backend().address, spliced=STATUS)
    where = address(daemon)
    with page(env, f"http://{where}/", complaints=("ERR_",)) as browser:
        browser.wait("past.length >= 1", 20, "two answers")
        daemon.stop()
        browser.wait("!document.getElementById('alarm').hidden", 20, "an alarm")
        said = text_of(browser, "#alarm")
        assert said.startswith("No answer from the daemon since ") and "cannot be reached" in said, said
        assert text_of(browser, "#standing") == "no answer"
        assert browser.run("document.body.classList.contains('gone')")
        env.spliced(env.backend().address, spliced={"status": where})
        browser.wait("document.getElementById('alarm').hidden", 20, "no alarm")
        assert text_of(browser, "#standing") == "ready"
        assert browser.run("past.every((s) => s.moved >= 0 && s.began >= 0)")


@contextlib.contextmanager
def other_server(html, policy, document):
    """The page at an address of its own, where something else answers its questions."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = document() if self.path == "/status.json" else (200, html)
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "http://127.0.0.1:%d/" % server.server_address[1]
        server.shutdown()


def poisoned(value):
    """The same document with HTML for every text."""
    if isinstance(value, dict):
        return {key: poisoned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


@case(engines=("copy",), vm=False, timeout=120)
def test_page_runs_nothing_that_a_name_says(env):
    daemon = everything(env)
    answer = get(daemon, "/")
    told = poisoned(json.loads(get(daemon, "/status.json").body))
    told["stats"]["ends"] = {HOSTILE: 1}
    with other_server(answer.body, answer.get("Content-Security-Policy"),
                      lambda: (200, json.dumps(told).encode())) as url, page(env, url) as browser:
        browser.wait("document.querySelectorAll('#pools tbody tr').length === 4", 20, "the servers")
        assert rows_of(browser, "pools")[0][0].startswith(f"{HOSTILE}/{HOSTILE}")
        assert rows_of(browser, "ends") == [[HOSTILE, "1"]]
        assert browser.run("document.querySelectorAll('img, script').length") == 1
        assert browser.run("document.title") == "spliced"


@case(engines=("copy",), vm=False, timeout=120)
def test_page_tells_bad_answers(env):
    daemon = env.spliced(env.backend().address, spliced=STATUS)
    answer = get(daemon, "/")
    good = get(daemon, "/status.json").body
    answers = {"now": (503, b"")}
    with other_server(answer.body, answer.get("Content-Security-Policy"),
                      lambda: answers["now"]) as url, page(env, url, complaints=("503",)) as browser:
        alarm = "document.getElementById('alarm')"
        for now, said in (((503, b""), "it answered 503"), ((200, b"{\"status\":"), "not JSON"),
                          ((200, b"{}"), "cannot be shown")):
            answers["now"] = now
            browser.wait(f"!{alarm}.hidden && {alarm}.textContent.includes('{said}')", 20, said)
        answers["now"] = (200, good)
        browser.wait(f"{alarm}.hidden", 20, "no alarm")


@case(engines=("copy",), vm=False, timeout=120)
def test_page_of_many_servers(env):
    """Those that are not up first, and no more than a browser likes."""
    many = [f"s{i} 127.0.0.1:{1 + i % 9}" for i in range(700)]
    daemon = env.spliced([*many, f"last {env.backend().address}", "out nowhere.invalid:1"], spliced=STATUS)
    wait_until(lambda: daemon.status()["pools"][0]["servers"][-1]["state"] == "unresolved", 10, "a state")
    with page(env, f"http://{address(daemon)}/") as browser:
        browser.wait("document.querySelectorAll('#pools tbody tr').length === 500", 20, "rows")
        assert rows_of(browser, "pools")[0][0] == "main/out"
        assert "702 servers, 1 not up; 500 are shown" in text_of(browser, "#pools-summary")
