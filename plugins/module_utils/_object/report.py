# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How items ended, as plain values: what a result shows of them, and what a worker tells the process that made it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._object.items import (
    FAILED,
    SKIPPED,
    UNCHANGED,
    Outcome,
)

_SEPARATE_DIFFS = 100  # design.md: above this many items the diff is one listing
_NAMED_FAILURES = 5
MANY = 1000  # items that are worth the import of what shares them out to workers
_WRITTEN = " (written)"
_SUCCEEDED = ("created", "updated", "deleted", UNCHANGED)
_OF_DAEMONS = {"created": "started", "updated": "restarted", "deleted": "stopped"}


class Summary(NamedTuple):
    """One item's end. entry: for the list of outcomes. failure: the message, or empty. lines: before and after, for one
    listing of many items; diffs: those of this item alone."""

    entry: dict[str, Any]
    changed: bool
    failure: str
    lines: tuple[list[str], list[str]]
    diffs: list[dict[str, str]]


class Showing(NamedTuple):
    """What is wanted of a report. separate: each item has a diff of its own."""

    check_mode: bool
    diff: bool
    separate: bool

    @classmethod
    def of(cls, check_mode: bool, diff: bool, items: int) -> Showing:
        return cls(check_mode, diff, items <= _SEPARATE_DIFFS)


def summary_of(outcome: Outcome, showing: Showing) -> Summary:
    """What is shown of one item."""
    failure = message_of(outcome) if outcome.error is not None else ""
    text = failure or outcome.plan.note
    entry = {**outcome.item.described(), "action": outcome.action, **({"msg": text} if text else {})}
    changed = _changed(outcome, showing.check_mode)
    if not showing.diff or not outcome.plan.changes or outcome.error is not None:
        return Summary(entry, changed, failure, ([], []), [])
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import diff_of, lines_of

    if showing.separate:
        return Summary(entry, changed, failure, ([], []), diff_of(outcome.plan.changes, outcome.item.label))
    return Summary(entry, changed, failure, lines_of(outcome.plan.changes, _WRITTEN), [])


def _changed(outcome: Outcome, check_mode: bool) -> bool:
    if check_mode:
        return outcome.error is None and bool(outcome.plan.changes)
    return outcome.item.acted


def message_of(outcome: Outcome) -> str:
    """Which object, why, and what now."""
    text = str(outcome.error)
    label = outcome.item.label
    return text if text.startswith(label) else f"{label}: {text}"


def failure_text(summaries: Sequence[Summary], plural: str) -> str:
    """The message of a task in which something failed: the first five, and the counts. Empty where nothing did."""
    failures = [summary.failure for summary in summaries if summary.failure]
    if len(summaries) <= 1 or not failures:
        return "".join(failures)
    more = len(failures) - _NAMED_FAILURES
    changed = sum(1 for summary in summaries if summary.entry["action"] not in (UNCHANGED, FAILED, SKIPPED))
    return (
        f"{len(failures)} of {len(summaries)} {plural} failed, {changed} changed. "
        f"{' '.join(failures[:_NAMED_FAILURES])}"
        + (f" And {more} more: see {plural} in the result." if more > 0 else "")
    )


def success_text(summaries: Sequence[Summary], plural: str, check_mode: bool) -> str:
    """The message of a task in which nothing failed: "1 sandbox deleted." or "3 bundles: 2 created, 1 unchanged."."""
    actions = Counter(summary.entry["action"] for summary in summaries)
    noun = plural if len(summaries) != 1 else plural[: -2 if plural.endswith("xes") else -1]
    would = "would be " if check_mode else ""
    told = []
    for action in _SUCCEEDED:
        verb = _OF_DAEMONS.get(action, action) if plural == "daemons" else action
        if actions[action]:
            told.append((actions[action], verb if action == UNCHANGED else would + verb))
    if len(told) == 1:
        return f"{len(summaries)} {noun} {told[0][1]}."
    counted = ", ".join(f"{count} {verb}" for count, verb in told)
    return f"{len(summaries)} {noun}: {counted}." if told else f"{len(summaries)} {noun}."


def diff_of_all(summaries: Sequence[Summary], plural: str, separate: bool) -> list[dict[str, str]]:
    """The diff of the whole task."""
    if separate:
        return [part for summary in summaries for part in summary.diffs]
    before = [line for summary in summaries for line in summary.lines[0]]
    after = [line for summary in summaries for line in summary.lines[1]]
    shown = sum(1 for summary in summaries if any(summary.lines))
    if shown == 0:
        return []
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import listing

    return [listing(f"{shown} {plural}", before, after)]
