# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a task may wait for locks: apart from these, since most tasks need none."""

from __future__ import annotations

import time

_RETRY_SECONDS = 0.02


class LockBudget:
    """The waiting that a whole task may spend on locks (option lock_timeout), in seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.left = float(seconds)

    def wait(self) -> bool:
        """Wait one interval for a lock; False when the budget is spent."""
        if self.left <= 0:
            return False
        pause = min(_RETRY_SECONDS, self.left)
        before = time.monotonic()
        time.sleep(pause)
        self.left -= max(pause, time.monotonic() - before)
        return True
