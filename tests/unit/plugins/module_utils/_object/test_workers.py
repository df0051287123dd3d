# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace
from ansible_collections.sandboxed.containers.plugins.module_utils._object import shares
from ansible_collections.sandboxed.containers.plugins.module_utils._object.report import Showing, Summary
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Item, Plan, Run
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.plugins.module_utils._object.workers import run_all


class Mark(Item):
    """An item that is a file, which it makes. ends: it kills its process instead."""

    def __init__(self, path: Path, ends: bool = False) -> None:
        super().__init__()
        self.path = path
        self.ends = ends
        self.label = f"Mark '{path.name}'"
        self.common: Any = None

    def described(self) -> dict[str, Any]:
        return {"name": self.path.name}

    def read(self, view: HostView) -> None:
        """Nothing is read."""

    def plan(self, view: HostView) -> Plan:
        return Plan("created", (self,)) if not self.path.exists() else Plan()  # type: ignore[arg-type]

    role, sign = "mark", "+"

    def common_lock(self) -> LockPlace | None:
        if self.common is not None:
            raise self.common
        return None

    def lock_places(self) -> list[LockPlace]:
        return []

    def stop_owners(self, plan: Plan, new_view: Any) -> None:
        """There are none."""

    def guarded(self, plan: Plan) -> set[Any]:
        return set()

    def apply(self, plan: Plan, durable: bool) -> None:
        if self.ends:
            os.kill(os.getpid(), signal.SIGKILL)
        self.path.touch()
        self.acted = True

    def tidy(self) -> None:
        """Nothing is held."""

    def finish(self) -> None:
        """Nothing was made for nothing."""


@pytest.fixture(autouse=True)
def small_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "_SHARE", 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})


def do(items: list[Mark]) -> list[Summary]:
    how = Run(lambda: HostView("/", True), LockBudget(1), check_mode=False, durable=False)
    return run_all(items, how, Showing.of(False, False, len(items)))


def test_shares_are_worked_on_by_other_processes_and_told_in_order(tmp_path: Path) -> None:
    items = [Mark(tmp_path / str(number)) for number in range(6)]
    ends = do(items)
    assert [end.entry for end in ends] == [{"name": str(number), "action": "created"} for number in range(6)]
    assert all(end.changed for end in ends) and len(list(tmp_path.iterdir())) == 6
    assert not any(item.acted for item in items), "it was not this process that did it"


def test_a_worker_that_was_killed_fails_its_items_and_no_others(tmp_path: Path) -> None:
    ends = do([Mark(tmp_path / str(number), ends=number == 4) for number in range(6)])
    failed = [end.entry["name"] for end in ends if end.failure]
    assert failed == ["3", "4", "5"] and all(end.changed for end in ends)
    assert ends[4].failure == (
        "Mark '4': the part of this task that worked on it was killed by signal 9, and how far it came is not known. "
        "Run again."
    )


def test_a_common_lock_that_is_not_to_be_had_is_each_items_own_affair(tmp_path: Path) -> None:
    items = [Mark(tmp_path / str(number)) for number in range(6)]
    items[0].common = Unreadable("/run/lock", "so")
    assert [end.entry["action"] for end in do(items)] == ["created"] * 6
