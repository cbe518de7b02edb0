# SPDX-License-Identifier: GPL-2.0-or-later
"""Load through the daemon, and the daemon's own account of it."""

import time

from .wait import wait_until


def through(env, *options, listen="127.0.0.1:0", bind="127.0.0.1:0", timeout=None, more=None,
            **config):
    """Runs a scenario of the load tool through a daemon; (result, daemon) if all went well."""
    load, daemon = start(env, *options, listen=listen, bind=bind, timeout=timeout, more=more,
                         **config)
    result = load.ok()
    check_accounts(env, daemon, result)
    return result, daemon


def start(env, *options, listen="127.0.0.1:0", bind="127.0.0.1:0", timeout=None, more=None,
          prefix=(), **config):
    """The same, still running."""
    load = env.load(*options, listen=listen, prefix=prefix,
                    **({"timeout": timeout} if timeout else {}))
    listener = {"bind": bind, **config.pop("listener", {})}
    daemon = env.spliced(load.backends, listener=listener, more=more, **config)
    load.go(daemon.address())
    return load, daemon


def start_many(env, *loads, listener=None, **config):
    """A daemon with a listener and a pool for each load (l0, l1, ...), so that they do not mix."""
    more = {}
    for i, load in enumerate(loads):
        more[f"listener l{i}"] = {"bind": "127.0.0.1:0", "pool": f"p{i}", **(listener or {})}
        more[f"pool p{i}"] = {"server": f"s{i} {load.backend}"}
    return env.spliced(loads[0].backend, more=more, **config)


def wait_stalled(load, direction, seconds=30, still=1.0):
    """Until the senders of a direction have been stopped for that long; the progress."""
    last, since = None, time.monotonic()

    def stalled():
        nonlocal last, since
        progress = load.stats()
        sent, now = progress[direction]["sent"], time.monotonic()
        if sent != last:
            last, since = sent, now
        return progress if sent > 0 and now - since >= still else None
    return wait_until(stalled, seconds, f"senders ({direction}) stop", poll=0.1)


def ended_sessions(daemon, number, seconds=10):
    """The access lines of sessions that got as far as a server, once there are enough."""
    def lines():
        found = [line for line in daemon.access_log() if line["backend"] != "-"]
        return found if len(found) >= number else None
    return wait_until(lines, seconds, f"{number} access lines of served sessions", poll=0.05)


def check_accounts(env, daemon, result):
    """What the daemon says it moved is what the peers received.

    Where somebody resets, bytes on their way are lost by intention: then only the kind of end
    can be compared.
    """
    resets = result["client_endings"].get("reset_sent", 0), \
        result["server_endings"].get("reset_sent", 0)
    lines = ended_sessions(daemon, result["sessions"]["ok"] - result["sessions"]["unmatched"])
    ends = {line["end"] for line in lines}
    if any(resets):
        # A reset shows first on the reset socket, or on the other when a write fails.
        assert ends <= {"client_reset", "server_reset"}, ends
        return
    assert ends == {"done"}, ends
    for direction in ("up", "down"):
        moved = sum(int(line[f"bytes_{direction}"]) for line in lines)
        assert moved == result[direction]["verified"], \
            f"{direction}: the access log has {moved} bytes, the peers {result[direction]}"
    check_stats(env, daemon, result)


def check_stats(env, daemon, result):
    """The counters say the same, and that the engine under test did the work."""
    wait_until(lambda: daemon.stats()["sessions_active"] == 0, 5, "no session is active")
    stats = daemon.stats()
    total = result["up"]["verified"] + result["down"]["verified"]
    moved = stats["bytes_redirected"] + stats["bytes_copied"] + stats["bytes_bypassed"]
    assert moved == total, f"the counters have {moved} bytes, the peers {total}"
    assert stats["integrity_aborts"] == 0, stats
    if env.engine == "copy":
        assert stats["bytes_redirected"] == 0 and stats["sessions_kernel"] == 0, stats


def check_kernel_share(env, daemon, share=0.05):
    """With the kernel engine, at least that share of the bytes was the kernel's. The rest is what
    was there before the kernel was asked, the tails of half-closed sessions, and what the daemon
    chooses to copy."""
    stats = daemon.stats()
    if env.engine == "kernel":
        total = stats["bytes_redirected"] + stats["bytes_copied"]
        assert stats["bytes_redirected"] >= share * total, \
            f"the kernel moved {stats['bytes_redirected']} of {total} bytes: {stats}"
