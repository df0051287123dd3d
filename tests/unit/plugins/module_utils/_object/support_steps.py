# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Things with locks of their own, on which the four steps are taken."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    StateError,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace
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
