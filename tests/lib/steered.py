# SPDX-License-Identifier: GPL-2.0-or-later
"""Daemons to whose listener whole ranges of a host are steered."""

from . import tcp
from .intercepted import exchange, port_of
from .wait import wait_until

FIRST, LAST = 8000, 8999
RANGE = f"{FIRST}-{LAST}"


class Pod:
    """A host with clients elsewhere: where the daemon and the applications are."""

    def __init__(self, env):
        self.env = env
        self.network = env.network()
        self.host = self.network.proxy

    def address(self, port, family=4):
        """One of the pod's, as clients elsewhere know it."""
        where = self.network.proxy_address(family)
        return f"[{where}]:{port}" if family == 6 else f"{where}:{port}"

    def backend(self, port, family=4, handle=tcp.serve_echo, address=None):
        """An application in it."""
        return self.host.call(self.env.backend, handle, address or self.address(port, family))

    def spliced(self, bind, servers="any original:", listener=None, **options):
        return self.env.spliced(servers, listener={"bind": bind, **(listener or {})},
                                prefix=[*self.host.command(), *options.pop("prefix", ())],
                                **options)

    def connect(self, address, **options):
        """A client elsewhere."""
        return self.network.client.call(lambda: self.env.keep(tcp.connect(address, **options)))

    def connect_within(self, address, **options):
        """A client in the pod."""
        return self.host.call(lambda: self.env.keep(tcp.connect(address, **options)))


def steered(daemon):
    """How many connections came to its listeners but `plain`. (The program counts segments of
    connections that are over, too.)"""
    return sum(listener["sessions_total"] for listener in daemon.status()["listeners"]
               if listener["name"] != "plain")


def wait_steering(daemon, seconds=20):
    wait_until(lambda: daemon.status()["steering"]["active"], seconds, "it steers")


def goes_through(pod, daemon, address):
    """Whether a new connection there is the daemon's, and not the application's alone."""
    before = steered(daemon)
    with pod.connect(address) as sock:
        exchange(sock)
    return steered(daemon) == before + 1


__all__ = ["FIRST", "LAST", "RANGE", "Pod", "exchange", "goes_through", "port_of", "steered",
           "wait_steering"]
