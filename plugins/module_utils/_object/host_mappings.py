# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kata 1.x's mappings as objects of a host."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import FileFacts
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.mappings import Mapping
from ansible_collections.sandboxed.containers.plugins.module_utils._object.evidence import named_by_processes
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import (
    NO_ID,
    Candidate,
    identity_of,
    may_be_an_id,
    too_long_to_hide,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.mapping_root import MappingRoot
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import LIVE, UNKNOWN, Evidence

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


class MappingCandidate(Candidate):
    """A mapping of a container to its sandbox."""

    kind = "mapping"
    is_common = True

    def __init__(self, root: MappingRoot, container_id: str, beside: Collection[str]) -> None:
        """beside: sandboxes that are looked at with it, so that it need not look at them again."""
        self.root, self.name, self._beside = root, container_id, beside
        self._mapping = Mapping(container_id)
        self._rests: list[Part] = []

    def _names(self) -> frozenset[str]:
        return frozenset({self.name, *self._mapping.entries})

    def _paths(self) -> list[str]:
        return [part.path for part in self._rests] or [self.root.directory.join(self.name)]

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """The same for what a killed delete has left of it."""
        return (self.kind, "", "", self.name, self.root.directory.join(self.name))

    @property
    def _parts(self) -> Sequence[Part]:
        return self._rests

    def _identity(self) -> dict[str, int]:
        facts = self._facts()
        return identity_of(facts[0]) if facts else {}

    def _facts(self) -> list[FileFacts]:
        own = [self._mapping.facts] if self._mapping.facts is not None else []
        return own or [part.facts for part in self._rests]

    def _read(self, view: HostView, held: bool) -> bool:
        """Where the mapping is gone, what a killed delete has left of it."""
        self._mapping = self.root.read(self.name)
        self._rests = self.root.rests_of(self.name, view) if self._mapping.facts is None else []
        return bool(self._facts())

    def evidence(self, view: HostView) -> Evidence:
        alone = [name for name in self._mapping.entries if name not in self._beside]
        verdicts = [self.root.verdict_of(name, view) for name in alone]
        owners = tuple(reason for one in verdicts if one.kind == LIVE for reason in one.reasons)
        doubts = {reason for one in verdicts if one.kind == UNKNOWN for reason in one.reasons}
        strange = tuple(f"{name} in it is no empty directory" for name in self._mapping.strange)
        strange += () if may_be_an_id(self.name) else (NO_ID,)
        strange += () if self._rests else too_long_to_hide(self.name)
        to = ", ".join(self._mapping.entries) or "no sandbox"
        dead = "a delete of it was broken off" if self._rests else f"it leads to {to}, and nothing of that lives"
        suspects = named_by_processes(self.names, view)
        strange += tuple(sorted(doubts - {*suspects, view.blind}))
        return Evidence(owners, suspects, strange, (dead,), view.blind)


def find_mappings(host_root: str, beside: Collection[str]) -> Iterator[MappingCandidate]:
    root = MappingRoot(host_root, None)
    names = {*root.ids(), *root.tombstones()}
    yield from (MappingCandidate(root, one, beside) for one in sorted(names))
