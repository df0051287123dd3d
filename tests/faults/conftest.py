# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts on which tasks are run; each takes longer to make than most tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from ansible_collections.sandboxed.containers.tests.faults.running import Worker

_WORKERS = 2


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("hosts")
        yield [stack.enter_context(Worker(folder / f"{number}")) for number in range(_WORKERS)]


@pytest.fixture
def worker(workers: list[Worker]) -> Worker:
    """One of them, with an empty directory."""
    workers[0].clear()
    return workers[0]
