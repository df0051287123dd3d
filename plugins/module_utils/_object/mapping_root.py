# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree of mappings on one host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace, own_lock_place
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_below, open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import look
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.tombstones import parse_tombstone
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.mappings import (
    MODE,
    ROOT,
    Mapping,
    read_mapping,
)

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Verdict
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


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
        return self.directory.listed() if self.directory.exists else []

    def tombstones(self) -> dict[str, list[str]]:
        """What killed runs left, by container."""
        found: dict[str, list[str]] = {}
        for name in self.above.names() if self.directory.exists else ():
            subject = parse_tombstone(name)
            if subject is not None:
                found.setdefault(subject, []).append(name)
        return found

    def rests_of(self, container_id: str, view: HostView) -> list[Part]:
        """What killed runs left of a container's mapping."""
        listed: dict[str, list[str]] = view.once(("mapping rests", self.directory.path), self.tombstones)
        names = listed.get(container_id, ())
        if not names:
            return []
        from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part

        found = [(name, look(self.above, name)) for name in names]
        return [Part("tombstone", container_id, self.above, name, facts) for name, facts in found if facts is not None]

    def verdict_of(self, sandbox_id: str, view: HostView) -> Verdict:
        """Whether a sandbox of Kata 1.x lives, or may live; one without a state may have processes that name it.

        The mappings are as old as 1.0 and lasted to 1.12, whose sandboxes have a persist.json in the same place.
        """
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.evidence import named_by_processes
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_owners import owners_of
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import (
            LEFTOVER,
            Evidence,
            judge,
        )

        trees: list[Tree] = view.once(("stores of", self.directory.path), lambda: self._stores(view))
        found = [(tree, tree.read(view, sandbox_id)) for tree in trees]
        verdicts = [
            judge(owners_of(tree.layout, tree.roots, reading, view).evidence)
            for tree, reading in found
            if reading.parts
        ]
        if not verdicts:
            suspects = named_by_processes((sandbox_id,), view)
            verdicts = [judge(Evidence(suspects=suspects, dead=("it has no state",), blind=view.blind))]
        return next((one for one in verdicts if one.kind != LEFTOVER), verdicts[0])

    def _stores(self, view: HostView) -> list[Tree]:
        from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree

        trees = [Tree(LAYOUTS[name], self._host_root, {}) for name in ("kata_store", "kata_persist")]
        for tree in trees:
            tree.roots.share_mounts(view.own_mounts)
        return trees

    def read(self, container_id: str) -> Mapping:
        """Raises Unreadable."""
        return read_mapping(self.directory, container_id) if self.directory.exists else Mapping(container_id)
