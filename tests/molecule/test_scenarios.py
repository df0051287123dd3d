# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every molecule scenario, as `molecule test -s NAME` runs it: check mode, converge, idempotence, verify."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
from ansible_collections.sandboxed.containers.tests.lab import booted, real_programs
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable
from ansible_collections.sandboxed.containers.tests.molecule.conftest import ROOT, molecule

SCENARIOS = sorted(path.parent.name for path in (ROOT / "extensions" / "molecule").glob("*/molecule.yml"))
LOCAL = "default"  # needs neither root nor a host
LOCKS = "/run/lock/sandboxed.containers"  # the collection's own, where a runtime has none
NEEDED = {"create", "prepare", "check", "converge", "idempotence", "verify", "destroy"}


@pytest.fixture
def virtiofsd() -> str:
    """The daemon that the local scenario starts."""
    try:
        return str(real_programs.standalone_virtiofsd())
    except Unavailable as exc:
        pytest.skip(str(exc))


@pytest.fixture
def scenario(request: pytest.FixtureRequest, virtiofsd: str) -> Iterator[str]:
    """The name of a scenario, of which nothing is left afterwards, whatever became of molecule."""
    name: str = request.param
    why = booted.available() if name != LOCAL else ""
    if os.path.exists(LOCKS) and not os.access(LOCKS, os.W_OK):
        why = f"{LOCKS} is of another user, who has used the collection on this machine; run it as that one"
    if why:
        pytest.skip(why)
    yield name
    molecule("destroy", "--scenario-name", name)


def test_there_are_scenarios() -> None:
    assert LOCAL in SCENARIOS


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(name, marks=[] if name == LOCAL and os.geteuid() else [pytest.mark.real]) for name in SCENARIOS],
    indirect=True,
)
def test_scenario(scenario: str, virtiofsd: str) -> None:
    code, output = molecule("test", "--scenario-name", scenario, SANDBOX_VIRTIOFSD=virtiofsd)
    assert code == 0, output
    _before, begun, rest = output.partition(f"[{scenario} > create] Executing")
    assert begun and "no hosts matched" not in rest, output  # nothing would have been verified
    done = re.findall(rf"^{scenario} > (\w+): Executed: (.*)$", output, re.MULTILINE)
    assert {action for action, _result in done} >= NEEDED, output
    assert {result for _action, result in done} == {"Successful"}, output
