# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many items at once: a process for each core takes all steps for its share of them.

Python runs one thread at a time, so that threads would not help. A worker is a fork, which has all that was read and
opened so far; it sends back plain values.
"""

from __future__ import annotations

import gc
import marshal
import os
import sys
from collections.abc import Sequence

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import LockTimeout
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import HeldLock, acquire
from ansible_collections.sandboxed.containers.plugins.module_utils._object.report import Showing, Summary, summary_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import FAILED, Item, Run, run

_SHARE = 500  # items that are worth a process
_MOST_WORKERS = 8


def run_all(items: Sequence[Item], how: Run, showing: Showing) -> list[Summary]:
    """Take all steps for all items; their ends in the order of the items."""
    workers = min(len(items) // _SHARE, len(os.sched_getaffinity(0)), _MOST_WORKERS)
    if workers < 2:
        return [summary_of(outcome, showing) for outcome in run(list(items), how)]
    common = [] if how.check_mode else _common_locks(items, how)
    try:
        how = how._replace(common={lock.place.path: lock for lock in common})
        return _run_shares(items, how, showing, workers)
    finally:
        for lock in common:
            lock.release()


def _common_locks(items: Sequence[Item], how: Run) -> list[HeldLock]:
    """What all workers need, and only one process could hold. Where it is not to be had, each item says so itself."""
    place = items[0].common_lock()
    try:
        lock = acquire(place, how.budget) if place is not None else None
    except LockTimeout:
        lock = None
    return [lock] if lock is not None else []


def _run_shares(items: Sequence[Item], how: Run, showing: Showing, workers: int) -> list[Summary]:
    sys.stdout.flush()
    shares = _shares_of(items, workers)
    started = [_start([items[number] for number in share], how, showing) for share in shares]
    ends: dict[int, Summary] = {}
    for share, (pid, pipe) in zip(shares, started):
        ends.update(zip(share, _end_of([items[number] for number in share], pid, pipe)))
    return [ends[number] for number in range(len(items))]


def _shares_of(items: Sequence[Item], workers: int) -> list[list[int]]:
    """The numbers of the items for each worker: about as many for each, and those of one group together."""
    groups: dict[str, list[int]] = {}
    for number, item in enumerate(items):
        groups.setdefault(item.group or str(number), []).append(number)
    shares: list[list[int]] = [[]]
    for numbers in groups.values():
        if len(shares[-1]) * workers >= len(items):
            shares.append([])
        shares[-1] += numbers
    return shares


def _start(share: Sequence[Item], how: Run, showing: Showing) -> tuple[int, int]:
    """A new worker: its pid, and where its answer comes from."""
    receive, send = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(receive)
            gc.disable()  # it lives for one share, and what it makes has no cycles worth looking for
            outcomes = run(list(share), how._replace(goes_on=lambda: os.getppid() == parent))
            data = marshal.dumps([tuple(summary_of(outcome, showing)) for outcome in outcomes])
            with os.fdopen(send, "wb") as pipe:
                pipe.write(data)
            status = 0
        finally:
            os._exit(status)
    os.close(send)
    return pid, receive


def _end_of(share: Sequence[Item], pid: int, pipe: int) -> list[Summary]:
    with os.fdopen(pipe, "rb") as stream:
        data = stream.read()
    status = os.waitpid(pid, 0)[1]
    if status == 0:
        return [Summary(*fields) for fields in marshal.loads(data)]
    why = f"was killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended with an error"
    text = f"the part of this task that worked on it {why}, and how far it came is not known. Run again."
    return [
        Summary(
            {**item.described(), "action": FAILED, "msg": f"{item.label}: {text}"},
            True,
            f"{item.label}: {text}",
            ([], []),
            [],
        )
        for item in share
    ]
