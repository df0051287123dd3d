# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides over the objects of a host together: their age, and who else of the same sandbox lives (safety.md A, F).

Pure functions; docs/verdicts.md has them as a table, which is the test as well.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import (
    LEFTOVER,
    LIVE,
    UNKNOWN,
    Evidence,
    Verdict,
    judge,
)

_SLACK = 1.0  # seconds, of clocks that are read one after the other


class Clock(NamedTuple):
    """When the host was looked at: seconds of the epoch now and at boot; seconds that an object must be old."""

    now: float
    boot: float
    min_age: float


def doubts_of_age(changed: float | None, on_memory: bool, clock: Clock) -> tuple[str, ...]:
    """Why an object may be too young to judge, in sentences (safety.md F1).

    changed: its newest change. on_memory: on a file system that a boot empties.
    """
    if clock.now - clock.boot < clock.min_age:
        return (f"this host booted {clock.now - clock.boot:.0f} s ago, less than min_age={clock.min_age:g}",)
    if changed is None:
        return ()
    if changed > clock.now + _SLACK:
        return ("it was changed in the future: the clock was stepped",)
    if on_memory and changed < clock.boot - _SLACK:
        return ("it is older than this boot, on a file system that a boot empties: the clock was stepped",)
    age = clock.now - changed
    if age < clock.min_age:
        return (f"it was changed {age:.0f} s ago, less than min_age={clock.min_age:g}",)
    return ()


def verdict_of(evidence: Evidence, doubts: Sequence[str], going: Collection[str] = ()) -> Verdict:
    """The verdict of one object. doubts: further sentences that keep it. going: sentences of suspicion that do not
    count, because what they speak of goes in the same run, before this."""
    suspects = tuple(one for one in evidence.suspects if one not in going)
    return judge(evidence._replace(suspects=suspects, unknown=(*evidence.unknown, *doubts)))


def together(verdicts: Sequence[Verdict], names: Sequence[Collection[str]], labels: Sequence[str]) -> list[Verdict]:
    """The verdicts of objects that are tied to each other by a name: whoever lives keeps all that it refers to, and
    where one is unknown, so are the leftovers that are tied to it.

    names: the ids of each object; labels: how it is called in a sentence.
    """
    result = list(verdicts)
    for members in groups_of(names):
        for kind in (LIVE, UNKNOWN):
            keeper = next((number for number in members if verdicts[number].kind == kind), None)
            if keeper is not None:
                why = f"{labels[keeper]}, to which it belongs, is {kind}: {verdicts[keeper].reasons[0]}"
                for number in members:
                    if verdicts[number].kind == LEFTOVER:
                        result[number] = Verdict(kind, (why,))
                break
    return result


def groups_of(names: Sequence[Collection[str]]) -> list[list[int]]:
    """The numbers of the objects that share a name, directly or through others."""
    parent = list(range(len(names)))

    def top(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    first: dict[str, int] = {}
    for number, own in enumerate(names):
        for name in own:
            parent[top(number)] = top(first.setdefault(name, number))
    groups: dict[int, list[int]] = {}
    for number in range(len(names)):
        groups.setdefault(top(number), []).append(number)
    return [members for members in groups.values() if len(members) > 1]


def breaker(verdicts: Sequence[str], engines: Sequence[str]) -> str:
    """Why nothing at all may be removed, or empty: an engine runs here, and yet nothing lives (safety.md A3)."""
    if not engines or LIVE in verdicts or LEFTOVER not in verdicts:
        return ""
    return f"{engines[0]} runs here and no live object was found: something is hidden from this task"
