# SPDX-License-Identifier: GPL-2.0-or-later
"""The package is installed, and its service runs in its sandbox."""

from lib import case

SCORE = 1.7     # systemd-analyze's exposure: 0 is nothing, 10 everything
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapAmb")

# What is there before, for the comparison after the purge. (dpkg's and systemd's own books are theirs, the users' are
# sysusers'.)
FILES = ("find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/lib/dpkg "
         "-o -path /var/log/dpkg.log -o -path /var/log/journal -o -path /var/lib/systemd/random-seed "
         "-o -path '/etc/*-' -o -path /etc/.pwd.lock \\) -prune "
         "-o -printf '%p\\n' | sort")


@case(core=True)
def test_the_machine_is_up(guest):
    told = guest.boot()
    assert guest.ask("systemctl is-system-running --wait", 60).text.strip() == "running", \
        guest.ask("systemctl --failed").text
    guest.files = FILES
    guest.sh(f"{FILES} >files.before")
    return " ".join([guest.sh("systemd-analyze time | head -n 1").strip(), told]).strip()


@case(core=True)
def test_install(guest):
    said = guest.sh(f"dpkg -i /run/vm/host{guest.package}", 60)
    assert "Setting up spliced" in said, said
    assert "not installed" not in said and "warning" not in said, said
    assert guest.sh("dpkg-query -W -f '${db:Status-Status}' spliced") == "installed"
    assert guest.sh("dpkg --verify spliced") == ""
    assert guest.sh("systemctl is-enabled spliced").strip() == "enabled"
    assert guest.sh("systemctl is-active spliced").strip() == "active"
    assert guest.sh("dpkg-query -W -f '${Conffiles}' spliced | awk '{print $1}' | sort").split() \
        == ["/etc/logrotate.d/spliced", "/etc/spliced/spliced.conf"]


@case(core=True)
def test_the_kernel_engine_in_the_sandbox(guest):
    status = guest.json("splicectl status --json")
    assert status["engine"] == "kernel", status["engine_reason"]
    assert status["config"] == "/etc/spliced/spliced.conf", status
    assert str(status["pid"]) == guest.sh("systemctl show -P MainPID spliced").strip(), status
    pid = status["worker_pid"]
    fields = dict(line.split(":\t", 1) for line in guest.sh(f"cat /proc/{pid}/status").splitlines())
    assert not any(int(fields[name], 16) for name in CAPABILITIES), fields
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2"), fields
    assert guest.sh(f"stat -c %U /proc/{pid}").strip() == "spliced"
    assert guest.sh("stat -c '%U %a' /run/spliced/control.sock").strip() == "spliced 660"


def test_security_score(guest):
    text = guest.sh("systemd-analyze security --no-pager spliced")
    score = float(text.strip().splitlines()[-1].split(":")[1].split()[0])
    assert score <= SCORE, text
    return f"score {score}"


@case(core=True)
def test_the_shipped_configuration(guest):
    """It shows that it works, to nobody but this machine."""
    got = guest.sh("bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080; printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3; cat <&3'")
    assert got.startswith("HTTP/1.0 200") and "This is the hello server inside spliced." in got, got
    listening = guest.sh("ss -Hltn | awk '{print $4}'").split()
    assert "127.0.0.1:8080" in listening and all(at.startswith("127.0.0.1:") for at in listening), listening
