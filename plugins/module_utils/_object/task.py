# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seam to Ansible: shared options, the report, and the one place where errors become fail_json."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.masking import masked
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import diff_of, listing_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import FAILED, Item, Outcome, Run, run
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

SHARED_OPTIONS: dict[str, dict[str, Any]] = {
    "host_root": {"type": "path", "default": "/"},
    "sees_all_processes": {"type": "bool"},
    "lock_timeout": {"type": "float", "default": 10},
    "durable": {"type": "bool", "default": True},
}
_SEPARATE_DIFFS = 100  # design.md: above this many items the diff is one listing
_NAMED_FAILURES = 5


class Task(AnsibleModule):
    """An AnsibleModule that shows no secrets: neither in the system's log nor in what comes back (promise 8)."""

    def _log_invocation(self) -> None:
        """AnsibleModule writes all parameters to syslog; the documents among them hold environment variables."""
        texts = {name: str(value) for name, value in masked(self.params).items()}
        shown = {name: text if text.isprintable() else ascii(text) for name, text in texts.items()}
        self.log("Invoked with " + " ".join(f"{name}={value}" for name, value in shown.items()), log_args=shown)

    def exit_json(self, **result: Any) -> NoReturn:
        super().exit_json(**self._with_invocation(result))
        raise SystemExit  # it does not return; this says so to the type checker

    def fail_json(self, msg: str, **result: Any) -> NoReturn:
        super().fail_json(msg, **self._with_invocation(result))
        raise SystemExit

    def _with_invocation(self, result: dict[str, Any]) -> dict[str, Any]:
        """AnsibleModule would put all parameters as they are into every result, also when it refuses them itself."""
        return {**result, "invocation": {"module_args": masked(self.params)}}

    def new_view(self) -> HostView:
        return HostView(self.params["host_root"], self.params["sees_all_processes"])


def make_task(options: dict[str, dict[str, Any]], **settings: Any) -> Task:
    """The task object of a module: its own options and the shared ones."""
    return Task(argument_spec={**SHARED_OPTIONS, **options}, supports_check_mode=True, **settings)


def budget_of(task: Task) -> LockBudget:
    """The waiting that the task may spend on locks. A number that is none would wait for ever."""
    seconds = task.params["lock_timeout"]
    if not math.isfinite(seconds) or seconds < 0:
        task.fail_json(f"lock_timeout: {seconds} is no number of seconds. Give 0 or more.")
    return LockBudget(seconds)


def change_items(task: Task, plural: str, items: Sequence[Item]) -> NoReturn:
    """Take the four steps for all items and report under `plural`: the end of every module that changes something."""
    how = Run(task.new_view, budget_of(task), task.check_mode, task.params["durable"])
    outcomes = run(list(items), how)
    result = {
        "changed": any(_changed(outcome, task.check_mode) for outcome in outcomes),
        plural: [_entry(outcome) for outcome in outcomes],
        "diff": _diff(outcomes, plural),
    }
    failures = [outcome for outcome in outcomes if outcome.error is not None]
    if not failures:
        task.exit_json(**result)
    task.fail_json(_failure_text(failures, outcomes, plural), **result)


def _changed(outcome: Outcome, check_mode: bool) -> bool:
    if check_mode:
        return outcome.error is None and bool(outcome.plan.changes)
    return outcome.item.acted


def _entry(outcome: Outcome) -> dict[str, Any]:
    text = message_of(outcome) if outcome.error is not None else outcome.plan.note
    return {**outcome.item.described(), "action": outcome.action, **({"msg": text} if text else {})}


def message_of(outcome: Outcome) -> str:
    """Which object, why, and what now."""
    text = str(outcome.error)
    label = outcome.item.label
    return text if text.startswith(label) else f"{label}: {text}"


def _failure_text(failures: list[Outcome], outcomes: list[Outcome], plural: str) -> str:
    if len(outcomes) == 1:
        return message_of(failures[0])
    named = " ".join(message_of(outcome) for outcome in failures[:_NAMED_FAILURES])
    more = len(failures) - _NAMED_FAILURES
    changed = sum(1 for outcome in outcomes if outcome.error is None and outcome.action not in ("unchanged", FAILED))
    return f"{len(failures)} of {len(outcomes)} {plural} failed, {changed} changed. {named}" + (
        f" And {more} more: see {plural} in the result." if more > 0 else ""
    )


def _diff(outcomes: list[Outcome], plural: str) -> list[dict[str, str]]:
    shown = [outcome for outcome in outcomes if outcome.plan.changes and outcome.error is None]
    if len(shown) > _SEPARATE_DIFFS:
        return [listing_of([outcome.plan.changes for outcome in shown], f"{len(shown)} {plural}")]
    return [part for outcome in shown for part in diff_of(outcome.plan.changes, outcome.item.label)]
