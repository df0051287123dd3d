# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every layout says about itself: the words and shapes in which a runtime generation is described.

A layout is data and a few pure look-ups. It never changes anything on disk and knows no Ansible.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import FileFacts, look
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.descriptors import REMOTE
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError, Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import NameRule
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import MountTable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_below
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process


class RootRule(NamedTuple):
    """A directory that a layout keeps its objects in. option: its name in the modules; mode: of one that is made."""

    option: str
    default: str
    mode: int


class DocumentRule(NamedTuple):
    """A document of a layout. newline: whether the runtime ends it with one."""

    name: str
    mode: int
    newline: bool = False


class Part(NamedTuple):
    """An entry on disk that belongs to a sandbox. role: state, lock, temporary, socket, filestore.

    container_id: the container that it belongs to.
    """

    role: str
    container_id: str
    directory: Directory
    name: str
    facts: FileFacts

    @property
    def path(self) -> str:
        return self.directory.join(self.name)


class Document(NamedTuple):
    """A document that was read. problem: why its content is not known, or empty. readable: False when reading failed,
    which is worse than a content that is empty or cut: then nothing at all is known about it."""

    name: str
    container_id: str
    path: str
    content: Any
    problem: str = ""
    readable: bool = True


class RecordedProcess(NamedTuple):
    """A process that a document names. role: "sandbox", "gofer"; a pid of 0 or less is no process and not given."""

    role: str
    pid: int
    container_id: str


class Reading(NamedTuple):
    """All that one sandbox has on disk. missing: names of files that a whole one would have, for people.

    problems: sentences about what could not be looked at and might belong to it.
    """

    sandbox_id: str
    parts: tuple[Part, ...] = ()
    documents: tuple[Document, ...] = ()
    missing: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def document(self, name: str, container_id: str) -> Document | None:
        for document in self.documents:
            if (document.name, document.container_id) == (name, container_id):
                return document
        return None


class Claim(NamedTuple):
    """A process that has to do with a sandbox. proved: it owns it for certain; otherwise it may.

    why: what proves or suggests it, as the end of the sentence "<process> …". rank: lowest is told first.
    stop_order: in which order owners are stopped, lowest first; None: not ours to stop, and remedy says who does.
    """

    process: Process
    proved: bool
    why: str
    rank: int = 0
    stop_order: int | None = None
    remedy: str = ""


class Roots:
    """The open root directories of one layout, by the option that names them, and the host that they are of."""

    def __init__(self, host_root: str, directories: dict[str, Directory]) -> None:
        self._host_root = host_root
        self._directories = directories
        self._mounts: MountTable | None = None

    def __getitem__(self, option: str) -> Directory:
        return self._directories[option]

    def open(self, path: str) -> Directory:
        """A directory that a document of this host names; it does not exist where there is none, or a file.

        The path means what it means on that host, so it is resolved below host_root (promise 5). Raises Unreadable,
        also for one on a file system that may never answer, which is left alone (safety.md B6).
        """
        if not path.isprintable():
            raise Unreadable(ascii(path), "it is no path that can be looked at")
        if self._may_hang(path, self._host_root):
            raise Unreadable(path, "its file system may not answer, so it is left alone")
        try:
            return open_below(self._host_root, path)
        except Unreadable as error:
            if isinstance(error.__cause__, NotADirectoryError):
                return Directory(-1, path)
            raise

    def _may_hang(self, path: str, root: str) -> bool:
        if self._mounts is None:
            self._mounts = MountTable.read()
        holder = self._mounts.holding(os.path.normpath(root.rstrip("/") + path))
        return holder is None or holder.fs_type.partition(".")[0] in REMOTE

    def is_root(self, path: str, option: str) -> bool | None:
        """Whether a path of this very host, from a process's arguments, is that root directory; None: unknown."""
        if not path.isprintable() or self._may_hang(path, "/"):
            return None
        try:
            named = os.stat(path)
        except OSError:
            return None
        try:
            ours = os.stat(self[option].path)
        except FileNotFoundError:
            return False  # what is not there yet is nobody's
        except OSError:
            return None
        return (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)

    def another_hosts(self) -> str:
        """Why this tree may be another host's, whose processes are not here (safety.md A2), or empty."""
        for directory in self._directories.values():
            if directory.path.startswith("/proc/"):
                return f"{directory.path} is seen through another process and may be another host's tree"
            if directory.exists and self._may_hang(directory.path, "/"):
                return f"{directory.path} is on a network or user file system and may be another host's tree"
        return ""

    def may_exist(self, path: str) -> bool:
        """Whether a path that a document names may be there: only a plain "no such entry" says no (promise 7)."""
        if not path.isprintable():
            return True
        try:
            with open_below(self._host_root, os.path.dirname(path)) as parent:
                return parent.exists and look(parent, os.path.basename(path)) is not None
        except StateError:
            return True


class Layout(ABC):
    """One runtime generation. Subclasses set the data and answer the look-ups; the object floor does the rest."""

    name: str
    root_rules: tuple[RootRule, ...]
    documents: tuple[DocumentRule, ...]
    names: NameRule
    commit_role: str  # the role whose removal makes an object be gone (safety.md D1)

    @abstractmethod
    def sandboxes_of(self, roots: Roots) -> dict[str, list[str]]:
        """One pass over the roots: sandbox id to the file names that belong to it."""

    @abstractmethod
    def read(self, roots: Roots, sandbox_id: str, names: list[str]) -> Reading:
        """Read one sandbox from the file names that sandboxes_of found."""

    @abstractmethod
    def place(self, roots: Roots, document: str, sandbox_id: str, container_id: str) -> tuple[Directory, str]:
        """Where a document is, or would be."""

    @abstractmethod
    def check_length(self, sandbox_id: str, container_id: str) -> None:
        """InvalidInput when no file system could hold the names of its files."""

    @abstractmethod
    def lock_place(self, roots: Roots, sandbox_id: str, container_id: str, create: bool) -> LockPlace:
        """The object that the runtime itself locks for a container (README.md R1)."""

    @abstractmethod
    def check_document(self, name: str, content: Any, sandbox_id: str, container_id: str) -> None:
        """InvalidInput when a document to be written does not fit the object that it is for."""

    @abstractmethod
    def check_place(self, roots: Roots, sandbox_id: str, container_id: str) -> None:
        """InvalidInput when the place of a container's document is taken by another sandbox's container."""

    @abstractmethod
    def recorded_processes(self, reading: Reading) -> list[RecordedProcess]:
        """The processes that the documents name. A hint, never a proof (README.md R7)."""

    @abstractmethod
    def tokens(self, roots: Roots, reading: Reading) -> set[str]:
        """The whole arguments by which processes of this sandbox are found: ids, and paths that stand for them (A8)."""

    @abstractmethod
    def claim(self, process: Process, pids: tuple[int, ...] | None, roots: Roots, reading: Reading) -> Claim | None:
        """What a process that carries the sandbox's or a container's id has to do with it, if anything.

        pids: its number in each pid namespace from ours inwards, None when they cannot be read.
        """

    @abstractmethod
    def belongings(self, roots: Roots, claims: list[Claim], reading: Reading) -> list[Part]:
        """Parts that only the arguments of living owners lead to, where no document names them."""

    @abstractmethod
    def before_commit(self, roots: Roots, sandbox_id: str, container_id: str) -> bool:
        """Write down, under the lock, what a crash right after the commit would lose; whether there was anything.

        Raises WriteFailed.
        """

    @abstractmethod
    def hint(self, reading: Reading) -> str:
        """What a user should know who removes this, or empty."""

    @abstractmethod
    def referrers(self, reading: Reading) -> list[str]:
        """Paths whose existence means that an engine may still know the sandbox (safety.md A4, A5)."""
