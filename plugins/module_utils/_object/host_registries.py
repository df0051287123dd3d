# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which containers and sandboxes the engines of a host list: listed is unknown at least (safety.md A5)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_reached
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.containerd_metadata import METADATA_FOLDER
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registries import (
    DOCKER_PROGRAMS,
    STORAGE_PROGRAMS,
    Program,
    Told,
    docker_ids,
    storage_ids,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_engine import engine_at
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_roots import (
    engine_roots,
    problems_of_roots,
    told_to,
)

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

# What they are called, their programs, and how their lists are read.
_ENGINES: tuple[tuple[str, tuple[Program, ...], Callable[[str, Told], set[str]]], ...] = (
    ("Docker", DOCKER_PROGRAMS, docker_ids),
    ("CRI-O or Podman", STORAGE_PROGRAMS, storage_ids),
)


class Lister(NamedTuple):
    """An engine that lists an id. state: of a containerd its state directory."""

    engine: str
    state: str = ""


class Registries(NamedTuple):
    """listers: by id, who lists it. problems: why what one of them lists is not known."""

    listers: dict[str, set[Lister]]
    problems: tuple[str, ...]

    def listed(self, names: Collection[str], but: str = "") -> tuple[str, ...]:
        """Which of these ids are listed, in sentences. but: the state directory of a containerd that is asked apart."""
        found = [
            f"{engine} lists {name}"
            for name in sorted(self.listers.keys() & names)
            for engine, state in sorted(self.listers[name])
            if not but or state != but
        ]
        return tuple(dict.fromkeys(found))

    def doubts(self, names: Collection[str]) -> tuple[str, ...]:
        """Why objects with these ids are in doubt, in sentences."""
        return (*self.listed(names), *self.problems)


def registries(host_root: str, view: HostView) -> Registries:
    """All of a host's, looked at once in a view."""
    return view.once(("registries", host_root), lambda: _look(host_root, view))


def _look(host_root: str, view: HostView) -> Registries:
    found: dict[str, set[Lister]] = {}

    def add(names: Collection[str], lister: Lister) -> None:
        for name in names:
            found.setdefault(name, set()).add(lister)

    problems: list[str] = []
    for engine, programs, read in _ENGINES:
        try:
            add(read(host_root, told_to(programs, host_root, view)), Lister(engine))
        except StateError as error:
            problems.append(f"what {engine} lists cannot be read: {error}")
    problems += problems_of_roots(host_root, view)
    for roots in engine_roots(host_root, view):
        if roots.work is None:
            problems.append(f"what the containerd of {roots.state} lists is not known: its root directory is not found")
            continue
        try:
            with open_reached(host_root, f"{roots.work}/{METADATA_FOLDER}") as metadata:
                containerd = engine_at(metadata, view)
        except StateError as error:
            problems.append(f"what the containerd of {roots.state} lists is not known: {error}")
            continue
        for listed in containerd.listed.values():
            add((*listed.containers, *listed.sandboxes), Lister("containerd", roots.state))
        if containerd.problem:
            problems.append(f"what containerd lists cannot be read: {containerd.problem}")
    return Registries(found, tuple(problems))
