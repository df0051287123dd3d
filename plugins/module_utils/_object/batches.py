# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second half of the steps: a batch at a time, lock, read and plan again, apply (see steps.py).

Imported only where there is something to change.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    InUse,
    LockTimeout,
    NotProved,
    StateError,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import (
    HeldLock,
    LockPlace,
    acquire,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._object.items import (
    FAILED,
    UNCHANGED,
    Item,
    Outcome,
    Plan,
    Run,
    plan_all,
)

_MOST_LOCKS = 256  # safety.md C1
_SPARE, _EACH = 32, 3  # descriptors that emptying a tree may need beside what is open, and that an item may need


class Held(NamedTuple):
    """An item whose locks are held, and its plan."""

    item: Item
    plan: Plan


def apply_all(waiting: list[tuple[Item, Plan]], how: Run) -> Iterator[Outcome]:
    """The outcomes of all that waits to be changed, as long as anybody waits for them."""
    while waiting and how.goes_on():
        done, waiting = _batch(waiting, how)
        yield from done


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
    most = most_held()
    try:
        for position, (item, plan) in enumerate(waiting):
            if len(held) >= most:
                rest = waiting[position:]
                break
            try:
                places = item.lock_places()
                if held and locks.number + len(places) > most:
                    rest = waiting[position:]
                    break
                locks.take(item, places, None if held else how.budget)
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


def most_held() -> int:
    """How many items and locks may be held at once, where few files may be open (kata-persist.md P4): one item in any
    case, with all its locks."""
    limit = os.sysconf("SC_OPEN_MAX")  # negative: there is none
    if limit < 0 or limit > _SPARE + 2 * _EACH * _MOST_LOCKS:
        return _MOST_LOCKS
    free = limit - len(os.listdir("/proc/self/fd")) - _SPARE
    return max(1, min(_MOST_LOCKS, free // _EACH))


class _BatchLocks:
    """The locks of a batch. One that several items need, our own for a whole root, is taken once for all of them."""

    def __init__(self, common: Mapping[str, HeldLock]) -> None:
        self.number = 0
        self._common = {path: lock.shared() for path, lock in common.items()}

    def take(self, item: Item, places: list[LockPlace], budget: LockBudget | None) -> None:
        """Take the locks of one item: the first may wait, further ones do not (C1)."""
        try:
            for place in places:
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
    view = how.new_view()
    again = plan_all([one.item for one in held], view, how.guard)
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
    done += _apply_all(ready, how, view.asserted)
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


def _apply_all(ready: list[Held], how: Run, asserted: bool) -> list[Outcome]:
    """The last looks, each one pass over the host for all items, and the changes. asserted: see HostView."""
    attempts = _Attempts()
    begun: set[int] = set()

    def begin(one: Held) -> None:
        if one.item.begin(one.plan):
            begun.add(id(one.item))

    ready = attempts.each(ready, _refuse_used(ready, how.parent, asserted))
    ready = attempts.each(ready, begin)
    if begun:
        view = how.new_view()
        ready = attempts.each(ready, lambda one: one.item.confirm(view) if id(one.item) in begun else None)
    ready = attempts.each(ready, lambda one: one.item.apply(one.plan, how.durable))
    return [*attempts.failed, *(Outcome(one.item, one.plan, one.plan.action) for one in ready)]


def _refuse_used(ready: list[Held], parent: int, asserted: bool) -> Callable[[Held], None]:
    """A check that raises for an item of which somebody else has something open, by one look for all of them."""
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.removal import lasting_users

    inodes = {id(one.item): one.item.guarded(one.plan) for one in ready}
    trees = {id(one.item): one.item.guarded_trees(one.plan) for one in ready}
    problem: StateError | None = None
    users: dict[Any, str] = {}
    try:
        wanted = set().union(*inodes.values()), set().union(*trees.values())
        users.update(lasting_users(*wanted, parent, trusting=asserted or all(one.item.forced for one in ready)))
    except StateError as error:
        problem = error

    def check(one: Held) -> None:
        if problem is not None:
            raise problem
        for used in (*(inodes[id(one.item)] & users.keys()), *sorted(trees[id(one.item)] & users.keys())):
            what = f"uses {used}" if isinstance(used, str) else "has a file of it open or waits for its lock"
            raise InUse("", f"{users[used]} {what}", "Try again when it is done.")
        if not one.item.forced:
            _refuse_untold(users, bool(inodes[id(one.item)]), bool(trees[id(one.item)]))

    return check


def _refuse_untold(users: Mapping[Any, str], inodes: bool, trees: bool) -> None:
    """Who may use it for all that is seen (promise 7). inodes, trees: whether any of these are to be removed."""
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import HIDDEN, TOO_LONG

    if HIDDEN in users and (inodes or trees):
        remedy = "Run as root if you did not; set sees_all_processes=true only if you know that it uses nothing of it."
        raise NotProved("", f"what {users[HIDDEN]} uses cannot be read", remedy)
    if TOO_LONG in users and trees:
        raise NotProved("", f"{users[TOO_LONG]} uses a path that is too long to be told", "End it first.")


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
