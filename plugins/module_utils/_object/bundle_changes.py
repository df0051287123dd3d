# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changes that bundles have beside those of other objects: cgroups, a link, a mode."""

from __future__ import annotations

import os
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import cgroup_directories, cgroup_population
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    InUse,
    WriteFailed,
    os_reason,
    way_out,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import still_there


class MakeCgroup(NamedTuple):
    """Make a cgroup, with those above it that are missing."""

    path: str
    role: str = "cgroup"
    sign: str = "+"


class RemoveCgroup(NamedTuple):
    """Remove an empty cgroup whose own name carries the dead id (safety.md D7)."""

    path: str
    role: str = "cgroup"
    sign: str = "-"

    def make(self) -> bool:
        """False: it was gone. Raises InUse where a process is in it by now, and WriteFailed."""
        if cgroup_population.is_populated(self.path):
            raise InUse(self.path, "a process is in this cgroup", "Nothing of it was removed.")
        return cgroup_directories.remove(self.path)


class MakeLink(NamedTuple):
    """Make a symbolic link where there is nothing of that name."""

    role: str
    directory: Directory
    name: str
    target: str
    sign: str = "+"

    @property
    def path(self) -> str:
        return self.directory.join(self.name)

    def make(self) -> bool:
        try:
            with still_there(self.directory) as directory:
                os.symlink(self.target, self.name, dir_fd=directory.fd)
        except FileExistsError:
            return False
        except OSError as error:
            raise WriteFailed(self.path, f"the link could not be made: {os_reason(error)}", way_out(error)) from error
        return True


class SetMode(NamedTuple):
    """Give a directory its mode and group. old: those that it has."""

    role: str
    directory: Directory
    mode: int
    group: int
    old: tuple[int, int]
    sign: str = "~"

    @property
    def path(self) -> str:
        return self.directory.path

    @property
    def was(self) -> str:
        return _shown(*self.old)

    @property
    def becomes(self) -> str:
        return _shown(self.mode, self.group)

    def make(self) -> None:
        try:
            with still_there(self.directory) as directory:
                os.fchown(directory.fd, -1, self.group)
                os.fchmod(directory.fd, self.mode)
        except OSError as error:
            raise WriteFailed(self.path, f"its mode could not be set: {os_reason(error)}", way_out(error)) from error


def _shown(mode: int, group: int) -> str:
    return f" ({mode:04o}, gid {group})"
