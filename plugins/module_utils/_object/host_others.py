# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kata 1.x's mappings, recorded virtiofsd daemons, and cgroups that were left, as objects of a host."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import cgroup_directories
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import FileFacts, look
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    InUse,
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
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import (
    NO_ID,
    Candidate,
    Terms,
    identity_of,
    may_be_an_id,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.mapping import (
    ContainerMapping,
    MappingRoot,
    MappingWish,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Item, Plan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LEFTOVER, Evidence, judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import Inode
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

    def __init__(self, root: MappingRoot, container_id: str) -> None:
        self.root, self.name = root, container_id
        self._mapping = Mapping(container_id)

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self.name, *self._mapping.entries})

    @property
    def paths(self) -> list[str]:
        return [self.root.directory.join(self.name)]

    @property
    def identity(self) -> dict[str, int]:
        return identity_of(self._mapping.facts) if self._mapping.facts is not None else {}

    @property
    def facts(self) -> list[FileFacts]:
        return [self._mapping.facts] if self._mapping.facts is not None else []

    def read(self, view: HostView, held: bool = False) -> bool:
        self._mapping = self.root.read(self.name)
        return self._mapping.facts is not None

    def evidence(self, view: HostView) -> Evidence:
        owners = tuple(sign for name in self._mapping.entries for sign in self.root.signs_of_life(name, view))
        strange = tuple(f"{name} in it is no empty directory" for name in self._mapping.strange)
        strange += () if may_be_an_id(self.name) else (NO_ID,)
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
        self._facts: FileFacts | None = None

    @property
    def names(self) -> frozenset[str]:
        """A daemon's name is the user's own; what ties it is the sandbox that its paths name."""
        if self._record is None:
            return frozenset()
        return frozenset({sandbox_of((str(self._record.options["shared_dir"]), self._record.socket_path))} - {""})

    @property
    def paths(self) -> list[str]:
        return [self.run_dir.directory.join(self.name + SUFFIX)]

    @property
    def identity(self) -> dict[str, int]:
        return identity_of(self._facts) if self._facts is not None else {}

    @property
    def facts(self) -> list[FileFacts]:
        return [self._facts] if self._facts is not None else []

    def read(self, view: HostView, held: bool = False) -> bool:
        self._facts = look(self.run_dir.directory, self.name + SUFFIX)
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
        self._facts: FileFacts | None = None

    @property
    def paths(self) -> list[str]:
        return [self.path]

    @property
    def identity(self) -> dict[str, int]:
        return identity_of(self._facts) if self._facts is not None else {}

    @property
    def facts(self) -> list[FileFacts]:
        return [self._facts] if self._facts is not None else []

    def read(self, view: HostView, held: bool = False) -> bool:
        with open_given(os.path.dirname(self.path)) as above:
            self._facts = look(above, os.path.basename(self.path)) if above.exists else None
        return self._facts is not None

    def evidence(self, view: HostView) -> Evidence:
        owners = ("a process is in it",) if cgroup_directories.is_populated(self.path) else ()
        return Evidence(owners, _named_by_processes(self.names, view), dead=("no process is in it",), blind=view.blind)

    def item(self, terms: Terms) -> Item:
        return EmptyCgroup(self)


class EmptyCgroup(Item):
    """Removes the cgroup by rmdir (safety.md D7)."""

    def __init__(self, candidate: CgroupCandidate) -> None:
        super().__init__()
        self.candidate = candidate
        self.label = f"Cgroup {candidate.path}"

    def described(self) -> dict[str, Any]:
        return {"id": self.candidate.name, "paths": self.candidate.paths}

    def read(self, view: HostView) -> None:
        if not self.candidate.read(view):
            raise ChangedMeanwhile(self.candidate.path, "it is gone", "Run again.")

    def plan(self, view: HostView) -> Plan:
        verdict = judge(self.candidate.evidence(view))
        if verdict.kind != LEFTOVER:
            raise InUse("", "; ".join(verdict.reasons), "Nothing was removed.")
        return Plan("deleted", (RemoveCgroup(self.candidate.path),))

    def lock_places(self) -> list[LockPlace]:
        return [own_lock_place(os.path.dirname(self.candidate.path))]

    def stop_owners(self, plan: Plan, new_view: Callable[[], HostView]) -> None:
        """A cgroup with a process is kept."""

    def guarded(self, plan: Plan) -> set[Inode]:
        return set()

    def apply(self, plan: Plan, durable: bool) -> None:
        for change in plan.changes:
            if isinstance(change, RemoveCgroup) and change.make():
                self.acted = True

    def tidy(self) -> None:
        """Nothing is made by locking."""

    def finish(self) -> None:
        """Nothing is made."""


def find_mappings(host_root: str) -> Iterator[MappingCandidate]:
    root = MappingRoot(host_root, None)
    yield from (MappingCandidate(root, one) for one in root.ids())


def find_daemons(host_root: str) -> Iterator[DaemonCandidate]:
    run_dir = RunDir(host_root, None)
    yield from (DaemonCandidate(run_dir, one) for one in run_dir.names())


def find_cgroups(host_root: str, view: HostView) -> Iterator[CgroupCandidate]:
    """Those of this host: cgroups are no part of a tree that lies elsewhere."""
    if host_root != "/":
        return
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
