# SPDX-License-Identifier: GPL-2.0-or-later
"""Proxies beside the client, beside the server, and beside both. spliced intercepts on the client's side
what asks for the backend; HAProxy has to be asked itself."""

import socket
import time

import configurations
from configurations import SIDECAR
from processes import Failure
from targets import START_SECONDS, HaproxySplice, Spliced, Target


def own_address():
    """An address of this machine that is not a loopback one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            raise Failure("this machine has no address but of loopback") from None
        return probe.getsockname()[0]


class SplicedClient(Spliced):
    """Beside the client, which does not know of it."""

    name = "spliced-client"
    groups = SIDECAR
    engine = "kernel"

    def template(self):
        return configurations.SPLICED_INTERCEPT

    def find_port(self):
        return self.backend

    def intercept(self):
        """What the daemon says of its interception; nothing before it answers."""
        try:
            return self.control("status")["intercepts"][0]
        except (TypeError, KeyError, IndexError):
            return {}

    def await_answer(self):
        """Waits for the interception: we are not in the cgroup that it is for."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.alive():
            if self.intercept().get("active"):
                return True
            time.sleep(0.05)
        return False

    def complaints(self):
        if not self.intercept().get("redirected"):
            return ["no connect was intercepted"]
        return []


class SplicedJoined(SplicedClient):
    """... and on one host with the server: both applications are joined."""

    name = "spliced-joined"
    options = "bypass_cgroup = {cgroup}"
    listener = "local_bypass = both"


class SplicedServer(Spliced):
    """Beside the server. A connect to a daemon on loopback would not be intercepted."""

    name = "spliced-server"
    engine = "kernel"

    def template(self):
        return configurations.SPLICED_SERVER.replace("{host}", own_address())


class Chain(Target):
    """One proxy beside the client and one beside the server."""

    groups = SIDECAR
    near = far = None  # their classes

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.both = []

    @classmethod
    def version(cls):
        return cls.near.version()

    def launch(self):
        backend = self.backend
        for kind, place in ((self.far, "far"), (self.near, "near")):
            self.both.append(kind(self.group, self.processes, self.directory / place, backend,
                                  self.cgroup).start())
            backend = self.both[-1].port
        self.port, self.process = backend, self.both[-1].process

    def await_answer(self):
        return self.alive()

    def alive(self):
        return all(target.alive() for target in self.both)

    def pids(self):
        return [pid for target in self.both for pid in target.pids()]

    def complaint(self):
        return "; ".join(target.complaint() for target in self.both)

    def complaints(self):
        return [words for target in self.both for words in target.complaints()]

    def stop(self):
        while self.both:
            self.both.pop().stop()
        self.process = None

    def statistics(self):
        """Those of the one beside the client."""
        return self.both[-1].statistics()


class SplicedBoth(Chain):
    """spliced on both sides."""

    name = "spliced-both"
    near, far = SplicedClient, SplicedServer

    @classmethod
    def version(cls):
        own_address()
        return super().version()

    def launch(self):
        self.host = own_address()
        super().launch()


class HaproxyBoth(Chain):
    """HAProxy on both sides."""

    name = "haproxy-both"
    near = far = HaproxySplice
