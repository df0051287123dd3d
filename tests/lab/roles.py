# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a role of the collection on a booted system, and see what it has changed there."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.lab.booted import Booted
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable, package
from ansible_collections.sandboxed.containers.tests.lab.workspace import Outcome

# What time itself and the tests' own login change.
CHANGING = (
    r"^/(dev|proc|sys|tmp|root|run/(systemd|udev|log|host|ssh|lock|mount|dbus|motd)|var/(log|tmp|cache|lib/systemd))\b"
)


def play(system: Booted, role: str, variables: dict[str, Any], *flags: str) -> Outcome:
    """Run a role of the collection in a play without facts."""
    import_role = {"ansible.builtin.import_role": {"name": f"sandboxed.containers.{role}"}}
    return system.play([{"hosts": "booted", "gather_facts": False, "tasks": [import_role], "vars": variables}], *flags)


def changes(outcome: Outcome, host: str = "booted") -> int:
    """How many tasks have changed something. Fails if the play has failed."""
    assert outcome.code == 0, outcome.output
    (count,) = re.findall(rf"^{host} .* changed=(\d+)", outcome.output, re.MULTILINE)
    return int(count)


def refusal(outcome: Outcome) -> str:
    """Why the play has failed, on one line. Fails if it has not, or has changed something before."""
    assert outcome.code == 2, outcome.output
    assert re.search(r"^booted .* changed=0 ", outcome.output, re.MULTILINE), outcome.output
    return " ".join(outcome.output.split())


def files(system: Booted) -> set[str]:
    """All files that do not change by themselves."""
    listed = system.must("find", "/", "-xdev", "!", "-name", "*.pyc", "-print") + "\n"
    listed += system.must("find", "/run", "-print")
    return {path for path in listed.splitlines() if not re.search(CHANGING, path)}


def inodes(system: Booted) -> set[str]:
    """The same with the type, mode, target and inode of each, and the mode of directories."""
    directory = ["(", "-type", "d", "-printf", "%p %y %m\\n", ")"]
    how = ["-xdev", "!", "-name", "*.pyc", "(", *directory, "-o", "-printf", "%p %y %m %l %i\\n", ")"]
    listed = system.must("find", "/", *how)
    return {line for line in listed.splitlines() if not re.search(CHANGING, line)}


def install_containerd(system: Booted, suite: str) -> None:
    """As a program without a unit, so that nothing but itself and its configuration matters."""
    try:
        program = package("containerd", suite).resolve() / "usr/bin/containerd"
    except Unavailable as exc:
        pytest.skip(str(exc))
    system.must("ln", "-s", str(program), "/usr/local/bin/containerd")
