# SPDX-License-Identifier: GPL-2.0-or-later
"""A daemon whose file changes while it runs."""

import os
import signal

from . import process
from .wait import wait_until


def text_of(daemon):
    return daemon.config_path.read_text(encoding="utf-8")


def reload(daemon, config):
    """What splicectl says of it; it is in effect."""
    daemon.write_config(config)
    answer = daemon.control("reload")
    assert answer["reloaded"] is True, answer
    return answer


def refused(daemon, config):
    """What splicectl says of a reload that fails."""
    daemon.write_config(config)
    done = process.run(daemon.control_tool, "-s", daemon.control_path, "reload", check=False,
                       timeout=15)
    assert done.returncode == 1 and not done.stdout, done
    assert "nothing is changed" in done.stderr, done.stderr
    return done.stderr


def kill_workers(daemon, number=2):
    """The one that serves; and so many after it do not come to that, for the file has a mistake by then."""
    text = text_of(daemon)
    daemon.write_config(text + "\nnonsense = 1\n")
    os.kill(daemon.worker_pid, signal.SIGKILL)
    wait_until(lambda: f"({number} in a row)" in "\n".join(daemon.log()), 20, "workers fail", poll=0.02)
    daemon.write_config(text)


def setups(daemon):
    """How many configurations somebody still goes by."""
    return daemon.status()["setups"]
