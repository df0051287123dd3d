# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories of a cgroup hierarchy: whether processes are in them, making and removing them.

They go by rmdir alone, deepest first: the kernel refuses one that holds a process, and their files are never touched
(contracts/cgroups.md CG1, safety.md D7).
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    InUse,
    Unreadable,
    WriteFailed,
    os_reason,
)

_GONE = (errno.ENOENT, errno.ENODEV)  # ENODEV: a file of a cgroup that was removed while it was open
_MODE = 0o755


def exists(path: str) -> bool:
    """Whether there is such a cgroup. Raises Unreadable."""
    try:
        os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Unreadable(path, os_reason(error)) from error
    return True


def is_populated(path: str) -> bool:
    """Whether a process is in the cgroup or below; False where there is no such cgroup. Raises Unreadable."""
    try:
        with open(f"{path}/cgroup.events", encoding="ascii") as lines:  # v2 tells for all below
            return any(line.split() == ["populated", "1"] for line in lines)
    except OSError as error:
        if error.errno not in _GONE:
            raise Unreadable(path, os_reason(error)) from error
    try:
        return any(_has_process(folder) for folder in _below(path))
    except OSError as error:
        if error.errno in _GONE:
            return False
        raise Unreadable(path, os_reason(error)) from error


def _has_process(folder: str) -> bool:
    """One that goes meanwhile has none, and says nothing of the others."""
    try:
        with open(f"{folder}/tasks" if os.path.exists(f"{folder}/tasks") else f"{folder}/cgroup.procs", "rb") as file:
            return bool(file.read(1))
    except OSError as error:
        if error.errno in _GONE:
            return False
        raise


def _below(path: str) -> list[str]:
    """The cgroup and all below it, deepest first; without those below that go meanwhile."""

    def judge(error: OSError) -> None:
        if error.errno not in _GONE or error.filename == path:
            raise error

    found = [folder for folder, _inner, _files in os.walk(path, topdown=False, onerror=judge)]
    return found if found else [path]


def remove(path: str) -> bool:
    """Remove the cgroup and those below it. False: it was not there. Raises InUse and WriteFailed."""
    try:
        if not exists(path):
            return False
        for folder in _below(path):
            with suppress(FileNotFoundError):
                os.rmdir(folder)
    except OSError as error:
        if error.errno in _GONE:
            return True
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            raise InUse(path, "somebody has come into this cgroup", "Run again.") from error
        raise WriteFailed(path, f"this cgroup could not be removed: {os_reason(error)}") from error
    return True


def make(path: str) -> list[str]:
    """Make the cgroup and those above it that are missing; those that were made, the highest first.

    Raises WriteFailed; then none of them is left.
    """
    missing: list[str] = []
    while not exists(path):
        missing.append(path)
        path = os.path.dirname(path)
    made: list[str] = []
    try:
        for folder in reversed(missing):
            os.mkdir(folder, _MODE)
            made.append(folder)
    except FileExistsError:
        return [*made, *make(missing[0])]  # somebody else made one of them just now
    except OSError as error:
        take_back(made)
        raise WriteFailed(missing[0], f"this cgroup could not be made: {os_reason(error)}") from error
    return made


def take_back(made: list[str]) -> None:
    """Remove what make() made, as far as nobody uses it by now."""
    for folder in reversed(made):
        try:
            os.rmdir(folder)
        except OSError:  # somebody has come into it
            return
