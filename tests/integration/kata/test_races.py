# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sixteen processes on the same names: exactly one winner, all or nothing (promises 3 and 4; RS6)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import Modules, gone, some_long
from ansible_collections.sandboxed.containers.tests.integration.kata.test_leftovers import shapes, wanted
from ansible_collections.sandboxed.containers.tests.lab import kata, mounting
from ansible_collections.sandboxed.containers.tests.lab.ansible import Bare
from ansible_collections.sandboxed.containers.tests.lab.kata import Sandbox

pytestmark = pytest.mark.real
RACERS = 16


def outer(box: Sandbox, mark: str) -> dict[str, Any]:
    """The sandbox's own documents, with a mark of who wrote them."""
    found: dict[str, Any] = json.loads(json.dumps(wanted(box)[0]["documents"]))
    if box.layout == "kata_store":
        found["config"]["Hostname"] = mark
    elif box.layout == "kata_persist":
        found["persist"]["AgentState"]["URL"] = mark
    else:
        found["state"]["hypervisor"]["uuid"] = mark
    return found


@pytest.fixture
def empty(host: None, layout: str) -> Modules:
    """Nothing is there yet."""
    return Modules(kata.sandbox(layout, "lab-web-1", ["lab-web-1"]))


def test_one_of_many_creators_wins(empty: Modules) -> None:
    racers = [
        empty.start("present", documents=outer(empty.box, f"mark-{number}"), fail_if_exists=True, lock_timeout=60)
        for number in range(RACERS)
    ]
    results = [racer.result() for racer in racers]
    winners = [number for number, result in enumerate(results) if not result.failed]
    assert len(winners) == 1, [result.message for result in results]
    assert results[winners[0]].changed
    assert not any(result.changed for result in results if result.failed)
    files = b"".join(content for _mode, content in shapes(empty.box).values())
    assert f"mark-{winners[0]}".encode() in files and files.count(b"mark-") == 1
    assert empty.verdict == "leftover"
    assert empty.absent().changed and gone(empty.box) == []


def test_many_removers_agree(modules: Modules) -> None:
    """With mounts, which only one of them can unmount."""
    shared = modules.box.make_share()
    modules.box.engine_cleans_up()
    data = shared.checksum()
    racers = [modules.start("absent", lock_timeout=60, on_mounted="unmount") for _number in range(RACERS)]
    results = [racer.result() for racer in racers]
    assert [result.message for result in results if result.failed] == []
    assert sum(result.changed for result in results) == 1
    assert gone(modules.box) == [] and mounting.below(modules.box.share_dir) == []
    assert shared.checksum() == data


@pytest.mark.parametrize("layout", some_long("kata_rs", "kata_store", "kata_persist"))
def test_RS6_creators_and_removers_leave_all_or_nothing(empty: Modules) -> None:
    wishes: list[dict[str, Any]] = [
        {"state": "absent"},
        {"state": "present", "documents": outer(empty.box, "mark")},
    ]
    racers = [empty.start(lock_timeout=60, **wishes[number % 2]) for number in range(RACERS)]
    failures = [result.message for result in (racer.result() for racer in racers) if result.failed]
    assert [text for text in failures if "again" not in text] == []  # they met, and the way out is to try again
    left = shapes(empty.box) if empty.box.state_dir.exists() else {}
    if left:
        found = empty.look()
        assert "missing" not in found and all(tree.exists() for tree in empty.box.trees), found
        assert empty.absent().changed
    assert gone(empty.box) == []


@pytest.mark.long
def test_many_tasks_on_many_names(host: None, layout: str) -> None:
    """As Ansible's forks would: whole processes, lists that overlap, creates and removes mixed."""
    boxes = [kata.sandbox(layout, f"lab-web-{number}", [f"lab-web-{number}"]) for number in range(20)]
    for box in boxes[::2]:
        box.write()
    options = {**Modules(boxes[0]).options, "lock_timeout": 60}
    entries = [{"sandbox_id": box.id, "documents": outer(box, "mark")} for box in boxes]
    racers = []
    for number in range(RACERS):
        some = slice(number % 4, None, 1 + number % 3)
        if number % 2:
            racers.append(Bare("sandbox_state", {**options, "state": "present", "sandboxes": entries[some]}))
        else:
            names = [box.id for box in boxes[some]]
            racers.append(Bare("sandbox_state", {**options, "state": "absent", "sandbox_id": names}))
    for racer in racers:
        result = racer.result(120)
        assert not result.failed or "again" in result.message, result.message
    found = Modules(boxes[0]).info().sandboxes
    assert all("missing" not in one and one["verdict"] == "leftover" for one in found), found
    cleared = Modules(boxes[0]).absent(sandbox_id=[box.id for box in boxes])
    assert not cleared.failed, cleared.message
    assert [left for box in boxes for left in gone(box)] == []
