# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps in a process that may open few files (kata-persist.md P4)."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_steps import (
    directory,
    is_locked,
    take,
    things,
)

__all__ = ["directory"]
FREE = 64


@pytest.fixture
def few() -> Iterator[None]:
    """This process may open so many files, beside those that it has open."""
    opened = {int(name) for name in os.listdir("/proc/self/fd")}
    free = [number for number in range(len(opened) + FREE) if number not in opened]
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[FREE - 1] + 1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("locks", [1, 3])
def test_P4_no_more_locks_are_held_than_may_be_open(directory: Directory, few: None, locks: int) -> None:
    outcomes = take(things(directory, [], 300, locks))
    assert {(outcome.action, outcome.error) for outcome in outcomes} == {("deleted", None)}


def test_P4_an_item_that_needs_more_says_so_and_keeps_none(directory: Directory, few: None) -> None:
    (big, *small) = things(directory, [], 3)
    big.lock_names = [f"big.lock{number}" for number in range(2 * FREE)]
    outcomes = take([big, *small])
    assert [outcome.action for outcome in outcomes] == ["failed", "deleted", "deleted"]
    assert "Too many open files: this process may have" in str(outcomes[0].error)
    assert big.path.exists() and not is_locked(directory.join("big.lock0"))
