# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One reading of one sandbox's directories, for the layouts that keep each sandbox as a directory (trees.py)."""

from __future__ import annotations

import os
import stat
from typing import Protocol

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    StateError,
    Unreadable,
    os_reason,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import FileFacts, look
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import (
    Document,
    DocumentRule,
    Part,
    Reading,
    RecordedProcess,
    Roots,
    TreeRule,
    Watched,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.beside import signs_in
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.documents import read_document
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.places import SOCKETS


class Shape(Protocol):
    """What it needs to know of a layout: see TreeLayout."""

    @property
    def trees(self) -> tuple[TreeRule, ...]: ...

    @property
    def not_containers(self) -> frozenset[str]: ...

    @property
    def has_containers(self) -> bool: ...

    @property
    def sign_directories(self) -> tuple[str, ...]: ...

    @property
    def other_places(self) -> tuple[tuple[str, ...], ...]: ...

    def rules_at(self, tree: TreeRule, in_container: bool) -> list[tuple[DocumentRule, str]]: ...

    def aliases(self, documents: list[Document]) -> frozenset[str]: ...


def _entries_in(directory: Directory) -> dict[str, bool]:
    """Each name, and whether it is a directory; a link to one is none."""
    try:
        with os.scandir(directory.fd) as entries:
            return {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    except OSError as error:
        raise Unreadable(directory.path, f"it cannot be listed: {os_reason(error)}") from error


class TreeReader:
    """What cannot be read is a problem of this sandbox, never an error."""

    def __init__(self, layout: Shape, roots: Roots, sandbox_id: str, whole: bool, contents: bool) -> None:
        self.layout = layout
        self.roots = roots
        self.sandbox_id = sandbox_id
        self.whole = whole
        self.contents = contents
        self.parts: list[Part] = []
        self.documents: list[Document] = []
        self.missing: list[str] = []
        self.problems: list[str] = []
        self.sockets: list[str] = []
        self.pids: list[RecordedProcess] = []
        self.containers: set[str] = set()
        self.watched: list[Watched] = []

    def read(self, seen: dict[str, Watched]) -> Reading:
        """seen: the entry of the sandbox in each root that exists, by the root's path, as it was just now."""
        for tree in self.layout.trees:
            entry = seen.get(self.roots[tree.option].path)
            if entry is not None:
                self.watched.append(entry)
            if entry is not None and entry.facts is not None:
                self._read_tree(tree, entry.root, entry.facts)
        if len(self.parts) < len(self.layout.trees):
            self._note_missing_trees()
        return Reading(
            self.sandbox_id,
            tuple(self.parts),
            tuple(self.documents),
            tuple(self.missing),
            tuple(self.problems),
            (),
            tuple(self.sockets),
            tuple(sorted(self.containers)),
            self.layout.aliases(self.documents),
            tuple(self.pids),
            tuple(self.watched),
        )

    def _read_tree(self, tree: TreeRule, root: Directory, facts: FileFacts) -> None:
        self.parts.append(Part(tree.role, "", root, self.sandbox_id, facts))
        if not stat.S_ISDIR(facts.mode):
            self.problems.append(f"{root.join(self.sandbox_id)} is no directory")
            return
        top = root.child(self.sandbox_id)
        for container_id in self._read_directory(tree, top, ""):
            self.containers.add(container_id)
            if self._watch(root, f"{self.sandbox_id}/{container_id}") is not None:
                self._read_directory(tree, top.child(container_id), container_id)

    def _watch(self, root: Directory, path: str) -> FileFacts | None:
        facts = look(root, path)
        self.watched.append(Watched(root, path, facts))
        return facts

    def _read_directory(self, tree: TreeRule, directory: Directory, container_id: str) -> list[str]:
        """The documents of a sandbox, or of a container in it; returns the names of the containers inside."""
        try:
            with directory.reopened() as opened:
                entries = _entries_in(opened)
                self.sockets += [opened.join(name) for name in entries if name.endswith(SOCKETS)]
                self._read_documents(tree, opened, entries, container_id)
                if container_id:
                    return []
                self._read_inside(opened, entries)
                return sorted(name for name in entries if entries[name] and self._is_container(name))
        except FileNotFoundError:
            return []
        except StateError as error:
            self.problems.append(f"{error.where} cannot be read: {error.why}")
            return []

    def _is_container(self, directory: str) -> bool:
        return directory not in self.layout.not_containers and self.layout.has_containers

    def _read_inside(self, directory: Directory, entries: dict[str, bool]) -> None:
        """Sockets and pid files that a hypervisor keeps inside the sandbox's directory."""
        for name in self.layout.sign_directories:
            if entries.get(name):
                found = signs_in(directory.child(name))
                self.sockets += found.sockets
                self.pids += found.pids

    def _read_documents(self, tree: TreeRule, directory: Directory, names: dict[str, bool], container_id: str) -> None:
        elsewhere = bool(self.layout.other_places) and not container_id
        for rule, name in self.layout.rules_at(tree, bool(container_id)):
            if name in names:
                if self.whole or rule.evidence:
                    self._read_document(tree, rule, directory, name, container_id)
            elif not (elsewhere and self._read_elsewhere(tree, rule, name)) and rule.needed:
                self.missing.append(directory.join(name))
        for name, _mode in (*tree.directories, *tree.files):
            if name not in names:
                self.missing.append(directory.join(name))

    def _read_elsewhere(self, tree: TreeRule, rule: DocumentRule, name: str) -> bool:
        """A document that is in another place than its own; whether there is one."""
        for place in self.layout.other_places:
            directory = self.roots[tree.option]
            for part in place:
                directory = directory.child(part.format(self.sandbox_id))
            try:
                with directory.opened() as opened:
                    facts = look(opened, name)
                    if facts is not None:
                        self.documents.append(read_document(rule.name, opened, name, "", facts))
                        return True
            except FileNotFoundError:
                continue
        return False

    def _read_document(
        self, tree: TreeRule, rule: DocumentRule, directory: Directory, name: str, container_id: str
    ) -> None:
        inside = f"{self.sandbox_id}/{container_id}" if container_id else self.sandbox_id
        facts = self._watch(self.roots[tree.option], f"{inside}/{name}")
        wanted = self.contents or rule.evidence
        document = read_document(rule.name, directory, name, container_id, facts, rule.is_list, wanted)
        if facts is not None and (document.readable or look(directory, name) is not None):
            self.documents.append(document)
        elif rule.needed:  # it went away while it was read, and that is known for certain
            self.missing.append(directory.join(name))

    def _note_missing_trees(self) -> None:
        present = {part.role for part in self.parts}
        for tree in self.layout.trees:
            if tree.role not in present:
                self.missing.append(self.roots[tree.option].join(self.sandbox_id))
