# SPDX-License-Identifier: GPL-2.0-or-later
"""Network namespaces: hosts of their own, joined by veth pairs."""

import ctypes
import os
import threading

from . import process
from .case import Skip

CLONE_NEWNET = 0x40000000


class Host:
    """One namespace."""

    def __init__(self, name):
        self.name = name

    def run(self, *command, **options):
        """Runs a program in it, to its end."""
        return process.run("ip", "netns", "exec", self.name, *command, **options)

    def command(self, *command):
        """The command line that runs a program in it, for Popen."""
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def call(self, function, *args):
        """Calls a Python function in it (in a thread that enters it) and returns its result:
        sockets made there stay there."""
        outcome = {}

        def enter():
            try:
                with open(f"/run/netns/{self.name}", "rb") as netns:
                    libc = ctypes.CDLL(None, use_errno=True)
                    if libc.setns(netns.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                outcome["value"] = function(*args)
            except BaseException as error:  # handed to the caller's thread
                outcome["error"] = error

        thread = threading.Thread(target=enter, daemon=True)
        thread.start()
        thread.join(30)
        if "error" in outcome:
            raise outcome["error"]
        assert "value" in outcome, f"call in namespace {self.name} did not return in time"
        return outcome["value"]


class Network:
    """client --- proxy --- backend: three hosts and two links.

    10.77.1.0/24 and fd77:1::/64 join client (.2) and proxy (.1), 10.77.2.0/24 and fd77:2::/64
    proxy (.1) and backend (.2). The proxy does not forward packets: what passes was proxied.
    """

    CLIENT_NET, BACKEND_NET = 1, 2

    def __init__(self, env):
        if os.geteuid() != 0:
            raise Skip("network namespaces need root")
        self.env = env
        self.client = self._host("client")
        self.proxy = self._host("proxy")
        self.backend = self._host("backend")
        self._link(self.client, self.proxy, self.CLIENT_NET)
        self._link(self.backend, self.proxy, self.BACKEND_NET)

    def proxy_address(self, family=4):
        """The proxy's address on the client's side."""
        return "10.77.1.1" if family == 4 else "fd77:1::1"

    def backend_address(self, family=4):
        return "10.77.2.2" if family == 4 else "fd77:2::2"

    def _host(self, role):
        name = f"spl{os.getpid()}{role}"
        self.env.remember_netns(name)
        process.run("ip", "netns", "add", name)
        host = Host(name)
        host.run("ip", "link", "set", "lo", "up")
        return host

    def _link(self, far, proxy, net):
        process.run("ip", "-n", proxy.name, "link", "add", f"net{net}", "type", "veth",
                    "peer", "name", "eth0", "netns", far.name)
        for host, device, number in ((proxy, f"net{net}", 1), (far, "eth0", 2)):
            process.run("ip", "-n", host.name, "addr", "add", f"10.77.{net}.{number}/24",
                        "dev", device)
            process.run("ip", "-n", host.name, "addr", "add", f"fd77:{net}::{number}/64",
                        "dev", device, "nodad")
            process.run("ip", "-n", host.name, "link", "set", device, "up")


def delete(name):
    """Deletes a namespace; one that is not there is fine."""
    process.run("ip", "netns", "del", name, check=False)
