# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What state=absent has to do for a bundle, in which order, and what may stay (contracts/containerd-bundles.md)."""

from __future__ import annotations

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import cgroup_directories
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError, WriteFailed
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import TOMBSTONE_PREFIX
from ansible_collections.sandboxed.containers.plugins.module_utils._object import removal
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle import Bundle
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_changes import RemoveCgroup
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_owners import cgroups_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_sockets import referrers
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Change, Remove, Unmount
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import RemoveTree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


class AbsentBundle(Bundle):
    """One of which nothing is to be left."""

    def compare(self, view: HostView) -> Plan:
        return plan_absent(self, view)

    def begin(self, plan: Plan) -> bool:
        hide_bundle(self, plan)
        return bool(self.hidden)

    def apply(self, plan: Plan, durable: bool) -> None:
        remove_all(self, plan)


def plan_absent(item: Bundle, view: HostView) -> Plan:
    """Tombstones first; mounts; the bundle, which is the commit point; then what only it needed."""
    tombstones = item.tombstones(view)
    trees = item.reading.parts_of("bundle", "work")
    stops = []
    if trees or item.reading.parts_of("socket", "runtime"):  # a tombstone has no owner (safety.md D2)
        stops = item.refuse_unless_dead(view, creating=False)
    mounts: list[Unmount] = []
    roots = [*tombstones, *trees]
    if roots and removal.may_be_mounted(roots, view):
        mounts = removal.mounts_in_the_way(roots, view.mounts, item.wish.unmount, view.asserted)
    covered = {mount.point for unmount in mounts for mount in view.mounts.own.at_or_below(unmount.path)}
    note, runtime = _runtime_of(item)
    changes: list[Change] = [*stops, *mounts]
    changes += [
        RemoveTree(part.role, part.directory, part.name, None if part.path in covered else part.facts.identity)
        for part in (*roots, *runtime)
    ]
    changes += _sockets_of(item, view)
    changes += _cgroups_of(item, view)
    return Plan("deleted", tuple(changes), note=note) if changes else Plan(note=note)


def _runtime_of(item: Bundle) -> tuple[str, list[Part]]:
    """What runc keeps of the container, if it is proved to be of this bundle, or a rest without a state."""
    parts, state = item.reading.parts_of("runtime"), item.reading.runtime
    if not parts or state is None or state.is_rest or item.place.is_own_bundle(state.bundle, item.wish.container_id):
        return "", parts
    made_from = f"it was made from {state.bundle or 'a bundle that it does not name'}"
    return f"{parts[0].path} is left, and runc will refuse the id: {state.problem or made_from}.", []


def _sockets_of(item: Bundle, view: HostView) -> list[Change]:
    """Sockets that nobody listens on, and that no other bundle refers to, except for those that go in this task."""
    found: list[Change] = []
    own = item.place.state.join(item.wish.container_id)
    gone = {item.place.state.join(one) for one in item.wish.together} | {own}
    for part in item.reading.parts_of("socket"):
        others = referrers(item.place, view).of(part.path)
        # Of a pod whose containers go together, one of them removes it.
        if view.sockets.bound(part.path) is False and not others - gone and own == max(others | {own}):
            found.append(Remove("socket", part.directory, part.name, part.facts.identity))
    return found


def _cgroups_of(item: Bundle, view: HostView) -> list[Change]:
    if not item.wish.cgroups:
        return []
    return [
        RemoveCgroup(cgroup.path)
        for cgroup in cgroups_of(item.reading, view)
        if cgroup.carries(item.wish.container_id)
        and not cgroup.path.endswith(".slice")
        and cgroup_directories.exists(cgroup.path)
        and not cgroup_directories.is_populated(cgroup.path)
    ]


def hide_bundle(item: Bundle, plan: Plan) -> None:
    """Unmount, finish older deletes, and hide the bundle: up to here it can be put back."""
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.unmounting import unmount_all

    for change in plan.changes:
        if isinstance(change, Unmount):
            item.acted = bool(unmount_all(change.path, any_namespace=change.anywhere)) or item.acted
            removal.refuse_still_mounted(change.path)
    for change in plan.changes:
        if isinstance(change, RemoveTree) and change.role == "tombstone" and change.remove():
            item.did(change.directory)
    item.acted_before = item.acted
    for change in plan.changes:
        if isinstance(change, RemoveTree) and change.role == "bundle":
            hidden = change.hide(change.directory, item.wish.container_id, TOMBSTONE_PREFIX)
            if hidden is not None:
                item.hidden.append(hidden)
                item.did(change.directory)


def remove_all(item: Bundle, plan: Plan) -> None:
    """Empty what was hidden, and remove the rest. Where the first fails the second is still tried (C7: both told)."""
    errors: list[StateError] = []
    for one in item.hidden:
        try:
            one.remove()
        except StateError as error:
            errors.append(error)
    for change in plan.changes:
        try:
            _apply_one(item, change)
        except StateError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise WriteFailed("", f"several things of it are left: {' '.join(map(str, errors))}", "Run again.")


def _apply_one(item: Bundle, change: Change) -> None:
    if isinstance(change, RemoveTree) and change.role == "work":
        hidden = change.hide(change.directory, item.wish.container_id, TOMBSTONE_PREFIX)
        if hidden is not None:
            item.did(change.directory)
            hidden.remove()
    elif isinstance(change, RemoveTree) and change.role == "runtime":
        if change.remove():
            item.did(change.directory)
    elif isinstance(change, Remove):
        _remove_socket(item, change)
    elif isinstance(change, RemoveCgroup) and change.make():
        item.acted = True


def _remove_socket(item: Bundle, change: Remove) -> None:
    """Looked at again, since a pod's other container may have come, or was not removed after all."""
    view = HostView()
    unused = view.sockets.bound(change.path) is False and not referrers(item.place, view).of(change.path)
    if unused and change.make():
        item.did(change.directory)
