# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandboxes of a host, of every layout, with what is left of those that have no state any more."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.lock_budget import LockBudget
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import FileFacts, look
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.flat import FlatLayout
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.trees import TREES, TreeLayout
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import (
    NO_ID,
    Candidate,
    Seen,
    identity_of,
    may_be_an_id,
    too_long_to_hide,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_roots import runsc_roots
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_owners import hints_in, owners_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_report import Look, look_at
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_Found = TypeVar("_Found")
_FACTORY_CACHE = "/var/run/kata-containers/cache.sock"


class SandboxCandidate(Candidate):
    """One sandbox in one layout below one root."""

    kind = "sandbox"
    is_common = True

    def __init__(self, tree: Tree, sandbox_id: str, store: Tree | None = None) -> None:
        """store: of another generation, which may have made its directory, as is told when that is read."""
        self.tree = tree
        self.layout = tree.layout.name
        self.name = sandbox_id
        self._store = store
        self._look: Look | None = None

    def take(self, seen: Seen) -> None:
        super().take(seen)
        if self._store is not None and seen.layout != self.layout:
            self.tree, self.layout = self._store, seen.layout
        self._store = None

    @property
    def _parts(self) -> Sequence[Part]:
        return self._look.reading.parts if self._look is not None else ()

    def _names(self) -> frozenset[str]:
        if self._look is None:
            return frozenset((self.name,))
        reading = self._look.reading
        ids = {part.container_id for part in reading.parts}
        # An alias is the machine of a factory that a link of it leads to (safety.md D5).
        return frozenset({self.name, *reading.containers, *ids, *reading.aliases} - {""})

    def _paths(self) -> list[str]:
        return [part.path for part in self._parts]

    @property
    def main(self) -> Part | None:
        """The part that identifies it: its state, else the first that is left."""
        return next((part for part in self._parts if part.role == "state"), self._parts[0] if self._parts else None)

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        root = self.tree.roots[self.tree.layout.root_rules[-1].option].path
        return (self.kind, self.layout, self.namespace, self.name, root)

    def _identity(self) -> dict[str, int]:
        return identity_of(self.main.facts) if self.main is not None else {}

    def _facts(self) -> list[FileFacts]:
        if self._look is None:
            return []
        documents = self._look.reading.documents
        return [*(part.facts for part in self._parts), *(one.facts for one in documents if one.facts is not None)]

    def _read(self, view: HostView, held: bool) -> bool:
        found = self._read_held(view) if held else self._look_at(view)
        store, self._store = self._store, None
        if store is not None and all(one.container_id for one in found.reading.documents) and self._is_of(store):
            self.tree, self.layout = store, store.layout.name
            found = self._look_at(view)
        # What the documents say takes most of the memory, and is needed for files side by side alone.
        self._look = found if isinstance(self.tree.layout, FlatLayout) else found.without_contents()
        return bool(self._parts)

    def _look_at(self, view: HostView) -> Look:
        return look_at(self.tree, self.name, view, LockBudget(0), contents=False)

    def _is_of(self, other: Tree) -> bool:
        """Whether the other generation has made the directory that both have it in: by what only that has there."""
        own, others = (cast(TreeLayout, tree.layout).entries_of_a_sandbox() for tree in (self.tree, other))
        try:
            with self.tree.root_of("state").child(self.name).opened() as directory:
                names = set(directory.listed())
        except (FileNotFoundError, StateError):
            return False
        return not names & own and bool(names & others)

    def _read_held(self, view: HostView) -> Look:
        reading = self.tree.read(view, self.name)
        return Look(reading, hints=hints_in(self.tree.layout, self.tree.roots, reading))

    def forget(self) -> None:
        super().forget()
        self._look = None

    def evidence(self, view: HostView) -> Evidence:
        if self._look is None:
            return Evidence(unknown=("it was not read",))
        layout, roots, reading, hints = self.tree.layout, self.tree.roots, self._look.reading, self._look.hints
        # That an engine lists it is asked in one place for objects of every kind (host_scan.py).
        found = owners_of(layout, roots, reading, view, hints, asks_engines=False).evidence
        if isinstance(self.tree.layout, TreeLayout):
            odd: tuple[str, ...] = () if may_be_an_id(self.name) else (NO_ID,)
            odd += too_long_to_hide(self.name) if any(part.role in TREES for part in self._parts) else ()
            found = found._replace(unknown=(*found.unknown, *odd))
        return found._replace(suspects=(self._look.locked, *found.suspects)) if self._look.locked else found


def find(host_root: str, view: HostView, problems: list[str]) -> Iterator[SandboxCandidate]:
    """All sandboxes. problems: gets what could not be listed; this hides no other (gvisor#5052)."""
    for name, layout in LAYOUTS.items():
        if layout.is_flat:
            yield from each(_flat(host_root, name, view, problems), problems)
    yield from each(_kata(host_root, view), problems)


def each(finder: Iterable[_Found], problems: list[str]) -> Iterator[_Found]:
    """What a finder finds, up to where something cannot be listed."""
    try:
        yield from finder
    except StateError as error:
        problems.append(str(error))


def _tree(name: str, host_root: str, view: HostView, given: dict[str, str | None] | None = None) -> Tree:
    """A layout below a root. All share one look at the mounts, made before there are workers."""
    tree = Tree(LAYOUTS[name], host_root, given or {}, found=True)
    tree.roots.share_mounts(view.own_mounts)
    return tree


def _flat(host_root: str, name: str, view: HostView, problems: list[str]) -> Iterator[SandboxCandidate]:
    """gVisor's, below each root directory once."""
    seen: set[str] = set()
    yield from each(_below(host_root, name, None, view, seen), problems)
    for root in runsc_roots(host_root, view):
        yield from each(_below(host_root, name, root, view, seen), problems)


def _below(host_root: str, name: str, root: str | None, view: HostView, seen: set[str]) -> Iterator[SandboxCandidate]:
    tree = _tree(name, host_root, view, {"run_root": root} if root else {})
    if tree.roots["run_root"].path not in seen:
        seen.add(tree.roots["run_root"].path)
        yield from (SandboxCandidate(tree, one) for one in sorted(tree.names(view)))


def _kata(host_root: str, view: HostView) -> Iterator[SandboxCandidate]:
    """Kata's. The store of 1.x and persist.json share a directory; what has no state is shown with persist.json's.

    The Go runtime's come also if the Rust runtime's cannot be listed, but then not what has no state: that may belong
    to one of these.
    """
    problem: StateError | None = None
    by_rust: Collection[str] = ()
    try:
        rust = _tree("kata_rs", host_root, view)
        by_rust = rust.names(view).keys()
        yield from (SandboxCandidate(rust, one) for one in sorted(by_rust))
    except StateError as error:
        problem = error
    store, persist = (_tree(name, host_root, view) for name in ("kata_store", "kata_persist"))
    config, state = store.root_of("config"), persist.root_of("state")
    hidden = _hidden_in(config, store)
    shared = store.names(view).keys() | persist.names(view).keys()
    for sandbox_id in sorted(shared):
        in_store = sandbox_id in hidden or (config.exists and look(config, sandbox_id) is not None)
        if in_store and not _has_any(state.child(sandbox_id), cast(TreeLayout, persist.layout).entries_of_a_sandbox()):
            yield SandboxCandidate(store, sandbox_id)
        else:
            yield SandboxCandidate(persist, sandbox_id, store)
    if problem is not None:
        raise problem
    left = _beside(persist, view) - shared - set(by_rust)
    yield from (SandboxCandidate(persist, one) for one in sorted(left))


def _has_any(sandbox: Directory, names: frozenset[str]) -> bool:
    """Whether one of these is in a sandbox's directory. Kata 1.11 leaves a directory of the old store beside each
    persist.json (runtime#2921), which is told by that."""
    try:
        with sandbox.opened() as directory:
            return any(look(directory, name) is not None for name in names)
    except (FileNotFoundError, StateError):
        return False


def _hidden_in(config: Directory, store: Tree) -> set[str]:
    """The sandboxes of which a killed delete has left the configuration, which only the store of 1.x has."""
    if not config.exists:
        return set()
    above = os.path.dirname(config.path)
    hidden = cast(TreeLayout, store.layout).tombstones(store.roots)
    return {name for name, parts in hidden.items() if any(part.directory.path == above for part in parts)}


def _beside(tree: Tree, view: HostView) -> set[str]:
    """The names of shared trees and VM directories. Firecracker's are cut, so that whose they are is not known.

    Where there is a VM factory, a VM directory may be one of its machines, which no sandbox has yet (safety.md D5).
    """
    layout = cast(TreeLayout, tree.layout)
    index = view.once(("index", tree), lambda: layout.index(tree.roots))
    found: set[str] = set()
    linked: set[str] = set()
    for place in index.surroundings.places:
        if place.rule.length or place.rule.role not in ("share", "vm"):
            continue
        if place.rule.role == "vm":
            linked |= set(_link_targets(place.directory, place.names))
            if place.names & place.rule.reserved or tree.roots.may_exist(_FACTORY_CACHE):
                continue
        found |= {name for name in place.names if name not in place.rule.reserved and not name.startswith(".")}
    return found - linked


def _link_targets(directory: Directory, names: Iterable[str]) -> Iterator[str]:
    """The machines that sandboxes' own VM directories lead to."""
    with contextlib.suppress(FileNotFoundError), directory.reopened() as opened:
        for name in names:
            with contextlib.suppress(OSError):  # it is no link, or gone
                yield os.path.basename(os.readlink(name, dir_fd=opened.fd))
