# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd's own list of containers and sandboxes, from its meta.db (safety.md A5).

Source: core/metadata/buckets.go and migrations.go of containerd v2.0.0, metadata/buckets.go of v1.7.24. Each id is a
bucket: v1/<namespace>/containers/<id> since 1.0; sandboxes came with 1.7 as <namespace>/sandboxes/<id>, beside v1, and
were moved to v1/<namespace>/sandboxes/<id> in 2.0.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.bolt import Bucket, Entry

# Below containerd's root.
METADATA_FOLDER = "io.containerd.metadata.v1.bolt"
METADATA_FILE = "meta.db"

_SCHEMA, _VERSION = b"v1", b"version"
_CONTAINERS, _SANDBOXES = b"containers", b"sandboxes"
_IDENTIFIER = re.compile(rb"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
_IDENTIFIER_BYTES = 76


class Listed(NamedTuple):
    """What containerd lists in one namespace, running or not: it may start, stop or delete each of them at any time."""

    containers: frozenset[str]
    sandboxes: frozenset[str]


def read_listed(directory: Directory, name: str = METADATA_FILE) -> dict[str, Listed] | None:
    """All ids that containerd lists, by namespace; None when there is no such file.

    directory: the METADATA_FOLDER below containerd's root. A namespace that is missing lists nothing. containerd may
    run and write meanwhile; its lock is not taken. Raises Unreadable for a file that is not wholly understood: then
    every id may be listed.
    """
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.bolt import read_database

    where = directory.join(name)
    found = read_database(directory, name, lambda root: _Reader(where).read(root))
    if found is None:
        return None
    return {
        name: Listed(frozenset(containers), frozenset(sandboxes)) for name, (containers, sandboxes) in found.items()
    }


class _Reader:
    """One reading: the ids of containers and of sandboxes, by namespace."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.found: dict[str, tuple[set[str], set[str]]] = {}

    def read(self, root: Bucket) -> dict[str, tuple[set[str], set[str]]]:
        versions = 0
        for entry in root.entries():
            if entry.key == _SCHEMA:
                versions = self._read_schema(root.nested(entry))
            else:
                self._read_older(entry, root.nested(entry))
        if not versions:
            raise Unreadable(self.where, "it has no version of a schema v1: it is not containerd's, or damaged")
        return self.found

    def _read_schema(self, schema: Bucket) -> int:
        """Read v1; how many plain values named "version" it has, 1 in a whole one."""
        versions = 0
        for entry in schema.entries():
            if entry.key == _VERSION and not entry.is_bucket:
                versions += 1
                continue
            containers, sandboxes = self._of(self._name(entry))
            namespace = schema.nested(entry)
            for kind in namespace.entries():
                objects = namespace.nested(kind)  # all kinds are buckets, also those that do not concern us
                if kind.key == _CONTAINERS:
                    containers |= self._names(objects)
                elif kind.key == _SANDBOXES:
                    sandboxes |= self._names(objects)
            if entry.key == _SANDBOXES:  # it may be what 1.7 has for a namespace of the name v1
                self._of(_SCHEMA.decode())[1].update(self._names(namespace))
        return versions

    def _read_older(self, entry: Entry, namespace: Bucket) -> None:
        """Read what 1.7 has beside v1: the sandboxes of a namespace."""
        sandboxes = self._of(self._name(entry))[1]
        for kind in namespace.entries():
            if kind.key != _SANDBOXES:
                # Perhaps the schema that follows v1: then v1 may tell an old state.
                raise Unreadable(self.where, f"its bucket {entry.key.decode()} is not known")
            sandboxes |= self._names(namespace.nested(kind))

    def _of(self, namespace: str) -> tuple[set[str], set[str]]:
        return self.found.setdefault(namespace, (set(), set()))

    def _names(self, objects: Bucket) -> set[str]:
        return {self._name(entry) for entry in objects.entries()}

    def _name(self, entry: Entry) -> str:
        """A namespace or an id: containerd takes only valid ones, and each is a bucket. Anything else shows damage."""
        valid = len(entry.key) <= _IDENTIFIER_BYTES and _IDENTIFIER.fullmatch(entry.key)
        if not entry.is_bucket or not valid:
            raise Unreadable(self.where, f"it is damaged: {entry.key[:80]!r} cannot be an id")
        return entry.key.decode("ascii")
