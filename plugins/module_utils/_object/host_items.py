# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing what has no module of its own: it is read and judged again, and goes only if it still is a leftover."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import ChangedMeanwhile, InUse
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import Candidate
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Item, Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LEFTOVER, judge

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import Inode
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Change
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


class LeftoverItem(Item):
    """One leftover."""

    def __init__(self, candidate: Candidate, label: str) -> None:
        super().__init__()
        self.candidate = candidate
        self.label = label

    @abstractmethod
    def changes(self, view: HostView) -> tuple[Change, ...]:
        """What removes it. Raises StateError where that is not allowed."""

    def described(self) -> dict[str, Any]:
        return {"id": self.candidate.name, "paths": self.candidate.paths}

    def read(self, view: HostView) -> None:
        if not self.candidate.read(view):
            raise ChangedMeanwhile("", "it is gone", "Run again.")

    def plan(self, view: HostView) -> Plan:
        verdict = judge(self.candidate.evidence(view))
        if verdict.kind != LEFTOVER:
            raise InUse("", "; ".join(verdict.reasons), "It was left alone.")
        return Plan("deleted", self.changes(view))

    def stop_owners(self, plan: Plan, new_view: Callable[[], HostView]) -> None:
        """A leftover has none."""

    def guarded(self, plan: Plan) -> set[Inode]:
        return set()

    def tidy(self) -> None:
        """Nothing is made by locking."""

    def finish(self) -> None:
        """Nothing is made."""
