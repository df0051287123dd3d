# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of every module that changes something: the four steps for all its items, and the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ansible_collections.sandboxed.containers.plugins.module_utils._object.report import (
    MANY,
    Showing,
    Summary,
    diff_of_all,
    failure_text,
    success_text,
    summary_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Item, Run, run
from ansible_collections.sandboxed.containers.plugins.module_utils._object.task import Task, budget_of


def _ends(items: Sequence[Item], how: Run, showing: Showing) -> list[Summary]:
    """Take all steps for all items; many are shared out to workers."""
    if len(items) < MANY:
        return [summary_of(outcome, showing) for outcome in run(list(items), how)]
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.workers import run_all

    return run_all(items, how, showing)


def change_items(task: Task, plural: str, items: Sequence[Item]) -> NoReturn:
    """Take the four steps for all items and report under `plural`: the end of every module that changes something."""
    how = Run(task.new_view, budget_of(task), task.check_mode, task.params["durable"])
    showing = Showing.of(task.check_mode, task._diff, len(items))
    summaries = _ends(items, how, showing)
    result = {
        "changed": any(summary.changed for summary in summaries),
        plural: [summary.entry for summary in summaries],
        **({"diff": diff_of_all(summaries, plural, showing.separate)} if showing.diff else {}),
    }
    text = failure_text(summaries, plural)
    if text:
        task.fail_json(text, **result)
    task.exit_json(msg=success_text(summaries, plural, task.check_mode), **result)
