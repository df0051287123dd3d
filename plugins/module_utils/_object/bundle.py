# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle as an object: what is wished of it, what it has on disk, and its owners.

What is to be done is in bundle_creation.py and bundle_removal.py.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.tombstones import parse_tombstone
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundle_reading import BundleReading
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import TOMBSTONE_PREFIX
from ansible_collections.sandboxed.containers.plugins.module_utils._object import rests
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_owners import (
    BundleHints,
    engine_of,
    hints_in,
    owners_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_places import BundlePlace
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Stop, Unmount
from ansible_collections.sandboxed.containers.plugins.module_utils._object.owned import OwnedItem
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import RemoveTree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Owners
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import Inode

# A delete of containerd's own that is not done by then has been broken off; as old as min_age is (safety.md D2).
ABANDONED_SECONDS = 600.0


class BundleWish(NamedTuple):
    """What the user wants of one bundle.

    spec: its config.json. together: the ids of this namespace that the same task removes. abandoned: after how many
    seconds a delete of containerd's own counts as broken off while it runs.
    """

    container_id: str
    present: bool = True
    spec: Mapping[str, Any] | None = None
    fail_if_exists: bool = False
    cgroups: bool = False
    unmount: bool = False
    force: bool = False
    stop_processes: bool = False
    together: frozenset[str] = frozenset()
    abandoned: float = ABANDONED_SECONDS


class Bundle(OwnedItem):
    """One bundle, with its work directory, the sockets of its shim, and what runc keeps of it."""

    def __init__(self, wish: BundleWish, place: BundlePlace) -> None:
        super().__init__(wish)
        self.wish = wish
        self.place = place
        self.reading = BundleReading(wish.container_id)
        self._bundle: BundleReading | None = None
        self._hints: BundleHints | None = None
        self.creating = False
        self._paths: list[str] = []
        self._tombstones: set[str] | None = None  # those that were there at the first plan
        layout = place.layout
        where = f"{layout.name}, namespace {place.namespace}" if layout.has_engine else layout.name
        self.label = f"Bundle '{wish.container_id}' ({where})"

    def described(self) -> dict[str, Any]:
        own = [self.place.state.join(self.wish.container_id)]
        namespace = {"namespace": self.place.namespace} if self.place.layout.has_engine else {}
        layout = self.place.layout.name
        return {"container_id": self.wish.container_id, **namespace, "layout": layout, "paths": self._paths or own}

    def read(self, view: HostView) -> None:
        self._bundle = self.place.read_bundle(self.wish.container_id, self._bundle)
        self.reading = self.place.read(self.wish.container_id, view, self._bundle)

    @abstractmethod
    def compare(self, view: HostView) -> Plan:
        """See Item.plan."""

    def plan(self, view: HostView) -> Plan:
        plan = self.compare(view)
        if not self._paths:  # the first plan tells, so that check mode and the run say the same
            planned = [change.path for change in plan.changes if not isinstance(change, (Stop, Unmount))]
            found = [part.path for part in self.reading.parts_of("bundle", "work")]
            self._paths = list(dict.fromkeys([*found, *planned]))
        return plan

    def tombstones(self, view: HostView) -> list[Part]:
        """What a delete that was broken off left of a bundle of that name: ours, and containerd's own where that is not
        at work any more. Those that come after the first plan are of another run, which finishes them."""
        found = self.reading.parts_of("tombstone")
        if self._tombstones is None:
            self._tombstones = {part.path for part in found if self._is_abandoned(part, view)}
        return rests.ours_to_finish([part for part in found if part.path in self._tombstones], self.locks)

    def _is_abandoned(self, part: Part, view: HostView) -> bool:
        if parse_tombstone(part.name, TOMBSTONE_PREFIX) is not None or self.wish.force:
            return True
        if not engine_of(self.place, view).locked:
            return True
        age = time.time() - part.facts.ctime_ns / 1e9
        return age >= self.wish.abandoned

    # owners

    def look_for_owners(self, view: HostView) -> Owners:
        self._hints = hints_in(self.place, self.reading, view, self._hints)
        return owners_of(self.place, self.reading, view, self.creating, self._hints)

    def written_ns(self) -> list[int]:
        bundle = self.reading.bundle
        return [bundle.facts.ctime_ns] if bundle is not None else []

    def shared_with(self) -> str:
        pod = self.reading.group
        if pod in (None, self.wish.container_id):
            return ""
        return f"Its shim serves the pod {pod}: remove that with its engine."

    # locks

    def lock_places(self) -> list[LockPlace]:
        if self.wish.present:
            self.place.create()
        elif not self.reading.parts:
            return []
        left = self.reading.parts_of("tombstone")
        return [self.place.own_lock(), *(lock for one in left for lock in rests.lock_of(one, one.directory))]

    def common_lock(self) -> LockPlace | None:
        if self.wish.present:
            self.place.create()
        return self.place.own_lock()

    def guarded(self, plan: Plan) -> set[Inode]:
        return set()

    def guarded_trees(self, plan: Plan) -> set[str]:
        return {change.path for change in plan.changes if isinstance(change, RemoveTree)}

    def tidy(self) -> None:
        """Nothing is made by locking: bundles have no lock of their own."""

    def finish(self) -> None:
        if not self.acted:
            self.place.remove_empty_roots()
