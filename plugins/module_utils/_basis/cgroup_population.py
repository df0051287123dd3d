# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether there is a cgroup, and whether processes are in it."""

from __future__ import annotations

import errno
import os

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable, os_reason

GONE = (errno.ENOENT, errno.ENODEV)  # ENODEV: a file of a cgroup that was removed while it was open


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
        if error.errno not in GONE:
            raise Unreadable(path, os_reason(error)) from error
    try:
        return any(_has_process(folder) for folder in all_below(path))
    except OSError as error:
        if error.errno in GONE:
            return False
        raise Unreadable(path, os_reason(error)) from error


def _has_process(folder: str) -> bool:
    """One that goes meanwhile has none, and says nothing of the others."""
    try:
        with open(f"{folder}/tasks" if os.path.exists(f"{folder}/tasks") else f"{folder}/cgroup.procs", "rb") as file:
            return bool(file.read(1))
    except OSError as error:
        if error.errno in GONE:
            return False
        raise


def all_below(path: str) -> list[str]:
    """The cgroup and all below it, deepest first; without those below that go meanwhile."""

    def judge(error: OSError) -> None:
        if error.errno not in GONE or error.filename == path:
            raise error

    found = [folder for folder, _inner, _files in os.walk(path, topdown=False, onerror=judge)]
    return found if found else [path]
