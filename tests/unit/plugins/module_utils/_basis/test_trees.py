# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import os
import stat
import threading
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import syscalls, trees
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    Mounted,
    WriteFailed,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis.support_folders import (
    folder,
    kernel,
    open_descriptors,
    populate,
    remove,
)

__all__ = ["folder", "kernel"]


def test_a_tree_is_removed_and_then_absent(folder: str, kernel: str) -> None:
    populate(f"{folder}/tree")
    before = open_descriptors()
    assert remove(folder, "tree") is True
    assert os.listdir(folder) == []
    assert remove(folder, "tree") is False
    assert open_descriptors() == before


def test_a_path_descriptor_is_enough(folder: str) -> None:
    populate(f"{folder}/tree")
    fd = os.open(folder, os.O_PATH)
    assert trees.remove_tree(fd, "tree", folder)
    os.close(fd)


def test_R6_links_are_unlinked_and_never_followed(
    folder: str, kernel: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = str(tmp_path_factory.mktemp("outside"))
    populate(f"{outside}/data")
    before = support.checksum(outside)
    support.make(f"{folder}/tree/sub")
    for place in ("tree/to_dir", "tree/sub/to_dir", "link"):
        os.symlink(f"{outside}/data", f"{folder}/{place}")
    os.symlink(f"{outside}/data/file", f"{folder}/tree/to_file")
    os.symlink("nowhere", f"{folder}/tree/dangling")
    assert remove(folder, "tree")
    assert remove(folder, "link")
    assert os.listdir(folder) == []
    assert support.checksum(outside) == before


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/"])
def test_only_names_are_taken(tmp_path: Path, name: str) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(ValueError, match="not a name"):
        remove(str(tmp_path), name)
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("levels", [1500, pytest.param(5000, marks=pytest.mark.long)])
def test_thousands_of_levels_with_few_descriptors(
    folder: str, kernel: str, levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than Python recurses, than a path may have characters, and than descriptors may be open."""
    if kernel != "openat2" and not folder.startswith("/dev/shm"):
        return  # slow on a disk, and nothing in that way depends on the file system
    fd = os.open(folder, os.O_RDONLY)
    name = "tree"
    for level in range(levels):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd, name = below, f"d{level}"
        if level % 7 == 0:
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
            os.mkdir("side", dir_fd=fd)
            os.mkdir("side/x", dir_fd=fd)
    os.close(fd)
    most = []
    original = trees._Removal._empty

    def counting(self: trees._Removal, level: trees._Level) -> None:
        most.append(len(self._levels) - self._closed)
        original(self, level)

    monkeypatch.setattr(trees._Removal, "_empty", counting)
    before = open_descriptors()
    assert remove(folder, "tree")
    assert os.listdir(folder) == []
    assert open_descriptors() == before
    assert max(most) <= trees._OPEN_AT_ONCE


@pytest.mark.parametrize("entries", [20_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_many_entries_in_one_directory_in_constant_memory(entries: int) -> None:
    """Their names alone are more than the memory that it takes."""
    import tracemalloc

    base = f"/dev/shm/sbx-test-{os.getpid()}-{os.urandom(4).hex()}"
    os.mkdir(base)
    try:
        os.mkdir(f"{base}/tree")
        fd = os.open(f"{base}/tree", os.O_RDONLY)
        for number in range(entries):
            if number % 20:
                os.close(os.open(f"{number:064}", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
            else:
                os.mkdir(f"{number:064}", dir_fd=fd)
                os.mkdir(f"{number:064}/x", dir_fd=fd)
        os.close(fd)
        tracemalloc.start()
        assert remove(base, "tree")
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1_000_000
    finally:
        remove(os.path.dirname(base), os.path.basename(base))


@support.needs_root
def test_R4_a_bind_mount_of_the_same_file_system_is_not_crossed(folder: str, kernel: str) -> None:
    def work() -> None:
        populate(f"{folder}/data")
        before = support.checksum(f"{folder}/data")
        support.make(f"{folder}/tree/a/mnt", f"{folder}/tree/a/other")
        support.bind(f"{folder}/data", f"{folder}/tree/a/mnt")
        assert os.stat(f"{folder}/tree/a/mnt").st_dev == os.stat(f"{folder}/tree/a").st_dev
        before_fds = open_descriptors()
        with pytest.raises(Mounted) as caught:
            remove(folder, "tree")
        assert caught.value.where == f"{folder}/tree/a/mnt"
        assert open_descriptors() == before_fds
        assert support.checksum(f"{folder}/data") == before
        support.bind(f"{folder}/data", f"{folder}/tree")
        with pytest.raises(Mounted):
            remove(folder, "tree")
        assert support.checksum(f"{folder}/data") == before
        syscalls.umount(f"{folder}/tree")
        syscalls.umount(f"{folder}/tree/a/mnt")
        assert remove(folder, "tree")
        assert support.checksum(f"{folder}/data") == before
        remove(folder, "data")

    support.in_private_namespace(work)


@support.needs_root
@pytest.mark.parametrize("kind", ["tmpfs", "overlay", "ext4", "file", "empty"])
def test_R4_no_kind_of_mount_is_crossed(tmp_path: Path, kernel: str, kind: str) -> None:
    def work() -> None:
        point = f"{tmp_path}/tree/deep/mnt"
        support.make(point, *[f"{tmp_path}/{name}" for name in ("lower", "upper", "work", "empty")])
        support.write(f"{tmp_path}/lower/file")
        if kind == "tmpfs":
            support.tmpfs(point)
        elif kind == "overlay":
            options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
            support.run("mount", "-t", "overlay", "-o", options, "overlay", point)
        elif kind == "ext4":
            with open(f"{tmp_path}/image", "wb") as stream:
                stream.truncate(2 << 20)
            support.run("mkfs.ext4", "-q", f"{tmp_path}/image")
            support.run("mount", "-o", "loop", f"{tmp_path}/image", point)
        elif kind == "file":
            os.rmdir(point)
            Path(point).touch()
            support.bind(f"{tmp_path}/lower/file", point)
        else:
            support.bind(f"{tmp_path}/empty", point)
        if os.path.isdir(point) and kind != "empty":
            support.write(f"{point}/kept")
        before = support.checksum(point), support.checksum(f"{tmp_path}/lower")
        with pytest.raises(Mounted) as caught:
            remove(str(tmp_path), "tree")
        assert caught.value.where == point
        assert (support.checksum(point), support.checksum(f"{tmp_path}/lower")) == before
        assert os.path.ismount(point) or kind == "file" or kind == "empty"

    support.in_private_namespace(work)


@support.needs_root
def test_R4_a_mount_after_many_full_directories(tmp_path: Path, kernel: str) -> None:
    """Here rmdir is no longer tried first, so the open has to see the mount."""

    def work() -> None:
        for number in range(20):
            support.write(f"{tmp_path}/tree/{number}/file")
        support.write(f"{tmp_path}/data/file")
        *_others, last = os.listdir(tmp_path / "tree")  # in the order in which they will be met
        support.bind(f"{tmp_path}/data", f"{tmp_path}/tree/{last}")
        with pytest.raises(Mounted) as caught:
            remove(str(tmp_path), "tree")
        assert caught.value.where == f"{tmp_path}/tree/{last}"
        assert (tmp_path / "data" / "file").read_text() == "data"

    support.in_private_namespace(work)


@support.needs_root
@pytest.mark.parametrize("flag", ["i", "a"])
def test_an_immutable_entry_stops_with_its_path(tmp_path: Path, flag: str) -> None:
    support.write(f"{tmp_path}/tree/a/b/file")
    target = f"{tmp_path}/tree/a/b/file" if flag == "i" else f"{tmp_path}/tree/a/b"
    support.run("chattr", f"+{flag}", target)
    before = open_descriptors()
    try:
        with pytest.raises(WriteFailed) as caught:
            remove(str(tmp_path), "tree")
        assert caught.value.where == target
        assert caught.value.why == "cannot be removed: Operation not permitted"
        assert open_descriptors() == before
    finally:
        support.run("chattr", f"-{flag}", target)
    assert remove(str(tmp_path), "tree")


@support.needs_root
def test_a_read_only_file_system_is_told(tmp_path: Path) -> None:
    def work() -> None:
        support.make(f"{tmp_path}/mnt")
        support.tmpfs(f"{tmp_path}/mnt")
        populate(f"{tmp_path}/mnt/tree")
        support.run("mount", "-o", "remount,ro", f"{tmp_path}/mnt")
        with pytest.raises(WriteFailed, match="Read-only file system"):
            remove(f"{tmp_path}/mnt", "tree")

    support.in_private_namespace(work)


def test_entries_added_meanwhile_end_in_a_typed_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file appears between the last read of the directory and its rmdir, each time."""
    support.make(f"{tmp_path}/tree/a")
    support.write(f"{tmp_path}/tree/a/first")
    original = trees._Removal._ascend

    def adding(self: trees._Removal) -> None:
        if self._levels[-1].name == "a":
            (tmp_path / "tree" / "a" / "again").touch()
        original(self)

    monkeypatch.setattr(trees._Removal, "_ascend", adding)
    before = open_descriptors()
    with pytest.raises(ChangedMeanwhile, match="added"):
        remove(str(tmp_path), "tree")
    assert open_descriptors() == before
    monkeypatch.setattr(trees._Removal, "_ascend", original)
    assert remove(str(tmp_path), "tree")


def test_full_directories_added_in_each_batch_end_in_a_typed_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody fills the directory faster than it is emptied."""
    monkeypatch.setattr(trees, "_BATCH", 4)
    for number in range(10):
        support.write(f"{tmp_path}/tree/{number}/x")
    original = trees._Removal._ascend
    count = [0]

    def adding(self: trees._Removal) -> None:
        if len(self._levels) == 2:
            count[0] += 1
            support.write(f"{tmp_path}/tree/more{count[0]}/x")
        original(self)

    monkeypatch.setattr(trees._Removal, "_ascend", adding)
    with pytest.raises(ChangedMeanwhile, match="added"):
        remove(str(tmp_path), "tree")
    assert count[0] <= (trees._ROUNDS + 4) * 4
    monkeypatch.setattr(trees._Removal, "_ascend", original)
    assert remove(str(tmp_path), "tree")


def test_a_real_writer_beside_it_never_hangs_it(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A writer may be faster than the removal, for ever: both bounds are small, or a slow disk has hours of work here.
    monkeypatch.setattr(trees, "_BATCH", 64)
    populate(f"{folder}/tree")
    stop = threading.Event()

    def write() -> None:
        for number in range(2000):
            if stop.is_set():
                break
            with contextlib.suppress(OSError):
                support.write(f"{folder}/tree/a/b/{number}/x")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _attempt in range(5):
            with contextlib.suppress(ChangedMeanwhile):
                remove(folder, "tree")
    finally:
        stop.set()
        writer.join()
    remove(folder, "tree")
    assert os.listdir(folder) == []


def test_a_directory_moved_away_meanwhile_is_not_left_for_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the way back through ".." we must not arrive in somebody else's directory and delete there."""
    monkeypatch.setattr(trees, "_OPEN_AT_ONCE", 2)
    support.make(f"{tmp_path}/tree/a/b/c/d", f"{tmp_path}/outside")
    support.write(f"{tmp_path}/outside/precious")
    before = support.checksum(f"{tmp_path}/outside")
    original = trees._Removal._ascend

    def moving(self: trees._Removal) -> None:
        if self._levels[-1].name == "d":
            os.rename(tmp_path / "tree" / "a" / "b", tmp_path / "outside" / "b")
        original(self)

    support.write(f"{tmp_path}/tree/a/b/c/d/file")
    monkeypatch.setattr(trees._Removal, "_ascend", moving)
    with pytest.raises(ChangedMeanwhile, match="moved"):
        remove(str(tmp_path), "tree")
    os.rmdir(tmp_path / "outside" / "b") if os.listdir(tmp_path / "outside" / "b") == [] else None
    assert (tmp_path / "outside" / "precious").read_text() == "data"
    assert before != "" and os.path.isdir(tmp_path / "tree" / "a")


def test_a_directory_replaced_by_a_link_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    support.write(f"{tmp_path}/tree/a/file")
    support.write(f"{tmp_path}/outside/precious")
    original = trees._Removal._open

    def swapping(self: trees._Removal, directory_fd: int, name: str) -> int:
        if name == "a" and not os.path.islink(tmp_path / "tree" / "a"):
            os.rename(tmp_path / "tree" / "a", tmp_path / "aside")
            os.symlink(tmp_path / "outside", tmp_path / "tree" / "a")
        return original(self, directory_fd, name)

    monkeypatch.setattr(trees._Removal, "_open", swapping)
    assert remove(str(tmp_path), "tree")
    assert sorted(os.listdir(tmp_path)) == ["aside", "outside"]
    assert (tmp_path / "outside" / "precious").read_text() == "data"
    assert (tmp_path / "aside" / "file").read_text() == "data"


def test_modes_do_not_matter_to_root_and_are_told_to_others(tmp_path: Path) -> None:
    support.write(f"{tmp_path}/tree/a/file")
    os.chmod(tmp_path / "tree" / "a", 0o500)
    if os.geteuid() == 0:
        assert remove(str(tmp_path), "tree")
        return
    try:
        with pytest.raises(WriteFailed, match="Permission denied"):
            remove(str(tmp_path), "tree")
    finally:
        os.chmod(tmp_path / "tree" / "a", stat.S_IRWXU)
