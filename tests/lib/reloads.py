# SPDX-License-Identifier: GPL-2.0-or-later
"""A daemon whose file changes while it runs."""

from . import process


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


def setups(daemon):
    """How many configurations somebody still goes by."""
    return daemon.status()["setups"]
