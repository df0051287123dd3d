# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories of one layout on one host, and what they hold."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import WriteFailed, os_reason, way_out
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import (
    Directory,
    open_below,
    open_given,
    open_reached,
    remove_empty,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import (
    Layout,
    Reading,
    RootRule,
    Roots,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.trees import TreeLayout


class Tree:
    """A layout and its root directories. given: option to path, as the user gave it (taken as it is) or None.

    found: nobody gave them, they were found on that host, and no link in them leads out of it.
    """

    def __init__(self, layout: Layout, host_root: str, given: dict[str, str | None], found: bool = False) -> None:
        self.layout = layout
        self._host_root = host_root
        self._found = found
        self._given = {option: path for option, path in given.items() if path is not None}
        self._directories = {rule.option: self._open(rule, create=False) for rule in layout.root_rules}
        paths = {rule.option: self._given.get(rule.option, rule.default) for rule in layout.root_rules}
        self.roots = Roots(host_root, self._directories, paths, frozenset(self._given), found)
        self._own_lock: LockPlace | None = None
        self._above: dict[str, Directory] = {}

    def root_of(self, role: str) -> Directory:
        """The root directory of the tree with that role, of a layout with trees."""
        trees = cast("TreeLayout", self.layout).trees
        return self.roots[next(tree.option for tree in trees if tree.role == role)]

    def above(self, root: Directory) -> Directory:
        """The directory that a root lies in, where the hidden names are; opened once."""
        if root.path not in self._above:
            self._above[root.path] = root.above_it()
        return self._above[root.path]

    def above_of(self, role: str) -> Directory:
        """The directory above the root of the tree with that role, where its hidden names are."""
        if role not in self._above:  # no path is called like a role
            self._above[role] = self.above(self.root_of(role))
        return self._above[role]

    def above_at(self, closed: Directory) -> Directory:
        """The directory above a root that has this path, open."""
        roots = [root for root in self._directories.values() if root.exists]
        return next(above for above in map(self.above, roots) if above == closed)

    def _open(self, rule: RootRule, create: bool) -> Directory:
        mode = rule.mode if create else None
        path = os.path.join(self._given.get(rule.option, rule.default), rule.inside).rstrip("/") or "/"
        if rule.option not in self._given:
            return open_below(self._host_root, path, mode, rule.above_mode)
        if self._found:
            return open_reached(self._host_root, path, mode, rule.above_mode)
        return open_given(path, mode, rule.above_mode)

    @property
    def exists(self) -> bool:
        """Whether any of the roots exists; without them there are no objects."""
        return any(directory.exists for directory in self._directories.values())

    def create(self) -> None:
        """Make the roots that are missing, with the mode that the runtime gives them."""
        for rule in self.layout.root_rules:
            if not self._directories[rule.option].exists:
                directory = self._directories[rule.option] = self._open(rule, create=True)
                if self.layout.inherits_owner:
                    _inherit_owners(directory.made)

    def remove_empty_roots(self) -> None:
        """Take back the directories that were made for something that then could not be made."""
        for directory in self._directories.values():
            remove_empty(directory.made)

    def own_lock(self) -> LockPlace:
        """Our own lock, for what the runtime has none for (safety.md C2). Raises Unreadable and WriteFailed."""
        if self._own_lock is None:
            from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import own_lock_place

            option = self.layout.root_rules[-1].option
            self._own_lock = own_lock_place(self._directories[option].path)
        return self._own_lock

    @property
    def own_lock_path(self) -> str:
        """The path of our own lock, empty as long as nobody has asked for it."""
        return self._own_lock.path if self._own_lock is not None else ""

    def names(self, view: HostView) -> dict[str, list[str]]:
        """Sandbox id to the names of its entries, listed once in a view."""
        if not self.exists:
            return {}
        return view.once(("names", self), lambda: self.layout.sandboxes_of(self.roots))

    def read(
        self,
        view: HostView,
        sandbox_id: str,
        known: Reading | None = None,
        whole: bool = True,
        contents: bool = True,
    ) -> Reading:
        """One sandbox; without parts when there is nothing of it. Raises Unreadable.

        known, whole, contents: see TreeLayout.read; files side by side are always read anew.
        """
        layout: Any = self.layout
        if layout.is_flat:
            names = self.names(view).get(sandbox_id, [])
            return layout.read(self.roots, sandbox_id, names) if self.exists else Reading(sandbox_id)
        index = view.once(("index", self), lambda: layout.index(self.roots))
        reading: Reading = layout.read(self.roots, sandbox_id, index, known, whole, contents)
        return reading


def _inherit_owners(paths: tuple[str, ...]) -> None:
    """Give new directories the owner of the one above them (kata-persist.md, Paths and modes)."""
    for path in paths:
        try:
            above = os.stat(os.path.dirname(path), follow_symlinks=False)
            os.chown(path, above.st_uid, above.st_gid, follow_symlinks=False)
        except OSError as error:
            raise WriteFailed(path, f"its owner could not be set: {os_reason(error)}", way_out(error)) from error
