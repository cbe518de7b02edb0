# SPDX-License-Identifier: GPL-2.0-or-later
"""A newer package comes over the one that is there."""

from lib import case, guestload

PID = "systemctl show -P MainPID spliced"
STATUS = "splicectl status --json"
VERSION = "dpkg-query -W -f '${db:Status-Status} ${Version}' spliced"
BINARY = f"stat -Lc %i /proc/$({PID})/exe /usr/sbin/spliced"


def install(path):
    return f"dpkg -i --force-confold /run/vm/host{path} </dev/null"


def test_upgrade_beside_a_file_with_a_mistake(guest):
    """dpkg is not left half-way, and the old daemon serves until the file is mended."""
    before, generation = guest.sh(PID), guest.json(STATUS)["generation"]
    guest.write(guestload.CONF, guestload.configuration("[listener more]\nbind = nowhere\npool = p9001\n"))
    said = guest.sh(install(guest.newer), 60)
    assert "spliced.conf:" in said and "the old daemon goes on" in said, said
    assert guest.sh(VERSION).startswith("installed ") and guest.sh(VERSION).endswith("+1")
    assert guest.sh("systemctl is-active spliced").strip() == "active"
    assert guest.sh(PID) == before
    assert guest.json(STATUS)["generation"] == generation
    guestload.run(guest, "--sessions", 2, "--bytes-up", 1000, "--bytes-down", 1000)
    guest.write(guestload.CONF, guestload.configuration())


def test_policy_that_forbids_restarts(guest):
    generation = guest.json(STATUS)["generation"]
    guest.sh("printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d")
    try:
        guest.sh(install(guest.package), 60)
    finally:
        guest.sh("rm /usr/sbin/policy-rc.d")
    assert guest.json(STATUS)["generation"] == generation


@case(core=True)
def test_upgrade_under_load(guest):
    """The new program serves with the administrator's file, in the process that systemd knows; no client is
    refused or reset."""
    before, generation = guest.sh(PID), guest.json(STATUS)["generation"]
    _, sessions = guestload.under(guest, install(guest.newer), 120)
    assert guest.sh(VERSION).endswith("+1")
    guest.wait(f"set -- $({BINARY}); [ $1 = $2 ]")
    status = guest.json(STATUS)
    assert (status["engine"], status["generation"]) == ("kernel", generation + 1), status
    assert guest.sh(PID) == before and guest.sh("systemctl is-active spliced") == "active\n"
    assert guest.sh(f"cat {guestload.CONF}") == guestload.configuration()
    guestload.run(guest, "--sessions", 2, "--bytes-up", 1000, "--bytes-down", 1000)
    return f"{sessions} sessions"


def test_upgrade_without_a_control_socket(guest):
    guest.write(guestload.CONF, guestload.configuration().replace("[spliced]", "[spliced]\ncontrol = none", 1))
    guest.sh("systemctl restart spliced", 40)
    guestload.under(guest, install(guest.package), 120)
    guest.wait(f"set -- $({BINARY}); [ $1 = $2 ]")
    guest.write(guestload.CONF, guestload.configuration())
    guest.sh("systemctl restart spliced", 40)


def test_upgrade_of_a_stopped_service_that_is_disabled(guest):
    guest.sh("systemctl disable --now spliced", 40)
    guest.sh(install(guest.package), 60)
    assert guest.ask("systemctl is-active spliced").text.strip() == "inactive"
    assert guest.ask("systemctl is-enabled spliced").text.strip() == "disabled"
    guest.sh("systemctl enable --now spliced", 40)
