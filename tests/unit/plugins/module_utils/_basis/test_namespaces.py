# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import namespaces
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import MountTable, parse_mountinfo
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.namespaces import InTheWay, MountSurvey
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support


def of(found: list[InTheWay], pid: int | None) -> list[str]:
    return [item.path for item in found if item.pid == pid]


@support.needs_root
def test_D3_a_mount_only_in_another_namespace_is_in_the_way(tmp_path: Path) -> None:
    def work() -> None:
        support.make(f"{tmp_path}/tree/below", f"{tmp_path}/tree2")
        with support.another_namespace(lambda: support.tmpfs(f"{tmp_path}/tree/below")) as pid:
            assert MountTable.read().at_or_below(f"{tmp_path}/tree") == []
            survey = MountSurvey.read()
            found = survey.in_the_way(f"{tmp_path}/tree")
            assert of(found, pid) == [f"{tmp_path}/tree/below"]
            assert found[0].text.startswith(f"tmpfs on {tmp_path}/tree/below in the mount namespace of pid {pid} (")
            assert of(survey.in_the_way(f"{tmp_path}/tree/below"), pid) == [f"{tmp_path}/tree/below"]
            assert survey.in_the_way(f"{tmp_path}/tree2") == []
            assert survey.in_the_way(f"{tmp_path}/tre") == []
        assert MountSurvey.read().in_the_way(f"{tmp_path}/tree") == []

    support.in_private_namespace(work)


@support.needs_root
def test_D3_rmdir_detaches_a_mount_of_another_namespace(tmp_path: Path) -> None:
    """Why the survey is needed: this is what the kernel does."""

    def work() -> None:
        support.make(f"{tmp_path}/tree")
        with support.another_namespace(lambda: support.tmpfs(f"{tmp_path}/tree")) as pid:
            assert MountSurvey.read().in_the_way(f"{tmp_path}/tree") != []
            os.rmdir(f"{tmp_path}/tree")
            assert MountTable.read(pid).at_or_below(f"{tmp_path}/tree") == []

    support.in_private_namespace(work)


@support.needs_root
def test_D3_the_other_namespace_knows_the_directory_by_another_path(tmp_path: Path) -> None:
    """It reaches our tree through a bind mount only; and so do we, the other way round."""

    def elsewhere() -> None:
        support.bind(f"{tmp_path}/tree", f"{tmp_path}/view")
        support.tmpfs(f"{tmp_path}/view/a b/c")

    def work() -> None:
        support.make(f"{tmp_path}/tree/a b/c", f"{tmp_path}/view", f"{tmp_path}/ours")
        support.bind(f"{tmp_path}/tree", f"{tmp_path}/ours")
        with support.another_namespace(elsewhere) as pid:
            survey = MountSurvey.read()
            assert of(survey.in_the_way(f"{tmp_path}/tree/a b"), pid) == [f"{tmp_path}/tree/a b/c"]
            assert of(survey.in_the_way(f"{tmp_path}/ours/a b"), pid) == [f"{tmp_path}/ours/a b/c"]
            assert of(survey.in_the_way(f"{tmp_path}/view"), pid) == [f"{tmp_path}/view"]

    support.in_private_namespace(work)


@support.needs_root
def test_D3_our_own_mount_seen_through_another_bind_is_in_the_way(tmp_path: Path) -> None:
    def work() -> None:
        support.make(f"{tmp_path}/tree/a", f"{tmp_path}/view")
        support.bind(f"{tmp_path}/tree", f"{tmp_path}/view")
        support.tmpfs(f"{tmp_path}/view/a")
        found = MountSurvey.read().in_the_way(f"{tmp_path}/tree")
        assert [(item.pid, item.path, item.mount.point) for item in found] == [
            (None, f"{tmp_path}/tree/a", f"{tmp_path}/view/a")
        ]
        with pytest.raises(OSError):
            os.rmdir(f"{tmp_path}/tree/a")

    support.in_private_namespace(work)


@support.needs_root
def test_D3_a_process_with_a_changed_root_does_not_hide_mounts(tmp_path: Path) -> None:
    """As gVisor's gofer: the only process of its namespace sees a part of the mounts."""

    def elsewhere() -> None:
        support.tmpfs(f"{tmp_path}/tree/a")
        os.chroot(f"{tmp_path}/jail")

    def work() -> None:
        support.make(f"{tmp_path}/tree/a", f"{tmp_path}/jail")
        with support.another_namespace(elsewhere) as pid:
            survey = MountSurvey.read()
            assert of(survey.in_the_way(f"{tmp_path}/tree"), pid) == [f"{tmp_path}/tree/a"]
            assert [item for item in survey.unreadable if item.pid == pid] == []

    support.in_private_namespace(work)


@support.needs_root
def test_D3_a_namespace_without_processes_that_a_mount_holds(tmp_path: Path) -> None:
    def work() -> None:
        support.make(f"{tmp_path}/tree/a")
        (tmp_path / "pin").touch()
        # The kernel lets a namespace hold only younger ones, and numbers them by processor: not every one will do.
        for _attempt in range(50):
            with support.another_namespace(lambda: support.tmpfs(f"{tmp_path}/tree/a")) as pid:
                bound = subprocess.run(
                    ["mount", "--bind", f"/proc/{pid}/ns/mnt", f"{tmp_path}/pin"],
                    stderr=subprocess.DEVNULL,
                    check=False,
                )
            if bound.returncode == 0:
                break
        found = MountSurvey.read().in_the_way(f"{tmp_path}/tree")
        assert [(item.pid, item.path) for item in found] == [(None, f"{tmp_path}/tree/a")]
        assert found[0].text == f"tmpfs on {tmp_path}/tree/a in a mount namespace without processes"

    support.in_private_namespace(work)


@support.needs_root
def test_D3_overlay_and_tmpfs_are_told_by_their_own_device(tmp_path: Path) -> None:
    def work() -> None:
        support.make(*[f"{tmp_path}/{name}" for name in ("lower/x", "upper", "work", "rootfs")])
        options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
        support.run("mount", "-t", "overlay", "-o", options, "overlay", f"{tmp_path}/rootfs")
        with support.another_namespace(lambda: support.tmpfs(f"{tmp_path}/rootfs/x")) as pid:
            survey = MountSurvey.read()
            assert of(survey.in_the_way(f"{tmp_path}/rootfs/x"), pid) == [f"{tmp_path}/rootfs/x"]
            assert survey.in_the_way(f"{tmp_path}/lower") == []
            assert (
                next(item.text for item in survey.in_the_way(f"{tmp_path}/rootfs")) == f"overlay on {tmp_path}/rootfs"
            )

    support.in_private_namespace(work)


@support.needs_root
def test_D3_all_namespaces_of_this_machine_are_readable_or_named() -> None:
    survey = MountSurvey.read()
    assert all(item.reason for item in survey.unreadable)
    assert survey.own.holding("/") is not None


def test_D3_pid_1_can_be_compared() -> None:
    assert namespaces.in_initial_mount_namespace() in (True, None)


@support.needs_root
def test_D3_a_private_namespace_is_not_pid_1s(tmp_path: Path) -> None:
    def work() -> None:
        support.tmpfs(str(tmp_path))
        assert namespaces.in_initial_mount_namespace() is False

    support.in_private_namespace(work)


def write_process(proc: Path, name: str, link: str | None, info: str) -> None:
    (proc / name / "ns").mkdir(parents=True)
    (proc / name / "mountinfo").write_text(info)
    (proc / name / "root").symlink_to("/")
    if link:
        (proc / name / "ns" / "mnt").symlink_to(link)
    else:
        (proc / name / "ns" / "mnt").write_text("")  # a link that cannot be read as one: EINVAL


ROOT = "1 0 8:1 / / rw - ext4 /dev/a rw\n"
OTHER = "7 0 8:1 / / rw - ext4 /dev/a rw\n8 7 0:9 / /t rw - tmpfs none rw\n"


def test_D3_a_hidden_link_is_known_by_its_mount_ids(tmp_path: Path) -> None:
    write_process(tmp_path, "self", "mnt:[1]", ROOT)
    write_process(tmp_path, "1", None, ROOT)
    assert namespaces.in_initial_mount_namespace(str(tmp_path)) is True
    assert MountSurvey.read(str(tmp_path)).unreadable == []


def test_D3_a_hidden_namespace_is_unknown_and_its_mounts_count(tmp_path: Path) -> None:
    write_process(tmp_path, "self", "mnt:[1]", ROOT)
    write_process(tmp_path, "1", None, OTHER)
    write_process(tmp_path, "2", None, OTHER)
    assert namespaces.in_initial_mount_namespace(str(tmp_path)) is False
    survey = MountSurvey.read(str(tmp_path))
    assert len(survey.unreadable) == 1 and survey.unreadable[0].pid in (1, 2)
    assert len(survey.in_the_way("/t")) == 1


def test_D3_without_proc_nothing_is_known(tmp_path: Path) -> None:
    assert namespaces.in_initial_mount_namespace(str(tmp_path)) is None
    with pytest.raises(Unreadable):
        MountSurvey.read(str(tmp_path))


def test_D3_cost_of_a_lookup_does_not_grow_with_namespaces() -> None:
    rows = ["1 0 8:1 / / rw - ext4 /dev/a rw\n"]
    rows += [f"{number} 1 0:5 / /run/{number:06}/rootfs rw - tmpfs none rw\n" for number in range(2, 5000)]
    mounts = parse_mountinfo("".join(rows))
    others: list[tuple[int | None, MountTable]] = [
        (
            pid,
            MountTable(
                mount._replace(mount_id=pid * 10000 + mount.mount_id, parent_id=pid * 10000 + 1) for mount in mounts[1:]
            ),
        )
        for pid in (10, 11, 12)
    ]
    for pid, table in others:
        table.mounts.append(mounts[0]._replace(mount_id=(pid or 0) * 10000 + 1))
        table.by_id[(pid or 0) * 10000 + 1] = table.mounts[-1]
    survey = MountSurvey(MountTable(mounts), others, [])
    assert sorted(str(item.pid) for item in survey.in_the_way("/run/000100")) == ["10", "11", "12", "None"]
    keys, _entries = survey._on_device((8, 1))
    assert len(keys) == 4 * 4998
    assert keys == sorted(keys)


@support.needs_root
def test_D3_a_changed_root_that_is_a_mount_hides_no_mounts(tmp_path: Path) -> None:
    """mountinfo then shows what is in that root, and is not empty."""

    def elsewhere() -> None:
        support.tmpfs(f"{tmp_path}/tree/a")
        support.tmpfs(f"{tmp_path}/jail")
        os.chroot(f"{tmp_path}/jail")

    def work() -> None:
        support.make(f"{tmp_path}/tree/a", f"{tmp_path}/jail")
        with support.another_namespace(elsewhere) as pid:
            survey = MountSurvey.read()
            found = [item.path for item in survey.in_the_way(f"{tmp_path}/tree") if item.pid == pid]
            assert found == [f"{tmp_path}/tree/a"]

    support.in_private_namespace(work)


def test_D3_a_namespace_is_entered_only_where_it_is_the_one_that_was_seen() -> None:
    """The pid may be another process's by now."""
    found = namespaces._Found(os.getpid(), f"/proc/{os.getpid()}/ns/mnt", False)
    assert namespaces._ask_child("/proc", {1: found}) == {1: "gone\n"}


def test_D3_namespaces_that_come_and_go_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces._Reader, "read_new", lambda _self: {4711})
    assert [item.reason for item in MountSurvey.read().unreadable] == ["mnt:[4711] changes all the time"]


def test_D3_a_namespace_that_another_one_holds_is_unknown(tmp_path: Path) -> None:
    def process(name: str, link: str, info: str) -> None:
        (tmp_path / name / "ns").mkdir(parents=True)
        (tmp_path / name / "mountinfo").write_text(info)
        (tmp_path / name / "root").symlink_to("/")
        (tmp_path / name / "ns" / "mnt").symlink_to(link)

    process("self", "mnt:[1]", "1 0 8:1 / / rw - ext4 /dev/a rw\n")
    held = "7 0 8:1 / / rw - ext4 /dev/a rw\n8 7 0:4 mnt:[3] /run/pin rw - nsfs nsfs rw\n"
    process("2", "mnt:[2]", held)
    (reason,) = (item.reason for item in MountSurvey.read(str(tmp_path)).unreadable)
    assert reason == "mnt:[3] is held by /run/pin in another mount namespace"


def test_D3_a_directory_is_not_free_where_another_namespace_has_a_mount_in_it() -> None:
    own = MountTable(parse_mountinfo("1 0 8:1 / / rw - ext4 /dev/a rw\n"))
    other = MountTable(parse_mountinfo("7 0 8:1 / / rw - ext4 /dev/a rw\n8 7 0:9 / /t/a rw - tmpfs none rw\n"))
    survey = MountSurvey(own, [(7, other)], [])
    assert [survey.is_free(path) for path in ("/t", "/t/a", "/t/ab", "/u")] == [False, False, True, True]
