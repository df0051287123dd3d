# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import MakeTree
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    KATA,
    NAME,
    SANDBOX,
    SHARE,
    STATE,
    VM,
    listing,
    make,
    put,
    state_of,
    titled,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_trees import (
    CONF,
    MARK,
    RUN,
    error_of,
    files,
    item_of,
    lines,
    planned,
    removed,
    take,
    take_all,
    view_of,
)


def above(layout: str) -> str:
    return os.path.dirname(STATE[layout])


# the order of a plan


def test_K12_the_order_of_removal_of_all_that_belongs_to_a_sandbox(tmp_path: Path) -> None:
    """What tells of a sandbox goes last: a crash anywhere leaves what the next run finds it by."""
    make("kata_store", tmp_path, containers=("app-1",))
    for place in (f"{SHARE}/{NAME}/x", f"{VM}/{NAME}/pid", f"run/vc/firecracker/{NAME[:32]}/x"):
        put(tmp_path / place)
    for place in ("var/lib/vc", "run/vc"):
        (tmp_path / place / f".sbx-del.{NAME}.{MARK}").mkdir()
    plan = planned(item_of("kata_store", tmp_path, present=False), tmp_path)
    assert plan.action == "deleted"
    assert lines(plan.changes, tmp_path) == [
        f"-tombstone var/lib/vc/.sbx-del.{NAME}.{MARK}",
        f"-tombstone run/vc/.sbx-del.{NAME}.{MARK}",
        f"-share {SHARE}/{NAME}",
        f"-vm {VM}/{NAME}",
        f"-firecracker run/vc/firecracker/{NAME[:32]}",
        f"-config {CONF}",
        f"-state {RUN['kata_store']}",
    ]
    outcome = removed("kata_store", tmp_path)
    assert outcome.action == "deleted" and files(tmp_path) == []


def test_the_order_for_the_other_runtimes(tmp_path: Path) -> None:
    for layout in ("kata_persist", "kata_rs"):
        host = tmp_path / layout
        make(layout, host)
        for place in (
            f"{SHARE}/{NAME}/x",
            f"{VM}/{NAME}/pid",
            f"run/kata-containers/shared/initdata/{NAME}/x",
            f"run/kata/firecracker/{NAME}/root/x",
        ):
            put(host / place)
        wanted = {
            "kata_persist": [f"-share {SHARE}/{NAME}", f"-initdata run/kata-containers/shared/initdata/{NAME}",
                             f"-vm {VM}/{NAME}", f"-state {RUN[layout]}"],
            "kata_rs": [f"-share {SHARE}/{NAME}", f"-jail run/kata/firecracker/{NAME}", f"-state {RUN[layout]}"],
        }  # fmt: skip
        plan = planned(item_of(layout, host, present=False), host)
        assert lines(plan.changes, host) == wanted[layout]
        assert removed(layout, host).action == "deleted"
        assert not state_of(layout, host).exists()


@pytest.mark.parametrize("layout", ["kata_store", "kata_persist"])
def test_a_container_is_removed_alone(tmp_path: Path, layout: str) -> None:
    """The rest it shares with the others."""
    make(layout, tmp_path, containers=("app-1", "app-2"))
    put(tmp_path / SHARE / NAME / "mounts" / "x")
    plan = planned(item_of(layout, tmp_path, present=False, container_id="app-1"), tmp_path)
    wanted = [f"-config {CONF}/app-1"] if layout == "kata_store" else []
    assert lines(plan.changes, tmp_path) == [*wanted, f"-state {RUN[layout]}/app-1"]
    before = listing(tmp_path)
    assert removed(layout, tmp_path, container_id="app-1").action == "deleted"
    assert listing(tmp_path) == {name: entry for name, entry in before.items() if "app-1" not in name}
    assert removed(layout, tmp_path, container_id="app-1").action == "unchanged"


@pytest.mark.parametrize("layout", KATA)
def test_R9_absent_is_success(tmp_path: Path, layout: str) -> None:
    for _time in range(2):
        outcome = removed(layout, tmp_path)
        assert (outcome.action, outcome.error, outcome.plan.changes) == ("unchanged", None, ())
        assert list(tmp_path.iterdir()) == []


STORE_PARTS = (f"{RUN['kata_store']}/lock", f"{RUN['kata_store']}/state.json", f"{CONF}/config.json", f"{CONF}/lock")


@pytest.mark.long
@pytest.mark.parametrize("gone", [parts for size in range(5) for parts in combinations(STORE_PARTS, size)])
def test_R9_every_subset_of_a_stores_files_can_be_removed(tmp_path: Path, gone: tuple[str, ...]) -> None:
    make("kata_store", tmp_path)
    for name in gone:
        (tmp_path / name).unlink()
    assert removed("kata_store", tmp_path).action == "deleted"
    assert files(tmp_path) == [] and not (tmp_path / CONF).exists() and not state_of("kata_store", tmp_path).exists()


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize("data", [None, b"", b"{cut", b"[]"], ids=["missing", "empty", "cut", "foreign"])
def test_P2_K12_a_torn_document_does_not_keep_a_sandbox(tmp_path: Path, layout: str, data: bytes | None) -> None:
    """Kata itself can no longer delete it."""
    state = make(layout, tmp_path)
    for document in tmp_path.rglob("*.json"):
        document.unlink() if data is None else document.write_bytes(data)
    assert removed(layout, tmp_path).action == "deleted" and not state.exists()


@pytest.mark.parametrize("tree", [CONF, RUN["kata_store"]], ids=["config", "state"])
def test_D1_a_reboot_in_the_middle_leaves_one_tree_which_is_removed(tmp_path: Path, tree: str) -> None:
    make("kata_store", tmp_path)
    shutil.rmtree(tmp_path / tree)
    assert removed("kata_store", tmp_path).action == "deleted" and files(tmp_path) == []
    assert removed("kata_store", tmp_path).action == "unchanged"


# tombstones


@pytest.mark.parametrize("layout", KATA)
def test_D2_what_a_killed_run_left_is_finished(tmp_path: Path, layout: str) -> None:
    (tmp_path / STATE[layout]).mkdir(parents=True)
    put(tmp_path / above(layout) / f".sbx-del.{NAME}.{MARK}" / "state.json", {"hypervisor": {"pid": os.getpid()}})
    put(tmp_path / above(layout) / f".sbx-del.{NAME}x.{MARK}" / "theirs")
    with titled("virtiofsd", f"--shared-dir={tmp_path}/{SHARE}/{NAME}/shared"):
        outcome = removed(layout, tmp_path, asserted=False)  # a tombstone has no owner
    assert outcome.action == "deleted"
    assert [path.name for path in (tmp_path / above(layout)).glob(".sbx-del.*")] == [f".sbx-del.{NAME}x.{MARK}"]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_D2_a_tombstone_that_is_no_directory_is_removed_too(tmp_path: Path, kind: str) -> None:
    (tmp_path / "run/vc/sbs").mkdir(parents=True)
    (tmp_path / "else").mkdir()
    tombstone = tmp_path / f"run/vc/.sbx-del.{NAME}.{MARK}"
    tombstone.touch() if kind == "file" else tombstone.symlink_to(tmp_path / "else")
    assert removed("kata_persist", tmp_path).action == "deleted"
    assert not os.path.lexists(tombstone) and (tmp_path / "else").exists()


def test_D2_one_that_comes_after_the_first_plan_is_another_runs(tmp_path: Path) -> None:
    make("kata_persist", tmp_path)
    item = item_of("kata_persist", tmp_path, present=False)
    first = [f"run/vc/.sbx-del.{NAME}.{MARK}", f"run/vc/.sbx-del.{NAME}.{MARK[::-1]}"]
    for number, path in enumerate(first):
        put(tmp_path / path / "persist.json")
        item.read(view_of(tmp_path))
        left = [part.path for part in item.parts if part.role == "tombstone"]
        assert left == [str(tmp_path / first[0])], number


def test_D2_one_that_somebody_is_making_is_left_to_them(tmp_path: Path) -> None:
    """While something is built under its hidden name, that directory is locked."""
    (tmp_path / "run/vc/sbs").mkdir(parents=True)
    tombstone = tmp_path / f"run/vc/.sbx-del.{NAME}.{MARK}"
    tombstone.mkdir()
    descriptor = os.open(tombstone, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert removed("kata_persist", tmp_path).action == "unchanged"
        assert tombstone.exists()
    finally:
        os.close(descriptor)
    assert removed("kata_persist", tmp_path).action == "deleted"


@pytest.mark.parametrize("there", [True, False], ids=["there", "new"])
def test_D2_present_finishes_what_a_killed_run_left(tmp_path: Path, there: bool) -> None:
    (tmp_path / "run/vc/sbs").mkdir(parents=True)
    if there:
        make("kata_persist", tmp_path)
    tombstone = tmp_path / f"run/vc/.sbx-del.{NAME}.{MARK}"
    put(tombstone / "persist.json")
    wish: dict[str, Any] = {"documents": SANDBOX["kata_persist"]}
    plan = planned(item_of("kata_persist", tmp_path, **wish), tmp_path)
    wanted = [f"-tombstone run/vc/.sbx-del.{NAME}.{MARK}", *([] if there else [f"+state {RUN['kata_persist']}"])]
    assert lines(plan.changes, tmp_path) == wanted
    assert take("kata_persist", tmp_path, **wish).action == ("updated" if there else "created")
    assert not tombstone.exists() and take("kata_persist", tmp_path, **wish).action == "unchanged"


def test_D2_present_leaves_what_another_run_is_at_work_on(tmp_path: Path) -> None:
    (tmp_path / "run/vc/sbs").mkdir(parents=True)
    tombstone = tmp_path / f"run/vc/.sbx-del.{NAME}.{MARK}"
    tombstone.mkdir()
    descriptor = os.open(tombstone, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        outcome = take("kata_persist", tmp_path, documents=SANDBOX["kata_persist"])
    finally:
        os.close(descriptor)
    assert (outcome.action, outcome.error) == ("created", None) and tombstone.exists()


def test_D1_two_trees_are_made_together_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one cannot get its name, since a runtime has just made it: the first is taken back."""
    item = item_of("kata_store", tmp_path, documents=SANDBOX["kata_store"])
    original = MakeTree.built

    def late(change: MakeTree, *arguments: Any) -> Any:
        tree = original(change, *arguments)
        if change.role == "config":
            put(tmp_path / CONF / "theirs")
        return tree

    monkeypatch.setattr(MakeTree, "built", late)
    (outcome,) = take_all([item], tmp_path)
    assert "somebody else has made it meanwhile" in error_of(outcome, AlreadyExists)
    assert files(tmp_path) == [f"{CONF}/theirs"] and not state_of("kata_store", tmp_path).exists()
    assert outcome.item.acted is False
    assert list(tmp_path.rglob(".sbx-del.*")) == []
