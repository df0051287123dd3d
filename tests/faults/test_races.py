# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many of our own processes on the same sandboxes, while somebody reads all the time (promises 2 to 4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.faults import gvisor, kata, rules, snapshot
from ansible_collections.sandboxed.containers.tests.faults.reading import Reader
from ansible_collections.sandboxed.containers.tests.faults.running import Ended, Task, Worker

pytestmark = pytest.mark.real
_RACERS = 16
_LAYOUTS = ("gvisor", "gvisor_legacy", "kata_persist", "kata_rs")
_IDS = ("race-1", "race-2", "race-3")


# One in the short run: the one with the most to get wrong.
@pytest.fixture(params=["kata_store", *(pytest.param(one, marks=pytest.mark.long) for one in _LAYOUTS)])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def task(layout: str, **options: Any) -> Task:
    runtime = gvisor if layout in gvisor.LAYOUTS else kata
    return Task("sandbox_state", {**runtime.common(layout), "lock_timeout": 100, **options})


def create(layout: str, ids: Sequence[str], mark: str = "", **options: Any) -> Task:
    """state=present of several, with documents that nobody else writes if there is a mark."""
    runtime = gvisor if layout in gvisor.LAYOUTS else kata
    entries = [runtime.wish(layout, one) for one in ids]
    for entry in entries:
        for content in entry["documents"].values():
            if isinstance(content, dict) and mark:
                content["mark"] = mark
    return task(layout, state="present", sandboxes=entries, **options)


def absent(layout: str, ids: Sequence[str]) -> Task:
    return task(layout, state="absent", sandbox_id=list(ids))


def actions(results: list[Ended], sandbox_id: str) -> Counter[str]:
    entries = [entry for one in results for entry in (one.answer or {})["sandboxes"]]
    return Counter(entry["action"] for entry in entries if entry["sandbox_id"] == sandbox_id)


def failures(results: list[Ended]) -> list[str]:
    return [entry["msg"] for one in results for entry in (one.answer or {})["sandboxes"] if entry["action"] == "failed"]


def race(worker: Worker, tasks: list[Task]) -> list[Ended]:
    """Run all at once, while somebody reads."""
    with Reader(worker.root, tasks[0].options["layout"]) as reader:
        results = worker.run_together(tasks)
    assert reader.faults == []
    assert reader.looks > 0
    return results


def test_exactly_one_of_many_creates(worker: Worker, layout: str) -> None:
    results = race(worker, [create(layout, _IDS[:1], fail_if_exists=True)] * _RACERS)
    assert actions(results, "race-1") == {"created": 1, "failed": _RACERS - 1}
    assert [text for text in failures(results) if "exists already" not in text] == []
    assert whole(worker, layout, _IDS[:1])


def test_all_are_content_with_what_one_has_created(worker: Worker, layout: str) -> None:
    results = race(worker, [create(layout, _IDS)] * _RACERS)
    assert failures(results) == []
    for one in _IDS:
        assert actions(results, one) == {"created": 1, "unchanged": _RACERS - 1}
    assert whole(worker, layout, _IDS)


def test_many_remove_and_none_fails(worker: Worker, layout: str) -> None:
    assert worker.run(create(layout, _IDS)).changed
    orders = (_IDS, _IDS[::-1])
    results = race(worker, [absent(layout, orders[number % 2]) for number in range(_RACERS)])
    assert failures(results) == []
    for one in _IDS:
        found = actions(results, one)  # two, where the second has removed a part of what the first had hidden
        assert found["deleted"] >= 1 and found.keys() <= {"deleted", "unchanged"}
    assert not names(worker)


@pytest.mark.parametrize(
    "_round", [pytest.param(number, marks=[pytest.mark.long] if number else []) for number in range(10)]
)
def test_creators_updaters_and_removers_at_once(worker: Worker, layout: str, _round: int) -> None:
    """Each ends well or says that it was overtaken; nothing half is left, nor anything hidden."""
    results = race(
        worker,
        [
            absent(layout, _IDS if number % 2 else _IDS[::-1])
            if number % 3 == 2
            else create(layout, _IDS, str(number) * 5000 * (number + 1))
            for number in range(_RACERS)
        ],
    )
    assert [text for text in failures(results) if not any(one in text for one in rules.EXCUSES)] == []
    assert any(one.changed for one in results)
    left = [one for one in _IDS if any(one in name for name in names(worker))]
    assert whole(worker, layout, left)


def names(worker: Worker) -> set[str]:
    """What is there beside the directories that the layout itself has, and locks alone."""
    tree = snapshot.take(worker.root)
    return {path for path in tree if "race-" in path}


def whole(worker: Worker, layout: str, ids: Sequence[str]) -> bool:
    """Whether exactly these sandboxes are there, each as a creation alone leaves it."""
    found = names(worker)
    assert worker.run(absent(layout, ids)).changed == bool(ids)
    assert not names(worker)
    assert not ids or worker.run(create(layout, ids)).changed
    return found == names(worker)
