# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What state=present has to make or mend where a sandbox is a directory. Imported only where that is wished."""

from __future__ import annotations

import stat

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    InvalidInput,
    StateError,
    Unreadable,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.new_trees import (
    BuiltTree,
    NewFile,
    NewTree,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import DocumentRule, TreeRule
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Change, Write
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import MakeEntry, MakeTree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_item import TreeItem
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


class TreeCreation:
    """The part of a TreeSandbox that makes something: a directory for it, and one in it for each container."""

    def __init__(self, item: TreeItem) -> None:
        self.item = item
        self.wish = item.wish
        self.layout = item.layout
        self.reading = item.reading

    def plan(self, view: HostView) -> Plan:
        exists = bool(self.item.own_trees())
        if exists and self.wish.fail_if_exists:
            raise AlreadyExists("", "it exists already", "Nothing was changed. Remove it, or leave fail_if_exists out.")
        for part in self.item.own_trees():
            if not stat.S_ISDIR(part.facts.mode):
                raise Unreadable(part.path, "it is no directory", "Nothing was changed. Remove it first.")
        if not exists:
            self.item.check_creation()
            self._check_sandbox()
        changes: list[Change] = []
        # In the opposite order of removal: a runtime lists the first tree, and then all of it is there.
        for tree in reversed(self.layout.trees):
            changes += self._plan_tree(tree)
        note = self._note(changes)
        if not changes:
            return Plan(note=note)
        if any(isinstance(change, (Write, MakeTree)) for change in changes):
            self.item.refuse_unless_dead(view, creating=not exists)
            from ansible_collections.sandboxed.containers.plugins.module_utils._object import removal

            removal.refuse_mounts_in(self.item.own_trees(), view)
        return Plan("updated" if exists else "created", tuple(changes), note=note)

    def _check_sandbox(self) -> None:
        """A container lies inside its sandbox, so that must be there, or be made by the same task."""
        if not self.wish.container_id or self.wish.with_sandbox:
            return
        if not any(part.role == "state" for part in self.reading.parts):
            why = f"sandbox '{self.wish.sandbox_id}' does not exist"
            raise InvalidInput("", why, "Make it first; one task with sandboxes can do both.")

    def _note(self, changes: list[Change]) -> str:
        """What is wrong and is left as it is, since nothing was given for it."""
        written = {change.path for change in changes} | {
            document.path for change in changes if isinstance(change, MakeTree) for document in change.documents
        }
        there = {
            document.name for document in self.reading.documents if document.container_id == self.wish.container_id
        }
        lacking = [
            f"{path} is missing. Give documents.{rule.name} to write it."
            for rule in self.item.needed_documents()
            if rule.name not in there
            if (path := self.item.own_directory(rule.tree).join(f"{rule.name}.json")) not in written
        ]
        damage = (
            [] if any(isinstance(change, Write) for change in changes) else [self.item.damage(self.wish.container_id)]
        )
        return " ".join(filter(None, [*damage, *lacking]))

    def _plan_tree(self, tree: TreeRule) -> list[Change]:
        directory = self.item.own_directory(tree.role)
        writes = [
            write
            for rule in self.layout.documents
            if rule.name in self.wish.documents and rule.tree == tree.role
            if (write := self._write(rule, directory)) is not None
        ]
        if tree is self.layout.state_tree and self.item.raw_items is not None:
            writes += self.item.raw_items.writes(directory.child(self.layout.raw_directory))
        if any(part.role == tree.role for part in self.item.own_trees()):
            return [*self._missing_entries(tree, directory), *writes]
        files = [NewFile(name, b"", mode) for name, mode in tree.files]
        files += [NewFile(write.path[len(directory.path) + 1 :], write.data, write.mode) for write in writes]
        made = NewTree(tree.mode, tuple(files), tree.directories, self.layout.inherits_owner)
        place = directory.above or directory
        name = self.wish.container_id or self.wish.sandbox_id
        own_lock = tree is self.layout.state_tree and self.layout.lock_file in [name for name, _mode in tree.files]
        return [MakeTree(tree.role, place, name, made, tuple(writes), self.layout.lock_file if own_lock else "")]

    def _missing_entries(self, tree: TreeRule, directory: Directory) -> list[Change]:
        missing = set(self.reading.missing)
        return [
            MakeEntry(entry, directory, entry, mode, is_directory)
            for entries, is_directory in ((tree.directories, True), (tree.files, False))
            for entry, mode in entries
            if directory.join(entry) in missing
        ]

    def _write(self, rule: DocumentRule, directory: Directory) -> Write | None:
        old = self.reading.document(rule.name, self.wish.container_id)
        name = f"{rule.name}.json"
        if old is not None and old.path != directory.join(name):
            old = None  # it was found in another place, and is to be where it belongs (RS5)
        return self.item.write_of(rule, old, directory, name, self.wish.container_id)

    def make(self, plan: Plan, durable: bool) -> None:
        """Make what was planned. Raises StateError."""
        self._make_trees([change for change in plan.changes if isinstance(change, MakeTree)], durable)
        for change in plan.changes:
            if isinstance(change, MakeEntry) and change.make():
                self.item.did(change.directory)
            elif isinstance(change, Write):
                change.make(durable)
                self.item.did(change.directory)

    def _make_trees(self, changes: list[MakeTree], durable: bool) -> None:
        """All of them or none: each is built under a hidden name first."""
        built: list[tuple[MakeTree, Directory, BuiltTree]] = []
        try:
            for change in changes:
                above = self.item.tree.above(self.item.tree.root_of(change.role))
                built.append((change, above, change.built(above, self.wish.sandbox_id, durable)))
            for _change, _above, tree in built:
                tree.put()
        except StateError:
            for _change, _above, tree in reversed(built):
                tree.discard()
            raise
        finally:
            for _change, _above, tree in built:
                tree.close()
        for change, above, _tree in built:
            self.item.did(change.directory)
            self.item.did(above)
