# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundles of a host's containerds, and the sockets of shims that no bundle refers to any more."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import (
    StateError,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import FileFacts, look
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.tombstones import parse_tombstone
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundle_reading import BundleReading
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import (
    LAYOUTS,
    STATE_ROOT,
    TOMBSTONE_PREFIX,
    WORK_ROOT,
    BundleLayout,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.shim_sockets import is_shim_socket
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_owners import owners_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_places import BundlePlace, BundleRoots
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_rootfs import remains
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_sockets import referrers
from ansible_collections.sandboxed.containers.plugins.module_utils._object.evidence import hear
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import (
    Candidate,
    identity_of,
    too_long_to_hide,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_roots import EngineRoots, reached
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_sandboxes import each
from ansible_collections.sandboxed.containers.plugins.module_utils._object.verdict import Evidence

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_NO_ROOT = "the root directory of its containerd is not known, and so is what that lists"


class BundleCandidate(Candidate):
    """One bundle with its work directory."""

    kind = "bundle"
    is_common = True

    def __init__(self, place: BundlePlace, container_id: str, roots: EngineRoots) -> None:
        self.place = place
        self.own_engine = roots.work or ""
        self.layout, self.namespace, self.name = place.layout.name, place.namespace, container_id
        self._is_known = roots.work is not None
        self._reading = BundleReading(container_id)

    def _names(self) -> frozenset[str]:
        return frozenset({self.name, *self._reading.sandbox_ids, self._reading.group or ""} - {""})

    @property
    def _parts(self) -> Sequence[Part]:
        return self._reading.parts

    def _paths(self) -> list[str]:
        return [part.path for part in self._parts]

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        return (self.kind, self.layout, self.namespace, self.name, self.place.state.path)

    def _identity(self) -> dict[str, int]:
        parts = self._reading.parts_of("bundle") or list(self._reading.parts)
        return identity_of(parts[0].facts) if parts else {}

    def _facts(self) -> list[FileFacts]:
        return [*(part.facts for part in self._reading.parts), *(facts for _name, facts in self._reading.entries)]

    def _read(self, view: HostView, held: bool) -> bool:
        self._reading = self.place.read(self.name, view)
        return any(not self._is_anothers(part) for part in self._reading.parts)

    def _is_anothers(self, part: Part) -> bool:
        """A hidden name of ours, which might also be containerd's own of such an id, is shown once: as ours."""
        is_own = part.role == "tombstone" and part.name == TOMBSTONE_PREFIX + self.name
        return is_own and parse_tombstone(part.name, TOMBSTONE_PREFIX) is not None

    def forget(self) -> None:
        super().forget()
        self._reading = BundleReading(self.name)

    def evidence(self, view: HostView) -> Evidence:
        found = owners_of(self.place, self._reading, view).evidence
        found = found._replace(dead=(*found.dead, *remains(self._reading, view)))
        if self._reading.parts_of("bundle", "work"):
            found = found._replace(unknown=(*found.unknown, *too_long_to_hide(self.name, TOMBSTONE_PREFIX)))
        return found if self._is_known else found._replace(unknown=(*found.unknown, _NO_ROOT))


class SocketCandidate(Candidate):
    """The socket of a shim that nobody refers to (field problem 43)."""

    kind = "socket"

    def __init__(self, place: BundlePlace, name: str) -> None:
        self.place, self.name = place, name
        self._status: FileFacts | None = None

    def _names(self) -> frozenset[str]:
        return frozenset()

    def _paths(self) -> list[str]:
        return [self.place.sockets.join(self.name)]

    def _identity(self) -> dict[str, int]:
        return identity_of(self._status) if self._status is not None else {}

    def _facts(self) -> list[FileFacts]:
        return [self._status] if self._status is not None else []

    def _read(self, view: HostView, held: bool) -> bool:
        self._status = look(self.place.sockets, self.name)
        return self._status is not None and stat.S_ISSOCK(self._status.mode)

    def evidence(self, view: HostView) -> Evidence:
        owners: list[str] = []
        unknown: list[str] = []
        hear(self.paths, view, owners, unknown)
        try:
            refer = sorted(referrers(self.place, view).of(self.paths[0]))
        except StateError as error:
            unknown.append(str(error))
            refer = []
        suspects = tuple(f"the bundle {path} refers to it" for path in refer[:3])
        dead = ("nobody listens on it, and no bundle refers to it",)
        return Evidence(tuple(owners), suspects, tuple(unknown), dead, view.blind)


def _given(host_root: str, roots: EngineRoots, others: tuple[str, ...]) -> BundleRoots:
    """An engine's directories as the options of a task would say them. others: the state directories of all."""
    if (roots.state, roots.work) == (reached(host_root, STATE_ROOT), reached(host_root, WORK_ROOT)):
        return BundleRoots(host_root, others=others)
    # Without a root directory of its own, no other one's database is taken for it.
    work = roots.work or os.path.join(roots.state, ".unknown")
    return BundleRoots(host_root, roots.state, work, others=others, found=True)


def find(
    host_root: str, engines: Iterable[EngineRoots], view: HostView, problems: list[str]
) -> Iterator[BundleCandidate]:
    """All bundles and what is left of some. problems: gets what could not be listed; this hides no other engine's."""
    engines = tuple(engines)
    others = tuple(roots.state for roots in engines)
    for roots in engines:
        given = _given(host_root, roots, others)
        for layout in LAYOUTS.values():
            if layout.has_engine:
                yield from each(_of_engine(layout, given, roots, view), problems)


def _of_engine(
    layout: BundleLayout, given: BundleRoots, roots: EngineRoots, view: HostView
) -> Iterator[BundleCandidate]:
    for namespace in BundlePlace(layout, "", given).namespaces():
        place = BundlePlace(layout, namespace, given)
        yield from (BundleCandidate(place, one, roots) for one in place.ids(view))


def find_sockets(host_root: str, engines: Iterable[EngineRoots], view: HostView) -> Iterator[SocketCandidate]:
    """The sockets of shims to which no bundle refers; those that have one go with it."""
    others = tuple(one.state for one in engines)
    place = BundlePlace(LAYOUTS["containerd_v2"], "", BundleRoots(host_root, others=others))
    if not place.sockets.exists:
        return
    known = referrers(place, view)
    for name in place.sockets.listed():
        path = place.sockets.join(name)
        if is_shim_socket(path, [place.sockets.path]) and not known.by_socket.get(path):
            yield SocketCandidate(place, name)
