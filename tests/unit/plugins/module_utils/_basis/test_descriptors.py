# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import descriptors
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import User
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.tests.lab.processes import lives, state, wait_until
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis.support_descriptors import (
    LOCK,
    NEEDS_ROOT,
    OPEN,
    WAIT,
    inode_of,
    python,
    target,
)

__all__ = ["target"]


def test_C3_descriptors_of_other_processes(target: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("")
    with open(target, encoding="ascii"), python(OPEN + WAIT, str(target)) as child:
        found = descriptors.open_by_others([inode_of(target), inode_of(other)])
        (holder,) = found.of(inode_of(target))
        assert (holder.pid, str(holder.descriptor)) == (child.pid, child.first_line)
        assert (holder.inode, holder.path, holder.locks) == (inode_of(target), str(target), ())
        assert not found.of(inode_of(other)) and not found.lock_holders(inode_of(target))
        if os.geteuid() == 0:
            assert child.pid not in found.unreadable
    assert not descriptors.open_by_others([inode_of(target)]).by_inode
    assert not descriptors.open_by_others([]).by_inode


def test_a_directory_an_unlinked_file_and_a_fifo_are_matched(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    gone = tmp_path / "gone"
    gone.write_text("")
    inodes = [inode_of(tmp_path), inode_of(fifo), inode_of(gone)]
    code = "for path in sys.argv[1:]: held = os.open(path, os.O_RDONLY | os.O_NONBLOCK)\n"
    with python(code + WAIT, str(tmp_path), str(fifo), str(gone)) as child:
        gone.unlink()
        found = descriptors.open_by_others(inodes)
    assert [[holder.pid for holder in found.of(inode)] for inode in inodes] == [[child.pid]] * 3


def test_B5_holder_is_who_has_the_lock_line(target: Path) -> None:
    # The taker hands its descriptor down and ends: /proc/locks still names it, and it is dead.
    code = LOCK + "if os.fork(): os._exit(0)\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n"
    with python(code, str(target)) as taker:
        heir = int(taker.first_line)
        try:
            taker.process.wait()
            with python(OPEN + WAIT, str(target)):  # open without the lock
                (process,) = descriptors.lock_holders(inode_of(target))
            assert process.pid == heir
        finally:
            os.kill(heir, 9)
    wait_until(lambda: not lives(heir), "the heir to end")
    assert descriptors.lock_holders(inode_of(target)) == []


def test_B5_who_ends_during_the_look_holds_nothing(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its descriptor was seen. Nobody may have reaped it yet, and a pid 1 may take long."""
    with python(LOCK + WAIT, str(target)) as child:
        look = descriptors.open_by_others

        def look_and_kill(*arguments: Any) -> descriptors.Descriptors:
            found = look(*arguments)
            child.process.kill()
            wait_until(lambda: not lives(child.pid), "the holder to end")
            return found

        monkeypatch.setattr(descriptors, "open_by_others", look_and_kill)
        assert descriptors.lock_holders(inode_of(target)) == []
        assert Path(f"/proc/{child.pid}").exists(), "not yet reaped"


def test_B5_a_directory_lock_and_its_kind(tmp_path: Path) -> None:
    code = OPEN + "fcntl.flock(held, fcntl.LOCK_SH)\n"
    with python(code + WAIT, str(tmp_path)) as child:
        (holder,) = descriptors.open_by_others([inode_of(tmp_path)]).lock_holders(inode_of(tmp_path))
    assert (holder.pid, holder.locks) == (child.pid, ("FLOCK READ",))


def test_a_record_lock_is_no_flock(target: Path) -> None:
    code = "held = os.open(sys.argv[1], os.O_RDWR)\nfcntl.lockf(held, fcntl.LOCK_EX)\n"
    with python(code + WAIT, str(target)):
        found = descriptors.open_by_others([inode_of(target)])
        assert found.of(inode_of(target))[0].locks == ("POSIX WRITE",)
        assert not found.lock_holders(inode_of(target))


def test_A9_the_lock_of_an_ended_leader_with_a_running_thread(target: Path) -> None:
    code = LOCK + (
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "print(held, flush=True)\n"
        "ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[platform.machine()], 0)\n"
    )
    with python(code, str(target)) as child:
        wait_until(lambda: state(child.pid) == "Z", "the leader to end")
        assert [process.pid for process in descriptors.lock_holders(inode_of(target))] == [child.pid]
        users = descriptors.users_below([str(target)]).users
        assert users == (User(child.pid, "descriptor", str(target)),)


def test_C3_waiters(target: Path, tmp_path: Path) -> None:
    assert descriptors.lock_waiters(inode_of(target)) == ()
    with python(LOCK + WAIT, str(target)):
        assert descriptors.lock_waiters(inode_of(target)) == ()
        code = OPEN + "print(held, flush=True)\nfcntl.flock(held, fcntl.LOCK_SH)\n"
        with python(code, str(target)) as waiter:
            wait_until(lambda: bool(descriptors.lock_waiters(inode_of(target))), "somebody to wait")
            assert descriptors.lock_waiters(inode_of(target)) == (waiter.pid,)
            assert descriptors.lock_waiters(inode_of(tmp_path)) == ()
            assert [holder.locks for holder in descriptors.open_by_others([inode_of(target)]).of(inode_of(target))]


@NEEDS_ROOT
def test_the_same_number_on_another_file_system_is_no_match(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp_path)], check=True)
    try:
        (tmp_path / "a").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp_path / "a")], check=True)
        try:
            # Small tmpfs inode numbers repeat: both files are the second entry of their file system.
            (tmp_path / "a" / "x").write_text("")
            (tmp_path / "x").write_text("")
            number = (tmp_path / "a" / "x").stat().st_ino
            for extra in range(100):
                if (tmp_path / "x").stat().st_ino == number:
                    break
                (tmp_path / "x").unlink()
                name = tmp_path / f"x{extra}"
                name.write_text("")
                name.rename(tmp_path / "x")
            twin = (inode_of(tmp_path / "x")[0], number)
            with python(OPEN + WAIT, str(tmp_path / "a" / "x")):
                found = descriptors.open_by_others([twin])
                assert not found.by_inode
                assert descriptors.open_by_others([inode_of(tmp_path / "a" / "x")]).by_inode
        finally:
            subprocess.run(["umount", str(tmp_path / "a")], check=True)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@NEEDS_ROOT
def test_a_holder_in_another_mount_namespace_is_seen(target: Path) -> None:
    code = LOCK + WAIT
    child = subprocess.Popen(
        ["unshare", "-m", sys.executable, "-c", "import fcntl, os, sys, time\n" + code, str(target)],
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout and child.stdout.readline()
        assert [process.pid for process in descriptors.lock_holders(inode_of(target))] == [child.pid]
    finally:
        child.kill()
        child.communicate()


@NEEDS_ROOT
@pytest.mark.skipif(not shutil.which("mkfs.btrfs"), reason="needs mkfs.btrfs")
def test_B5_btrfs_compares_the_superblock(tmp_path: Path) -> None:
    image, place = tmp_path / "image", tmp_path / "mount"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(200 << 20)
    subprocess.run(["mkfs.btrfs", "-q", str(image)], check=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=False).returncode:
        pytest.skip("btrfs cannot be mounted here")
    try:
        subprocess.run(["btrfs", "-q", "subvolume", "create", str(place / "volume")], check=True)
        lock = place / "volume" / "lock"
        lock.write_text("")
        with python(LOCK + WAIT, str(lock)) as child:
            assert [process.pid for process in descriptors.lock_holders(inode_of(lock))] == [child.pid]
            with python(OPEN + "print(held, flush=True)\nfcntl.flock(held, fcntl.LOCK_EX)\n", str(lock)) as waiter:
                wait_until(lambda: bool(descriptors.lock_waiters(inode_of(lock))), "somebody to wait")
                assert descriptors.lock_waiters(inode_of(lock)) == (waiter.pid,)
    finally:
        subprocess.run(["umount", str(place)], check=True)


@NEEDS_ROOT
def test_an_overlay_of_two_file_systems(tmp_path: Path) -> None:
    # Here st_dev of a file may be a device that no mount shows.
    (tmp_path / "top").mkdir()
    (tmp_path / "lower").mkdir()
    (tmp_path / "lower" / "lock").write_text("")
    (tmp_path / "merged").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp_path / "top")], check=True)
    try:
        for name in ("upper", "work"):
            (tmp_path / "top" / name).mkdir()
        layers = f"xino=off,lowerdir={tmp_path}/lower,upperdir={tmp_path}/top/upper,workdir={tmp_path}/top/work"
        mount = ["mount", "-t", "overlay", "none", "-o", layers, str(tmp_path / "merged")]
        if subprocess.run(mount, check=False).returncode:
            pytest.skip("overlay cannot be mounted here")
        try:
            lock = tmp_path / "merged" / "lock"
            with python(LOCK + WAIT, str(lock)) as child:
                assert [process.pid for process in descriptors.lock_holders(inode_of(lock))] == [child.pid]
        finally:
            subprocess.run(["umount", str(tmp_path / "merged")], check=True)
    finally:
        subprocess.run(["umount", str(tmp_path / "top")], check=True)


@pytest.mark.parametrize("kind", ["LOCK_EX", "LOCK_SH"])
def test_B5_the_numbers_of_locked_inodes_are_a_hint(target: Path, tmp_path: Path, kind: str) -> None:
    """One look for thousands of sandboxes: only those in it are looked at closer."""
    code = OPEN + f"fcntl.flock(held, fcntl.{kind})\n"
    with python(code + WAIT, str(target)), python(code + WAIT, str(tmp_path)):
        assert {inode_of(target)[1], inode_of(tmp_path)[1]} <= descriptors.locked_inodes()


def test_B5_locks_as_the_kernel_lists_them(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text(
        "1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF\n"
        "1: -> FLOCK  ADVISORY  WRITE 4712 fe:00:999 0 EOF\n"
        "2: POSIX  ADVISORY  READ  1 00:2a:77 1073741826 1073742335\n"
        "3: LEASE  ACTIVE    READ 9 00:2a:x 0 EOF\n"
        "4: cut\n"
    )
    assert descriptors.locked_inodes(str(tmp_path)) == {131, 77}
    (tmp_path / "locks").unlink()
    with pytest.raises(Unreadable):
        descriptors.locked_inodes(str(tmp_path))


@NEEDS_ROOT
def test_what_may_not_be_read_is_named(target: Path) -> None:
    code = (
        "from ansible_collections.sandboxed.containers.plugins.module_utils._basis import descriptors\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "one = descriptors.open_by_others([(1, 1)])\n"
        "two = descriptors.users_below(['/nowhere'])\n"
        "print('seen' if int(sys.argv[1]) in one.unreadable and int(sys.argv[1]) in two.unreadable else 'missed')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with python(OPEN + WAIT, str(target)) as child, python(code, str(child.pid), env=environment) as looker:
        assert looker.first_line == "seen"


def test_a_path_longer_than_a_page_is_matched_or_named_as_hidden(tmp_path: Path) -> None:
    # The kernel refuses to show such a link (ENAMETOOLONG); the rest of that process must still be seen.
    code = (
        "for _depth in range(25):\n"
        "    os.mkdir('d' * 200); os.chdir('d' * 200)\n"
        "held = os.open('lock', os.O_RDWR | os.O_CREAT, 0o600)\n"
        "fcntl.flock(held, fcntl.LOCK_EX)\n"
        "status = os.fstat(held); os.chdir('/'); known = os.open(sys.argv[1], os.O_RDONLY)\n"
        "print(status.st_dev, status.st_ino, flush=True)\ntime.sleep(60)\n"
    )
    (tmp_path / "known").write_text("")
    with python(code, str(tmp_path / "known"), cwd=tmp_path) as child:
        device, number = map(int, child.first_line.split())
        assert [process.pid for process in descriptors.lock_holders((device, number))] == [child.pid]
        found = descriptors.users_below([str(tmp_path)])
        assert User(child.pid, "descriptor", str(tmp_path / "known")) in found.users
        assert child.pid in found.unreadable
        assert descriptors.uses([(device, number)], []) == {((device, number), child.pid)}
        assert (descriptors.TOO_LONG, child.pid) in descriptors.uses([], [str(tmp_path / "else")])
    subprocess.run(["rm", "-rf", str(tmp_path / ("d" * 200))], check=True)


def test_locks_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        descriptors.lock_waiters((1, 1), proc=str(tmp_path))


def test_B5_flock_of_this_process_is_not_reported(target: Path) -> None:
    with open(target, encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert descriptors.lock_holders(inode_of(target)) == []
