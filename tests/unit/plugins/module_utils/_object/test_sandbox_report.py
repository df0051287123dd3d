# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_options import Selection
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_report import in_words, report_all
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


def entry(name: str, verdict: str = "", *evidence: str) -> dict[str, Any]:
    if not verdict:
        return {"sandbox_id": name, "exists": False}
    return {"sandbox_id": name, "exists": True, "verdict": verdict, "evidence": list(evidence)}


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([], "0 sandboxes."),
        ([entry("a")], "0 sandboxes. 1 not there."),
        ([entry("a", "live", "x")], "1 sandbox: 1 live."),
        ([entry("a", "leftover", "x", "y")], "1 sandbox: 1 leftover. Leftover: a (x; y)."),
        (
            [entry("a", "unknown", "z"), entry("b", "live", "x"), entry("c"), entry("d", "leftover", "y")],
            "3 sandboxes: 1 live, 1 leftover, 1 unknown. 1 not there. Unknown: a (z). Leftover: d (y).",
        ),
    ],
    ids=["none", "not there", "live", "leftover", "all kinds"],
)
def test_the_summary_in_words(entries: list[dict[str, Any]], text: str) -> None:
    assert in_words(entries) == text


def test_the_summary_names_at_most_five() -> None:
    text = in_words([entry(f"n{number}", "leftover", "x") for number in range(9)])
    assert text.startswith("9 sandboxes: 9 leftover.") and text.count("Leftover: ") == 5


class Recorder(HostView):
    """A real view that writes down when processes are first asked for."""

    def __init__(self, order: list[str]) -> None:
        super().__init__("/", True)
        self.order = order

    @property
    def processes(self) -> Any:
        self.order.append("processes")
        return super().processes


def test_B4_all_files_are_read_before_processes_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner that appears in between is then not missed."""
    order: list[str] = []
    for name in ("a", "b"):
        (tmp_path / f"{name}_sandbox:{name}.state").write_text("{}")
    tree = Tree(LAYOUTS["gvisor"], "/", {"run_root": str(tmp_path)})
    original = tree.read

    def noted(view: HostView, sandbox_id: str) -> Any:
        order.append(sandbox_id)
        return original(view, sandbox_id)

    monkeypatch.setattr(tree, "read", noted)
    entries = report_all(tree, Selection(None, ""), Recorder(order), LockBudget(1), False)
    assert [one["sandbox_id"] for one in entries] == ["a", "b"]
    assert "processes" in order and max(order.index(name) for name in "ab") < order.index("processes")
    assert "a" not in order[order.index("processes") :]


def test_the_newest_part_decides_the_age_and_all_parts_the_size(tmp_path: Path) -> None:
    (tmp_path / "a_sandbox:a.state").write_text('{"x":1}')
    (tmp_path / "a_sandbox:a.lock").touch()
    (tmp_path / ".a_sandbox:a.state.sbx-tmp").write_text("torn")
    tree = Tree(LAYOUTS["gvisor"], "/", {"run_root": str(tmp_path)})
    (found,) = report_all(tree, Selection(["a"], ""), HostView("/", True), LockBudget(1), False)
    assert found["size"] == len('{"x":1}') + len("torn") and found["age"] in (0, 1)
    assert len(found["paths"]) == 3
