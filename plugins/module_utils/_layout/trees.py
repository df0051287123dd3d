# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts that keep each sandbox as a directory, in one or two trees, with a directory for each container inside it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    InvalidInput,
    Unreadable,
    os_reason,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import FILE_NAME_BYTES, NameRule
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import look
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.tombstones import (
    parse_tombstone,
    tombstone_name,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import (
    Document,
    DocumentRule,
    Layout,
    Part,
    Reading,
    Roots,
    TreeRule,
    Watched,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.surroundings import (
    NOTHING_BESIDE,
    Beside,
    Peers,
    PlaceRule,
    Surroundings,
    find_surroundings,
)

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace

TREES = ("config", "state")
BESIDE = ("share", "initdata", "vm", "firecracker", "jail")  # in the order of removal
_TOMBSTONE_BYTES = len(tombstone_name(""))


class Index(NamedTuple):
    """What must be known of a host before single sandboxes can be read. tombstones: by the sandbox's name. peers: of a
    layout whose machines may run elsewhere; None where none do."""

    tombstones: dict[str, list[Part]]
    surroundings: Surroundings
    peers: Peers | None = None


class TreeLayout(Layout):
    """trees: in the order of removal (safety.md D1); something new is made in the opposite order, so that it is whole
    when it is listed.
    lock_file: the lock inside the state tree, "." for that directory itself, empty where the runtime has none.
    runtime_waits: whether the runtime waits for it, so that a reader may take it (B3).
    not_containers: directories inside a sandbox that are none; sign_directories: those with sockets and pid files.
    other_places: directories below the root, {} for the name, in which a sandbox's document may be when it is not in
    its own. raw_directory: in the state tree, for texts that the runtime does not understand; empty for none.
    inherits_owner: new directories get the owner of the one above.
    """

    trees: tuple[TreeRule, ...]
    lock_file: str
    runtime_waits: bool
    not_containers: frozenset[str]
    sign_directories: tuple[str, ...] = ()
    places: tuple[PlaceRule, ...]
    other_places: tuple[tuple[str, ...], ...] = ()

    def __init__(self) -> None:
        self._rules: dict[tuple[str, bool], list[tuple[DocumentRule, str]]] = {}

    @property
    def has_containers(self) -> bool:
        """Whether it keeps anything for single containers."""
        return any(rule.container for rule in self.documents)

    @property
    def state_tree(self) -> TreeRule:
        """The tree that the lock is in, and whose removal makes a sandbox be gone."""
        return self.trees[-1]

    # names

    @property
    def container_names(self) -> NameRule:
        """A container is a directory in its sandbox's; what the runtime itself has there is none."""
        own = self.not_containers.union(*(self._entries(tree) for tree in self.trees))
        return self.names._replace(reserved=self.names.reserved | own)

    def sandboxes_of(self, roots: Roots) -> dict[str, list[str]]:
        listed = [name for rule in self.trees for name in _names_in(roots[rule.option])]
        found: dict[str, list[str]] = {name: [] for name in listed if name not in self.names.reserved}
        for name in self.tombstones(roots):
            found.setdefault(name, [])
        return found

    def check_length(self, sandbox_id: str, container_id: str) -> None:
        size = len(sandbox_id.encode("utf-8")) + _TOMBSTONE_BYTES
        if size > FILE_NAME_BYTES:
            why = f"while it is removed its name would have {size} bytes"
            raise InvalidInput("sandbox_id", why, f"A file name has at most {FILE_NAME_BYTES}.")

    # reading

    def tombstones(self, roots: Roots) -> dict[str, list[Part]]:
        """What killed runs of ours left of what they removed or made, by the sandbox's name (safety.md D2).

        What a container leaves carries the name of its sandbox: all of it is as good as gone."""
        found: dict[str, list[Part]] = {}
        for rule in self.trees:
            root = roots[rule.option]
            if not root.exists:
                continue
            with root.above_it() as above:
                subjects = [(name, parse_tombstone(name)) for name in _names_in(above)]
                for name, subject in subjects:
                    if subject is not None and (facts := look(above, name)) is not None:
                        part = Part("tombstone", "", Directory(-1, above.path), name, facts)
                        found.setdefault(subject, []).append(part)
        return found

    def index(self, roots: Roots) -> Index:
        return Index(self.tombstones(roots), find_surroundings(self.places, roots))

    def read(
        self,
        roots: Roots,
        sandbox_id: str,
        index: Index,
        known: Reading | None = None,
        whole: bool = True,
        contents: bool = True,
    ) -> Reading:
        """One sandbox. known: an earlier reading, whose documents still hold where nothing of it has changed since.

        whole: all documents, and not only those that say something about owners. contents: of these others too, which
        are read all the same: one that cannot be read leaves everything unknown."""
        again = known is not None and bool(known.watched) and all(_holds(one) for one in known.watched)
        if known is None or not again:
            known = self._read_trees(roots, sandbox_id, whole, contents)
        beside = index.surroundings.of(sandbox_id, known.aliases, whole or bool(known.parts))
        tombstones = index.tombstones.get(sandbox_id, ())
        if beside == NOTHING_BESIDE and not tombstones and not any(part.role in BESIDE for part in known.parts):
            if again and not known.doubts:  # the same documents raise none now either
                return known
            doubts = tuple(self.doubts(known))
            return known if known.doubts == doubts else known._replace(doubts=doubts)
        return self._with_surroundings(known, beside, tuple(tombstones))

    def _read_trees(self, roots: Roots, sandbox_id: str, whole: bool, contents: bool) -> Reading:
        """What its directories hold; its documents are read by a module that most runs that change nothing need not."""
        seen = [
            Watched(roots[tree.option], sandbox_id, look(roots[tree.option], sandbox_id))
            for tree in self.trees
            if roots[tree.option].exists
        ]
        if not any(one.facts for one in seen):
            return Reading(sandbox_id)
        from ansible_collections.sandboxed.containers.plugins.module_utils._layout.tree_reading import TreeReader

        return TreeReader(self, roots, sandbox_id, whole, contents).read({one.root.path: one for one in seen})

    def _with_surroundings(self, reading: Reading, beside: Beside, tombstones: tuple[Part, ...]) -> Reading:
        return reading._replace(
            parts=(*tombstones, *beside.parts, *(part for part in reading.parts if part.role in TREES)),
            problems=_together(reading.problems, beside.problems),
            doubts=(*self.doubts(reading), *beside.doubts),
            sockets=_together(reading.sockets, beside.sockets),
            aliases=reading.aliases | beside.aliases,
            pids=_together(reading.pids, beside.pids),
        )

    @abstractmethod
    def doubts(self, reading: Reading) -> list[str]:
        """What the documents say that leaves the owner unknown (safety.md A7)."""

    @abstractmethod
    def aliases(self, documents: list[Document]) -> frozenset[str]:
        """Other names under which the documents say that processes run."""

    # changes

    def lock_place(self, roots: Roots, sandbox_id: str) -> LockPlace | None:
        """The object that the runtime itself locks (README.md R1); None where it has none."""
        from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockPlace

        root = roots[self.state_tree.option]
        if not self.lock_file:
            return None
        if self.lock_file == ".":
            return LockPlace(root, sandbox_id, is_directory=True)
        return LockPlace(root, f"{sandbox_id}/{self.lock_file}")

    def rules_at(self, tree: TreeRule, in_container: bool) -> list[tuple[DocumentRule, str]]:
        """The documents that a directory of a tree can have, with their file names."""
        key = (tree.role, in_container)
        if key not in self._rules:
            self._rules[key] = [
                (rule, f"{rule.name}.json")
                for rule in self.documents
                if rule.tree == tree.role and (rule.container if in_container else rule.sandbox)
            ]
        return self._rules[key]

    def entries_of_a_sandbox(self) -> frozenset[str]:
        """The names of all that the runtime makes itself in a sandbox's directory in the state tree."""
        return self._entries(self.state_tree)

    def _entries(self, tree: TreeRule) -> frozenset[str]:
        own = [name for name, _mode in (*tree.directories, *tree.files)]
        return frozenset((*own, *(name for _rule, name in self.rules_at(tree, in_container=False))))

    def cut_name(self, sandbox_id: str) -> str:
        """Its name in the arguments of a program that is told only the beginning, also when the directory of that name
        is gone (safety.md A8); empty where the layout has no such program."""
        return next((sandbox_id[: place.length] for place in self.places if place.length), "")

    def trees_of(self, reading: Reading, container_id: str) -> list[Part]:
        """The directories of a sandbox, or of a container in it, in the order of removal."""
        trees = [part for part in reading.parts if part.role in TREES]
        if not container_id:
            return trees
        path = f"{reading.sandbox_id}/{container_id}"
        facts = {one.root: one.facts for one in reading.watched if one.path == path and one.facts is not None}
        return [
            Part(tree.role, container_id, tree.directory.child(tree.name), container_id, found)
            for tree in trees
            if (found := facts.get(tree.directory)) is not None
        ]

    def referrers(self, reading: Reading) -> list[str]:
        """The bundles that the documents name; those of its name are found with its surroundings."""
        return []


_Any = TypeVar("_Any")


def _together(one: tuple[_Any, ...], other: tuple[_Any, ...]) -> tuple[_Any, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def _holds(one: Watched) -> bool:
    return look(one.root, one.path) == one.facts


def _names_in(directory: Directory) -> list[str]:
    if not directory.exists:
        return []
    try:
        return directory.names()
    except OSError as error:
        raise Unreadable(
            directory.path, f"it cannot be listed: {os_reason(error)}", "Run as root (become: true)."
        ) from error


def pairs_of(documents: tuple[Document, ...] | list[Document], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Container and content of the readable documents of that name."""
    for document in documents:
        if document.name == name and isinstance(document.content, dict):
            yield document.container_id, document.content
