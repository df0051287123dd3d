# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pass over a host: every object of every layout, read first, judged after that, and tied (safety.md B4)."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import LAYOUTS as BUNDLE_LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_finding import KATA, find_all
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import KINDS, Candidate, Judged
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_reading import Found, look_at_all
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_verdicts import (
    Clock,
    doubts_of_age,
    together,
    verdict_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.report import age_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import (
    LEFTOVER,
    UNKNOWN,
    Evidence,
    Verdict,
)

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

FOREIGN = "foreign"
# Of this collection's own selectors: the layouts of sandboxes and of bundles that an engine owns.
ALL_LAYOUTS = (*LAYOUTS, *(name for name, layout in BUNDLE_LAYOUTS.items() if layout.has_engine))
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
        engines = tuple(host_processes.engines(view))
    judged = _judged_all(found, selection.min_age) if found else []
    return Scan([one for one in judged if selection.has(one.candidate)], judged, tuple(problems), engines)


def _processes(view: HostView, found: Sequence[Candidate], problems: list[str]) -> list[Candidate]:
    """The processes of this host that nothing of that accounts for."""
    from ansible_collections.sandboxed.containers.plugins.module_utils._object import host_processes

    try:
        own = {pid for one in found for pid in one.pids(view)}
        _ids_on_disk(view, found)
        return list(host_processes.find(view, own, _ids_on_disk))
    except StateError as error:
        problems.append(str(error))
        return []


def _ids_on_disk(view: HostView, found: Sequence[Candidate] | None = None) -> frozenset[str]:
    """The ids of all that is on disk, once in a view. found: what was read in this one already."""

    def look() -> frozenset[str]:
        there = found
        if there is None:
            there = [one.candidate for one in look_at_all(find_all("/", view, []), view)]
        return frozenset(name for one in there for name in one.names)

    return view.once("ids on disk", look)


def _judged_all(found: list[Found], min_age: float) -> list[Judged]:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host

    verdicts = _verdicts(_with_their_owners(found), Clock(time.time(), host.boot_time(), min_age))
    return [_judged(one, verdict) for one, verdict in zip(found, verdicts)]


def _with_their_owners(found: list[Found]) -> list[Found]:
    """The same; whoever owns a sandbox owns the mappings that lead to it."""
    owners: dict[str, tuple[str, ...]] = {}
    for one in found:
        if one.candidate.layout in KATA and one.evidence is not None and one.evidence.owners:
            owners.setdefault(one.candidate.name, one.evidence.owners)
    if not owners:
        return found
    return [one._replace(evidence=_owned(one.candidate, one.evidence, owners)) for one in found]


def _owned(candidate: Candidate, evidence: Evidence | None, owners: dict[str, tuple[str, ...]]) -> Evidence | None:
    if candidate.kind != "mapping" or evidence is None or evidence.owners:
        return evidence
    leads_to = sorted(candidate.names - {candidate.name}) or [candidate.name]  # a sandbox's own container has its name
    return evidence._replace(owners=next((owners[name] for name in leads_to if name in owners), ()))


def _verdicts(found: Sequence[Found], clock: Clock) -> list[Verdict]:
    """Each by itself, bundles first, since a sandbox's engine is asked by its bundle; then all that is tied."""
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.surroundings import engine_doubt

    going: set[str] = set()
    alone: dict[int, Verdict] = {}
    for one in sorted(found, key=lambda one: one.candidate.kind != "bundle"):
        candidate = one.candidate
        alone[id(candidate)] = verdict = _alone(one, clock, going)
        if candidate.kind == "bundle" and verdict.kind == LEFTOVER:
            going.update(engine_doubt(path) for path in candidate.paths)
    candidates = [one.candidate for one in found]
    verdicts = [alone[id(one)] for one in candidates]
    tied = together(verdicts, [one.names for one in candidates], [_label(one) for one in candidates])
    return [old if old.kind == FOREIGN else new for old, new in zip(verdicts, tied)]


def _alone(one: Found, clock: Clock, going: set[str]) -> Verdict:
    candidate = one.candidate
    foreign = candidate.foreign()
    if foreign:
        return Verdict(FOREIGN, (foreign,))
    if one.evidence is None:
        return Verdict(UNKNOWN, (one.problem,))
    on_memory = bool(candidate.paths) and candidate.paths[0].startswith(_ON_MEMORY)
    return verdict_of(one.evidence, doubts_of_age(candidate.changed, on_memory, clock), going)


def _label(one: Candidate) -> str:
    return f"{one.kind} {one.name}" + (f" ({one.layout})" if one.layout else "")


def _judged(one: Found, verdict: Verdict) -> Judged:
    changed = one.candidate.changed
    age = None if changed is None else age_of(changed)
    return Judged(one.candidate, verdict.kind, verdict.reasons, age, one.mounts if verdict.kind == LEFTOVER else ())


def in_order(objects: Sequence[Judged]) -> list[Judged]:
    """In the order in which they may be removed."""
    return sorted(objects, key=lambda one: (KINDS.index(one.candidate.kind), one.candidate.key))
