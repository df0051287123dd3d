# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet of hosts that playbooks reach over ssh."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from ansible_collections.sandboxed.containers.tests.lab import fleet
from ansible_collections.sandboxed.containers.tests.lab.fleet import Fleet
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable


@pytest.fixture
def start() -> Iterator[Callable[[int], Fleet]]:
    """Starts a fleet of so many hosts, which ends with the test."""
    why = fleet.available()
    if why:
        pytest.skip(why)
    with ExitStack() as stack:

        def started(count: int) -> Fleet:
            try:
                return stack.enter_context(Fleet(count))
            except Unavailable as exc:
                pytest.skip(str(exc))

        yield started
