# SPDX-License-Identifier: GPL-2.0-or-later
"""Upgrade after upgrade, and worker after worker that dies, under the load of wrk, redis-benchmark and
clients that compare every byte: what is refused and what is lost is counted, and is nothing but the sessions
that a dead worker had."""

import contextlib
import os
import signal

from lib import case, process, programs, wait_until
from lib.clients import Clients
from lib.lasting import Repeated, Wrk

AT_DEBUG = False

NGINX = """
    keepalive_timeout 1h;
    server {{
        listen {address};
        location / {{ return 200 "here"; }}
    }}
"""
ONCE, KEPT = 4, 8       # clients of wrk that connect for each request, and that stay
ECHOES = 4
REDIS = 5


class Place:
    """The daemon, the servers behind it, and the loads before it."""

    def __init__(self, env, stack, port):
        nginx = stack.enter_context(programs.Nginx(env, NGINX, "restarts", port))
        redis = stack.enter_context(programs.Redis(env))
        sections = env.sections(nginx.address, {"access_log": "no", "log_level": "warning",
                                                "shutdown_grace": "60s"}, {"protocol": "http"})
        for name, address in (("redis", redis.address), ("echo", env.backend().address)):
            sections[f"listener {name}"] = {"bind": "127.0.0.1:0", "pool": name}
            sections[f"pool {name}"] = {"server": f"s {address}"}
        self.daemon = env.spliced(config=sections)
        at = {name: self.daemon.address(name) for name in ("web", "redis", "echo")}
        self.redis_at = programs.split(at["redis"])
        self.redis_lost = 0
        self.echoes = stack.enter_context(Clients(at["echo"], ECHOES))
        self.once = stack.enter_context(contextlib.closing(
            Wrk(at["web"], f"-c{ONCE}", "-H", "Connection: close")))
        self.kept = stack.enter_context(contextlib.closing(Wrk(at["web"], f"-c{KEPT}")))
        self.redis = stack.enter_context(contextlib.closing(Repeated(self._redis)))

    def _redis(self):
        """Its end is an error, and so is a byte that is wrong."""
        host, port = self.redis_at
        done = process.run(programs.find("redis-benchmark"), "-h", host, "-p", port, "-n", 2000,
                           "-c", REDIS, "-t", "set,get", "--csv", timeout=60, check=False)
        said = done.stdout + done.stderr
        if done.returncode or "rror" in said:
            assert "onnection reset by peer" in said or "erver closed the connection" in said, said
            self.redis_lost += 1

    def wait_for_more(self, generation):
        """That worker serves, and everybody gets on with it."""
        def served():
            status = self.daemon.control("status", check=False)
            return status and status["generation"] == generation
        wait_until(served, 20, f"generation {generation} serves", poll=0.01)
        self.echoes.wait_served(5)
        requests = self.daemon.stats()["http_requests"]
        wait_until(lambda: self.daemon.stats()["http_requests"] > requests + 20, 20, "requests",
                   poll=0.01)

    def end(self):
        """What was refused and lost, by load."""
        self.echoes.end()
        runs = self.redis.check()
        return {"once": self.once.errors(), "kept": self.kept.errors(), "redis runs": runs,
                "redis": self.redis_lost, "echoes": self.echoes.served,
                "refused": self.echoes.refused, "lost": self.echoes.lost}


def upgrades(env, number):
    with contextlib.ExitStack() as stack:
        place = Place(env, stack, 8730)
        for generation in range(2, number + 2):
            place.wait_for_more(generation - 1)
            assert place.daemon.control("upgrade", timeout=60)["upgraded"] is True
        place.wait_for_more(number + 1)
        done = place.end()
    env.note(f"{number} upgrades: {done}")
    assert not done["refused"] and not done["lost"] and not done["redis"], done
    assert not done["once"][1] and not done["kept"][1], done
    assert place.daemon.status()["worker_deaths"] == 0


@case(timeout=60)
def test_upgrades(env):
    upgrades(env, env.pick(3, 1))


@case(timeout=1200, full=True, vm=False)
def test_a_hundred_upgrades(env):
    upgrades(env, 100)


def deaths(env, number):
    with contextlib.ExitStack() as stack:
        place = Place(env, stack, 8731)
        for generation in range(1, number + 1):
            place.wait_for_more(generation)
            os.kill(place.daemon.status()["worker_pid"], signal.SIGKILL)
        place.wait_for_more(number + 1)
        done = place.end()
    env.note(f"{number} deaths: {done}")
    assert not done["refused"] and len(done["lost"]) <= number * ECHOES, done
    assert done["redis"] <= number, done
    for name, clients in (("once", ONCE), ("kept", KEPT)):
        requests, errors = done[name]
        # What had no answer yet; a connect that is refused would be one of them as well.
        assert not errors.get("connect") and sum(errors.values()) <= number * clients, done
        assert requests > number
    assert place.daemon.status()["worker_deaths"] == number


@case(timeout=60)
def test_deaths(env):
    deaths(env, env.pick(3, 1))


@case(timeout=1200, full=True, vm=False)
def test_a_hundred_deaths(env):
    deaths(env, 100)
