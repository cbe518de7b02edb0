# SPDX-License-Identifier: GPL-2.0-or-later
"""What systemd's journal is told: the same lines as anybody, and fields to find them by."""

import json
import os
import re
import socket
from urllib.parse import unquote_to_bytes

from lib import connect, read_exactly, wait_until
from lib.http import Client, Origin
from lib.http import proxy as http_proxy
from lib.journal import Journal
from lib.reloads import reload, text_of
from lib.spliced import parse_session
from lib.tls import records, server_name, usual

AT_DEBUG = False

NAMES = {"id": "SPLICED_SESSION"}


def echo(proxy, data=b"hello"):
    """A session with one round, which ends."""
    with connect(proxy) as client:
        client.sendall(data)
        assert read_exactly(client, len(data)) == data


def check_against_message(record):
    """Every word of the line is a field, with the same value, and there are no others."""
    message = record["MESSAGE"].decode()
    kind = message.split(" ", 1)[0]
    want = {"SPLICED_EVENT": kind.encode()}
    for key, value in parse_session(message).items():
        if value != "-":
            want[NAMES.get(key, f"SPLICED_{key.upper()}")] = unquote_to_bytes(value)
    fields = {name: value for name, value in record.items() if name.startswith("SPLICED_")}
    assert fields == want, record
    assert record["PRIORITY"] == b"6" and record["SYSLOG_IDENTIFIER"] == b"spliced", record
    assert len(record) == len(want) + 3, record


def test_sessions(env):
    journal = Journal(env)
    daemon = env.spliced(env.backend().address, spliced={"log_target": "journal"},
                         prefix=journal.prefix)
    echo(daemon.address(), b"x" * 1000)
    record = journal.wait(SPLICED_EVENT="session")[0]
    check_against_message(record)
    assert record["SPLICED_POOL"] == b"main" and record["SPLICED_LISTENER"] == b"web", record
    assert record["SPLICED_SERVER"] == b"a" and record["SPLICED_END"] == b"done", record
    assert record["SPLICED_ENGINE"] == env.engine.encode(), record
    assert record["SPLICED_BYTES_UP"] == record["SPLICED_BYTES_DOWN"] == b"1000", record
    assert re.fullmatch(rb"127\.0\.0\.1:\d+", record["SPLICED_CLIENT"]), record
    daemon.stop()
    assert not daemon.log(), daemon.log_tail()
    listener = journal.wait(SPLICED_LISTENER="web", SPLICED_EVENT="message")[0]
    assert listener["MESSAGE"].startswith(b"listener web: 127.0.0.1:"), listener
    messages = journal.find(SPLICED_EVENT="message")
    assert messages[-1]["MESSAGE"] == b"ended", messages[-1]
    assert all(set(record) >= {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER"} for record in messages)


def test_requests(env):
    """With a path that the line has to encode, and the fields need not."""
    journal = Journal(env)
    origin = Origin(env)
    daemon = http_proxy(env, origin.address, spliced={"log_target": "journal"}, prefix=journal.prefix)
    client = env.keep(Client(daemon.address()))
    assert client.ask("GET", "/a%20b?q='x'&n=1").status == 200
    record = journal.wait(SPLICED_EVENT="request")[0]
    assert record["SPLICED_PATH"] == b"/a%20b?q='x'&n=1", record
    assert b"path=/a%20b?q=%27x%27&n=1 " in record["MESSAGE"], record
    assert record["SPLICED_STATUS"] == b"200" and record["SPLICED_METHOD"] == b"GET", record
    assert record["SPLICED_HOST"] == b"www.test", record
    assert int(record["SPLICED_TOTAL_MS"]) >= 0, record


def access_lines(daemon):
    return [line for line in daemon.log() if " session id=" in line]


def test_reload_moves_the_messages_alone(env):
    """Away from access lines with a place of their own, and back to them."""
    journal = Journal(env)
    for place in ("journal", "stderr"):
        start = len(journal.find(SPLICED_EVENT="session"))
        daemon = env.spliced(env.backend().address, prefix=journal.prefix,
                             spliced={"log_target": place, "access_log": place})
        text = text_of(daemon)
        for number, target in enumerate(("journal", "stderr", "journal", "stderr"), 1):
            reload(daemon, text.replace(f"log_target = {place}", f"log_target = {target}"))
            echo(daemon.address())
            in_journal, on_stderr = (number, 0) if place == "journal" else (0, number)
            wait_until(lambda now=daemon, n=on_stderr: len(access_lines(now)) >= n, 5, "the line")
            journal.wait(start + in_journal, SPLICED_EVENT="session")
        daemon.stop()
        assert len(access_lines(daemon)) == on_stderr, daemon.log_tail()
        assert len(journal.find(SPLICED_EVENT="session")) == start + in_journal
        # What is said of a reload goes where it has them go.
        assert sum("is valid" in line for line in daemon.log()) == 2, daemon.log_tail()


def test_reload_brings_messages_to_objects(env):
    """They are objects then, too, and cut none in two."""
    journal = Journal(env)
    daemon = env.spliced(env.backend().address, prefix=journal.prefix, spliced={
        "log_target": "journal", "access_log": "stderr", "access_log_format": "json"})
    echo(daemon.address())
    wait_until(daemon.log, 5, "the line")
    reload(daemon, text_of(daemon).replace("log_target = journal", "log_target = stderr"))
    echo(daemon.address())
    daemon.stop()
    kinds = [json.loads(line)["kind"] for line in daemon.log()]
    assert kinds.count("session") == 2 and kinds.count("message") > 1, kinds
    assert not journal.find(MESSAGE="ended")


def test_json_is_the_message(env):
    journal = Journal(env)
    daemon = env.spliced(env.backend().address, prefix=journal.prefix,
                         spliced={"access_log": "journal", "access_log_format": "json"})
    echo(daemon.address())
    record = journal.wait(SPLICED_EVENT="session")[0]
    assert record["MESSAGE"].startswith(b'{"time":"'), record
    assert record["SPLICED_END"] == b"done", record
    assert any("listener web: " in line for line in daemon.log())   # messages are where they were


def test_a_newline_begins_no_field(env):
    """A server name with bytes that would be a field of their own."""
    journal = Journal(env)
    daemon = env.spliced(env.backend().address, spliced={"log_target": "journal"},
                         listener={"protocol": "tls"}, prefix=journal.prefix)
    evil = b"x\nSPLICED_POOL=other\nPRIORITY=0\n\n"
    client = env.keep(connect(daemon.address()))
    client.sendall(records(usual(more=[server_name(evil.decode())])))
    record = journal.wait(SPLICED_END="bad_hello")[0]
    assert record["SPLICED_SNI"] == evil, record
    assert "SPLICED_POOL" not in record and record["PRIORITY"] == b"6", record
    assert b"\n" not in record["MESSAGE"], record


def test_stderr_is_the_journal(env):
    """As under systemd: log_target = auto, and JOURNAL_STREAM names standard error."""
    journal = Journal(env)
    daemon = env.spliced(env.backend().address, spliced={"log_target": "auto"},
                         prefix=journal.prefix, start=False)
    daemon.log_path.touch()
    st = os.stat(daemon.log_path)
    daemon.environment = {**daemon.environment, "JOURNAL_STREAM": f"{st.st_dev}:{st.st_ino}"}
    daemon.start()
    echo(daemon.address())
    journal.wait(SPLICED_EVENT="session", SPLICED_END="done")
    assert not daemon.log(), daemon.log_tail()


def test_servers(env):
    """What becomes of a server has its pool, name and state."""
    journal = Journal(env)
    free = env.keep(socket.socket())
    free.bind(("127.0.0.1", 0))
    daemon = env.spliced([f"gone 127.0.0.1:{free.getsockname()[1]}", f"b {env.backend().address}"],
                         spliced={"log_target": "journal"}, prefix=journal.prefix)
    echo(daemon.address())
    record = journal.wait(SPLICED_EVENT="server", SPLICED_POOL="main", SPLICED_SERVER="gone")[0]
    assert record["SPLICED_STATE"] == b"ejected" and record["PRIORITY"] == b"4", record
    assert record["MESSAGE"].startswith(b"server main/gone: failed 1 time "), record
    daemon.control("drain", "main/b")
    journal.wait(SPLICED_SERVER="b", SPLICED_STATE="drain")
    record = journal.wait(SPLICED_EVENT="message", SPLICED_SERVER="gone")[0]
    assert record["MESSAGE"].startswith(b"pool main: server gone: connecting to "), record


def test_debug_lines_have_their_session(env):
    journal = Journal(env)
    daemon = env.spliced(env.backend().address, prefix=journal.prefix,
                         spliced={"log_target": "journal", "log_level": "debug"})
    echo(daemon.address())
    journal.wait(SPLICED_EVENT="session")
    found = [record for record in journal.find(SPLICED_SESSION="1", SPLICED_EVENT="message")
             if record["PRIORITY"] == b"7"]
    assert found and all(record["MESSAGE"].startswith(b"session 1") for record in found), found


def test_a_journal_that_does_not_read(env):
    """Sessions go on; what found no room is counted, and told when there is some."""
    journal = Journal(env)
    daemon = env.spliced(env.backend().address, prefix=journal.prefix,
                         spliced={"log_target": "journal", "log_level": "debug"})
    journal.pause()
    wait_until(lambda: [echo(daemon.address()) for _ in range(20)] and daemon.stats()["log_lost"],
               60, "lines were lost", poll=0)
    sessions = daemon.stats()["sessions_total"]
    assert sessions >= 20
    journal.go_on()

    def told():
        return sum(int(count) for line in journal.messages() for count in re.findall(
            r"log to the journal: (\d+) lines were lost: its reader or disk was too slow", line))
    wait_until(lambda: told() == daemon.stats()["log_lost"], 15, "all that was lost is told")
    echo(daemon.address())
    journal.wait(SPLICED_EVENT="session", SPLICED_SESSION=str(sessions + 1), seconds=15)


def test_an_end_that_the_journal_does_not_read(env):
    """It ends in time all the same."""
    journal = Journal(env)
    daemon = env.spliced(env.backend().address, prefix=journal.prefix,
                         spliced={"log_target": "journal"})
    journal.pause()
    for _ in range(100):
        echo(daemon.address())
    daemon.stop(seconds=15)


def test_another_socket_in_its_place(env):
    journal = Journal(env)
    daemon = env.spliced(env.backend().address, prefix=journal.prefix,
                         spliced={"log_target": "journal"})
    echo(daemon.address())
    journal.wait(SPLICED_EVENT="session", SPLICED_SESSION="1")
    journal.restart()
    echo(daemon.address())
    journal.wait(SPLICED_EVENT="session", SPLICED_SESSION="2")
    assert daemon.stats()["log_lost"] == 0
