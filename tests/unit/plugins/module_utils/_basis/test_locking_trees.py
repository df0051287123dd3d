# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks of sandboxes that are directories: the directory itself, a file inside it, and one lock for many objects."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import locking
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    LockTimeout,
    Unreadable,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import (
    HeldLock,
    LockPlace,
    acquire,
    own_lock_place,
    raise_if_held,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis.support_locking import (
    held_by_another,
    is_free,
)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Directory]:
    (tmp_path / "sbs" / "web-1").mkdir(parents=True)
    (tmp_path / "sbs" / "web-1" / "lock").touch()
    with open_given(str(tmp_path / "sbs")) as opened:
        yield opened


def sandbox(root: Directory) -> Path:
    return Path(root.path, "web-1")


def taken(place: LockPlace, exclusive: bool = True) -> HeldLock:
    lock = acquire(place, None, exclusive)
    assert lock is not None
    return lock


DIRECTORY = "the directory"
FILE = "a file inside"


def place_of(root: Directory, kind: str) -> LockPlace:
    return LockPlace(root, "web-1", is_directory=True) if kind == DIRECTORY else LockPlace(root, "web-1/lock")


def path_of(root: Directory, kind: str) -> Path:
    return sandbox(root) if kind == DIRECTORY else sandbox(root) / "lock"


BOTH = pytest.mark.parametrize("kind", [DIRECTORY, FILE])


@BOTH
def test_R1_the_very_object_of_the_runtime_is_locked(root: Directory, kind: str) -> None:
    path = path_of(root, kind)
    place = place_of(root, kind)
    assert place.path == str(path)
    with taken(place) as lock:
        assert lock.inode == (path.stat().st_dev, path.stat().st_ino) and not lock.made
        assert not is_free(path) and is_free(path_of(root, FILE if kind == DIRECTORY else DIRECTORY))
    assert is_free(path)


@BOTH
def test_R1_a_runtime_that_holds_it_keeps_us_out_and_is_named(root: Directory, kind: str) -> None:
    with held_by_another(path_of(root, kind)) as child:
        for budget in (None, LockBudget(0.05)):
            with pytest.raises(LockTimeout, match=rf"web-1.* is held by lock-holder \(pid {child.pid}, running since"):
                acquire(place_of(root, kind), budget)
    taken(place_of(root, kind)).release()


@BOTH
@pytest.mark.parametrize(("theirs", "exclusive"), [("LOCK_SH", True), ("LOCK_EX", False)])
def test_R1_shared_keeps_out_exclusive(root: Directory, kind: str, theirs: str, exclusive: bool) -> None:
    with held_by_another(path_of(root, kind), theirs), pytest.raises(LockTimeout):
        acquire(place_of(root, kind), None, exclusive)
    with held_by_another(path_of(root, kind), "LOCK_SH"):
        taken(place_of(root, kind), exclusive=False).release()


@BOTH
def test_K1_what_is_not_there_is_not_locked_and_not_made(root: Directory, kind: str) -> None:
    (sandbox(root) / "lock").unlink()
    if kind == DIRECTORY:
        sandbox(root).rmdir()
    assert acquire(place_of(root, kind), LockBudget(5)) is None
    assert not path_of(root, kind).exists()


@BOTH
def test_P5_K6_two_holders_of_one_name_are_impossible(root: Directory, kind: str) -> None:
    """The sandbox was removed and made again while somebody waited: the lock of the dead inode is worth nothing."""
    with taken(place_of(root, kind)) as first:
        sandbox(root).rename(sandbox(root).parent / "moved")
        sandbox(root).mkdir()
        (sandbox(root) / "lock").touch()
        with taken(place_of(root, kind)) as second:
            assert first.inode != second.inode
            status = path_of(root, kind).stat()
            assert second.inode == (status.st_dev, status.st_ino)


@pytest.mark.parametrize("what", ["file", "link to a directory", "fifo", "dangling link"])
def test_what_is_no_directory_is_no_lock(root: Directory, what: str) -> None:
    other = Path(root.path, "other")
    if what == "file":
        other.touch()
    elif what == "fifo":
        os.mkfifo(other)
    else:
        other.symlink_to("web-1" if what == "link to a directory" else "none")
    with pytest.raises(Unreadable, match="other: the lock cannot be opened"):
        acquire(LockPlace(root, "other", is_directory=True), LockBudget(1))
    assert is_free(sandbox(root))


@pytest.mark.parametrize("what", ["directory", "fifo"])
def test_what_is_no_file_inside_is_no_lock(root: Directory, what: str) -> None:
    (sandbox(root) / "lock").unlink()
    (sandbox(root) / "lock").mkdir() if what == "directory" else os.mkfifo(sandbox(root) / "lock")
    with pytest.raises(Unreadable, match="web-1/lock: it should be a lock file and is none"):
        acquire(LockPlace(root, "web-1/lock"), LockBudget(1))


def test_a_directory_that_is_replaced_all_the_time_ends_in_a_typed_error(
    root: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fstat

    def replacing(descriptor: int) -> os.stat_result:
        sandbox(root).rename(sandbox(root).parent / f"old-{os.urandom(4).hex()}")
        sandbox(root).mkdir()
        return real(descriptor)

    monkeypatch.setattr(os, "fstat", replacing)
    monkeypatch.setattr(locking, "_MOST_REPLACED", 20)
    with pytest.raises(ChangedMeanwhile, match="it is replaced again and again"):
        acquire(LockPlace(root, "web-1", is_directory=True), LockBudget(1))
    monkeypatch.undo()


# one lock for many objects


@BOTH
def test_a_shared_lock_is_free_when_all_have_released_it(root: Directory, kind: str) -> None:
    path = path_of(root, kind)
    first = taken(place_of(root, kind))
    second, third = first.shared(), first.shared()
    assert {one.inode for one in (first, second, third)} == {first.inode} and not second.made
    for one in (first, third):
        one.release()
        one.release()
        assert not is_free(path)
    second.release()
    assert is_free(path)


def test_C5_a_shared_lock_is_not_inherited_by_a_child(root: Directory) -> None:
    with taken(place_of(root, FILE)) as lock, lock.shared() as again:
        command = [sys.executable, "-c", "print(flush=True); input()"]
        with subprocess.Popen(command, stdin=-1, stdout=-1, close_fds=False) as child:
            assert child.stdout and child.stdout.readline()
            opened = [os.readlink(f"/proc/{child.pid}/fd/{name}") for name in os.listdir(f"/proc/{child.pid}/fd")]
            child.kill()
        assert again.fd != lock.fd
    assert str(path_of(root, FILE)) not in opened


def test_only_our_own_lock_is_one_for_many_objects(root: Directory) -> None:
    """The runtime's lock of one sandbox is never shared by two: that would let both in."""
    own = own_lock_place(root.path)
    with own.directory:
        assert own.is_common and own.create_mode == 0o600
    assert not any(place_of(root, kind).is_common for kind in (DIRECTORY, FILE))


# looking without taking


@BOTH
def test_B3_a_held_lock_is_told_without_trying_it(root: Directory, kind: str) -> None:
    path = path_of(root, kind)
    inode = (path.stat().st_dev, path.stat().st_ino)
    raise_if_held(place_of(root, kind), inode)
    with held_by_another(path) as child:
        with pytest.raises(LockTimeout) as caught:
            raise_if_held(place_of(root, kind), inode)
    assert f"the lock {path} is held by lock-holder (pid {child.pid}, running since " in str(caught.value)
    raise_if_held(place_of(root, kind), inode)


def test_B3_an_open_directory_is_no_held_lock(root: Directory) -> None:
    inode = (sandbox(root).stat().st_dev, sandbox(root).stat().st_ino)
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, cwd=sandbox(root)) as child:
        assert child.stdout and child.stdout.readline()
        raise_if_held(place_of(root, DIRECTORY), inode)
        child.kill()
