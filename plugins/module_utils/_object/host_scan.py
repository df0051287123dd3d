# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pass over a host: every object of every layout, read first, judged after that, and tied (safety.md B4)."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import LAYOUTS as BUNDLE_LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_finding import KATA, find_all
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import (
    KINDS,
    Candidate,
    Judged,
    Known,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_reading import Found, look_at_all
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_verdicts import (
    Clock,
    doubts_of_age,
    together,
    verdict_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import (
    LEFTOVER,
    UNKNOWN,
    Verdict,
)

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

FOREIGN = "foreign"
# Of this collection's own selectors: the layouts of sandboxes and of bundles that an engine owns.
ALL_LAYOUTS = (*LAYOUTS, *(name for name, layout in BUNDLE_LAYOUTS.items() if layout.has_engine))
_BELONGS = ("mapping", "cgroup")  # kinds that say nothing of themselves: whose they are is dead or alive
_ON_MEMORY = ("/run/", "/dev/shm/", "/sys/fs/cgroup/")


class Selection(NamedTuple):
    """Which objects are asked for. The whole host is looked at all the same: what lives keeps what belongs to it.

    kinds, layouts: of these; empty: all. patterns: one of these shell patterns matches the id; empty: any id.
    """

    host_root: str = "/"
    kinds: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    min_age: float = 600.0

    def has(self, one: Candidate) -> bool:
        return (
            (not self.kinds or one.kind in self.kinds)
            and (not self.layouts or one.layout in self.layouts)
            and (not self.patterns or any(fnmatch.fnmatchcase(one.name, pattern) for pattern in self.patterns))
        )


class Scan(NamedTuple):
    """What was found. objects: the selected ones. all: of the whole host. problems: what could not be looked at, so
    that the scan is not complete. engines: that run here."""

    objects: list[Judged]
    all: list[Judged]
    problems: tuple[str, ...]
    engines: tuple[str, ...]


def scan(selection: Selection, view: HostView) -> Scan:
    """Look at the whole host. Never raises StateError: what cannot be read is unknown."""
    problems: list[str] = []
    found = look_at_all(find_all(selection.host_root, view, problems), view)
    view = view.again()  # what processes show counts only where it was looked at after the files (safety.md B4)
    engines: tuple[str, ...] = ()
    if selection.host_root == "/":
        from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_processes

        found += look_at_all(_processes(view, [one.candidate for one in found], problems), view)
        try:
            engines = tuple(host_processes.engines(view))
        except StateError as error:
            problems.append(f"which engines run cannot be told: {error}")
    judged = _judged_all(found, view, selection, problems) if found else []
    return Scan([one for one in judged if selection.has(one.candidate)], judged, tuple(problems), engines)


def _processes(view: HostView, found: Sequence[Candidate], problems: list[str]) -> list[Candidate]:
    """The processes of this host that nothing of that accounts for."""
    from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_processes

    own: set[int] = set()
    for one in found:
        try:
            own |= one.pids(view)
        except StateError as error:  # each process may be one of them
            problems.append(f"which processes are those of {one.kind} {one.name} cannot be told: {error}")
    try:
        _known(view, Known(frozenset(name for one in found for name in one.names), tuple(problems)))
        return list(host_processes.find(view, own, _known))
    except StateError as error:
        problems.append(str(error))
        return []


def _known(view: HostView, known: Known | None = None) -> Known:
    """The ids of all that is on disk, once in a view. known: what was read in this one already."""

    def look() -> Known:
        problems: list[str] = []
        found = look_at_all(find_all("/", view, problems), view)
        return Known(frozenset(name for one in found for name in one.candidate.names), tuple(problems))

    return view.once("ids on disk", look if known is None else lambda: known)


def _judged_all(found: list[Found], view: HostView, selection: Selection, problems: Sequence[str]) -> list[Judged]:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host

    clock = Clock(time.time(), host.boot_time(), selection.min_age)
    owned = _with_their_owners(found, view, selection.host_root, problems)
    verdicts = _verdicts(owned, lambda one: doubts_of(one, view, selection.host_root, clock))
    return [_judged(one, verdict) for one, verdict in zip(found, verdicts)]


def _with_their_owners(found: list[Found], view: HostView, host_root: str, problems: Sequence[str]) -> list[Found]:
    """The same; whoever owns a sandbox owns the mappings that lead to it, and whoever serves a pod what is of it.

    problems: where not all could be listed, what says nothing of itself may belong to something unseen.
    """
    owners: dict[str, tuple[str, ...]] = {}
    for one in found:
        if one.candidate.layout in KATA and one.evidence is not None and one.evidence.owners:
            owners.setdefault(one.candidate.name, one.evidence.owners)
    with_mappings = [_owned(one, owners) for one in found]
    return [_seen_whole(one, view, host_root, problems) for one in with_mappings]


def _seen_whole(one: Found, view: HostView, host_root: str, problems: Sequence[str]) -> Found:
    if one.evidence is None or one.evidence.owners or one.candidate.kind == "process":
        return one
    evidence = one.evidence
    if problems and one.candidate.kind in _BELONGS:
        evidence = evidence._replace(unknown=(*evidence.unknown, problems[0]))
    served = served_by(one.candidate, view, host_root)
    if served:
        evidence = evidence._replace(owners=(served,))
    return one if evidence is one.evidence else one._replace(evidence=evidence)


def served_by(one: Candidate, view: HostView, host_root: str) -> str:
    """Who serves the sandbox that an object belongs to, and so uses it in ways that need not show; or empty."""
    if host_root != "/":
        return ""
    from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_processes

    return host_processes.who_serves(view, one)


def _owned(one: Found, owners: dict[str, tuple[str, ...]]) -> Found:
    if one.candidate.kind != "mapping" or one.evidence is None or one.evidence.owners:
        return one
    candidate = one.candidate
    leads_to = sorted(candidate.names - {candidate.name}) or [candidate.name]  # a sandbox's own container has its name
    known = next((owners[name] for name in leads_to if name in owners), ())
    return one._replace(evidence=one.evidence._replace(owners=known)) if known else one


def _verdicts(found: Sequence[Found], doubts: Callable[[Candidate], tuple[str, ...]]) -> list[Verdict]:
    """Each by itself, bundles first, since a sandbox's engine is asked by its bundle; then all that is tied.

    doubts: see doubts_of.
    """
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.surroundings import engine_doubt

    going: set[str] = set()
    alone: dict[int, Verdict] = {}
    for one in sorted(found, key=lambda one: one.candidate.kind != "bundle"):
        candidate = one.candidate
        alone[id(candidate)] = verdict = _alone(one, going, doubts)
        if candidate.kind == "bundle" and verdict.kind == LEFTOVER:
            going.update(engine_doubt(path) for path in candidate.paths)
    candidates = [one.candidate for one in found]
    verdicts = [alone[id(one)] for one in candidates]
    return together(verdicts, [one.names for one in candidates], [_label(one) for one in candidates])


def _alone(one: Found, going: set[str], doubts: Callable[[Candidate], tuple[str, ...]]) -> Verdict:
    candidate = one.candidate
    foreign = candidate.foreign()
    if foreign:
        return Verdict(FOREIGN, (foreign,))
    if one.evidence is None:
        return Verdict(UNKNOWN, (one.problem,))
    return verdict_of(one.evidence, doubts(candidate), going)


def doubts_of(one: Candidate, view: HostView, host_root: str, clock: Clock) -> tuple[str, ...]:
    """What keeps an object whatever its owners are, in sentences: that it is too young, or that an engine lists it."""
    on_memory = any(path.startswith(_ON_MEMORY) for path in one.paths)
    return (*doubts_of_age(one.changed, on_memory, clock), *_doubts_of_engines(one, view, host_root))


def _doubts_of_engines(one: Candidate, view: HostView, host_root: str) -> tuple[str, ...]:
    """That an engine lists it (safety.md A5); a socket and a daemon have none. What keeps a bundle is also what its own
    containerd says, so that another one's list which cannot be read says nothing about it."""
    if one.kind not in ("sandbox", "bundle", "mapping", "process", "cgroup"):
        return ()
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_registries import registries

    try:
        known = registries(host_root, view)
        if one.kind == "bundle":
            return known.listed(one.names, one.own_engine)
        return known.doubts(one.names if one.kind != "process" else _whole_names(one, known.listers, view))
    except StateError as error:
        return (f"whether an engine lists it cannot be told: {error}",)


def _whole_names(one: Candidate, listed: Collection[str], view: HostView) -> Collection[str]:
    from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_processes

    return host_processes.whole_names(one.names, listed, view)


def _label(one: Candidate) -> str:
    return f"{one.kind} {one.name}" + (f" ({one.layout})" if one.layout else "")


def _judged(one: Found, verdict: Verdict) -> Judged:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.host import age_of

    changed = one.candidate.changed
    age = None if changed is None else age_of(changed)
    return Judged(one.candidate, verdict.kind, verdict.reasons, age, one.mounts if verdict.kind == LEFTOVER else 0)


def in_order(objects: Sequence[Judged]) -> list[Judged]:
    """In the order in which they may be removed."""
    return sorted(objects, key=lambda one: (KINDS.index(one.candidate.kind), one.candidate.key))
