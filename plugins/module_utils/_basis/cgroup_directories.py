# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making and removing directories of a cgroup hierarchy.

They go by rmdir alone, deepest first: the kernel refuses one that holds a process, and their files are never touched
(contracts/cgroups.md CG1, safety.md D7).
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.cgroup_population import (
    GONE,
    all_below,
    exists,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    InUse,
    WriteFailed,
    os_reason,
    way_out,
)

_MODE = 0o755


def remove(path: str) -> bool:
    """Remove the cgroup and those below it. False: it was not there. Raises InUse and WriteFailed."""
    try:
        if not exists(path):
            return False
        for folder in all_below(path):
            with suppress(FileNotFoundError):
                os.rmdir(folder)
    except OSError as error:
        if error.errno in GONE:
            return True
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            raise InUse(path, "somebody has come into this cgroup", "Run again.") from error
        raise WriteFailed(path, f"this cgroup could not be removed: {os_reason(error)}", way_out(error)) from error
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
        raise WriteFailed(missing[0], f"this cgroup could not be made: {os_reason(error)}", way_out(error)) from error
    return made


def take_back(made: list[str]) -> None:
    """Remove what make() made, as far as nobody uses it by now."""
    for folder in reversed(made):
        try:
            os.rmdir(folder)
        except OSError:  # somebody has come into it
            return
