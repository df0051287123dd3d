# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bundles refer to which shim socket: containers of a pod share one (safety.md A6, A10)."""

from __future__ import annotations

from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import read_file
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundle_reading import ADDRESSES
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_places import BundlePlace
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView


class Referrers(NamedTuple):
    """by_socket: the paths of the bundles that name a socket. unreadable: bundles of which that is not known."""

    by_socket: dict[str, set[str]]
    unreadable: set[str]

    def of(self, socket: str) -> set[str]:
        """The bundles that refer to it, or may do so."""
        return self.by_socket.get(socket, set()) | self.unreadable


def referrers(place: BundlePlace, view: HostView) -> Referrers:
    """What all bundles of the host refer to; looked at once in a view. Raises Unreadable."""
    return view.once(("referrers", place.sockets.path), lambda: _look(place))


def _look(place: BundlePlace) -> Referrers:
    found = Referrers({}, set())
    for namespace in place.all_namespaces():
        with namespace:
            for name in namespace.names():
                if not name.startswith("."):
                    _add(place, namespace.child(name), found)
    return found


def _add(place: BundlePlace, bundle: Directory, found: Referrers) -> None:
    """What the files of one bundle name. One that is gone, or no directory, refers to nothing."""
    try:
        with bundle.opened() as opened:
            for name, parse in ADDRESSES.items():
                data = read_file(opened, name)
                address = parse(data, opened.join(name)) if data is not None else None
                if address is not None and address.path:
                    found.by_socket.setdefault(place.here(address.path), set()).add(bundle.path)
    except FileNotFoundError:
        return
    except StateError:
        found.unreadable.add(bundle.path)
