# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What broken deletes left under hidden names: which of it a run may finish, and how it is locked (safety.md D2)."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import HeldLock, LockPlace
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import RemoveTree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part


def lock_of(rest: Part, directory: Directory) -> list[LockPlace]:
    """The lock of one, which lies in that open directory: held by its maker until it is whole, and by who finishes it.

    None for what is no directory. One that somebody else holds is passed over.
    """
    if not stat.S_ISDIR(rest.facts.mode):
        return []
    return [LockPlace(directory, rest.name, is_directory=True, is_optional=True)]


def ours_to_finish(rests: Iterable[Part], locks: Collection[HeldLock]) -> list[Part]:
    """Those that no other run is at work on. Nothing is known of that, and all are given, before anything is locked."""
    held = {lock.place.path for lock in locks}
    return [rest for rest in rests if not held or rest.path in held or not stat.S_ISDIR(rest.facts.mode)]


def unmounted(rests: Iterable[Part], view: HostView) -> list[Part]:
    """Those in which nothing is mounted, as far as that can be told."""
    return [rest for rest in rests if _is_unmounted(rest, view)]


def _is_unmounted(rest: Part, view: HostView) -> bool:
    from ansible_collections.sandboxed.containers.plugins.module_utils._object import removal

    try:
        return not removal.mounts_in_the_way([rest], view.mounts, False, view.asserted)
    except StateError:
        return False


def finished_first(plan: Plan, rests: Collection[Part], otherwise: str) -> Plan:
    """The plan, with the removal of the rests before its own changes. otherwise: its action where these are all."""
    removes = [RemoveTree("tombstone", one.directory, one.name, one.facts.identity) for one in rests]
    if not removes:
        return plan
    return plan._replace(action=plan.action if plan.changes else otherwise, changes=(*removes, *plan.changes))
