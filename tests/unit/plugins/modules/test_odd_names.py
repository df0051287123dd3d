# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names and command lines are any bytes: a result with them is whole, and shows nothing but what it says."""

from __future__ import annotations

import json
import os
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


def test_a_process_that_calls_itself_so(host: HostTree) -> None:
    state = host.kata_rs(NAME)
    with titled("qemu\udcff", NAME):
        found = host.info()
        assert r"qemu\xff" in found.value["objects"][0]["evidence"][0], texts_of(found)
        assert "deleted" not in texts_of(host.prune())
    assert state.exists()
