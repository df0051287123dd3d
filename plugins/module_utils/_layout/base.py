# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every layout says about itself: the words and shapes in which a runtime generation is described.

A layout is data and a few pure look-ups. It never changes anything on disk and knows no Ansible.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError, Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import NameRule
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import (
    Directory,
    open_below,
    open_given,
    open_reached,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import FileFacts, look

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import MountTable
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process


class RootRule(NamedTuple):
    """A directory that a layout keeps its objects in.

    option: its name in the modules. mode: of one that is made; above_mode: of directories above it that are made with
    it. inside: the directory below the option's one that has the objects, where that is another.
    """

    option: str
    default: str
    mode: int
    above_mode: int = 0o755
    inside: str = ""


class DocumentRule(NamedTuple):
    """A document of a layout. newline: whether the runtime ends it with one.

    needed: whether something new must have it. sandbox, container: whether a sandbox, and a container inside one, can
    have it. is_list: it is a list, else a mapping. tree: the role of the tree that it lies in, where there are several.
    evidence: whether it says anything about owners.
    """

    name: str
    mode: int
    newline: bool = False
    needed: bool = True
    sandbox: bool = True
    container: bool = True
    is_list: bool = False
    tree: str = "state"
    evidence: bool = True


class TreeRule(NamedTuple):
    """One of the trees of a layout. role: config or state. option: that names its root. mode: of its directories.

    directories and files: what each directory of it has beside its documents, with modes.
    """

    role: str
    option: str
    mode: int
    directories: tuple[tuple[str, int], ...] = ()
    files: tuple[tuple[str, int], ...] = ()


class Part(NamedTuple):
    """An entry on disk that belongs to a sandbox.

    role: state, lock, temporary, socket, filestore where files lie side by side; config, state (trees), tombstone, and
    for what belongs to it elsewhere vm, share, firecracker, initdata. container_id: the container that it belongs to.
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
    which is worse than a content that is empty or cut: then nothing at all is known about it. facts: of its file."""

    name: str
    container_id: str
    path: str
    content: Any
    problem: str = ""
    readable: bool = True
    facts: FileFacts | None = None


class RecordedProcess(NamedTuple):
    """A process that a document names. role: "sandbox", "gofer"; a pid of 0 or less is no process and not given."""

    role: str
    pid: int
    container_id: str


class Watched(NamedTuple):
    """An entry below an open root, and what it was when it was read; facts None: it was not there."""

    root: Directory
    path: str
    facts: FileFacts | None


class Reading(NamedTuple):
    """All that one sandbox has on disk. missing: names of files that a whole one would have, for people.

    problems: sentences about what could not be looked at and might belong to it. doubts: sentences about what on disk
    may mean an owner. sockets: paths at which somebody may listen. containers: the names of those inside it. aliases:
    other names that its processes carry. pids: processes that pid files name. watched: entries below a root, with
    which all that was read of the trees stands or falls.
    """

    sandbox_id: str
    parts: tuple[Part, ...] = ()
    documents: tuple[Document, ...] = ()
    missing: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    aliases: frozenset[str] = frozenset()
    pids: tuple[RecordedProcess, ...] = ()
    watched: tuple[Watched, ...] = ()

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
    """The open root directories of one layout, by the option that names them, and the host that they are of.

    paths: the path of each as the user or the layout's rule gave it; default: whether it is the rule's. found: it was
    not the user who gave them, they were found on that host.
    """

    def __init__(
        self,
        host_root: str,
        directories: dict[str, Directory],
        paths: Mapping[str, str] = MappingProxyType({}),
        given: Collection[str] = (),
        found: bool = False,
    ) -> None:
        self._host_root = host_root
        self._found = found
        self._directories = directories
        self._paths = paths
        self._given = given
        self._mounts: MountTable | None = None  # when it was asked for
        self._real_paths: dict[tuple[str, str], str] = {}

    def __getitem__(self, option: str) -> Directory:
        return self._directories[option]

    @property
    def mounts(self) -> MountTable:
        """The mounts of this host, read once."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import MountTable

        if self._mounts is None:
            self._mounts = MountTable.read()
        return self._mounts

    def share_mounts(self, table: MountTable) -> None:
        """Take these mounts of this host, which were looked at just now: there may be tens of thousands."""
        self._mounts = table

    def is_default(self, option: str) -> bool:
        """Whether this is the very directory that the runtime uses on this host unless it is told another one."""
        return self._host_root == "/" and option not in self._given

    @property
    def host_root(self) -> str:
        """The root directory of the host that they are of."""
        return self._host_root

    @property
    def is_named(self) -> bool:
        """Whether the user named one of them: what runs on the host need not know of it."""
        return bool(self._given) and not self._found

    def beside(self, option: str, relative: str) -> Directory:
        """A directory whose place is told from a root's: open, or one that does not exist. Raises Unreadable."""
        path = os.path.normpath(os.path.join(self._paths[option], relative))
        if option not in self._given:
            return open_below(self._host_root, path)
        return open_reached(self._host_root, path) if self._found else open_given(path)

    def path_beside(self, option: str, relative: str) -> str:
        """The path without links of a directory whose place is told from a root's, whether it exists or not."""
        key = (option, relative)
        if key not in self._real_paths:
            try:
                with self.beside(option, relative) as directory:
                    self._real_paths[key] = directory.path
            except StateError:
                self._real_paths[key] = os.path.normpath(os.path.join(self._paths[option], relative))
        return self._real_paths[key]

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
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.mounts import REMOTE

        holder = self.mounts.holding(os.path.normpath(root.rstrip("/") + path))
        return holder is None or holder.fs_type.partition(".")[0] in REMOTE

    def is_remote(self, path: str) -> bool:
        """Whether a path of that host is on a file system that may never answer (safety.md B6), and that is not the one
        which the host lives on."""
        if not self._may_hang(path, self._host_root):
            return False
        return self.mounts.holding(os.path.normpath(self._host_root.rstrip("/") + path)) != self.mounts.holding("/")

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

    def is_any(self, path: str, ours: Collection[str]) -> bool:
        """Whether a path of this very host, from a process's arguments, is one of our directories by another name."""
        if not path.isprintable() or self._may_hang(path, "/"):
            return False
        try:
            return any(os.path.samefile(path, one) for one in ours if os.path.isdir(one))
        except OSError:
            return False

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
        return bool(self.found_at(path))

    def found_at(self, path: str) -> str:
        """The same path as it is reached from here, without links on the way to it; empty where it is not there. As it
        was given where that cannot be told."""
        if not path.isprintable():
            return path
        try:
            with open_below(self._host_root, os.path.dirname(path)) as parent:
                name = os.path.basename(path)
                return parent.join(name) if parent.exists and look(parent, name) is not None else ""
        except StateError:
            return path


class Layout(ABC):
    """One runtime generation. Subclasses set the data and answer the look-ups; the object floor does the rest.

    It is a FlatLayout (layout/flat.py) or a TreeLayout (layout/trees.py): files side by side, or directories. is_flat
    tells which; a task imports only the one that it needs. raw_directory and inherits_owner: see TreeLayout.
    """

    name: str
    root_rules: tuple[RootRule, ...]
    documents: tuple[DocumentRule, ...]
    names: NameRule
    is_flat = False
    raw_directory = ""
    inherits_owner = False

    @property
    def container_names(self) -> NameRule:
        """Which names containers can have on disk."""
        return self.names

    @abstractmethod
    def sandboxes_of(self, roots: Roots) -> dict[str, list[str]]:
        """One pass over the roots: sandbox id to the names of entries that belong to it."""

    @abstractmethod
    def check_length(self, sandbox_id: str, container_id: str) -> None:
        """InvalidInput when no file system could hold the names of its files."""

    @abstractmethod
    def check_document(self, name: str, content: Any, sandbox_id: str, container_id: str) -> None:
        """InvalidInput when a document to be written does not fit the object that it is for."""

    @abstractmethod
    def encode(self, rule: DocumentRule, content: Any, container_id: str) -> bytes:
        """A document as the runtime writes it. Raises InvalidInput for what it cannot hold."""

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
    def referrers(self, reading: Reading) -> list[str]:
        """Paths whose existence means that an engine may still know the sandbox (safety.md A4, A5)."""

    def rule_of(self, document: str) -> DocumentRule:
        """The rule of one of its documents."""
        return next(rule for rule in self.documents if rule.name == document)
