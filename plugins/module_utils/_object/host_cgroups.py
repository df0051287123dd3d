# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cgroups that Kata has left, as objects of a host."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    StateError,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import FileFacts, look
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.cgroup_hierarchies import hierarchies
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import (
    Candidate,
    identity_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_OVERHEADS = ("kata_overhead",)
# Directories that Kata has made of a systemd form that it did not understand (cgroups.md, kata#11325).
# Those of Kubernetes itself are never touched (safety.md D7).
_LITERAL = r"(?!kubepods)[^:/]+:[^:/]+:([^:/]+)"


class CgroupCandidate(Candidate):
    """A cgroup that Kata made for one sandbox: below kata_overhead, or with a literal systemd form as its name."""

    kind = "cgroup"

    def __init__(self, path: str, sandbox_id: str) -> None:
        self.path, self.name = path, sandbox_id
        self._status: FileFacts | None = None

    def _paths(self) -> list[str]:
        return [self.path]

    def _identity(self) -> dict[str, int]:
        """Without its time: the kernel may forget that, and then says when it was looked at again."""
        known = identity_of(self._status) if self._status is not None else {}
        return {name: value for name, value in known.items() if name != "changed"}

    def _facts(self) -> list[FileFacts]:
        return [self._status] if self._status is not None else []

    def _read(self, view: HostView, held: bool) -> bool:
        with open_given(os.path.dirname(self.path)) as above:
            self._status = look(above, os.path.basename(self.path)) if above.exists else None
        return self._status is not None

    def evidence(self, view: HostView) -> Evidence:
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis import cgroup_population
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.evidence import named_by_processes

        owners = ("a process is in it",) if cgroup_population.is_populated(self.path) else ()
        return Evidence(owners, named_by_processes(self.names, view), dead=("no process is in it",), blind=view.blind)


def find_cgroups(view: HostView) -> Iterator[CgroupCandidate]:
    for hierarchy in view.once("hierarchies", lambda: hierarchies(view.own_mounts.mounts)):
        mount = hierarchy.mount.rstrip("/")
        for overhead in _OVERHEADS:
            yield from (CgroupCandidate(f"{mount}/{overhead}/{one}", one) for one in _below(f"{mount}/{overhead}"))
        for name in _below(mount):
            literal = re.fullmatch(_LITERAL, name)
            if literal:
                yield CgroupCandidate(f"{mount}/{name}", literal[1])


def _below(path: str) -> list[str]:
    """The cgroups right below one; none where that is not there. Raises StateError."""
    with open_given(path) as directory:
        if not directory.exists:
            return []
        return [name for name in directory.listed() if _is_directory(directory, name)]


def _is_directory(directory: Directory, name: str) -> bool:
    try:
        return os.path.isdir(directory.join(name))
    except StateError:
        return False
