# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mapping of a container to its sandbox as an object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    ChangedMeanwhile,
    InUse,
    NotProved,
    StateError,
    Unreadable,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import check_new_name
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import (
    Directory,
    remove_empty,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import FileFacts
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.mappings import (
    NAMES,
    Mapping,
    read_mapping,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.mapping_changes import (
    LeaveSandbox,
    MakeMapping,
    MoveMapping,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.mapping_root import MappingRoot
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Item, Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import Hidden, RemoveTree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import Inode
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part


_DOUBT_REMEDY = (
    "Remove the sandbox first; run as root if you did not, or set sees_all_processes=true if you know that no process "
    "is hidden. Nothing was changed."
)


class MappingWish(NamedTuple):
    """What the user wants. sandbox_id: where it is to lead, empty with state=absent. remap: also from another one.

    doubts_count: whether it stays where its sandbox may live; not so where the caller has judged about that.
    """

    container_id: str
    sandbox_id: str = ""
    remap: bool = False
    doubts_count: bool = True

    @property
    def present(self) -> bool:
        return bool(self.sandbox_id)


class ContainerMapping(Item):
    """One container's mapping."""

    def __init__(self, wish: MappingWish, root: MappingRoot) -> None:
        super().__init__()
        self.wish = wish
        self.root = root
        self.mapping = Mapping(wish.container_id)
        self.label = f"Mapping of container '{wish.container_id}'"
        self._rests: list[Part] = []
        self._hidden: Hidden | None = None

    def described(self) -> dict[str, Any]:
        sandbox_id = self.wish.sandbox_id or self.mapping.sandbox_id
        named = {"sandbox_id": sandbox_id} if sandbox_id else {}
        paths = [self.root.directory.join(self.wish.container_id)]
        return {"container_id": self.wish.container_id, **named, "paths": paths}

    def read(self, view: HostView) -> None:
        self.mapping = self.root.read(self.wish.container_id)
        self._rests = self.root.rests_of(self.wish.container_id, view)

    def plan(self, view: HostView) -> Plan:
        if self.mapping.strange:
            where = f"{self.root.directory.join(self.wish.container_id)}/{self.mapping.strange[0]}"
            raise Unreadable(where, "it is no empty directory, as a mapping is", "Find out what it is, and remove it.")
        plan = self._plan_present(view) if self.wish.present else self._plan_absent(view)
        if not self._rests:
            return plan
        from ansible_collections.sandboxed.containers.plugins.module_utils._object import rests

        left = rests.ours_to_finish(self._rests, self.locks)
        _refuse_mounted(left, view)
        return rests.finished_first(plan, left, "updated" if self.wish.present else "deleted")

    def _plan_present(self, view: HostView) -> Plan:
        wish, found, root = self.wish, self.mapping, self.root
        if found.facts is None:
            check_new_name(wish.container_id, "container_id", NAMES)
            check_new_name(wish.sandbox_id, "sandbox_id", NAMES)
            return Plan("created", (MakeMapping(root.directory, wish.container_id, wish.sandbox_id),))
        if found.entries == (wish.sandbox_id,):
            return Plan()
        check_new_name(wish.sandbox_id, "sandbox_id", NAMES)
        if found.entries and not wish.remap:
            named = ", ".join(found.entries)
            why = (
                f"it leads to sandbox {named}" if len(found.entries) == 1 else f"it leads to several sandboxes: {named}"
            )
            raise AlreadyExists("", why, f"Set remap=true to lead it to {wish.sandbox_id}. Nothing was changed.")
        self._refuse_unless_dead([name for name in found.entries if name != wish.sandbox_id], view)
        self._refuse_mounted(found.facts, view)
        left = [LeaveSandbox(root.directory, wish.container_id, name) for name in found.entries]
        move = MoveMapping(root.directory, wish.container_id, found.facts.identity, found.entries, wish.sandbox_id)
        return Plan("updated", (*left, move))

    def _plan_absent(self, view: HostView) -> Plan:
        facts = self.mapping.facts
        if facts is None:
            return Plan()
        self._refuse_unless_dead(self.mapping.entries, view)
        self._refuse_mounted(facts, view)
        return Plan("deleted", (RemoveTree("mapping", self.root.directory, self.wish.container_id, facts.identity),))

    def _refuse_mounted(self, facts: FileFacts, view: HostView) -> None:
        from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part

        _refuse_mounted(
            [Part("mapping", self.wish.container_id, self.root.directory, self.wish.container_id, facts)], view
        )

    def _refuse_named(self, view: HostView) -> None:
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.evidence import named_by_processes

        named = named_by_processes((self.wish.container_id,), view)
        if named:
            raise NotProved("", f"it may still have an owner: {'; '.join(named)}", _DOUBT_REMEDY)

    def _refuse_unless_dead(self, sandboxes: Sequence[str], view: HostView, is_last: bool = False) -> None:
        """Without its mapping, the command line cannot find a container of a sandbox that lives.

        is_last: who judged it before has no part in what has come since, so doubts count in any case.
        """
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LEFTOVER, LIVE

        for name in sandboxes:
            verdict = self.root.verdict_of(name, view)
            which, why = f"sandbox '{name}', to which it leads,", "; ".join(verdict.reasons)
            if verdict.kind == LIVE:
                raise InUse("", f"{which} is in use: {why}", "Remove the sandbox first. Nothing was changed.")
            if verdict.kind != LEFTOVER and (self.wish.doubts_count or is_last):
                raise NotProved("", f"{which} may still have an owner: {why}", _DOUBT_REMEDY)

    # locks and changes

    def lock_places(self) -> list[LockPlace]:
        if self.wish.present:
            self.root.create()
        elif self.mapping.facts is None and not self._rests:
            return []
        return [self.root.own_lock(), *self._rest_locks()]

    def _rest_locks(self) -> list[LockPlace]:
        if not self._rests:
            return []
        from ansible_collections.sandboxed.containers.plugins.module_utils._object import rests

        return [lock for one in self._rests for lock in rests.lock_of(one, one.directory)]

    def common_lock(self) -> LockPlace | None:
        if self.wish.present:
            self.root.create()
        return self.root.own_lock()

    def stop_owners(self, plan: Plan, new_view: Callable[[], HostView]) -> None:
        """A mapping has no processes."""

    def guarded(self, plan: Plan) -> set[Inode]:
        return set()

    def guarded_trees(self, plan: Plan) -> set[str]:
        return {change.path for change in plan.changes if isinstance(change, RemoveTree)}

    def begin(self, plan: Plan) -> bool:
        """Hide it: up to here it can be put back."""
        for change in plan.changes:
            if isinstance(change, RemoveTree) and change.role != "tombstone":
                hidden = change.hide(self.root.above, self.wish.container_id)
                if hidden is not None:
                    self._hidden = hidden
                    self._refuse_changed(hidden)
        return self._hidden is not None

    def confirm(self, view: HostView) -> None:
        """Its sandbox may have come to life between the last look and the rename (safety.md C2)."""
        try:
            self._refuse_unless_dead(self.mapping.entries, view, is_last=True)
            self._refuse_named(view)
        except StateError:
            if self._hidden is not None:
                self._hidden.bring_back()
            raise

    def apply(self, plan: Plan, durable: bool) -> None:
        for change in plan.changes:
            if isinstance(change, RemoveTree):
                self._remove(change)
            elif isinstance(change, MakeMapping):
                change.make(self.root.above, durable)
                self._did(change.directory)
                self._did(self.root.above)
            elif isinstance(change, MoveMapping):
                change.make()
                self._did(change.directory.child(change.name))

    def _remove(self, change: RemoveTree) -> None:
        if change.role == "tombstone":
            if change.remove():
                self._did(change.directory)
            return
        if self._hidden is not None:
            self._did(change.directory)
            self._did(self.root.above)
            self._hidden.remove()

    def _refuse_changed(self, hidden: Hidden) -> None:
        """What was put into it after it was read is somebody's: then it gets its name back, and all stays."""
        now = read_mapping(hidden.directory, hidden.tombstone)
        if now.strange or now.entries != self.mapping.entries:
            hidden.bring_back()
            raise ChangedMeanwhile(hidden.change.path, "something was put into it meanwhile", "Run again.")

    def _did(self, directory: Directory) -> None:
        self.acted = True
        self.touched.add(directory)

    def tidy(self) -> None:
        """Nothing is made by locking."""

    def finish(self) -> None:
        if not self.acted:
            remove_empty(self.root.directory.made)


def _refuse_mounted(parts: list[Part], view: HostView) -> None:
    """rmdir detaches what is mounted in another namespace (safety.md D3); what is mounted here is somebody's data."""
    if not parts:
        return
    from ansible_collections.sandboxed.containers.plugins.module_utils._object import removal

    if removal.may_be_mounted(parts, view):
        removal.mounts_in_the_way(parts, view.mounts, False, view.asserted)
