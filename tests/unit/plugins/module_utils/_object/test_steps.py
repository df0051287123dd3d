# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    Unreadable,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Run, run
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_steps import (
    Calls,
    Thing,
    directory,
    fail,
    is_locked,
    take,
    things,
)

__all__ = ["directory"]


def test_the_four_steps_in_their_order(directory: Directory) -> None:
    calls: Calls = []
    views: list[HostView] = []
    items = things(directory, calls, 2)
    outcomes = take(items, views=views)
    both = [[(what, "t0"), (what, "t1")] for what in ("read", "plan", "locks", "read", "plan", "stop", "apply", "tidy")]
    wanted = [call for pair in both for call in pair]
    # each is stopped where its plan is judged
    assert [call for call in calls if call[0] != "stop"] == [call for call in wanted if call[0] != "stop"]
    assert [outcome.action for outcome in outcomes] == ["deleted"] * 2
    assert len(views) == 2 and views[0] is not views[1], "a decision under the locks is taken from a new look"


def test_B4_all_files_are_read_before_the_first_plan_asks_for_processes(directory: Directory) -> None:
    calls: Calls = []
    take(things(directory, calls, 3), check_mode=True)
    assert [what for what, _name in calls] == ["read"] * 3 + ["plan"] * 3


def test_check_mode_locks_and_changes_nothing(directory: Directory) -> None:
    calls: Calls = []
    (item,) = things(directory, calls, 1)
    (outcome,) = take([item], check_mode=True)
    assert outcome.action == "deleted" and item.path.exists() and not item.acted
    assert os.listdir(directory.path) == ["t0"]


def test_what_needs_no_change_is_not_locked(directory: Directory) -> None:
    calls: Calls = []
    item = Thing("none", directory, calls)
    (outcome,) = take([item])
    assert outcome.action == "unchanged" and calls == [("read", "none"), ("plan", "none")]


def test_locks_are_held_while_it_is_applied_and_free_after_it(directory: Directory) -> None:
    calls: Calls = []
    items = things(directory, calls, 2, locks=2)
    seen: list[bool] = []
    for item in items:
        item.on_call["apply"] = lambda: seen.extend(
            is_locked(directory.join(name)) for one in items for name in one.lock_names
        )
    take(items)
    assert seen == [True] * 8
    assert [is_locked(directory.join(name)) for one in items for name in one.lock_names] == [False] * 4
    assert [item.locks for item in items] == [[], []]


@pytest.mark.parametrize("step", ["read", "plan", "locks", "apply"])
def test_a_failure_at_any_step_does_not_stop_the_others(directory: Directory, step: str) -> None:
    calls: Calls = []
    items = things(directory, calls, 3)
    items[1].on_call[step] = fail(Unreadable("here", "so"))
    outcomes = take(items)
    assert [outcome.action for outcome in outcomes] == ["deleted", "failed", "deleted"]
    assert [str(outcome.error) for outcome in outcomes if outcome.error] == ["here: so."]
    assert [item.path.exists() for item in items] == [False, True, False]
    assert [is_locked(directory.join(name)) for name in os.listdir(directory.path) if ".lock" in name] in (
        [False] * 2,
        [False] * 3,
    )


@pytest.mark.parametrize("step", ["read", "plan"])
def test_a_failure_under_the_lock_keeps_the_object(directory: Directory, step: str) -> None:
    calls: Calls = []
    (item,) = things(directory, calls, 1)
    item.on_call["locks"] = lambda: item.on_call.update({step: fail(Unreadable("here", "so"))})
    (outcome,) = take([item])
    assert outcome.action == "failed" and isinstance(outcome.error, Unreadable) and item.path.exists()


def test_C4_what_is_another_one_under_the_lock_is_kept(directory: Directory) -> None:
    calls: Calls = []
    (item,) = things(directory, calls, 1)

    def replace() -> None:
        keep = os.open(item.path, os.O_RDONLY)
        item.path.unlink()
        item.path.touch()
        os.close(keep)

    item.on_call["locks"] = replace
    (outcome,) = take([item])
    assert outcome.action == "failed" and isinstance(outcome.error, ChangedMeanwhile)
    assert item.path.exists() and ("apply", "t0") not in calls


def test_C4_what_somebody_else_has_done_meanwhile_is_unchanged(directory: Directory) -> None:
    calls: Calls = []
    (item,) = things(directory, calls, 1)
    item.on_call["locks"] = item.path.unlink
    (outcome,) = take([item])
    assert (outcome.action, outcome.error, item.acted) == ("unchanged", None, False)


def test_release_gives_locks_back_also_when_tidying_fails(directory: Directory) -> None:
    calls: Calls = []
    (item,) = things(directory, calls, 1)

    def broken() -> None:
        raise KeyboardInterrupt

    item.on_call["tidy"] = broken
    with pytest.raises(KeyboardInterrupt):
        take([item])
    assert not is_locked(directory.join("t0.lock0"))


def test_no_items_are_no_outcomes() -> None:
    assert take([]) == []


# the last looks and the way back


def test_items_are_worked_on_by_their_order_and_reported_as_they_were_given(directory: Directory) -> None:
    calls: Calls = []
    items = things(directory, calls, 4)
    for item, order in zip(items, (1, 0, 1, 0)):
        item.order = order
    outcomes = take(list(items))
    assert [outcome.item for outcome in outcomes] == items
    assert [name for what, name in calls if what == "apply"] == ["t1", "t3", "t0", "t2"]


def test_nobody_who_waits_for_it_is_the_end(directory: Directory) -> None:
    """A worker whose parent was killed begins nothing new."""
    calls: Calls = []
    items = things(directory, calls, 300)
    batches: list[None] = []

    def goes_on() -> bool:
        batches.append(None)
        return len(batches) < 2

    how = Run(lambda: HostView(sees_all_processes=True), LockBudget(1), False, False, goes_on=goes_on)
    run(list(items), how)
    gone = [item for item in items if not item.path.exists()]
    assert 0 < len(gone) < 300
