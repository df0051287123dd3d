# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    InUse,
    Mounted,
    NotProved,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import MountTable, parse_mountinfo
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.namespaces import MountSurvey, Unseen
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import look
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import read
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Claim, Part
from ansible_collections.sandboxed.containers.plugins.module_utils._object import removal
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Unmount
from ansible_collections.sandboxed.containers.plugins.module_utils._object.removal import (
    lasting_users,
    mounts_in_the_way,
    stop_all,
    stops_for,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis import support_mounts as support


@contextmanager
def running(code: str = "", *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """A real process that runs code and then sleeps."""
    command = ["owner", "-c", f"import os, sys, time\n{code}\nprint(flush=True); time.sleep(60)", *argv]
    with subprocess.Popen(command, executable=sys.executable, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout and child.stdout.readline()
            yield child
        finally:
            child.kill()


def claim_of(pid: int, order: int | None = 0) -> Claim:
    process = read(pid)
    assert process is not None
    return Claim(process, True, "runs it", 0, order, "Ask its engine.")


def part_of(path: Path, role: str = "state") -> Part:
    with open_given(str(path.parent)) as directory:
        facts = look(directory, path.name)
        assert facts is not None
        return Part(role, "c1", directory, path.name, facts)


def test_owners_are_stopped_in_their_order(tmp_path: Path) -> None:
    with running() as one, running() as two:
        claims = [claim_of(one.pid, 2), claim_of(two.pid, 0)]
        assert [stop.pid for stop in stops_for("Sandbox 'c1'", claims, [])] == [two.pid, one.pid]


def test_E1_only_what_was_looked_at_is_ended() -> None:
    with running() as wanted, running() as bystander:
        claim = claim_of(wanted.pid)
        (stop,) = stops_for("label", [claim], [])
        assert stop_all([stop], [claim]) is True
        assert wanted.wait(timeout=60) == -signal.SIGTERM
        assert bystander.poll() is None
        assert stop_all([stop], [claim]) is False


def test_E1_a_pid_that_was_given_to_another_process_gets_no_signal() -> None:
    with running() as child:
        claim = claim_of(child.pid)
        old = claim._replace(process=claim.process._replace(start_ticks=claim.process.start_ticks - 1))
        (stop,) = stops_for("label", [old], [])
        with pytest.raises(ChangedMeanwhile, match="another process"):
            stop_all([stop], [old])
        time.sleep(0.05)
        assert child.poll() is None


def test_E1_what_started_after_the_record_was_written_is_not_stopped(tmp_path: Path) -> None:
    state = tmp_path / "c1.state"
    state.touch()
    part = part_of(state)
    earlier = part._replace(facts=part.facts._replace(ctime_ns=part.facts.ctime_ns - 60 * 10**9))
    with running() as child:
        with pytest.raises(NotProved, match=f"pid {child.pid}.*not proved to be older than its state.*by hand"):
            stops_for("label", [claim_of(child.pid)], [earlier.facts.ctime_ns])
        state.chmod(0o600)
        assert [stop.pid for stop in stops_for("label", [claim_of(child.pid)], [part_of(state).facts.ctime_ns])] == [
            child.pid
        ]


def test_A6_what_serves_a_pod_is_left_to_its_engine() -> None:
    with running() as child:
        with pytest.raises(InUse, match=r"label is in use: .*runs it\. Ask its engine\."):
            stops_for("label", [claim_of(child.pid, None)], [])
        assert child.poll() is None


def test_C3_who_keeps_a_file_open_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.touch()
    inode = (path.stat().st_dev, path.stat().st_ino)
    assert lasting_users([inode]) == {} == lasting_users([])
    with running("os.open(sys.argv[1], os.O_RDONLY)", str(path)) as child:
        users = lasting_users([inode])
    assert list(users) == [inode] and f"owner (pid {child.pid}" in users[inode]


def test_C3_who_opens_it_for_a_moment_is_none(tmp_path: Path) -> None:
    """Our own waiters open a lock file for microseconds."""
    path = tmp_path / "a.lock"
    path.touch()
    inode = (path.stat().st_dev, path.stat().st_ino)
    code = "import os, sys, time\nprint(flush=True)\nwhile True:\n  "
    code += "os.close(os.open(sys.argv[1], os.O_RDONLY)); time.sleep(0.03)"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        assert lasting_users([inode]) == {}
        child.kill()


@pytest.mark.parametrize(("looks", "lasts"), [(1, False), (2, False), (3, True)])
def test_C3_who_has_it_open_in_three_looks_that_follow_each_other_stays(
    monkeypatch: pytest.MonkeyPatch, looks: int, lasts: bool
) -> None:
    seen = [{((1, 1), 4711)}] * looks + [set[Any]()] * 9
    monkeypatch.setattr(removal, "uses", lambda *_given, **_more: seen.pop(0))
    assert bool(lasting_users([(1, 1)])) is lasts


def test_nothing_mounted_is_nothing_to_unmount(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    survey = MountSurvey(MountTable.read(), [], [])
    assert mounts_in_the_way([part_of(tmp_path / "a")], survey, False, False) == []


def test_D3_a_namespace_that_cannot_be_read_may_hold_a_mount(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    survey = MountSurvey(MountTable.read(), [], [Unseen(7, "Permission denied")])
    with pytest.raises(NotProved, match=r"there is 1 mount namespace cannot be read|1 mount namespace.*cannot be read"):
        mounts_in_the_way([part_of(tmp_path / "a")], survey, False, False)
    assert mounts_in_the_way([part_of(tmp_path / "a")], survey, False, True) == []


@support.needs_root
def test_D3_a_mount_on_a_file_is_refused_or_unmounted(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "other").touch()

    def inside() -> None:
        subprocess.run(["mount", "--bind", str(tmp_path / "other"), str(tmp_path / "a")], check=True)
        part = part_of(tmp_path / "a")
        survey = MountSurvey(MountTable.read(), [], [])
        with pytest.raises(NotProved, match="own mount namespace"):
            mounts_in_the_way([part], survey, True, False)
        with pytest.raises(Mounted, match=r"there is 1 mount on it or below.*on_mounted=unmount"):
            mounts_in_the_way([part], survey, False, True)
        assert [one.path for one in mounts_in_the_way([part], survey, True, True)] == [str(tmp_path / "a")]

    support.in_private_namespace(inside)


@support.needs_root
def test_D3_a_mount_that_only_another_namespace_has_is_refused_always(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    shell = 'mount --bind "$0/a" "$0/a" && echo && exec sleep 60'
    with subprocess.Popen(["unshare", "-m", "sh", "-c", shell, str(tmp_path)], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout and child.stdout.readline()
            part, survey = part_of(tmp_path / "a"), MountSurvey.read()
            for unmount in (False, True):
                with pytest.raises(Mounted, match="other mount namespaces"):
                    mounts_in_the_way([part], survey, unmount, True)
        finally:
            child.kill()
    assert (tmp_path / "a").exists()


def held_open(tmp_path: Path, name: str) -> tuple[int, int]:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return (path.stat().st_dev, path.stat().st_ino)


def test_D8_who_stands_in_a_tree_or_has_something_of_it_open_is_named_by_the_tree(tmp_path: Path) -> None:
    trees = [str(tmp_path / name) for name in ("web-1", "web-10", "other")]
    inode = held_open(tmp_path, "web-1/deep/log")
    held_open(tmp_path, "web-10/x")
    assert lasting_users([], trees) == lasting_users([inode], trees) == {}
    with running("os.open(sys.argv[1], os.O_RDONLY)", f"{tmp_path}/web-1/deep/log") as reader:
        with running("os.chdir(sys.argv[1])", f"{tmp_path}/web-10") as stander:
            users = lasting_users([inode], trees)
            assert set(users) == {inode, trees[0], trees[1]}
            assert f"owner (pid {reader.pid}" in users[inode] and f"owner (pid {reader.pid}" in users[trees[0]]
            assert f"owner (pid {stander.pid}" in users[trees[1]]
            assert lasting_users([], trees[2:]) == {}


def test_D8_who_passes_through_a_tree_is_none(tmp_path: Path) -> None:
    """find or du look into everything; a process that stays is seen in two looks that follow each other."""
    (tmp_path / "web-1").mkdir()
    code = "import os, sys, time\nprint(flush=True)\nwhile True:\n  "
    code += "os.close(os.open(sys.argv[1], os.O_RDONLY)); time.sleep(0.03)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "web-1")], stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        assert lasting_users([], [str(tmp_path / "web-1")]) == {}
        child.kill()


@support.needs_root
def test_D4_a_copy_in_another_namespace_goes_with_ours_where_we_unmount(tmp_path: Path) -> None:
    """A bind mount below a shared tree has a copy in each pod's namespace. The unmount spreads, and is looked for
    again; a mount that only the other one has is refused all the same."""
    (tmp_path / "a" / "mounted").mkdir(parents=True)
    (tmp_path / "a" / "theirs").mkdir()
    (tmp_path / "data").mkdir()

    def inside() -> None:
        support.bind(str(tmp_path / "data"), str(tmp_path / "a" / "mounted"))
        part = part_of(tmp_path / "a")

        def nothing() -> None:
            return None

        with support.another_namespace(nothing):
            survey = MountSurvey.read()
            assert {item.pid is None for item in survey.in_the_way(part.path)} == {True, False}
            with pytest.raises(Mounted, match="other mount namespaces"):
                mounts_in_the_way([part], survey, False, True)
            assert [one.path for one in mounts_in_the_way([part], survey, True, True)] == [part.path]
        with support.another_namespace(lambda: support.bind(str(tmp_path / "data"), str(tmp_path / "a" / "theirs"))):
            with pytest.raises(Mounted, match=r"there is 1 mount of other mount namespaces on it .*/a/theirs"):
                mounts_in_the_way([part], MountSurvey.read(), True, True)

    support.in_private_namespace(inside)


@support.needs_root
def test_R4_several_mounts_of_one_part_are_one_unmount(tmp_path: Path) -> None:
    for name in ("a/one", "a/two", "b", "data"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)

    def inside() -> None:
        for name in ("a/one", "a/two"):
            support.bind(str(tmp_path / "data"), str(tmp_path / name))
        parts = [part_of(tmp_path / "a"), part_of(tmp_path / "b")]
        survey = MountSurvey(MountTable.read(), [], [])
        assert [one.path for one in mounts_in_the_way(parts, survey, True, True)] == [str(tmp_path / "a")]
        with pytest.raises(Mounted, match="there are 2 mounts on it or below"):
            mounts_in_the_way(parts, survey, False, True)

    support.in_private_namespace(inside)


def test_D3_a_namespace_that_cannot_be_told_is_not_the_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").touch()
    survey = MountSurvey(MountTable.read(), [], [])
    for told, refused in ((None, True), (False, True), (True, False)):
        monkeypatch.setattr(removal, "in_initial_mount_namespace", lambda told=told: told)
        if refused:
            with pytest.raises(NotProved, match="own mount namespace"):
                mounts_in_the_way([part_of(tmp_path / "a")], survey, False, False)
        else:
            assert mounts_in_the_way([part_of(tmp_path / "a")], survey, False, False) == []


@pytest.mark.parametrize(
    ("unseen", "initial", "answer"),
    [([], True, False), ([Unseen(7, "Permission denied")], True, True), ([], False, True), ([], None, True)],
)
def test_D3_that_nothing_is_mounted_is_told_only_where_all_is_seen(
    tmp_path: Path, unseen: list[Unseen], initial: bool | None, answer: bool
) -> None:
    (tmp_path / "a").touch()
    view = HostView()
    view.once("mounts", lambda: MountSurvey(MountTable.read(), [], unseen))
    view.once("mount namespace", lambda: initial)
    assert removal.may_be_mounted([part_of(tmp_path / "a")], view) is answer


def test_C4_only_what_lies_under_a_mount_goes_as_it_is_found_then(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()
    parts = [part_of(tmp_path / "a"), part_of(tmp_path / "b")]
    rows = f"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:5 / {tmp_path}/a rw - tmpfs none rw\n"
    view = HostView()
    view.once("mounts", lambda: MountSurvey(MountTable(parse_mountinfo(rows)), [], []))
    removes = removal.removals_of(parts, [Unmount(f"{tmp_path}/a")], view)
    assert [one.identity for one in removes] == [None, parts[1].facts.identity]


def test_E1_where_the_clock_was_stepped_nobody_is_stopped() -> None:
    with running() as child:
        with pytest.raises(NotProved, match="not proved to be older"):
            stops_for("label", [claim_of(child.pid)], [time.time_ns() + 3600 * 10**9])


def test_E1_the_newest_record_counts() -> None:
    """Kata writes a sandbox's configuration before its machine is there, and persist.json as long as it lives."""
    with running() as child:
        now = time.time_ns()
        stops = stops_for("label", [claim_of(child.pid)], [now - 60 * 10**9, now])
        assert [stop.pid for stop in stops] == [child.pid]
