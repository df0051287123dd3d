# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every molecule scenario, as `molecule test -s NAME` runs it: check mode, converge, idempotence, verify."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.lab import booted, real_programs
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(path.parent.name for path in (ROOT / "extensions" / "molecule").glob("*/molecule.yml"))
LOCAL = "default"  # needs neither root nor a host
LONGEST = 480.0  # seconds
NEEDED = {"create", "prepare", "check", "converge", "idempotence", "verify", "destroy"}


@pytest.fixture
def environment() -> dict[str, str]:
    """Without colours, and with a virtiofsd."""
    try:
        virtiofsd = real_programs.standalone_virtiofsd()
    except Unavailable as exc:
        pytest.skip(str(exc))
    return {**os.environ, "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1", "SANDBOX_VIRTIOFSD": str(virtiofsd)}


@pytest.fixture
def scenario(request: pytest.FixtureRequest, environment: dict[str, str]) -> Iterator[str]:
    """The name of a scenario, of which nothing is left afterwards, whatever became of molecule."""
    name: str = request.param
    why = "" if name == LOCAL else booted.available()
    if why:
        pytest.skip(why)
    yield name
    molecule(environment, "destroy", name)


def molecule(environment: dict[str, str], command: str, scenario: str) -> tuple[int, str]:
    """Run a command of molecule's for a scenario; its exit code and output."""
    words = [str(Path(sys.executable).with_name("molecule")), command, "--scenario-name", scenario]
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        output, _nothing = process.communicate(timeout=LONGEST)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # not reaped yet, so the number is still that of its group
            process.wait()
    return process.returncode, output


def test_there_are_scenarios() -> None:
    assert LOCAL in SCENARIOS


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(name, marks=[] if name == LOCAL and os.geteuid() else [pytest.mark.real]) for name in SCENARIOS],
    indirect=True,
)
def test_scenario(scenario: str, environment: dict[str, str]) -> None:
    code, output = molecule(environment, "test", scenario)
    assert code == 0, output
    _before, begun, rest = output.partition(f"[{scenario} > create] Executing")
    assert begun and "no hosts matched" not in rest, output  # nothing would have been verified
    done = re.findall(rf"^{scenario} > (\w+): Executed: (.*)$", output, re.MULTILINE)
    assert {action for action, _result in done} >= NEEDED, output
    assert {result for _action, result in done} == {"Successful"}, output
