# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line and the configuration file."""

import re
import resource
from pathlib import Path

from lib import case
from lib.process import run
from lib.spliced import config_text

GOOD = """\
; a comment
[spliced]
engine = copy
workers = 3
control = none

[listener web]
bind = 127.0.0.1:0, [::1]:0
pool = shop
idle_timeout = 90s

[pool shop]
balance = least_sessions
server = a 10.0.0.1:8443 weight=2 max_sessions=500
server = b 10.0.0.2:8443 backup
"""


def spliced(env, *arguments):
    """Runs the program to its end, whatever that is."""
    return run(env.binary("spliced"), *arguments, check=False, timeout=10)


def check(env, text, *arguments):
    """(exit status, messages, path) of --check on a file with that text."""
    path = env.tmp / "test.conf"
    path.write_text(text, encoding="utf-8")
    done = spliced(env, "-c", path, "--check", *arguments)
    return done.returncode, done.stdout + done.stderr, path


@case(engines=())
def test_check_good(env):
    status, output, path = check(env, GOOD)
    assert status == 0, output
    assert str(path) in output and "valid" in output, output


@case(engines=())
def test_short_options(env):
    path = env.tmp / "test.conf"
    path.write_text(GOOD, encoding="utf-8")
    assert spliced(env, "-t", "-c", path).returncode == 0
    assert spliced(env, f"--config={path}", "-t").returncode == 0


# text -> (line of the mistake, words of the message)
MISTAKES = {
    GOOD.replace("workers = 3", "workers = many"): (4, ("workers", "many")),
    GOOD.replace("workers = 3", "workers = 0"): (4, ("workers",)),
    GOOD.replace("workers = 3", "workerz = 3"): (4, ("workerz", "workers")),
    GOOD.replace("engine = copy", "engine = fast"): (3, ("engine", "fast", "kernel")),
    GOOD.replace("127.0.0.1:0, [::1]:0", "127.0.0.1:99999"): (8, ("bind", "port")),
    GOOD.replace("127.0.0.1:0, [::1]:0", "nowhere"): (8, ("bind", "nowhere")),
    GOOD.replace("90s", "90 parsecs"): (10, ("idle_timeout", "90 parsecs")),
    GOOD.replace("pool = shop", "pool = shed"): (9, ("shed",)),
    GOOD.replace("balance = least_sessions", "balance = luck"): (13, ("balance", "luck")),
    GOOD.replace("weight=2", "weight=0"): (14, ("weight",)),
    GOOD.replace("server = b ", "server = a "): (15, ("a",)),
    GOOD.replace("server = a 10.0.0.1:8443", "server = a"): (14, ("server",)),
    GOOD.replace("[pool shop]", "[tool shop]"): (12, ("tool",)),
}


@case(engines=())
def test_mistakes_are_named_with_their_line(env):
    for text, (line, words) in MISTAKES.items():
        status, output, path = check(env, text)
        assert status == 2, (text, output)
        assert f"{path}:{line}:" in output, f"line {line} is not blamed for it:\n{output}"
        message = next(row for row in output.splitlines() if f":{line}:" in row)
        for word in words:
            assert word in message, f"{word!r} is not in: {message}"


@case(engines=())
def test_all_mistakes_at_once(env):
    text = GOOD.replace("workers = 3", "workers = many").replace("90s", "soon")
    status, output, path = check(env, text)
    assert status == 2
    assert f"{path}:4:" in output and f"{path}:10:" in output, output


@case(engines=())
def test_missing_file(env):
    done = spliced(env, "-c", env.tmp / "none.conf", "--check")
    assert done.returncode == 2
    assert "none.conf" in done.stderr and "No such file" in done.stderr, done.stderr


@case(engines=())
def test_bad_file_does_not_start(env):
    path = env.tmp / "test.conf"
    path.write_text(GOOD.replace("workers = 3", "workers = many"), encoding="utf-8")
    done = spliced(env, "-c", path)
    assert done.returncode == 2 and f"{path}:4:" in done.stderr, done


@case(engines=())
def test_dump_can_be_read_again(env):
    path, again = env.tmp / "test.conf", env.tmp / "again.conf"
    path.write_text(GOOD, encoding="utf-8")
    dump = spliced(env, "-c", path, "--dump-config")
    assert dump.returncode == 0, dump
    again.write_text(dump.stdout, encoding="utf-8")
    second = spliced(env, "-c", again, "--dump-config")
    assert second.returncode == 0, second
    assert second.stdout == dump.stdout, "the dump of the dump differs"
    # What was written, and what is a default.
    for pattern in (r"^workers = 3$", r"^engine = copy$", r"^max_sessions = 65536$",
                    r"^idle_timeout = (90s|1m30s)$", r"^half_close_timeout = 1m$",
                    r"^balance = least_sessions$", r"^server = a 10\.0\.0\.1:8443 weight=2"):
        assert re.search(pattern, dump.stdout, re.MULTILINE), f"{pattern} is not in the dump"


@case(engines=())
def test_engine_on_the_command_line(env):
    path = env.tmp / "test.conf"
    path.write_text(GOOD, encoding="utf-8")
    dump = spliced(env, "-c", path, "--engine=kernel", "--dump-config")
    assert re.search(r"^engine = kernel$", dump.stdout, re.MULTILINE), dump
    bad = spliced(env, "-c", path, "--engine=warp", "--check")
    assert bad.returncode == 2 and "warp" in bad.stderr, bad


@case(engines=())
def test_committed_files_are_current(env):
    """conf/spliced.conf and the options of spliced.conf(5) come from the option table, the counters
    of docs/operations.md from theirs."""
    root = Path(__file__).resolve().parents[2]
    sample = spliced(env, "--print-sample").stdout
    assert (root / "conf/spliced.conf").read_text(encoding="utf-8") == sample, \
        "conf/spliced.conf is not what --print-sample prints"
    # The page has the same words in shorter lines.
    options = " ".join(spliced(env, "--print-man").stdout.split())
    page = (root / "docs/man/spliced.conf.5").read_text(encoding="utf-8")
    assert options in " ".join(page.split()), \
        "docs/man/spliced.conf.5 lacks what --print-man prints: make docs"
    counters = spliced(env, "--print-counters").stdout
    assert counters in (root / "docs/operations.md").read_text(encoding="utf-8"), \
        "docs/operations.md lacks what --print-counters prints"


@case(engines=("kernel",))
def test_words_are_explained(env):
    """What the counters are called by, and what splicectl says of a session's engine."""
    root = Path(__file__).resolve().parents[2]
    guide = (root / "docs/operations.md").read_text(encoding="utf-8")
    page = (root / "docs/man/splicectl.1").read_text(encoding="utf-8")
    stats = env.spliced(env.backend().address).stats()
    for family in ("copy_reasons", "ends", "verdicts"):
        missing = [word for word in stats[family] if f"`{word}`" not in guide]
        assert stats[family] and not missing, f"docs/operations.md lacks of {family}: {missing}"
    reasons = " ".join(line for line in page.splitlines() if line.startswith(".BR")).split()
    missing = [word for word in stats["copy_reasons"] if word not in (*reasons, "none")]
    assert not missing, f"docs/man/splicectl.1 lacks of engine_reason: {missing}"


@case(engines=())
def test_examples_are_valid(env):
    examples = sorted((Path(__file__).resolve().parents[2] / "conf/examples").glob("*.conf"))
    assert examples, "conf/examples is empty"
    for path in examples:
        done = spliced(env, "-t", "-c", path)
        assert done.returncode == 0, done
        assert f"{path}: the configuration is valid" in done.stderr, done


def test_sample_is_valid(env):
    sample = spliced(env, "--print-sample")
    assert sample.returncode == 0 and sample.stdout.count("\n") > 50, sample
    status, output, _ = check(env, sample.stdout)
    assert status == 0, output


@case(engines=())
def test_help_and_version(env):
    shown = spliced(env, "--help")
    assert shown.returncode == 0 and shown.stdout.startswith("usage: spliced"), shown
    for word in ("--config", "--check", "--dump-config", "--engine", "doctor", "--version"):
        assert word in shown.stdout, f"--help does not tell of {word}"
    version = spliced(env, "--version")
    assert version.returncode == 0, version
    assert re.fullmatch(r"spliced \d+\.\d+\.\d+\n", version.stdout), version.stdout


@case(engines=())
def test_bad_usage(env):
    for arguments in (("--nonsense",), ("-c",), ("stray",), ("doctor", "--loud")):
        done = spliced(env, *arguments)
        assert done.returncode == 2, (arguments, done)
        assert done.stderr and not done.stdout, (arguments, done)


@case(engines=())
def test_splicectl_without_a_daemon(env):
    tool = env.binary("splicectl")
    done = run(tool, "-s", env.tmp / "none.sock", "status", check=False)
    assert done.returncode == 1, done
    assert "none.sock" in done.stderr, done
    assert run(tool, "--nonsense", check=False).returncode == 2


def test_address_in_use(env):
    address = env.backend().address
    other = env.spliced(address, listener={"bind": address}, start=False)
    done = spliced(env, "-c", other.config_path)
    assert done.returncode == 1, done
    assert address in done.stderr and "in use" in done.stderr, done


def test_user_that_does_not_exist(env):
    sections = env.sections(env.backend().address, spliced={"user": "nobody-of-that-name"})
    sections["spliced"]["control"] = env.tmp / "ctl.sock"
    path = env.tmp / "test.conf"
    path.write_text(config_text(sections), encoding="utf-8")
    done = spliced(env, "-c", path)
    assert done.returncode != 0 and "nobody-of-that-name" in done.stderr, done


# ---- what the guides show ------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[2]


def fragments(path):
    """Indented blocks of a page that begin with a section of a configuration."""
    text = path.read_text(encoding="utf-8")
    for block in re.findall(r"(?:^(?: {4}.*)?\n)+", text, re.M):
        lines = [line[4:] for line in block.splitlines()]
        for start, line in enumerate(lines):
            if re.match(r"\[(spliced|listener [\w-]+|pool [\w-]+)\]$", line):
                yield "\n".join(lines[start:]) + "\n"
                break


def completed(fragment):
    """The same with what a fragment leaves out: addresses, pools, and who uses a pool."""
    pools = re.findall(r"^\[pool (.*)\]", fragment, re.M)
    used = re.findall(r"^pool = (.*)|-> (.*)$", fragment, re.M)
    used = [a or b for a, b in used]
    if not re.search(r"^bind = ", fragment, re.M):
        fragment = re.sub(r"^(\[listener .*\])$", r"\1\nbind = 127.0.0.1:0", fragment, flags=re.M)
    if "[listener" in fragment and not used:
        fragment = re.sub(r"^(\[listener .*\])$", r"\1\npool = rest", fragment, flags=re.M)
        used.append("rest")
    for pool in sorted(set(used) - set(pools)):
        fragment += f"\n[pool {pool}]\nserver = a 127.0.0.1:1\n"
    for number, pool in enumerate(pools):
        if pool not in used:
            fragment += f"\n[listener of{number}]\nprotocol = http\nbind = 127.0.0.1:0\npool = {pool}\n"
    if "[listener" not in fragment:
        fragment += ("\n[listener rest]\nbind = 127.0.0.1:0\npool = rest\n"
                     "\n[pool rest]\nserver = a 127.0.0.1:1\n")
    return fragment


@case(engines=())
def test_configurations_in_the_guides_are_valid(env):
    number = 0
    for page in (*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md"):
        for fragment in fragments(page):
            number += 1
            path = env.tmp / f"{page.stem}{number}.conf"
            path.write_text(completed(fragment), encoding="utf-8")
            done = spliced(env, "-t", "-o", "spliced.user=", "-c", path)
            assert done.returncode == 0 and "does nothing" not in done.stderr, \
                f"{page.name}:\n{completed(fragment)}\n{done.stderr}"
    assert number >= 5, number
    env.note(f"{number} configurations")


@case(engines=())
def test_what_others_are_called_here(env):
    """The tables for those who come from elsewhere name options, values and commands that exist."""
    guide = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    known = "".join(run(*command, timeout=10).stdout for command in (
        (env.binary("spliced"), "--print-sample"), (env.binary("spliced"), "--help"),
        (env.binary("splicectl"), "--help")))
    options = set(re.findall(r"^[;# ]*([a-z_0-9]+) =", known, re.M))
    options |= set(re.findall(r"^# - ([a-z_]+):", known, re.M))
    checked = 0
    for name in ("HAProxy", "nginx"):
        section = guide.split(f"\n## Coming from {name}\n")[1].split("\n## ")[0]
        for row in re.findall(r"^\| (?!---).* \|$", section, re.M)[1:]:
            for span in re.findall(r"`([^`]+)`", row.strip("| ").split(" | ")[-1]):
                key = re.match(r"([a-z_0-9]+) =", span)
                if key:
                    assert key[1] in options, f"{name}: {span}"
                elif re.fullmatch(r"[a-z0-9_]+", span):
                    assert re.search(rf"\b{span}\b", known), f"{name}: {span}"
                else:
                    continue
                checked += 1
    assert checked > 60, checked


# ---- long files --------------------------------------------------------------------------------

def cpu_of_check(env, text):
    """Seconds of a processor that it takes to find this valid."""
    path = env.tmp / "long.conf"
    path.write_text(text, encoding="utf-8")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run(env.binary("spliced"), "-t", "-c", path, check=False, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[:2000]
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def servers(number):
    return "[listener web]\nbind = 127.0.0.1:0\npool = main\n[pool main]\n" + "".join(
        f"server = s{i} 10.0.{i >> 8}.{i & 255}:80\n" for i in range(number))


def binds(number):
    return "[pool main]\nserver = a 127.0.0.1:9\n[listener web]\npool = main\n" + "".join(
        f"bind = 127.1.{i >> 8}.{i & 255}:80\n" for i in range(number))


def pools(number):
    return "[listener web]\nbind = 127.0.0.1:0\n" + "".join(
        f"route = dst:10.0.{i >> 8}.{i & 255}/32 -> p{i}\n" for i in range(number)) + "".join(
        f"[pool p{i}]\nserver = a 127.0.0.1:9\n" for i in range(number))


@case(engines=())
def test_long_lists(env):
    """Four times as long takes about four times as long to check: a reload does it while others wait."""
    for make in (servers, binds, pools):
        short, long = (cpu_of_check(env, make(number)) for number in (7500, 30000))
        assert long < 9 * max(short, 0.1), (make.__name__, short, long)


@case(engines=())
def test_repeated_in_a_long_list(env):
    """Whatever is in the way is the first one, wherever it stands."""
    port = "127.0.0.1:80"
    text = "[pool main]\nserver = a 127.0.0.1:9\nserver = b 127.0.0.1:9\nserver = a 127.0.0.1:9\nserver = b 127.0.0.1:9\n" \
        "server = a 127.0.0.1:9\n[listener web]\npool = main\n" + \
        "".join(f"bind = {bind}\n" for bind in (port, "[::1]:80", "0.0.0.0:80", port, "[::]:80", "[::]:81", "0.0.0.0:81",
                                                "unix:/a", "unix:/b", "unix:/a", "127.0.0.1:0", "127.0.0.1:0"))
    path = env.tmp / "repeated.conf"
    path.write_text(text, encoding="utf-8")
    done = run(env.binary("spliced"), "-t", "-c", path, check=False, timeout=10)
    assert done.returncode == 2, done
    found = [line.removeprefix(f"{path}:").partition("; allowed")[0] for line in done.stderr.splitlines()]
    assert found == [
        "4: server a is already on line 2", "5: server b is already on line 3", "6: server a is already on line 2",
        f"11: bind: 0.0.0.0:80 cannot be bound beside {port} of listener web on line 9",
        f"12: bind: {port} is already bound by listener web on line 9",
        "13: bind: [::]:80 cannot be bound beside [::1]:80 of listener web on line 10",
        "18: bind: unix:/a is already bound by listener web on line 16"], found
