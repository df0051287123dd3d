# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gVisor sandbox has outside its root directory: control sockets and filestores (gvisor.md, Paths)."""

from __future__ import annotations

import os
import stat
from typing import Any, Callable

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import look
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part, Reading, Roots

_SOCKET_PLACES = {"/var/run", "/run", "/tmp"}  # beside the root directory itself


def sockets(roots: Roots, reading: Reading) -> list[Part]:
    """Control sockets of a sandbox: in its root directory, and where its state says, if runsc would put one there."""
    name = f"runsc-{reading.sandbox_id}.sock"
    root = roots["run_root"]
    recorded = [mapping(document.content, "sandbox").get("controlSocketPath") for document in reading.documents]
    places = {os.path.dirname(path) for path in recorded if isinstance(path, str) and os.path.basename(path) == name}
    found = [_entry(root, name, "socket", reading.sandbox_id, stat.S_ISSOCK)]
    found += [
        _elsewhere(roots, place, name, "socket", reading.sandbox_id, stat.S_ISSOCK)
        for place in sorted(places & _SOCKET_PLACES - {root.path})
    ]
    return [part for part in found if part is not None]


def filestores(roots: Roots, reading: Reading) -> list[Part]:
    """Filestores .gvisor.filestore.<sid> in the root file systems and mount sources that the states name."""
    places: dict[str, str] = {}
    for document in reading.documents:
        for path in _spec_places(document.content):
            places.setdefault(path, document.container_id)
    return filestores_in(roots, places, reading.sandbox_id)


def filestores_in(roots: Roots, places: dict[str, str], sandbox_id: str) -> list[Part]:
    """The filestores of a sandbox in these directories, each with the container that it is for."""
    name = f".gvisor.filestore.{sandbox_id}"
    found = [_elsewhere(roots, place, name, "filestore", cid, stat.S_ISREG) for place, cid in places.items()]
    return [part for part in found if part is not None]


def _spec_places(content: Any) -> list[str]:
    """The root file system and the mount sources that a state names; a relative root lies in the bundle."""
    spec = mapping(content, "spec")
    mounts = spec.get("mounts")
    paths = [mount.get("source") for mount in mounts if isinstance(mount, dict)] if isinstance(mounts, list) else []
    root = mapping(spec, "root").get("path")
    if isinstance(root, str) and isinstance(content.get("bundleDir"), str):
        paths.append(os.path.join(content["bundleDir"], root))
    return [path for path in paths if isinstance(path, str) and path.startswith("/")]


def _elsewhere(
    roots: Roots, place: str, name: str, role: str, container_id: str, kind: Callable[[int], bool]
) -> Part | None:
    """An entry of a directory outside the root. That directory is opened again only if the entry is to be removed."""
    directory = roots.open(place)
    if directory is None:
        return None
    with directory:
        try:
            return _entry(directory, name, role, container_id, kind)
        except Unreadable:
            return None  # what cannot be read is kept: only a Part can be removed


def _entry(directory: Directory, name: str, role: str, container_id: str, kind: Callable[[int], bool]) -> Part | None:
    facts = look(directory, name)
    return Part(role, container_id, directory, name, facts) if facts is not None and kind(facts.mode) else None


def mapping(content: Any, key: str) -> dict[str, Any]:
    """content[key] where both are mappings, else an empty one: a foreign document may hold anything."""
    value = content.get(key) if isinstance(content, dict) else None
    return value if isinstance(value, dict) else {}
