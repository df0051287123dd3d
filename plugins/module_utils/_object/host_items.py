# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing what has no module of its own: it is read and judged again, and goes only if it still is a leftover.

Imported where something is to be removed: a scan of a host without leftovers does without it.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import ChangedMeanwhile, InUse
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace, own_lock_place
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process, describe
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.signalling import stop
from ansible_collections.sandboxed.containers.plugins.module_utils._object import removal
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_changes import RemoveCgroup
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Remove, Stop
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import Candidate
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Item, Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import RemoveTree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LEFTOVER, judge

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import Inode
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Change
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_TERM_SECONDS, _KILL_SECONDS = 3.0, 10.0


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


class LeftoverTree(LeftoverItem):
    """Removes a directory, entry by entry: what is left of it after a crash is found again by its name.

    part: what was read of it last, None where it is gone.
    """

    def __init__(self, candidate: Candidate, label: str, place: Directory, part: Callable[[], Part | None]) -> None:
        super().__init__(candidate, label)
        self._place = place
        self._part = part

    def changes(self, view: HostView) -> tuple[Change, ...]:
        part = self._part()
        if part is None:
            return ()
        mounts = removal.mounts_in_the_way([part], view.mounts, False, view.asserted)
        return (*mounts, RemoveTree(part.role, part.directory, part.name, part.facts.identity))

    def lock_places(self) -> list[LockPlace]:
        return [own_lock_place(self._place.path)]

    def guarded_trees(self, plan: Plan) -> set[str]:
        return {change.path for change in plan.changes if isinstance(change, RemoveTree)}

    def apply(self, plan: Plan, durable: bool) -> None:
        for change in plan.changes:
            if isinstance(change, RemoveTree) and change.remove():
                self.acted = True
                self.touched.add(change.directory)


class LeftoverSocket(LeftoverItem):
    """Removes the file of a socket. place: the directory that it is in, under the name of the candidate."""

    def __init__(self, candidate: Candidate, label: str, place: Directory) -> None:
        super().__init__(candidate, label)
        self._place = place

    def changes(self, view: HostView) -> tuple[Change, ...]:
        identity = self.candidate.identity
        return (Remove("socket", self._place, self.candidate.name, (identity["device"], identity["inode"])),)

    def lock_places(self) -> list[LockPlace]:
        return [own_lock_place(self._place.path)]

    def apply(self, plan: Plan, durable: bool) -> None:
        for change in plan.changes:
            if isinstance(change, Remove) and change.make():
                self.acted = True
                self.touched.add(change.directory)


class LeftoverCgroup(LeftoverItem):
    """Removes a cgroup by rmdir (safety.md D7)."""

    def __init__(self, candidate: Candidate, path: str) -> None:
        super().__init__(candidate, f"Cgroup {path}")
        self._path = path

    def changes(self, view: HostView) -> tuple[Change, ...]:
        return (RemoveCgroup(self._path),)

    def lock_places(self) -> list[LockPlace]:
        return [own_lock_place(os.path.dirname(self._path))]

    def apply(self, plan: Plan, durable: bool) -> None:
        for change in plan.changes:
            if isinstance(change, RemoveCgroup) and change.make():
                self.acted = True


class LeftoverProcess(LeftoverItem):
    """Ends a process, where that is allowed."""

    def __init__(self, candidate: Candidate, process: Process, allowed: bool) -> None:
        super().__init__(candidate, f"Process {process.pid} ({process.program})")
        self._process = process
        self._allowed = allowed

    def described(self) -> dict[str, Any]:
        return {"id": self.candidate.name, "pid": self._process.pid}

    def changes(self, view: HostView) -> tuple[Change, ...]:
        if not self._allowed:
            raise InUse("", "it is not to be ended unasked", "Set stop_processes=true to end it.")
        return (Stop(self._process.pid, self._process.start_ticks, describe(self._process)),)

    def lock_places(self) -> list[LockPlace]:
        return []

    def stop_owners(self, plan: Plan, new_view: Callable[[], HostView]) -> None:
        self.acted = stop(self._process, _KILL_SECONDS, _TERM_SECONDS) or self.acted

    def apply(self, plan: Plan, durable: bool) -> None:
        """It was ended before."""
