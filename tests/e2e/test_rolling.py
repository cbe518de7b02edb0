# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers that are taken out, stopped, ill and brought back while clients go on: no request is lost."""

import contextlib
import os
import re
import signal

from lib import case, process, programs, wait_until
from lib.lasting import Repeated, Wrk
from lib.metrics import scrape

AT_DEBUG = False

NGINX = """
    keepalive_timeout 1h;
    server {{
        listen {address};
        location /health {{
            if (-f {root}/sick-%(name)s) {{ return 500; }}
            return 200 "well";
        }}
        location / {{ return 200 "%(name)s"; }}
    }}
"""
CHECKS = {"health_check": "http", "health_path": "/health", "health_interval": "50ms",
          "health_timeout": "1s", "fail_timeout": "1h"}


def nginx(env, name, port, again=""):
    return programs.Nginx(env, NGINX % {"name": name}, f"{name}{again}", port)


def proxy(env, servers, **pool):
    return env.spliced([f"{name} {server.address}" for name, server in servers.items()],
                       {"access_log": "no", "status": "127.0.0.1:0"}, {"protocol": "http"}, pool)


def order(daemon, *words):
    process.run(daemon.control_tool, "-s", daemon.control_path, *words)


def wait_state(daemon, name, *states):
    wait_until(lambda: daemon.server(name)["state"] in states, 20,
               lambda: f"{name} is {states}: {daemon.server(name)}")


def wait_idle(daemon, name):
    wait_until(lambda: daemon.server(name)["sessions_active"] == 0, 20,
               lambda: f"nobody has it: {daemon.server(name)}")


def wait_more(daemon, number=300):
    """So many more requests are answered."""
    since = daemon.stats()["http_requests"]
    wait_until(lambda: daemon.stats()["http_requests"] > since + number, 30, "requests go on")


def wait_used(daemon, name):
    total = daemon.server(name)["sessions_total"]
    wait_until(lambda: daemon.server(name)["sessions_total"] > total + 20, 30, f"{name} serves")


def assert_unused(daemon, name):
    """Others have the requests."""
    total = daemon.server(name)["sessions_total"]
    wait_more(daemon)
    assert daemon.server(name)["sessions_total"] == total, f"{name} was given a request"


@contextlib.contextmanager
def under_load(daemon):
    """Clients on kept connections, and clients that connect anew for each request."""
    loads = [Wrk(daemon.address(), "-c8"), Wrk(daemon.address(), "-c4", "-H", "Connection: close")]
    try:
        wait_more(daemon)
        yield
        for load in loads:
            load.check()
    finally:
        for load in loads:
            load.close()


@case(timeout=90)
def test_drain(env):
    """Each request of h2load is answered, whoever is drained meanwhile."""
    with nginx(env, "a", 8720) as a, nginx(env, "b", 8721) as b:
        daemon = proxy(env, {"a": a, "b": b})
        each, h2load = env.pick(5000, 1000), programs.find("h2load")

        def once():
            said = programs.run(h2load, "--h1", "-n", each, "-c", 16, "-t", 1,
                                f"http://{daemon.address()}/", timeout=60).stdout
            assert f"{each} done, {each} succeeded, 0 failed, 0 errored, 0 timeout" in said, said
            assert f"{each} 2xx, 0 3xx, 0 4xx, 0 5xx" in said, said

        load = Repeated(once)
        for i in range(10):
            name = "ab"[i % 2]
            wait_more(daemon, 50)
            order(daemon, "drain", f"main/{name}")
            wait_state(daemon, name, "drain")
            wait_idle(daemon, name)
            order(daemon, "ready", f"main/{name}")
        number = load.check() * each
        answers = scrape(daemon).sum("spliced_server_http_responses_total", **{"class": "2xx"})
        assert answers == number, f"{answers} answers of servers to {number} requests"
        env.note(f"{number} requests, ten drains")


@case(timeout=120)
def test_rolling_restart(env):
    """One after the other is drained, stopped when nobody has it, and started anew."""
    with contextlib.ExitStack() as stack:
        def begin(name, again=""):
            own = stack.enter_context(contextlib.ExitStack())
            server = nginx(env, name, {"a": 8722, "b": 8723}[name], again)
            own.enter_context(server)
            running[name] = own
            return server

        running = {}
        daemon = proxy(env, {name: begin(name) for name in "ab"}, **CHECKS)
        for name in "ab":
            wait_state(daemon, name, "up")
        with under_load(daemon):
            for i, name in enumerate("abab"):
                order(daemon, "drain", f"main/{name}")
                wait_idle(daemon, name)
                assert_unused(daemon, name)
                running[name].close()
                wait_more(daemon)
                begin(name, str(i))
                order(daemon, "ready", f"main/{name}")
                wait_used(daemon, name)


@case(timeout=90)
def test_ill_and_well_again(env):
    """It answers 500 to checks, twice: nobody notices, and it gets nothing meanwhile."""
    (env.tmp / "www").mkdir()
    sick = env.tmp / "www" / "sick-a"
    with nginx(env, "a", 8724) as a, nginx(env, "b", 8725) as b:
        daemon = proxy(env, {"a": a, "b": b}, **CHECKS)
        for name in "ab":
            wait_state(daemon, name, "up")
        with under_load(daemon):
            for _ in range(2):
                sick.touch()
                wait_state(daemon, "a", "down")
                wait_idle(daemon, "a")
                assert_unused(daemon, "a")
                sick.unlink()
                wait_used(daemon, "a")


@case(timeout=90)
def test_hangs_and_goes_on(env):
    """Requests that it had wait for it; all others are served, and none is lost."""
    with nginx(env, "a", 8726) as a, nginx(env, "b", 8727) as b:
        daemon = proxy(env, {"a": a, "b": b}, **CHECKS | {"health_timeout": "200ms"})
        for name in "ab":
            wait_state(daemon, name, "up")
        with open(f"/proc/{a.process.pid}/task/{a.process.pid}/children", encoding="ascii") as f:
            pids = [a.process.pid] + [int(pid) for pid in f.read().split()]
        # Of a client on one connection a request that waits is all that there is: new ones come.
        with under_load(daemon):
            for pid in pids:
                process.stop(pid)
            try:
                wait_state(daemon, "a", "down")
                assert re.match("timeout", daemon.server("a")["reason"])
                with contextlib.closing(Wrk(daemon.address(), "-c4")) as more:
                    wait_more(daemon)
                    more.check()
            finally:
                for pid in pids:
                    os.kill(pid, signal.SIGCONT)
            wait_used(daemon, "a")
            wait_more(daemon)
