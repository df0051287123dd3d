# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import signal
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._object import shares


@pytest.fixture
def three_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2})


@pytest.mark.parametrize(("items", "wanted"), [(0, 1), (999, 1), (1000, 2), (1499, 2), (1500, 3), (50_000, 3)])
def test_a_share_is_worth_a_process(three_cores: None, items: int, wanted: int) -> None:
    found = shares.shares_of([str(number) for number in range(items)])
    assert len(found) == wanted
    assert sorted(number for share in found for number in share) == list(range(items))
    assert max(map(len, found)) - min(map(len, found)) <= 2


def test_one_group_is_never_divided(three_cores: None) -> None:
    groups = [f"g{number % 700}" for number in range(2100)]
    found = shares.shares_of(groups)
    assert len(found) == 3
    owners = [{groups[number] for number in share} for share in found]
    assert not owners[0] & owners[1] and not owners[0] & owners[2] and not owners[1] & owners[2]
    assert sorted(number for share in found for number in share) == list(range(2100))


def test_answers_come_in_the_order_of_the_numbers_from_processes_of_their_own() -> None:
    def work(share: list[int]) -> list[Any]:
        return [(number, os.getpid()) for number in share]

    answers = shares.in_workers([[1, 3], [0, 2]], work)
    assert [number for number, _pid in answers] == [0, 1, 2, 3]
    assert answers[1][1] == answers[3][1] != answers[0][1] == answers[2][1] != os.getpid()


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "was killed by signal 9"),
        (lambda: os._exit(3), "ended with an error"),
        (lambda: 1 / 0, "ended with an error"),
    ],
    ids=["killed", "exit", "exception"],
)
def test_a_worker_that_does_not_come_to_its_end_says_nothing_for_the_others(end: Any, why: str) -> None:
    def work(share: list[int]) -> list[Any]:
        if 1 in share:
            end()
        return [f"done {number}" for number in share]

    assert shares.in_workers([[0], [1, 2], [3]], work) == ["done 0", why, why, "done 3"]


def test_without_another_process_the_work_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", refused)
    opened = len(os.listdir("/proc/self/fd"))
    assert shares.in_workers([[0], [1]], lambda share: [os.getpid() for _number in share]) == [os.getpid()] * 2
    assert len(os.listdir("/proc/self/fd")) == opened
