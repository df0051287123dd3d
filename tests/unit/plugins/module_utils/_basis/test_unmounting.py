# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import syscalls, unmounting
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    InUse,
    Mounted,
    NotProved,
    WriteFailed,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import MountTable, parse_mountinfo
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.namespaces import MountSurvey, Unseen
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support


def seen(path: str) -> list[tuple[str, str, str]]:
    return [(mount.point, mount.fs_type, mount.root) for mount in MountTable.read().at_or_below(path)]


def unmount(path: str, timeout: float = 0.5) -> list[str]:
    return unmounting.unmount_all(path, timeout, any_namespace=True)


def share(path: str) -> None:
    syscalls.set_propagation(path, syscalls.MS_SHARED)


def another_keeping_propagation(prepare: Callable[[], None]) -> AbstractContextManager[int]:
    """Like support.another_namespace, but mounts still spread into it."""

    def enter() -> None:
        assert ctypes.CDLL(None).unshare(syscalls.CLONE_NEWNS) == 0
        prepare()

    return support.another_process(enter)


def peers(root: str) -> None:
    """A kubelet's volume with a mount below it, and a sandbox's shared tree that shows both, as one peer group."""
    support.make(f"{root}/run", f"{root}/kubelet")
    support.tmpfs(f"{root}/run")
    support.tmpfs(f"{root}/kubelet")
    share(f"{root}/run")
    share(f"{root}/kubelet")
    support.make(f"{root}/kubelet/vol", f"{root}/run/sb/vol")
    support.tmpfs(f"{root}/kubelet/vol")
    support.make(f"{root}/kubelet/vol/sub")
    support.write(f"{root}/kubelet/vol/file")
    support.tmpfs(f"{root}/kubelet/vol/sub")
    support.write(f"{root}/kubelet/vol/sub/deep/file")
    support.run("mount", "--rbind", f"{root}/kubelet/vol", f"{root}/run/sb/vol")


@support.needs_root
def test_D4_a_careless_unmount_reaches_the_peer(tmp_path: Path) -> None:
    """Why the rule is needed: this is what the kernel does."""

    def work() -> None:
        peers(str(tmp_path))
        syscalls.umount(f"{tmp_path}/run/sb/vol/sub")
        assert [point for point, _type, _root in seen(f"{tmp_path}/kubelet/vol")] == [f"{tmp_path}/kubelet/vol"]

    support.in_private_namespace(work)


@support.needs_root
def test_D4_peer_keeps_its_mounts(tmp_path: Path) -> None:
    def work() -> None:
        peers(str(tmp_path))
        before = seen(f"{tmp_path}/kubelet"), support.checksum(f"{tmp_path}/kubelet")
        assert len(before[0]) == 3
        done = unmount(f"{tmp_path}/run/sb")
        assert done == [f"{tmp_path}/run/sb/vol/sub", f"{tmp_path}/run/sb/vol"]
        assert seen(f"{tmp_path}/run/sb") == []
        assert (seen(f"{tmp_path}/kubelet"), support.checksum(f"{tmp_path}/kubelet")) == before
        assert unmount(f"{tmp_path}/run/sb") == []

    support.in_private_namespace(work)


@support.needs_root
def test_D4_the_topmost_unmount_reaches_copies_in_other_namespaces(tmp_path: Path) -> None:
    def slave() -> None:
        syscalls.set_propagation(f"{tmp_path}/run", syscalls.MS_SLAVE)

    def work() -> None:
        support.make(f"{tmp_path}/run")
        support.tmpfs(f"{tmp_path}/run")
        share(f"{tmp_path}/run")
        support.make(f"{tmp_path}/run/sb/vol")
        with another_keeping_propagation(slave) as pid:
            support.tmpfs(f"{tmp_path}/run/sb/vol")
            assert len(MountSurvey.read().in_the_way(f"{tmp_path}/run/sb")) == 2
            unmount(f"{tmp_path}/run/sb")
            assert MountSurvey.read().in_the_way(f"{tmp_path}/run/sb") == []
            assert MountTable.read(pid).at_or_below(f"{tmp_path}/run/sb") == []

    support.in_private_namespace(work)


@support.needs_root
def test_D4_a_copy_with_mounts_of_its_own_stays_and_is_found(tmp_path: Path) -> None:
    def work() -> None:
        support.make(f"{tmp_path}/run")
        support.tmpfs(f"{tmp_path}/run")
        share(f"{tmp_path}/run")
        support.make(f"{tmp_path}/run/sb/vol")
        with another_keeping_propagation(lambda: None) as pid:
            support.tmpfs(f"{tmp_path}/run/sb/vol")
            support.make(f"{tmp_path}/run/sb/vol/sub")
            support.tmpfs(f"{tmp_path}/run/sb/vol/sub")
            unmount(f"{tmp_path}/run/sb")
            left = MountSurvey.read().in_the_way(f"{tmp_path}/run/sb")
            assert {item.pid for item in left} == {pid}

    support.in_private_namespace(work)


@support.needs_root
def test_D4_stacked_on_a_shared_mount_with_a_peer_is_refused(tmp_path: Path) -> None:
    """The covered mount cannot be made private, so the peer would lose what covers it."""

    def work() -> None:
        peers(str(tmp_path))
        support.tmpfs(f"{tmp_path}/run/sb/vol")
        before = seen(str(tmp_path)), support.checksum(f"{tmp_path}/kubelet")
        with pytest.raises(Mounted, match=f"tmpfs on {tmp_path}/kubelet/vol"):
            unmount(f"{tmp_path}/run/sb")
        assert (seen(str(tmp_path)), support.checksum(f"{tmp_path}/kubelet")) == before

    support.in_private_namespace(work)


@support.needs_root
def test_D4_stacked_and_hidden_mounts_without_peers_are_all_unmounted(tmp_path: Path) -> None:
    def work() -> None:
        top = f"{tmp_path}/sb"
        support.make(f"{top}/a")
        support.tmpfs(f"{top}/a")
        share(f"{top}/a")
        support.make(f"{top}/a/b/c")
        support.tmpfs(f"{top}/a/b/c")  # hidden below
        support.tmpfs(f"{top}/a/b")
        support.make(f"{top}/a/b/c")
        support.tmpfs(f"{top}/a/b/c")
        for _layer in range(5):
            support.tmpfs(f"{top}/a")
            support.make(f"{top}/a/x")
            support.tmpfs(f"{top}/a/x")
        support.write(f"{tmp_path}/data/file")
        (tmp_path / "sb" / "file").touch()
        support.bind(f"{tmp_path}/data/file", f"{top}/file")
        assert len(unmount(top)) == 15
        assert seen(top) == []
        assert (tmp_path / "data" / "file").read_text() == "data"

    support.in_private_namespace(work)


@support.needs_root
def test_D4_busy_is_kept_and_its_user_named(tmp_path: Path) -> None:
    kept: list[object] = []

    def work() -> None:
        top = f"{tmp_path}/sb"
        support.make(f"{top}/a")
        support.tmpfs(f"{top}/a")
        with support.another_process(lambda: os.chdir(f"{top}/a")) as pid:
            started = time.monotonic()
            with pytest.raises(InUse, match=rf"\(pid {pid}, running since [^)]*\) by its cwd"):
                unmount(top)
            assert time.monotonic() - started < 60
            assert len(seen(top)) == 1
        with support.another_process(lambda: kept.append(open(f"{top}/a/file", "w"))) as pid:
            with pytest.raises(InUse, match=rf"\(pid {pid}, [^)]*\) by its descriptor"):
                unmount(top)
        assert unmount(top) == [f"{top}/a"]

    support.in_private_namespace(work)


@support.needs_root
@pytest.mark.parametrize(("busy", "changed"), [("a", False), ("b", True)])
def test_C6_an_error_tells_whether_something_was_unmounted_before_it(tmp_path: Path, busy: str, changed: bool) -> None:
    top = f"{tmp_path}/sb"

    def work() -> None:
        for name in ("a", "b"):
            support.make(f"{top}/{name}")
            support.tmpfs(f"{top}/{name}")
        with support.another_process(lambda: os.chdir(f"{top}/{busy}")):
            with pytest.raises(InUse, match=f"^{top}/{busy}: ") as caught:
                unmount(top, 0.1)
        assert caught.value.changed is changed

    support.in_private_namespace(work)


@support.needs_root
def test_problem_35_busy_for_a_moment_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        support.make(f"{tmp_path}/a")
        support.tmpfs(f"{tmp_path}/a")
        pause, pauses = time.sleep, []
        with support.another_process(lambda: os.chdir(f"{tmp_path}/a")) as pid:

            def sleep(seconds: float) -> None:
                pauses.append(seconds)
                os.kill(pid, signal.SIGKILL)
                pause(seconds)

            monkeypatch.setattr(time, "sleep", sleep)
            assert unmount(f"{tmp_path}/a", 60) == [f"{tmp_path}/a"]
            assert pauses

    support.in_private_namespace(work)


@support.needs_root
def test_problem_11_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """The table is older than the link: what the link leads to stays mounted."""

    def work() -> None:
        support.make(f"{tmp_path}/real/a", f"{tmp_path}/sb")
        support.tmpfs(f"{tmp_path}/real/a")
        table = MountTable.read()
        os.rmdir(f"{tmp_path}/sb")
        os.symlink("real", f"{tmp_path}/sb")
        mount = table.at_or_below(f"{tmp_path}/real/a")[0]._replace(point=f"{tmp_path}/sb/a")
        with pytest.raises((WriteFailed, ChangedMeanwhile)):
            unmounting._apply(unmounting.Step(False, mount), table, "/proc", 0)
        assert len(seen(f"{tmp_path}/real/a")) == 1

    support.in_private_namespace(work)


@support.needs_root
def test_D4_another_mount_than_the_planned_one_is_not_unmounted(tmp_path: Path) -> None:
    def work() -> None:
        support.make(f"{tmp_path}/a")
        support.tmpfs(f"{tmp_path}/a")
        table = MountTable.read()
        planned = table.at_or_below(f"{tmp_path}/a")[0]
        support.tmpfs(f"{tmp_path}/a")
        with pytest.raises(ChangedMeanwhile):
            unmounting._apply(unmounting.Step(False, planned), table, "/proc", 0)
        assert len(seen(f"{tmp_path}/a")) == 2

    support.in_private_namespace(work)


@support.needs_root
def test_D3_refused_outside_of_pid_1s_namespace(tmp_path: Path) -> None:
    def work() -> None:
        support.make(f"{tmp_path}/a")
        assert unmounting.unmount_all(f"{tmp_path}/a") == []
        support.tmpfs(f"{tmp_path}/a")
        with pytest.raises(NotProved, match="pid 1"):
            unmounting.unmount_all(f"{tmp_path}/a")
        assert len(seen(f"{tmp_path}/a")) == 1

    support.in_private_namespace(work)


@support.needs_root
def test_D4_overlay_and_loop_devices(tmp_path: Path) -> None:
    def work() -> None:
        support.make(*[f"{tmp_path}/{name}" for name in ("lower", "upper", "work", "sb/rootfs", "sb/disk")])
        support.write(f"{tmp_path}/lower/file")
        options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
        support.run("mount", "-t", "overlay", "-o", options, "overlay", f"{tmp_path}/sb/rootfs")
        with open(f"{tmp_path}/image", "wb") as stream:
            stream.truncate(2 << 20)
        support.run("mkfs.ext4", "-q", f"{tmp_path}/image")
        support.run("mount", "-o", "loop", f"{tmp_path}/image", f"{tmp_path}/sb/disk")
        assert unmount(f"{tmp_path}/sb") == [f"{tmp_path}/sb/disk", f"{tmp_path}/sb/rootfs"]
        assert (tmp_path / "lower" / "file").read_text() == "data"

    support.in_private_namespace(work)


def test_the_plan_of_20000_stacked_mounts_needs_no_recursion() -> None:
    rows = ["1 0 8:1 / / rw - ext4 /dev/a rw\n"]
    rows += [f"{number} {number - 1} 0:5 / /run/a rw - tmpfs none rw\n" for number in range(2, 20_002)]
    steps = unmounting.plan_unmount(MountTable(parse_mountinfo("".join(rows))), "/run/a")
    assert [step.mount.mount_id for step in steps] == list(range(20_001, 1, -1))
    assert not any(step.private for step in steps)


def test_D4_the_plan_makes_each_mount_private_before_what_is_below_it() -> None:
    rows = (
        "1 0 8:1 / / rw - ext4 /dev/a rw\n"
        "2 1 0:5 / /s/a rw - tmpfs none rw\n"
        "3 2 0:6 / /s/a/b/c rw - tmpfs none rw\n"  # hidden by 4
        "4 2 0:7 / /s/a/b rw - tmpfs none rw\n"
        "5 2 0:8 / /s/a rw - tmpfs none rw\n"  # covers 2
        "6 5 0:9 / /s/a/d rw - tmpfs none rw\n"
    )
    steps = unmounting.plan_unmount(MountTable(parse_mountinfo(rows)), "/s")
    assert [(step.private, step.mount.mount_id) for step in steps] == [
        (True, 5),
        (False, 6),
        (False, 5),
        (True, 2),
        (False, 4),
        (False, 3),
        (False, 2),
    ]


def test_the_root_is_never_unmounted() -> None:
    with pytest.raises(ValueError, match="root"):
        unmount("/")


STACKED = (
    "1 0 8:1 / / rw - ext4 /dev/a rw\n"
    "2 1 0:5 / /s/a rw shared:7 - tmpfs none rw\n"
    "3 2 0:6 / /s/a rw - tmpfs none rw\n"  # covers 2
    "4 1 0:5 / /elsewhere rw {} - tmpfs none rw\n"
)


@pytest.mark.parametrize(
    ("fields", "told"), [("shared:7", 1), ("master:7", 1), ("shared:8 master:7", 1), ("shared:8", 0)]
)
def test_D4_a_peer_or_a_slave_of_a_covered_mount_is_told(fields: str, told: int) -> None:
    own = MountTable(parse_mountinfo(STACKED.format(fields)))
    assert len(unmounting.outside_peers(MountSurvey(own, [], []), "/s")) == told


def test_D4_what_cannot_be_read_may_be_a_peer_of_a_covered_mount() -> None:
    own = MountTable(parse_mountinfo(STACKED.format("")))
    told = unmounting.outside_peers(MountSurvey(own, [], [Unseen(7, "Permission denied")]), "/s")
    assert told == ["unknown mounts (Permission denied)"]


@support.needs_root
def test_D3_a_namespace_that_cannot_be_told_is_not_pid_1s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unmounting, "in_initial_mount_namespace", lambda _proc: None)

    def work() -> None:
        support.tmpfs(str(tmp_path))
        with pytest.raises(NotProved, match="not provably"):
            unmounting.unmount_all(str(tmp_path))
        assert len(MountTable.read().at_or_below(str(tmp_path))) == 1

    support.in_private_namespace(work)


@support.needs_root
def test_D4_what_is_mounted_there_meanwhile_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change = unmounting._change

    def change_and_mount(*given: Any) -> None:
        change(*given)
        support.tmpfs(f"{tmp_path}/b")

    def work() -> None:
        support.make(f"{tmp_path}/a", f"{tmp_path}/b")
        support.tmpfs(f"{tmp_path}/a")
        monkeypatch.setattr(unmounting, "_change", change_and_mount)
        with pytest.raises(Mounted, match=f"still mounted: tmpfs on {tmp_path}/b") as caught:
            unmounting.unmount_all(str(tmp_path), any_namespace=True)
        assert caught.value.changed

    support.in_private_namespace(work)
