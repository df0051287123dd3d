# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories of one layout on one host, and what they hold."""

from __future__ import annotations

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import (
    Directory,
    open_below,
    open_given,
    remove_empty,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Layout, Reading, Roots
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


class Tree:
    """A layout and its root directories. given: option to path, as the user gave it (taken as it is) or None."""

    def __init__(self, layout: Layout, host_root: str, given: dict[str, str | None]) -> None:
        self.layout = layout
        self._host_root = host_root
        self._given = given
        self._directories = {rule.option: self._open(rule.option, rule.default, None) for rule in layout.root_rules}
        self.roots = Roots(host_root, self._directories)

    def _open(self, option: str, default: str, create_mode: int | None) -> Directory:
        path = self._given.get(option)
        if path is not None:
            return open_given(path, create_mode)
        return open_below(self._host_root, default, create_mode)

    @property
    def exists(self) -> bool:
        """Whether any of the roots exists; without them there are no objects."""
        return any(directory.exists for directory in self._directories.values())

    def create(self) -> None:
        """Make the roots that are missing, with the mode that the runtime gives them."""
        for rule in self.layout.root_rules:
            if not self._directories[rule.option].exists:
                self._directories[rule.option] = self._open(rule.option, rule.default, rule.mode)

    def remove_empty_roots(self) -> None:
        """Take back the directories that were made for something that then could not be made."""
        for directory in self._directories.values():
            remove_empty(directory.made)

    def names(self, view: HostView) -> dict[str, list[str]]:
        """Sandbox id to file names, listed once in a view."""
        if not self.exists:
            return {}
        return view.once(("names", id(self)), lambda: self.layout.sandboxes_of(self.roots))

    def read(self, view: HostView, sandbox_id: str) -> Reading:
        """One sandbox; without parts when there is nothing of it. Raises Unreadable."""
        names = self.names(view).get(sandbox_id, [])
        if not self.exists:
            return Reading(sandbox_id)
        return self.layout.read(self.roots, sandbox_id, names)
