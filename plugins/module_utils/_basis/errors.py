# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed errors of this collection. Each says where it happened, why, and what the user can do.

Private to the collection: no promise of stability for others.
"""

from __future__ import annotations

import errno
import os


class StateError(Exception):
    """Base of all errors that a user may see.

    where: the path, option or process that is concerned. why: one clause without a full stop.
    remedy: whole sentences that say what to do, or empty. The text is "where: why. remedy".
    """

    changed = False  # whether something had been changed already

    def __init__(self, where: str, why: str, remedy: str = "") -> None:
        self.where = where
        self.why = why
        self.remedy = remedy
        super().__init__(where, why, remedy)

    def __str__(self) -> str:
        text = f"{self.where}: {self.why}." if self.where else f"{self.why}."
        return f"{text} {self.remedy}" if self.remedy else text


class InvalidInput(StateError):
    """An option's value cannot be used."""


class OutsideRoot(StateError):
    """A path leaves the tree that it must stay in (design.md, host_root)."""


class Unreadable(StateError):
    """Something is there, or may be, but cannot be read. Never to be taken for absent (promise 7)."""


class WriteFailed(StateError):
    """A write, fsync, rename or unlink failed; what was there before is still there."""


class LockTimeout(StateError):
    """The lock was held by somebody else until the deadline passed."""


class InUse(StateError):
    """An owner lives, so the object is not touched (safety.md A1, E3)."""


class NotProved(StateError):
    """Neither life nor death is proved, so the object is kept (safety.md A1)."""


class Mounted(StateError):
    """A mount is at or below a path that would be deleted (safety.md D3)."""


class AlreadyExists(StateError):
    """The object is there, and the user asked for that to be an error."""


class ChangedMeanwhile(StateError):
    """Under the lock the object is not what it was when the change was planned (safety.md C4)."""


def way_out(error: OSError, otherwise: str = "") -> str:
    """What to do about an error of the system: mostly what the caller knows; be root where that is what is missing."""
    denied = error.errno in (errno.EACCES, errno.EPERM) and os.geteuid() != 0
    return "Run as root (become: true)." if denied else otherwise


def os_reason(error: OSError) -> str:
    """The system's own words for an error, for example "No space left on device"."""
    if error.errno == errno.EMFILE:
        return f"{os.strerror(error.errno)}: this process may have {os.sysconf('SC_OPEN_MAX')} (ulimit -n)"
    return os.strerror(error.errno) if error.errno else str(error)
