# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a sandbox that is a directory, in one or two trees: Kata's (safety.md D1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part, Reading
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.trees import BESIDE
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox import Wish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_item import TreeItem
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import Inode
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_removal import TreeRemoval


class TreeSandbox(TreeItem):
    """A directory for the sandbox, and one in it for each container; with what else belongs to them on the host."""

    def __init__(self, wish: Wish, tree: Tree) -> None:
        super().__init__(wish, tree)
        self._tombstones: set[str] | None = None  # those that were there at the first plan
        self._removal: TreeRemoval | None = None
        self._plain: Reading | None = None  # a reading without tombstones, and the parts in it
        self._plain_parts: list[Part] = []

    def read(self, view: HostView) -> None:
        known = self.reading if self.reading.watched else None
        self.reading = self.tree.read(view, self.wish.sandbox_id, known, whole=self.wish.present)

    @property
    def parts(self) -> list[Part]:
        """All of a sandbox; of a container its directories alone, since it shares the rest with the others.

        Tombstones that come after the first plan are of another run that is at work, and finishes them.
        """
        if self._plain is self.reading:
            return self._plain_parts
        tombstones = [part for part in self.reading.parts if part.role == "tombstone"]
        if self._tombstones is None:
            self._tombstones = {part.name for part in tombstones}
        left = self._left(tombstones) if tombstones else []
        beside = [part for part in self.reading.parts if part.role in BESIDE and not self.wish.container_id]
        found = [*left, *beside, *self.own_trees()]
        if not tombstones:  # which of those are ours to finish changes with the locks; all else with the reading
            self._plain, self._plain_parts = self.reading, found
        return found

    def usual_paths(self) -> list[str]:
        return [self.own_directory(tree.role).path for tree in self.layout.trees]

    def described(self) -> dict[str, Any]:
        if self.raw_items is None:
            return super().described()
        directory = self.own_directory(self.layout.state_tree.role).child(self.layout.raw_directory)
        return {**super().described(), "raw_items": self.raw_items.urls(directory)}

    def _left(self, tombstones: list[Part]) -> list[Part]:
        from ansible_collections.sandboxed.containers.plugins.module_utils._object import rests

        known = self._tombstones or ()
        return rests.ours_to_finish([part for part in tombstones if part.name in known], self.locks)

    # present

    def plan_present(self, view: HostView) -> Plan:
        """What a killed run left of the same object is finished with it, where nothing is in the way of that."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_creation import TreeCreation

        plan = TreeCreation(self).plan(view)
        left = [part for part in self.parts if part.role == "tombstone"]
        if not left:
            return plan
        from ansible_collections.sandboxed.containers.plugins.module_utils._object import rests

        return rests.finished_first(plan, rests.unmounted(left, view), "updated")

    # absent

    @property
    def removal(self) -> TreeRemoval:
        """What locks it and takes it away: imported where something of it is there."""
        if self._removal is None:
            from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_removal import TreeRemoval

            self._removal = TreeRemoval(self)
        return self._removal

    def plan_absent(self, view: HostView) -> Plan:
        parts = self.parts
        return self.removal.plan(parts, view) if parts else Plan()

    # locks

    def lock_places(self) -> list[LockPlace]:
        if self.wish.present:
            self.tree.create()
        return self.removal.lock_places()

    def common_lock(self) -> LockPlace | None:
        """Our own lock, where the runtime has none or the object does not exist yet."""
        if self.layout.lock_file and not self.wish.present:
            return None
        if self.wish.present:
            self.tree.create()
        return self.tree.own_lock()

    def guarded(self, plan: Plan) -> set[Inode]:
        own = self.tree.own_lock_path
        return set() if self.wish.present else {lock.inode for lock in self.locks if lock.place.path != own}

    def guarded_trees(self, plan: Plan) -> set[str]:
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import RemoveTree

        return {change.path for change in plan.changes if isinstance(change, RemoveTree)}

    # changes

    def begin(self, plan: Plan) -> bool:
        return self.removal.begin(plan)

    def apply(self, plan: Plan, durable: bool) -> None:
        for one in self.hidden:
            one.remove()
        if self.wish.present:
            from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_creation import (
                TreeCreation,
            )

            TreeCreation(self).make(plan, durable)

    def tidy(self) -> None:
        """Nothing is made by locking: the runtime's locks are never made, and ours stays (safety.md C2)."""

    def finish(self) -> None:
        if not self.acted:
            self.tree.remove_empty_roots()
