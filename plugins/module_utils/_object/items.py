# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the steps work on: items, plans and outcomes; and the first two of the steps, read and plan (see steps.py)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import Inode
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import HeldLock, LockPlace
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Change
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

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
    changed, also when an error came after it. touched: the directories to be made durable. forced: whether it goes also
    where its use cannot be told.
    """

    label: str
    group = ""
    order = 0
    forced = False

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


class Run(NamedTuple):
    """How the steps are to be taken. new_view: makes a fresh look at the host.

    common: locks that are held already, by path. goes_on: whether anybody still waits for what is done. guard: raises
    StateError where something beside an item forbids a change of it; asked before each of its plans. parent: whose
    workers share the task, of which this process is one; 0: it takes all of it.
    """

    new_view: Callable[[], HostView]
    budget: LockBudget
    check_mode: bool
    durable: bool
    common: Mapping[str, HeldLock] = MappingProxyType({})
    goes_on: Callable[[], bool] = lambda: True
    guard: Callable[[Item, HostView], None] = lambda _item, _view: None
    parent: int = 0


def plan_all(items: Iterable[Item], view: HostView, guard: Callable[[Item, HostView], None]) -> list[Plan]:
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
