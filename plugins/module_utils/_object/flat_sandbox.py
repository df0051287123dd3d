# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a sandbox whose files lie side by side with those of others: gVisor's (safety.md D1)."""

from __future__ import annotations

from typing import cast

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import (
    remove_file,
    write_in_place,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import Inode, lock_waiters
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    ChangedMeanwhile,
    InUse,
    StateError,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import HeldLock, LockPlace
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import look
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import DocumentRule, Part
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.flat import FlatLayout
from ansible_collections.sandboxed.containers.plugins.module_utils._object import removal
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import (
    AddLock,
    Change,
    Remove,
    Unmount,
    Write,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox import SandboxState, Wish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


class RemoveMade(Remove):
    """The same of a lock file that is not there, and is made to be held: it comes and goes within the task, so that no
    diff shows it. It equals the removal of one that is there: somebody else may make it meanwhile."""

    __slots__ = ()

    @property
    def sign(self) -> str:
        return " "


class FlatSandbox(SandboxState):
    """Files side by side, each container with a lock of its own. The sandbox's own container has its name."""

    def __init__(self, wish: Wish, tree: Tree) -> None:
        super().__init__(wish, tree)
        self.layout = cast(FlatLayout, tree.layout)
        self._lock_names: dict[str, str] = {}  # file name of a lock to the container that it is for

    @property
    def container_id(self) -> str:
        """The container whose documents are meant; a sandbox's own one has its name."""
        return self.wish.container_id or self.wish.sandbox_id

    @property
    def parts(self) -> list[Part]:
        """What is on disk of the object that the wish is about, without the locks that this run has just made."""
        only = self.wish.container_id
        made = {lock.place.name for lock in self.locks if lock.made}
        return [
            part
            for part in self.reading.parts
            if (not only or part.container_id == only) and not (part.role == "lock" and part.name in made)
        ]

    def read(self, view: HostView) -> None:
        self.reading = self.tree.read(view, self.wish.sandbox_id)

    def usual_paths(self) -> list[str]:
        directory, state = self._state_place(self.container_id)
        return [directory.join(state)]

    # present

    def plan_present(self, view: HostView) -> Plan:
        self.layout.check_place(self.tree.roots, self.wish.sandbox_id, self.container_id)
        exists = any(part.role == self.layout.commit_role for part in self._own_parts())
        if exists and self.wish.fail_if_exists:
            raise AlreadyExists("", "it exists already", "Nothing was changed. Remove it, or leave fail_if_exists out.")
        if not exists:
            self.check_creation()
        writes = [write for rule in self.layout.documents if (write := self._write(rule)) is not None]
        changes: list[Change] = [*writes, *self._missing_lock()]
        if writes:
            self.refuse_unless_dead(view, creating=not exists)
        if not changes:
            return Plan(note=self.damage(self.container_id))
        return Plan("updated" if exists else "created", tuple(changes))

    def _own_parts(self) -> list[Part]:
        return [part for part in self.reading.parts if part.container_id == self.container_id]

    def _write(self, rule: DocumentRule) -> Write | None:
        if rule.name not in self.wish.documents:
            return None
        old = self.reading.document(rule.name, self.container_id)
        directory, name = self.layout.place(self.tree.roots, rule.name, self.wish.sandbox_id, self.container_id)
        return self.write_of(rule, old, directory, name, self.container_id)

    def _missing_lock(self) -> list[Change]:
        """The lock file that a whole sandbox has: holding it is what makes it."""
        place = self._lock_place(self.container_id, create=True)
        there = any(part.role == "lock" and part.container_id == self.container_id for part in self.parts)
        return [] if there else [AddLock(place.directory, place.name)]

    # absent

    def plan_absent(self, view: HostView) -> Plan:
        if not self.parts:
            return Plan()
        stops = self.refuse_unless_dead(view, creating=False)
        parts = self._belongings_of_owners() + self.parts
        mounts: list[Unmount] = []
        if removal.may_be_mounted(parts, view):
            mounts = removal.mounts_in_the_way(parts, view.mounts, self.wish.unmount, view.asserted)
        mounted = {mount.path for mount in mounts}  # what lies under a mount on the very path is seen after it only
        removes = [
            Remove(
                part.role,
                part.directory,
                part.name,
                None if part.path in mounted else part.facts.identity,
                part.container_id,
            )
            for part in parts
            if part.role != "lock"
        ]
        # A missing lock is made to be held, so it is removed with the others: that leaves nothing (README.md R9).
        there = {part.name for part in parts if part.role == "lock"}
        locks = [
            (Remove if place.name in there else RemoveMade)("lock", place.directory, place.name, None)
            for place in self.lock_places()
        ]
        return Plan("deleted", (*stops, *mounts, *removes, *locks), note=self.layout.hint(self.reading))

    def _belongings_of_owners(self) -> list[Part]:
        """What only the processes that are to be stopped lead to; nothing when one container alone is meant."""
        if self.owners is None or self.wish.container_id:
            return []
        return self.layout.belongings(self.tree.roots, list(self.owners.proved), self.reading)

    # locks and changes

    def _lock_place(self, container_id: str, create: bool) -> LockPlace:
        place = self.layout.lock_place(self.tree.roots, self.wish.sandbox_id, container_id, create)
        self._lock_names[place.name] = container_id
        return place

    def _state_place(self, container_id: str) -> tuple[Directory, str]:
        return self.layout.place(self.tree.roots, self.layout.commit_role, self.wish.sandbox_id, container_id)

    def lock_places(self) -> list[LockPlace]:
        if self.wish.present:
            self.tree.create()
            return [self._lock_place(self.container_id, create=True)]
        states = {part.container_id for part in self.parts if part.role == self.layout.commit_role}
        locks = {part.container_id for part in self.parts if part.role == "lock"}
        # The sandbox's own lock first: it is the one that may have to be waited for. One is made only where a state has
        # none: made by many at once, locks would come and go for ever.
        whole = states | locks or ({self.container_id} if self.parts else set())
        ordered = sorted(whole, key=lambda name: (name != self.wish.sandbox_id, name))
        return [self._lock_place(container_id, create=container_id not in locks) for container_id in ordered]

    def guarded(self, plan: Plan) -> set[Inode]:
        if self.wish.present:
            return set()
        removed = {change.identity for change in plan.changes if isinstance(change, Remove) and change.identity}
        return removed | {lock.inode for lock in self.locks}

    def apply(self, plan: Plan, durable: bool) -> None:
        self._refuse_unlocked(plan)
        self.unmount_first(plan)
        for change in plan.changes:
            if isinstance(change, Remove):
                self._remove(change)
            elif isinstance(change, Write):
                change.make(durable)
                self.did(change.directory)
            elif isinstance(change, AddLock):  # holding it made it
                self.did(change.directory)

    def _refuse_unlocked(self, plan: Plan) -> None:
        """A lock that went away while this run came for it: then what is left is somebody else's to finish."""
        held = {self._lock_names[lock.place.name] for lock in self.locks}
        commits = [change for change in plan.changes if change.role == self.layout.commit_role]
        if any(isinstance(change, Remove) and change.container_id not in held for change in commits):
            raise ChangedMeanwhile("", "its lock went away while this task came for it", "Nothing was done; run again.")

    def _remove(self, change: Remove) -> None:
        if change.role == self.layout.commit_role:
            self._write_into_lock(change.container_id)
        held = next((lock for lock in self.locks if lock.place.name == change.name), None)
        if change.role == "lock":
            self._refuse_lost_lock(change, held)
        if change.make():
            self.did(change.directory)
        if held is not None:
            held.release()  # it guards nothing any more, and the kernel's list of locks is read for each item

    def _write_into_lock(self, container_id: str) -> None:
        """What a crash right after the commit would lose."""
        text = self.layout.lock_text(self.wish.sandbox_id, container_id)
        if text:
            place = self.layout.lock_place(self.tree.roots, self.wish.sandbox_id, container_id, create=False)
            write_in_place(place.directory, place.name, text)
            self.acted = True

    def _refuse_lost_lock(self, change: Remove, held: HeldLock | None) -> None:
        """Only a lock that is held, is in its place, and is waited for by nobody goes away (safety.md C3, G2)."""
        there = look(change.directory, change.name)
        if there is not None and (held is None or there.identity != held.inode):
            raise ChangedMeanwhile(change.path, "it is not the lock that this task holds", "Run again.")
        if held is not None and lock_waiters(held.inode):
            raise InUse("", f"a runtime waits for {change.path}", "Try again when it is done.")

    def tidy(self) -> None:
        """A lock that this run made for nothing is a stray one (G3), or was missing before: unlink it, still held."""
        for lock in self.locks:
            if lock.made:
                self._remove_stray(lock)

    def finish(self) -> None:
        if not self.acted:
            self.tree.remove_empty_roots()

    def _remove_stray(self, lock: HeldLock) -> None:
        container_id = self._lock_names[lock.place.name]
        directory, name = self._state_place(container_id)
        try:
            there = look(directory, lock.place.name)
            for_nothing = not self.acted or look(directory, name) is None
            ours = there is not None and there.identity == lock.inode
            if ours and for_nothing and not removal.lasting_users({lock.inode}):
                remove_file(directory, lock.place.name)
        except StateError:
            return  # what cannot be read is kept: an empty lock file harms nobody
