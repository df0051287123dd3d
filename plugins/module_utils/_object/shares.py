# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that is shared out to a process for each core.

Python runs one thread at a time, so that threads would not help. A worker is a fork, which has all that was read and
opened so far; it sends back plain values.
"""

from __future__ import annotations

import gc
import marshal
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

_SHARE = 500  # items that are worth a process
_MOST_WORKERS = 8


def shares_of(groups: Sequence[str]) -> list[list[int]]:
    """The numbers of the items for each worker: about as many for each, and those of one group together.

    groups: the group of each item. A single share where it is not worth a process.
    """
    workers = min(len(groups) // _SHARE, len(os.sched_getaffinity(0)), _MOST_WORKERS)
    if workers < 2:
        return [list(range(len(groups)))]
    by_group: dict[str, list[int]] = {}
    for number, group in enumerate(groups):
        by_group.setdefault(group, []).append(number)
    shares: list[list[int]] = [[]]
    for numbers in by_group.values():
        if len(shares[-1]) * workers >= len(groups):
            shares.append([])
        shares[-1] += numbers
    return shares


def in_workers(shares: Sequence[list[int]], work: Callable[[list[int]], list[Any]]) -> list[Any]:
    """What the work on each share returns, in the order of the numbers: one plain value for each of them.

    For the numbers of a worker that did not come to its end a text that says why, "was killed by signal 9".
    """
    sys.stdout.flush()
    started = [_start(share, work) for share in shares]
    ends: dict[int, Any] = {}
    for share, worker in zip(shares, started):
        answer = _answer_of(*worker) if worker is not None else work(share)
        ends.update(zip(share, answer if isinstance(answer, list) else [answer] * len(share)))
    return [ends[number] for number in range(len(ends))]


def _start(share: list[int], work: Callable[[list[int]], list[Any]]) -> tuple[int, int] | None:
    """A new worker: its pid, and where its answer comes from. None where there may be no more processes."""
    receive, send = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(receive)
        os.close(send)
        return None
    if pid == 0:
        status = 1
        try:
            os.close(receive)
            gc.disable()  # it lives for one share, and what it makes has no cycles worth looking for
            data = marshal.dumps(work(share))
            with os.fdopen(send, "wb") as pipe:
                pipe.write(data)
            status = 0
        finally:
            os._exit(status)
    os.close(send)
    return pid, receive


def _answer_of(pid: int, pipe: int) -> list[Any] | str:
    with os.fdopen(pipe, "rb") as stream:
        data = stream.read()
    status = os.waitpid(pid, 0)[1]
    if status == 0:
        answer: list[Any] = marshal.loads(data)
        return answer
    return f"was killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended with an error"
