# SPDX-License-Identifier: GPL-2.0-or-later
"""The service is stopped, and the package removed and purged."""

from lib import case, guestload

CLIENTS = "while [ ! -e done ]; do bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080' 2>/dev/null || sleep 0.1; done"


def removed(guest, script="dpkg -r spliced"):
    said = guest.sh(script, 60)
    assert "warning" not in said, said
    assert guest.sh("dpkg-query -W -f '${db:Status-Status}' spliced") == "config-files"
    assert guest.ask("pgrep '^spliced'").text == ""
    for unit in ("spliced.service", "spliced.socket"):
        assert guest.ask(f"systemctl is-active {unit}").text.strip() in ("inactive", "unknown"), unit


def test_remove_with_the_socket_unit(guest):
    """Clients that come meanwhile do not start the service again. The unit stays enabled, for the purge."""
    guest.write(guestload.CONF, guestload.configuration().replace("bind = 127.0.0.1:8081", "bind = systemd:web"))
    guest.sh("systemctl stop spliced; systemctl enable --now spliced.socket", 40)
    guestload.check(guest.sh(guestload.command(guest, (8080, 9001), "--sessions", 2, "--bytes-up", 1000), 60))
    removed(guest, f"rm -f done; ({CLIENTS}) & status=0; dpkg -r spliced || status=$?; touch done; wait; exit $status")
    assert guest.ask("ss -Hltn | grep 127.0.0.1:808").status == 1
    guest.write(guestload.CONF, guestload.configuration())
    guest.sh(f"dpkg -i /run/vm/host{guest.package}", 60)
    guestload.run(guest, "--sessions", 2, "--bytes-up", 1000, "--bytes-down", 1000)


@case(core=True)
def test_stop(guest):
    pid = guest.sh("systemctl show -P MainPID spliced").strip()
    guest.sh("systemctl stop spliced", 40)
    shown = guest.sh("systemctl show -P Result -P ExecMainStatus -P ActiveState spliced").split()
    assert sorted(shown) == ["0", "inactive", "success"], shown
    assert guest.ask(f"test -e /proc/{pid} -o -e /run/spliced").status != 0
    assert guest.ask("ss -Hltn | grep 127.0.0.1:808").status == 1
    guest.sh("systemctl start spliced", 40)


@case(core=True)
def test_remove(guest):
    """The configuration stays, nothing runs."""
    removed(guest)
    assert guest.sh(f"cat {guestload.CONF}") == guestload.configuration()


@case(core=True)
def test_purge(guest):
    """No file is left that was not there before."""
    guest.sh("touch /var/log/spliced/access.log.2.gz; dpkg -P spliced", 60)
    assert guest.ask("dpkg-query -W spliced").status != 0
    guest.sh(f"{guest.files} >files.after")
    different = guest.ask("diff files.before files.after")
    assert different.status == 0, different
    assert guest.ask("systemctl cat spliced").status != 0
