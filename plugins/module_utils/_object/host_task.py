# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of sandbox_prune: what is refused as a whole, and the report."""

from __future__ import annotations

from typing import Any, NoReturn

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    InvalidInput,
    NotProved,
    StateError,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import Judged, Terms
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_options import (
    check_number,
    selection_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_plan import check_plan, chosen, plan_for
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_prune import (
    Ended,
    Pruner,
    entry_of,
    in_words,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_report import (
    kept_in_words,
    problems_in_words,
    unmatched_in_words,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_scan import Scan, Selection, scan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_verdicts import breaker
from ansible_collections.sandboxed.containers.plugins.module_utils._object.report import (
    Showing,
    diff_of_all,
    failure_text,
    summary_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import FAILED, SKIPPED
from ansible_collections.sandboxed.containers.plugins.module_utils._object.task import Task

_NAMED = ("kind", "layout", "namespace", "id")


def prune(task: Task) -> NoReturn:
    """Scan, refuse or remove, and report."""
    try:
        selection = selection_of(task.params)
        limit = check_number(task.params, "max_removals")
        steps = _steps(task.params)
        found = scan(selection, task.new_view())
        wanted, skipped = chosen(found, steps)
        _refuse(found, wanted, limit)
        ended = _run(task, found, wanted, selection)
        plan = _plan_of(ended, found, selection.host_root) if task.check_mode else None
    except StateError as error:
        task.fail_json(str(error))
    beside = _beside(found, selection) if steps is None else ""
    _report(task, found, ended, skipped, plan, beside)


def _steps(params: dict[str, Any]) -> dict[Any, dict[str, int]] | None:
    if (params["plan"] is None) == (params["scope"] is None):
        why = "both are given" if params["plan"] is not None else "neither is given, and nothing is removed unasked"
        raise InvalidInput("scope, plan", why, "Give scope=all_leftovers, or the plan of sandbox_host_info.")
    return None if params["plan"] is None else check_plan(params["plan"], params["host_root"])


def _refuse(found: Scan, wanted: list[Judged], limit: int) -> None:
    """What stops the whole run before the first removal."""
    if limit and len(wanted) > limit:
        why = f"{len(wanted)} objects would be removed, more than max_removals={limit}"
        raise InvalidInput("", why, "Look at them with sandbox_host_info, and raise max_removals. Nothing was removed.")
    broken = breaker([one.verdict for one in found.all], found.engines)
    if broken and wanted:
        raise NotProved("", broken, "Run it as root in the host's own namespaces. Nothing was removed.")


def _run(task: Task, found: Scan, wanted: list[Judged], selection: Selection) -> list[Ended]:
    terms = Terms(task.params["on_mounted"] == "unmount", task.params["stop_processes"])
    return Pruner(found, wanted, selection, terms).run(task.new_view, task.check_mode, task.params["durable"])


def _plan_of(ended: list[Ended], found: Scan, host_root: str) -> dict[str, Any]:
    """What would be done, without what the same run skips."""
    kept = (FAILED, SKIPPED)
    return plan_for([one.judged for one in ended if one.outcome.action not in kept], found, host_root)


def _beside(found: Scan, selection: Selection) -> str:
    """What a prune of all leftovers did not touch: without this, a host of which nothing can be proved looks clean."""
    unmatched = unmatched_in_words(found, selection)
    return f" {unmatched}" if unmatched else kept_in_words(found.objects, selection.min_age)


def _report(
    task: Task,
    found: Scan,
    ended: list[Ended],
    skipped: list[tuple[Any, str]],
    plan: dict[str, Any] | None,
    beside: str,
) -> NoReturn:
    showing = Showing.of(task.check_mode, task._diff, len(ended))
    summaries = [summary_of(one.outcome, showing) for one in ended]
    entries = [entry_of(one, summary.entry.get("msg", "")) for one, summary in zip(ended, summaries)]
    entries += [_skipped(key, why) for key, why in skipped]
    result = {
        "changed": any(summary.changed for summary in summaries),
        "objects": entries,
        "problems": list(found.problems),
        **({"plan": plan} if plan is not None else {}),
        **({"diff": diff_of_all(summaries, "objects", showing.separate)} if showing.diff else {}),
    }
    text = in_words(ended, len(skipped), task.check_mode, beside) + _about(task.params["plan"])
    text += problems_in_words(found.problems)
    failures = failure_text(summaries, "objects")
    if failures:
        task.fail_json(f"{failures} {text}", **result)
    task.exit_json(msg=text, **result)


def _about(plan: dict[str, Any] | None) -> str:
    """That a plan need not name all leftovers, to be put behind other words."""
    if plan is None or plan.get("complete") is not False:
        return ""
    return " The plan was made when not all could be looked at: other leftovers may be there."


def _skipped(key: Any, why: str) -> dict[str, Any]:
    named = {name: value for name, value in zip(_NAMED, key) if value}
    return {**named, "action": SKIPPED, "msg": f"{why[0].upper()}{why[1:]}."}
