# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import new_trees
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    AlreadyExists,
    StateError,
    WriteFailed,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.new_trees import (
    BuiltTree,
    NewFile,
    NewTree,
    make_entry,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support

TREE = NewTree(
    0o750,
    (NewFile("lock", b"", 0o644), NewFile("state.json", b'{"a":1}', 0o600), NewFile("raw/item", b"x" * 70000, 0o640)),
    (("raw", 0o710),),
)
HIDDEN = ".sbx-del.web-1.0123456789abcdef"


class Places:
    """A directory for the tree, and the one above it for its hidden name."""

    def __init__(self, folder: Path) -> None:
        (folder / "sbs").mkdir()
        self.folder = folder
        self.above = open_given(str(folder))
        self.place = open_given(str(folder / "sbs"))

    def build(self, tree: NewTree = TREE, durable: bool = False) -> BuiltTree:
        built = BuiltTree(self.place, "web-1", self.above, HIDDEN)
        built.build(tree, durable)
        return built

    def make(self, tree: NewTree = TREE, durable: bool = False) -> None:
        built = self.build(tree, durable)
        try:
            built.put()
        except StateError:
            built.discard()
            raise

    @property
    def left(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    (tmp_path / "vc").mkdir()
    made = Places(tmp_path / "vc")
    with made.above, made.place:
        yield made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777], ids=oct)
@pytest.mark.parametrize("durable", [True, False])
def test_a_tree_has_exactly_what_was_given(places: Places, umask: int, durable: bool) -> None:
    before = os.umask(umask)
    try:
        places.make(durable=durable)
    finally:
        os.umask(before)
    tree = places.folder / "sbs" / "web-1"
    assert places.left == ["sbs", "sbs/web-1"] + [
        f"sbs/web-1/{name}" for name in ("lock", "raw", "raw/item", "state.json")
    ]
    assert (tree / "state.json").read_bytes() == b'{"a":1}' and (tree / "lock").read_bytes() == b""
    assert (tree / "raw/item").read_bytes() == b"x" * 70000
    assert [mode(path) for path in (tree, tree / "lock", tree / "state.json", tree / "raw", tree / "raw/item")] == [
        0o750,
        0o644,
        0o600,
        0o710,
        0o640,
    ]


def test_an_empty_tree(places: Places) -> None:
    places.make(NewTree(0o700))
    assert places.left == ["sbs", "sbs/web-1"] and mode(places.folder / "sbs/web-1") == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(("inherit", "owner"), [(True, (4242, 4343)), (False, (0, 0))])
def test_a_tree_gets_the_owner_of_its_place_where_the_runtime_does_so(
    places: Places, inherit: bool, owner: tuple[int, int]
) -> None:
    """MkdirAllWithInheritedOwner of Kata 2.3 (kata-persist.md)."""
    os.chown(places.folder / "sbs", 4242, 4343)
    places.make(TREE._replace(inherit_owner=inherit))
    status = (places.folder / "sbs/web-1").stat()
    assert (status.st_uid, status.st_gid) == owner


@pytest.mark.parametrize("kind", ["directory", "full directory", "file", "link"])
def test_K1_what_is_there_is_never_taken_over(places: Places, kind: str) -> None:
    """Kata takes an existing directory for a whole store; here it is somebody else's, and stays as it is."""
    there = places.folder / "sbs" / "web-1"
    if kind == "link":
        there.symlink_to("elsewhere")
    elif kind == "file":
        there.write_text("theirs")
    else:
        there.mkdir()
        if kind == "full directory":
            (there / "theirs").touch()
    before = places.left
    with pytest.raises(AlreadyExists) as caught:
        places.make()
    assert str(caught.value) == f"{there}: somebody else has made it meanwhile. Run again."
    assert places.left == before


def test_a_hidden_name_that_is_taken_is_left_alone(places: Places) -> None:
    (places.folder / HIDDEN).mkdir()
    (places.folder / HIDDEN / "theirs").touch()
    before = places.left
    with pytest.raises(WriteFailed, match="File exists"):
        places.make()
    assert places.left == before


FAILING = {
    "a directory": "mkdir",
    "its mode": "chmod",
    "a file": "open",
    "its content": "write",
    "a file's mode": "fchmod",
    "a file's sync": "fsync",
}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES], ids=["ENOSPC", "EIO", "EACCES"])
@pytest.mark.parametrize("step", FAILING)
def test_K3_P1_every_error_leaves_nothing(
    places: Places, monkeypatch: pytest.MonkeyPatch, step: str, code: int
) -> None:
    """Kata leaves a half-made store for ever, or removes one that was there."""
    real = getattr(os, FAILING[step])
    calls = 0

    def failing(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **options)

    opened = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patched:
        patched.setattr(os, FAILING[step], failing)
        if step == "its mode":
            calls = 1  # there is one directory inside
        with pytest.raises(WriteFailed) as caught:
            places.make(durable=True)
    assert str(caught.value) == (
        f"{places.folder}/sbs/web-1: it could not be made: {os.strerror(code)}. Nothing of it was kept."
    )
    assert places.left == ["sbs"] and len(os.listdir("/proc/self/fd")) == opened


@support.needs_root
def test_K4_a_full_file_system_is_told_and_left_as_it_was(tmp_path: Path) -> None:
    def inside() -> None:
        support.run("mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path))
        places = Places(tmp_path)
        with pytest.raises(WriteFailed, match="No space left on device"):
            places.make(TREE._replace(files=(NewFile("state.json", b"x" * 200_000, 0o600),)))
        assert places.left == ["sbs"]
        places.make(TREE._replace(files=(NewFile("state.json", b"x", 0o600),), directories=()))

    support.in_private_namespace(inside)


def test_a_short_write_is_continued(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: real(fd, data[:1000]))
        places.make()
    assert (places.folder / "sbs/web-1/raw/item").read_bytes() == b"x" * 70000


def is_locked(path: Path) -> bool:
    with open_given(str(path)) as directory:
        try:
            fcntl.flock(directory.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_D2_what_is_being_made_is_locked_until_it_has_its_name(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hidden name is that of an unfinished delete: whoever finishes those locks them first."""
    real, seen = new_trees._make_file, []

    def making(*arguments: Any) -> None:
        seen.append(is_locked(places.folder / HIDDEN))
        real(*arguments)

    monkeypatch.setattr(new_trees, "_make_file", making)
    built = places.build()
    assert seen == [True] * 3 and is_locked(places.folder / HIDDEN)
    assert places.left[0] == HIDDEN and os.listdir(places.folder / "sbs") == []
    built.put()
    assert os.listdir(places.folder / "sbs") == ["web-1"] and not is_locked(places.folder / "sbs/web-1")


@pytest.mark.parametrize("put", [False, True], ids=["built", "put"])
def test_D1_what_belongs_to_something_that_could_not_be_made_is_taken_back(places: Places, put: bool) -> None:
    """Two trees are made together or not at all."""
    opened = len(os.listdir("/proc/self/fd"))
    built = places.build()
    if put:
        built.put()
    built.discard()
    assert places.left == ["sbs"] and len(os.listdir("/proc/self/fd")) == opened


def test_what_is_taken_away_while_it_is_made_is_an_error(places: Places) -> None:
    built = places.build()
    (places.folder / HIDDEN).rename(places.folder / "finished-by-another-run")
    with pytest.raises(WriteFailed, match=r"sbs/web-1: it was taken away while it was made\. Run again\."):
        built.put()
    built.discard()
    assert sorted(os.listdir(places.folder)) == ["finished-by-another-run", "sbs"]


def test_a_place_that_went_away_leaves_nothing(places: Places) -> None:
    """A container's sandbox may be removed by its runtime meanwhile."""
    inside = places.place.child("web-9")
    opened = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        BuiltTree(inside, "app-1", places.above, HIDDEN).build(TREE, durable=False)
    (places.folder / "sbs/web-9").mkdir()
    built = BuiltTree(inside, "app-1", places.above, HIDDEN)
    built.build(TREE, durable=False)
    (places.folder / "sbs/web-9").rmdir()
    with pytest.raises(WriteFailed, match="web-9/app-1: it could not be made"):
        built.put()
    built.discard()
    assert places.left == ["sbs"] and len(os.listdir("/proc/self/fd")) == opened


def test_a_file_of_the_tree_is_new_or_nothing_is_made(places: Places) -> None:
    with pytest.raises(WriteFailed):
        places.make(NewTree(0o700, (NewFile("a", b"1", 0o600), NewFile("a", b"2", 0o600))))
    assert places.left == ["sbs"]


# entries of a tree that is there


@pytest.mark.parametrize("is_directory", [True, False], ids=["directory", "file"])
@pytest.mark.parametrize("umask", [0, 0o777], ids=oct)
def test_K1_a_missing_entry_is_made_with_its_mode(tmp_path: Path, is_directory: bool, umask: int) -> None:
    before = os.umask(umask)
    try:
        with open_given(str(tmp_path)) as directory:
            assert make_entry(directory, "entry", 0o644, is_directory) is True
            assert make_entry(directory, "entry", 0o600, is_directory) is False
    finally:
        os.umask(before)
    entry = tmp_path / "entry"
    assert (entry.is_dir(), mode(entry), entry.stat().st_size if entry.is_file() else 0) == (is_directory, 0o644, 0)


@pytest.mark.parametrize("is_directory", [True, False], ids=["directory", "file"])
@pytest.mark.parametrize("kind", ["directory", "file", "link"])
def test_what_is_in_an_entrys_place_is_left_as_it_is(tmp_path: Path, is_directory: bool, kind: str) -> None:
    entry = tmp_path / "entry"
    if kind == "directory":
        entry.mkdir(mode=0o700)
    elif kind == "file":
        entry.write_text("theirs")
    else:
        entry.symlink_to("elsewhere")
    before = entry.lstat()
    with open_given(str(tmp_path)) as directory:
        assert make_entry(directory, "entry", 0o644, is_directory) is False
    assert (entry.lstat().st_ino, entry.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("is_directory", [True, False], ids=["directory", "file"])
def test_an_entry_that_cannot_be_made_is_told(tmp_path: Path, is_directory: bool) -> None:
    (tmp_path / "gone").mkdir()
    with open_given(str(tmp_path / "gone")) as directory:
        (tmp_path / "gone").rmdir()
        with pytest.raises(WriteFailed, match=r"gone/entry: it could not be made: No such file or directory"):
            make_entry(directory, "entry", 0o644, is_directory)


def test_descriptors_are_not_left_open(places: Places) -> None:
    opened = len(os.listdir("/proc/self/fd"))
    places.make(durable=True)
    with Directory(-1, str(places.folder)).opened() as directory:
        make_entry(directory, "lock", 0o644, False)
    assert len(os.listdir("/proc/self/fd")) == opened
