# SPDX-License-Identifier: GPL-2.0-or-later
"""The service is stopped, and the package removed and purged."""

from lib import case, guestload


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
    said = guest.sh("dpkg -r spliced", 60)
    assert "warning" not in said, said
    assert guest.sh("dpkg-query -W -f '${db:Status-Status}' spliced") == "config-files"
    assert guest.ask("pgrep '^spliced'").text == ""
    assert guest.ask("systemctl is-active spliced").text.strip() in ("inactive", "unknown")
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
