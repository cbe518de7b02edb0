# SPDX-License-Identifier: GPL-2.0-or-later
"""The canary and the doctor where something is wrong."""

import json
import time

from lib import case, process

# A loopback that carries a connection's set-up and then next to nothing: the kernel stalls.
STALLED = ("ip link set lo up && "
           "tc qdisc add dev lo root tbf rate 8kbit burst 1600 limit 100000 && exec ")


def in_stalled_network(env, *command, timeout=60):
    began = time.monotonic()
    done = process.run("unshare", "--net", "sh", "-c", STALLED + '"$@"', "sh", *command,
                       check=False, timeout=timeout)
    return done, time.monotonic() - began


@case(engines=("kernel",), vm=False, debug=False)
def test_a_kernel_that_stalls_costs_ten_seconds_in_all(env):
    done, took = in_stalled_network(env, env.binary("spliced"), "doctor", "--json")
    assert done.returncode == 1, done
    doctor = json.loads(done.stdout)
    # Each check by itself would wait ten seconds.
    assert took < 18, f"it took {took:.1f} s: {doctor}"
    assert doctor["engine"] == "copy" and "canary_" in doctor["engine_reason"], doctor
    answers = [check["answer"] for check in doctor["checks"]
               if check["name"].startswith("canary_")]
    assert answers.count("no") == 1, doctor
    rest = answers[answers.index("no") + 1:]
    assert rest and set(rest) == {"-"}, f"it went on after the failure: {answers}"


@case(engines=("kernel",))
def test_nothing_is_run_after_what_settles_it(env):
    """Without privileges the programs do not load: there is nothing for the canary to try."""
    done = process.run("setpriv", "--bounding-set=-bpf,-sys_admin", "--inh-caps=-all", "--reuid=65534",
                       "--regid=65534", "--clear-groups", env.binary("spliced"), "doctor",
                       "--json", check=False)
    assert done.returncode == 1, done
    names = [check["name"] for check in json.loads(done.stdout)["checks"]]
    assert "programs" in names and "canary_burst" not in names, names


@case(engines=("kernel",))
def test_no_fallback(env):
    """engine = kernel, and the canary fails: an error, and an end in good order."""
    daemon = env.spliced(env.backend().address, start=False, environment={"SPLICED_DEBUG": "no-trim"})
    done = process.run(daemon.binary, "-c", daemon.config_path, check=False,
                       env=daemon.environment)
    assert done.returncode == 1, done
    assert "engine = kernel: the kernel engine is off: canary_" in done.stderr, done.stderr
    assert "killed by" not in done.stderr, done.stderr
