# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look at all objects of a host, by a process for each core: files first, then who owns them (safety.md B4)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import Candidate, Seen
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_AT_ONCE = 5000
_MANY = 1000  # objects that are worth the import of what shares them out to workers
_MAY_HAVE_MOUNTS = ("sandbox", "bundle")


class Found(NamedTuple):
    """An object that is there. evidence: who owns it, None where that cannot be told, and problem says why. mounts:
    how many are in it."""

    candidate: Candidate
    evidence: Evidence | None
    problem: str = ""
    mounts: int = 0


def look_at_all(candidates: Sequence[Candidate], view: HostView) -> list[Found]:
    """Those of which there is anything, in their order. Where there are many, workers look at what there is many of.

    Each of them looks at the processes of the host after it has read all its files.
    """
    common = _dealt([one for one in candidates if one.is_common])
    if len(common) < _MANY:
        return _gathered(candidates, look(candidates, view))
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.shares import in_workers, shares_of

    shares = shares_of([str(number) for number in range(len(common))])
    if len(shares) < 2:
        return _gathered(candidates, look(candidates, view))
    told = in_workers(shares, lambda share: look([common[number] for number in share], view))
    rest = [one for one in candidates if not one.is_common]
    by_id = {id(one): answer for one, answer in zip((*common, *rest), (*told, *look(rest, view)))}
    return _gathered(candidates, [by_id[id(one)] for one in candidates])


def _dealt(candidates: list[Candidate]) -> list[Candidate]:
    """In an order in which each worker's share has as many of each kind, since some take longer than others."""
    hands = len(os.sched_getaffinity(0))
    return [one for hand in range(hands) for one in candidates[hand::hands]]


def look(candidates: Sequence[Candidate], view: HostView) -> list[Any]:
    """For each what it shows, and its evidence or what keeps that from being told, in plain values; None for nothing.

    Some thousands are read, then judged, and then forgotten, so that the memory that is needed has an end."""
    told: list[Any] = []
    for start in range(0, len(candidates), _AT_ONCE):
        some = candidates[start : start + _AT_ONCE]
        states = [_read(one, view) for one in some]
        later = view.again()
        told += [_told(one, state, later) if state is not None else None for one, state in zip(some, states)]
    return told


def _read(one: Candidate, view: HostView) -> str | None:
    """Why it cannot be read, empty where it can; None where there is nothing of it."""
    try:
        return "" if one.read(view) else None
    except StateError as error:
        return str(error)


def _told(one: Candidate, problem: str, view: HostView) -> Any:
    evidence: Any = problem
    mounts = 0
    if not problem:
        try:
            evidence = tuple(one.evidence(view))
            if one.kind in _MAY_HAVE_MOUNTS:
                mounts = sum(len(view.mounts_in(path)) for path in one.paths)
        except StateError as error:
            evidence = str(error)
    one.forget()
    return tuple(one.seen), evidence, mounts


def _gathered(candidates: Sequence[Candidate], told: Sequence[Any]) -> list[Found]:
    found = []
    for one, answer in zip(candidates, told):
        if isinstance(answer, str):  # its worker did not come to its end
            found.append(Found(one, None, f"the process that read it {answer}"))
        elif answer is not None:
            seen, evidence, mounts = answer
            one.take(Seen(*seen))
            is_known = not isinstance(evidence, str)
            found.append(Found(one, Evidence(*evidence), "", mounts) if is_known else Found(one, None, evidence))
    return found
