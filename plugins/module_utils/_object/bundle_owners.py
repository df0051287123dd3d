# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who owns a bundle: its shim, its container's processes, and the engine that may need it (safety.md A4 to A8)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process, describe
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Claim
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundle_processes import BundleSigns, claim
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundle_reading import BundleReading
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import ROOTFS
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_hierarchies import (
    Hierarchy,
    hierarchies,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_paths import Cgroup, to_find
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.shim_sockets import abstract_names
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_engine import Engine, engine_at
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_places import BundlePlace
from ansible_collections.sandboxed.containers.plugins.module_utils._object.evidence import fate_of, hear
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence, Owners
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


class BundleHints(NamedTuple):
    """What the files of a bundle say of its owners: it stays the same as long as they and the host's cgroup mounts do.

    names: by which its processes, or its pod's, are found. root: its root file system. cgroups: those of it in the
    first hierarchy, of: where a process is, is compared within one. paths, abstract: where its shim may listen.
    """

    reading: BundleReading
    of: tuple[Hierarchy, ...]
    names: tuple[str, ...]
    root: str
    cgroups: tuple[Cgroup, ...]
    paths: tuple[str, ...]
    abstract: tuple[str, ...]


def hints_in(
    place: BundlePlace, reading: BundleReading, view: HostView, known: BundleHints | None = None
) -> BundleHints:
    """Taken from what was read; known: earlier ones, which may be of the same files."""
    engine_of(place, view)
    _processes = view.processes  # files first, then processes, then the mounts that tell the hierarchies (B4)
    of = hierarchies_of(view)[:1]
    if known is not None and known.of == of and (known.reading is reading or known.reading == reading):
        return known
    sockets = [part.path for part in reading.parts_of("socket")]
    elsewhere = [path for path in place.recorded_paths(reading) if path not in sockets]
    names = [address.abstract for address in reading.addresses if address.abstract]
    return BundleHints(
        reading,
        of,
        tuple({reading.container_id, reading.group or "", *reading.sandbox_ids} - {""}),
        _root_of(place.state.join(reading.container_id), reading),
        cgroups_of(reading, of),
        (*sockets, *elsewhere),
        (*names, *abstract_names(place.namespace, reading.container_id)),
    )


def cgroups_of(reading: BundleReading, of: Sequence[Hierarchy]) -> tuple[Cgroup, ...]:
    """Every cgroup that its spec may mean in some hierarchies; none where the spec is missing or leads outside."""
    spec = reading.spec.content if reading.spec is not None else None
    if not isinstance(spec, dict):
        return ()
    try:
        return to_find(spec, reading.container_id, "".join(reading.sandbox_ids[:1]), of)
    except InvalidInput:
        return ()  # no runtime could have made it


def hierarchies_of(view: HostView) -> tuple[Hierarchy, ...]:
    """The cgroup hierarchies of this host."""
    return view.once("hierarchies", lambda: hierarchies(view.mounts.own.mounts))


def engine_of(place: BundlePlace, view: HostView, creating: bool = False) -> Engine:
    """The containerd that owns these bundles; one that is not there where the layout has none."""
    if not place.layout.has_engine:
        return Engine()
    if place.why_no_list and not creating:
        return Engine(problem=place.why_no_list)
    engine = engine_at(place.metadata, view)
    if engine.installed or creating or not place.is_set_up(view):
        return engine
    # Its file system may not be mounted (yet).
    return Engine(problem=f"{place.metadata.path}: it has no database, though containerd is set up here")


def owners_of(
    place: BundlePlace,
    reading: BundleReading,
    view: HostView,
    creating: bool = False,
    known: BundleHints | None = None,
) -> Owners:
    """Gather the evidence for one bundle, from a view whose files were read before.

    creating: there is none yet, so that an engine which does not run, or has just started, needs nothing of it.
    known: what hints_in says for this view.
    """
    hints = hints_in(place, reading, view) if known is None else known
    engine = engine_of(place, view, creating)
    naming = _naming(hints, view)
    claims = _claims(place, hints, view, naming, engine)
    owners = [f"{describe(claim.process)} {claim.why}" for claim in claims if claim.proved]
    suspects = [f"{describe(claim.process)} {claim.why}" for claim in claims if not claim.proved]
    unknown = [*reading.problems, *(_undetermined(reading) if place.layout.has_engine else ())]
    dead: list[str] = []
    claimed = {claim.process.pid for claim in claims}
    for recorded in reading.pids:
        if recorded.pid not in claimed:
            sentence, gone = fate_of(recorded, view, recorded.pid in naming, "container")
            (dead if gone else suspects).append(sentence)
    if place.layout.has_engine:
        _listen(hints, view, owners, unknown)
        suspects += engine.listing(place.namespace, reading.container_id)
        suspects += [] if creating else engine.unsettled(changed_at(reading))
    suspects += _contradictions(reading)
    evidence = Evidence(
        owners=tuple(owners),
        suspects=tuple(suspects),
        unknown=tuple(unknown),
        dead=tuple(dead),
        blind=view.blind or ("" if view.asserted else view.once(("another", place), place.roots.another_hosts)),
    )
    return Owners(tuple(claim for claim in claims if claim.proved), evidence.suspects, evidence)


def _naming(hints: BundleHints, view: HostView) -> dict[int, Process]:
    """The processes that carry its name or its pod's."""
    carrying = view.processes.carrying
    return {mention.process.pid: mention.process for name in hints.names for mention in carrying(name)}


def _claims(
    place: BundlePlace, hints: BundleHints, view: HostView, naming: dict[int, Process], engine: Engine
) -> list[Claim]:
    reading, root, cgroups = hints.reading, hints.root, hints.cgroups
    rooted = view.mounts.rooted_at(root) if reading.bundle is not None else []
    candidates = dict(naming)
    members = _by_cgroup(view) if cgroups else {}
    inside = [pid for one in cgroups for pid in members.get(one.place.inside, ())]
    for pid in (*(recorded.pid for recorded in reading.pids), *rooted, *inside):
        process = view.processes.by_pid.get(pid)
        if process is not None and not process.dead:
            candidates[pid] = process
    if not candidates:
        return []
    directory = place.state.join(reading.container_id)
    work = place.work.join(reading.container_id) if place.work.path else ""
    signs = BundleSigns(place.namespace, directory, work, cgroups, engine.locked)
    claims = {pid: claim(process, reading, signs) for pid, process in candidates.items()}
    own = root.startswith(f"{directory}/")
    for pid in rooted:
        known = claims.get(pid)
        if pid in candidates and (known is None or not known.proved):
            # A root file system elsewhere may be that of several bundles.
            proved = own or known is not None
            claims[pid] = Claim(
                candidates[pid], proved, "has its root file system as its root", 2, 1 if proved else None
            )
    first = _first_process(reading, candidates)
    known = claims.get(first.pid) if first is not None else None
    if first is not None and (known is None or not known.proved):
        claims[first.pid] = Claim(first, True, "is its first process, as runc has recorded", 2, 1)
    return sorted((one for one in claims.values() if one is not None), key=lambda one: (one.rank, one.process.pid))


def _by_cgroup(view: HostView) -> dict[str, list[int]]:
    """The living processes in each cgroup."""

    def look() -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for process in view.processes.by_pid.values():
            for path in process.cgroups if not process.dead else ():
                found.setdefault(path, []).append(process.pid)
        return found

    return view.once("by cgroup", look)


def _first_process(reading: BundleReading, candidates: dict[int, Process]) -> Process | None:
    """The process that runc has recorded, if that pid still is the one that began at the recorded time."""
    runtime = reading.runtime
    if runtime is None or runtime.pid is None or not runtime.started:
        return None
    process = candidates.get(runtime.pid.pid)
    return process if process is not None and process.start_ticks == runtime.started else None


def _root_of(directory: str, reading: BundleReading) -> str:
    """The root file system that its spec names; that of the usual name where it names none that could be looked for."""
    spec = reading.spec.content if reading.spec is not None else None
    root = spec.get("root") if isinstance(spec, dict) else None
    path = root.get("path") if isinstance(root, dict) else None
    named = isinstance(path, str) and path.isprintable()
    return os.path.normpath(os.path.join(directory, str(path) if named else ROOTFS)).replace("//", "/")


def _listen(hints: BundleHints, view: HostView, owners: list[str], unknown: list[str]) -> None:
    """Whoever listens where its shim would do so is its owner: that may be the shim of its whole pod (A6)."""
    hear(hints.paths, view, owners, unknown)
    for name in hints.abstract:
        heard = view.sockets.has_abstract(name)
        if heard and not owners:
            owners.append(f"somebody listens on the abstract socket {name}")
        elif heard is None:
            unknown.append(f"it cannot be told whether somebody listens on {name}: {view.sockets.unreadable[0]}")
    unknown += [
        f"its shim's address {one.other} is not one of this host" for one in hints.reading.addresses if one.other
    ]


def _contradictions(reading: BundleReading) -> list[str]:
    """Annotations that name two pods: then nobody knows whose shim serves it (A6)."""
    if len(reading.sandbox_ids) < 2:
        return []
    return [f"it belongs to several sandboxes at once: {', '.join(reading.sandbox_ids)}"]


def _undetermined(reading: BundleReading) -> list[str]:
    """A damaged spec does not tell the pod whose shim may serve it, which only an address shows then (A6). What runc
    keeps tells the first process."""
    found = [reading.runtime.problem] if reading.runtime is not None and reading.runtime.problem else []
    spec = reading.spec
    if spec is not None and spec.problem and spec.readable and not reading.addresses:
        found.append(f"whose it is cannot be told from {spec.path}: {spec.problem}")
    return found


def changed_at(reading: BundleReading) -> float:
    """The newest change in the bundle, in seconds of the epoch; 0 where there is no bundle."""
    times = [facts.ctime_ns for _name, facts in reading.entries]
    if reading.bundle is not None:
        times.append(reading.bundle.facts.ctime_ns)
    return max(times, default=0) / 1e9
