# SPDX-License-Identifier: GPL-2.0-or-later
"""Network namespaces: hosts of their own, joined by veth pairs."""

import ctypes
import os
import threading

from . import process, programs
from .case import Skip

CLONE_NEWNET = 0x40000000


class Host:
    """One namespace."""

    def __init__(self, name):
        self.name = name

    def run(self, *command, **options):
        """Runs a program in it, to its end."""
        return process.run(*self.command(*command), **options)

    def command(self, *command):
        """The command line that runs a program in it, for Popen. (`ip netns exec` would mount
        another /sys, without the cgroups and BTF that the daemon needs.)"""
        return ["nsenter", f"--net=/run/netns/{self.name}", *map(str, command)]

    def ip(self, *words, **options):
        """Runs ip(8) in it."""
        return process.run("ip", "-n", self.name, *words, **options)

    def devices(self):
        """The names of its network devices, without lo."""
        shown = self.ip("-brief", "link", "show").stdout
        names = [line.split()[0].partition("@")[0] for line in shown.splitlines()]
        return [name for name in names if name != "lo"]

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
    Its devices are net1 and net2; theirs are eth1 and eth2.

    With `joined`, client and backend are one host with both links: for the load tool, which plays
    both in one process. What it sends still crosses both links.
    """

    CLIENT_NET, BACKEND_NET = 1, 2

    def __init__(self, env, joined=False):
        if os.geteuid() != 0:
            raise Skip("network namespaces need root")
        self.env = env
        self.client = self._host("client")
        self.proxy = self._host("proxy")
        self.backend = self.client if joined else self._host("backend")
        self._link(self.client, self.proxy, self.CLIENT_NET)
        self._link(self.backend, self.proxy, self.BACKEND_NET)

    def proxy_address(self, family=4):
        """The proxy's address on the client's side."""
        return "10.77.1.1" if family == 4 else "fd77:1::1"

    def backend_address(self, family=4):
        return "10.77.2.2" if family == 4 else "fd77:2::2"

    def hosts(self):
        return list(dict.fromkeys([self.client, self.proxy, self.backend]))

    def spliced(self, servers, binds=None, listener=None, **options):
        """The daemon on the proxy's host, listening for the clients on IPv4 and IPv6."""
        binds = binds or [f"{self.proxy_address()}:0", f"[{self.proxy_address(6)}]:0"]
        return self.env.spliced(servers, listener={"bind": binds, **(listener or {})},
                                prefix=self.proxy.command(), **options)

    def turn_off(self, *features):
        """What the devices of all hosts are asked not to do, by ethtool's names."""
        words = [word for feature in features for word in (feature, "off")]
        for host in self.hosts():
            for device in host.devices():
                done = host.run(programs.find("ethtool"), "-K", device, *words, check=False)
                if done.returncode != 0:
                    self.env.skip(f"ethtool: {done.stderr.strip().splitlines()[-1]}")

    def _host(self, role):
        name = f"spl{os.getpid()}{role}"
        self.env.remember_netns(name)
        process.run("ip", "netns", "add", name)
        host = Host(name)
        host.run("ip", "link", "set", "lo", "up")
        return host

    def _link(self, far, proxy, net):
        process.run("ip", "-n", proxy.name, "link", "add", f"net{net}", "type", "veth",
                    "peer", "name", f"eth{net}", "netns", far.name)
        for host, device, number in ((proxy, f"net{net}", 1), (far, f"eth{net}", 2)):
            process.run("ip", "-n", host.name, "addr", "add", f"10.77.{net}.{number}/24",
                        "dev", device)
            process.run("ip", "-n", host.name, "addr", "add", f"fd77:{net}::{number}/64",
                        "dev", device, "nodad")
            process.run("ip", "-n", host.name, "link", "set", device, "up")


def delete(name):
    """Deletes a namespace; one that is not there is fine."""
    process.run("ip", "netns", "del", name, check=False)
