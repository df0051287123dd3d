# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a sandbox that is a directory is locked and removed (safety.md D1). Imported where something of it is there."""

from __future__ import annotations

import stat

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    InUse,
    NotProved,
    StateError,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import look
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.trees import BESIDE, TREES
from ansible_collections.sandboxed.containers.plugins.module_utils._object import removal
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Unmount
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import RemoveTree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_item import TreeItem
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LEFTOVER, judge
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

# Mounts and what a machine leaves first; the trees that tell of them last (kata-store.md K12).
_REMOVAL = ("tombstone", *BESIDE, *TREES)


class TreeRemoval:
    """The part of a TreeSandbox that locks it and takes it away."""

    def __init__(self, item: TreeItem) -> None:
        self.item = item
        self._needed = ""  # the lock without which nothing may be done

    def plan(self, parts: list[Part], view: HostView) -> Plan:
        """What removes these parts."""
        parts = sorted(parts, key=lambda part: _REMOVAL.index(part.role))
        stops = []
        if any(part.role != "tombstone" for part in parts):  # a tombstone has no owner (safety.md D2)
            stops = self.item.refuse_unless_dead(view, creating=False)
            self._refuse_unproved_belongings(parts, stopped=bool(stops))
            if stops and self._shares_its_cut_name():
                why = "another sandbox's name begins like its own, so it cannot be told whose Firecracker runs"
                raise InUse(f"{self.item.label} is in use", why, "Stop it by hand.")
        parts = [part for part in parts if part.role != "firecracker" or not self._shares_its_cut_name()]
        mounts: list[Unmount] = []
        if removal.may_be_mounted(parts, view):
            mounts = removal.mounts_in_the_way(parts, view.mounts, self.item.wish.unmount, view.asserted)
            removal.refuse_covered(self.item.own_trees(), view)
        removes = removal.removals_of(parts, mounts, view)
        return Plan("deleted", (*stops, *mounts, *removes))

    def _refuse_unproved_belongings(self, parts: list[Part], stopped: bool) -> None:
        """What is shared with a machine goes only after a proved death: here even force is not enough."""
        beside = [part for part in parts if part.role in BESIDE]
        if not beside or stopped or self.item.owners is None:
            return
        verdict = judge(self.item.owners.evidence)
        if verdict.kind != LEFTOVER:
            raise NotProved(
                "",
                f"{beside[0].path} belongs to it, and it is not proved that nobody uses that: "
                f"{'; '.join(verdict.reasons)}",
                "force does not override this. Nothing was removed.",
            )

    def _shares_its_cut_name(self) -> bool:
        """Firecracker knows the first 32 characters of a name, which another sandbox may have too (A8)."""
        cut = self.item.layout.cut_name(self.item.wish.sandbox_id)
        others = self.item.layout.sandboxes_of(self.item.tree.roots).keys() - {self.item.wish.sandbox_id} if cut else ()
        return any(self.item.layout.cut_name(name) == cut for name in others)

    # locks

    def lock_places(self) -> list[LockPlace]:
        """The runtime's own lock where it is there, ours where not; and each tombstone, which its maker may hold."""
        state = next((part for part in self.item.reading.parts if part.role == "state"), None)
        has_lock = state is not None and stat.S_ISDIR(state.facts.mode)  # through a link it would be somebody else's
        place = self.item.layout.lock_place(self.item.tree.roots, self.item.wish.sandbox_id) if has_lock else None
        if place is not None and self._is_lock(place):
            places = [place]
        elif self.item.wish.present or self.item.parts:
            places = [self.item.tree.own_lock()]
        else:
            places = []
        self._needed = places[0].path if places else ""
        return places + self._rest_locks()

    def _rest_locks(self) -> list[LockPlace]:
        left = [part for part in self.item.parts if part.role == "tombstone"]
        if not left:
            return []
        from ansible_collections.sandboxed.containers.plugins.module_utils._object import rests

        return [lock for part in left for lock in rests.lock_of(part, self.item.tree.above_at(part.directory))]

    def _is_lock(self, place: LockPlace) -> bool:
        """A lock is never made by probing (R1), and what is something else in its place is none."""
        facts = look(place.directory, place.name)
        return facts is not None and (stat.S_ISDIR if place.is_directory else stat.S_ISREG)(facts.mode)

    # changes

    def begin(self, plan: Plan) -> bool:
        """Unmount and remove what lies around the trees, then hide these; whether owners are to be looked for again."""
        self._refuse_unlocked(plan)
        self.item.unmount_first(plan)
        for change in plan.changes:
            around = isinstance(change, RemoveTree) and change.role not in TREES
            if isinstance(change, RemoveTree) and around and change.remove():
                self.item.did(change.directory)
        try:
            for change in plan.changes:
                if isinstance(change, RemoveTree) and change.role in TREES:
                    self._hide(change)
        except StateError:
            self.item.bring_back()
            raise
        self.item.acted_before = self.item.acted
        for one in self.item.hidden:
            self.item.did(one.change.directory)
            self.item.did(one.directory)
        return bool(self.item.hidden)

    def _refuse_unlocked(self, plan: Plan) -> None:
        """A lock that went away while this run came for it: then what is left is somebody else's to finish."""
        if self._needed and self._needed not in {lock.place.path for lock in self.item.locks}:
            raise ChangedMeanwhile("", "its lock went away while this task came for it", "Nothing was done; run again.")

    def _hide(self, change: RemoveTree) -> None:
        above = self.item.tree.above_of(change.role)
        done = change.hide(above, self.item.wish.sandbox_id)
        if done is not None:
            self.item.hidden.append(done)
