# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mapping of a container to its sandbox as an object."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import syscalls
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import look
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    ChangedMeanwhile,
    InUse,
    StateError,
    Unreadable,
    WriteFailed,
    os_reason,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import check_new_name
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace, own_lock_place
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.new_trees import NewTree
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import (
    Directory,
    open_below,
    open_given,
    remove_empty,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.tombstones import parse_tombstone
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.mappings import (
    MODE,
    NAMES,
    ROOT,
    Mapping,
    read_mapping,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._object import removal
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import gone_meanwhile
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_owners import owners_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Item, Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import (
    MakeTree,
    RemoveTree,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LIVE, Verdict, judge
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import Inode


class MappingWish(NamedTuple):
    """What the user wants. sandbox_id: where it is to lead, empty with state=absent. remap: also from another one."""

    container_id: str
    sandbox_id: str = ""
    remap: bool = False

    @property
    def present(self) -> bool:
        return bool(self.sandbox_id)


class MappingRoot:
    """The tree of mappings on one host. directory: its root, which may not exist; hidden names are in the one above."""

    def __init__(self, host_root: str, given: str | None) -> None:
        self._host_root = host_root
        self._given = given
        self.directory = self._open(create=False)
        self._above: Directory | None = None
        self._own_lock: LockPlace | None = None

    def _open(self, create: bool) -> Directory:
        mode = MODE if create else None
        if self._given is not None:
            return open_given(self._given, mode)
        return open_below(self._host_root, ROOT, mode)

    def create(self) -> None:
        """Make the root, as Kata does."""
        if not self.directory.exists:
            self.directory = self._open(create=True)

    @property
    def above(self) -> Directory:
        """The directory that the root lies in, opened once."""
        if self._above is None:
            self._above = self.directory.above_it()
        return self._above

    def own_lock(self) -> LockPlace:
        """Our own lock: the format has none (M3, safety.md C2)."""
        if self._own_lock is None:
            self._own_lock = own_lock_place(self.directory.path)
        return self._own_lock

    def ids(self) -> list[str]:
        """All containers that have a mapping, sorted. Raises Unreadable."""
        try:
            return sorted(self.directory.names()) if self.directory.exists else []
        except OSError as error:
            raise Unreadable(self.directory.path, f"it cannot be listed: {os_reason(error)}") from error

    def tombstones(self, view: HostView) -> dict[str, list[str]]:
        """What killed runs left, by container; listed once in a view."""
        return view.once(("mapping rests", self.directory.path), self._rests)

    def _rests(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.above.names() if self.directory.exists else ():
            subject = parse_tombstone(name)
            if subject is not None:
                found.setdefault(subject, []).append(name)
        return found

    def rests_of(self, container_id: str, view: HostView) -> list[Part]:
        """What killed runs left of a container's mapping."""
        names = self.tombstones(view).get(container_id, ()) if self.directory.exists else ()
        found = [(name, look(self.above, name)) for name in names]
        return [Part("tombstone", container_id, self.above, name, facts) for name, facts in found if facts is not None]

    def verdict_of(self, sandbox_id: str, view: HostView) -> Verdict | None:
        """The verdict on the state that Kata 1.x has of a sandbox; None where it has none."""
        tree: Tree = view.once(("store of", self.directory.path), self._store)
        reading = tree.read(view, sandbox_id)
        if not reading.parts:
            return None
        return judge(owners_of(tree.layout, tree.roots, reading, view).evidence)

    def _store(self) -> Tree:
        return Tree(LAYOUTS["kata_store"], self._host_root, {})

    def read(self, container_id: str) -> Mapping:
        """Raises Unreadable."""
        return read_mapping(self.directory, container_id) if self.directory.exists else Mapping(container_id)


class MoveMapping(NamedTuple):
    """Lead a container's directory to another sandbox, or to one at all, by one rename or mkdir in it: no reader ever
    finds none where there was one (M2). before: its entries, of which but one is left."""

    directory: Directory
    name: str
    identity: tuple[int, int]
    before: tuple[str, ...]
    after: str
    role: str = "mapping"

    @property
    def sign(self) -> str:
        return "~" if self.before else "+"

    @property
    def path(self) -> str:
        return f"{self.directory.join(self.name)}/{self.after}"

    def make(self) -> None:
        """Raises ChangedMeanwhile and WriteFailed."""
        done: list[str] = []
        try:
            with self.directory.child(self.name).opened() as opened:
                status = os.fstat(opened.fd)
                if (status.st_dev, status.st_ino) != self.identity:
                    raise ChangedMeanwhile(opened.path, "it was replaced since it was looked at", "Run again.")
                self._move(opened, done)
        except FileNotFoundError as error:
            raise gone_meanwhile(self.directory) from error
        except OSError as error:
            failed = WriteFailed(self.path, f"it could not be made: {os_reason(error)}")
            failed.changed = bool(done)
            raise failed from error

    def _move(self, opened: Directory, done: list[str]) -> None:
        others = [name for name in self.before if name != self.after]
        if not self.before:
            os.mkdir(self.after, MODE, dir_fd=opened.fd)
        elif self.after not in self.before:
            syscalls.rename_noreplace(opened.fd, others[0], opened.fd, self.after)
            done.append(others.pop(0))
        for name in others:
            os.rmdir(name, dir_fd=opened.fd)
            done.append(name)


class ContainerMapping(Item):
    """One container's mapping."""

    def __init__(self, wish: MappingWish, root: MappingRoot) -> None:
        super().__init__()
        self.wish = wish
        self.root = root
        self.mapping = Mapping(wish.container_id)
        self.label = f"Mapping of container '{wish.container_id}'"
        self._rests: list[Part] = []

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
        rests = self._free_rests(view)
        plan = self._plan_present() if self.wish.present else self._plan_absent(view)
        removed = [RemoveTree("tombstone", one.directory, one.name, one.facts.identity) for one in rests]
        if not removed:
            return plan
        action = plan.action if plan.changes else ("updated" if self.wish.present else "deleted")
        return plan._replace(action=action, changes=(*removed, *plan.changes))

    def _free_rests(self, view: HostView) -> list[Part]:
        held = {lock.place.path for lock in self.locks}
        free = [one for one in self._rests if not held or one.path in held]
        if free and removal.may_be_mounted(free, view):
            removal.mounts_in_the_way(free, view.mounts, False, view.asserted)
        return free

    def _plan_present(self) -> Plan:
        wish, found, root = self.wish, self.mapping, self.root
        if found.facts is None:
            check_new_name(wish.container_id, "container_id", NAMES)
            check_new_name(wish.sandbox_id, "sandbox_id", NAMES)
            tree = NewTree(MODE, (), ((wish.sandbox_id, MODE),))
            return Plan("created", (MakeTree("mapping", root.directory, wish.container_id, tree, ()),))
        if found.entries == (wish.sandbox_id,):
            return Plan()
        check_new_name(wish.sandbox_id, "sandbox_id", NAMES)
        if found.entries and not wish.remap:
            named = ", ".join(found.entries)
            why = (
                f"it leads to sandbox {named}" if len(found.entries) == 1 else f"it leads to several sandboxes: {named}"
            )
            raise AlreadyExists("", why, f"Set remap=true to lead it to {wish.sandbox_id}. Nothing was changed.")
        move = MoveMapping(root.directory, wish.container_id, found.facts.identity, found.entries, wish.sandbox_id)
        return Plan("updated", (move,))

    def _plan_absent(self, view: HostView) -> Plan:
        facts = self.mapping.facts
        if facts is None:
            return Plan()
        for sandbox_id in self.mapping.entries:
            self._refuse_live(sandbox_id, view)
        part = Part("mapping", self.wish.container_id, self.root.directory, self.wish.container_id, facts)
        if removal.may_be_mounted([part], view):
            removal.mounts_in_the_way([part], view.mounts, False, view.asserted)
        return Plan("deleted", (RemoveTree("mapping", part.directory, part.name, facts.identity),))

    def _refuse_live(self, sandbox_id: str, view: HostView) -> None:
        """Without its mapping, the command line cannot find a container of a sandbox that lives."""
        verdict = self.root.verdict_of(sandbox_id, view)
        if verdict is not None and verdict.kind == LIVE:
            why = f"sandbox '{sandbox_id}', to which it leads, is in use: {'; '.join(verdict.reasons)}"
            raise InUse("", why, "Remove the sandbox first. Nothing was changed.")

    # locks and changes

    def lock_places(self) -> list[LockPlace]:
        if self.wish.present:
            self.root.create()
        elif self.mapping.facts is None and not self._rests:
            return []
        optional = [LockPlace(one.directory, one.name, is_directory=True, is_optional=True) for one in self._rests]
        return [self.root.own_lock(), *optional]

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

    def apply(self, plan: Plan, durable: bool) -> None:
        for change in plan.changes:
            if isinstance(change, RemoveTree):
                self._remove(change)
            elif isinstance(change, MakeTree):
                self._make(change, durable)
            elif isinstance(change, MoveMapping):
                change.make()
                self._did(change.directory.child(change.name))

    def _remove(self, change: RemoveTree) -> None:
        if change.role == "tombstone":
            if change.remove():
                self._did(change.directory)
            return
        hidden = change.hide(self.root.above, self.wish.container_id)
        if hidden is not None:
            self._did(change.directory)
            self._did(self.root.above)
            hidden.remove()

    def _make(self, change: MakeTree, durable: bool) -> None:
        tree = change.built(self.root.above, self.wish.container_id, durable)
        try:
            tree.put()
        except StateError:
            tree.discard()
            raise
        finally:
            tree.close()
        self._did(change.directory)
        self._did(self.root.above)

    def _did(self, directory: Directory) -> None:
        self.acted = True
        self.touched.add(directory)

    def tidy(self) -> None:
        """Nothing is made by locking."""

    def finish(self) -> None:
        if not self.acted:
            remove_empty(self.root.directory.made)
