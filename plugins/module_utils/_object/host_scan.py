# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pass over a host: every object of every layout, read first, judged after that, and tied (safety.md B4)."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import host
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import LAYOUTS as BUNDLE_LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.surroundings import engine_doubt
from ansible_collections.sandboxed.containers.plugins.module_utils._object import (
    host_bundles,
    host_others,
    host_processes,
    host_sandboxes,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import KINDS, Candidate, Judged
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_sandboxes import each
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_verdicts import (
    Clock,
    doubts_of_age,
    together,
    verdict_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.report import age_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import (
    LEFTOVER,
    LIVE,
    UNKNOWN,
    Verdict,
)
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
    candidates, unreadable = _read_all(selection.host_root, view, problems)
    clock = Clock(time.time(), host.boot_time(), selection.min_age)
    candidates += _processes(selection.host_root, view, candidates, problems)
    problems = list(dict.fromkeys(problems))
    verdicts = _verdicts(candidates, _doubtful(candidates, unreadable, problems), view, clock)
    judged = [_judged(one, verdict, view) for one, verdict in zip(candidates, verdicts)]
    engines = tuple(host_processes.engines(view)) if selection.host_root == "/" else ()
    return Scan([one for one in judged if selection.has(one.candidate)], judged, tuple(problems), engines)


def _read_all(host_root: str, view: HostView, problems: list[str]) -> tuple[list[Candidate], dict[int, str]]:
    """All files of all objects; those of which something cannot be read, with the reason."""
    finders: tuple[Callable[[], Iterator[Candidate]], ...] = (
        lambda: host_sandboxes.find(host_root, ALL_LAYOUTS, view, problems),
        lambda: host_bundles.find(host_root, ALL_LAYOUTS, view, problems),
        lambda: host_others.find_mappings(host_root),
        lambda: host_others.find_daemons(host_root),
        lambda: host_bundles.find_sockets(host_root, view),
        lambda: host_others.find_cgroups(host_root, view),
    )
    found: list[Candidate] = []
    unreadable: dict[int, str] = {}
    for finder in finders:
        for one in each(finder(), problems):
            try:
                if one.read(view):
                    found.append(one)
            except StateError as error:
                found.append(one)
                unreadable[id(one)] = str(error)
    return found, unreadable


def _doubtful(candidates: Sequence[Candidate], unreadable: dict[int, str], problems: Sequence[str]) -> dict[int, str]:
    """What cannot be judged, with the reason: where not all could be listed, it may belong to something unseen."""
    missed = {id(one): problems[0] for one in candidates if problems and one.kind in _BELONGS}
    return {**missed, **unreadable}


def _processes(host_root: str, view: HostView, found: Sequence[Candidate], problems: list[str]) -> list[Candidate]:
    """The processes that nothing of that accounts for."""
    try:
        own = {pid for one in found if isinstance(one, host_others.DaemonCandidate) for pid in one.pids(view)}
        _ids_on_disk(host_root, view, found, problems)
        return list(host_processes.find(host_root, view, own, lambda later: _ids_on_disk(host_root, later)))
    except StateError as error:
        problems.append(str(error))
        return []


def _ids_on_disk(
    host_root: str, view: HostView, found: Sequence[Candidate] | None = None, problems: Sequence[str] = ()
) -> host_processes.Known:
    """The ids of all that is on disk, once in a view. found, problems: of what was read in this one already."""

    def look() -> host_processes.Known:
        missed: list[str] = list(problems)
        there = _read_all(host_root, view, missed)[0] if found is None else found
        return host_processes.Known(frozenset(name for one in there for name in one.names), "; ".join(missed[:2]))

    return view.once("ids on disk", look)


def _verdicts(
    candidates: Sequence[Candidate], unreadable: dict[int, str], view: HostView, clock: Clock
) -> list[Verdict]:
    """Each by itself, bundles first, since a sandbox's engine is asked by its bundle; then all that is tied."""
    going: set[str] = set()
    alone: dict[int, Verdict] = {}
    for one in sorted(candidates, key=lambda one: one.kind != "bundle"):
        alone[id(one)] = verdict = _alone(one, unreadable.get(id(one), ""), view, clock, going)
        if one.kind == "bundle" and verdict.kind == LEFTOVER:
            going.update(engine_doubt(path) for path in one.paths)
    verdicts = [alone[id(one)] for one in candidates]
    tied = together(verdicts, [one.names for one in candidates], [_label(one) for one in candidates])
    return [old if old.kind == FOREIGN else new for old, new in zip(verdicts, tied)]


def _alone(one: Candidate, problem: str, view: HostView, clock: Clock, going: set[str]) -> Verdict:
    foreign = one.foreign()
    if foreign:
        return Verdict(FOREIGN, (foreign,))
    if problem:
        return Verdict(UNKNOWN, (problem,))
    try:
        on_memory = bool(one.paths) and one.paths[0].startswith(_ON_MEMORY)
        verdict = verdict_of(one.evidence(view), doubts_of_age(one.changed, on_memory, clock), going)
        # Whoever serves its pod uses it, in ways that need not show.
        served = host_processes.who_serves(view, one) if verdict.kind == LEFTOVER else ""
        return Verdict(LIVE, (served,)) if served else verdict
    except StateError as error:
        return Verdict(UNKNOWN, (str(error),))


def _label(one: Candidate) -> str:
    return f"{one.kind} {one.name}" + (f" ({one.layout})" if one.layout else "")


def _judged(one: Candidate, verdict: Verdict, view: HostView) -> Judged:
    mounts: tuple[str, ...] = ()
    if verdict.kind == LEFTOVER and one.kind in ("sandbox", "bundle"):
        mounts = tuple(mount.text for path in one.paths for mount in view.mounts.in_the_way(path))
    age = None if one.changed is None else age_of(one.changed)
    return Judged(one, verdict.kind, verdict.reasons, age, mounts)


def in_order(objects: Sequence[Judged]) -> list[Judged]:
    """In the order in which they may be removed."""
    return sorted(objects, key=lambda one: (KINDS.index(one.candidate.kind), one.candidate.key))
