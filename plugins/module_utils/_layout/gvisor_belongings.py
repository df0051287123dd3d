# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gVisor sandbox has outside its root directory: control sockets and filestores (gvisor.md, Paths)."""

from __future__ import annotations

import os
import stat
from typing import Any, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import look
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Part, Reading, Roots

_NAMES = {"socket": "runsc-{}.sock", "filestore": ".gvisor.filestore.{}"}
_KINDS = {"socket": stat.S_ISSOCK, "filestore": stat.S_ISREG}
_SELF_OVERLAY = 2  # runsc's boot.SelfOverlay
_SOCKET_PLACES = {"/var/run", "/run", "/tmp"}  # beside the root directory itself


class Belongings(NamedTuple):
    """parts: what was found. problems: what could not be looked at, though something of the sandbox may be there."""

    parts: list[Part]
    problems: list[str]


def belongings(roots: Roots, reading: Reading) -> Belongings:
    """The control sockets and filestores of a sandbox whose states were read."""
    found = Belongings([], [])
    _add_sockets(found, roots, reading)
    _add_filestores(found, roots, reading)
    return found


def filestores_of_bundles(roots: Roots, bundles: set[str], sandbox_id: str) -> list[Part]:
    """The filestores in bundles that only the arguments of processes name. Raises nothing: those processes live."""
    found = Belongings([], [])
    for bundle in sorted(bundles - {""}):
        _add(found, roots, f"{bundle}/rootfs", "filestore", sandbox_id, sandbox_id)
    return found.parts


def _add_sockets(found: Belongings, roots: Roots, reading: Reading) -> None:
    """In the root directory, and where the state says, if runsc would put one there."""
    name = _NAMES["socket"].format(reading.sandbox_id)
    root = roots["run_root"]
    recorded = [mapping(document.content, "sandbox").get("controlSocketPath") for document in reading.documents]
    places = {os.path.dirname(path) for path in recorded if isinstance(path, str) and os.path.basename(path) == name}
    _add_entry(found, root, "socket", reading.sandbox_id, reading.sandbox_id)
    for place in sorted(places & _SOCKET_PLACES - {root.path}):
        _add(found, roots, place, "socket", reading.sandbox_id, reading.sandbox_id)


def _add_filestores(found: Belongings, roots: Roots, reading: Reading) -> None:
    """In the root file systems and mount sources that the states name."""
    seen = set()
    for document in reading.documents:
        for place, certain in _filestore_places(document.content):
            if place not in seen:
                seen.add(place)
                problems = found.problems if certain else []
                there = Belongings(found.parts, problems)
                _add(there, roots, place, "filestore", reading.sandbox_id, document.container_id)


def _filestore_places(content: Any) -> list[tuple[str, bool]]:
    """Directories that may hold a filestore, and whether the state says that they do (goferMountConfs, upper 2: self).

    A state without that list is of an older runsc: its mount sources are looked at, and passed over where they cannot.
    """
    spec = mapping(content, "spec")
    confs = content.get("goferMountConfs") if isinstance(content, dict) else None
    uppers = [conf.get("upper") for conf in confs if isinstance(conf, dict)] if isinstance(confs, list) else []
    places = []
    root = mapping(spec, "root").get("path")
    if isinstance(root, str) and isinstance(content.get("bundleDir"), str):
        places.append((os.path.join(content["bundleDir"], root), True))
    mounts = spec.get("mounts")
    if isinstance(mounts, list) and (not uppers or _SELF_OVERLAY in uppers[1:]):
        sources = [mount.get("source") for mount in mounts if isinstance(mount, dict)]
        places += [(source, _SELF_OVERLAY in uppers[1:]) for source in sources if isinstance(source, str)]
    return [(place, certain) for place, certain in places if place.startswith("/")]


def _add(found: Belongings, roots: Roots, place: str, role: str, sandbox_id: str, container_id: str) -> None:
    """Look into a directory outside the root. It is opened again only if the entry is to be removed."""
    try:
        with roots.open(place) as directory:
            _add_entry(found, directory, role, sandbox_id, container_id)
    except StateError as error:
        found.problems.append(f"whether a {role} of it is in {place} cannot be told: {error.why}")


def _add_entry(found: Belongings, directory: Directory, role: str, sandbox_id: str, container_id: str) -> None:
    name = _NAMES[role].format(sandbox_id)
    facts = look(directory, name) if directory.exists else None
    if facts is not None and _KINDS[role](facts.mode):
        found.parts.append(Part(role, container_id, directory, name, facts))


def mapping(content: Any, key: str) -> dict[str, Any]:
    """content[key] where both are mappings, else an empty one: a foreign document may hold anything."""
    value = content.get(key) if isinstance(content, dict) else None
    return value if isinstance(value, dict) else {}
