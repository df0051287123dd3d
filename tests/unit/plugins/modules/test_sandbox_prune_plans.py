# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a prune does by a plan that was made before, whatever has come in between."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support_host_tree import TASKS, WORK, HostTree


@pytest.fixture
def host(tmp_path: Path) -> HostTree:
    return HostTree(tmp_path)


def test_a_plan_is_carried_out_and_nothing_else(host: HostTree) -> None:
    host.everything("hostunit-1")
    plan = json.loads(json.dumps(host.info(with_plan=True, patterns=["*-rs", "*-b"]).value["plan"]))
    host.everything("hostunit-2")
    done = host.prune(plan=plan)
    assert sorted(one["id"] for one in done.value["objects"]) == ["hostunit-1-b", "hostunit-1-rs"]
    again = host.prune(plan=plan)
    assert not again.changed and not again.failed
    assert [(one["action"], one["msg"]) for one in again.value["objects"]] == [("skipped", "It is gone.")] * 2


def test_F2_a_plan_for_what_was_made_anew_is_skipped(host: HostTree) -> None:
    folder = host.kata_rs("hostunit-1")
    plan = host.info(with_plan=True).value["plan"]
    os.rename(folder, folder.parent.parent / "elsewhere")
    host.kata_rs("hostunit-1")
    done = host.prune(plan=plan)
    assert not done.changed and folder.exists()
    assert "changed or replaced since the plan was made" in done.value["objects"][0]["msg"]


TOMBSTONE = "0123456789abcdef"
MAPPINGS = "run/kata-containers/containers-mapping"
HIDDEN = {
    "kata_persist": ("run/vc/sbs/web-1", "run/vc/.sbx-del.web-1"),
    "kata_rs": ("run/kata/web-1", "run/.sbx-del.web-1"),
    "kata_store": ("run/vc/sbs/web-1", "run/vc/.sbx-del.web-1"),
    "bundle": (f"{TASKS}/web-1", f"{TASKS}/.web-1"),
    "mapping": (f"{MAPPINGS}/web-1", "run/kata-containers/.sbx-del.web-1"),
}


def hidden_by(host: HostTree, kind: str) -> Path:
    """Makes an object; the place under which a killed run hides it."""
    if kind == "mapping":
        host.mapping("web-1", "gone")
    else:
        getattr(host, kind)("web-1")
    if kind == "bundle":
        host.folder(f"{WORK}/web-1")
    return host.root / f"{HIDDEN[kind][1]}.{TOMBSTONE}"


@pytest.mark.parametrize("kind", HIDDEN)
def test_promise_3_the_same_plan_finishes_what_a_killed_run_has_hidden(host: HostTree, kind: str) -> None:
    tombstone = hidden_by(host, kind)
    plan = host.info(with_plan=True).value["plan"]
    if kind == "kata_store":  # its configuration goes first
        config = host.root / "var/lib/vc/sbs/web-1"
        config.rename(host.root / f"var/lib/vc/.sbx-del.web-1.{TOMBSTONE}")
        assert host.prune(True, plan=plan).value["objects"][0]["action"] == "deleted"
    (host.root / HIDDEN[kind][0]).rename(tombstone)
    for path in tombstone.iterdir():  # it was at work on that
        path.rmdir() if path.is_dir() else path.unlink()
    done = host.prune(plan=plan)
    assert done.changed and [one["action"] for one in done.value["objects"]] == ["deleted"] * len(plan["steps"])
    assert not [name for name in host.names() if "web-1" in name] and host.prune().unchanged


@pytest.mark.parametrize("kind", HIDDEN)
@pytest.mark.parametrize("what", ["a new one", "another hidden one"])
def test_F2_a_plan_never_takes_another_one_that_is_hidden_or_new(host: HostTree, kind: str, what: str) -> None:
    tombstone = hidden_by(host, kind)
    plan = host.info(with_plan=True).value["plan"]
    (host.root / HIDDEN[kind][0]).rename(tombstone)
    if what == "a new one":
        hidden_by(host, kind)
    else:
        tombstone.rename(host.root / "elsewhere")
        tombstone.mkdir()
    refuse_changed(host, {**plan, "steps": [step for step in plan["steps"] if step["kind"] != "socket"]})


@pytest.mark.parametrize("kind", ["kata_persist", "kata_rs", "kata_store"])
def test_F2_a_plan_never_takes_what_came_after_a_sandbox_was_hidden(host: HostTree, kind: str) -> None:
    """It may be a new one's, which makes its directory later."""
    tombstone = hidden_by(host, kind)
    plan = host.info(with_plan=True).value["plan"]
    (host.root / HIDDEN[kind][0]).rename(tombstone)
    host.folder("run/kata-containers/shared/sandboxes/web-1/mounts")
    refuse_changed(host, plan)


def refuse_changed(host: HostTree, plan: dict[str, Any]) -> None:
    before = host.names()
    done = host.prune(plan=plan)
    assert done.unchanged and host.names() == before, done.value["objects"]
    assert all("changed or replaced" in one["msg"] for one in done.value["objects"]), done.value["objects"]


def test_F2_a_work_directory_that_came_after_the_bundle_was_hidden_is_not_the_plans(host: HostTree) -> None:
    tombstone = hidden_by(host, "bundle")
    plan = host.info(with_plan=True).value["plan"]
    (host.root / HIDDEN["bundle"][0]).rename(tombstone)
    work = host.root / WORK / "web-1"
    work.rmdir()
    work.mkdir()
    refuse_changed(host, plan)


def test_F2_a_plan_of_another_tree_is_refused_whole(host: HostTree, tmp_path: Path) -> None:
    host.kata_rs("hostunit-1")
    plan = {**host.info(with_plan=True).value["plan"], "host_root": str(tmp_path / "other")}
    refused = host.prune(plan=plan)
    assert refused.failed and not refused.changed and host.verdicts() == {"sandbox hostunit-1": "leftover"}
