# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Items that are sandboxes of Kata, planned and taken through the steps on a host below a test's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Change
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox import Wish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Outcome, Plan, Run, run
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_sandbox import TreeSandbox
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._layout.support_kata import (
    CONFIG,
    NAME,
    STATE,
    listing,
)

MARK = "0123456789abcdef"
RUN = {layout: f"{folder}/{NAME}" for layout, folder in STATE.items()}
CONF = f"{CONFIG}/{NAME}"


def files(host: Path) -> list[str]:
    return sorted(name for name, (_mode, data) in listing(host).items() if data is not None)


def tree_of(layout: str, host: Path) -> Tree:
    return Tree(LAYOUTS[layout], str(host), {})


def item_of(layout: str, host: Path, tree: Tree | None = None, **wish: Any) -> TreeSandbox:
    return TreeSandbox(Wish(**{"sandbox_id": NAME, **wish}), tree or tree_of(layout, host))


def view_of(host: Path, asserted: bool = True) -> HostView:
    return HostView(str(host), asserted)


def planned(item: TreeSandbox, host: Path, asserted: bool = True) -> Plan:
    """The item's first plan. Raises what it raises."""
    view = view_of(host, asserted)
    item.read(view)
    return item.plan(view)


def lines(changes: Sequence[Change], host: Path) -> list[str]:
    """Each change in a word, its sign and its path below the host's root."""
    return [f"{change.sign}{change.role} {change.path[len(str(host)) + 1 :]}" for change in changes]


def take_all(
    items: Sequence[TreeSandbox],
    host: Path,
    check_mode: bool = False,
    asserted: bool = True,
    seconds: float = 0.2,
    new_view: Callable[[], HostView] | None = None,
) -> list[Outcome]:
    views = new_view or (lambda: view_of(host, asserted))
    return run(list(items), Run(views, LockBudget(seconds), check_mode, durable=False))


def take(layout: str, host: Path, check_mode: bool = False, asserted: bool = True, **wish: Any) -> Outcome:
    """One item through all steps."""
    (outcome,) = take_all([item_of(layout, host, **wish)], host, check_mode, asserted)
    return outcome


def removed(layout: str, host: Path, **options: Any) -> Outcome:
    return take(layout, host, present=False, **options)


def error_of(outcome: Outcome, kind: type[Exception]) -> str:
    assert outcome.action == "failed" and isinstance(outcome.error, kind), outcome
    return str(outcome.error)
