# SPDX-License-Identifier: GPL-2.0-or-later
"""Reload after reload under the load of wrk, redis-benchmark and the byte-exact tool: nobody is
refused or reset, no answer and no byte is wrong, and nothing stays behind."""

import contextlib

from lib import case, programs, wait_until
from lib.lasting import Repeated, Wrk
from lib.reloads import reload, setups, text_of

AT_DEBUG = False

MIB = 1 << 20

NGINX = """
    keepalive_timeout 1h;
    server {{
        listen {address};
        location / {{ return 200 "%s"; }}
    }}
"""
BYTES = ("--concurrency", 6, "--bytes-up", 200_000, "--bytes-down", 300_000)


class Place:
    """The daemon, the servers behind it, and the loads before it."""

    def __init__(self, env, stack):
        self.env, self.loads = env, []
        self.nginx = [stack.enter_context(programs.Nginx(env, NGINX % name, name, 8700 + i))
                      for i, name in enumerate("abc")]
        self.redis = stack.enter_context(programs.Redis(env))
        self.bytes_at = [f"{programs.own_address()}:{8710 + i}" for i in range(2)]
        sections = env.sections([f"{n.name} {n.address}" for n in self.nginx],
                                {"access_log": "no", "log_level": "error"}, {"protocol": "http"})
        for name, address in (("redis", self.redis.address), ("bytes", self.bytes_at[0]),
                              ("lasting", self.bytes_at[1])):
            # The lasting ones do nothing until all is over.
            sections[f"listener {name}"] = {"bind": "127.0.0.1:0", "pool": name, "idle_timeout": "1h"}
            sections[f"pool {name}"] = {"server": f"s {address}"}
        self.daemon = env.spliced(config=sections)
        self.text = text_of(self.daemon)
        self.at = {name: self.daemon.address(name) for name in ("web", "redis", "bytes", "lasting")}

    def variant(self, number):
        """One of eight files: each differs from the one before in what matters."""
        text = self.text
        a, _, c = self.nginx
        if number & 1:      # a server goes, and another one comes
            text = text.replace(f"server = c {c.address}\n", f"server = again {c.address}\n")
        if number & 2:      # so does a listener, and a pool that routes lead to
            text += f"\n[listener more]\nbind = 127.0.0.1:0\nprotocol = http\npool = more\n" \
                f"\n[pool more]\nserver = a {a.address}\n"
            text = text.replace("[listener web]\n", "[listener web]\nroute = path:/ -> more\n")
        if number & 4:      # weights, times, an algorithm; listeners in another order
            text = text.replace(f"server = a {a.address}\n", f"server = a {a.address} weight=7\n")
            text = text.replace("[pool main]\n", "[pool main]\nbalance = least_sessions\n"
                                "connect_timeout = 7s\nkeepalive = 3\n")
            text = text.replace("[listener web]\n", "[listener web]\nkeepalive_timeout = 33s\n"
                                "idle_timeout = 7m\nresponse_timeout = 44s\n")
        return text

    def redis_benchmark(self):
        host, port = programs.split(self.at["redis"])
        done = programs.run(programs.find("redis-benchmark"), "-h", host, "-p", port, "-n", 3000,
                            "-c", 10, "-t", "set,get", "--csv", timeout=60)
        assert "rror" not in done.stdout + done.stderr, done

    def bytes_once(self):
        self.env.load("--sessions", 60, *BYTES, listen=self.bytes_at[0]).go(
            self.at["bytes"]).ok()
        self.env.loads.clear()

    def begin(self):
        self.loads = [Wrk(self.at["web"], "-c8"),
                      Wrk(self.at["web"], "-c4", "-H", "Connection: close"),
                      Repeated(self.redis_benchmark), Repeated(self.bytes_once)]

    def figures(self):
        stats = self.daemon.stats()
        return stats["http_requests"], stats["sessions_total"]

    def wait_for_more(self, since):
        """Each file is in use for some requests and sessions."""
        wait_until(lambda: all(now > then + 20 for now, then in zip(self.figures(), since)), 30,
                   "requests and sessions go on", poll=0.005)

    def reload(self, number):
        for i in range(number):
            since = self.figures()
            reload(self.daemon, self.variant(i % 8))
            self.wait_for_more(since)

    def end(self):
        """How many requests each wrk made, and so on."""
        try:
            return [load.check() for load in self.loads]
        finally:
            for load in self.loads:
                load.close()

    def settle(self):
        """With other servers, so that no connection is kept: what there is then is for nobody."""
        daemon, text = self.daemon, self.text
        for nginx in self.nginx:
            text = text.replace(f"server = {nginx.name} ", f"server = other-{nginx.name} ")
        reload(daemon, text)
        wait_until(lambda: setups(daemon) == 1, 20, lambda: f"{setups(daemon)} files in use")
        wait_until(lambda: not any(daemon.map_entries().values()), 10, "the maps are empty")

    def lasting(self):
        """Sessions that were there before and are at work again afterwards."""
        load = self.env.load("--sessions", 20, "--idle", "--bytes-up", 30_000, "--bytes-down",
                             50_000, listen=self.bytes_at[1], timeout=900)
        load.go(self.at["lasting"]).wait_idle()
        return load


def run(env, number):
    with contextlib.ExitStack() as stack:
        place = Place(env, stack)
        daemon = place.daemon
        place.begin()
        place.reload(8)
        place.end()
        daemon.wait_sessions(0, 20)
        place.settle()
        fds, rss = daemon.fds(), daemon.rss()

        old = place.lasting()
        place.begin()
        place.reload(number)
        done = place.end()
        assert setups(daemon) > 1, "those sessions have theirs"
        old.send("go")
        old.ok()
        daemon.wait_sessions(0, 20)
        place.settle()
        wait_until(lambda: daemon.fds() <= fds, 10, lambda: f"{daemon.fds()} of {fds} descriptors")
        assert daemon.status()["setups"] == 1
        if not env.sanitized:
            wait_until(lambda: daemon.rss() < rss + 6 * MIB, 10,
                       lambda: f"memory: {rss} before, {daemon.rss()} now")
        for program in place.nginx + [place.redis]:
            assert program.process.poll() is None
        env.note(f"{number} reloads, {done[0]} requests on kept connections, {done[1]} on their "
                 f"own, {3000 * 2 * done[2]} of redis, {60 * done[3]} sessions; memory "
                 f"{(daemon.rss() - rss) / MIB:+.1f} MiB")


@case(timeout=120)
def test_reloads(env):
    run(env, env.pick(12, 8))


@case(timeout=1200, full=True, vm=False)
def test_a_thousand_reloads(env):
    run(env, 1000)
