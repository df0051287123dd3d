# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/molecule.md: what it says of copying a scenario works."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sandboxed.containers.tests.molecule.conftest import ROOT, molecule

SCENARIOS = ROOT / "extensions" / "molecule"


def blocks() -> list[str]:
    """The pieces of YAML in the page."""
    text = (ROOT / "docs" / "molecule.md").read_text(encoding="utf-8")
    return re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_every_scenario_is_in_the_page() -> None:
    text = (ROOT / "docs" / "molecule.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| \[`(\w+)`\]", text, re.MULTILINE)
    assert sorted(named) == sorted(path.parent.name for path in SCENARIOS.glob("*/molecule.yml"))


def test_its_playbooks_are_such(tmp_path: Path) -> None:
    """Those for podman have no podman here."""
    _config, *playbooks = blocks()
    assert len(playbooks) == 2
    for number, text in enumerate(playbooks):
        book = tmp_path / f"{number}.yml"
        book.write_text(text, encoding="utf-8")
        words = [str(Path(sys.executable).with_name("ansible-playbook")), "--syntax-check", str(book)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.real
def test_a_copy_with_a_host_of_ones_own(keeper: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(keeper("start"), encoding="utf-8")
    for name in ("shared", "gvisor"):
        shutil.copytree(SCENARIOS / name, tmp_path / "molecule" / name)
    for name in ("create.yml", "destroy.yml"):
        (tmp_path / "molecule" / "shared" / name).unlink()
    config, *_playbooks = blocks()
    (tmp_path / "molecule" / "config.yml").write_text(config, encoding="utf-8")
    sequence: dict[str, Any] = yaml.safe_load(config)["scenario"]
    words = ["--base-config", "molecule/config.yml", "test", "--scenario-name", "gvisor"]
    code, output = molecule(*words, folder=tmp_path)
    molecule(*words[:2], "reset", "--scenario-name", "gvisor", folder=tmp_path)
    assert code == 0, output
    results = re.findall(r"^gvisor > \w+: Executed: (.*)$", output, re.MULTILINE)
    assert results == ["Successful"] * len(sequence["test_sequence"]), output
