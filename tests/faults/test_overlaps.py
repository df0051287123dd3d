# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task is held at each of its system calls while another one runs from its beginning to its end (promises 3 and 4).

What sixteen processes meet by chance, here every pair meets at every call.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from ansible_collections.sandboxed.containers.tests.faults import gvisor, harness, kata, kata_rules, rules, snapshot
from ansible_collections.sandboxed.containers.tests.faults.harness import Case
from ansible_collections.sandboxed.containers.tests.faults.running import Ended, Task, Worker
from ansible_collections.sandboxed.containers.tests.faults.snapshot import Tree
from ansible_collections.sandboxed.containers.tests.faults.tracing import PAUSE, Call, Point

pytestmark = pytest.mark.real
_LAYOUTS = ("gvisor", "gvisor_legacy", "kata_store", "kata_rs")  # and one in the short run


def cases_by_name(layout: str) -> dict[str, Case]:
    """Of an update, the one whose document has nothing special that a creation would not give it."""
    runtime = gvisor if layout in gvisor.LAYOUTS else kata
    table = {case.name[len(layout) + 1 :]: case for case in runtime.cases(layout)}
    return {**table, "update": table[runtime.PLAIN_UPDATE]}


class Pair(NamedTuple):
    """Names of two cases; both begin with the tree of the first."""

    first: str
    second: str


PAIRS = (
    Pair("create", "create"),
    Pair("create", "delete"),
    Pair("update", "delete"),
    Pair("update", "update"),
    Pair("delete", "delete"),
    Pair("delete", "create"),
)


def places_to_pause(calls: list[Call]) -> list[Point]:
    """Before each change, and before each lock."""
    return [Point(call, PAUSE) for call in calls if call.changes or call.name == "flock"]


def problems_of(ended: Ended) -> list[str]:
    if ended.answer is None:
        return [f"no JSON: {ended.text[-500:]}"]
    failed = [entry["msg"] for entry in ended.answer["sandboxes"] if entry["action"] == "failed"]
    return [text for text in failed if not any(excuse in text for excuse in rules.EXCUSES)]


def probe(worker: Worker, case: Case, other: Case, known: harness.Undisturbed, others: Tree, point: Point) -> list[str]:
    """Hold the case's task at a call and run the other one's; what does not hold after both have ended."""
    layout = case.task.options["layout"]
    before = harness.fresh(case, worker)
    quick = Task(other.task.module, {**other.task.options, "lock_timeout": 0})
    first, second, paused = worker.overlap(case.task, quick, harness.real_paths(known.paths, worker), point)
    problems = problems_of(first) + problems_of(second)
    if layout in kata.LAYOUTS:
        problems += kata_rules.half_objects(layout, snapshot.take(worker.root), before, known.wanted, others)
    for again in (worker.run(other.task), worker.run(case.task)):
        if again.failed:
            problems.append(f"a task after both fails: {again.message}")
    other_names = sorted(snapshot.take(worker.root).keys() ^ known.wanted.keys())
    problems += [f"in the end there are, or are not, {other_names}"] if other_names else []
    return [f"{point}: {text}" for text in problems] if paused else [f"{point}: never came"]


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(
            pair,
            id=f"{pair.first}-{pair.second}",
            marks=() if pair.second == "delete" and pair.first != "update" else pytest.mark.long,
        )
        for pair in PAIRS
    ],
)
@pytest.mark.parametrize("layout", ["kata_persist", *(pytest.param(one, marks=pytest.mark.long) for one in _LAYOUTS)])
def test_any_two_tasks_at_any_time(worker: Worker, layout: str, pair: Pair) -> None:
    table = cases_by_name(layout)
    case, other = table[pair.first], table[pair.second]
    known, others = harness.undisturbed(case, worker), harness.undisturbed(other, worker).wanted
    points = places_to_pause(known.calls)
    assert points
    assert [text for point in points for text in probe(worker, case, other, known, others, point)] == []
