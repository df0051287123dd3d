# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    InUse,
    LockTimeout,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_sandbox import TreeSandbox
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    KATA,
    NAME,
    SANDBOX,
    SHARE,
    listing,
    make,
    state_of,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_trees import (
    CONF,
    MARK,
    RUN,
    error_of,
    item_of,
    removed,
    take_all,
    view_of,
)

# locks


def lock_paths(item: TreeSandbox, host: Path) -> list[str]:
    item.read(view_of(host))
    paths = [place.path for place in item.lock_places()]
    own = item.tree.own_lock_path
    return ["own" if path == own else path[len(str(host)) + 1 :] for path in paths]


def _no_harm(_state: Path) -> None:
    pass


def _no_lock(state: Path) -> None:
    (state / "lock").unlink()


def _lock_is_directory(state: Path) -> None:
    (state / "lock").unlink()
    (state / "lock").mkdir()


def _lock_is_link(state: Path) -> None:
    (state / "lock").unlink()
    (state / "lock").symlink_to(state / "state.json")


def _no_state(state: Path) -> None:
    shutil.rmtree(state)


def _link(state: Path) -> None:
    state.rename(state.parents[3] / "moved")
    state.symlink_to(state.parents[3] / "moved")


LOCKS = [
    ("kata_store", _no_harm, f"{RUN['kata_store']}/lock"),
    ("kata_store", _no_lock, "own"),
    ("kata_store", _lock_is_directory, "own"),
    ("kata_store", _lock_is_link, "own"),
    ("kata_store", _no_state, "own"),
    ("kata_store", _link, "own"),
    ("kata_persist", _no_harm, RUN["kata_persist"]),
    ("kata_persist", _link, "own"),
    ("kata_rs", _no_harm, "own"),
]


@pytest.mark.parametrize(("layout", "harm", "lock"), LOCKS, ids=[f"{one[0]}{one[1].__name__}" for one in LOCKS])
@pytest.mark.parametrize("present", [True, False], ids=["present", "absent"])
def test_R1_what_is_locked_in_each_state(tmp_path: Path, layout: str, harm: Any, lock: str, present: bool) -> None:
    """The runtime's own object, or ours where that is not to be had; never one that had to be made for it."""
    harm(make(layout, tmp_path))
    before = listing(tmp_path)
    wish: dict[str, Any] = {"documents": SANDBOX[layout], "force": True} if present else {"force": True}
    assert lock_paths(item_of(layout, tmp_path, present=present, **wish), tmp_path) == [lock]
    after = {name: entry for name, entry in listing(tmp_path).items() if name in before}
    assert after == before


@pytest.mark.parametrize("layout", KATA)
def test_R1_what_does_not_exist_yet_is_made_under_our_own_lock(tmp_path: Path, layout: str) -> None:
    assert lock_paths(item_of(layout, tmp_path, documents=SANDBOX[layout]), tmp_path) == ["own"]
    item = item_of(layout, tmp_path, documents=SANDBOX[layout])
    common = item.common_lock()
    assert common is not None and common.is_common and common.path == item.tree.own_lock_path


def test_only_the_rust_runtimes_absents_share_a_lock(tmp_path: Path) -> None:
    for layout in KATA:
        common = item_of(layout, tmp_path, present=False).common_lock()
        assert (common is not None) is (layout == "kata_rs")


def test_D2_tombstones_are_locked_after_the_sandbox(tmp_path: Path) -> None:
    make("kata_persist", tmp_path)
    (tmp_path / f"run/vc/.sbx-del.{NAME}.{MARK}").mkdir()
    wanted = [RUN["kata_persist"], f"run/vc/.sbx-del.{NAME}.{MARK}"]
    assert lock_paths(item_of("kata_persist", tmp_path, present=False), tmp_path) == wanted
    shutil.rmtree(state_of("kata_persist", tmp_path))
    assert lock_paths(item_of("kata_persist", tmp_path, present=False), tmp_path) == ["own", wanted[1]]


@pytest.mark.parametrize(("layout", "name"), [("kata_store", "lock"), ("kata_persist", ".")])
@pytest.mark.parametrize("kind", [fcntl.LOCK_EX, fcntl.LOCK_SH], ids=["EX", "SH"])
@pytest.mark.parametrize("container_id", ["", "app-1"])
def test_R1_a_runtime_at_work_keeps_the_sandbox_and_its_containers(
    tmp_path: Path, layout: str, name: str, kind: int, container_id: str
) -> None:
    state = make(layout, tmp_path, containers=("app-1",))
    before = listing(tmp_path)
    descriptor = os.open(state / name, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind)
        text = error_of(removed(layout, tmp_path, container_id=container_id), LockTimeout)
    finally:
        os.close(descriptor)
    assert f"the lock {state}{'/lock' if name == 'lock' else ''} is held" in text and listing(tmp_path) == before


@contextmanager
def user_of(path: Path, code: str = "os.open(sys.argv[1], os.O_RDONLY)", cwd: Path | None = None) -> Iterator[int]:
    """Another process that has something open, or stands somewhere, and takes no lock."""
    code = f"import os, sys, time\n{code}\nprint(flush=True); time.sleep(60)"
    command = ["some-runtime", "-c", code, str(path)]
    with subprocess.Popen(command, executable=sys.executable, stdout=subprocess.PIPE, cwd=cwd) as child:
        try:
            assert child.stdout and child.stdout.readline()
            yield child.pid
        finally:
            child.kill()


@pytest.mark.parametrize(("layout", "name"), [("kata_store", "lock"), ("kata_persist", "")])
def test_C3_a_runtime_that_waits_for_the_lock_keeps_the_sandbox(
    tmp_path: Path, layout: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would go on with what we have removed (K5, P5): its open descriptor shows it."""
    link = tmp_path / "by-another-name"
    state = make(layout, tmp_path)
    link.symlink_to(state)
    with user_of(link / name) as pid:
        text = error_of(removed(layout, tmp_path, force=True), InUse)
    assert f"some-runtime (pid {pid}" in text and state.exists()
    assert removed(layout, tmp_path).action == "deleted"


@pytest.mark.parametrize("layout", KATA)
@pytest.mark.parametrize("place", ["state", "share", "inside"])
def test_D8_whoever_stands_in_it_keeps_it(tmp_path: Path, layout: str, place: str) -> None:
    state = make(layout, tmp_path)
    folder = {"state": state, "share": tmp_path / SHARE / NAME, "inside": state / f"{NAME}-inside" / "deep"}[place]
    folder.mkdir(parents=True, exist_ok=True)
    link = tmp_path / "cwd"
    link.symlink_to(folder)
    with user_of(link, "os.chdir(sys.argv[1])") as pid:
        outcome = removed(layout, tmp_path, force=True)
        assert outcome.action == "failed" and f"some-runtime (pid {pid}" in str(outcome.error)
    assert state.exists() and folder.exists()
    assert removed(layout, tmp_path).action == "deleted"


def test_C2_a_lock_that_went_away_leaves_the_rest_to_somebody_else(tmp_path: Path) -> None:
    state = make("kata_store", tmp_path)
    item = item_of("kata_store", tmp_path, present=False)
    original = item.lock_places

    def late() -> Any:
        places = original()
        (state / "lock").unlink()
        return places

    item.lock_places = late  # type: ignore[method-assign]
    (outcome,) = take_all([item], tmp_path)
    assert outcome.action == "failed" and isinstance(outcome.error, ChangedMeanwhile)
    assert state.exists() and (tmp_path / CONF).exists()
