# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many of our own processes on the same bundles and mappings (promises 2 to 4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from ansible_collections.sandboxed.containers.tests.faults import bundles, rules, snapshot
from ansible_collections.sandboxed.containers.tests.faults.running import Ended, Task, Worker
from ansible_collections.sandboxed.containers.tests.faults.snapshot import ROOT

pytestmark = pytest.mark.real
_RACERS = 16
_IDS = ("race-1", "race-2", "race-3")


class Kind(NamedTuple):
    """A kind of object: its module, the name of its list, and the options of every task."""

    module: str
    plural: str
    options: dict[str, Any]

    def create(self, ids: Sequence[str], number: int = 0, **more: Any) -> Task:
        """state=present of several. number: makes what is wished differ."""
        if self.module == "container_bundle":
            entries = [{"container_id": one, "spec": bundles.spec(hostname=f"h{number}" * 900)} for one in ids]
        else:
            entries = [{"container_id": one, "sandbox_id": f"pod-{number}"} for one in ids]
            more = {"remap": True, **more}
        return Task(self.module, {**self.options, "lock_timeout": 100, self.plural: entries, **more})

    def absent(self, ids: Sequence[str]) -> Task:
        return Task(self.module, {**self.options, "lock_timeout": 100, "state": "absent", "container_id": list(ids)})

    def entries(self, ended: Ended) -> list[dict[str, Any]]:
        """What became of each item; a task that failed as a whole is one failure."""
        assert ended.answer is not None, ended.text
        found: list[dict[str, Any]] = ended.answer.get(self.plural, [{"action": "failed", "msg": ended.message}])
        return found

    def actions(self, results: list[Ended], container_id: str) -> Counter[str]:
        entries = [entry for one in results for entry in self.entries(one)]
        return Counter(entry["action"] for entry in entries if entry.get("container_id") == container_id)

    def failures(self, results: list[Ended]) -> list[str]:
        entries = [entry for one in results for entry in self.entries(one)]
        return [entry["msg"] for entry in entries if entry["action"] == "failed"]


KINDS = {
    "containerd_v2": Kind("container_bundle", "bundles", bundles.common("containerd_v2")),
    "oci": Kind("container_bundle", "bundles", bundles.common("oci")),
    "mapping": Kind("container_id_mapping", "mappings", {"host_root": ROOT, "sees_all_processes": True}),
}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def names(worker: Worker) -> set[str]:
    return {path for path in snapshot.take(worker.root) if "race-" in path}


def test_all_are_content_with_what_one_has_created(worker: Worker, kind: Kind) -> None:
    results = worker.run_together([kind.create(_IDS)] * _RACERS)
    assert kind.failures(results) == []
    for one in _IDS:
        assert kind.actions(results, one) == {"created": 1, "unchanged": _RACERS - 1}


def test_many_remove_and_none_fails(worker: Worker, kind: Kind) -> None:
    assert worker.run(kind.create(_IDS)).changed
    orders = (_IDS, _IDS[::-1])
    results = worker.run_together([kind.absent(orders[number % 2]) for number in range(_RACERS)])
    assert kind.failures(results) == []
    for one in _IDS:
        found = kind.actions(results, one)
        assert found["deleted"] >= 1
        assert found.keys() <= {"deleted", "unchanged"}
    assert not names(worker)


@pytest.mark.parametrize(
    "_round", [pytest.param(number, marks=[pytest.mark.long] if number else []) for number in range(5)]
)
def test_creators_updaters_and_removers_at_once(worker: Worker, kind: Kind, _round: int) -> None:
    """Each ends well or says that it was overtaken; nothing half is left, nor anything hidden."""
    tasks = [
        kind.absent(_IDS if number % 2 else _IDS[::-1]) if number % 3 == 2 else kind.create(_IDS, number)
        for number in range(_RACERS)
    ]
    results = worker.run_together(tasks)
    assert [text for text in kind.failures(results) if not any(one in text for one in rules.EXCUSES)] == []
    assert any(one.changed for one in results)
    left = names(worker)
    assert not [path for path in left if ".race-" in path or ".sbx-" in path]
    worker.run(kind.absent(_IDS))
    assert not names(worker)
