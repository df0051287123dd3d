# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unmounting all that is at or below a path, without reaching what lies behind it (safety.md D4, contracts README R4).

An unmount below a shared mount also happens below its peers, for example the volume that a bind mount shows. So each
mount is made private before anything is unmounted below it; only the unmount of the topmost one may spread, to the
copies of it in other namespaces. Such a copy stays where it has mounts of its own below it: the caller's next
MountSurvey finds it. Never MNT_DETACH or MNT_FORCE.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import syscalls
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import users_below
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    InUse,
    Mounted,
    NotProved,
    StateError,
    WriteFailed,
    os_reason,
    way_out,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import (
    Mount,
    MountTable,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.namespaces import (
    MountSurvey,
    in_initial_mount_namespace,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import mount_id_of
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import describe, read

_LONGEST_PAUSE = 0.2
_SHOWN = 5


class Step(NamedTuple):
    """One step of a plan. private: make the mount and all below it private; otherwise unmount it."""

    private: bool
    mount: Mount


def plan_unmount(table: MountTable, path: str) -> list[Step]:
    """The steps that unmount all at or below path, each visible when its turn comes. Pure.

    Below each mount its children come in the order of their points: one that covers another (or its own parent, when
    stacked) goes first. A mount with children is made private as soon as nothing covers it, so before any other child
    is unmounted.
    """
    tops, children = _family(table, path)
    steps: list[Step] = []
    # A loop and not a recursion, since mounts may be stacked by the thousand.
    for top in tops:
        stack = [(top, _children_of(top, children, steps))]
        while stack:
            mount, rest = stack[-1]
            child = next(rest, None)
            if child is None:
                stack.pop()
                steps.append(Step(False, mount))
            else:
                stack.append((child, _children_of(child, children, steps)))
    return steps


def _family(table: MountTable, path: str) -> tuple[list[Mount], dict[int, list[Mount]]]:
    """The mounts at or below path whose parent is not, and the children of each; both sorted by point."""
    wanted = {mount.mount_id: mount for mount in table.at_or_below(path)}
    children: dict[int, list[Mount]] = {}
    tops: list[Mount] = []
    for mount in wanted.values():
        if mount.parent_id in wanted and mount.parent_id != mount.mount_id:
            children.setdefault(mount.parent_id, []).append(mount)
        else:
            tops.append(mount)
    return tops, children


def _children_of(mount: Mount, children: dict[int, list[Mount]], steps: list[Step]) -> Iterator[Mount]:
    """The children in their order.

    The step that makes the mount private comes before the first that does not cover it.
    """
    private = False
    for child in children.get(mount.mount_id, ()):
        if child.point != mount.point and not private:
            private = True
            steps.append(Step(True, mount))
        yield child


def outside_peers(survey: MountSurvey, path: str) -> list[str]:
    """Mounts elsewhere that would lose what is stacked on a shared mount at or below path, in words.

    A covered mount cannot be made private, since no path leads to it; unmounting what covers it spreads to its peers.
    That concerns the topmost stack only: below it all has been made private by then. Copies of a covered mount at the
    same place in other namespaces are meant to go.
    """
    tops, children = _family(survey.own, path)
    places: dict[str, list[object]] = {}
    for covered in tops:
        cover: Mount | None = covered
        while cover is not None:
            covered = cover
            cover = next((child for child in children.get(covered.mount_id, ()) if child.point == covered.point), None)
            if cover is not None:
                for group in _groups(covered, "shared:"):
                    places.setdefault(group, []).append(survey.own.location(covered))
    if not places:
        return []
    told = [f"unknown mounts ({item.reason})" for item in survey.unreadable]
    tables: list[tuple[int | None, MountTable]] = [(None, survey.own), *survey.others]
    for pid, table in tables:
        for mount in table.mounts:
            for group in _groups(mount, "shared:", "master:"):
                if group in places and table.location(mount) not in places[group]:
                    told.append(
                        table.describe(mount) + ("" if pid is None else f" in the mount namespace of pid {pid}")
                    )
    return told


def _groups(mount: Mount, *kinds: str) -> list[str]:
    """The peer groups of a mount. "propagate_from:" names one beyond its master and adds nothing."""
    return [field.partition(":")[2] for field in mount.propagation.split() if field.startswith(kinds)]


def unmount_all(path: str, timeout: float = 2.0, proc: str = "/proc", any_namespace: bool = False) -> list[str]:
    """Unmount all that is at or below path; returns the mount points, in the order of unmounting.

    [] where nothing was mounted.

    path: absolute, normalised, without symbolic links. timeout: seconds to try again while a mount is busy (field
    problem 35), for the whole call. any_namespace: also where this is not pid 1's mount namespace (tests, an offline
    image).
    Raises NotProved (another namespace than pid 1's), Mounted (it would reach a peer; or something stayed), InUse
    (busy; names the users that can be seen), ChangedMeanwhile, WriteFailed, Unreadable. What was unmounted before an
    error stays unmounted, which the error's `changed` tells, and what was made private stays private.
    """
    table = MountTable.read("self", proc)
    if not table.at_or_below(path):
        return []
    if path == "/":
        raise ValueError("the root is never unmounted")
    if not any_namespace and in_initial_mount_namespace(proc) is not True:
        raise NotProved(path, "this is not, or not provably, the mount namespace of pid 1", "Run the task there.")
    survey = MountSurvey.read(proc)
    peers = outside_peers(survey, path)
    if peers:
        why = f"mounts are stacked there, and unmounting them would also unmount below: {_list(peers)}"
        raise Mounted(path, why, "Unmount them by hand.")
    deadline = time.monotonic() + timeout
    done: list[str] = []
    try:
        for step in plan_unmount(survey.own, path):
            if _apply(step, survey.own, proc, deadline) and not step.private:
                done.append(step.mount.point)
        _refuse_left(path, proc)
    except StateError as error:
        error.changed = bool(done)
        raise
    return done


def _refuse_left(path: str, proc: str) -> None:
    left = MountTable.read("self", proc)
    stayed = [left.describe(mount) for mount in left.at_or_below(path)]
    if stayed:
        raise Mounted(path, f"still mounted: {_list(stayed)}", "Something mounts there at this moment; stop it first.")


def _list(texts: list[str]) -> str:
    more = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _apply(step: Step, table: MountTable, proc: str, deadline: float) -> bool:
    """Take one step. False: the mount was gone already, by another process or by propagation."""
    mount = step.mount
    pause = 0.01
    while True:
        try:
            _change(step, table)
            return True
        except (OSError, StateError) as error:
            if mount.mount_id not in MountTable.read("self", proc).by_id:
                return False
            if isinstance(error, StateError):
                raise
            if error.errno != errno.EBUSY:
                raise WriteFailed(mount.point, f"cannot be unmounted: {os_reason(error)}", way_out(error)) from error
            if time.monotonic() + pause > deadline:
                users = _users(mount.point, proc)
                raise InUse(mount.point, f"the mount is in use by {users}", "End that, then run again.") from error
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _change(step: Step, table: MountTable) -> None:
    """Act on exactly this mount.

    Its directory is opened without following links, and both mount ids are compared first.
    """
    mount = step.mount
    holder = mount
    while holder.point == mount.point:
        if holder.parent_id not in table.by_id:
            raise ChangedMeanwhile(mount.point, "the mount that holds it is not visible")
        holder = table.by_id[holder.parent_id]
    directory, name = os.path.split(mount.point)
    parent = _open_directory(directory)
    try:
        target = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            if mount_id_of(parent) != holder.mount_id or mount_id_of(target) != mount.mount_id:
                raise ChangedMeanwhile(mount.point, "the mounts there have changed")
            if step.private:
                syscalls.make_private(f"/proc/self/fd/{target}")
                return
        finally:
            os.close(target)  # an open descriptor would keep the mount busy
        syscalls.umount(f"/proc/self/fd/{parent}/{name}", syscalls.UMOUNT_NOFOLLOW)
    finally:
        os.close(parent)


def _open_directory(path: str) -> int:
    """Open a directory by its absolute path; a symbolic link anywhere in it is an error (field problem 11).

    Raises OSError.
    """
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    current = os.open("/", flags)
    for name in path.split("/"):
        if name:
            try:
                below = os.open(name, flags, dir_fd=current)
            finally:
                os.close(current)
            current = below
    return current


def _users(point: str, proc: str) -> str:
    """Who keeps a mount busy, in words; what cannot be read is left out, so this is told and decides nothing."""
    found = {user.pid: user.where for user in users_below([point], proc).users}
    named = [(process, found[pid]) for pid in found if (process := read(pid, proc)) is not None]
    if not named:
        return "a process or the kernel (the user is not visible)"
    return _list([f"{describe(process)} by its {where}" for process, where in named])
