# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    LockTimeout,
    Unreadable,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import (
    LockPlace,
    acquire,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis.support_locking import (
    at_each_pause,
    directory,
    held_by_another,
    is_free,
    lock_file,
    never,
)

__all__ = ["directory"]


def test_a_held_lock_excludes_others_until_it_is_released(directory: Directory) -> None:
    path = lock_file(directory)
    lock = acquire(LockPlace(directory, "a.lock"), None)
    assert lock is not None and not lock.made
    assert lock.inode == (path.stat().st_dev, path.stat().st_ino)
    assert not is_free(path)
    lock.release()
    assert is_free(path)
    lock.release()
    assert lock.fd == -1


def test_a_held_lock_is_released_at_the_end_of_its_with_block(directory: Directory) -> None:
    path = lock_file(directory)
    lock = acquire(LockPlace(directory, "a.lock"), None)
    assert lock is not None
    with pytest.raises(ZeroDivisionError), lock:
        1 / 0  # noqa: B018
    assert is_free(path)


def test_C5_a_child_process_does_not_hold_our_lock(directory: Directory) -> None:
    path = lock_file(directory)
    lock = acquire(LockPlace(directory, "a.lock"), None)
    assert lock is not None
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1, close_fds=False
    ) as child:
        assert child.stdout and child.stdout.readline()
        opened = [os.readlink(f"/proc/{child.pid}/fd/{name}") for name in os.listdir(f"/proc/{child.pid}/fd")]
        lock.release()
        free = is_free(path)
        child.kill()
    assert str(path) not in opened
    assert free


@pytest.mark.parametrize(
    ("theirs", "exclusive", "gets_it"),
    [("LOCK_SH", False, True), ("LOCK_SH", True, False), ("LOCK_EX", False, False), ("LOCK_EX", True, False)],
    ids=["shared with shared", "exclusive under shared", "shared under exclusive", "exclusive under exclusive"],
)
def test_shared_and_exclusive(directory: Directory, theirs: str, exclusive: bool, gets_it: bool) -> None:
    path = lock_file(directory)
    with held_by_another(path, theirs):
        if gets_it:
            lock = acquire(LockPlace(directory, "a.lock"), None, exclusive=exclusive)
            assert lock is not None
            assert is_free(path, fcntl.LOCK_SH) and not is_free(path)
            lock.release()
        else:
            with pytest.raises(LockTimeout):
                acquire(LockPlace(directory, "a.lock"), None, exclusive=exclusive)


def test_B5_the_holder_is_named_with_its_pid(directory: Directory) -> None:
    path = lock_file(directory)
    with held_by_another(path) as child:
        with pytest.raises(LockTimeout) as caught:
            acquire(LockPlace(directory, "a.lock"), LockBudget(0.05))
        text = str(caught.value)
    assert f"the lock {path} is held by lock-holder (pid {child.pid}, running since " in text
    assert "waited 0.05 s" in text and "lock_timeout" in text


def test_B5_a_descriptor_without_a_lock_is_not_named(directory: Directory) -> None:
    path = lock_file(directory)
    code = "import os, sys; os.open(sys.argv[1], os.O_RDONLY); print(flush=True); input()"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=-1, stdout=-1) as child, held_by_another(path) as holder:
        assert child.stdout and child.stdout.readline()
        with pytest.raises(LockTimeout) as caught:
            acquire(LockPlace(directory, "a.lock"), None)
        child.kill()
    assert f"pid {holder.pid}" in str(caught.value) and f"pid {child.pid}" not in str(caught.value)


def test_a_holder_that_cannot_be_seen_is_said_to_be_out_of_sight(directory: Directory) -> None:
    """Our own other descriptor holds it: no other process does."""
    path = lock_file(directory)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(LockTimeout, match="its holder is not visible from here"):
            acquire(LockPlace(directory, "a.lock"), None)
    finally:
        os.close(descriptor)


def test_without_a_budget_nothing_waits(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    with held_by_another(lock_file(directory)):
        at_each_pause(monkeypatch, never)
        with pytest.raises(LockTimeout):
            acquire(LockPlace(directory, "a.lock"), None)


def test_the_lock_is_had_when_it_becomes_free_in_time(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = LockBudget(60)
    with held_by_another(lock_file(directory)) as holder:
        at_each_pause(monkeypatch, holder.kill)
        lock = acquire(LockPlace(directory, "a.lock"), budget)
        assert lock is not None
        lock.release()
    assert 0 < budget.left < 60


def test_the_budget_is_the_total_of_all_acquisitions(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = LockBudget(60)
    with held_by_another(lock_file(directory, "a.lock")) as holder, held_by_another(lock_file(directory, "b.lock")):
        with monkeypatch.context() as patched:
            at_each_pause(patched, holder.kill)
            first = acquire(LockPlace(directory, "a.lock"), budget)
        assert first is not None and budget.left < 60
        first.release()
        budget.left = 0.1  # as after more of these
        with pytest.raises(LockTimeout):
            acquire(LockPlace(directory, "b.lock"), budget)
        assert budget.left <= 0
        at_each_pause(monkeypatch, never)  # what is spent is spent
        with pytest.raises(LockTimeout):
            acquire(LockPlace(directory, "b.lock"), budget)


def test_a_free_lock_costs_nothing_of_the_budget(directory: Directory) -> None:
    lock_file(directory)
    for budget in (LockBudget(0), LockBudget(5)):
        before = budget.left
        lock = acquire(LockPlace(directory, "a.lock"), budget)
        assert lock is not None and budget.left == before
        lock.release()


def test_R2_a_lock_file_that_is_replaced_while_we_wait_is_locked_anew(directory: Directory) -> None:
    path = lock_file(directory)
    code = (
        "import fcntl, os, sys, time\n"
        "path = sys.argv[1]\n"
        "fd = os.open(path, os.O_RDONLY)\n"
        "fcntl.flock(fd, fcntl.LOCK_EX)\n"
        "print(flush=True)\n"
        "time.sleep(0.2)\n"
        "os.close(os.open(path + '.new', os.O_CREAT | os.O_EXCL, 0o600))\n"
        "os.rename(path + '.new', path)\n"  # at no moment is there none
    )
    old = path.stat().st_ino
    keep = os.open(path, os.O_RDONLY)  # so that its inode number is not given to the new file
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        lock = acquire(LockPlace(directory, "a.lock"), LockBudget(20))
        child.wait()
    os.close(keep)
    assert lock is not None
    assert lock.inode[1] == path.stat().st_ino != old
    lock.release()


def test_R2_a_lock_file_that_is_removed_while_we_wait_is_absent(directory: Directory) -> None:
    path = lock_file(directory)
    with held_by_another(path):
        path.unlink()
        assert acquire(LockPlace(directory, "a.lock"), LockBudget(5)) is None


def test_R2_two_processes_are_never_in_at_once_although_each_removes_the_file(
    directory: Directory, tmp_path: Path
) -> None:
    """Unlink while holding, as a delete does: without the comparison of inodes two get in (defect G2)."""
    code = (
        "import os, sys, time\n"
        "from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import *\n"
        "from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget\n"
        "from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_given\n"
        "place = LockPlace(open_given(sys.argv[1]), 'a.lock', 0o600)\n"
        "for turn in range(60):\n"
        "    with acquire(place, LockBudget(30)) as lock:\n"
        "        os.mkdir(sys.argv[2])\n"
        "        time.sleep(0.0005)\n"
        "        os.rmdir(sys.argv[2])\n"
        "        if turn % 2: os.unlink(lock.place.path)\n"
    )
    command = [sys.executable, "-c", code, directory.path, str(tmp_path / "inside")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    children = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _number in range(4)]
    errors = [child.communicate(timeout=60)[1].decode() for child in children]
    assert errors == ["", "", "", ""]


def test_C1_a_waiter_of_ours_keeps_no_descriptor_open_while_it_waits(directory: Directory) -> None:
    """A descriptor on the inode is the mark of a runtime that waits (C3); our own waiters must not look like one."""
    path = lock_file(directory)
    code = (
        "import sys\n"
        "from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import *\n"
        "from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget\n"
        "from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_given\n"
        "place = LockPlace(open_given(sys.argv[1]), 'a.lock')\n"
        "print(flush=True)\n"
        "acquire(place, LockBudget(30))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with held_by_another(path):
        command = [sys.executable, "-c", code, directory.path]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as child:
            assert child.stdout and child.stdout.readline()
            seen = 0
            for _look in range(40):
                time.sleep(0.005)
                for name in os.listdir(f"/proc/{child.pid}/fd"):
                    try:
                        seen += os.readlink(f"/proc/{child.pid}/fd/{name}") == str(path)
                    except FileNotFoundError:
                        continue
            child.kill()
    assert seen < 20


def test_G3_a_lock_file_that_cannot_be_locked_is_not_left(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_given: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", broken)
    before = os.listdir(directory.path)
    with pytest.raises(Unreadable, match="cannot be locked"):
        acquire(LockPlace(directory, "new.lock", 0o600), None)
    assert os.listdir(directory.path) == before
    Path(directory.join("old.lock")).touch()
    with pytest.raises(Unreadable, match="cannot be locked"):
        acquire(LockPlace(directory, "old.lock", 0o600), None)
    assert sorted(os.listdir(directory.path)) == sorted([*before, "old.lock"])
