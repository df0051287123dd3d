# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis import atomic_files
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import sync_directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    InUse,
    LockTimeout,
    StateError,
    Unreadable,
    WriteFailed,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace, acquire
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Remove
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Item, Outcome, Plan, Run, run
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

Calls = list[tuple[str, str]]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    with open_given(str(tmp_path)) as opened:
        yield opened


class Thing(Item):
    """A file that is to be removed, with lock files of its own; it writes down what is asked of it."""

    def __init__(self, name: str, directory: Directory, calls: Calls, locks: int = 1) -> None:
        super().__init__()
        self.name, self.directory, self.calls = name, directory, calls
        self.label = f"Thing '{name}'"
        self.path = Path(directory.path, name)
        self.lock_names = [f"{name}.lock{number}" for number in range(locks)]
        self.there = False
        self.on_call: dict[str, Callable[[], Any]] = {}

    def note(self, what: str) -> None:
        self.calls.append((what, self.name))
        self.on_call.get(what, bool)()

    def described(self) -> dict[str, Any]:
        return {"name": self.name}

    def read(self, view: HostView) -> None:
        self.note("read")
        self.there = self.path.exists()

    def plan(self, view: HostView) -> Plan:
        self.note("plan")
        if not self.there:
            return Plan()
        status = self.path.stat()
        return Plan("deleted", (Remove("file", self.directory, self.name, (status.st_dev, status.st_ino)),))

    def lock_places(self) -> list[LockPlace]:
        self.note("locks")
        return [LockPlace(self.directory, name, 0o600) for name in self.lock_names]

    def stop_owners(self, plan: Plan, new_view: Any) -> None:
        self.note("stop")

    def guarded(self, plan: Plan) -> set[tuple[int, int]]:
        return {change.identity for change in plan.changes if isinstance(change, Remove) and change.identity}

    def apply(self, plan: Plan, durable: bool) -> None:
        self.note("apply")
        self.touched.add(self.directory)
        for change in plan.changes:
            if isinstance(change, Remove):
                self.acted = change.make() or self.acted

    def tidy(self) -> None:
        self.note("tidy")

    def finish(self) -> None:
        pass  # nothing was made for nothing


def things(directory: Directory, calls: Calls, count: int, locks: int = 1) -> list[Thing]:
    made = [Thing(f"t{number}", directory, calls, locks) for number in range(count)]
    for thing in made:
        thing.path.touch()
    return made


def take(
    items: list[Thing], check_mode: bool = False, seconds: float = 0.2, views: list[HostView] | None = None
) -> list[Outcome]:
    def new_view() -> HostView:
        view = HostView(sees_all_processes=True)
        (views if views is not None else []).append(view)
        return view

    return run(list(items), Run(new_view, LockBudget(seconds), check_mode, durable=True))


def fail(error: StateError) -> Callable[[], None]:
    def raise_it() -> None:
        raise error

    return raise_it


def is_locked(path: str) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_the_four_steps_in_their_order(directory: Directory) -> None:
    calls: Calls = []
    views: list[HostView] = []
    items = things(directory, calls, 2)
    outcomes = take(items, views=views)
    both = [[(what, "t0"), (what, "t1")] for what in ("read", "plan", "locks", "read", "plan", "stop", "apply", "tidy")]
    wanted = [call for pair in both for call in pair]
    # each is stopped where its plan is judged
    assert [call for call in calls if call[0] != "stop"] == [call for call in wanted if call[0] != "stop"]
    assert [outcome.action for outcome in outcomes] == ["deleted"] * 2
    assert len(views) == 2 and views[0] is not views[1], "a decision under the locks is taken from a new look"


def test_B4_all_files_are_read_before_the_first_plan_asks_for_processes(directory: Directory) -> None:
    calls: Calls = []
    take(things(directory, calls, 3), check_mode=True)
    assert [what for what, _name in calls] == ["read"] * 3 + ["plan"] * 3


def test_check_mode_locks_and_changes_nothing(directory: Directory) -> None:
    calls: Calls = []
    (item,) = things(directory, calls, 1)
    (outcome,) = take([item], check_mode=True)
    assert outcome.action == "deleted" and item.path.exists() and not item.acted
    assert os.listdir(directory.path) == ["t0"]


def test_what_needs_no_change_is_not_locked(directory: Directory) -> None:
    calls: Calls = []
    item = Thing("none", directory, calls)
    (outcome,) = take([item])
    assert outcome.action == "unchanged" and calls == [("read", "none"), ("plan", "none")]


def test_locks_are_held_while_it_is_applied_and_free_after_it(directory: Directory) -> None:
    calls: Calls = []
    items = things(directory, calls, 2, locks=2)
    seen: list[bool] = []
    for item in items:
        item.on_call["apply"] = lambda: seen.extend(
            is_locked(directory.join(name)) for one in items for name in one.lock_names
        )
    take(items)
    assert seen == [True] * 8
    assert [is_locked(directory.join(name)) for one in items for name in one.lock_names] == [False] * 4
    assert [item.locks for item in items] == [[], []]


@pytest.mark.parametrize("step", ["read", "plan", "locks", "apply"])
def test_a_failure_at_any_step_does_not_stop_the_others(directory: Directory, step: str) -> None:
    calls: Calls = []
    items = things(directory, calls, 3)
    items[1].on_call[step] = fail(Unreadable("here", "so"))
    outcomes = take(items)
    assert [outcome.action for outcome in outcomes] == ["deleted", "failed", "deleted"]
    assert [str(outcome.error) for outcome in outcomes if outcome.error] == ["here: so."]
    assert [item.path.exists() for item in items] == [False, True, False]
    assert [is_locked(directory.join(name)) for name in os.listdir(directory.path) if ".lock" in name] in (
        [False] * 2,
        [False] * 3,
    )


@pytest.mark.parametrize("step", ["read", "plan"])
def test_a_failure_under_the_lock_keeps_the_object(directory: Directory, step: str) -> None:
    calls: Calls = []
    (item,) = things(directory, calls, 1)
    item.on_call["locks"] = lambda: item.on_call.update({step: fail(Unreadable("here", "so"))})
    (outcome,) = take([item])
    assert outcome.action == "failed" and isinstance(outcome.error, Unreadable) and item.path.exists()


def test_C4_what_is_another_one_under_the_lock_is_kept(directory: Directory) -> None:
    calls: Calls = []
    (item,) = things(directory, calls, 1)

    def replace() -> None:
        keep = os.open(item.path, os.O_RDONLY)
        item.path.unlink()
        item.path.touch()
        os.close(keep)

    item.on_call["locks"] = replace
    (outcome,) = take([item])
    assert outcome.action == "failed" and isinstance(outcome.error, ChangedMeanwhile)
    assert item.path.exists() and ("apply", "t0") not in calls


def test_C4_what_somebody_else_has_done_meanwhile_is_unchanged(directory: Directory) -> None:
    calls: Calls = []
    (item,) = things(directory, calls, 1)
    item.on_call["locks"] = item.path.unlink
    (outcome,) = take([item])
    assert (outcome.action, outcome.error, item.acted) == ("unchanged", None, False)


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


def test_release_gives_locks_back_also_when_tidying_fails(directory: Directory) -> None:
    calls: Calls = []
    (item,) = things(directory, calls, 1)

    def broken() -> None:
        raise KeyboardInterrupt

    item.on_call["tidy"] = broken
    with pytest.raises(KeyboardInterrupt):
        take([item])
    assert not is_locked(directory.join("t0.lock0"))


def test_no_items_are_no_outcomes() -> None:
    assert take([]) == []


# the last looks and the way back


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


def test_items_are_worked_on_by_their_order_and_reported_as_they_were_given(directory: Directory) -> None:
    calls: Calls = []
    items = things(directory, calls, 4)
    for item, order in zip(items, (1, 0, 1, 0)):
        item.order = order
    outcomes = take(list(items))
    assert [outcome.item for outcome in outcomes] == items
    assert [name for what, name in calls if what == "apply"] == ["t1", "t3", "t0", "t2"]


def test_nobody_who_waits_for_it_is_the_end(directory: Directory) -> None:
    """A worker whose parent was killed begins nothing new."""
    calls: Calls = []
    items = things(directory, calls, 300)
    batches: list[None] = []

    def goes_on() -> bool:
        batches.append(None)
        return len(batches) < 2

    how = Run(lambda: HostView(sees_all_processes=True), LockBudget(1), False, False, goes_on=goes_on)
    run(list(items), how)
    gone = [item for item in items if not item.path.exists()]
    assert 0 < len(gone) < 300
