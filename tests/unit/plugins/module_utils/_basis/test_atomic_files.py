# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import stat
import tempfile
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import (
    remove_file,
    sync_directory,
    write_file,
    write_in_place,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import WriteFailed
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import (
    read_file,
    temporary_name,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis.support_files import (
    OLD,
    directory,
    make_link,
)

__all__ = ["directory"]

NEEDS_ROOT = support.needs_root
NEEDS_NO_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


def content(directory: Directory, name: str = "a") -> bytes:
    return Path(directory.path, name).read_bytes()


@pytest.mark.parametrize("durable", [False, True], ids=["fast", "durable"])
@pytest.mark.parametrize("data", [b"", b"{}", b"x" * 3_000_000], ids=["empty", "small", "large"])
def test_R3_a_new_file_has_exactly_the_mode_despite_the_umask(directory: Directory, durable: bool, data: bytes) -> None:
    before = os.umask(0o077)
    try:
        write_file(directory, "a", data, 0o666, durable)
    finally:
        os.umask(before)
    assert content(directory) == data
    assert stat.S_IMODE(os.stat(directory.join("a")).st_mode) == 0o666
    assert os.listdir(directory.path) == ["a"]


def test_R3_a_replaced_file_is_another_inode_with_the_old_mode(directory: Directory) -> None:
    write_file(directory, "a", OLD, 0o640)
    os.chmod(directory.join("a"), 0o604)
    reader = os.open(directory.join("a"), os.O_RDONLY)
    try:
        write_file(directory, "a", b"new", 0o640)
        assert os.read(reader, 100) == OLD, "who reads the old file keeps it whole (promise 2)"
    finally:
        os.close(reader)
    assert content(directory) == b"new"
    assert stat.S_IMODE(os.stat(directory.join("a")).st_mode) == 0o604


@NEEDS_ROOT
def test_R3_owner_and_group_are_kept(directory: Directory) -> None:
    write_file(directory, "a", OLD, 0o640)
    os.chown(directory.join("a"), 12345, 54321)
    os.chmod(directory.join("a"), 0o2640)
    write_file(directory, "a", b"new", 0o640)
    status = os.stat(directory.join("a"))
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 54321, 0o2640)


@pytest.mark.parametrize("attribute", ["user.note", pytest.param("trusted.note", marks=NEEDS_ROOT)])
def test_R3_extended_attributes_are_kept(directory: Directory, attribute: str) -> None:
    write_file(directory, "a", OLD, 0o640)
    try:
        os.setxattr(directory.join("a"), attribute, b"\0value")
    except OSError as error:
        pytest.skip(f"{directory.path} has no {attribute.split('.')[0]} attributes: {error}")
    write_file(directory, "a", b"new", 0o640)
    assert os.getxattr(directory.join("a"), attribute) == b"\0value"
    assert content(directory) == b"new"


def test_R3_the_temporary_is_hidden_and_nobodys_state() -> None:
    name = temporary_name("web_sandbox:web.state")
    assert name == ".web_sandbox:web.state.sbx-tmp"
    assert name.startswith(".") and not name.endswith((".state", ".lock", ".json"))


def leave_file(path: Path) -> None:
    path.write_bytes(b"torn")
    path.chmod(0)


@pytest.mark.parametrize(
    "leave", [leave_file, os.mkfifo, lambda path: path.symlink_to("a")], ids=["file", "fifo", "link"]
)
def test_R3_what_a_crashed_writer_left_is_replaced(directory: Directory, leave: object) -> None:
    write_file(directory, "a", OLD, 0o640)
    leave(Path(directory.path, temporary_name("a")))  # type: ignore[operator]
    write_file(directory, "a", b"new", 0o640)
    assert os.listdir(directory.path) == ["a"] and content(directory) == b"new"


def test_a_directory_in_the_place_of_the_temporary_fails_and_keeps_all(directory: Directory) -> None:
    write_file(directory, "a", OLD, 0o640)
    os.mkdir(directory.join(temporary_name("a")))
    with pytest.raises(WriteFailed, match="sbx-tmp"):
        write_file(directory, "a", b"new", 0o640)
    assert content(directory) == OLD and os.path.isdir(directory.join(temporary_name("a")))


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, make_link], ids=["directory", "fifo", "link"])
def test_only_a_plain_file_is_replaced(directory: Directory, make: object) -> None:
    path = Path(directory.path, "a")
    make(path)  # type: ignore[operator]
    before = os.lstat(path)
    with pytest.raises(WriteFailed, match=f"{path}: it could not be written.*The old content is kept"):
        write_file(directory, "a", b"new", 0o640)
    after = os.lstat(path)
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    assert temporary_name("a") not in os.listdir(directory.path)
    if path.is_symlink():
        assert path.read_bytes() == OLD


def on_a_file_system(options: str, work: object) -> None:
    """Run work(directory) in a child process with a tmpfs of these options, seen by it alone."""

    def inside() -> None:
        place = tempfile.mkdtemp()
        assert os.spawnlp(os.P_WAIT, "mount", "mount", "-t", "tmpfs", "-o", options, "tmpfs", place) == 0
        try:
            with open_given(place) as directory:
                work(directory)  # type: ignore[operator]
        finally:
            assert os.spawnlp(os.P_WAIT, "umount", "umount", "-l", place) == 0
            os.rmdir(place)

    support.in_private_namespace(inside)


@NEEDS_ROOT
@pytest.mark.parametrize("exists", [False, True], ids=["new file", "old file"])
def test_promise_2_a_full_file_system_keeps_the_old_content_and_no_temporary(exists: bool) -> None:
    def work(directory: Directory) -> None:
        if exists:
            write_file(directory, "a", OLD, 0o640)
        with pytest.raises(WriteFailed, match="No space left on device"):
            write_file(directory, "a", b"x" * 100_000, 0o640)
        assert os.listdir(directory.path) == (["a"] if exists else [])
        assert not exists or content(directory) == OLD

    on_a_file_system("size=16k", work)


@NEEDS_ROOT
def test_promise_2_no_free_inode_keeps_the_old_content() -> None:
    def work(directory: Directory) -> None:
        write_file(directory, "a", OLD, 0o640)
        for number in range(10):
            try:
                Path(directory.path, str(number)).touch()
            except OSError:
                break
        with pytest.raises(WriteFailed, match="No space left on device"):
            write_file(directory, "a", b"new", 0o640)
        assert content(directory) == OLD and temporary_name("a") not in os.listdir(directory.path)

    on_a_file_system("nr_inodes=6", work)


@NEEDS_ROOT
def test_promise_2_a_read_only_file_system_says_so() -> None:
    def work(directory: Directory) -> None:
        write_file(directory, "a", OLD, 0o640)
        assert os.spawnlp(os.P_WAIT, "mount", "mount", "-o", "remount,ro", directory.path) == 0
        with pytest.raises(WriteFailed, match="Read-only file system"):
            write_file(directory, "a", b"new", 0o640)
        with pytest.raises(WriteFailed, match="could not be removed: Read-only file system"):
            remove_file(directory, "a")
        assert content(directory) == OLD and os.listdir(directory.path) == ["a"]

    on_a_file_system("size=1m", work)


def test_promise_2_readers_see_the_old_or_the_new_content_only(directory: Directory) -> None:
    whole = [bytes([letter]) * 50_000 for letter in b"ab"]
    write_file(directory, "a", whole[0], 0o640, False)
    child = os.fork()
    if child == 0:
        while True:
            for data in whole:
                write_file(directory, "a", data, 0o640, False)
    try:
        seen = {read_file(directory, "a") for _turn in range(500)}
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert seen <= set(whole)


def test_promise_7_what_is_absent_cannot_be_removed(directory: Directory) -> None:
    assert remove_file(directory, "a") is False


def test_remove_unlinks_a_link_and_not_its_target(directory: Directory) -> None:
    make_link(Path(directory.path, "a"))
    assert remove_file(directory, "a") is True
    assert os.listdir(directory.path) == ["target"]


def test_remove_refuses_a_directory(directory: Directory) -> None:
    os.mkdir(directory.join("a"))
    with pytest.raises(WriteFailed, match="/a: it could not be removed"):
        remove_file(directory, "a")
    assert os.path.isdir(directory.join("a"))


def test_sync_of_a_directory_and_its_failure(directory: Directory) -> None:
    sync_directory(directory)
    with pytest.raises(WriteFailed, match="may not be durable"):
        sync_directory(Directory(10_000, directory.path))


def test_R6_what_is_written_in_place_is_never_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("precious")
    (tmp_path / "a.lock").symlink_to("theirs")
    with open_given(str(tmp_path)) as directory, pytest.raises(WriteFailed):
        write_in_place(directory, "a.lock", b"web-1\n")
    assert (tmp_path / "theirs").read_text() == "precious"
