# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of a removal, and what must be ended before it (safety.md C3, D3, D8, E)."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import HIDDEN, Inode, uses
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    InUse,
    Mounted,
    NotProved,
    Unreadable,
    os_reason,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.namespaces import (
    MountSurvey,
    in_initial_mount_namespace,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import (
    describe,
    read,
    started_before,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.signalling import stop
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Claim, Part
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Stop, Unmount
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import RemoveTree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_LOOKS, _SURE, _BETWEEN_LOOKS = 6, 2, 0.05  # our own waiters open a lock for microseconds; a runtime that waits stays
_SHOWN = 5  # mounts that a message names
_TERM_SECONDS, _KILL_SECONDS = 3.0, 10.0


def mounts_in_the_way(parts: Collection[Part], survey: MountSurvey, unmount: bool, trusting: bool) -> list[Unmount]:
    """The unmounts that a removal needs first. Raises Mounted where they are not wished, or not ours to make (D3).

    trusting: what cannot be read is taken to hold no mounts (the user asserts to see all).
    """
    if not trusting and in_initial_mount_namespace() is not True:
        raise NotProved(
            "",
            "this task does not run in the host's own mount namespace, so it does not see what is mounted there",
            "Run it there, or set sees_all_processes=true if this tree is not the host's. Nothing was changed.",
        )
    found = [(part, mount) for part in parts for mount in survey.in_the_way(part.path)]
    # What we unmount goes in the namespaces that have a copy of it too, and is looked for again before the delete.
    copies = {mount.path for _part, mount in found if mount.pid is None} if unmount else set()
    elsewhere = [mount.text for _part, mount in found if mount.pid is not None and mount.path not in copies]
    if elsewhere:
        raise Mounted(
            "",
            f"{_count(elsewhere, 'mount')} of other mount namespaces on it ({'; '.join(elsewhere[:3])})",
            "End the processes of these namespaces first. Nothing was changed.",
        )
    if found and not unmount:
        texts = [mount.text for _part, mount in found]
        raise Mounted(
            "",
            f"{_count(texts, 'mount')} on it or below ({'; '.join(texts[:3])})",
            "Set on_mounted=unmount to unmount first. Nothing was changed.",
        )
    if survey.unreadable and not trusting:
        raise NotProved(
            "",
            f"{_count(survey.unreadable, 'mount namespace')} cannot be read, so mounts in it are unknown",
            "Run as root. Nothing was changed.",
        )
    return [Unmount(path, trusting) for path in dict.fromkeys(part.path for part, _mount in found)]


def may_be_mounted(parts: Collection[Part], view: HostView) -> bool:
    """False when nothing is mounted anywhere in the directories of the parts, which is told once for all items."""
    if not view.once("mounts are seen", lambda: not view.mounts.unreadable and view.in_initial_mount_namespace):
        return True
    quiet: dict[str, bool] = view.once("quiet directories", dict)
    for part in parts:
        path = part.directory.path
        if path not in quiet:
            quiet[path] = not view.mounts.in_the_way(path)
        if not quiet[path]:
            return True
    return False


def removals_of(parts: Collection[Part], unmounts: Collection[Unmount], view: HostView) -> list[RemoveTree]:
    """The removal of each part, in their order. What lies under a mount that goes first is seen only then."""
    if not unmounts:
        return [RemoveTree(part.role, part.directory, part.name, part.facts.identity) for part in parts]
    covered = {mount.point for unmount in unmounts for mount in view.mounts.own.at_or_below(unmount.path)}
    return [
        RemoveTree(part.role, part.directory, part.name, None if part.path in covered else part.facts.identity)
        for part in parts
    ]


def refuse_mounts_in(parts: Collection[Part], view: HostView) -> None:
    """What is mounted there is not the object's own, and would be written to. Raises Mounted."""
    table = view.mounts.own
    mounts = [mount for part in parts for mount in table.at_or_below(part.path)]
    if mounts:
        shown = "; ".join(table.describe(mount) for mount in mounts[:3])
        raise Mounted("", f"something is mounted in it ({shown})", "Unmount it first. Nothing was changed.")


def refuse_covered(parts: Collection[Part], view: HostView) -> None:
    """What is mounted on the very directory hides all by which the object could be judged. Raises Mounted."""
    for part in parts:
        covering = [mount for mount in view.mounts.own.at_or_below(part.path) if mount.point == part.path]
        if covering:
            shown = view.mounts.own.describe(covering[-1])
            raise Mounted("", f"its own directory cannot be seen below a mount ({shown})", "Unmount that by hand.")


def refuse_still_mounted(path: str) -> None:
    """An unmount spreads to peers; where a copy has stayed, a delete would detach it there (safety.md D3)."""
    survey = MountSurvey.read()
    left = survey.told(survey.in_the_way(path))
    if left:
        more = f"; and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        raise Mounted(path, f"still mounted: {'; '.join(left[:_SHOWN])}{more}", "End what keeps it, and run again.")


def _count(things: Collection[object], noun: str) -> str:
    return f"there is 1 {noun}" if len(things) == 1 else f"there are {len(things)} {noun}s"


def stops_for(label: str, owners: Collection[Claim], written_ns: Collection[int]) -> list[Stop]:
    """The owners to be ended, in order. Raises InUse for one that is not ours to end, NotProved for one that has
    started after the records were written, which therefore is not the one that they mean (E1)."""
    written = [at / 1e9 for at in written_ns]
    for claim in owners:
        if claim.stop_order is None:
            raise InUse(f"{label} is in use", f"{describe(claim.process)} {claim.why}", claim.remedy)
        if written and not started_before(claim.process, max(written)):
            raise NotProved(
                "",
                f"{describe(claim.process)} {claim.why}, and is not proved to be older than its state",
                "Stop it by hand.",
            )
    ordered = sorted(owners, key=lambda claim: (claim.stop_order or 0, claim.process.pid))
    return [Stop(claim.process.pid, claim.process.start_ticks, describe(claim.process)) for claim in ordered]


def stop_all(stops: Collection[Stop], owners: Collection[Claim]) -> bool:
    """End the processes, each through a pidfd and only if it still is the one that was looked at (E1)."""
    processes = {claim.process.pid: claim.process for claim in owners}
    ended = False
    for change in stops:
        if change.pid in processes:
            ended = stop(processes[change.pid], _KILL_SECONDS, _TERM_SECONDS) or ended
    return ended


def lasting_users(
    inodes: Collection[Inode], trees: Collection[str] = (), parent: int = 0, trusting: bool = False
) -> dict[Inode | str, str]:
    """Who has one of these inodes open now and a moment later, or stands in one of these trees or has a file in it
    open: a runtime that waits for a lock, or uses a file (safety.md C3, D8). And one of whom that cannot be told, as
    HIDDEN and as TOO_LONG. parent: see descriptors.uses. trusting: who hides all is not asked for."""

    def look() -> set[tuple[Inode | str, int]]:
        try:
            found = uses(inodes, trees, parent=parent)
        except OSError as error:
            raise Unreadable("/proc", f"descriptors cannot be looked at: {os_reason(error)}", "Run as root.") from error
        return {one for one in found if one[0] != HIDDEN} if trusting else found

    return _lasting(look) if inodes or trees else {}


def _lasting(look: Callable[[], set[tuple[Inode | str, int]]]) -> dict[Inode | str, str]:
    """What the same process uses in three looks that follow each other: who only passes by is gone by then, also where
    many of us remove the same things on a busy machine."""
    before: set[tuple[Inode | str, int]] = set()
    lasting: set[tuple[Inode | str, int]] = set()
    for number in range(_LOOKS):
        if number:
            time.sleep(_BETWEEN_LOOKS)
        now = look()
        lasting = now & before
        if not now or (lasting and number >= _SURE):
            break
        before = lasting = lasting or now
    users: dict[Inode | str, str] = {}
    for used, pid in lasting:
        process = read(pid)
        users[used] = describe(process) if process is not None else f"pid {pid}"
    return users
