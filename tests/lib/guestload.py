# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions through the service of a machine, byte for byte: the load tool is client and server."""

import json

# Two of each, so that one's load goes on while the other's next one starts.
PAIRS = ((8081, 9001), (8082, 9002))

CONF = "/etc/spliced/spliced.conf"


def configuration(more=""):
    """A listener and a pool for each pair."""
    parts = ["[spliced]\nengage_after = 0\nshutdown_grace = 5s\n"]
    for listener, server in PAIRS:
        parts.append(f"[listener l{listener}]\nbind = 127.0.0.1:{listener}\npool = p{server}\n"
                     f"[pool p{server}]\nserver = a 127.0.0.1:{server}\n")
    return "\n".join(parts) + more


def command(guest, pair, *options):
    """A shell command that prints the load tool's lines. A listener is a port, or an address."""
    listener, server = pair
    where = listener if isinstance(listener, str) else f"127.0.0.1:{listener}"
    words = " ".join(str(option) for option in options)
    return f"echo {where} | {guest.load} --listen 127.0.0.1:{server} --timeout 200 {words}"


def check(text):
    """The result among the tool's lines, which must be good."""
    result = json.loads(text.strip().splitlines()[-1])
    assert result.get("ok") is True, json.dumps(result)[:2000]
    return result


def run(guest, *options):
    return check(guest.sh(command(guest, PAIRS[0], *options), 60))


# Why the machine's TCP has reset connections, counted.
ABORTS = ("awk '/^TcpExt/ { if (!n) n = split($0, name); else for (i = 2; i <= n; i++) "
          "if (name[i] ~ /^TCPAbort|^TCPTimeouts|^ListenDrops/) print name[i], $i }' /proc/net/netstat")


def others(guest):
    """What the daemons say of sessions that did not simply end."""
    return guest.ask("journalctl -u spliced -o short-monotonic --no-pager | grep ' session id=' | "
                     "grep -v ' end=done' | tail -n 20").text


def under(guest, action, seconds=60):
    """Runs a script while sessions begin and end all the time, none of which may fail: not one connection
    refused, none reset, no byte wrong. (What the script wrote, how many sessions there were.)"""
    size = ("--sessions", 40, "--concurrency", 4, "--bytes-up", 3000, "--bytes-down", 20000)
    loops = "\n".join(
        f"(while [ ! -e done ]; do {command(guest, pair, *size)} >>load.{pair[0]} 2>&1 || exit 1; done) &\n"
        f"load{index}=$!" for index, pair in enumerate(PAIRS))
    guest.write("/run/vm/action", action)
    aborts = guest.sh(ABORTS)
    text = guest.sh(f"""rm -f done load.*
{loops}
until [ -s load.{PAIRS[0][0]} ] && [ -s load.{PAIRS[1][0]} ]; do sleep 0.05; done
status=0
sh -e ./action >action.out 2>&1 || status=$?
touch done
wait $load0 || echo 'the load failed'
wait $load1 || echo 'the load failed'
cat load.*
echo ---
echo "exit $status"
cat action.out""", seconds)
    lines, _, said = text.partition("---\n")
    results = [json.loads(line) for line in lines.splitlines() if line.startswith('{"ok"')]
    bad = [result for result in results if not result["ok"]]
    assert not bad, (f"{len(bad)} of {len(results)} loads failed, the first: {json.dumps(bad[0])[:1500]}\n"
                     f"{aborts} became {guest.sh(ABORTS)}\n{others(guest)}")
    assert "the load failed" not in lines, lines[-1500:]
    status, _, said = said.partition("\n")
    assert status == "exit 0", f"{action}: {status}: {said}"
    return said, sum(result["sessions"]["ok"] for result in results)
