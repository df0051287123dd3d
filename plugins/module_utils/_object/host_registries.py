# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which containers and sandboxes the engines of a host list: listed is unknown at least (safety.md A5)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_reached
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Roots
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
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_engines import engines_by_root
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_roots import (
    listing_roots,
    problems_of_roots,
    told_to,
)

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._basis.processes import Process
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

# What they are called, their programs, and how their lists are read.
_ENGINES: tuple[tuple[str, tuple[Program, ...], Callable[[Roots, Told], set[str]]], ...] = (
    ("Docker", DOCKER_PROGRAMS, docker_ids),
    ("CRI-O or Podman", STORAGE_PROGRAMS, storage_ids),
)


class Lister(NamedTuple):
    """An engine that lists an id. root: of a containerd its root directory, which has its database."""

    engine: str
    root: str = ""


class Registries(NamedTuple):
    """listers: by id, who lists it. problems: why what one of them lists is not known."""

    listers: dict[str, set[Lister]]
    problems: tuple[str, ...]

    def listed(self, names: Collection[str], but: str = "") -> tuple[str, ...]:
        """Which of these ids are listed, in sentences. but: the root directory of a containerd that is asked apart."""
        found = [
            f"{engine} lists {name}"
            for name in sorted(self.listers.keys() & names)
            for engine, root in sorted(self.listers[name])
            if not but or root != but
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
    problems: dict[str, None] = {}
    for root, processes in engines_by_root(host_root, view).items():
        for listed, lister in (
            *_of_others(root, processes, view, problems),
            *_of_containerd(root, processes, view, problems),
        ):
            for name in listed:
                found.setdefault(name, set()).add(lister)
    return Registries(found, tuple(problems))


def _of_others(
    host_root: str, processes: list[Process], view: HostView, problems: dict[str, None]
) -> Iterator[tuple[Collection[str], Lister]]:
    host = Roots(host_root, {})
    host.share_mounts(view.own_mounts)
    for engine, programs, read in _ENGINES:
        try:
            yield read(host, told_to(programs, processes, view)), Lister(engine)
        except StateError as error:
            problems[f"what {engine} lists cannot be read: {error}"] = None


def _of_containerd(
    host_root: str, processes: list[Process], view: HostView, problems: dict[str, None]
) -> Iterator[tuple[Collection[str], Lister]]:
    problems.update(dict.fromkeys(problems_of_roots(host_root, processes)))
    for roots in listing_roots(host_root, processes):
        if roots.work is None:
            problems[f"what the containerd of {roots.state} lists is not known: its database is not found"] = None
            continue
        try:
            with open_reached(host_root, f"{roots.work}/{METADATA_FOLDER}") as metadata:
                containerd = engine_at(metadata, view)
        except StateError as error:
            problems[f"what the containerd of {roots.state} lists is not known: {error}"] = None
            continue
        for listed in containerd.listed.values():
            yield (*listed.containers, *listed.sandboxes), Lister("containerd", roots.work)
        if containerd.problem:
            problems[f"what containerd lists cannot be read: {containerd.problem}"] = None
