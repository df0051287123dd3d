# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The removal of a bundle, and what comes or fails in the middle of it."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import cgroup_directories, trees
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable, WriteFailed
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_hierarchies import Hierarchy
from ansible_collections.sandboxed.containers.plugins.module_utils._object import bundle_owners, bundle_removal
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle import Bundle
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import Hidden, RemoveTree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Owners
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.support import run
from ansible_collections.sandboxed.containers.tests.unit.plugins.modules.test_container_bundle import (
    SPEC,
    Site,
    add_runc_state,
)


@pytest.fixture(params=["containerd_v2", "containerd_v1"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    return Site(tmp_path, request.param)


def test_C2_who_comes_at_the_last_moment_gets_the_bundle_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """containerd takes no lock that we could take: another look follows the rename."""
    path = site.state_root / "shim.sock"
    site.add(address=f"unix://{path}")
    before = sorted(site.state_root.parent.rglob("*"))
    hide = RemoveTree.hide
    with socket.socket(socket.AF_UNIX) as listener:

        def late(*given: Any, **more: Any) -> Any:
            listener.bind(str(path))
            listener.listen()
            return hide(*given, **more)

        monkeypatch.setattr(RemoveTree, "hide", late)
        refused = site.run(container_id="unit-5", state="absent")
    assert refused.failed and not refused.changed, refused.value
    assert f"somebody listens on {path}" in refused.msg and "It was put back." in refused.msg
    assert sorted(site.state_root.parent.rglob("*")) == sorted([*before, path])


def test_C2_where_the_last_look_fails_the_bundle_comes_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hidden one would be finished by the next run, which looks for no owner of it."""
    site.add()
    before = sorted(site.state_root.parent.rglob("*"))
    look_for_owners = Bundle.look_for_owners

    def look(bundle: Bundle, view: HostView) -> Owners:
        if bundle.hidden:
            raise Unreadable("/proc", "it cannot be listed")
        return look_for_owners(bundle, view)

    with monkeypatch.context() as patch:
        patch.setattr(Bundle, "look_for_owners", look)
        refused = site.run(container_id="unit-5", state="absent")
    assert refused.failed and not refused.changed and "/proc: it cannot be listed" in refused.msg, refused.value
    assert sorted(site.state_root.parent.rglob("*")) == before


def test_C7_each_thing_that_could_not_be_removed_is_named_and_the_next_run_finishes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = site.add()

    def broken(hidden: Hidden) -> None:
        raise WriteFailed(hidden.change.path, "it could not be emptied", "Run again.")

    with monkeypatch.context() as patch:
        patch.setattr(Hidden, "remove", broken)
        failed = site.run(container_id="unit-5", state="absent")
    assert failed.failed and "several things of it are left" in failed.msg, failed.value
    assert all(str(path) in failed.msg for path in (bundle, site.work / "unit-5")), failed.msg
    done = site.run(container_id="unit-5", state="absent")
    assert not done.failed and done.changed, done.msg
    assert list(site.state.iterdir()) == list(site.work.iterdir()) == []


def test_promise_3_a_removal_that_breaks_off_in_what_runc_keeps_is_finished(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once its state.json is gone, nothing in there tells whose it was."""
    folder = add_runc_state(site, site.add())
    (folder / "inner").mkdir()
    remove_tree = trees.remove_tree

    def halfway(parent_fd: int, name: str, where: str, is_directory: bool = False) -> bool:
        if where != str(folder.parent):
            return remove_tree(parent_fd, name, where, is_directory)
        os.unlink(f"{name}/state.json", dir_fd=parent_fd)
        raise WriteFailed(where, "it could not be emptied", "Run again.")

    with monkeypatch.context() as patch:
        patch.setattr(trees, "remove_tree", halfway)
        failed = site.run(container_id="unit-5", state="absent")
    assert failed.failed and failed.changed, failed.value
    given = {"state_root": str(site.state_root), "work_root": str(site.work_root), "sees_all_processes": True}
    found = run("container_bundle_info", {"layout": site.layout, **given}).value["bundles"]
    assert [entry["container_id"] for entry in found] == ["unit-5"]
    done = site.run(container_id="unit-5", state="absent")
    assert not done.failed and done.changed, done.msg
    assert list(folder.parent.iterdir()) == []
    assert site.run(container_id="unit-5", state="absent").unchanged


GROUPED: dict[str, Any] = {"container_id": "unit-5", "state": "absent", "cgroups": True}


@pytest.fixture
def grouped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A bundle with a cgroup of its own, which here is a plain directory."""
    site = Site(tmp_path)
    (site.add() / "config.json").write_text(json.dumps({**SPEC, "linux": {"cgroupsPath": "/unit/unit-5"}}))
    (tmp_path / "cgroup/unit/unit-5").mkdir(parents=True)
    for module in (bundle_owners, bundle_removal):
        monkeypatch.setattr(module, "hierarchies_of", lambda _view: (Hierarchy(("memory",), f"{tmp_path}/cgroup"),))
    return site


@pytest.mark.parametrize(("target", "step"), [(cgroup_directories, "remove"), (RemoveTree, "hide"), (Hidden, "remove")])
def test_promise_3_cgroups_go_while_the_spec_is_there_that_names_them(
    grouped: Site, tmp_path: Path, target: Any, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = os.fork()
    if killed == 0:
        monkeypatch.setattr(target, step, lambda *_given: os._exit(9))
        try:
            grouped.run(**GROUPED)
        finally:
            os._exit(0)
    assert os.waitpid(killed, 0)[1] >> 8 == 9
    done = grouped.run(**GROUPED)
    assert not done.failed and done.changed, done.msg
    assert [*(tmp_path / "cgroup/unit").iterdir(), *grouped.state.iterdir(), *grouped.work.iterdir()] == []
    assert grouped.run(**GROUPED).unchanged


def test_D7_a_cgroup_into_which_somebody_comes_keeps_its_bundle(grouped: Site, tmp_path: Path) -> None:
    """Without that, nobody could tell later whose it was."""
    (tmp_path / "cgroup/unit/unit-5/notes").write_text("as a process would, it keeps the directory from going")
    refused = grouped.run(**GROUPED)
    assert refused.failed and not refused.changed and "somebody has come into this cgroup" in refused.msg, refused.value
    assert (grouped.state / "unit-5/config.json").exists()
