# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kata Containers: the store of 1.x, persist.json of the Go runtime, state.json of the Rust one (kata-*.md).

The three differ in their trees, documents and locks. What surrounds a sandbox, and which processes serve it, is much
the same for all.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import NameRule
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import (
    Claim,
    DocumentRule,
    Reading,
    RecordedProcess,
    Roots,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.surroundings import (
    Peers,
    PlaceRule,
    find_peers,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.trees import Index, TreeLayout

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.kata_processes import OwnPlaces

# A sandbox's own VM directory; "template" is the factory's (safety.md D5).
VM = PlaceRule("vm", "run_root", "vm", inside=".", reserved=frozenset({"template"}))
FIRECRACKER = PlaceRule("firecracker", "run_root", "firecracker", length=32, inside="root")
JAIL = PlaceRule("jail", "run_root", "firecracker", inside="root")  # the Rust runtime's, which does not cut names
SHARE = PlaceRule("share", "run_root", "../kata-containers/shared/sandboxes")
INITDATA = PlaceRule("initdata", "run_root", "../kata-containers/shared/initdata")
BUNDLE_PATH = ("io.katacontainers.pkg.oci.bundle_path", "com.github.containers.virtcontainers.pkg.oci.bundle_path")
_ENGINES = ("/io.containerd.runtime.", "/overlay-containers/")  # bundles of containerd and Docker; of CRI-O and Podman
# Hypervisors without a process of their own on this host: a dead shim proves nothing about them (safety.md A7).
_ELSEWHERE = {"remote": "whose machine runs elsewhere", "dragonball": "which runs inside the shim"}


class Kata(TreeLayout):
    """What the three generations share."""

    names = NameRule()
    runtime_waits = True

    def claim(self, process: Process, pids: tuple[int, ...] | None, roots: Roots, reading: Reading) -> Claim | None:
        from ansible_collections.sandboxed.containers.plugins.module_utils._layout import kata_processes

        return kata_processes.claim(process, pids, roots, reading, self._places_of(roots, reading.sandbox_id))

    def _places_of(self, roots: Roots, sandbox_id: str) -> OwnPlaces:
        """The directories in which a path component that is the sandbox's name means this sandbox."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._layout.kata_processes import OwnPlaces

        paths = {place: roots.path_beside(place.option, place.relative) for place in self.places}
        listed = [roots[tree.option].path for tree in self.trees]
        return OwnPlaces(
            frozenset([*listed, *(path for place, path in paths.items() if not place.length)]),
            all(roots.is_default(tree.option) for tree in self.trees),
            self.cut_name(sandbox_id),
            frozenset(path for place, path in paths.items() if place.length),
        )

    def tokens(self, roots: Roots, reading: Reading) -> set[str]:
        names = {reading.sandbox_id, *reading.containers, *reading.aliases, self.cut_name(reading.sandbox_id)}
        return names - {""}

    def recorded_processes(self, reading: Reading) -> list[RecordedProcess]:
        recorded: dict[int, RecordedProcess] = {}
        for found in (*self.pids_in(reading), *reading.pids):
            recorded.setdefault(found.pid, found)
        return list(recorded.values())

    @abstractmethod
    def pids_in(self, reading: Reading) -> list[RecordedProcess]:
        """The processes that the documents record."""

    @abstractmethod
    def hypervisor_of(self, reading: Reading) -> str:
        """The kind of hypervisor that the documents name, or empty."""

    @abstractmethod
    def bundles_of(self, reading: Reading) -> list[Any]:
        """The bundle directories that the documents name; each may be anything that JSON can hold."""

    def index(self, roots: Roots) -> Index:
        return super().index(roots)._replace(peers=find_peers(roots.host_root))

    def read(
        self,
        roots: Roots,
        sandbox_id: str,
        index: Index,
        known: Reading | None = None,
        whole: bool = True,
        contents: bool = True,
    ) -> Reading:
        found = super().read(roots, sandbox_id, index, known, whole, contents)
        has_owner = any(part.role != "tombstone" for part in found.parts)  # a rest has none (safety.md D2)
        doubt = self._doubt_of_peers(found, index.peers) if index.peers is not None and has_owner else ""
        return found._replace(doubts=(*found.doubts, doubt)) if doubt else found

    def _doubt_of_peers(self, reading: Reading, peers: Peers) -> str:
        """Why its machine may run elsewhere, also where no document says of which kind it is (safety.md A7)."""
        if peers.problem:
            return f"whether its machine runs elsewhere cannot be told: {peers.problem}"
        if reading.sandbox_id in peers.names:
            return f"its machine may run elsewhere: {peers.place}/{reading.sandbox_id} exists"
        if self.hypervisor_of(reading):
            return ""
        return f"its machine may run elsewhere: its hypervisor is not known, and {os.path.dirname(peers.place)} exists"

    def doubts(self, reading: Reading) -> list[str]:
        kind = self.hypervisor_of(reading)
        return [f"its hypervisor is {kind}, {_ELSEWHERE[kind]}"] if kind in _ELSEWHERE else []

    def referrers(self, reading: Reading) -> list[str]:
        paths = {path for path in self.bundles_of(reading) if isinstance(path, str)}
        return [path for path in sorted(paths) if path.startswith("/") and any(sign in path for sign in _ENGINES)]

    def encode(self, rule: DocumentRule, content: Any, container_id: str) -> bytes:
        from ansible_collections.sandboxed.containers.plugins.module_utils._layout import go_json

        return go_json.encode(content, f"documents.{rule.name}") + (b"\n" if rule.newline else b"")

    def check_document(self, name: str, content: Any, sandbox_id: str, container_id: str) -> None:
        """The document must be of the level that it is for, and name the object that it is for, if it names any."""
        where, rule = f"documents.{name}", self.rule_of(name)
        if not (rule.container if container_id else rule.sandbox):
            level, other = ("container", "sandbox") if container_id else ("sandbox", "container")
            raise InvalidInput(where, f"a {level} has no such document, only a {other} has", "Leave it out.")
        self.check_content(where, content, sandbox_id, container_id)

    def check_content(self, where: str, content: Any, sandbox_id: str, container_id: str) -> None:
        """InvalidInput where the content is another object's."""


def must_be(where: str, key: str, value: Any, wanted: str) -> None:
    """InvalidInput when a document's own name for its object is another one."""
    if value is not None and value != wanted:
        raise InvalidInput(where, f"its {key} is '{value}', and it is for '{wanted}'", "Make the two the same.")


def inside(content: Any, *keys: str) -> Any:
    """The value at a path of keys, None where there is none: a foreign document may hold anything."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def list_of(value: Any) -> list[Any]:
    """A list as it is; empty for anything else that a foreign document may hold."""
    return value if isinstance(value, list) else []


def recorded(*found: tuple[str, Any, str]) -> list[RecordedProcess]:
    """The processes among (role, pid, container): a foreign document may hold anything, and 0 is no process."""
    return [
        RecordedProcess(role, pid, container_id)
        for role, pid, container_id in found
        if isinstance(pid, int) and not isinstance(pid, bool) and pid > 0
    ]
