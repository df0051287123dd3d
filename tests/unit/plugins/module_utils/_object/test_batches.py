# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many items at once: their locks, the last looks for all of them, and what is made durable."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import atomic_files, descriptors
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import sync_directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    InUse,
    LockTimeout,
    NotProved,
    Unreadable,
    WriteFailed,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace, acquire
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._object import batches, removal
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Plan, Run, run
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._basis.support_locking import (
    at_each_pause,
    held_by_another,
)
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_steps import (
    Calls,
    Thing,
    directory,
    fail,
    is_locked,
    take,
    things,
)

__all__ = ["directory"]


def test_C1_only_the_first_lock_waits_and_a_locked_item_comes_last(directory: Directory) -> None:
    calls: Calls = []
    items = things(directory, calls, 3)
    Path(directory.join("t1.lock0")).touch()
    descriptor = os.open(directory.join("t1.lock0"), os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        begun = time.monotonic()
        outcomes = take(items, seconds=0.3)
        assert 0.3 <= time.monotonic() - begun < 60
    finally:
        os.close(descriptor)
    assert [outcome.action for outcome in outcomes] == ["deleted", "failed", "deleted"]
    assert isinstance(outcomes[1].error, LockTimeout)
    assert [name for what, name in calls if what == "apply"] == ["t0", "t2"], "the others did not wait for it"


def test_C1_nothing_waits_while_anything_is_held(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    items = things(directory, [], 2)
    for name in ("t0.lock0", "t1.lock0"):
        Path(directory.join(name)).touch()
    while_held: list[bool] = []
    with held_by_another(Path(directory.join("t1.lock0"))):
        at_each_pause(monkeypatch, lambda: while_held.append(is_locked(directory.join("t0.lock0"))))
        outcomes = take(items, seconds=0.1)
    assert [one.action for one in outcomes] == ["deleted", "failed"]
    assert while_held and not any(while_held)


@pytest.mark.parametrize(("locks", "most"), [(2, 4), (3, 3), (5, 5)])
def test_C1_the_locks_are_counted_and_not_the_items(
    directory: Directory, monkeypatch: pytest.MonkeyPatch, locks: int, most: int
) -> None:
    """The last one of a batch takes all of its own, and only one that has more than may be held has them alone."""
    monkeypatch.setattr(batches, "most_held", lambda: 4)
    items = things(directory, [], 4, locks)
    held: list[int] = []
    for item in items:
        item.on_call["apply"] = lambda: held.append(sum(len(one.locks) for one in items))
    assert all(one.action == "deleted" for one in take(items))
    assert max(held) == most


def test_C1_a_second_lock_is_never_waited_for_while_the_first_is_held(directory: Directory) -> None:
    calls: Calls = []
    (item,) = things(directory, calls, 1, locks=2)
    Path(directory.join("t0.lock1")).touch()
    descriptor = os.open(directory.join("t0.lock1"), os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        begun = time.monotonic()
        (outcome,) = take([item], seconds=600)
        assert time.monotonic() - begun < 60
    finally:
        os.close(descriptor)
    assert isinstance(outcome.error, LockTimeout) and not is_locked(directory.join("t0.lock0"))


def test_C1_at_most_256_locks_are_held(directory: Directory) -> None:
    calls: Calls = []
    items = things(directory, calls, 300)
    most = 0

    def count() -> None:
        nonlocal most
        most = max(most, sum(len(item.locks) for item in items))

    for item in items:
        item.on_call["apply"] = count
    outcomes = take(items)
    assert {outcome.action for outcome in outcomes} == {"deleted"}
    assert 200 < most <= 256


def test_C3_what_another_process_has_open_is_kept_and_it_is_named(directory: Directory) -> None:
    calls: Calls = []
    items = things(directory, calls, 2)
    code = "import os, sys; os.open(sys.argv[1], os.O_RDONLY); print(flush=True); input()"
    command = ["waiting-runtime", "-c", code, str(items[0].path)]
    with subprocess.Popen(command, executable=sys.executable, stdin=-1, stdout=-1) as child:
        assert child.stdout and child.stdout.readline()
        outcomes = take(items)
        child.kill()
    assert [outcome.action for outcome in outcomes] == ["failed", "deleted"]
    assert isinstance(outcomes[0].error, InUse) and f"waiting-runtime (pid {child.pid}" in str(outcomes[0].error)
    assert items[0].path.exists() and ("apply", "t0") not in calls


@pytest.mark.parametrize("durable", [True, False])
def test_C4_each_directory_is_synced_once_a_batch(
    directory: Directory, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    synced: list[str] = []

    def counting(one: Directory) -> None:
        synced.append(one.path)
        sync_directory(one)

    monkeypatch.setattr(atomic_files, "sync_directory", counting)
    calls: Calls = []
    items = things(directory, calls, 20)
    run(list(items), Run(lambda: HostView(sees_all_processes=True), LockBudget(1), False, durable))
    assert synced == ([directory.path] if durable else [])


def test_directories_are_synced_in_the_order_of_their_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of a set would be another one in each run, and a crash could not be made again at the same call."""
    synced: list[str] = []
    monkeypatch.setattr(atomic_files, "sync_directory", lambda one: synced.append(one.path))
    names = [f"d{number:02}" for number in range(20)]
    items = []
    for name in reversed(names):
        (tmp_path / name).mkdir()
        items += things(open_given(str(tmp_path / name)), [], 1)
    take(items)
    assert synced == [str(tmp_path / name) for name in names]
    for item in items:
        item.directory.close()


def test_a_change_that_may_not_last_is_a_failure(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(one: Directory) -> None:
        raise WriteFailed(one.path, "the change is made but may not be durable")

    monkeypatch.setattr(atomic_files, "sync_directory", failing)
    calls: Calls = []
    outcomes = take(things(directory, calls, 2))
    assert [(outcome.action, outcome.item.acted) for outcome in outcomes] == [("failed", True)] * 2


class Hiding(Thing):
    """A thing that is renamed first, then looked after once more, and then removed."""

    def begin(self, plan: Plan) -> bool:
        self.note("begin")
        self.path.rename(f"{self.path}.hidden")
        return True

    def confirm(self, view: HostView) -> None:
        self.note("confirm")

    def apply(self, plan: Plan, durable: bool) -> None:
        self.note("apply")
        Path(f"{self.path}.hidden").unlink()
        self.acted = True


def hiding(directory: Directory, calls: Calls, count: int) -> list[Hiding]:
    made = [Hiding(f"t{number}", directory, calls) for number in range(count)]
    for thing in made:
        thing.path.touch()
    return made


def left(directory: Directory) -> list[str]:
    return sorted(name for name in os.listdir(directory.path) if ".lock" not in name)


def test_C2_all_are_hidden_before_one_new_look_for_all_and_then_removed(directory: Directory) -> None:
    calls: Calls = []
    views: list[HostView] = []
    outcomes = take(list(hiding(directory, calls, 3)), views=views)
    assert {outcome.action for outcome in outcomes} == {"deleted"} and left(directory) == []
    wanted = [what for step in ("begin", "confirm", "apply") for what in [step] * 3]
    assert [what for what, _name in calls if what in ("begin", "confirm", "apply")] == wanted
    assert len(views) == 3, "one for the plan, one under the locks, one after the renames"


def test_without_anything_hidden_there_is_no_third_look(directory: Directory) -> None:
    calls: Calls = []
    views: list[HostView] = []
    take(list(things(directory, calls, 2)), views=views)
    assert len(views) == 2


@pytest.mark.parametrize("step", ["begin", "confirm", "apply"])
def test_a_failure_in_one_of_the_last_steps_does_not_stop_the_others(directory: Directory, step: str) -> None:
    calls: Calls = []
    items = hiding(directory, calls, 3)
    items[1].on_call[step] = fail(InUse("t1 is in use", "so"))
    outcomes = take(list(items))
    assert [outcome.action for outcome in outcomes] == ["deleted", "failed", "deleted"]
    taken = [name for what, name in calls if what == "apply"]
    assert taken == (["t0", "t1", "t2"] if step == "apply" else ["t0", "t2"])
    assert [item.locks for item in items] == [[], [], []]


def test_an_error_after_a_part_of_the_change_says_so(directory: Directory) -> None:
    """A delete that stopped in the middle has changed something, and `changed` must tell."""
    calls: Calls = []
    items = hiding(directory, calls, 2)
    partly = WriteFailed("there", "so")
    partly.changed = True
    for item, error in zip(items, (partly, WriteFailed("there", "so"))):
        item.on_call["apply"] = fail(error)
    outcomes = take(list(items))
    assert [(outcome.action, outcome.item.acted) for outcome in outcomes] == [("failed", True), ("failed", False)]


class Standing(Thing):
    """A thing in which nobody may stand: a directory."""

    def guarded(self, plan: Plan) -> set[tuple[int, int]]:
        return set()

    def guarded_trees(self, plan: Plan) -> set[str]:
        return {str(self.path.parent / f"{self.name}.d")}


def test_D8_whoever_stands_in_one_of_the_trees_keeps_that_item_alone(directory: Directory) -> None:
    calls: Calls = []
    items = [Standing(f"t{number}", directory, calls) for number in range(2)]
    for item in items:
        item.path.touch()
        Path(f"{item.path}.d").mkdir()
    code = "import os, sys; os.chdir(sys.argv[1]); print(flush=True); input()"
    command = ["some-shell", "-c", code, f"{items[0].path}.d"]
    with subprocess.Popen(command, executable=sys.executable, stdin=-1, stdout=-1) as child:
        assert child.stdout and child.stdout.readline()
        outcomes = take(list(items))
        child.kill()
    assert [outcome.action for outcome in outcomes] == ["failed", "deleted"]
    text = str(outcomes[0].error)
    assert f"some-shell (pid {child.pid}" in text and f"uses {items[0].path}.d" in text


def test_D8_where_the_last_look_is_not_to_be_had_nothing_goes(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(*_given: object, **_more: object) -> None:
        raise Unreadable("/proc", "descriptors cannot be looked at")

    monkeypatch.setattr(removal, "lasting_users", blind)
    calls: Calls = []
    items = things(directory, calls, 2)
    assert [one.action for one in take(items)] == ["failed", "failed"]
    assert all(one.path.exists() for one in items) and ("apply", "t0") not in calls


@pytest.mark.parametrize(
    ("kind", "found", "asserted", "forced", "goes"),
    [
        (Standing, descriptors.HIDDEN, False, False, False),
        (Thing, descriptors.HIDDEN, False, False, False),
        (Thing, descriptors.HIDDEN, False, True, True),
        (Thing, descriptors.HIDDEN, True, False, True),
        (Standing, descriptors.TOO_LONG, True, False, False),
        (Standing, descriptors.TOO_LONG, True, True, True),
        (Thing, descriptors.TOO_LONG, False, False, True),  # the inode of what it has open is read all the same
    ],
)
def test_D8_whoever_cannot_be_told_what_it_uses_keeps_what_is_not_forced(
    directory: Directory,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Thing],
    found: str,
    asserted: bool,
    forced: bool,
    goes: bool,
) -> None:
    item = kind("t0", directory, [])
    item.path.touch()
    item.forced = forced
    monkeypatch.setattr(removal, "uses", lambda *_given, **_more: {(found, os.getpid())})
    (outcome,) = run([item], Run(lambda: HostView("/", asserted), LockBudget(0), False, durable=False))
    assert outcome.action == ("deleted" if goes else "failed") and item.path.exists() is not goes
    assert goes or (isinstance(outcome.error, NotProved) and f"(pid {os.getpid()}" in str(outcome.error))


# one lock for many items


class Common(Thing):
    """Things that need one and the same lock, and maybe another one that is only wished for."""

    optional = False

    def lock_places(self) -> list[LockPlace]:
        self.note("locks")
        common = LockPlace(self.directory, "common.lock", 0o600, is_common=True)
        return [common, LockPlace(self.directory, "wished.lock", is_optional=True)] if self.optional else [common]


def common(directory: Directory, calls: Calls, count: int) -> list[Common]:
    made = [Common(f"t{number}", directory, calls) for number in range(count)]
    for thing in made:
        thing.path.touch()
    return made


def test_C1_a_common_lock_is_taken_once_and_held_until_all_are_done(directory: Directory) -> None:
    calls: Calls = []
    items = common(directory, calls, 300)
    seen: list[bool] = []
    for item in items:
        item.on_call["apply"] = lambda: seen.append(is_locked(directory.join("common.lock")))
    outcomes = take(list(items))
    assert {outcome.action for outcome in outcomes} == {"deleted"} and seen == [True] * 300
    assert not is_locked(directory.join("common.lock"))


def test_a_common_lock_that_is_held_by_somebody_else_fails_all_and_waits_once(directory: Directory) -> None:
    calls: Calls = []
    items = common(directory, calls, 3)
    Path(directory.join("common.lock")).touch()
    descriptor = os.open(directory.join("common.lock"), os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        begun = time.monotonic()
        outcomes = take(list(items), seconds=0.3)
        assert time.monotonic() - begun < 10
    finally:
        os.close(descriptor)
    assert [type(outcome.error) for outcome in outcomes] == [LockTimeout] * 3
    assert [item.path.exists() for item in items] == [True] * 3


def test_a_lock_that_is_held_already_is_shared_and_stays_held(directory: Directory) -> None:
    """Workers get it from the process that made them, since only one of them could take it."""
    calls: Calls = []
    items = common(directory, calls, 2)
    lock = acquire(LockPlace(directory, "common.lock", 0o600), None)
    assert lock is not None
    how = Run(lambda: HostView(sees_all_processes=True), LockBudget(0.1), False, False, {lock.place.path: lock})
    outcomes = run(list(items), how)
    assert {outcome.action for outcome in outcomes} == {"deleted"} and is_locked(directory.join("common.lock"))
    lock.release()
    assert not is_locked(directory.join("common.lock"))


@pytest.mark.parametrize("held", [True, False])
def test_a_lock_that_is_only_wished_for_is_done_without(directory: Directory, held: bool) -> None:
    calls: Calls = []
    (item,) = common(directory, calls, 1)
    item.optional = True
    Path(directory.join("wished.lock")).touch()
    numbers: list[int] = []
    item.on_call["apply"] = lambda: numbers.append(len(item.locks))
    descriptor = os.open(directory.join("wished.lock"), os.O_RDONLY)
    try:
        if held:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        (outcome,) = take([item])
    finally:
        os.close(descriptor)
    assert (outcome.action, numbers) == ("deleted", [1 if held else 2])


# the order of work
