# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InUse, StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._object import report
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Remove
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Item, Outcome, Plan

ROOT = Directory(-1, "/r")


class Named(Item):
    """An item that only has a name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.label = f"Thing '{name}'"
        self.name = name

    def _not_reached(self, *_arguments: Any, **_options: Any) -> Any:
        raise AssertionError("a report reads and changes nothing")

    read: Any = _not_reached
    plan: Any = _not_reached
    lock_places: Any = _not_reached
    stop_owners: Any = _not_reached
    guarded: Any = _not_reached
    apply: Any = _not_reached
    tidy: Any = _not_reached
    finish: Any = _not_reached

    def described(self) -> dict[str, Any]:
        return {"name": self.name}


def outcome(name: str, action: str, error: StateError | None = None, note: str = "") -> Outcome:
    changes = () if action == "unchanged" else (Remove("state", ROOT, name, (1, 2)),)
    return Outcome(Named(name), Plan(action, changes, note=note), action, error)


def summary(end: Outcome, check_mode: bool = False) -> report.Summary:
    return report.summary_of(end, report.Showing(check_mode, diff=True, separate=True))


def entry(end: Outcome) -> dict[str, Any]:
    return summary(end).entry


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (StateError("", "so", "Do it."), "Thing 'a': so. Do it."),
        (StateError("/p", "so"), "Thing 'a': /p: so."),
        (InUse("Thing 'a' is in use", "x runs it", "Stop."), "Thing 'a' is in use: x runs it. Stop."),
    ],
    ids=["reason", "place", "named already"],
)
def test_a_message_names_its_object_once(error: StateError, text: str) -> None:
    assert report.message_of(outcome("a", "failed", error)) == text


@pytest.mark.parametrize(
    ("failed", "changed", "unchanged", "text"),
    [
        (1, 0, 0, "Thing 'f0': so."),
        (1, 1, 1, "1 of 3 things failed, 1 changed. Thing 'f0': so."),
        (5, 0, 0, "5 of 5 things failed, 0 changed. " + " ".join(f"Thing 'f{n}': so." for n in range(5))),
        (
            7, 2, 1,
            "7 of 10 things failed, 2 changed. " + " ".join(f"Thing 'f{n}': so." for n in range(5))
            + " And 2 more: see things in the result.",
        ),
    ],
)  # fmt: skip
def test_the_failure_names_the_first_five_and_counts(failed: int, changed: int, unchanged: int, text: str) -> None:
    failures = [outcome(f"f{number}", "failed", StateError("", "so")) for number in range(failed)]
    others = [outcome(f"c{number}", "deleted") for number in range(changed)]
    others += [outcome(f"u{number}", "unchanged") for number in range(unchanged)]
    assert report.failure_text([summary(one) for one in failures + others], "things") == text


@pytest.mark.parametrize(
    ("actions", "plural", "text", "checked"),
    [
        ([], "bundles", "0 bundles.", "0 bundles."),
        (["deleted"], "sandboxes", "1 sandbox deleted.", "1 sandbox would be deleted."),
        (["created"] * 2, "mappings", "2 mappings created.", "2 mappings would be created."),
        (["unchanged"], "mappings", "1 mapping unchanged.", "1 mapping unchanged."),
        (
            ["unchanged", "created", "deleted", "created"],
            "bundles",
            "4 bundles: 2 created, 1 deleted, 1 unchanged.",
            "4 bundles: 2 would be created, 1 would be deleted, 1 unchanged.",
        ),
        (["deleted"], "daemons", "1 daemon stopped.", "1 daemon would be stopped."),
        (
            ["created", "updated", "unchanged"],
            "daemons",
            "3 daemons: 1 started, 1 restarted, 1 unchanged.",
            "3 daemons: 1 would be started, 1 would be restarted, 1 unchanged.",
        ),
    ],
    ids=["none", "one", "all the same", "nothing to do", "several", "a daemon", "daemons"],
)
def test_the_success_is_counted_by_what_was_done(actions: list[str], plural: str, text: str, checked: str) -> None:
    summaries = [summary(outcome("a", action)) for action in actions]
    assert report.success_text(summaries, plural, check_mode=False) == text
    assert report.success_text(summaries, plural, check_mode=True) == checked


def test_an_entry_has_a_message_only_where_there_is_something_to_say() -> None:
    assert entry(outcome("a", "deleted")) == {"name": "a", "action": "deleted"}
    assert entry(outcome("a", "deleted", note="Look.")) == {"name": "a", "action": "deleted", "msg": "Look."}
    failed = entry(outcome("a", "failed", StateError("", "so")))
    assert failed == {"name": "a", "action": "failed", "msg": "Thing 'a': so."}


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("acted", [True, False])
def test_changed_tells_in_check_mode_the_plan_and_else_what_was_done(check_mode: bool, acted: bool) -> None:
    planned, failed, idle = (
        outcome("a", "deleted"),
        outcome("b", "failed", StateError("", "so")),
        outcome("c", "unchanged"),
    )
    for one in (planned, failed, idle):
        one.item.acted = acted
    assert [summary(one, check_mode).changed for one in (planned, failed, idle)] == (
        [True, False, False] if check_mode else [acted] * 3
    )


def test_what_failed_is_not_in_the_diff() -> None:
    ends = [outcome("a", "deleted"), outcome("b", "failed", StateError("", "so")), outcome("c", "unchanged")]
    shown = report.diff_of_all([summary(one) for one in ends], "things", separate=True)
    assert [diff["before"] for diff in shown] == ["state     /r/a\n"]


@pytest.mark.parametrize(("count", "header"), [(100, "Thing '0'"), (101, "101 things")])
def test_above_100_items_the_diff_is_one_listing(count: int, header: str) -> None:
    showing = report.Showing.of(False, True, count)
    ends = [report.summary_of(outcome(str(number), "deleted"), showing) for number in range(count)]
    shown = report.diff_of_all(ends, "things", showing.separate)
    assert shown[0]["before_header"] == header
    assert len(shown) == (1 if count > 100 else count)
    assert "".join(diff["before"] for diff in shown).count("\n") == count


@pytest.mark.parametrize("separate", [True, False])
def test_without_diff_mode_none_is_made(separate: bool) -> None:
    showing = report.Showing(False, diff=False, separate=separate)
    assert report.summary_of(outcome("a", "deleted"), showing)[3:] == (([], []), [])
