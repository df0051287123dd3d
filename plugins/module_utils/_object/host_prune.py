# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing leftovers of a whole host: in an order that is safe at every point, each judged again right before it goes.

The steps of each object are its own module's: prune adds what ties objects together, and never waits for a lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    InUse,
    LockTimeout,
    Mounted,
    NotProved,
    StateError,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.surroundings import engine_doubt
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_removal import AbsentBundle
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import (
    KINDS,
    Candidate,
    Judged,
    Terms,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_scan import (
    Scan,
    Selection,
    doubts_of,
    served_by,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_verdicts import (
    Clock,
    groups_of,
    verdict_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.owned import OwnedItem
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import (
    FAILED,
    SKIPPED,
    Item,
    Outcome,
    Run,
    run,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LEFTOVER, Evidence
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_KEEPS = (ChangedMeanwhile, InUse, LockTimeout, Mounted, NotProved)  # not an error: it is no leftover after all


class Ended(NamedTuple):
    """How the removal of one object ended. entry: what a result shows of the object as it was before."""

    judged: Judged
    entry: dict[str, Any]
    outcome: Outcome


class Pruner:
    """One prune: the objects that are to go, and all that they are tied to."""

    def __init__(self, found: Scan, wanted: Sequence[Judged], selection: Selection, terms: Terms) -> None:
        self._min_age = selection.min_age
        self._terms = terms
        self._host_root = selection.host_root
        self._wanted = wanted
        self._tied = _tied(found.all)
        bundles = [one.candidate for one in wanted if one.candidate.kind == "bundle"]
        self._going = frozenset(engine_doubt(path) for bundle in bundles for path in bundle.paths)
        self._together = _by_folder(bundles)
        self._planned: set[int] = set()
        self._gone: set[int] = set()  # candidates that are, or in check mode would be
        self._check_mode = False
        self._by_item: dict[int, Judged] = {}
        self._items: dict[int, Item] = {}  # by candidate

    def run(self, new_view: Callable[[], HostView], check_mode: bool, durable: bool) -> list[Ended]:
        """Take all steps, kind by kind: what others need goes after them."""
        self._check_mode = check_mode
        how = Run(new_view, LockBudget(0), check_mode, durable, guard=self._guard)
        ended: list[Ended] = []
        entries = {id(one): one.entry() for one in self._wanted}  # later looks at the candidates find less and less
        for kind in KINDS:
            items = [self._item(one) for one in self._wanted if one.candidate.kind == kind]
            if items:
                for outcome in run(items, how):
                    judged = self._by_item[id(outcome.item)]
                    ended.append(Ended(judged, entries[id(judged)], _kept(outcome)))
                    if ended[-1].outcome.action not in (FAILED, SKIPPED):
                        self._gone.add(id(judged.candidate))
            if kind == "bundle":
                self._going = _doubts_that_go(ended)
        return ended

    def _item(self, one: Judged) -> Item:
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_removal import item_of

        item = item_of(one.candidate, self._terms)
        self._by_item[id(item)] = one
        self._items[id(one.candidate)] = item
        if isinstance(item, AbsentBundle):
            item.wish = item.wish._replace(
                together=self._together[_folder_of(one.candidate)], cgroups=self._host_root == "/"
            )
        elif isinstance(item, OwnedItem):
            item.going = self._going
        return item

    def _guard(self, item: Item, view: HostView) -> None:
        """Before the plan that counts, look again at all that the object is tied to, and how old it is.

        The first plan is made right after the scan, which has just done so; but in check mode there is no other one.
        """
        if id(item) not in self._planned and not self._check_mode:
            self._planned.add(id(item))
            return
        candidate = self._by_item[id(item)].candidate
        # Until its bundles have had their turn, a sandbox is not suspected for them; after it they must be gone.
        going = self._going if self._check_mode or KINDS.index(candidate.kind) <= KINDS.index("bundle") else ()
        group = self._tied_to(candidate)
        keeper = view.once(("keeper", group[0]), lambda: self._keeper(group, view, going))
        if isinstance(keeper, StateError):
            raise keeper
        if keeper is not None:
            one, reasons = keeper
            tied = "" if one is candidate else f"{one.kind} {one.name}, to which it belongs: "
            raise InUse("", f"{tied}{'; '.join(reasons)}", "Nothing was removed.")
        served = served_by(candidate, view, self._host_root)
        if served:
            raise InUse("", served, "Nothing was removed.")

    def _tied_to(self, candidate: Candidate) -> Sequence[Candidate]:
        return self._tied.get(id(candidate), (candidate,))

    def _keeper(
        self, group: Sequence[Candidate], view: HostView, going: Collection[str]
    ) -> tuple[Candidate, tuple[str, ...]] | StateError | None:
        """The first that is no leftover among those that are tied, with the reasons; or why that cannot be told. All of
        them ask the same, so it is told once in a view, in which one kind has its turn."""
        clock = Clock(time.time(), host.boot_time(), self._min_age)
        for one in group:
            try:
                evidence = self._evidence(one, view) if id(one) not in self._gone else None
            except StateError as error:
                return error
            if evidence is None:
                continue
            verdict = verdict_of(evidence, doubts_of(one, view, self._host_root, clock), going)
            if verdict.kind != LEFTOVER:
                return one, verdict.reasons
        return None

    def _evidence(self, one: Candidate, view: HostView) -> Evidence | None:
        """Who owns an object now; None where it is gone. Told once in a view, whichever of the objects that are tied to
        it asks. Raises StateError."""
        read = view.once("read again", lambda: self._read_again(view))

        def look() -> Evidence | None:
            there = read[id(one)] if id(one) in read else self._is_there(one, view)
            if isinstance(there, StateError):
                raise there
            evidence = one.evidence(view) if there else None
            one.forget()
            return evidence

        return view.once(("evidence", one), look)

    def _read_again(self, view: HostView) -> dict[int, bool | StateError]:
        """All that is tied to what is locked now, before anybody asks for processes in this view (safety.md B4)."""
        locked = [self._by_item[id(item)].candidate for item in self._items.values() if item.locks]
        groups = {id(group[0]): group for group in map(self._tied_to, locked)}
        return {id(one): self._is_there(one, view) for group in groups.values() for one in group}

    def _is_there(self, one: Candidate, view: HostView) -> bool | StateError:
        own = self._items.get(id(one))
        one.ours = view.once("locks of ours", self._locked)
        try:
            return one.read(view, held=own is not None and bool(own.locks))
        except StateError as error:
            return error

    def _locked(self) -> frozenset[tuple[int, int]]:
        return frozenset(lock.inode for item in self._items.values() for lock in item.locks)


def _folder_of(bundle: Candidate) -> tuple[str, ...]:
    """The directory that a bundle lies in, by its key."""
    kind, layout, namespace, _name, place = bundle.key
    return (kind, layout, namespace, place)


def _by_folder(bundles: Sequence[Candidate]) -> dict[tuple[str, ...], frozenset[str]]:
    """The ids of those that go, by the directory that they lie in."""
    found: dict[tuple[str, ...], set[str]] = {}
    for one in bundles:
        found.setdefault(_folder_of(one), set()).add(one.name)
    return {folder: frozenset(ids) for folder, ids in found.items()}


def _tied(objects: Sequence[Judged]) -> dict[int, list[Candidate]]:
    """For each object that shares a name with others, directly or through others, all of them, itself included."""
    candidates = [one.candidate for one in objects]
    groups = ([candidates[number] for number in members] for members in groups_of([one.names for one in candidates]))
    return {id(one): group for group in groups for one in group}


def _doubts_that_go(ended: Sequence[Ended]) -> frozenset[str]:
    """What is said for bundles that are gone now, or would be in check mode; not for those that were kept after all."""
    gone = [one.entry for one in ended if one.entry["kind"] == "bundle" and one.outcome.action not in (FAILED, SKIPPED)]
    return frozenset(engine_doubt(path) for entry in gone for path in entry.get("paths", ()))


def _kept(outcome: Outcome) -> Outcome:
    """One that turned out to be no leftover, or is held by somebody, is kept, and that is no failure."""
    error: StateError | None = outcome.error
    if not isinstance(error, _KEEPS) or outcome.item.acted:
        return outcome
    return outcome._replace(action=SKIPPED, error=None, plan=outcome.plan._replace(changes=(), note=str(error)))


def entry_of(one: Ended, message: str) -> dict[str, Any]:
    """What a result shows of the end of one object."""
    kept = ("kind", "layout", "namespace", "id", "paths", "pid", "evidence", "size")
    known = {key: one.entry[key] for key in kept if key in one.entry}
    return {**known, "action": one.outcome.action, **({"msg": message} if message else {})}


def in_words(ended: Sequence[Ended], skipped: int, check_mode: bool, beside: str = "") -> str:
    """How a prune ended: counts by kind, and what was kept. beside: what to say of all that is no leftover."""
    done = [one for one in ended if one.outcome.action not in (FAILED, SKIPPED)]
    kinds = [(kind, sum(1 for one in done if one.judged.candidate.kind == kind)) for kind in KINDS]
    listed = ", ".join(f"{count} {_plural(kind, count)}" for kind, count in kinds if count)
    verb = "would be removed" if check_mode else "removed"
    text = f"{len(done)} leftover{'' if len(done) == 1 else 's'} {verb}" + (f" ({listed})." if listed else ".") + beside
    kept = skipped + sum(1 for one in ended if one.outcome.action == SKIPPED)
    failed = sum(1 for one in ended if one.outcome.action == FAILED)
    text += f" {kept} skipped: see msg of each in objects." if kept else ""
    return text + (f" {failed} failed." if failed else "")


def _plural(kind: str, count: int) -> str:
    if count == 1:
        return kind
    return f"{kind}es" if kind.endswith(("s", "x")) else f"{kind}s"
