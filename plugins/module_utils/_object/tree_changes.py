# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changes to whole directories: made in one step, and removed by way of a hidden name (safety.md D1)."""

from __future__ import annotations

from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    ChangedMeanwhile,
    InUse,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.new_trees import (
    BuiltTree,
    NewTree,
    make_entry,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import look
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.tombstones import (
    TOMBSTONE_PREFIX,
    tombstone_name,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import (
    Write,
    gone_meanwhile,
    still_there,
)


class MakeTree(NamedTuple):
    """Make a directory with all that belongs into it. documents: those among its files, for the diff. lock_file: that
    a runtime locks, and that is therefore locked until all of the object is there."""

    role: str
    directory: Directory
    name: str
    tree: NewTree
    documents: tuple[Write, ...]
    lock_file: str = ""
    sign: str = "+"

    @property
    def path(self) -> str:
        return self.directory.join(self.name)

    def built(self, hidden: Directory, subject: str, durable: bool, prefix: str = TOMBSTONE_PREFIX) -> BuiltTree:
        """The tree under a hidden name. hidden: the open directory for that. subject: the object's name in it."""
        tree = BuiltTree(self.directory, self.name, hidden, tombstone_name(subject, prefix), self.lock_file)
        try:
            tree.build(self.tree, durable)
        except FileNotFoundError as error:
            raise gone_meanwhile(self.directory) from error
        return tree


class MakeEntry(NamedTuple):
    """Make an empty file or directory that a whole object has."""

    role: str
    directory: Directory
    name: str
    mode: int
    is_directory: bool
    sign: str = "+"

    @property
    def path(self) -> str:
        return self.directory.join(self.name)

    def make(self) -> bool:
        with still_there(self.directory) as directory:
            return make_entry(directory, self.name, self.mode, self.is_directory)


class RemoveTree(NamedTuple):
    """Remove a directory with all that is in it, or what is in its place, if it still is what was planned.

    identity None: it lies under a mount, and is seen after that only.
    """

    role: str
    directory: Directory
    name: str
    identity: tuple[int, int] | None
    sign: str = "-"

    @property
    def path(self) -> str:
        return self.directory.join(self.name)

    def remove(self) -> bool:
        """Where it is, entry by entry: for what no runtime lists. False: it was gone."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.trees import remove_tree

        try:
            with self.directory.opened() as directory:
                facts = look(directory, self.name)
                if facts is not None and self.identity not in (None, facts.identity):
                    raise ChangedMeanwhile(self.path, "it was replaced since it was looked at", "Run again.")
                return remove_tree(directory.fd, self.name, directory.path)
        except FileNotFoundError:
            return False

    def hide(self, hidden: Directory, subject: str, prefix: str = TOMBSTONE_PREFIX) -> Hidden | None:
        """Rename it to a tombstone in the open directory `hidden`; None when it was gone."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.trees import hide

        tombstone = tombstone_name(subject, prefix)
        try:
            with self.directory.opened() as directory:
                if not hide(directory.fd, self.name, tombstone, directory.path, hidden.fd):
                    return None
        except FileNotFoundError:
            return None
        done = Hidden(self, hidden, tombstone)
        facts = look(hidden, tombstone)
        if facts is not None and self.identity not in (None, facts.identity):
            done.bring_back()
            raise ChangedMeanwhile(self.path, "it was replaced since it was looked at", "Run again.")
        return done


class Hidden(NamedTuple):
    """A tree that has its hidden name. directory: the open one that the tombstone is in."""

    change: RemoveTree
    directory: Directory
    tombstone: str

    def bring_back(self) -> None:
        """Give it its name again, because an owner appeared (safety.md C2). One that is there by now is the owner's."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.trees import hide

        try:
            with self.change.directory.opened() as place:
                hide(self.directory.fd, self.tombstone, self.change.name, self.directory.path, place.fd)
        except FileNotFoundError as error:
            raise gone_meanwhile(self.change.directory) from error
        except AlreadyExists as error:
            raise InUse(self.change.path, "it was made again while it was removed", "Nothing else was.") from error

    def remove(self) -> None:
        """Remove all that is in it. Raises StateError; the next run goes on then."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.trees import remove_tree

        remove_tree(self.directory.fd, self.tombstone, self.directory.path, is_directory=True)
