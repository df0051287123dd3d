# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who owns a sandbox: recorded pids, all processes, their cgroups, and what an engine may still know (safety.md A7)."""

from __future__ import annotations

from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import (
    Process,
    describe,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import (
    Claim,
    Layout,
    Reading,
    RecordedProcess,
    Roots,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.surroundings import engine_doubt
from ansible_collections.sandboxed.containers.plugins.module_utils._object.evidence import fate_of, hear
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence, Owners
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


class Hints(NamedTuple):
    """What the files of a sandbox say of its owners: it stays the same as long as they do.

    tokens: whole arguments by which processes are found. recorded: pids that are named. referrers: paths whose
    existence means that an engine may know it. unreadable: sentences about documents.
    """

    reading: Reading
    tokens: frozenset[str]
    recorded: tuple[RecordedProcess, ...]
    referrers: tuple[str, ...]
    unreadable: tuple[str, ...]


def hints_in(layout: Layout, roots: Roots, reading: Reading, known: Hints | None = None) -> Hints:
    """Taken from the files that were read; known: an earlier one, which may be of the same reading."""
    if known is not None and known.reading is reading:
        return known
    return Hints(
        reading,
        frozenset(layout.tokens(roots, reading)),
        tuple(layout.recorded_processes(reading)),
        tuple(layout.referrers(reading)),
        tuple(f"{one.path} cannot be read: {one.problem}" for one in reading.documents if not one.readable),
    )


def owners_of(
    layout: Layout,
    roots: Roots,
    reading: Reading,
    view: HostView,
    known: Hints | None = None,
    asks_engines: bool = True,
) -> Owners:
    """Gather the evidence for one sandbox from a view whose files were read before.

    asks_engines: whether one that an engine lists is in doubt for that (safety.md A5).
    """
    hints = hints_in(layout, roots, reading, known)
    naming = _naming(hints, view)
    listed = _listed(roots, reading, view) if asks_engines else ()
    if not (naming or hints.recorded or hints.referrers or hints.unreadable or listed) and not (
        reading.doubts or reading.problems or reading.sockets
    ):
        return view.once(("nobody", roots), lambda: Owners((), (), Evidence(blind=_blind(roots, view))))
    claims = _claims(layout, roots, hints, view, naming)
    suspects = [f"{describe(claim.process)} {claim.why}" for claim in claims if not claim.proved]
    dead: list[str] = []
    claimed = {claim.process.pid for claim in claims}
    for recorded in hints.recorded:
        if recorded.pid not in claimed:
            sentence, gone = fate_of(recorded, view, recorded.pid in naming, "sandbox")
            (dead if gone else suspects).append(sentence)
    for there in map(roots.found_at, hints.referrers):
        if there:
            suspects.append(engine_doubt(there))
    suspects += (*reading.doubts, *listed)
    owners = [f"{describe(claim.process)} {claim.why}" for claim in claims if claim.proved]
    unknown = [*reading.problems, *hints.unreadable]
    if reading.sockets:
        hear(reading.sockets, view, owners, unknown)
    evidence = Evidence(
        owners=tuple(owners),
        suspects=tuple(suspects),
        unknown=tuple(unknown),
        dead=tuple(dead),
        blind=_blind(roots, view),
    )
    return Owners(tuple(claim for claim in claims if claim.proved), evidence.suspects, evidence)


def _listed(roots: Roots, reading: Reading, view: HostView) -> tuple[str, ...]:
    """That an engine lists it, or why that is not known. Of a directory that the user named, engines need not know:
    there only what they do list counts."""
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_registries import registries

    try:
        known = registries(roots.host_root, view)
    except StateError as error:
        return (f"whether an engine lists it cannot be told: {error}",)
    names = {reading.sandbox_id, *reading.containers}
    return known.listed(names) if roots.is_named else known.doubts(names)


def _blind(roots: Roots, view: HostView) -> str:
    """Why the absence of processes proves nothing for this tree, or empty."""
    return view.blind or ("" if view.asserted else view.once(("another", roots), roots.another_hosts))


def _naming(hints: Hints, view: HostView) -> dict[int, Process]:
    """The processes that carry one of the sandbox's names."""
    carrying = view.processes.carrying
    found: dict[int, Process] = {}
    for token in hints.tokens:
        for mention in carrying(token):
            found[mention.process.pid] = mention.process
    return found


def _claims(layout: Layout, roots: Roots, hints: Hints, view: HostView, naming: dict[int, Process]) -> list[Claim]:
    """What the processes that carry one of its names, or that its documents record, have to do with the sandbox."""
    candidates = dict(naming)
    for recorded in hints.recorded:
        process = view.processes.by_pid.get(recorded.pid)
        if process is not None and not process.dead:
            candidates[process.pid] = process
    if not candidates:
        return []
    claims = [
        layout.claim(process, view.namespace_pids(process.pid), roots, hints.reading) for process in candidates.values()
    ]
    return sorted((claim for claim in claims if claim is not None), key=lambda claim: (claim.rank, claim.process.pid))
