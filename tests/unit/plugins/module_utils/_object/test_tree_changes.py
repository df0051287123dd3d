# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    ChangedMeanwhile,
    InUse,
    Mounted,
    StateError,
    Unreadable,
    WriteFailed,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.new_trees import NewFile, NewTree
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.tombstones import parse_tombstone
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Write, diff_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_changes import (
    Hidden,
    MakeEntry,
    MakeTree,
    RemoveTree,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support


@pytest.fixture
def above(tmp_path: Path) -> Iterator[Directory]:
    """The directory for hidden names; the listed one, sbs, lies in it and has a sandbox with a container."""
    (tmp_path / "vc" / "sbs" / "web-1" / "app-1").mkdir(parents=True)
    (tmp_path / "vc" / "sbs" / "web-1" / "lock").touch()
    (tmp_path / "vc" / "sbs" / "web-1" / "app-1" / "state.json").write_text("{}")
    with open_given(str(tmp_path / "vc")) as opened:
        yield opened


def sbs(above: Directory) -> Directory:
    """The listed directory, not open."""
    return Directory(-1, above.join("sbs"))


def path_of(above: Directory, name: str = "web-1") -> Path:
    return Path(above.path, "sbs", name)


def removal(above: Directory, name: str = "web-1", inner: str = "") -> RemoveTree:
    """Of the sandbox, or of a container in it, as it is now."""
    place = sbs(above).child(name) if inner else sbs(above)
    status = os.lstat(place.join(inner or name))
    return RemoveTree("state", place, inner or name, (status.st_dev, status.st_ino))


def left(above: Directory) -> list[str]:
    top = Path(above.path)
    return [str(path.relative_to(top)) for path in sorted(top.rglob("*"))]


WHOLE = ["sbs", "sbs/web-1", "sbs/web-1/app-1", "sbs/web-1/app-1/state.json", "sbs/web-1/lock"]
TREE = NewTree(0o700, (NewFile("persist.json", b"{}\n", 0o600),))


def making(place: Directory, name: str) -> MakeTree:
    write = Write("persist", place.child(name), "persist.json", b"{}\n", 0o600, False, None, {"a": 1})
    return MakeTree("state", place, name, TREE, (write,))


def made(change: MakeTree, above: Directory) -> None:
    """Built under its hidden name, and put into its place."""
    tree = change.built(above, "web-1", durable=False)
    try:
        tree.put()
    except StateError:
        tree.discard()
        raise


# making


def test_a_tree_is_made_under_its_own_name(above: Directory) -> None:
    made(making(sbs(above), "web-2"), above)
    assert left(above) == [*WHOLE, "sbs/web-2", "sbs/web-2/persist.json"]


def test_a_containers_tree_is_made_inside_its_sandbox(above: Directory) -> None:
    made(making(sbs(above).child("web-1"), "app-2"), above)
    assert path_of(above, "web-1/app-2/persist.json").read_bytes() == b"{}\n"


def test_U2_a_place_that_went_away_is_an_error_in_words(above: Directory) -> None:
    shutil.rmtree(path_of(above))
    inside = sbs(above).child("web-1")
    for make in (
        lambda: made(making(inside, "app-2"), above),
        lambda: MakeEntry("lock", inside, "lock", 0o644, False).make(),
        lambda: Write("state", inside, "state.json", b"{}", 0o644, False, None, {}).make(durable=False),
    ):
        with pytest.raises(ChangedMeanwhile, match=r"sbs/web-1: it was removed meanwhile\. Run again\."):
            make()
    assert left(above) == ["sbs"]


def test_K1_a_tree_of_somebody_else_is_not_taken_over(above: Directory) -> None:
    with pytest.raises(AlreadyExists):
        made(making(sbs(above), "web-1"), above)
    assert left(above) == WHOLE


@pytest.mark.parametrize(("name", "is_directory"), [("raw", True), ("lock-2", False)])
def test_a_missing_entry_is_made_once(above: Directory, name: str, is_directory: bool) -> None:
    entry = MakeEntry(name, sbs(above).child("web-1"), name, 0o750, is_directory)
    assert (entry.make(), entry.make()) == (True, False)
    assert path_of(above, f"web-1/{name}").is_dir() is is_directory


def test_promise_5_nothing_is_made_through_a_link(above: Directory, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    path_of(above, "web-2").symlink_to(tmp_path / "else")
    with pytest.raises(Unreadable, match="it is no directory"):
        MakeEntry("lock", sbs(above).child("web-2"), "lock", 0o644, False).make()
    with pytest.raises(Unreadable, match="it is no directory"):
        made(making(sbs(above).child("web-2"), "app-1"), above)
    assert os.listdir(tmp_path / "else") == []


def test_the_diff_has_a_line_for_the_tree_and_each_of_its_documents(above: Directory) -> None:
    change = making(sbs(above), "web-2")
    listing, document = diff_of((change,), "Sandbox")
    assert (listing["before"], listing["after"]) == ("", f"state     {above.path}/sbs/web-2\n")
    assert document["after_header"] == f"{above.path}/sbs/web-2/persist.json"
    assert (document["before"], document["after"]) == ("", '{\n  "a": 1\n}\n')
    (gone,) = diff_of((removal(above),), "Sandbox")
    assert (gone["before"], gone["after"]) == (f"state     {above.path}/sbs/web-1\n", "")


# removing


def test_D1_a_tree_is_hidden_beside_the_listed_directory_and_then_removed(above: Directory) -> None:
    hidden = removal(above).hide(above, "web-1")
    assert hidden is not None and parse_tombstone(hidden.tombstone) == "web-1"
    assert sorted(os.listdir(above.path)) == [hidden.tombstone, "sbs"] and os.listdir(path_of(above).parent) == []
    assert sorted(os.listdir(Path(above.path, hidden.tombstone))) == ["app-1", "lock"]
    hidden.remove()
    assert left(above) == ["sbs"]


def test_D1_a_container_is_hidden_there_too_and_its_sandbox_stays(above: Directory) -> None:
    hidden = removal(above, inner="app-1").hide(above, "web-1")
    assert hidden is not None and os.listdir(path_of(above)) == ["lock"]
    hidden.remove()
    assert left(above) == ["sbs", "sbs/web-1", "sbs/web-1/lock"]


@pytest.mark.parametrize("inner", ["", "app-1"], ids=["sandbox", "container"])
def test_C2_what_was_hidden_gets_its_name_again(above: Directory, inner: str) -> None:
    before = path_of(above, f"web-1/{inner}").stat().st_ino
    hidden = removal(above, inner=inner).hide(above, "web-1")
    assert hidden is not None
    hidden.bring_back()
    assert left(above) == WHOLE and path_of(above, f"web-1/{inner}").stat().st_ino == before


def test_C2_a_name_that_was_taken_again_is_the_owners(above: Directory) -> None:
    hidden = removal(above).hide(above, "web-1")
    assert hidden is not None
    path_of(above).mkdir()
    with pytest.raises(InUse, match="it was made again while it was removed"):
        hidden.bring_back()
    assert os.listdir(path_of(above)) == [] and (Path(above.path) / hidden.tombstone / "lock").exists()


def test_C2_a_sandbox_that_went_away_cannot_get_its_container_back(above: Directory) -> None:
    hidden = removal(above, inner="app-1").hide(above, "web-1")
    assert hidden is not None
    shutil.rmtree(path_of(above))
    with pytest.raises(ChangedMeanwhile, match="sbs/web-1: it was removed meanwhile"):
        hidden.bring_back()


@pytest.mark.parametrize("inner", ["", "app-1"], ids=["sandbox", "container"])
@pytest.mark.parametrize("way", ["hide", "remove"])
def test_C4_what_is_another_one_by_now_is_kept(above: Directory, inner: str, way: str) -> None:
    change = removal(above, inner=inner)
    path = path_of(above, f"web-1/{inner}")
    path.rename(Path(above.path, "moved"))
    path.mkdir()
    (path / "theirs").touch()
    with pytest.raises(ChangedMeanwhile, match=r"it was replaced since it was looked at\. Run again\."):
        change.hide(above, "web-1") if way == "hide" else change.remove()
    assert os.listdir(path) == ["theirs"] and not [name for name in os.listdir(above.path) if name.startswith(".")]


@pytest.mark.parametrize("gone", ["web-1", "web-1/app-1"])
def test_U3_what_is_gone_by_now_is_no_error(above: Directory, gone: str) -> None:
    changes = [removal(above, inner="app-1")] if "/" in gone else [removal(above), removal(above, inner="app-1")]
    shutil.rmtree(path_of(above, gone))
    for change in changes:
        assert change.hide(above, "web-1") is None
        assert change.remove() is False


def test_a_tree_under_a_mount_is_taken_as_it_is_then(above: Directory) -> None:
    """What the plan saw was the mount's; what lies under it is only seen when that is gone."""
    change = removal(above)._replace(identity=None)
    hidden = change.hide(above, "web-1")
    assert hidden is not None
    hidden.bring_back()
    assert change.remove() is True and left(above) == ["sbs"]


@pytest.mark.parametrize("kind", ["link", "link to nothing", "file"])
@pytest.mark.parametrize("way", ["hide", "remove"])
def test_R6_what_is_no_directory_is_removed_and_its_target_is_not(
    above: Directory, tmp_path: Path, kind: str, way: str
) -> None:
    (tmp_path / "else" / "data").mkdir(parents=True)
    place = path_of(above, "web-2")
    if kind == "file":
        place.write_text("x")
    else:
        place.symlink_to(tmp_path / ("else" if kind == "link" else "none"))
    change = removal(above, "web-2")
    if way == "hide":
        hidden = change.hide(above, "web-2")
        assert hidden is not None
        hidden.remove()
    else:
        assert change.remove() is True
    assert left(above) == WHOLE and (tmp_path / "else" / "data").exists()


def test_a_tree_is_removed_in_its_place_where_no_runtime_lists_it(above: Directory) -> None:
    assert removal(above).remove() is True and left(above) == ["sbs"]


@support.needs_root
def test_R4_a_mount_in_it_stops_the_removal_before_anything_behind_it(tmp_path: Path) -> None:
    support.write(f"{tmp_path}/data/precious", "x")
    support.write(f"{tmp_path}/vc/sbs/web-1/mounted/file", "under it")
    before = support.checksum(f"{tmp_path}/data")

    def inside() -> None:
        support.bind(f"{tmp_path}/data", f"{tmp_path}/vc/sbs/web-1/mounted")
        with open_given(f"{tmp_path}/vc") as above:
            with pytest.raises(Mounted):
                removal(above).remove()
            hidden = Hidden(removal(above), above, "x")
            assert hidden.change.path == f"{tmp_path}/vc/sbs/web-1"
            support.run("umount", f"{tmp_path}/vc/sbs/web-1/mounted")
            support.bind(f"{tmp_path}/data", f"{tmp_path}/vc/sbs/web-1")
            with pytest.raises(Mounted):
                removal(above).hide(above, "web-1")

    support.in_private_namespace(inside)
    assert support.checksum(f"{tmp_path}/data") == before


@support.needs_root
def test_D1_trees_on_a_file_system_of_their_own_cannot_be_renamed_out_of_it(tmp_path: Path) -> None:
    support.make(f"{tmp_path}/vc/sbs")

    def inside() -> None:
        support.tmpfs(f"{tmp_path}/vc/sbs")
        support.make(f"{tmp_path}/vc/sbs/web-1")
        with open_given(f"{tmp_path}/vc") as above:
            with pytest.raises(WriteFailed, match=r"another file system.*Mount the directory above"):
                removal(above).hide(above, "web-1")
            with pytest.raises(WriteFailed, match=r"another file system.*Mount the directory above"):
                made(making(sbs(above), "web-2"), above)
            assert os.listdir(above.path) == ["sbs"] and os.listdir(f"{tmp_path}/vc/sbs") == ["web-1"]

    support.in_private_namespace(inside)
