# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What container_bundle_info tells of bundles: what is on disk, who owns it, and the summary in words."""

from __future__ import annotations

import stat
from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import cgroup_population
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.host import age_of
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import as_names, check_known_name
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.masking import masked
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundle_reading import BundleReading
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import NAMES
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_owners import (
    changed_at,
    hierarchies_of,
    hints_in,
    owners_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_places import BundlePlace
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_rootfs import remains
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_selection import Places, namespace_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.shares import in_workers, shares_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import UNKNOWN, judge
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_Selected = tuple[BundlePlace, str]


def report_all(params: dict[str, Any], view: HostView) -> list[dict[str, Any]]:
    """The entries of all selected bundles; of many, by a process for each core. Raises StateError."""
    chosen = _selected(params, view)
    shares = shares_of([str(number) for number in range(len(chosen))])

    def work(share: list[int]) -> list[Any]:
        return _entries([chosen[number] for number in share], view, params["with_documents"])

    if len(shares) < 2:
        return work(list(range(len(chosen))))
    entries = in_workers(shares, work)
    return [
        entry if isinstance(entry, dict) else _unreadable(one, f"the process that read it {entry}")
        for one, entry in zip(chosen, entries)
    ]


def _selected(params: dict[str, Any], view: HostView) -> list[_Selected]:
    """Every bundle that is asked for. Without ids all, and without a namespace those of all namespaces."""
    places = Places(params)
    if params["namespace"] is None and places.layout.has_engine:
        where = places.all()
    else:
        where = [places.of(namespace_of(params["namespace"], "namespace", places.layout, creating=False))]
    if params["container_id"] is None:
        return [(place, container_id) for place in where for container_id in place.ids(view)]
    names = as_names(params["container_id"], "container_id", NAMES)
    ids = [check_known_name(name, "container_id", NAMES) for name in names]
    known = [(place, frozenset(place.ids(view))) for place in where] if ids else []
    found = [(place, one) for one in ids for place, there in known if one in there]
    placed = {one for _place, one in found}
    absent = [one for one in ids if one not in placed]
    nowhere = where[0] if where else places.of(namespace_of(None, "namespace", places.layout, creating=False))
    return found + [(nowhere, one) for one in absent]


def _entries(chosen: list[_Selected], view: HostView, with_documents: bool) -> list[dict[str, Any]]:
    """All files first, then the processes, from one view (safety.md B4)."""
    looks = [_read(place, container_id, view) for place, container_id in chosen]
    return [
        _report(one[0], look, view, with_documents) if isinstance(look, BundleReading) else _unreadable(one, look)
        for one, look in zip(chosen, looks)
    ]


def _read(place: BundlePlace, container_id: str, view: HostView) -> BundleReading | str:
    """One bundle that cannot be read never stops the listing of the others (field problem 31)."""
    try:
        return place.read(container_id, view)
    except StateError as error:
        return str(error)


def _named(place: BundlePlace, container_id: str) -> dict[str, Any]:
    namespace = {"namespace": place.namespace} if place.layout.has_engine else {}
    return {"container_id": container_id, **namespace, "layout": place.layout.name}


def _unreadable(one: _Selected, reason: str) -> dict[str, Any]:
    return {**_named(*one), "exists": True, "verdict": UNKNOWN, "evidence": [reason]}


def _report(place: BundlePlace, reading: BundleReading, view: HostView, with_documents: bool) -> dict[str, Any]:
    entry = {**_named(place, reading.container_id), "exists": bool(reading.parts)}
    if not reading.parts:
        return entry
    hints = hints_in(place, reading, view)
    found = owners_of(place, reading, view, known=hints).evidence
    verdict = judge(found._replace(dead=(*found.dead, *remains(reading, view))))
    spec = reading.spec.content if reading.spec is not None else None
    reasons = list(verdict.reasons)
    if reading.spec is not None and reading.spec.problem and not any(reading.spec.path in one for one in reasons):
        reasons.insert(0, f"{reading.spec.path}: {reading.spec.problem}")
    addresses = [one.path or one.abstract or one.other for one in reading.addresses]
    mounts = [mount.text for part in reading.parts_of("bundle", "tombstone") for mount in view.mounts_in(part.path)]
    files = [facts for _name, facts in reading.entries if stat.S_ISREG(facts.mode)]
    newest = max(changed_at(reading), *(part.facts.ctime_ns / 1e9 for part in reading.parts))
    return {
        **entry,
        "verdict": verdict.kind,
        "evidence": reasons,
        "paths": [part.path for part in reading.parts],
        "files": [name for name, _facts in reading.entries],
        "missing": list(reading.missing),
        "addresses": addresses,
        "sandbox_id": reading.sandbox_ids[0] if len(reading.sandbox_ids) == 1 else None,
        "pids": {recorded.role: recorded.pid for recorded in reading.pids},
        "mounts": mounts,
        "cgroups": _cgroups_in([one.place.inside for one in hints.cgroups], view),
        "age": age_of(newest),
        "size": sum(facts.size for facts in files),
        **({"spec": masked(spec)} if with_documents and spec is not None else {}),
    }


def _cgroups_in(places: list[str], view: HostView) -> list[str]:
    """Those of these places in each hierarchy that exist. Many bundles share the cgroup above theirs, and most
    hierarchies do not even have that."""
    mounts = view.once("cgroup mounts", lambda: [one.mount.rstrip("/") for one in hierarchies_of(view)])
    in_use = [
        (place, there) for place in places if (there := _hierarchies_with(place.rpartition("/")[0], mounts, view))
    ]
    return [mount + place for mount in mounts for place, there in in_use if mount in there and _is_there(mount + place)]


def _hierarchies_with(folder: str, mounts: list[str], view: HostView) -> frozenset[str]:
    return view.once(("cgroup", folder), lambda: frozenset(one for one in mounts if _is_there(one + folder)))


def _is_there(path: str) -> bool:
    try:
        return cgroup_population.exists(path)
    except StateError:
        return True
