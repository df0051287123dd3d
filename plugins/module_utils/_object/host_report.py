# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scan found, in words and in numbers."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import Judged
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_scan import FOREIGN, Scan, Selection
from ansible_collections.sandboxed.containers.plugins.module_utils._object.info_words import in_one
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LEFTOVER, LIVE, UNKNOWN
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import NOT_ALL_SEEN

_VERDICTS = (LIVE, LEFTOVER, UNKNOWN, FOREIGN)
_NAMED = 3
_ROOM, _ROOM_FOR = 256, 200  # bytes of JSON for each object that a result may show, and for at least so many
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def summary_of(objects: Sequence[Judged]) -> dict[str, Any]:
    """Counts and bytes by kind, layout and verdict."""
    rows: dict[tuple[str, str, str], list[int]] = {}
    for one in objects:
        row = rows.setdefault((one.candidate.kind, one.candidate.layout, one.verdict), [0, 0])
        row[0] += 1
        row[1] += one.candidate.size
    counts = {verdict: sum(row[0] for key, row in rows.items() if key[2] == verdict) for verdict in _VERDICTS}
    listed = [
        {"kind": kind, "layout": layout or None, "verdict": verdict, "count": count, "bytes": size}
        for (kind, layout, verdict), (count, size) in sorted(rows.items())
    ]
    return {"total": len(objects), **counts, "by": listed}


def shown(objects: Sequence[Judged], verdicts: Sequence[str]) -> list[Judged]:
    """Those with these verdicts, leftovers first."""
    order = (LEFTOVER, UNKNOWN, FOREIGN, LIVE)
    return sorted((one for one in objects if one.verdict in verdicts), key=lambda one: order.index(one.verdict))


def entries_of(objects: Sequence[Judged], limit: int) -> list[dict[str, Any]]:
    """What a result shows of them: the first `limit` as far as their JSON has room, which is for all of it together.

    A fleet's controller holds the results of all hosts at once, and a host may have ten thousand leftovers.
    """
    entries: list[dict[str, Any]] = []
    room = max(limit, _ROOM_FOR) * _ROOM
    for one in objects[:limit]:
        entry = one.entry()
        room -= len(json.dumps(entry)) + len(", ")
        if room < 0:
            break
        entries.append(entry)
    return entries


def in_words(found: Scan, selection: Selection) -> str:
    """For a tired person: how much there is of what, and the first of what is not simply alive, with the reasons."""
    objects = found.objects
    unmatched = unmatched_in_words(found, selection)
    if unmatched:
        return unmatched + problems_in_words(found.problems)
    counts = [(verdict, [one for one in objects if one.verdict == verdict]) for verdict in _VERDICTS]
    shown = ", ".join(f"{len(ones)} {verdict}" for verdict, ones in counts if ones)
    text = f"{len(objects)} object{'' if len(objects) == 1 else 's'}" + (f": {shown}." if shown else ".")
    for verdict, ones in counts:
        if ones and verdict in (LEFTOVER, UNKNOWN):
            named = "; ".join(_told(one) for one in ones[:_NAMED])
            more = f"; and {len(ones) - _NAMED} more" if len(ones) > _NAMED else ""
            text += f" {verdict.capitalize()}: {named}{more}."
    if any(one.verdict == LEFTOVER for one in objects):
        text += " Remove leftovers with sandbox_prune scope=all_leftovers; try it with --check first."
    return text + problems_in_words(found.problems)


def unmatched_in_words(found: Scan, selection: Selection) -> str:
    """That objects are there, and that none of them is one of those asked for; empty where that is not so."""
    if found.objects or not found.all:
        return ""
    asked = {"kinds": selection.kinds, "layouts": selection.layouts, "patterns": selection.patterns}
    by = " and ".join(f"{option} {', '.join(values)}" for option, values in asked.items() if values)
    return f"0 of {len(found.all)} {'object matches' if len(found.all) == 1 else 'objects match'} {by}."


def kept_in_words(objects: Sequence[Judged], min_age: float) -> str:
    """How many are kept since they are unknown, and mostly why, to be put behind other words; empty where none is."""
    reasons = Counter(_why_kept(one, min_age) for one in objects if one.verdict == UNKNOWN)
    if not reasons:
        return ""
    kept = sum(reasons.values())
    why, count = reasons.most_common(1)[0]
    of_them = "" if count == kept else f"{count} of them: "
    ends = ("was", "it") if kept == 1 else ("were", "them")
    return f" {kept} unknown {ends[0]} kept ({of_them}{why.rstrip('.')}); sandbox_host_info shows {ends[1]}."


def _why_kept(one: Judged, min_age: float) -> str:
    """The reason of an unknown object that several may share: first what the task could be given to see more."""
    if os.geteuid() != 0 and one.reasons[-1].startswith(NOT_ALL_SEEN):  # it comes last, see verdict.judge
        return "not all processes are visible: run as root, become: true"
    if one.age is not None and one.age + 1 <= min_age:  # in whole seconds
        return f"changed less than min_age={min_age:g} s ago"
    return one.reasons[0]


def problems_in_words(problems: Sequence[str]) -> str:
    """That a scan is not complete, to be put behind other words; empty where it is."""
    return "".join(f" Not all could be looked at: {problem}" for problem in problems[:_NAMED])


def _told(one: Judged) -> str:
    candidate = one.candidate
    where = ", ".join(filter(None, [candidate.layout, candidate.namespace]))
    facts = [f"{one.mounts} mount{'' if one.mounts == 1 else 's'}"] if one.mounts else []
    facts += [size_in_words(candidate.size)] if candidate.size else []
    facts += [f"unchanged for {age_in_words(one.age)}"] if one.age is not None and one.verdict == LEFTOVER else []
    more = f", {', '.join(facts)}" if facts else ""
    return f"{candidate.kind} {candidate.name}{f' ({where})' if where else ''}{more}: {in_one(one.reasons[:2])}"


def size_in_words(size: int) -> str:
    """1536 as "1.5 KiB"."""
    amount = float(size)
    for unit in _UNITS:
        if amount < 1024 or unit == _UNITS[-1]:
            return f"{amount:.0f} {unit}" if amount >= 10 or amount == int(amount) else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("unreachable")


def age_in_words(seconds: int) -> str:
    """7800 as "2 h 10 min"."""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes = rest // 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"
