# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kata 1.x's mapping of containers to sandboxes: two nested, empty directories, and the inner one's name is the answer.

Source: contracts/container-id-mapping.md; virtcontainers and cli/utils.go of Kata 1.3 to 1.12.
"""

from __future__ import annotations

import stat
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    ChangedMeanwhile,
    Unreadable,
    os_reason,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import NameRule
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import FileFacts, look
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.tombstones import tombstone_name

ROOT = "/var/run/kata-containers/containers-mapping"
MODE = 0o750
_TRIES = 1000  # somebody else may be at work on it while it is read
# Whatever is one component of a path may be there, since Kata checks nothing (M4).
NAMES = NameRule(extra_bytes=len(tombstone_name("")))


class Mapping(NamedTuple):
    """What is on disk for one container. facts: of its directory, None: there is none.

    entries: the names in it; one is the sandbox, none or several are what a crash or a race left (M1, M2).
    strange: of these, what is no empty directory, so that it is not known what it is.
    """

    container_id: str
    facts: FileFacts | None = None
    entries: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()

    @property
    def sandbox_id(self) -> str:
        """The sandbox, empty where there is not exactly one: it is never guessed."""
        return self.entries[0] if len(self.entries) == 1 and not self.strange else ""

    @property
    def state(self) -> str:
        """absent, one, none or several."""
        if self.facts is None:
            return "absent"
        return "one" if len(self.entries) == 1 else ("several" if self.entries else "none")


def read_mapping(root: Directory, container_id: str) -> Mapping:
    """The mapping of one container. root: the open root of the tree. Raises Unreadable."""
    facts = look(root, container_id)
    if facts is None:
        return Mapping(container_id)
    if not stat.S_ISDIR(facts.mode):
        raise Unreadable(root.join(container_id), "it is no directory", "Find out what it is; nothing was changed.")
    for _try in range(_TRIES):
        entries = _entries_of(root, container_id)
        if entries is not None:
            strange = tuple(sorted(name for name, is_strange in entries.items() if is_strange))
            return Mapping(container_id, facts, tuple(sorted(entries)), strange)
        facts = look(root, container_id)
        if facts is None:
            return Mapping(container_id)
    raise ChangedMeanwhile(root.join(container_id), "it is changed all the time", "Find out who does that.")


def _entries_of(root: Directory, container_id: str) -> dict[str, bool] | None:
    """Each entry, and whether it is something else than an empty directory. None: one went away meanwhile."""
    try:
        with root.child(container_id).opened() as directory:
            return {name: _is_strange(directory, name) for name in directory.names()}
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(root.join(container_id), os_reason(error)) from error


def _is_strange(directory: Directory, name: str) -> bool:
    facts = look(directory, name)
    if facts is None:
        raise FileNotFoundError(directory.join(name))
    if not stat.S_ISDIR(facts.mode):
        return True
    with directory.child(name).opened() as inner:
        return bool(inner.names())
