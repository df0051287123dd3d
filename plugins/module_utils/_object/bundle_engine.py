# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The containerd that owns a tree of bundles: whether it runs, since when, and what it lists (safety.md A4, A5)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import lock_holders
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import FileFacts, look
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import (
    Process,
    describe,
    started_at,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.containerd_metadata import (
    METADATA_FILE,
    Listed,
    read_listed,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_SETTLED_SECONDS = 120.0  # safety.md A4: what a daemon needs to load, and to clean up itself


class Engine(NamedTuple):
    """What is known of it. installed: it has a database here. locked: somebody holds the lock on that, which is the
    daemon; process: that one, None where it is not visible. listed: by namespace. problem: why that is not known."""

    installed: bool = False
    locked: bool = False
    process: Process | None = None
    listed: Mapping[str, Listed] = MappingProxyType({})
    problem: str = ""

    def listing(self, namespace: str, container_id: str) -> list[str]:
        """That it lists the container, in sentences, or why that is not known (A5: running or not)."""
        found = [] if not self.problem else [f"what containerd lists cannot be read: {self.problem}"]
        listed = self.listed.get(namespace)
        if listed is not None and container_id in listed.containers:
            found.append("containerd lists the container")
        if listed is not None and container_id in listed.sandboxes:
            found.append("containerd lists it as a sandbox")
        return found

    def unsettled(self, changed: float) -> list[str]:
        """Why it may still need a bundle to clean up itself, in sentences (A4); none where no containerd is installed.

        changed: when the bundle changed last, in seconds of the epoch.
        """
        if not self.installed:
            return []
        if not self.locked:
            return ["containerd, which needs the bundle to clean up, does not run"]
        if self.process is None:
            return ["containerd runs out of sight, and since when it does is not known"]
        since = started_at(self.process)
        if time.time() - since < _SETTLED_SECONDS:
            return [f"{describe(self.process)} has just started, and may still clean up itself"]
        if changed > since + _SETTLED_SECONDS:
            return [f"{describe(self.process)} ran when it changed, and may still clean up itself"]
        return []


def engine_at(metadata: Directory, view: HostView) -> Engine:
    """The engine whose database lies in that directory, which need not exist; looked at once in a view."""
    return view.once(("engine", metadata.path), lambda: _look(metadata, view))


def _look(metadata: Directory, view: HostView) -> Engine:
    if not metadata.exists:
        return Engine()
    try:
        facts = look(metadata, METADATA_FILE)
        if facts is None:
            return Engine()
        listed = read_listed(metadata) or {}
        problem = ""
    except StateError as error:
        facts, listed, problem = _facts_again(metadata), {}, f"{error.where}: {error.why}"
    holders = lock_holders(facts.identity) if facts is not None and facts.inode in view.locked else []
    locked = facts is not None and facts.inode in view.locked
    return Engine(True, locked, holders[0] if holders else None, listed, problem)


def _facts_again(metadata: Directory) -> FileFacts | None:
    try:
        return look(metadata, METADATA_FILE)
    except StateError:
        return None
