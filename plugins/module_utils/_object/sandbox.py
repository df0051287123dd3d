# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox state as an object: how it is compared with a wish, planned, locked and changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import look, remove_file
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import Inode, lock_waiters
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    ChangedMeanwhile,
    InUse,
    InvalidInput,
    NotProved,
    StateError,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import check_new_name
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import HeldLock, LockPlace
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.unmounting import unmount_all
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import go_json
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part, Reading
from ansible_collections.sandboxed.containers.plugins.module_utils._object import removal
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import (
    AddLock,
    Change,
    Remove,
    Stop,
    Unmount,
    Write,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_owners import Owners, owners_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Item, Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import (
    LEFTOVER,
    LIVE,
    Verdict,
    judge,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_STOP_FIRST = "Stop the container first. Nothing was changed."
_STOP_FIRST_OR_HERE = "Stop the container first, or set stop_processes=true to stop it here."


class Wish(NamedTuple):
    """What the user wants of one sandbox, or of one container in it (container_id not empty)."""

    sandbox_id: str
    container_id: str = ""
    present: bool = True
    documents: Mapping[str, Any] = MappingProxyType({})
    fail_if_exists: bool = False
    unmount: bool = False
    force: bool = False
    stop_processes: bool = False


class SandboxState(Item):
    """One sandbox, or one container of it, in one layout."""

    def __init__(self, wish: Wish, tree: Tree) -> None:
        super().__init__()
        self.wish = wish
        self.tree = tree
        self.reading = Reading(wish.sandbox_id)
        self.owners: Owners | None = None
        self._paths: list[str] = []
        self._lock_names: dict[str, str] = {}  # file name of a lock to the container that it is for
        inside = f"Container '{wish.container_id}' of sandbox" if wish.container_id else "Sandbox"
        self.label = f"{inside} '{wish.sandbox_id}' ({tree.layout.name})"

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

    def plan(self, view: HostView) -> Plan:
        plan = self._plan_present(view) if self.wish.present else self._plan_absent(view)
        if not self._paths:  # the first plan tells, so that check mode and the run say the same
            planned = [change.path for change in plan.changes if not isinstance(change, (Stop, Unmount))]
            self._paths = list(dict.fromkeys([*(part.path for part in self.parts), *planned]))
        return plan

    def described(self) -> dict[str, Any]:
        """What identifies it in the list of outcomes. paths: what it had, and what it was to have."""
        directory, state = self._state_place(self.container_id)
        paths = self._paths or [part.path for part in self.parts] or [directory.join(state)]
        inside = {"container_id": self.wish.container_id} if self.wish.container_id else {}
        return {"sandbox_id": self.wish.sandbox_id, **inside, "layout": self.tree.layout.name, "paths": paths}

    # present

    def _plan_present(self, view: HostView) -> Plan:
        self.tree.layout.check_place(self.tree.roots, self.wish.sandbox_id, self.container_id)
        exists = any(part.role == self.tree.layout.commit_role for part in self._own_parts())
        if exists and self.wish.fail_if_exists:
            raise AlreadyExists("", "it exists already", "Nothing was changed. Remove it, or leave fail_if_exists out.")
        if not exists:
            self._check_creation()
        writes = [write for rule in self.tree.layout.documents if (write := self._write(rule.name)) is not None]
        changes: list[Change] = [*writes, *self._missing_lock()]
        if writes:
            self._refuse_unless_dead(view, creating=not exists)
        if not changes:
            return Plan(note=self._damage())
        return Plan("updated" if exists else "created", tuple(changes))

    def _damage(self) -> str:
        """What is wrong with documents that the user did not give, and that are therefore left as they are."""
        own = [document for document in self.reading.documents if document.container_id == self.container_id]
        return " ".join(
            f"{document.path}: {document.problem}. Give documents.{document.name} to write it again."
            for document in own
            if document.problem
        )

    def _own_parts(self) -> list[Part]:
        return [part for part in self.reading.parts if part.container_id == self.container_id]

    def _check_creation(self) -> None:
        names = self.tree.layout.names
        check_new_name(self.wish.sandbox_id, "sandbox_id", names)
        check_new_name(self.container_id, "container_id", names)
        wanted = [rule.name for rule in self.tree.layout.documents]
        missing = [name for name in wanted if name not in self.wish.documents]
        if missing:
            raise InvalidInput(
                "", "it does not exist, and there is nothing to make it from", f"Give documents.{missing[0]}."
            )

    def _write(self, name: str) -> Write | None:
        """The change that brings one document to what is wished; None where it already means the same."""
        if name not in self.wish.documents:
            return None
        wanted = self.wish.documents[name]
        self.tree.layout.check_document(name, wanted, self.wish.sandbox_id, self.container_id)
        rule = next(rule for rule in self.tree.layout.documents if rule.name == name)
        old = self.reading.document(name, self.container_id)
        if old is not None and not old.problem and go_json.same(old.content, wanted):
            return None
        directory, file_name = self.tree.layout.place(self.tree.roots, name, self.wish.sandbox_id, self.container_id)
        data = go_json.encode(wanted, f"documents.{name}") + (b"\n" if rule.newline else b"")
        return Write(name, directory, file_name, data, rule.mode, old is not None, old.content if old else None, wanted)

    def _missing_lock(self) -> list[Change]:
        """The lock file that a whole sandbox has: holding it is what makes it."""
        place = self._lock_place(self.container_id, create=True)
        there = any(part.role == "lock" and part.container_id == self.container_id for part in self.parts)
        return [] if there else [AddLock(place.directory, place.name)]

    # absent

    def _plan_absent(self, view: HostView) -> Plan:
        if not self.parts:
            return Plan()
        stops = self._refuse_unless_dead(view, creating=False)
        parts = self._belongings_of_owners() + self.parts
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
        locks = [Remove("lock", place.directory, place.name, None) for place in self.lock_places()]
        return Plan("deleted", (*stops, *mounts, *removes, *locks), note=self.tree.layout.hint(self.reading))

    def _belongings_of_owners(self) -> list[Part]:
        """What only the processes that are to be stopped lead to; nothing when one container alone is meant."""
        if self.owners is None or self.wish.container_id:
            return []
        return self.tree.layout.belongings(self.tree.roots, list(self.owners.proved), self.reading)

    # both

    def _refuse_unless_dead(self, view: HostView, creating: bool) -> list[Stop]:
        """Raise unless the verdict allows a change; the owners that must be stopped first.

        Something new needs less than a change: where nothing is on disk, only signs of an owner stand in the way.
        """
        self.owners = owners_of(self.tree.layout, self.tree.roots, self.reading, view)
        evidence = self.owners.evidence
        if creating:
            evidence = evidence._replace(blind="")
        verdict = judge(evidence)
        if verdict.kind == LIVE:
            if self.wish.present:
                raise InUse(f"{self.label} is in use", "; ".join(verdict.reasons), _STOP_FIRST)
            if not self.wish.stop_processes:
                engines = [claim.remedy for claim in self.owners.proved if claim.stop_order is None]
                remedy = engines[0] if engines else _STOP_FIRST_OR_HERE
                raise InUse(f"{self.label} is in use", "; ".join(verdict.reasons), remedy)
            self._refuse_to_stop(verdict)
            self._refuse_doubts(judge(evidence._replace(owners=(), suspects=self.owners.others)))
            return removal.stops_for(self.label, self.owners.proved, self.parts)
        self._refuse_doubts(verdict)
        return []

    def _refuse_to_stop(self, verdict: Verdict) -> None:
        """Owners that cannot be ended for this object alone."""
        others = sorted({part.container_id for part in self.reading.parts} - {self.container_id})
        if self.wish.container_id and others:
            shared = f"It shares these processes with {', '.join(others)}: remove the sandbox, or use the runtime."
            raise InUse(f"{self.label} is in use", "; ".join(verdict.reasons), shared)
        if self.owners is None or not self.owners.proved:
            raise InUse(f"{self.label} is in use", "; ".join(verdict.reasons), "End who listens there first.")

    def _refuse_doubts(self, verdict: Verdict) -> None:
        if verdict.kind != LEFTOVER and not self.wish.force:
            raise NotProved(
                "",
                f"it may still have an owner: {'; '.join(verdict.reasons)}",
                "Run as root if you did not; set force=true only if you know that it is dead. Nothing was removed.",
            )

    def _lock_place(self, container_id: str, create: bool) -> LockPlace:
        place = self.tree.layout.lock_place(self.tree.roots, self.wish.sandbox_id, container_id, create)
        self._lock_names[place.name] = container_id
        return place

    def _state_place(self, container_id: str) -> tuple[Directory, str]:
        layout = self.tree.layout
        return layout.place(self.tree.roots, layout.commit_role, self.wish.sandbox_id, container_id)

    def lock_places(self) -> list[LockPlace]:
        if self.wish.present:
            self.tree.create()
            return [self._lock_place(self.container_id, create=True)]
        states = {part.container_id for part in self.parts if part.role == self.tree.layout.commit_role}
        locks = {part.container_id for part in self.parts if part.role == "lock"}
        # The sandbox's own lock first: it is the one that may have to be waited for. One is made only where a state has
        # none: made by many at once, locks would come and go for ever.
        whole = states | locks or ({self.container_id} if self.parts else set())
        ordered = sorted(whole, key=lambda name: (name != self.wish.sandbox_id, name))
        return [self._lock_place(container_id, create=container_id not in locks) for container_id in ordered]

    def stop_owners(self, plan: Plan, new_view: Callable[[], HostView]) -> None:
        stops = [change for change in plan.changes if isinstance(change, Stop)]
        if not stops or self.owners is None:
            return
        self.acted = removal.stop_all(stops, self.owners.proved) or self.acted
        view = new_view()
        self.read(view)
        verdict = judge(owners_of(self.tree.layout, self.tree.roots, self.reading, view).evidence)
        if verdict.kind == LIVE:
            raise InUse(f"{self.label} is in use", "; ".join(verdict.reasons), "Nothing was removed.")
        self._refuse_doubts(verdict)

    def guarded(self, plan: Plan) -> set[Inode]:
        if self.wish.present:
            return set()
        removed = {change.identity for change in plan.changes if isinstance(change, Remove) and change.identity}
        return removed | {lock.inode for lock in self.locks}

    def apply(self, plan: Plan, durable: bool) -> None:
        self._refuse_unlocked(plan)
        for change in plan.changes:
            if isinstance(change, Unmount):
                self.acted = bool(unmount_all(change.path)) or self.acted
            elif isinstance(change, Remove):
                self._remove(change)
            elif isinstance(change, Write):
                change.make(durable)
                self._did(change.directory)
            elif isinstance(change, AddLock):  # holding it made it
                self._did(change.directory)

    def _refuse_unlocked(self, plan: Plan) -> None:
        """A lock that went away while this run came for it: then what is left is somebody else's to finish."""
        held = {self._lock_names[lock.place.name] for lock in self.locks}
        commits = [change for change in plan.changes if change.role == self.tree.layout.commit_role]
        if any(isinstance(change, Remove) and change.container_id not in held for change in commits):
            raise ChangedMeanwhile("", "its lock went away while this task came for it", "Nothing was done; run again.")

    def _remove(self, change: Remove) -> None:
        layout = self.tree.layout
        if change.role == layout.commit_role:
            wrote = layout.before_commit(self.tree.roots, self.wish.sandbox_id, change.container_id)
            self.acted = wrote or self.acted
        if change.role == "lock":
            self._refuse_lost_lock(change)
        if change.make():
            self._did(change.directory)

    def _refuse_lost_lock(self, change: Remove) -> None:
        """Only a lock that is held, is in its place, and is waited for by nobody goes away (safety.md C3, G2)."""
        held = next((lock.inode for lock in self.locks if lock.place.name == change.name), None)
        there = look(change.directory, change.name)
        if there is not None and there.identity != held:
            raise ChangedMeanwhile(change.path, "it is not the lock that this task holds", "Run again.")
        if held is not None and lock_waiters(held):
            raise InUse("", f"a runtime waits for {change.path}", "Try again when it is done.")

    def _did(self, directory: Directory) -> None:
        self.acted = True
        self.touched.add(directory)

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
