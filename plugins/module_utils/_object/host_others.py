# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kata 1.x's mappings, recorded virtiofsd daemons, and cgroups that were left, as objects of a host."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import cgroup_directories
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import FileFacts, look
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    StateError,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace, own_lock_place
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import describe
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.mappings import Mapping
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_origin import sandbox_of
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.virtiofsd_record import SUFFIX, Record
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_changes import RemoveCgroup
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_owners import hierarchies_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon import Daemon, RunDir
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_standing import standing_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.daemon_wish import DaemonWish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_items import LeftoverItem
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import (
    Candidate,
    Terms,
    identity_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.mapping import ContainerMapping, MappingWish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.mapping_root import MappingRoot
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Item, Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.changes import Change
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_STOP_SECONDS = 10.0
_OVERHEADS = ("kata_overhead",)
# Directories that Kata has made of a systemd form that it did not understand (cgroups.md, kata#11325).
_LITERAL = re.compile(r"[^:/]+:[^:/]+:([^:/]+)")


def _named_by_processes(names: frozenset[str], view: HostView) -> tuple[str, ...]:
    """The processes that carry one of these names, in sentences."""
    found = {mention.process.pid: mention.process for name in names for mention in view.processes.carrying(name)}
    return tuple(f"{describe(process)} names it" for _pid, process in sorted(found.items()))


class MappingCandidate(Candidate):
    """A mapping of a container to its sandbox."""

    kind = "mapping"
    is_common = True

    def __init__(self, root: MappingRoot, container_id: str, beside: Collection[str]) -> None:
        """beside: sandboxes that are looked at with it, so that it need not look at them again."""
        self.root, self.name, self._beside = root, container_id, beside
        self._mapping = Mapping(container_id)

    def _names(self) -> frozenset[str]:
        return frozenset({self.name, *self._mapping.entries})

    def _paths(self) -> list[str]:
        return [self.root.directory.join(self.name)]

    def _identity(self) -> dict[str, int]:
        return identity_of(self._mapping.facts) if self._mapping.facts is not None else {}

    def _facts(self) -> list[FileFacts]:
        return [self._mapping.facts] if self._mapping.facts is not None else []

    def _read(self, view: HostView, held: bool) -> bool:
        self._mapping = self.root.read(self.name)
        return self._mapping.facts is not None

    def evidence(self, view: HostView) -> Evidence:
        alone = [name for name in self._mapping.entries if name not in self._beside]
        owners = tuple(sign for name in alone for sign in self.root.signs_of_life(name, view))
        strange = tuple(f"{name} in it is no empty directory" for name in self._mapping.strange)
        to = ", ".join(self._mapping.entries) or "no sandbox"
        suspects = _named_by_processes(self.names, view)
        return Evidence(owners, suspects, strange, (f"it leads to {to}, and nothing of that lives",), view.blind)

    def item(self, terms: Terms) -> Item:
        return ContainerMapping(MappingWish(self.name), self.root)


class DaemonCandidate(Candidate):
    """The record of a virtiofsd that this collection has started."""

    kind = "daemon"

    def __init__(self, run_dir: RunDir, name: str) -> None:
        self.run_dir, self.name = run_dir, name
        self._record: Record | None = None
        self._status: FileFacts | None = None

    def _names(self) -> frozenset[str]:
        """A daemon's name is the user's own; what ties it is the sandbox that its paths name."""
        if self._record is None:
            return frozenset()
        return frozenset({sandbox_of((str(self._record.options["shared_dir"]), self._record.socket_path))} - {""})

    def _paths(self) -> list[str]:
        return [self.run_dir.directory.join(self.name + SUFFIX)]

    def _identity(self) -> dict[str, int]:
        return identity_of(self._status) if self._status is not None else {}

    def _facts(self) -> list[FileFacts]:
        return [self._status] if self._status is not None else []

    def _read(self, view: HostView, held: bool) -> bool:
        self._status = look(self.run_dir.directory, self.name + SUFFIX)
        self._record = self.run_dir.read(self.name)
        return self._record is not None

    def evidence(self, view: HostView) -> Evidence:
        if self._record is None:
            return Evidence(unknown=("it was not read",))
        standing = standing_of(self._record, view)
        if standing.alive:
            return Evidence(owners=standing.reasons)
        return Evidence(dead=standing.reasons, blind=view.blind)

    def pids(self, view: HostView) -> set[int]:
        """Of its processes that live."""
        try:
            return {one.pid for one in standing_of(self._record, view).processes} if self._record else set()
        except StateError:
            return set()

    def item(self, terms: Terms) -> Item:
        return Daemon(DaemonWish(self.name, "stopped", _STOP_SECONDS), self.run_dir)


class CgroupCandidate(Candidate):
    """A cgroup that Kata made for one sandbox: below kata_overhead, or with a literal systemd form as its name."""

    kind = "cgroup"

    def __init__(self, path: str, sandbox_id: str) -> None:
        self.path, self.name = path, sandbox_id
        self._status: FileFacts | None = None

    def _paths(self) -> list[str]:
        return [self.path]

    def _identity(self) -> dict[str, int]:
        return identity_of(self._status) if self._status is not None else {}

    def _facts(self) -> list[FileFacts]:
        return [self._status] if self._status is not None else []

    def _read(self, view: HostView, held: bool) -> bool:
        with open_given(os.path.dirname(self.path)) as above:
            self._status = look(above, os.path.basename(self.path)) if above.exists else None
        return self._status is not None

    def evidence(self, view: HostView) -> Evidence:
        owners = ("a process is in it",) if cgroup_directories.is_populated(self.path) else ()
        return Evidence(owners, _named_by_processes(self.names, view), dead=("no process is in it",), blind=view.blind)

    def item(self, terms: Terms) -> Item:
        return EmptyCgroup(self)


class EmptyCgroup(LeftoverItem):
    """Removes the cgroup by rmdir (safety.md D7)."""

    candidate: CgroupCandidate

    def __init__(self, candidate: CgroupCandidate) -> None:
        super().__init__(candidate, f"Cgroup {candidate.path}")

    def changes(self, view: HostView) -> tuple[Change, ...]:
        return (RemoveCgroup(self.candidate.path),)

    def lock_places(self) -> list[LockPlace]:
        return [own_lock_place(os.path.dirname(self.candidate.path))]

    def apply(self, plan: Plan, durable: bool) -> None:
        for change in plan.changes:
            if isinstance(change, RemoveCgroup) and change.make():
                self.acted = True


def find_mappings(host_root: str, beside: Collection[str]) -> Iterator[MappingCandidate]:
    root = MappingRoot(host_root, None)
    yield from (MappingCandidate(root, one, beside) for one in root.ids())


def find_daemons(host_root: str) -> Iterator[DaemonCandidate]:
    run_dir = RunDir(host_root, None)
    yield from (DaemonCandidate(run_dir, one) for one in run_dir.names())


def find_cgroups(view: HostView) -> Iterator[CgroupCandidate]:
    for hierarchy in hierarchies_of(view):
        mount = hierarchy.mount.rstrip("/")
        for overhead in _OVERHEADS:
            yield from (CgroupCandidate(f"{mount}/{overhead}/{one}", one) for one in _below(f"{mount}/{overhead}"))
        for name in _below(mount):
            literal = _LITERAL.fullmatch(name)
            if literal:
                yield CgroupCandidate(f"{mount}/{name}", literal[1])


def _below(path: str) -> list[str]:
    """The cgroups right below one; none where that is not there. Raises StateError."""
    with open_given(path) as directory:
        if not directory.exists:
            return []
        return [name for name in sorted(directory.names()) if _is_directory(directory, name)]


def _is_directory(directory: Directory, name: str) -> bool:
    try:
        return os.path.isdir(directory.join(name))
    except StateError:
        return False
