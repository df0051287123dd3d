# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What state=absent has to do for a bundle, in which order, and what may stay (contracts/containerd-bundles.md)."""

from __future__ import annotations

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import cgroup_population
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError, WriteFailed
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import TOMBSTONE_PREFIX
from ansible_collections.sandboxed.containers.plugins.module_utils._object import removal
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle import Bundle, BundleWish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_changes import RemoveCgroup
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_owners import (
    cgroups_of,
    hierarchies_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_places import BundlePlace
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_sockets import referrers
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Change, Remove, Unmount
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import RemoveTree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


class AbsentBundle(Bundle):
    """One of which nothing is to be left."""

    def __init__(self, wish: BundleWish, place: BundlePlace) -> None:
        super().__init__(wish, place)
        self._last_look: HostView | None = None  # after the bundle was hidden

    def compare(self, view: HostView) -> Plan:
        """Mounts first; cgroups, which its spec names; tombstones; the bundle, which is the commit point; then what
        only it needed."""
        tombstones = self.tombstones(view)
        trees = self.reading.parts_of("bundle", "work")
        stops = []
        if trees or self.reading.parts_of("socket", "runtime"):  # a tombstone has no owner (safety.md D2)
            stops = self.refuse_unless_dead(view, creating=False)
        mounts: list[Unmount] = []
        note, runtime = self._runtime_of()
        roots = [*tombstones, *trees, *runtime]
        if roots and removal.may_be_mounted(roots, view):
            mounts = removal.mounts_in_the_way(roots, view.mounts, self.wish.unmount, view.asserted)
            removal.refuse_covered([*trees, *runtime], view)
        changes: list[Change] = [*stops, *mounts, *self._cgroups_of(view)]
        changes += removal.removals_of(roots, mounts, view)
        changes += self._sockets_of(view)
        return Plan("deleted", tuple(changes), note=note) if changes else Plan(note=note)

    def _runtime_of(self) -> tuple[str, list[Part]]:
        """What runc keeps of the container, if it is proved to be of this bundle, or a rest without a state."""
        parts, state = self.reading.parts_of("runtime"), self.reading.runtime
        if (
            not parts
            or state is None
            or state.is_rest
            or self.place.is_own_bundle(state.bundle, self.wish.container_id)
        ):
            return "", parts
        made_from = f"it was made from {state.bundle or 'a bundle that it does not name'}"
        return f"{parts[0].path} is left, and runc will refuse the id: {state.problem or made_from}.", []

    def _sockets_of(self, view: HostView) -> list[Change]:
        """Sockets that nobody listens on, and that no other bundle refers to, except for those that go in this task."""
        found: list[Change] = []
        own = self.place.state.join(self.wish.container_id)
        for part in self.reading.parts_of("socket"):
            others = referrers(self.place, view).of(part.path)
            # Of a pod whose containers go together, one of them removes it.
            alone = all(one == own or self._goes_too(one) for one in others)
            if view.sockets.bound(part.path) is False and alone and own == max(others | {own}):
                found.append(Remove("socket", part.directory, part.name, part.facts.identity))
        return found

    def _goes_too(self, bundle: str) -> bool:
        """Whether the same task removes that bundle."""
        folder, _slash, name = bundle.rpartition("/")
        return folder == self.place.state.path and name in self.wish.together

    def _cgroups_of(self, view: HostView) -> list[Change]:
        if not self.wish.cgroups:
            return []
        return [
            RemoveCgroup(cgroup.path)
            for cgroup in cgroups_of(self.reading, hierarchies_of(view))
            if cgroup.carries(self.wish.container_id)
            and not cgroup.path.endswith(".slice")
            and cgroup_population.exists(cgroup.path)
            and not cgroup_population.is_populated(cgroup.path)
        ]

    def begin(self, plan: Plan) -> bool:
        """Unmount, remove cgroups, finish older deletes, and hide the bundle: up to here it can be put back."""
        self.unmount_first(plan)
        for change in plan.changes:
            if isinstance(change, RemoveTree) and change.role == "tombstone" and change.remove():
                self.did(change.directory)
            elif isinstance(change, RemoveCgroup) and change.make():
                self.acted = True
        self.acted_before = self.acted
        for change in plan.changes:
            if isinstance(change, RemoveTree) and change.role == "bundle":
                hidden = change.hide(change.directory, self.wish.container_id, TOMBSTONE_PREFIX)
                if hidden is not None:
                    self.hidden.append(hidden)
                    self.did(change.directory)
        return bool(self.hidden)

    def confirm(self, view: HostView) -> None:
        super().confirm(view)
        self._last_look = view

    def apply(self, plan: Plan, durable: bool) -> None:
        """Empty what was hidden, and remove the rest. Where one fails the others are still tried (C7: all told)."""
        errors: list[StateError] = []
        for one in self.hidden:
            try:
                one.remove()
            except StateError as error:
                errors.append(error)
        for change in plan.changes:
            try:
                self._apply_one(change)
            except StateError as error:
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise WriteFailed("", f"several things of it are left: {' '.join(map(str, errors))}", "Run again.")

    def _apply_one(self, change: Change) -> None:
        if isinstance(change, RemoveTree) and change.role in ("work", "runtime"):
            hidden = change.hide(change.directory, self.wish.container_id, TOMBSTONE_PREFIX)
            if hidden is not None:
                self.did(change.directory)
                hidden.remove()
        elif isinstance(change, Remove):
            self._remove_socket(change)

    def _remove_socket(self, change: Remove) -> None:
        """Looked at again: a pod's other container may have come, or was not removed after all. One who comes only now
        makes the socket anew, and it is not removed for that."""
        view = self._last_look or HostView()
        unused = view.sockets.bound(change.path) is False and not referrers(self.place, view).of(change.path)
        if unused and change.make():
            self.did(change.directory)
