# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Invariants: what holds after a fault, whatever the module is."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import TEMPORARY_SUFFIX
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.tombstones import parse_tombstone
from ansible_collections.sandboxed.containers.tests.faults.running import Ended
from ansible_collections.sandboxed.containers.tests.faults.snapshot import ROOT, Tree, differences
from ansible_collections.sandboxed.containers.tests.faults.tracing import Call, Point

# What a task says that was overtaken, or that does not wait. Everything else is no good reason to fail.
EXCUSES = (
    "changed while this task waited",
    "went away while this task came for it",
    "it is not the lock that this task holds",
    "somebody else has made it meanwhile",
    "it was removed meanwhile",
    "it was taken away while it was made",
    "did not wait",
    "this task has waited 0 s",
    "Try again when it is done",
    "does not exist",
)


class Observed(NamedTuple):
    """One run with a fault. calls: those of the undisturbed run, and wanted what that one left; before: where both
    began; after: what this one left; ended: how. passing: see Case."""

    point: Point
    calls: list[Call]
    before: Tree
    wanted: Tree
    after: Tree
    ended: Ended
    passing: Mapping[str, bytes] = MappingProxyType({})

    def made(self, name: str, path: str) -> bool:
        """Whether the undisturbed run had made such a call on the path before the point: rename, unlink."""
        earlier = self.calls[: self.calls.index(self.point.call)]
        return any(call.name.startswith(name) and f"{ROOT}/{path}" in call.paths() for call in earlier)


Invariant = Callable[[Observed], None]


def subject_of(path: str) -> str | None:
    """The name of the object whose tombstone a path is, or lies in (safety.md D1)."""
    found = (parse_tombstone(part) or parse_tombstone(part, ".") for part in path.split("/"))
    return next(filter(None, found), None)


def names_in(*trees: Tree) -> set[str]:
    """All parts of all paths."""
    return {part for tree in trees for path in tree for part in path.split("/")}


def old_or_new(seen: Observed) -> None:
    """Each file is wholly the old one or the new one: content, mode, owner and attributes (promise 2)."""
    for path, entry in seen.after.items():
        if path.endswith(TEMPORARY_SUFFIX):
            continue  # nobody reads one
        states = [tree[path] for tree in (seen.before, seen.wanted) if path in tree]
        if path in seen.passing:
            states += [state._replace(content=seen.passing[path]) for state in states]
        torn = states and not any(entry.means(state) for state in states)
        assert not torn, f"{path} is neither the old nor the new one: {entry[:4]}"
    lost = [path for path in seen.before.keys() & seen.wanted.keys() if path not in seen.after]
    assert not lost, f"{lost} should be there, and are not"


def nothing_else_is_touched(seen: Observed) -> None:
    """What the task leaves alone, it leaves alone here as well: the same inode, not written (promise 5)."""
    for path, entry in seen.before.items():
        if entry.means(seen.wanted.get(path)):
            assert seen.after.get(path) == entry, f"{path} was touched"


def an_error_is_told(seen: Observed) -> None:
    """A change that fails is a failed task, with a message that has the reason. What could not be read either fails it,
    or makes no difference: never less is done in silence (promise 7). No traceback, and JSON alone."""
    if seen.point.kills:
        assert seen.ended.killed, f"it was not killed: {seen.ended.text}"
        return
    assert seen.ended.answer is not None, f"no JSON: {seen.ended.text[-700:]}"
    assert "Traceback" not in seen.ended.text, seen.ended.text[-700:]
    if seen.ended.failed:
        reason = os.strerror(getattr(errno, seen.point.fault)) if seen.point.call.changes else ""
        message = seen.ended.message
        assert message and reason in message, f"the message lacks '{reason}': {message}"
        return
    assert not seen.point.call.changes, f"it does not fail: {seen.ended.text}"
    wrong = differences(seen.after, seen.wanted)
    assert not wrong, f"it does not fail, and {'; '.join(wrong)}"


def nothing_strange_is_left(seen: Observed) -> None:
    """What neither was there nor is to be there is left only by a kill, and then the next run knows it by its name: a
    temporary, a lock that was made to be held, or a tombstone of an object of this task. A tombstone may also stay of
    an object that is gone, when what failed was to remove what is in it: that object cannot come back."""
    strays = seen.after.keys() - seen.before.keys() - seen.wanted.keys()
    gone = names_in({path: entry for path, entry in seen.before.items() if path not in seen.wanted | seen.after})
    known = gone if not seen.point.kills else names_in(seen.before, seen.wanted)
    strange = [
        path
        for path in sorted(strays)
        if subject_of(path) not in known and not (seen.point.kills and path.endswith((TEMPORARY_SUFFIX, ".lock")))
    ]
    assert not strange, f"{strange} were left"


def changed_is_true(seen: Observed) -> None:
    """`changed` says whether anything is different, also when the task fails (promise 1).

    That an old temporary went may count or not: nobody reads one.
    """
    if seen.ended.answer is not None:
        lines = differences(seen.after, seen.before)
        counting = [line for line in lines if TEMPORARY_SUFFIX not in line]
        allowed = {True} if counting else {bool(lines), False}
        assert seen.ended.changed in allowed, f"changed is {seen.ended.changed}, and {lines or 'nothing changed'}"


ALWAYS: dict[str, Invariant] = {
    "old or new": old_or_new,
    "nothing else is touched": nothing_else_is_touched,
    "an error is told": an_error_is_told,
    "nothing strange is left": nothing_strange_is_left,
    "changed is true": changed_is_true,
}
