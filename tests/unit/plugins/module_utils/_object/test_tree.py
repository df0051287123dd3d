# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import OutsideRoot, Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
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


# layouts of several trees


def kata(layout: str, root: Path, **given: Path) -> Tree:
    options = {rule.option: None for rule in LAYOUTS[layout].root_rules}
    return Tree(LAYOUTS[layout], str(root), {**options, **{name: str(path) for name, path in given.items()}})


def modes(root: Path, *places: str) -> list[int]:
    return [stat.S_IMODE((root / place).stat().st_mode) for place in places]


def test_the_roots_of_kata_1_are_made_with_its_modes_whatever_the_umask(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    before = os.umask(0o777)
    try:
        tree = kata("kata_store", tmp_path)
        tree.create()
    finally:
        os.umask(before)
    made = ("var", "var/lib", "var/lib/vc", "var/lib/vc/sbs", "run/vc", "run/vc/sbs")
    assert tree.exists and modes(tmp_path, *made) == [0o750] * 6
    assert tree.root_of("config").path == f"{tmp_path}/var/lib/vc/sbs"
    assert tree.root_of("state").path == f"{tmp_path}/run/vc/sbs"


@pytest.mark.parametrize(
    ("layout", "places", "wanted"),
    [
        ("kata_persist", ("run", "run/vc", "run/vc/sbs"), [0o755, 0o755, 0o700]),
        ("kata_rs", ("run", "run/kata"), [0o755, 0o750]),
    ],
)
def test_the_roots_of_the_later_runtimes(
    tmp_path: Path, layout: str, places: tuple[str, ...], wanted: list[int]
) -> None:
    kata(layout, tmp_path).create()
    assert modes(tmp_path, *places) == wanted


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(("layout", "owner"), [("kata_persist", 4242), ("kata_rs", 0), ("kata_store", 0)])
def test_new_directories_inherit_their_owner_where_the_runtime_does_so(tmp_path: Path, layout: str, owner: int) -> None:
    """MkdirAllWithInheritedOwner of Kata 2.3: below a rootless /run/user/1000 nothing is root's."""
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", 4242, 4343)
    tree = kata(layout, tmp_path)
    tree.create()
    for path in tree.root_of("state").made:
        status = os.stat(path)
        assert (status.st_uid, status.st_gid) == (owner, 4343 if owner else 0)
    assert tree.root_of("state").made


def test_a_given_root_is_the_runtimes_own_and_its_sandboxes_are_inside(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    tree = kata("kata_store", tmp_path / "image", run_root=tmp_path / "1000/run/vc")
    assert tree.root_of("state").path == f"{tmp_path}/1000/run/vc/sbs"
    assert tree.root_of("config").path == f"{tmp_path}/image/var/lib/vc/sbs"
    assert not tree.roots.is_default("run_root") and not tree.roots.is_default("config_root")


def test_what_was_made_for_nothing_is_taken_back(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    tree = kata("kata_store", tmp_path)
    tree.create()
    (tmp_path / "run/vc/sbs/web-1").mkdir()
    tree.remove_empty_roots()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "run",
        "run/vc",
        "run/vc/sbs",
        "run/vc/sbs/web-1",
    ]


def test_the_directory_for_hidden_names_is_opened_once_and_found_by_its_path(tmp_path: Path) -> None:
    tree = kata("kata_store", tmp_path)
    tree.create()
    state, config = tree.root_of("state"), tree.root_of("config")
    assert tree.above(state) is tree.above(state) and tree.above(config) is not tree.above(state)
    assert tree.above(state).path == f"{tmp_path}/run/vc"
    for root in (state, config):
        above = tree.above(root)
        assert tree.above_at(Directory(-1, above.path)) is above
        assert os.fstat(above.fd).st_ino == os.stat(above.path).st_ino


def test_C2_our_own_lock_is_one_for_each_state_tree(tmp_path: Path) -> None:
    """By its real path, so that two runs that name it differently exclude each other."""
    (tmp_path / "one/run/vc").mkdir(parents=True)
    (tmp_path / "link").symlink_to("one")
    same = [kata("kata_persist", tmp_path / "one"), kata("kata_persist", tmp_path / "one")]
    same.append(kata("kata_persist", tmp_path, run_root=tmp_path / "link/run/vc"))
    for tree in same:
        assert tree.own_lock_path == ""
        tree.create()
    assert len({tree.own_lock().path for tree in same}) == 1
    assert same[0].own_lock() is same[0].own_lock() and same[0].own_lock_path == same[0].own_lock().path
    (tmp_path / "two").mkdir()
    other = kata("kata_persist", tmp_path / "two")
    assert other.own_lock().path != same[0].own_lock().path, "asked for before its root is there, too"


def test_promise_6_asking_for_names_makes_nothing(tmp_path: Path) -> None:
    for layout in ("kata_store", "kata_persist", "kata_rs"):
        tree = kata(layout, tmp_path)
        view = HostView(str(tmp_path), True)
        assert tree.names(view) == {} and tree.read(view, "web-1").parts == ()
    assert list(tmp_path.iterdir()) == []


def test_the_places_around_are_listed_once_in_a_view(tmp_path: Path) -> None:
    share = tmp_path / "run/kata-containers/shared/sandboxes"
    for name in ("web-1", "web-2"):
        (tmp_path / "run/kata" / name).mkdir(parents=True)
        (share / name).mkdir(parents=True)
    tree, view = kata("kata_rs", tmp_path), HostView(str(tmp_path), True)
    assert [part.role for part in tree.read(view, "web-1").parts] == ["share", "state"]
    (share / "web-2").rmdir()
    assert [part.role for part in tree.read(view, "web-2").parts] == ["state"], "what is gone by then is no part"
    (share / "web-2").mkdir()
    (share / "web-3").mkdir()
    assert tree.read(view, "web-3").parts == ()
    assert [part.role for part in tree.read(HostView(str(tmp_path), True), "web-3").parts] == ["share"]
