# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandboxes of a host, of every layout, with what is left of those that have no state any more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import FileFacts, look
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.locking import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.flat import FlatLayout
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.trees import TreeLayout
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import (
    NO_ID,
    Candidate,
    Terms,
    identity_of,
    may_be_an_id,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_roots import runsc_roots
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox import Wish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_owners import hints_in, owners_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_report import Look, look_at
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.steps import Item
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_FLAT = ("gvisor", "gvisor_legacy")
_Found = TypeVar("_Found")
_KATA_TREES = ("kata_store", "kata_persist", "kata_rs")
# What Kata 1.6 to 1.8 has in a sandbox's directory below /run/vc/sbs, where the Go runtime has persist.json.
_STORE_FILES = frozenset(("lock", "raw", "state.json", "network.json", "hypervisor.json", "agent.json", "devices.json"))
_PERSIST = "persist.json"


class SandboxCandidate(Candidate):
    """One sandbox in one layout below one root."""

    kind = "sandbox"

    def __init__(self, tree: Tree, sandbox_id: str) -> None:
        self.tree = tree
        self.layout = tree.layout.name
        self.name = sandbox_id
        self._look: Look | None = None

    @property
    def _parts(self) -> Sequence[Part]:
        return self._look.reading.parts if self._look is not None else ()

    @property
    def names(self) -> frozenset[str]:
        if self._look is None:
            return frozenset((self.name,))
        reading = self._look.reading
        ids = {part.container_id for part in reading.parts}
        # An alias is the machine of a factory that a link of it leads to (safety.md D5).
        return frozenset({self.name, *reading.containers, *ids, *reading.aliases} - {""})

    @property
    def paths(self) -> list[str]:
        return [part.path for part in self._parts]

    @property
    def main(self) -> Part | None:
        """The part that identifies it: its state, else the first that is left."""
        return next((part for part in self._parts if part.role == "state"), self._parts[0] if self._parts else None)

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        root = self.tree.roots[self.tree.layout.root_rules[-1].option].path
        return (self.kind, self.layout, self.namespace, self.name, root)

    @property
    def identity(self) -> dict[str, int]:
        return identity_of(self.main.facts) if self.main is not None else {}

    @property
    def facts(self) -> list[FileFacts]:
        if self._look is None:
            return []
        documents = self._look.reading.documents
        return [*(part.facts for part in self._parts), *(one.facts for one in documents if one.facts is not None)]

    def read(self, view: HostView, held: bool = False) -> bool:
        look = self._read_held(view) if held else look_at(self.tree, self.name, view, LockBudget(0))
        # What the documents say takes most of the memory, and is needed for files side by side alone.
        self._look = look if isinstance(self.tree.layout, FlatLayout) else look.without_contents()
        return bool(self._parts)

    def _read_held(self, view: HostView) -> Look:
        reading = self.tree.read(view, self.name)
        return Look(reading, hints=hints_in(self.tree.layout, self.tree.roots, reading))

    def evidence(self, view: HostView) -> Evidence:
        if self._look is None:
            return Evidence(unknown=("it was not read",))
        found = owners_of(self.tree.layout, self.tree.roots, self._look.reading, view, self._look.hints).evidence
        if isinstance(self.tree.layout, TreeLayout) and not may_be_an_id(self.name):
            found = found._replace(unknown=(*found.unknown, NO_ID))
        return found._replace(suspects=(self._look.locked, *found.suspects)) if self._look.locked else found

    def item(self, terms: Terms) -> Item:
        wish = Wish(self.name, present=False, unmount=terms.unmount)
        if isinstance(self.tree.layout, FlatLayout):
            from ansible_collections.sandboxed.containers.plugins.module_utils._object.flat_sandbox import FlatSandbox

            return FlatSandbox(wish, self.tree)
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree_sandbox import TreeSandbox

        return TreeSandbox(wish, self.tree)


def find(host_root: str, layouts: Sequence[str], view: HostView, problems: list[str]) -> Iterator[SandboxCandidate]:
    """All sandboxes of these layouts. problems: gets what could not be listed; this hides no other (gvisor#5052)."""
    for name in _FLAT:
        if name in layouts:
            yield from each(_flat(host_root, name, view, problems), problems)
    if any(name in layouts for name in _KATA_TREES):
        yield from each(_kata(host_root, layouts, view), problems)


def each(finder: Iterable[_Found], problems: list[str]) -> Iterator[_Found]:
    """What a finder finds, up to where something cannot be listed."""
    try:
        yield from finder
    except StateError as error:
        problems.append(str(error))


def _flat(host_root: str, name: str, view: HostView, problems: list[str]) -> Iterator[SandboxCandidate]:
    """gVisor's, below each root directory once."""
    seen: set[str] = set()
    yield from each(_below(host_root, name, None, view, seen), problems)
    for root in runsc_roots(host_root, view):
        yield from each(_below(host_root, name, root, view, seen), problems)


def _below(host_root: str, name: str, root: str | None, view: HostView, seen: set[str]) -> Iterator[SandboxCandidate]:
    tree = Tree(LAYOUTS[name], host_root, {"run_root": root} if root else {})
    if tree.roots["run_root"].path not in seen:
        seen.add(tree.roots["run_root"].path)
        yield from (SandboxCandidate(tree, one) for one in sorted(tree.names(view)))


def _kata(host_root: str, layouts: Sequence[str], view: HostView) -> Iterator[SandboxCandidate]:
    """Kata's. The store of 1.x and persist.json share a directory; what has no state is shown with persist.json's.

    The Go runtime's come last even if the Rust runtime's cannot be listed, but then not what has no state: that may
    belong to one of these.
    """
    problem: StateError | None = None
    by_rust: Collection[str] = ()
    try:
        rust = Tree(LAYOUTS["kata_rs"], host_root, {})
        by_rust = rust.names(view).keys()
        yield from (SandboxCandidate(rust, one) for one in sorted(by_rust) if "kata_rs" in layouts)
    except StateError as error:
        problem = error
    trees = {name: Tree(LAYOUTS[name], host_root, {}) for name in ("kata_store", "kata_persist")}
    state = trees["kata_persist"].root_of("state")
    config = trees["kata_store"].root_of("config")
    shared = trees["kata_store"].names(view).keys() | trees["kata_persist"].names(view).keys()
    for sandbox_id in sorted(shared):
        layout = _generation(state, config, sandbox_id)
        if layout in layouts:
            yield SandboxCandidate(trees[layout], sandbox_id)
    if problem is not None:
        raise problem
    if "kata_persist" in layouts:
        left = _beside(trees["kata_persist"], view) - shared - set(by_rust)
        yield from (SandboxCandidate(trees["kata_persist"], one) for one in sorted(left))


def _generation(state: Directory, config: Directory, sandbox_id: str) -> str:
    """Which of the two has made a sandbox's directory, by the files that only one of them has.

    Kata 1.11 leaves a directory of the old store beside each persist.json (runtime#2921): the latter tells whose it is.
    """
    try:
        with state.child(sandbox_id).opened() as directory:
            names = set(directory.names())
    except (FileNotFoundError, StateError):
        names = set()
    if _PERSIST in names:
        return "kata_persist"
    in_store = (config.exists and look(config, sandbox_id) is not None) or bool(names & _STORE_FILES)
    return "kata_store" if in_store else "kata_persist"


def _beside(tree: Tree, view: HostView) -> set[str]:
    """The names of shared trees and VM directories. Firecracker's are cut, so that whose they are is not known."""
    layout = cast(TreeLayout, tree.layout)
    index = view.once(("index", tree), lambda: layout.index(tree.roots))
    found: set[str] = set()
    for place in index.surroundings.places:
        if not place.rule.length and place.rule.role in ("share", "vm"):
            found |= {name for name in place.names if name not in place.rule.reserved and not name.startswith(".")}
    return found
