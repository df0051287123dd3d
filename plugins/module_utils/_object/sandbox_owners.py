# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who owns a sandbox: recorded pids, a scan of all processes, cgroups, and what an engine may still know (safety.md A7)."""

from __future__ import annotations

import os
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import describe
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import (
    Claim,
    Layout,
    Reading,
    RecordedProcess,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_LISTENING = {
    True: "somebody listens on {}",
    None: "it cannot be told whether somebody listens on {}",
}


class Owners(NamedTuple):
    """proved: the processes that own a sandbox for certain. evidence: all that was found, they included."""

    proved: tuple[Claim, ...]
    evidence: Evidence


def owners_of(layout: Layout, directories: dict[str, Directory], reading: Reading, view: HostView) -> Owners:
    """Gather the evidence for one sandbox from a view whose files were read before."""
    claims = _claims(layout, directories, reading, view)
    suspects = [f"{describe(claim.process)} {claim.why}" for claim in claims if not claim.proved]
    dead: list[str] = []
    for recorded in layout.recorded_processes(reading):
        if recorded.pid not in {claim.process.pid for claim in claims}:
            sentence, gone = _fate(recorded, view)
            (dead if gone else suspects).append(sentence)
    for path in layout.referrers(reading):
        if _may_exist(path):
            suspects.append(f"its engine may still know it: the bundle {path} exists")
    unknown = [f"{document.path} cannot be read: {document.problem}" for document in reading.documents if not document.readable]
    for part in reading.parts:
        if part.role == "socket":
            listening = view.sockets.listening(part.path)
            if listening is not False:
                (suspects if listening else unknown).append(_LISTENING[listening].format(part.path))
    evidence = Evidence(
        owners=tuple(f"{describe(claim.process)} {claim.why}" for claim in claims if claim.proved),
        suspects=tuple(suspects),
        unknown=tuple(unknown),
        dead=tuple(dead),
        blind=view.blind,
    )
    return Owners(tuple(claim for claim in claims if claim.proved), evidence)


def _claims(layout: Layout, directories: dict[str, Directory], reading: Reading, view: HostView) -> list[Claim]:
    """The processes that carry one of the sandbox's names, or that its documents record, as the layout sees them."""
    found = {}
    for token in layout.tokens(reading):
        for mention in view.processes.carrying(token):
            found[mention.process.pid] = mention.process
    for recorded in layout.recorded_processes(reading):
        process = view.processes.by_pid.get(recorded.pid)
        if process is not None and not process.dead:
            found[process.pid] = process
    claims = [layout.claim(process, directories, reading) for process in found.values()]
    return sorted((claim for claim in claims if claim is not None), key=lambda claim: (claim.rank, claim.process.pid))


def _fate(recorded: RecordedProcess, view: HostView) -> tuple[str, bool]:
    """What became of a recorded process that does not name the sandbox, and whether it is gone for certain (R7)."""
    process = view.processes.by_pid.get(recorded.pid)
    label = f"recorded pid {recorded.pid} ({recorded.role})"
    if process is None or process.dead:
        return f"{label} is gone", True
    if not process.complete:
        return f"{label} is in use, and what it is cannot be read", False
    return f"{label} is now {describe(process)}, which does not name this sandbox", True


def _may_exist(path: str) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # unknown means that the engine may still know it (promise 7)
    return True
