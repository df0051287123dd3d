# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a sandbox that is a directory, in one or two trees: Kata's (safety.md D1)."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any, cast

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import look
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    InUse,
    Mounted,
    NotProved,
    StateError,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.trees import (
    BESIDE,
    TREES,
    TreeLayout,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox import SandboxState, Wish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import Inode
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Unmount
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.raw_items import RawItems
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import RemoveTree

# Mounts and what a machine leaves first; the trees that tell of them last (kata-store.md K12).
_REMOVAL = ("tombstone", *BESIDE, *TREES)


class TreeSandbox(SandboxState):
    """A directory for the sandbox, and one in it for each container; with what else belongs to them on the host."""

    def __init__(self, wish: Wish, tree: Tree) -> None:
        super().__init__(wish, tree)
        self.layout = cast(TreeLayout, tree.layout)
        self.raw_items: RawItems | None = None
        if wish.raw_items:
            from ansible_collections.sandboxed.containers.plugins.module_utils._object.raw_items import RawItems

            self.raw_items = RawItems(wish.raw_items, f"{wish.sandbox_id}/{wish.container_id}")
        self._tombstones: set[str] | None = None  # those that were there at the first plan
        self._needed = ""  # the lock without which nothing may be done

    def read(self, view: HostView) -> None:
        known = self.reading if self.reading.watched else None
        self.reading = self.tree.read(view, self.wish.sandbox_id, known, whole=self.wish.present)

    @property
    def parts(self) -> list[Part]:
        """All of a sandbox; of a container its directories alone, since it shares the rest with the others.

        Tombstones that come after the first plan are of another run that is at work, and finishes them.
        """
        tombstones = [part for part in self.reading.parts if part.role == "tombstone"]
        if self._tombstones is None:
            self._tombstones = {part.name for part in tombstones}
        left = self._left(tombstones) if tombstones else []
        beside = [part for part in self.reading.parts if part.role in BESIDE and not self.wish.container_id]
        return [*left, *beside, *self.own_trees()]

    def own_trees(self) -> list[Part]:
        """The directories of the sandbox, or of the container in it, that the layout is about."""
        return self.layout.trees_of(self.reading, self.wish.container_id)

    def own_directory(self, role: str) -> Directory:
        """Where the object is in one of the trees, or would be."""
        directory = self.tree.root_of(role).child(self.wish.sandbox_id)
        return directory.child(self.wish.container_id) if self.wish.container_id else directory

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

    def plan_absent(self, view: HostView) -> Plan:
        parts = sorted(self.parts, key=lambda part: _REMOVAL.index(part.role))
        if not parts:
            return Plan()
        from ansible_collections.sandboxed.containers.plugins.module_utils._object import removal

        stops = []
        if any(part.role != "tombstone" for part in parts):  # a tombstone has no owner (safety.md D2)
            stops = self.refuse_unless_dead(view, creating=False)
            self._refuse_unproved_belongings(parts, stopped=bool(stops))
            if stops and self._shares_its_cut_name():
                why = "another sandbox's name begins like its own, so it cannot be told whose Firecracker runs"
                raise InUse(f"{self.label} is in use", why, "Stop it by hand.")
        parts = [part for part in parts if part.role != "firecracker" or not self._shares_its_cut_name()]
        mounts: list[Unmount] = []
        if removal.may_be_mounted(parts, view):
            mounts = removal.mounts_in_the_way(parts, view.mounts, self.wish.unmount, view.asserted)
            self._refuse_covered(view)
        removes = removal.removals_of(parts, mounts, view)
        return Plan("deleted", (*stops, *mounts, *removes))

    def _refuse_covered(self, view: HostView) -> None:
        """What is mounted on the very directory hides all by which the sandbox could be judged."""
        for part in self.own_trees():
            covering = [mount for mount in view.mounts.own.at_or_below(part.path) if mount.point == part.path]
            if covering:
                shown = view.mounts.own.describe(covering[-1])
                raise Mounted("", f"its own directory cannot be seen below a mount ({shown})", "Unmount that by hand.")

    def _refuse_unproved_belongings(self, parts: list[Part], stopped: bool) -> None:
        """What is shared with a machine goes only after a proved death: here even force is not enough."""
        beside = [part for part in parts if part.role in BESIDE]
        if not beside or stopped or self.owners is None:
            return
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LEFTOVER, judge

        verdict = judge(self.owners.evidence)
        if verdict.kind != LEFTOVER:
            raise NotProved(
                "",
                f"{beside[0].path} belongs to it, and it is not proved that nobody uses that: "
                f"{'; '.join(verdict.reasons)}",
                "force does not override this. Nothing was removed.",
            )

    def _shares_its_cut_name(self) -> bool:
        """Firecracker knows the first 32 characters of a name, which another sandbox may have too (A8)."""
        cut = self.layout.cut_name(self.wish.sandbox_id)
        others = self.layout.sandboxes_of(self.tree.roots).keys() - {self.wish.sandbox_id} if cut else ()
        return any(self.layout.cut_name(name) == cut for name in others)

    # locks

    def lock_places(self) -> list[LockPlace]:
        """The runtime's own lock where it is there, ours where not; and each tombstone, which its maker may hold."""
        if self.wish.present:
            self.tree.create()
        state = next((part for part in self.reading.parts if part.role == "state"), None)
        has_lock = state is not None and stat.S_ISDIR(state.facts.mode)  # through a link it would be somebody else's
        place = self.layout.lock_place(self.tree.roots, self.wish.sandbox_id) if has_lock else None
        if place is not None and self._is_lock(place):
            places = [place]
        elif self.wish.present or self.parts:
            places = [self.tree.own_lock()]
        else:
            places = []
        self._needed = places[0].path if places else ""
        return places + self._rest_locks()

    def _rest_locks(self) -> list[LockPlace]:
        left = [part for part in self.parts if part.role == "tombstone"]
        if not left:
            return []
        from ansible_collections.sandboxed.containers.plugins.module_utils._object import rests

        return [lock for part in left for lock in rests.lock_of(part, self.tree.above_at(part.directory))]

    def common_lock(self) -> LockPlace | None:
        """Our own lock, where the runtime has none or the object does not exist yet."""
        if self.layout.lock_file and not self.wish.present:
            return None
        if self.wish.present:
            self.tree.create()
        return self.tree.own_lock()

    def _is_lock(self, place: LockPlace) -> bool:
        """A lock is never made by probing (R1), and what is something else in its place is none."""
        facts = look(place.directory, place.name)
        return facts is not None and (stat.S_ISDIR if place.is_directory else stat.S_ISREG)(facts.mode)

    def guarded(self, plan: Plan) -> set[Inode]:
        own = self.tree.own_lock_path
        return set() if self.wish.present else {lock.inode for lock in self.locks if lock.place.path != own}

    def guarded_trees(self, plan: Plan) -> set[str]:
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import RemoveTree

        return {change.path for change in plan.changes if isinstance(change, RemoveTree)}

    # changes

    def begin(self, plan: Plan) -> bool:
        """Unmount and remove what lies around the trees, then hide these; whether owners are to be looked for again."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import RemoveTree

        self._refuse_unlocked(plan)
        self.unmount_first(plan)
        for change in plan.changes:
            around = isinstance(change, RemoveTree) and change.role not in TREES
            if isinstance(change, RemoveTree) and around and change.remove():
                self.did(change.directory)
        try:
            for change in plan.changes:
                if isinstance(change, RemoveTree) and change.role in TREES:
                    self._hide(change)
        except StateError:
            self.bring_back()
            raise
        self.acted_before = self.acted
        for one in self.hidden:
            self.did(one.change.directory)
            self.did(one.directory)
        return bool(self.hidden)

    def _refuse_unlocked(self, plan: Plan) -> None:
        """A lock that went away while this run came for it: then what is left is somebody else's to finish."""
        if self._needed and self._needed not in {lock.place.path for lock in self.locks}:
            raise ChangedMeanwhile("", "its lock went away while this task came for it", "Nothing was done; run again.")

    def _hide(self, change: RemoveTree) -> None:
        above = self.tree.above(self.tree.root_of(change.role))
        done = change.hide(above, self.wish.sandbox_id)
        if done is not None:
            self.hidden.append(done)

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
