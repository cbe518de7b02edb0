# SPDX-License-Identifier: GPL-2.0-or-later
"""Sockets that are systemd's, or are kept by it, and its watchdog: of those who connect in between none is refused.

The first step has systemd do it, the last one puts everything back."""

import re
import sys

from lib import case, guestload
from lib.env import ROOT

PID = "systemctl show -P MainPID spliced"
STATUS = "splicectl status --json"
STORED = "systemctl show -P NFileDescriptorStore spliced"
LISTENING = "ss -Hltn 'sport = :8081 or sport = :8082' | wc -l"
WAITING = "ss -Hltn sport = :8081 | awk '{n += $2} END {print n}'"     # to be accepted
FRONT = "unix:/run/spliced/front.sock"
SMALL = ("--bytes-up", 1000, "--bytes-down", 1000)

UNITS = "/run/systemd/system"   # gone with the machine
DROP_INS = f"{UNITS}/spliced.socket.d {UNITS}/spliced.service.d {UNITS}/spliced-second.socket"
WATCHDOG = 12                   # seconds; what hangs is replaced after a quarter to a half of that
SECOND = ("[Socket]\nFileDescriptorName=second\nListenStream=127.0.0.1:8082\nService=spliced.service\n"
          "[Install]\nWantedBy=sockets.target\n")
# While the file is there a start waits.
GATE = "ExecStartPre=/bin/sh -c 'while [ -e /run/vm/gate ]; do sleep 0.1; done'\n"

# One thread of another process stands still, as in a call that does not come back, until it is killed.
STOP_THREAD = """
import ctypes, os, sys
SEIZE, INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000
call, tid = ctypes.CDLL(None, use_errno=True).ptrace, int(sys.argv[1])
call.argtypes = [ctypes.c_long] * 4
for request in SEIZE, INTERRUPT:
    assert call(request, tid, 0, 0) == 0, os.strerror(ctypes.get_errno())
assert os.WIFSTOPPED(os.waitpid(tid, WALL)[1])
print("stopped", flush=True)
while not os.WIFSIGNALED(os.waitpid(tid, WALL)[1]):
    pass
print("killed", flush=True)
"""


def documented():
    """The drop-in that the manual shows for the store."""
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    found = re.search(r"### Keeping sockets over a restart\n.*?\n    (\[Service\]\n(?:    [^\n]*\n)+)", text, re.S)
    return found[1].replace("\n    ", "\n")


def with_socket_units():
    text = guestload.configuration()
    for port, name in ((8081, "web"), (8082, "second")):
        text = text.replace(f"bind = 127.0.0.1:{port}\n", f"bind = systemd:{name}\n")
    return text


def foreign(guest):
    """How many directions of sessions were copied because of where their listener's socket was made."""
    return guest.json("splicectl stats --json")["copy_reasons"].get("foreign", 0)


def beyond_the_gate(guest, action):
    """Three clients connect between two lives of the service, and are served in the second."""
    load = guestload.command(guest, guestload.PAIRS[0], "--sessions", 3, *SMALL)
    try:
        text = guest.sh(f"""touch gate
{action}
until [ "$(systemctl show -P SubState spliced)" = start-pre ]; do sleep 0.1; done
{load} >client.out 2>&1 &
client=$!
until [ "$({WAITING})" = 3 ] || grep -q '"ok"' client.out; do sleep 0.1; done
systemctl show -P SubState spliced
rm gate
wait $client || true
cat client.out""", 40)
    finally:
        guest.ask("rm -f gate")
    state, _, lines = text.partition("\n")
    assert state == "start-pre", text
    guestload.check(lines)
    guest.wait("systemctl -q is-active spliced")


# ---- socket units -----------------------------------------------------------------------------

@case(core=True)
def test_a_client_starts_the_service(guest):
    guest.sh(f"systemctl stop spliced; mkdir -p {UNITS}/spliced.socket.d {UNITS}/spliced.service.d", 40)
    guest.write(f"{UNITS}/spliced.socket.d/where.conf", "[Socket]\nListenStream=\nListenStream=127.0.0.1:8081\n")
    guest.write(f"{UNITS}/spliced-second.socket", SECOND)
    guest.write(f"{UNITS}/spliced.service.d/store.conf", f"{documented()}WatchdogSec={WATCHDOG}s\n{GATE}")
    guest.write(guestload.CONF, with_socket_units())
    assert guest.ask("systemctl is-enabled spliced.socket").text == "disabled\n"
    guest.sh("systemctl daemon-reload; systemctl enable --now spliced.socket; systemctl start spliced-second.socket", 40)
    assert guest.ask("systemctl is-active spliced").text == "inactive\n"
    guestload.run(guest, "--sessions", 2, *SMALL)
    guest.wait("systemctl -q is-active spliced")
    assert guest.json(STATUS)["engine"] == "kernel"
    assert foreign(guest) == 2 * 2
    assert guest.sh(STORED) == "0\n", "systemd has them anyway"


def test_restart_and_stop_with_socket_units_under_load(guest):
    """A stop is another restart: there are clients."""
    before = guest.sh(PID)
    _, sessions = guestload.under(guest, "systemctl restart spliced; systemctl stop spliced", 90)
    guest.wait("systemctl -q is-active spliced")
    assert guest.sh(PID) != before
    return f"{sessions} sessions"


def test_reload_and_upgrade_with_socket_units_under_load(guest):
    before = guest.json(STATUS)
    _, sessions = guestload.under(
        guest, "for i in 1 2; do systemctl reload spliced; splicectl upgrade; systemctl reload spliced; done", 120)
    after = guest.json(STATUS)
    assert (after["pid"], after["generation"]) == (before["pid"], before["generation"] + 2), after
    return f"{sessions} sessions"


def test_a_socket_that_was_not_passed(guest):
    """The mistake is named, and once the file is mended the service is there without being started."""
    guest.write(guestload.CONF, with_socket_units().replace("systemd:second", "systemd:third"))
    assert guest.ask("systemctl restart spliced", 40).status != 0
    said = guest.wait("journalctl -u spliced -o cat -n 20 | grep 'systemd:third: no such socket was passed'")
    assert re.search(r"spliced\.conf:\d+: listener l8082: .*; passed: (systemd:web, systemd:second|"
                     r"systemd:second, systemd:web)\n", said), said
    guest.write(guestload.CONF, with_socket_units())
    guest.wait("systemctl -q is-active spliced", 40)
    guestload.run(guest, "--sessions", 2, *SMALL)


# ---- the store --------------------------------------------------------------------------------

@case(core=True)
def test_restarts_under_load_with_the_store(guest):
    guest.write(guestload.CONF, guestload.configuration())
    guest.sh("systemctl disable --now spliced.socket; systemctl stop spliced-second.socket; systemctl restart spliced",
             60)
    sockets = guest.sh(LISTENING)
    assert int(sockets) >= 2
    guest.wait(f"[ $({STORED}) = {sockets.strip()} ]")
    pid = guest.sh(PID)
    _, sessions = guestload.under(guest, "systemctl restart spliced; systemctl restart spliced", 120)
    assert guest.sh(PID) != pid
    assert (guest.sh(STORED), guest.sh(LISTENING)) == (sockets, sockets)
    assert foreign(guest) > 0, "they were made in a cgroup that is gone"
    return f"{sessions} sessions"


@case(core=True)
def test_a_client_waits_while_the_service_restarts(guest):
    beyond_the_gate(guest, "systemctl --no-block restart spliced")


def test_a_unix_socket_outlives_a_restart(guest):
    guest.write(guestload.CONF, guestload.configuration(f"[listener front]\nbind = {FRONT}\npool = p9002\n"))
    guest.sh("systemctl reload spliced")
    path = FRONT.removeprefix("unix:")
    inode = guest.wait(f"stat -c %i {path}")
    stored = int(guest.sh(LISTENING)) + 1
    guest.wait(f"[ $({STORED}) = {stored} ]")
    guest.sh("systemctl restart spliced", 40)
    assert guest.sh(f"stat -c %i {path}") == inode
    guestload.check(guest.sh(guestload.command(guest, (FRONT, 9002), "--sessions", 2, *SMALL), 60))
    guest.write(guestload.CONF, guestload.configuration())
    guest.sh("systemctl reload spliced")
    guest.wait(f"[ $({STORED}) = {stored - 1} ] && ! [ -e {path} ]")


def test_reload_and_upgrade_with_the_store_under_load(guest):
    """systemd takes it along when it reads its units again, and when it starts itself again."""
    before, stored = guest.json(STATUS), guest.sh(STORED)
    _, sessions = guestload.under(
        guest, "for its in daemon-reload daemon-reexec; do systemctl reload spliced; splicectl upgrade; systemctl $its;"
               " systemctl restart spliced; done", 120)
    assert guest.json(STATUS)["pid"] != before["pid"]
    assert guest.sh(STORED) == stored
    return f"{sessions} sessions"


def test_a_client_waits_while_a_killed_daemon_is_started_again(guest):
    beyond_the_gate(guest, f"kill -KILL $({PID})")
    assert guest.sh("systemctl show -P NRestarts spliced") == "1\n"


def test_a_stop_gives_up_the_store(guest):
    """Nobody waits for a service that is not there; and what a start makes anew has the kernel as ever."""
    guest.sh("systemctl stop spliced", 40)
    assert guest.sh(STORED) == "0\n"
    assert guest.sh(LISTENING) == "0\n"
    assert guest.ask("test -e /run/spliced").status == 1
    guest.sh("systemctl start spliced", 40)
    guestload.run(guest, "--sessions", 4, "--pingpong", 3000, 30)
    stats = guest.json("splicectl stats --json")
    assert stats["sessions_kernel"] >= 4, stats
    assert foreign(guest) == 0


# ---- the watchdog -----------------------------------------------------------------------------

def replaced(guest, before):
    """Another worker serves since then, and systemd has nothing to do with it."""
    deaths = before["worker_deaths"] + 1
    guest.wait(f"{STATUS} | tr -d ' \\n' | grep -q '\"worker_deaths\":{deaths}[,}}]'", 40)
    after = guest.json(STATUS)
    assert (after["pid"], after["generation"]) == (before["pid"], before["generation"] + 1), (before, after)
    assert guest.sh("systemctl show -P NRestarts spliced") == "0\n"
    said = guest.sh(f"journalctl -u spliced -o cat _PID={before['pid']} | grep 'worker {before['worker_pid']} '")
    assert re.search(r"hangs: one of its threads has not turned for \d+\.\d s: ending it", said), said
    guestload.run(guest, "--sessions", 2, *SMALL)


def test_a_worker_that_stands_still(guest):
    """Who connects meanwhile waits for the next one."""
    before = guest.json(STATUS)
    load = guestload.command(guest, guestload.PAIRS[0], "--sessions", 3, *SMALL)
    guestload.check(guest.sh(f"kill -STOP {before['worker_pid']}; {load}", 60))
    replaced(guest, before)


def test_a_thread_that_stands_still(guest):
    before = guest.json(STATUS)
    guest.write("/run/vm/tracer.py", STOP_THREAD)
    said = guest.sh(f"""tid=$(grep -lx worker/1 /proc/{before['worker_pid']}/task/*/comm | cut -d/ -f5)
timeout 100 chroot /run/vm/host {sys.executable} - $tid <tracer.py 2>&1""", 40)
    assert said == "stopped\nkilled\n", said
    replaced(guest, before)


def test_a_daemon_that_stands_still(guest):
    """systemd ends it, and has its sockets for the next one."""
    before = guest.sh(PID).strip()
    beyond_the_gate(guest, f"kill -STOP {before}")
    assert guest.sh(PID).strip() != before
    assert guest.sh("systemctl show -P NRestarts spliced") == "1\n"
    said = guest.sh("journalctl -u spliced -o cat -n 60")
    assert f"Watchdog timeout (limit {WATCHDOG}s)!" in said, said


@case(core=True)
def test_everything_is_as_before(guest):
    guest.sh(f"rm -r {DROP_INS}; systemctl daemon-reload; systemctl stop spliced; systemctl start spliced", 60)
    assert guest.sh(STORED) == "0\n"
    guestload.run(guest, "--sessions", 2, *SMALL)
    assert foreign(guest) == 0
