# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence that is the same for every kind of object: what became of a recorded process, and who listens."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import describe

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import RecordedProcess
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


def fate_of(recorded: RecordedProcess, view: HostView, names_it: bool, noun: str) -> tuple[str, bool]:
    """What became of a recorded process that has no claim, and whether it is gone for certain (R7).

    names_it: whether it carries the object's name. noun: what the object is called, "sandbox".
    """
    process = view.processes.by_pid.get(recorded.pid)
    label = f"recorded pid {recorded.pid} ({recorded.role})"
    if process is None or process.dead:
        return f"{label} is gone", True
    if not process.complete:
        return f"{label} is in use, and what it is cannot be read", False
    if names_it:
        return f"{label} is {describe(process)}, which names this {noun}, but in another root directory", False
    return f"{label} is now {describe(process)}, which does not name this {noun}", True


def hear(paths: Collection[str], view: HostView, owners: list[str], unknown: list[str]) -> None:
    """Who listens: a proved owner does so itself; whoever else does, it is in use (safety.md B2)."""
    for path in paths:
        bound = view.sockets.bound(path)
        if bound and not owners:
            owners.append(f"somebody listens on {path}")
        elif bound is None:
            reasons = "; ".join(view.sockets.unreadable[:2]) or "the file cannot be looked at"
            unknown.append(f"it cannot be told whether somebody listens on {path}: {reasons}")


def named_by_processes(names: Collection[str], view: HostView) -> tuple[str, ...]:
    """The processes that carry one of these names, in sentences."""
    found = {mention.process.pid: mention.process for name in names for mention in view.processes.carrying(name)}
    return tuple(f"{describe(process)} names it" for _pid, process in sorted(found.items()))
