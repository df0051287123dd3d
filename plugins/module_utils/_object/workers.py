# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The four steps for many items at once: each worker takes all of them for its share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import HeldLock, acquire
from ansible_collections.sandboxed.containers.plugins.module_utils._object.report import Showing, Summary, summary_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.shares import in_workers, shares_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import FAILED, Item, Run, run


def run_all(items: Sequence[Item], how: Run, showing: Showing) -> list[Summary]:
    """Take all steps for all items; their ends in the order of the items."""
    groups = [item.group or str(number) for number, item in enumerate(items)]
    shares = shares_of(groups)
    if len(shares) < 2:
        return [summary_of(outcome, showing) for outcome in run(list(items), how)]
    common = [] if how.check_mode else _common_locks(items, how)
    parent = os.getpid()
    how = how._replace(common={lock.place.path: lock for lock in common}, parent=parent)

    def work(share: list[int]) -> list[Any]:
        outcomes = run([items[number] for number in share], how._replace(goes_on=lambda: os.getppid() == parent))
        return [tuple(summary_of(outcome, showing)) for outcome in outcomes]

    try:
        ends = in_workers(shares, work)
    finally:
        for lock in common:
            lock.release()
    return [Summary(*end) if isinstance(end, tuple) else _lost(items[number], end) for number, end in enumerate(ends)]


def _common_locks(items: Sequence[Item], how: Run) -> list[HeldLock]:
    """What all workers need, and only one process could hold. Where it is not to be had, each item says so itself."""
    try:
        place = items[0].common_lock()
        lock = acquire(place, how.budget) if place is not None else None
    except StateError:
        lock = None
    return [lock] if lock is not None else []


def _lost(item: Item, why: str) -> Summary:
    text = f"{item.label}: the part of this task that worked on it {why}, and how far it came is not known. Run again."
    return Summary({**item.described(), "action": FAILED, "msg": text}, True, text, ([], []), [])
