# SPDX-License-Identifier: GPL-2.0-or-later
"""Where intercepted connects go when the file says another listener: they follow, and none is lost."""

from lib.intercepted import check, connecting, intercepting, more_of, named, port_of
from lib.reloads import reload, text_of


def begin(env, **options):
    cgroup, backends = env.cgroup(), named(env)
    daemon = intercepting(env, cgroup, [port_of(backend.address) for backend, _ in backends],
                          intercept={"intercept": "require"}, **options)
    return cgroup, backends, daemon


def leads_to(daemon):
    section, = daemon.status()["intercepts"]
    assert section["active"], section
    return section["listener"]


def test_a_listener_with_another_name(env):
    """In both places: interception goes on."""
    cgroup, backends, daemon = begin(env)
    text = text_of(daemon)
    assert "\n[listener web]\n" in text and "\nlistener = web\n" in text
    renamed = text.replace("[listener web]", "[listener egress]").replace("listener = web", "listener = egress")
    with connecting(cgroup, backends) as results:
        for changed, name in ((renamed, "egress"), (text, "web")) * 3:
            assert reload(daemon, changed)["restart"] == []
            assert leads_to(daemon) == name
            more_of(results)
    check(results)
    lines = daemon.wait_access(len(results), 10)
    assert len(lines) == len(results) and {line["listener"] for line in lines} == {"web", "egress"}


def test_another_listener(env):
    """Which was there before, and of which the workers hear later than those that connect."""
    cgroup, backends, daemon = begin(env, more={"listener other": {"bind": "127.0.0.1:0, [::1]:0", "pool": "main"}})
    text = text_of(daemon)
    other = text.replace("listener = web", "listener = other")
    with connecting(cgroup, backends) as results:
        for changed, name in ((other, "other"), (text, "web")) * 5:
            assert reload(daemon, changed)["restart"] == []
            assert leads_to(daemon) == name
            more_of(results)
    check(results)
    lines = daemon.wait_access(len(results), 10)
    assert len(lines) == len(results) and {line["listener"] for line in lines} == {"web", "other"}


def test_another_listener_of_a_section_that_waits(env):
    """What else is new in the section waits for a restart, and the listener does not."""
    cgroup, backends, daemon = begin(env)
    text = text_of(daemon)
    answer = reload(daemon, text.replace("[listener web]", "[listener egress]").replace("listener = web", "listener = egress")
                    .replace("intercept = require", "intercept = while_ready"))
    assert answer["restart"] == ["[intercept NAME]"], answer
    assert leads_to(daemon) == "egress"
    with connecting(cgroup, backends) as results:
        more_of(results)
    check(results)
