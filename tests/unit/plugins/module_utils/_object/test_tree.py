# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import OutsideRoot, Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

GVISOR = LAYOUTS["gvisor"]


def host(tmp_path: Path) -> Path:
    (tmp_path / "host" / "run" / "runsc").mkdir(parents=True)
    (tmp_path / "host" / "var").mkdir()
    (tmp_path / "host" / "var" / "run").symlink_to("/run")
    return tmp_path / "host"


def test_a_default_is_resolved_below_host_root(tmp_path: Path) -> None:
    root = host(tmp_path)
    tree = Tree(GVISOR, str(root), {"run_root": None})
    assert tree.exists and tree.roots["run_root"].path == f"{root}/run/runsc"


def test_a_given_path_is_taken_as_it_is(tmp_path: Path) -> None:
    root = host(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    tree = Tree(GVISOR, str(root), {"run_root": str(tmp_path / "elsewhere")})
    assert tree.exists and tree.roots["run_root"].path == str(tmp_path / "elsewhere")


def test_without_its_root_a_tree_is_empty_until_it_is_made(tmp_path: Path) -> None:
    root = host(tmp_path)
    (root / "run" / "runsc").rmdir()
    tree = Tree(GVISOR, str(root), {"run_root": None})
    view = HostView(str(root), True)
    assert (tree.exists, tree.names(view), tree.read(view, "a").parts) == (False, {}, ())
    assert tree.roots["run_root"].path == f"{root}/run/runsc"
    assert not (root / "run" / "runsc").exists(), "looking makes nothing"
    tree.create()
    assert tree.roots["run_root"].exists and stat.S_IMODE((root / "run" / "runsc").stat().st_mode) == 0o711
    assert os.fstat(tree.roots["run_root"].fd).st_ino == (root / "run" / "runsc").stat().st_ino
    tree.create()


def test_promise_5_a_default_that_leads_out_is_refused(tmp_path: Path) -> None:
    root = host(tmp_path)
    (root / "var" / "run").unlink()
    (root / "var" / "run").symlink_to("../../..")
    with pytest.raises(OutsideRoot):
        Tree(GVISOR, str(root), {"run_root": None})


def test_promise_7_what_is_no_directory_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unreadable):
        Tree(GVISOR, "/", {"run_root": str(tmp_path / "file")})


def test_names_are_listed_once_in_a_view_and_again_in_a_new_one(tmp_path: Path) -> None:
    root = host(tmp_path)
    tree = Tree(GVISOR, str(root), {"run_root": None})
    view = HostView(str(root), True)
    assert tree.names(view) == {}
    (root / "run" / "runsc" / "a_sandbox:a.state").touch()
    assert tree.names(view) == {}
    assert list(tree.names(HostView(str(root), True))) == ["a"]


def test_two_trees_share_a_view_without_mixing(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}_sandbox:{name}.state").touch()
    view = HostView("/", True)
    trees = [Tree(GVISOR, "/", {"run_root": str(tmp_path / name)}) for name in ("one", "two")]
    assert [list(tree.names(view)) for tree in trees] == [["one"], ["two"]]


@pytest.mark.parametrize(
    ("host_root", "asserted", "words"),
    [
        ("/", True, ""),
        ("/image", True, ""),
        ("/", False, "sees_all_processes=false"),
        ("/image", False, "sees_all_processes=false"),
        ("/image", None, "host_root /image may be another host's tree"),
    ],
)
def test_A2_what_the_user_asserts_of_the_sight(host_root: str, asserted: bool | None, words: str) -> None:
    view = HostView(host_root, asserted)
    assert words in view.blind and bool(view.blind) is bool(words)
    assert view.asserted is (asserted is True)


def test_A1_a_look_that_fails_is_told_and_not_taken_for_nothing() -> None:
    def fail() -> int:
        raise PermissionError(13, "Permission denied", "/proc/x")

    with pytest.raises(Unreadable, match="/proc/x: Permission denied"):
        HostView().once("fact", fail)
