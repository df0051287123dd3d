# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one sandbox looks like to a reader: paths, documents, owners, verdict, age and size (sandbox_state_info)."""

from __future__ import annotations

import stat
from typing import Any, NamedTuple, cast

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import LockTimeout, StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.host import age_of
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import (
    HeldLock,
    LockPlace,
    acquire,
    raise_if_held,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.masking import masked
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import look
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Document, Part, Reading
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.flat import FlatLayout
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.trees import BESIDE, TreeLayout
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_owners import (
    Hints,
    hints_in,
    owners_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_selection import Selection
from ansible_collections.sandboxed.containers.plugins.module_utils._object.shares import in_workers, shares_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import UNKNOWN, Verdict, judge
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


class Look(NamedTuple):
    """One sandbox as it was read. locked: why its lock could not be had in time, or empty. hints: at its owners."""

    reading: Reading
    locked: str = ""
    hints: Hints | None = None

    def without_contents(self) -> Look:
        """The same without what the documents say, which takes most of the memory."""
        documents = tuple(document._replace(content=None) for document in self.reading.documents)
        reading = self.reading._replace(documents=documents)
        return Look(reading, self.locked, self.hints._replace(reading=reading) if self.hints else None)


def report_all(
    tree: Tree, selection: Selection, view: HostView, budget: LockBudget, with_documents: bool
) -> list[dict[str, Any]]:
    """The entries of all selected sandboxes; of many, by a process for each core."""
    names = selection.sandbox_ids if selection.sandbox_ids is not None else sorted(tree.names(view))
    reader = _Reader(tree, selection.container_id, view, budget, with_documents)
    shares = shares_of(names)
    if len(shares) < 2:
        return reader.entries(names)
    entries = in_workers(shares, lambda share: reader.entries([names[number] for number in share]))
    return [
        entry if isinstance(entry, dict) else _unreadable(tree, name, f"the process that read it {entry}")
        for name, entry in zip(names, entries)
    ]


class _Reader(NamedTuple):
    """What all entries of a task have in common."""

    tree: Tree
    container_id: str
    view: HostView
    budget: LockBudget
    with_documents: bool

    def entries(self, names: list[str]) -> list[dict[str, Any]]:
        """All files first, then the processes, from one view (safety.md B4)."""
        looks = [self._look_or_problem(name) for name in names]
        return [
            report(self.tree, look, self.view, self.container_id, self.with_documents)
            if isinstance(look, Look)
            else _unreadable(self.tree, name, look)
            for name, look in zip(names, looks)
        ]

    def _look_or_problem(self, name: str) -> Look | str:
        """One sandbox that cannot be read never stops the listing of the others (field problem 31)."""
        try:
            look = look_at(self.tree, name, self.view, self.budget)
        except StateError as error:
            return str(error)
        # Files side by side are few, and who owns them is told by what they say.
        keep = self.with_documents or isinstance(self.tree.layout, FlatLayout)
        return look if keep else look.without_contents()


def _unreadable(tree: Tree, name: str, reason: str) -> dict[str, Any]:
    return {"sandbox_id": name, "layout": tree.layout.name, "exists": True, "verdict": UNKNOWN, "evidence": [reason]}


def look_at(tree: Tree, sandbox_id: str, view: HostView, budget: LockBudget, contents: bool = True) -> Look:
    """Read one sandbox under a shared lock, since the runtimes write their documents in place (safety.md B3).

    contents: see TreeLayout.read.

    A lock file is never made for it. Where the lock is held until the deadline, the documents are read all the same,
    and the holder is reported: it is at work on them.
    """
    held: list[HeldLock] = []
    locked = ""
    try:
        for place in _locks_to_share(tree, sandbox_id, view):
            lock = acquire(place, budget if not held else None, exclusive=False)
            if lock is not None:
                held.append(lock)
    except StateError as error:  # held by somebody, or no lock that could be taken: either way nothing is proved
        locked = error.why if isinstance(error, LockTimeout) else str(error)
    try:
        reading = tree.read(view, sandbox_id, contents=contents)
    finally:
        for lock in held:
            lock.release()
    return Look(reading, locked, hints_in(tree.layout, tree.roots, reading))


def _locks_to_share(tree: Tree, sandbox_id: str, view: HostView) -> list[LockPlace]:
    """The runtime's locks that a reader may take. One that the runtime does not wait for is looked at in /proc alone:
    raises LockTimeout where somebody holds that."""
    if isinstance(tree.layout, FlatLayout):
        containers = tree.layout.containers_in(sandbox_id, tree.names(view).get(sandbox_id, []))
        return [tree.layout.lock_place(tree.roots, sandbox_id, name, create=False) for name in containers]
    layout = cast(TreeLayout, tree.layout)
    place = layout.lock_place(tree.roots, sandbox_id)
    if place is None or not place.directory.exists:
        return []
    state = look(place.directory, sandbox_id)
    if state is None or not stat.S_ISDIR(state.mode):
        return []
    if layout.runtime_waits:
        there = look(place.directory, place.name)
        return [place] if there is not None and stat.S_ISREG(there.mode) else []
    if state.inode in view.locked:
        raise_if_held(place, state.identity)
    return []


def report(tree: Tree, found: Look, view: HostView, container_id: str, with_documents: bool) -> dict[str, Any]:
    """The entry of one sandbox in the result. container_id: only this container's parts, empty for all."""
    reading = found.reading
    parts = _parts(tree, reading, container_id)
    entry: dict[str, Any] = {"sandbox_id": reading.sandbox_id, "layout": tree.layout.name, "exists": bool(parts)}
    if container_id:
        entry["container_id"] = container_id
    if not parts:
        return entry
    verdict = _verdict(tree, found, view)
    documents = [one for one in reading.documents if not container_id or one.container_id == container_id]
    facts = [*(part.facts for part in parts), *(one.facts for one in documents if one.facts is not None)]
    missing = _missing(reading, parts, container_id)
    beside = [part for part in parts if part.role in BESIDE]
    names = [container_id] if container_id else list(reading.containers)
    own = [one for one in documents if not one.container_id and not one.problem]
    return {
        **entry,
        "verdict": verdict.kind,
        "evidence": [f"{one.path}: {one.problem}" for one in documents if one.problem] + list(verdict.reasons),
        "paths": [part.path for part in parts],
        **({"missing": missing} if missing else {}),
        **({"beside": [_beside(part, view) for part in beside]} if beside else {}),
        "age": age_of(max(one.ctime_ns for one in facts) / 1e9),
        "size": sum({one.identity: one.size for one in facts if stat.S_ISREG(one.mode)}.values()),
        **({"documents": {one.name: masked(one.content) for one in own}} if with_documents and own else {}),
        "containers": [_container(name, documents, with_documents) for name in names],
    }


def _parts(tree: Tree, reading: Reading, container_id: str) -> list[Part]:
    if container_id and isinstance(tree.layout, TreeLayout):
        return tree.layout.trees_of(reading, container_id)
    return [part for part in reading.parts if not container_id or part.container_id == container_id]


def _missing(reading: Reading, parts: list[Part], container_id: str) -> list[str]:
    """Names where files lie side by side, and begin with the names of those that are there; else paths."""
    if not container_id:
        return list(reading.missing)
    stems = {part.name.rpartition(".")[0] for part in parts} - {""}
    folders = tuple(f"{part.path}/" for part in parts)
    return [name for name in reading.missing if name.rpartition(".")[0] in stems or name.startswith(folders)]


def _beside(part: Part, view: HostView) -> dict[str, Any]:
    """Something that belongs to the sandbox beside its state, with what is mounted there."""
    mounts = [mount.text for mount in view.mounts.in_the_way(part.path)]
    return {"kind": part.role, "path": part.path, **({"mounts": mounts} if mounts else {})}


def _verdict(tree: Tree, found: Look, view: HostView) -> Verdict:
    evidence = owners_of(tree.layout, tree.roots, found.reading, view, found.hints).evidence
    if found.locked:
        evidence = evidence._replace(suspects=(found.locked, *evidence.suspects))
    return judge(evidence)


def _container(name: str, documents: list[Document], with_documents: bool) -> dict[str, Any]:
    own = [one for one in documents if one.container_id == name]
    problems = [one.problem for one in own if one.problem]
    entry: dict[str, Any] = {"container_id": name, **({"problems": problems} if problems else {})}
    if with_documents:
        entry["documents"] = {one.name: masked(one.content) for one in own if not one.problem}
    return entry
