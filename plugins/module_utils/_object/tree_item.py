# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of TreeSandbox share: where it is on disk. Its parts are imported as they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.trees import TreeLayout
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox import SandboxState, Wish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.raw_items import RawItems


class TreeItem(SandboxState):
    """A sandbox, or a container in it, that is a directory in each tree of its layout."""

    def __init__(self, wish: Wish, tree: Tree) -> None:
        super().__init__(wish, tree)
        self.layout = cast(TreeLayout, tree.layout)
        self.raw_items: RawItems | None = None
        if wish.raw_items:
            from ansible_collections.sandboxed.containers.plugins.module_utils._object.raw_items import RawItems

            self.raw_items = RawItems(wish.raw_items, f"{wish.sandbox_id}/{wish.container_id}")

    def own_trees(self) -> list[Part]:
        """The directories of the sandbox, or of the container in it, that the layout is about."""
        return self.layout.trees_of(self.reading, self.wish.container_id)

    def own_directory(self, role: str) -> Directory:
        """Where the object is in one of the trees, or would be."""
        directory = self.tree.root_of(role).child(self.wish.sandbox_id)
        return directory.child(self.wish.container_id) if self.wish.container_id else directory
