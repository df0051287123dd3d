# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The harness finds what is wrong: shown on scripts that are bad on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.faults.harness import Case, Report, explore, few_points
from ansible_collections.sandboxed.containers.tests.faults.running import Task, Worker
from ansible_collections.sandboxed.containers.tests.faults.snapshot import ROOT
from ansible_collections.sandboxed.containers.tests.faults.tracing import KILL, Call

pytestmark = pytest.mark.real
_HEAD = """
from ansible.module_utils.basic import AnsibleModule
import os
module = AnsibleModule({"path": {"type": "path"}})
path, wanted = module.params["path"], b"new" * 20_000
with open(path, "rb") as file:
    changed = file.read() != wanted
"""
_TAIL = """
module.exit_json(changed=changed)
"""
_IN_PLACE = """
if changed:
    with open(path, "wb", buffering=0) as file:
        file.write(wanted)
"""
_BY_RENAME = """
try:
    if changed:
        with open(path + ".sbx-tmp", "wb", buffering=0) as file:
            file.write(wanted)
            os.fsync(file.fileno())
        os.rename(path + ".sbx-tmp", path)
except OSError as error:
    os.unlink(path + ".sbx-tmp") if os.path.exists(path + ".sbx-tmp") else None
    module.fail_json(msg=str(error))
"""


def tried(body: str, folder: Path, workers: list[Worker]) -> Report:
    """Explore a script that brings one file to what it should be."""
    script = folder / "toy.py"
    script.write_text(_HEAD + body + _TAIL, encoding="utf-8")

    def prepare(root: Path) -> None:
        (root / "document").write_bytes(b"old" * 10)
        (root / "bystander").write_bytes(b"other")

    return explore(Case("toy", Task(str(script), {"path": f"{ROOT}/document"}), prepare), workers, few_points)


def test_a_torn_document_is_found(tmp_path: Path, workers: list[Worker]) -> None:
    problems = tried(_IN_PLACE, tmp_path, workers).problems
    torn = [one for one in problems if "old or new: document is neither the old nor the new one" in one]
    assert any(f"{KILL} at write" in one for one in torn), problems
    assert any("ENOSPC at write" in one for one in torn), problems
    assert any("an error is told: no JSON" in one for one in problems), problems


def test_a_script_that_renames_passes_the_kills(tmp_path: Path, workers: list[Worker]) -> None:
    report = tried(_BY_RENAME, tmp_path, workers)
    assert [one for one in report.problems if KILL in one or "at write" in one or "at rename" in one] == []
    names = [point.call.name for point in report.points if point.kills]
    assert sorted(names) == ["fsync", "openat", "rename", "write"]
    assert "old or new" not in "".join(report.problems)


def test_a_stray_is_found(tmp_path: Path, workers: list[Worker]) -> None:
    problems = tried(_BY_RENAME.replace("os.unlink(path + ", "os.path.exists(path + "), tmp_path, workers).problems
    assert any("nothing strange is left: ['document.sbx-tmp'] were left" in one for one in problems), problems


def test_a_touched_bystander_is_found(tmp_path: Path, workers: list[Worker]) -> None:
    body = _BY_RENAME.replace("    module.fail_json", "    os.utime(path[:-8] + 'bystander')\n    module.fail_json")
    problems = tried(body, tmp_path, workers).problems
    assert any("nothing else is touched: bystander was touched" in one for one in problems), problems


def test_calls_know_their_paths() -> None:
    call = Call("renameat", 1, f'_<{ROOT}/run>, ".a.sbx-tmp", _<{ROOT}/run>, "a.state"')
    assert call.paths() == [f"{ROOT}/run/.a.sbx-tmp", f"{ROOT}/run/a.state"]
