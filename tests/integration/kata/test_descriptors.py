# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""P4: Kata kept every file open that it read or wrote in a loop. Here no descriptor grows with what is on the host.

Each test is a process of its own, so that the limit which it takes ends with it.
"""

from __future__ import annotations

import resource
from collections.abc import Callable

import pytest
from ansible_collections.sandboxed.containers.tests.integration.kata.conftest import Modules, gone
from ansible_collections.sandboxed.containers.tests.integration.kata.test_leftovers import wanted
from ansible_collections.sandboxed.containers.tests.lab import kata
from ansible_collections.sandboxed.containers.tests.lab.ansible import Result
from ansible_collections.sandboxed.containers.tests.lab.forked import Forked, prepare
from ansible_collections.sandboxed.containers.tests.lab.kata import Sandbox

prepare("sandbox_host_info", "sandbox_prune")
pytestmark = pytest.mark.real
FEW = 64  # descriptors; a login has 1,024
MANY = 400
GO = pytest.mark.parametrize("layout", ["kata_persist"])


def few_descriptors() -> None:
    """This process, and all modules that it starts, may have few from now on, and cannot raise that."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, FEW))


def look_at_host() -> Result:
    return Forked("sandbox_host_info", {"sees_all_processes": True, "min_age": 0}).result()


def remove(modules: Modules, boxes: list[Sandbox]) -> Result:
    return modules.absent(sandbox_id=[box.id for box in boxes])


def prune(_modules: Modules, _boxes: list[Sandbox]) -> Result:
    options = {"scope": "all_leftovers", "max_removals": 0, "min_age": 0, "sees_all_processes": True}
    return Forked("sandbox_prune", options).result()


@pytest.mark.parametrize("way", [remove, prune])
def test_P4_hundreds_are_looked_at_and_removed(
    host: None, layout: str, way: Callable[[Modules, list[Sandbox]], Result]
) -> None:
    boxes = [kata.sandbox(layout, f"lab-web-{number}") for number in range(MANY)]
    for box in boxes:
        box.write()
    modules = Modules(boxes[0])
    few_descriptors()
    assert len(modules.info(with_documents=True).sandboxes) == MANY
    seen = look_at_host().answer
    assert (seen["summary"]["leftover"], seen["problems"]) == (MANY, []), seen["msg"]
    done = way(modules, boxes)
    assert done.changed and not done.failed, done.message
    assert [left for box in boxes for left in gone(box)] == []


def test_P4_many_are_made(host: None, layout: str) -> None:
    boxes = [kata.sandbox(layout, f"lab-web-{number}") for number in range(MANY // 4)]
    few_descriptors()
    done = Modules(boxes[0]).make([entry for box in boxes for entry in wanted(box)])
    assert done.changed and not done.failed, done.message
    assert all(tree.is_dir() for box in boxes for tree in box.trees)


@GO
def test_P4_a_sandbox_of_hundreds_of_containers(host: None, layout: str) -> None:
    box = kata.sandbox(layout, "lab-web-1", [f"lab-app-{number}" for number in range(MANY)])
    box.write()
    modules = Modules(box)
    few_descriptors()
    shown = modules.info(box.id, with_documents=True).sandboxes[0]
    assert len(shown["containers"]) == MANY and not shown.get("problems")
    assert look_at_host().answer["problems"] == []
    done = modules.absent()
    assert done.changed and not done.failed and gone(box) == [], done.message


@GO
def test_P4_however_deep_a_leftover_is(host: None, layout: str) -> None:
    box = kata.sandbox(layout)
    box.write()
    deepest = box.state_dir.joinpath(*["deep"] * 200)
    deepest.mkdir(parents=True)
    few_descriptors()
    modules = Modules(box)
    assert modules.verdict == "leftover" and look_at_host().answer["problems"] == []
    done = modules.absent()
    assert done.changed and not done.failed and gone(box) == [], done.message
