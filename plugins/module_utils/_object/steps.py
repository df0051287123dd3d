# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The four steps of every module, written once: read, plan, (lock, read, plan again,) apply. Reporting is in task.py.

The first plan is made for all items without locks: check mode and the diff come from it. Then, a batch at a time, it
is made again under the locks, from a new look at the host, and applied only where it is the same or already
satisfied (safety.md C4).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    InUse,
    LockTimeout,
    StateError,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import (
    HeldLock,
    LockBudget,
    LockPlace,
    acquire,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import Inode
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Change
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_MOST_LOCKS = 256  # safety.md C1
UNCHANGED = "unchanged"
FAILED = "failed"
SKIPPED = "skipped"  # by a prune, since it turned out to be no leftover


class Plan(NamedTuple):
    """What is to be done to one item. action: created, updated, deleted, unchanged. problem: why it is refused.

    note: what a user should know beside it.
    """

    action: str = UNCHANGED
    changes: tuple[Change, ...] = ()
    problem: StateError | None = None
    note: str = ""

    @property
    def idle(self) -> bool:
        return self.problem is not None or not self.changes


class Item(ABC):
    """One thing that a task is about.

    label: names it in messages, "Sandbox 'web-1' (gvisor)". group: items of one group are worked on by one process,
    those with the lower order first. locks: what is held of it. acted: whether anything was
    changed, also when an error came after it. touched: the directories to be made durable.
    """

    label: str
    group = ""
    order = 0

    def __init__(self) -> None:
        self.locks: list[HeldLock] = []
        self.acted = False
        self.touched: set[Directory] = set()

    def release(self) -> None:
        """Undo what only locking made, and give all locks back."""
        try:
            self.tidy()
        finally:
            for lock in self.locks:
                lock.release()
            self.locks = []

    @abstractmethod
    def described(self) -> dict[str, Any]:
        """What identifies it in the list of outcomes: ids, layout, paths."""

    @abstractmethod
    def read(self, view: HostView) -> None:
        """Read its files. Raises StateError."""

    @abstractmethod
    def plan(self, view: HostView) -> Plan:
        """Compare what was read with what is wished. Changes nothing; refusals are the plan's problem."""

    @abstractmethod
    def lock_places(self) -> list[LockPlace]:
        """What must be held while the plan is applied, as the last reading says. May make directories."""

    @abstractmethod
    def stop_owners(self, plan: Plan, new_view: Callable[[], HostView]) -> None:
        """End the processes that the plan stops, and prove that they are gone. Raises StateError."""

    @abstractmethod
    def guarded(self, plan: Plan) -> set[Inode]:
        """What the plan removes and nobody else may have open (safety.md C3, D8); empty when it removes nothing."""

    def common_lock(self) -> LockPlace | None:
        """A lock that all items of the task need, if there is one. May make directories; raises StateError."""
        return None

    def guarded_trees(self, plan: Plan) -> set[str]:
        """Paths of directories that the plan removes, in which nobody may stand or have a file open (safety.md D8)."""
        return set()

    def begin(self, plan: Plan) -> bool:
        """The first part of the changes, up to where it can be taken back; whether confirm() is to be asked.

        Raises StateError.
        """
        return False

    def confirm(self, view: HostView) -> None:  # noqa: B027  # most items have nothing to take back
        """A last look, from a view that is newer than begin(). Takes that back, and raises, if an owner appeared."""

    @abstractmethod
    def apply(self, plan: Plan, durable: bool) -> None:
        """Make the changes. Raises StateError; `touched` and `acted` tell what was done before an error."""

    @abstractmethod
    def tidy(self) -> None:
        """Undo what only locking made, while the locks are still held."""

    @abstractmethod
    def finish(self) -> None:
        """Undo what was made for nothing, when the whole task is done and all locks are free."""


class Outcome(NamedTuple):
    """How one item ended. plan: the first one, which check mode and the diff show. error: why it failed."""

    item: Item
    plan: Plan
    action: str
    error: StateError | None = None


class Held(NamedTuple):
    """An item whose locks are held, and its plan."""

    item: Item
    plan: Plan


class Run(NamedTuple):
    """How the steps are to be taken. new_view: makes a fresh look at the host.

    common: locks that are held already, by path. goes_on: whether anybody still waits for what is done. guard: raises
    StateError where something beside an item forbids a change of it; asked before each of its plans.
    """

    new_view: Callable[[], HostView]
    budget: LockBudget
    check_mode: bool
    durable: bool
    common: Mapping[str, HeldLock] = MappingProxyType({})
    goes_on: Callable[[], bool] = lambda: True
    guard: Callable[[Item, HostView], None] = lambda _item, _view: None


def run(items: list[Item], how: Run) -> list[Outcome]:
    """Take all steps for all items; every item is tried. The outcomes are in the order of the items."""
    given, items = items, sorted(items, key=lambda item: item.order)
    plans = _plan_all(items, how.new_view(), how.guard)
    outcomes = {
        id(item): _refused(item, plan) if plan.problem else Outcome(item, plan, plan.action)
        for item, plan in zip(items, plans)
    }
    if not how.check_mode:
        waiting = [(item, plan) for item, plan in zip(items, plans) if not plan.idle]
        while waiting and how.goes_on():
            done, waiting = _batch(waiting, how)
            outcomes.update((id(outcome.item), outcome) for outcome in done)
        for item in items:
            item.finish()
    return [outcomes[id(item)] for item in given]


def _plan_all(items: Iterable[Item], view: HostView, guard: Callable[[Item, HostView], None]) -> list[Plan]:
    """Read all files first, then plan all items from the same view (B4)."""
    items = list(items)
    problems: dict[int, StateError] = {}
    for item in items:
        try:
            item.read(view)
        except StateError as error:
            problems[id(item)] = error
    return [
        Plan(action=FAILED, problem=problems[id(item)]) if id(item) in problems else _planned(item, view, guard)
        for item in items
    ]


def _planned(item: Item, view: HostView, guard: Callable[[Item, HostView], None]) -> Plan:
    try:
        guard(item, view)
        return item.plan(view)
    except StateError as error:
        return Plan(action=FAILED, problem=error)


def _refused(item: Item, plan: Plan) -> Outcome:
    return Outcome(item, plan, FAILED, plan.problem)


def _batch(waiting: list[tuple[Item, Plan]], how: Run) -> tuple[list[Outcome], list[tuple[Item, Plan]]]:
    """Lock as many items as may be held, apply them, release. Returns what is done and what is still to do.

    Only the first item of a batch waits for its first lock, since nothing is held then (C1). An item whose lock is
    taken by somebody else is put off to the end, where it is the first of a batch of its own.
    """
    done: list[Outcome] = []
    held: list[Held] = []
    put_off: list[tuple[Item, Plan]] = []
    rest: list[tuple[Item, Plan]] = []
    locks = _BatchLocks(how.common)
    try:
        for position, (item, plan) in enumerate(waiting):
            if max(locks.number, len(held)) >= _MOST_LOCKS:
                rest = waiting[position:]
                break
            try:
                locks.take(item, None if held else how.budget)
                held.append(Held(item, plan))
            except StateError as error:
                if held and isinstance(error, LockTimeout):
                    put_off.append((item, plan))
                else:
                    done.append(Outcome(item, plan, FAILED, error))
        done += _work(held, how)
    finally:
        for one in held:
            one.item.release()
        locks.release()
    return done, rest + put_off


class _BatchLocks:
    """The locks of a batch. One that several items need, our own for a whole root, is taken once for all of them."""

    def __init__(self, common: Mapping[str, HeldLock]) -> None:
        self.number = 0
        self._common = {path: lock.shared() for path, lock in common.items()}

    def take(self, item: Item, budget: LockBudget | None) -> None:
        """Take the locks of one item: the first may wait, further ones do not (C1)."""
        try:
            for place in item.lock_places():
                lock = self._take(place, budget if not item.locks else None)
                if lock is not None:
                    item.locks.append(lock)
        except StateError:
            item.release()
            raise

    def _take(self, place: LockPlace, budget: LockBudget | None) -> HeldLock | None:
        if place.path in self._common:
            return self._common[place.path].shared()
        try:
            lock = acquire(place, budget)
        except LockTimeout:
            if place.is_optional:
                return None
            raise
        self.number += lock is not None
        if lock is not None and place.is_common:
            self._common[place.path] = lock.shared()
        return lock

    def release(self) -> None:
        for lock in self._common.values():
            lock.release()


def _work(held: list[Held], how: Run) -> list[Outcome]:
    """Plan again under the locks, from a new view, and apply what is still the same."""
    if not held:
        return []
    again = _plan_all([one.item for one in held], how.new_view(), how.guard)
    ready = []
    done = []
    for one, second in zip(held, again):
        try:
            if _still_wanted(one, second):
                one.item.stop_owners(second, how.new_view)
                ready.append(one._replace(plan=second))
            else:
                done.append(Outcome(one.item, second, UNCHANGED))
        except StateError as error:
            done.append(Outcome(one.item, one.plan, FAILED, error))
    done += _apply_all(ready, how)
    return _synced(done) if how.durable else done


def _still_wanted(one: Held, second: Plan) -> bool:
    """Whether there is anything left to do of what was planned: False when somebody else did it meanwhile.

    What is planned now must have been planned before; a part of it may be done already (safety.md C4).
    """
    if second.problem is not None:
        raise second.problem
    if not all(change in one.plan.changes for change in second.changes):
        raise ChangedMeanwhile("", "it changed while this task waited for its lock", "Nothing was done; run again.")
    return bool(second.changes)


class _Attempts:
    """Steps that are taken for several items. One that fails drops out, and the others go on."""

    def __init__(self) -> None:
        self.failed: list[Outcome] = []

    def each(self, items: list[Held], step: Callable[[Held], object]) -> list[Held]:
        """The items for which the step did not fail."""
        kept = []
        for one in items:
            try:
                step(one)
            except StateError as error:
                one.item.acted = one.item.acted or error.changed
                self.failed.append(Outcome(one.item, one.plan, FAILED, error))
            else:
                kept.append(one)
        return kept


def _apply_all(ready: list[Held], how: Run) -> list[Outcome]:
    """The last looks, each one pass over the host for all items, and the changes."""
    attempts = _Attempts()
    begun: set[int] = set()

    def begin(one: Held) -> None:
        if one.item.begin(one.plan):
            begun.add(id(one.item))

    ready = attempts.each(ready, _refuse_used(ready))
    ready = attempts.each(ready, begin)
    if begun:
        view = how.new_view()
        ready = attempts.each(ready, lambda one: one.item.confirm(view) if id(one.item) in begun else None)
    ready = attempts.each(ready, lambda one: one.item.apply(one.plan, how.durable))
    return [*attempts.failed, *(Outcome(one.item, one.plan, one.plan.action) for one in ready)]


def _refuse_used(ready: list[Held]) -> Callable[[Held], None]:
    """A check that raises for an item of which somebody else has something open, by one look for all of them."""
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.removal import lasting_users

    inodes = {id(one.item): one.item.guarded(one.plan) for one in ready}
    trees = {id(one.item): one.item.guarded_trees(one.plan) for one in ready}
    problem: StateError | None = None
    users: dict[Any, str] = {}
    try:
        users.update(lasting_users(set().union(*inodes.values()), set().union(*trees.values())))
    except StateError as error:
        problem = error

    def check(one: Held) -> None:
        if problem is not None:
            raise problem
        for used in (*(inodes[id(one.item)] & users.keys()), *sorted(trees[id(one.item)] & users.keys())):
            what = f"uses {used}" if isinstance(used, str) else "has a file of it open or waits for its lock"
            raise InUse("", f"{users[used]} {what}", "Try again when it is done.")

    return check


def _synced(done: list[Outcome]) -> list[Outcome]:
    """fsync each changed directory once for the whole batch, in the order of their paths: a crash can be made again."""
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import sync_directory

    failures: dict[Directory, StateError] = {}
    touched = set().union(*(outcome.item.touched for outcome in done))
    for directory in sorted(touched, key=lambda one: one.path):
        try:
            with directory.reopened() as again:
                sync_directory(again)
        except FileNotFoundError:
            continue  # somebody removed the whole directory: nothing is left to be made durable
        except StateError as error:
            failures[directory] = error
    return [
        next((o._replace(action=FAILED, error=failures[d]) for d in o.item.touched if d in failures and not o.error), o)
        for o in done
    ]
