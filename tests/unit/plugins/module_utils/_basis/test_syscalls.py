# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import syscalls
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_rename_noreplace_moves_and_never_replaces(folder: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with pytest.raises(OSError) as caught:
        syscalls.rename_noreplace(folder, "a", folder, "b")
    assert (caught.value.errno, caught.value.filename, caught.value.filename2) == (errno.EEXIST, "a", "b")
    assert (tmp_path / "b").read_text() == "b"
    syscalls.rename_noreplace(folder, "a", folder, "c")
    assert (tmp_path / "c").read_text() == "a"


def test_rename_without_the_c_librarys_function(folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on musl: the number for this machine is called."""
    import ctypes

    class Library:
        syscall = ctypes.CDLL(None, use_errno=True).syscall

    calls = syscalls._calls()
    monkeypatch.setattr(calls, "renameat2", calls._find_renameat2(ctypes, Library()))
    (tmp_path / "a").write_text("a")
    syscalls.rename_noreplace(folder, "a", folder, "b")
    assert os.listdir(tmp_path) == ["b"]
    with pytest.raises(FileNotFoundError):
        syscalls.rename_noreplace(folder, "a", folder, "b")


def test_rename_on_an_unknown_machine_is_enosys(folder: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls._calls(), "renameat2", None)
    with pytest.raises(OSError) as caught:
        syscalls.rename_noreplace(folder, "a", folder, "b")
    assert caught.value.errno == errno.ENOSYS


def test_rename_exchange(folder: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").mkdir()
    syscalls.rename_exchange(folder, "a", folder, "b")
    assert (tmp_path / "a").is_dir()
    assert (tmp_path / "b").read_text() == "a"


def test_names_are_bytes_and_nul_is_refused(folder: int, tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xff\xfe name")
    (tmp_path / "a").write_text("a")
    syscalls.rename_noreplace(folder, "a", folder, odd)
    assert os.listdir(os.fsencode(tmp_path)) == [b"\xff\xfe name"]
    with pytest.raises(ValueError, match="null"):
        syscalls.rename_noreplace(folder, odd, folder, "b\0c")


def test_open_beneath_follows_no_link_and_leaves_no_root(folder: int, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "link").symlink_to("dir")
    fd = syscalls.open_beneath(folder, "dir", os.O_RDONLY | os.O_DIRECTORY)
    assert not os.get_inheritable(fd)
    assert os.path.samestat(os.fstat(fd), os.stat(tmp_path / "dir"))
    os.close(fd)
    for name, code in (("link", errno.ELOOP), ("..", errno.EXDEV), ("none", errno.ENOENT)):
        with pytest.raises(OSError) as caught:
            syscalls.open_beneath(folder, name, os.O_RDONLY | os.O_DIRECTORY)
        assert (caught.value.errno, caught.value.filename) == (code, name)


@support.needs_root
def test_open_beneath_meets_a_bind_mount_of_the_same_file_system(tmp_path: Path) -> None:
    def work() -> None:
        support.make(f"{tmp_path}/a", f"{tmp_path}/b")
        support.bind(f"{tmp_path}/a", f"{tmp_path}/b")
        fd = os.open(tmp_path, os.O_RDONLY)
        with pytest.raises(OSError) as caught:
            syscalls.open_beneath(fd, "b", os.O_RDONLY, syscalls.RESOLVE_NO_XDEV)
        assert caught.value.errno == errno.EXDEV

    support.in_private_namespace(work)


@support.needs_root
def test_umount_and_propagation_tell_errno_and_name(tmp_path: Path) -> None:
    def work() -> None:
        calls: list[Callable[[str], None]] = [syscalls.umount, syscalls.make_private]
        for call in calls:
            with pytest.raises(OSError) as caught:
                call(str(tmp_path))
            assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, str(tmp_path))

    support.in_private_namespace(work)


@support.needs_root
def test_problem_11_umount_follows_no_link(tmp_path: Path) -> None:
    def work() -> None:
        support.make(f"{tmp_path}/real")
        support.tmpfs(f"{tmp_path}/real")
        os.symlink("real", f"{tmp_path}/link")
        with pytest.raises(OSError) as caught:
            syscalls.umount(f"{tmp_path}/link")
        assert caught.value.errno == errno.EINVAL
        assert os.path.ismount(f"{tmp_path}/real")

    support.in_private_namespace(work)


@support.needs_root
def test_setns_enters_another_mount_namespace(tmp_path: Path) -> None:
    def work() -> None:
        with support.another_namespace(lambda: support.tmpfs(str(tmp_path))) as pid:
            assert not os.path.ismount(tmp_path)
            fd = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
            syscalls.setns(fd, syscalls.CLONE_NEWNS)
            assert os.path.ismount(tmp_path)

    support.in_private_namespace(work)
