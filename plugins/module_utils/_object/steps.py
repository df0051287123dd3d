# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The four steps of every module, written once: read, plan, (lock, read, plan again,) apply. Reporting is in task.py.

The first plan is made for all items without locks: check mode and the diff come from it. Then, a batch at a time, it
is made again under the locks, from a new look at the host, and applied only where it is the same or already
satisfied (safety.md C4).
"""

from __future__ import annotations

from ansible_collections.sandboxed.containers.plugins.module_utils._object.items import (
    FAILED,
    SKIPPED,
    UNCHANGED,
    Item,
    Outcome,
    Plan,
    Run,
    plan_all,
)

__all__ = ["FAILED", "SKIPPED", "UNCHANGED", "Item", "Outcome", "Plan", "Run", "run"]


def run(items: list[Item], how: Run) -> list[Outcome]:
    """Take all steps for all items; every item is tried. The outcomes are in the order of the items."""
    given, items = items, sorted(items, key=lambda item: item.order)
    plans = plan_all(items, how.new_view(), how.guard)
    if how.check_mode:
        plans = _each_removal_once(plans)
    outcomes = {
        id(item): _refused(item, plan) if plan.problem else Outcome(item, plan, plan.action)
        for item, plan in zip(items, plans)
    }
    if not how.check_mode:
        waiting = [(item, plan) for item, plan in zip(items, plans) if not plan.idle]
        if waiting:
            from ansible_collections.sandboxed.containers.plugins.module_utils._object.batches import apply_all

            outcomes.update((id(outcome.item), outcome) for outcome in apply_all(waiting, how))
        for item in items:
            item.finish()
    return [outcomes[id(item)] for item in given]


def _each_removal_once(plans: list[Plan]) -> list[Plan]:
    """A run finds that an item before has removed it already: a container's files are its sandbox's as well."""
    gone: set[tuple[str, str]] = set()
    seen = []
    for plan in plans:
        left = tuple(change for change in plan.changes if (change.role, change.path) not in gone)
        gone.update((change.role, change.path) for change in left if change.sign == "-")
        seen.append(plan._replace(changes=left) if left or not plan.changes else Plan(note=plan.note))
    return seen


def _refused(item: Item, plan: Plan) -> Outcome:
    return Outcome(item, plan, FAILED, plan.problem)
