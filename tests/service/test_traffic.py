# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions through the service, and what is told of them."""

import json
import re

from lib import case, guestload


@case(core=True)
def test_sessions_are_spliced(guest):
    guest.write(guestload.CONF, guestload.configuration())
    guest.sh("systemctl reload spliced")
    guest.wait("splicectl status | grep -q l8082")
    guestload.run(guest, "--sessions", 8, "--pingpong", 3000, 30)
    stats = guest.json("splicectl stats --json")
    assert stats["sessions_kernel"] >= 8, stats
    assert stats["bytes_redirected"] > 0, stats


@case(core=True)
def test_the_journal_has_them(guest):
    """A line for each, and fields to find it by."""
    count = "journalctl -q -u spliced SPLICED_EVENT=session SPLICED_POOL=p9001 -o json"
    entries = [json.loads(line) for line in
               guest.wait(f"{count} >them; grep -c . them | grep -qx 8 && cat them").splitlines()]
    assert sorted({entry["SPLICED_SESSION"] for entry in entries}) == sorted(
        entry["SPLICED_SESSION"] for entry in entries)
    for entry in entries:
        assert (entry["SPLICED_LISTENER"], entry["SPLICED_SERVER"], entry["SPLICED_ENGINE"],
                entry["SPLICED_END"], entry["SPLICED_BYTES_UP"], entry["SPLICED_BYTES_DOWN"], entry["PRIORITY"]) \
            == ("l8081", "a", "kernel", "done", "90000", "90000", "6"), entry
        assert entry["SPLICED_CLIENT"].startswith("127.0.0.1:"), entry
        line = dict(word.split("=", 1) for word in entry["MESSAGE"].split() if "=" in word)
        assert (line["id"], line["end"]) == (entry["SPLICED_SESSION"], "done"), entry


def test_a_log_file_is_rotated(guest):
    """As /etc/logrotate.d/spliced has it done."""
    guest.write(guestload.CONF, guestload.configuration().replace(
        "[spliced]", "[spliced]\naccess_log = /var/log/spliced/access.log", 1))
    guest.sh("systemctl reload spliced")
    guest.wait("test -e /var/log/spliced/access.log")
    guestload.run(guest, "--sessions", 2, "--bytes-up", 1000, "--bytes-down", 1000)
    command = re.search(r"postrotate\n\s*(.*)\n", guest.sh("cat /etc/logrotate.d/spliced"))[1]
    guest.wait("grep -c session /var/log/spliced/access.log | grep -qx 2")
    guest.sh(f"mv /var/log/spliced/access.log /var/log/spliced/access.log.1; {command}")
    guest.wait("test -e /var/log/spliced/access.log")
    guestload.run(guest, "--sessions", 3, "--bytes-up", 1000, "--bytes-down", 1000)
    guest.wait("grep -c session /var/log/spliced/access.log | grep -qx 3")
    assert guest.sh("grep -c session /var/log/spliced/access.log.1").strip() == "2"
    assert guest.sh("stat -c '%U %a' /var/log/spliced/access.log").strip() == "spliced 640"
    guest.write(guestload.CONF, guestload.configuration())
    guest.sh("systemctl reload spliced")
