# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is it live, a leftover, or unknown? One pure function over evidence (safety.md A)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Claim

LIVE = "live"
LEFTOVER = "leftover"
UNKNOWN = "unknown"


class Evidence(NamedTuple):
    """What was found out about the owners of one object. Every entry is a sentence without its full stop.

    owners: processes that are proved to own it. suspects: processes, files or records that may mean an owner.
    dead: what shows that a former owner is gone. unknown: what could not be read, and would have to be.
    blind: why absence of processes proves nothing here (A2), or empty.
    """

    owners: tuple[str, ...] = ()
    suspects: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()
    blind: str = ""


class Owners(NamedTuple):
    """proved: the processes that own an object for certain. others: sentences about who may own it as well.

    evidence: all that was found, they included.
    """

    proved: tuple[Claim, ...]
    others: tuple[str, ...]
    evidence: Evidence


class Verdict(NamedTuple):
    """kind: live, leftover or unknown. reasons: the sentences that decided, in the order of their weight."""

    kind: str
    reasons: tuple[str, ...]


def judge(evidence: Evidence) -> Verdict:
    """Live needs positive evidence of an owner, leftover positive evidence that none is left; all else is unknown.

    Silence proves nothing: without owners, everything that is suspicious, unreadable or out of sight keeps the
    object (A1, A2). Only where all was seen is "no process names it" evidence of death.
    """
    if evidence.owners:
        return Verdict(LIVE, evidence.owners)
    doubts = (*evidence.suspects, *evidence.unknown, *([evidence.blind] if evidence.blind else []))
    if doubts:
        return Verdict(UNKNOWN, doubts)
    return Verdict(LEFTOVER, (*evidence.dead, "no process names it"))
