# SPDX-License-Identifier: GPL-2.0-or-later
"""The service is reloaded, restarted, killed and misconfigured."""

from lib import case, guestload

PID = "systemctl show -P MainPID spliced"


@case(core=True)
def test_reload(guest):
    before = guest.sh(PID)
    guest.write(guestload.CONF, guestload.configuration(
        "[listener more]\nbind = 127.0.0.1:8083\npool = p9001\n"))
    guest.sh("systemctl reload spliced")
    guest.wait("ss -Hltn | grep -q 127.0.0.1:8083")
    guest.write(guestload.CONF, guestload.configuration())
    guest.sh("systemctl reload spliced")
    guest.wait("! ss -Hltn | grep -q 127.0.0.1:8083")
    assert guest.sh(PID) == before


@case(core=True)
def test_reload_of_a_file_with_a_mistake(guest):
    """It fails for who asked for it, and what serves goes on."""
    before = guest.sh(PID)
    guest.write(guestload.CONF, guestload.configuration("[listener more]\nbind = nowhere\npool = p9001\n"))
    answer = guest.ask("systemctl reload spliced")
    assert answer.status != 0, answer
    said = guest.wait("journalctl -u spliced -o cat -n 20 | grep -q 'spliced.conf:[0-9]*:.*nowhere' "
                      "&& journalctl -u spliced -o cat -n 20")
    assert "Reload failed" in said, said
    assert guest.sh("systemctl is-active spliced").strip() == "active"
    assert guest.sh(PID) == before
    guestload.run(guest, "--sessions", 2, "--bytes-up", 1000, "--bytes-down", 1000)
    guest.write(guestload.CONF, guestload.configuration())
    guest.sh("systemctl reload spliced")


@case(core=True)
def test_reload_under_load(guest):
    said, sessions = guestload.under(guest, "for i in 1 2 3 4 5; do systemctl reload spliced; done; echo reloaded", 90)
    assert said == "reloaded\n", said
    return f"{sessions} sessions"


@case(core=True)
def test_restart(guest):
    before = guest.sh(PID)
    guest.sh("systemctl restart spliced", 40)
    assert guest.sh(PID) != before
    status = guest.json("splicectl status --json")
    assert (status["engine"], str(status["pid"])) == ("kernel", guest.sh(PID).strip()), status
    guestload.run(guest, "--sessions", 2, "--bytes-up", 1000, "--bytes-down", 1000)


@case(core=True)
def test_a_worker_that_dies(guest):
    """Who connects meanwhile is not refused."""
    status = guest.json("splicectl status --json")
    load = guestload.command(guest, guestload.PAIRS[0], "--sessions", 20, "--bytes-up", 1000, "--bytes-down", 1000)
    guestload.check(guest.sh(f"kill -KILL {status['worker_pid']}; {load}", 60))
    after = guest.json("splicectl status --json")
    assert after["worker_deaths"] == status["worker_deaths"] + 1, after
    assert (after["pid"], after["engine"]) == (status["pid"], "kernel"), after
    assert guest.sh("systemctl show -P NRestarts spliced").strip() == "0"


@case(core=True)
def test_upgrade_under_load(guest):
    before = guest.json("splicectl status --json")
    said, sessions = guestload.under(guest, "for i in 1 2 3; do splicectl upgrade; done", 120)
    after = guest.json("splicectl status --json")
    assert (after["pid"], after["generation"]) == (before["pid"], before["generation"] + 3), (after, said)
    assert after["engine"] == "kernel", after
    assert guest.sh(PID).strip() == str(after["pid"])
    return f"{sessions} sessions"


def test_a_daemon_that_dies_is_started_again(guest):
    before = guest.sh(PID).strip()
    guest.sh(f"kill -KILL {before}")
    guest.wait(f"systemctl -q is-active spliced && [ $({PID}) != {before} ]", 40)
    assert guest.sh("systemctl show -P NRestarts spliced").strip() == "1"
    guestload.run(guest, "--sessions", 2, "--bytes-up", 1000, "--bytes-down", 1000)


def test_a_mistake_at_the_start_is_not_tried_again(guest):
    guest.sh("systemctl stop spliced", 40)
    guest.write(guestload.CONF, "[listener web]\nbind = nowhere\n")
    assert guest.ask("systemctl start spliced", 40).status != 0
    guest.wait("systemctl -q is-failed spliced")
    assert guest.sh("systemctl show -P ExecMainStatus spliced; systemctl show -P NRestarts spliced").split() == ["2", "0"]
    guest.write(guestload.CONF, guestload.configuration())
    guest.sh("systemctl reset-failed spliced; systemctl start spliced", 40)
