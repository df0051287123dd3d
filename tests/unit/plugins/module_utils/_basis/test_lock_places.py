# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be a lock, and where: files, directories, and our own for a tree (safety.md C2, README.md R1)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import locking
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    LockTimeout,
    StateError,
    Unreadable,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import (
    LockPlace,
    acquire,
    own_lock_place,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis.support_locking import (
    NEEDS_ROOT,
    at_most,
    directory,
    held_by_another,
    is_free,
)

__all__ = ["directory"]


@pytest.mark.parametrize("exclusive", [False, True], ids=["shared", "exclusive"])
def test_R1_without_a_mode_no_lock_file_is_ever_made(directory: Directory, exclusive: bool) -> None:
    assert acquire(LockPlace(directory, "a.lock"), LockBudget(1), exclusive=exclusive) is None
    assert os.listdir(directory.path) == []


def test_a_lock_file_is_made_with_its_mode_and_says_so(directory: Directory) -> None:
    place = LockPlace(directory, "a.lock", 0o600)
    first = acquire(place, None)
    assert first is not None and first.made
    first.release()
    second = acquire(place, None)
    assert second is not None and not second.made
    second.release()
    assert stat.S_IMODE(os.stat(place.path).st_mode) == 0o600 and os.stat(place.path).st_size == 0


def make_link(path: Path) -> None:
    (path.parent / "target").touch()
    path.symlink_to("target")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (make_link, "symbolic links"),
        (lambda path: path.symlink_to("nowhere"), "symbolic links"),
        (os.mkfifo, "is none"),
        (os.mkdir, "is none"),
        (lambda path: os.mknod(path, stat.S_IFSOCK | 0o600), "No such device or address"),
    ],
    ids=["link", "dangling link", "fifo", "directory", "socket"],
)
@pytest.mark.parametrize("mode", [None, 0o600], ids=["kept", "made"])
def test_what_is_no_lock_file_is_refused(directory: Directory, make: object, why: str, mode: int | None) -> None:
    path = Path(directory.path, "a.lock")
    make(path)  # type: ignore[operator]
    before = len(os.listdir("/proc/self/fd"))
    with at_most(60), pytest.raises(Unreadable) as caught:
        acquire(LockPlace(directory, "a.lock", mode), LockBudget(1))
    assert why in str(caught.value) and str(path) in str(caught.value)
    assert len(os.listdir("/proc/self/fd")) == before
    assert not Path(directory.path, "nowhere").exists()


def test_a_directory_itself_can_be_the_lock(directory: Directory) -> None:
    place = LockPlace(directory, ".")
    assert place.path == directory.path
    with held_by_another(Path(directory.path)) as child:
        with pytest.raises(LockTimeout, match=f"{directory.path} is held by lock-holder .pid {child.pid}"):
            acquire(place, None)
    lock = acquire(place, None)
    assert lock is not None and not is_free(Path(directory.path))
    lock.release()


@pytest.mark.parametrize("instead", ["nothing", "another directory", "a file"])
def test_R2_a_directory_that_went_away_does_not_keep_us_busy_for_ever(directory: Directory, instead: str) -> None:
    os.rename(directory.path, directory.path + ".old")
    if instead == "another directory":
        os.mkdir(directory.path)
    elif instead == "a file":
        Path(directory.path).touch()
    with at_most(60):
        try:
            lock = acquire(LockPlace(directory, "."), LockBudget(0.3))
        except StateError:
            lock = None
    if lock is not None:
        assert lock.inode == (os.stat(directory.path).st_dev, os.stat(directory.path).st_ino)
        lock.release()


def test_a_lock_file_cannot_be_made_in_a_directory_that_was_removed(directory: Directory) -> None:
    os.rmdir(directory.path)
    with at_most(60), pytest.raises(StateError, match=r"a.lock"):
        acquire(LockPlace(directory, "a.lock", 0o600), LockBudget(0.3))


def test_C2_our_own_lock_is_one_for_each_tree_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "_OWN_LOCKS", str(tmp_path / "run" / "ours"))
    one, again, other = own_lock_place("/run/a"), own_lock_place("/run/a"), own_lock_place("/run/b")
    assert one.path == again.path != other.path
    assert one.path.startswith(str(tmp_path / "run" / "ours")) and one.name.endswith(".lock") and "/" not in one.name
    assert stat.S_IMODE(os.stat(tmp_path / "run" / "ours").st_mode) == 0o700
    lock = acquire(one, None)
    assert lock is not None and lock.made
    with pytest.raises(LockTimeout):
        acquire(again, None)
    lock.release()
    assert os.path.exists(one.path)
    for place in (one, again, other):
        place.directory.close()


@NEEDS_ROOT
def test_C2_somebody_elses_directory_is_not_used_for_our_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = tmp_path / "ours"
    ours.mkdir()
    os.chown(ours, 12345, 12345)
    monkeypatch.setattr(locking, "_OWN_LOCKS", str(ours))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Unreadable, match=r"belongs to user 12345.*must belong to root"):
        own_lock_place("/run/a")
    assert os.listdir(ours) == [] and len(os.listdir("/proc/self/fd")) == before


def test_C2_a_link_in_the_place_of_our_locks_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may write to /run/lock: a link from there would make us put files into a directory of root's."""
    (tmp_path / "target").mkdir()
    (tmp_path / "ours").symlink_to(tmp_path / "target")
    monkeypatch.setattr(locking, "_OWN_LOCKS", str(tmp_path / "ours"))
    with pytest.raises(StateError, match="ours"):
        own_lock_place("/run/a")
