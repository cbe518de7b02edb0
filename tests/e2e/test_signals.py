# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals: which end the daemon, and which do not."""

import os
import signal

from lib import case, connect, process, read_exactly, wait_until
from lib.wait import stays

# The kernel's own answer to a fault, and those that nobody can catch or that stop for a reason.
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT,
           signal.SIGTRAP, signal.SIGSYS)
UNTOUCHED = (signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP)
ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
MEANS_SOMETHING = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
SILENT = (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH)


def open_session(env, proxy):
    client = env.keep(connect(proxy))
    echo(client)
    return client


def echo(client, data=b"still there?"):
    client.sendall(data)
    assert read_exactly(client, len(data)) == data


def told(daemon, number):
    """The lines about an ignored signal."""
    return [line for line in daemon.log() if f" signal {number} (" in line and "ignored" in line]


def test_stray_signals_are_ignored(env):
    """Every one that there is, those that the C library keeps for itself included."""
    daemon = env.spliced(env.backend().address)
    client = open_session(env, daemon.address())
    left_out = {int(sig) for sig in CRASHES + UNTOUCHED + ENDS + MEANS_SOMETHING}
    numbers = [number for number in range(1, signal.SIGRTMAX + 1) if number not in left_out]
    for number in numbers:
        os.kill(daemon.pid, number)     # Popen's send_signal() knows no 32
        echo(client)
        assert daemon.running, f"signal {number} ended it"
    silent = {int(sig) for sig in SILENT} | {32, 33}
    for number in numbers:
        if number not in silent:
            wait_until(lambda n=number: told(daemon, n), 5, f"a line about signal {number}")
    assert any("SIGALRM" in line for line in told(daemon, signal.SIGALRM)), daemon.log_tail()
    assert daemon.status()["draining"] is False


def test_ignored_signals_do_not_fill_the_log(env):
    daemon = env.spliced(env.backend().address)
    for _ in range(300):
        daemon.signal(signal.SIGALRM)
        daemon.status()
    assert 1 <= len(told(daemon, signal.SIGALRM)) <= 3, told(daemon, signal.SIGALRM)


def test_signals_while_it_starts(env):
    """logrotate's postrotate may come at any moment."""
    for delay in (0, 0.002, 0.005, 0.01, 0.02):
        daemon = env.spliced(env.backend().address, start=False)
        begun = process.run("sh", "-c", f"""
            {daemon.binary} -c {daemon.config_path} >{daemon.log_path} 2>&1 & pid=$!
            until grep -q SigBlk:.*[1-9a-f] /proc/$pid/status; do :; done
            sleep {delay}
            kill -USR1 $pid; kill -ALRM $pid; kill -HUP $pid
            until {daemon.control_tool} -s {daemon.control_path} status >/dev/null 2>&1; do
                kill -0 $pid || exit 1
            done
            kill -TERM $pid; wait $pid""", check=False)
        assert begun.returncode == 0, (begun, daemon.log_tail())


def check_drains(env, sig):
    daemon = env.spliced(env.backend().address, spliced={"shutdown_grace": "60s"})
    client = open_session(env, daemon.address())
    daemon.signal(sig)
    wait_until(lambda: daemon.status()["draining"], 5, "draining")
    stays(lambda: daemon.running, 0.2, "it waits for the session")
    echo(client, b"x" * 100_000)
    client.close()
    assert daemon.wait_exit(5) == 0
    assert daemon.wait_access()[0]["end"] == "done"


def test_sigquit_drains(env):
    check_drains(env, signal.SIGQUIT)


def test_second_sigquit_ends_at_once(env):
    daemon = env.spliced(env.backend().address, spliced={"shutdown_grace": "60s"})
    open_session(env, daemon.address())
    daemon.signal(signal.SIGQUIT)
    wait_until(lambda: daemon.status()["draining"], 5, "draining")
    daemon.signal(signal.SIGQUIT)
    assert daemon.wait_exit(5) == 0
    assert daemon.wait_access()[0]["end"] == "shutdown"


@case(engines=("copy",))
def test_a_crash_stays_a_crash(env):
    for sig in CRASHES:
        daemon = env.spliced(env.backend().address, start=False)
        daemon.start()
        daemon.signal(sig)
        status = daemon.wait_exit(10)
        daemon.process = None
        if not env.sanitized:   # which has handlers of its own
            assert status == -sig, f"{sig.name}: {status}"
