# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of the daemon that fail now and then: the test's side of tests/shim/shortage.c."""

import errno
import mmap
import struct

# In the order of enum call.
CALLS = ("malloc", "calloc", "realloc", "epoll_ctl", "bpf", "send", "sendmsg", "recv", "accept4",
         "socket", "connect", "setsockopt", "getsockopt", "shutdown")
HEAD, ROW = struct.Struct("II"), struct.Struct("IIiIII")
ENDLESS = 0xffffffff

EPOLL_CTL_ADD, EPOLL_CTL_MOD = 1, 3
BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM = 2, 3
EMPTY, NOT_EMPTY = 1, 2     # arg of send
# arg of sendmsg: those of enum message_kind
RELOADED, UPGRADED = 5, 106


class Shortage:
    """What fails in the programs that were started with environment()."""

    def __init__(self, env, seed=1):
        self.library = env.binary("tests/shortage.so")
        self.path = env.tmp / "shortage"
        self.path.write_bytes(bytes(HEAD.size + ROW.size * len(CALLS)))
        with open(self.path, "r+b") as table:
            self.table = mmap.mmap(table.fileno(), 0)
        HEAD.pack_into(self.table, 0, seed, len(CALLS))

    def environment(self):
        return {"LD_PRELOAD": str(self.library), "SPLICED_SHORTAGE": str(self.path)}

    def fail(self, call, one_in=1, times=ENDLESS, error=errno.ENOMEM, arg=0):
        """From now on one in so many of these calls fails, until `times` have."""
        ROW.pack_into(self.table, self._at(call), 0, times, error, arg, 0, 0)
        struct.pack_into("I", self.table, self._at(call), one_in)

    def failures(self, call):
        """How many have failed since fail()."""
        return ROW.unpack_from(self.table, self._at(call))[5]

    def over(self):
        """Nothing fails any more; how many did in all."""
        for call in CALLS:
            struct.pack_into("I", self.table, self._at(call), 0)
        return sum(self.failures(call) for call in CALLS)

    @staticmethod
    def _at(call):
        return HEAD.size + ROW.size * CALLS.index(call)


def short_of(env, servers, seed=1, **config):
    """(a daemon, what may fail in it)"""
    if env.sanitized:
        env.skip("a sanitizer has its own malloc()")
    shortage = Shortage(env, seed)
    return env.spliced(servers, environment=shortage.environment(), **config), shortage
