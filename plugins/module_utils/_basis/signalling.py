# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ending one process, and only that one (safety.md E1).

Private to the collection: no promise of stability for others.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import time

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    InUse,
    NotProved,
    StateError,
    os_reason,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process, describe, read

_LEAVING_SECONDS = 2.0
_LONGEST = float(2**31 - 1)  # milliseconds that poll(2) can wait: 24 days
_BY_HAND = "Find out why, or stop it by hand. Nothing was removed."


def stop(process: Process, timeout: float, kill_after: float | None = None, proc: str = "/proc") -> bool:
    """End exactly this process: SIGTERM, after kill_after seconds SIGKILL (None: never), timeout seconds in all.

    True when it ended by this, False when it had ended before. Ended is also who is not yet reaped by its parent.
    Raises ChangedMeanwhile (the pid is another process's now, nothing was signalled), NotProved (no pidfd here, or
    not readable: nothing was signalled), InUse (still runs at the end of timeout), StateError (not permitted).
    safety.md E1, contracts R7.
    """
    if process.pid <= 1 or process.pid == os.getpid():
        raise NotProved(describe(process), "pid 1 and this run itself are never signalled")
    if not hasattr(os, "pidfd_open") or not hasattr(signal, "pidfd_send_signal"):
        raise NotProved(describe(process), "this Python has no pidfd", "Stop it by hand.")
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):  # the number is a thread's now
            raise _another(process) from error
        raise NotProved(describe(process), f"no pidfd can be opened: {os_reason(error)}", "Stop it by hand.") from error
    try:
        return _end(process, pidfd, timeout, kill_after, proc)
    finally:
        os.close(pidfd)


def _another(process: Process) -> ChangedMeanwhile:
    return ChangedMeanwhile(
        describe(process), "this pid belongs to another process now, nothing was signalled", "Run again."
    )


def _end(process: Process, pidfd: int, timeout: float, kill_after: float | None, proc: str) -> bool:
    # Read after the pidfd was opened: what is true of the pid now is true of the process behind the descriptor, for
    # whoever has this start time already had the number when it was opened.
    now = read(process.pid, proc)
    if now is None or (now.dead and now.start_ticks == process.start_ticks):
        return False
    if now.state != "?" and now.start_ticks != process.start_ticks:
        raise _another(process)
    readable = now.complete and process.complete
    if not readable or (now.exe, now.argv) != (process.exe, process.argv):
        # One on its way out shows less of itself from one read to the next, and it may be about to follow another one
        # that was just ended.
        if _ended(pidfd, min(timeout, _LEAVING_SECONDS)):
            return False
        if readable:
            raise _another(process)
        raise NotProved(describe(process), "its identity cannot be read", "Run as root.")
    began = time.monotonic()
    if not _send(process, pidfd, signal.SIGTERM):
        return False
    if _ended(pidfd, timeout if kill_after is None else min(timeout, kill_after)):
        return True
    if kill_after is not None:
        _send(process, pidfd, signal.SIGKILL)
        if _ended(pidfd, began + timeout - time.monotonic()):
            return True
    raise InUse(describe(process), f"still runs {timeout:g} seconds after it was asked to end", _BY_HAND)


def _send(process: Process, pidfd: int, number: signal.Signals) -> bool:
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    except OSError as error:
        why = f"{number.name} cannot be sent: {os_reason(error)}"
        raise StateError(describe(process), why, "Run as root.") from error
    return True


def _ended(pidfd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(min(max(0.0, seconds) * 1000, _LONGEST)))
