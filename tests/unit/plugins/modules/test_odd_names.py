# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names and command lines are any bytes: a result with them is whole, and shows nothing but what it says."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import NAME, titled
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import Result
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support_host_tree import TASKS, HostTree

NAMES = ["bad\udcff", "bad\x1b[31m\nBundle 'other'", "bad\u202egpj"]


@pytest.fixture
def host(tmp_path: Path) -> HostTree:
    return HostTree(tmp_path)


def texts_of(result: Result) -> str:
    """All that is printed, as a terminal gets it; it can be sent, and has no character that draws."""
    shown = json.dumps(result.value, ensure_ascii=False)
    shown.encode("utf-8")
    assert "\u202e" not in shown and r"\u001b" not in shown
    return shown


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_host_with_such_a_directory_is_told_and_pruned(host: HostTree, name: str) -> None:
    host.kata_rs("good-1")
    os.makedirs(host.root / "run/kata" / name)
    os.makedirs(host.root / "run/containerd/io.containerd.runtime.v2.task/default" / name)
    found = host.info(with_plan=True)
    assert not found.failed and "bad" in texts_of(found)
    checked = host.prune(check_mode=True)
    texts_of(checked)
    for part in checked.value["diff"]:
        assert all(line.split(" ")[0] in ("state", "bundle", "socket", "") for line in part["before"].split("\n"))
    done = host.prune()
    texts_of(done)
    assert done.changed and not (host.root / "run/kata/good-1").exists()


@pytest.mark.parametrize("name", [*NAMES, "bad\\xff", "bad é"], ids=ascii)
def test_a_plan_is_carried_out_on_such_a_directory(host: HostTree, name: str) -> None:
    """It travels as JSON, in which a byte that is no text is what is shown of it."""
    bundle = host.root / TASKS / name
    others = [host.root / TASKS / other for other in (r"bad\xff", "bad\udcfe", "other") if other != name]
    for folder in (bundle, *others):
        os.makedirs(folder)
    sent = json.dumps(host.info(with_plan=True, patterns=["bad*"]).value["plan"], ensure_ascii=False).encode("utf-8")
    plan = json.loads(sent)
    bundle_steps = [step for step in plan["steps"] if step["identity"]["inode"] == bundle.stat().st_ino]
    done = host.prune(plan={**plan, "steps": bundle_steps})
    assert [one["action"] for one in done.value["objects"]] == ["deleted"], texts_of(done)
    assert not bundle.exists() and all(other.exists() for other in others)
    again = host.prune(plan={**plan, "steps": bundle_steps})
    assert again.unchanged


LONG: dict[str, tuple[Callable[[HostTree, str], Path], int]] = {
    "kata_persist": (HostTree.kata_persist, 229),
    "kata_rs": (HostTree.kata_rs, 229),
    "kata_store": (HostTree.kata_store, 229),
    "mapping": (lambda host, name: host.mapping(name, f"gone-{len(name)}"), 229),
    "bundle": (HostTree.bundle, 237),
    "a shared tree alone, which is not hidden": (
        lambda host, name: host.folder(f"run/kata-containers/shared/sandboxes/{name}"),
        255,
    ),
}


@pytest.mark.parametrize("letter", ["a", "é"])
@pytest.mark.parametrize(("make", "most"), LONG.values(), ids=LONG)
def test_promise_1_a_name_that_is_too_long_to_be_hidden_is_kept(
    host: HostTree, make: Callable[[HostTree, str], Path], most: int, letter: str
) -> None:
    """Check mode tells what the run does; and the second run has nothing to do."""
    longest = letter * (most // len(letter.encode()))
    fits = make(host, longest.ljust(len(longest) + most - len(longest.encode()), "x"))
    longer = make(host, longest + "xy") if most < 254 else None
    checked, done = host.prune(check_mode=True), host.prune()
    assert [one["action"] for one in checked.value["objects"]] == [one["action"] for one in done.value["objects"]]
    assert done.changed and not done.failed and not fits.exists(), done.msg
    if longer is not None:
        (verdict,) = [one for one in host.info().value["objects"] if one["id"] == longer.name]
        assert verdict["verdict"] == "unknown" and "a file name has at most 255" in verdict["evidence"][0]
        assert longer.exists() and host.prune().unchanged


def test_a_process_that_calls_itself_so(host: HostTree) -> None:
    state = host.kata_rs(NAME)
    with titled("qemu\udcff", NAME):
        found = host.info()
        assert r"qemu\xff" in found.value["objects"][0]["evidence"][0], texts_of(found)
        assert "deleted" not in texts_of(host.prune())
    assert state.exists()
