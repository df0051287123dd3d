# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What engines other than containerd keep on disk of the containers that they know (safety.md A5).

Docker: a directory <data-root>/containers/<id>. CRI-O and Podman: a directory <graphroot>/<driver>-containers/<id>, and
JSON lists of {"id": …} beside them, containers.json and, of what is not to outlive the boot, volatile-containers.json.
A stopped container is listed as well: its engine may start or delete it at any time.

These directories are known by default, from configurations, and from the arguments of engines that run (A10).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_below
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import read_file, read_followed
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import go_json

_DOCKER_ROOTS = ("/var/lib/docker", "/var/snap/docker/common/var-lib-docker")
_DOCKER_CONFIG = "/etc/docker/daemon.json"
_STORAGE_ROOT = "/var/lib/containers/storage"
_STORAGE_CONFIGS = ("/usr/share/containers/storage.conf", "/etc/containers/storage.conf", "/etc/crio/crio.conf")
_CRIO_DROP_INS = "/etc/crio/crio.conf.d"
_STORAGE_SETTING = r"""\s*(?:graph)?root\s*=\s*["']([^"']+)["']"""  # graphroot in storage.conf, root in CRI-O's own
_STORAGE_FILES = ("containers.json", "volatile-containers.json")


class Program(NamedTuple):
    """An engine's program, and its options: for its directory, its configuration, and a directory of drop-ins."""

    name: str
    root: tuple[str, ...]
    config: tuple[str, ...] = ()
    drop_ins: tuple[str, ...] = ()


DOCKER_PROGRAMS = (Program("dockerd", ("data-root", "graph", "g"), ("config-file",)),)
STORAGE_PROGRAMS = (
    Program("crio", ("root", "r"), ("config", "c"), ("config-dir", "d")),
    Program("podman", ("root",)),
)


class Told(NamedTuple):
    """What the engines that run were told: directories, configurations, which must be there, and those of drop-ins."""

    roots: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    drop_ins: tuple[str, ...] = ()


def docker_ids(host_root: str, told: Told) -> set[str]:
    """The ids that a host's Docker lists. Raises StateError."""
    texts = _configurations(host_root, (_DOCKER_CONFIG,), told)
    configured = [root for path, data in texts.items() for root in _docker_data_roots(path, data)]
    found: set[str] = set()
    for root in dict.fromkeys((*_DOCKER_ROOTS, *configured, *told.roots)):
        with open_below(host_root, f"{root}/containers") as directory:
            found.update(directory.listed() if directory.exists else ())
    return found


def _configurations(host_root: str, usual: tuple[str, ...], told: Told) -> dict[str, bytes]:
    """The contents by path; of a usual one that is not there they are empty."""
    return {path: read_followed(host_root, path, path in told.configs) for path in (*usual, *told.configs)}


def _docker_data_roots(path: str, data: bytes) -> list[str]:
    content = go_json.decode(data, path) if data.strip() else {}
    if not isinstance(content, dict):
        raise Unreadable(path, "it is no object")
    return [root for root in (content.get("data-root"), content.get("graph")) if isinstance(root, str) and root]


def storage_ids(host_root: str, told: Told) -> set[str]:
    """The ids that a host's CRI-O and Podman list. Raises StateError."""
    drop_ins: list[str] = []
    for folder in dict.fromkeys((_CRIO_DROP_INS, *told.drop_ins)):
        with open_below(host_root, folder) as directory:
            drop_ins += [f"{folder}/{name}" for name in directory.listed()] if directory.exists else []
    texts = _configurations(host_root, (*_STORAGE_CONFIGS, *drop_ins), told)
    lines = [line for data in texts.values() for line in data.decode("utf-8", "replace").splitlines()]
    configured = [match[1] for match in map(re.compile(_STORAGE_SETTING).match, lines) if match]
    found: set[str] = set()
    for root in dict.fromkeys((_STORAGE_ROOT, *configured, *told.roots)):
        with open_below(host_root, root) as storage:
            drivers = [name for name in storage.listed() if name.endswith("-containers")] if storage.exists else []
        for name in drivers:
            with open_below(host_root, f"{root}/{name}") as directory:
                found |= _listed_in(directory)
    return found


def _listed_in(directory: Directory) -> set[str]:
    found = set(directory.listed()) if directory.exists else set()
    for name in found.intersection(_STORAGE_FILES):
        found |= _ids_in(directory, name)
    return found.difference(_STORAGE_FILES)


def _ids_in(directory: Directory, name: str) -> set[str]:
    data = read_file(directory, name)
    if not data:
        return set()  # nothing was ever written to it; a container that it should list has its directory
    path = directory.join(name)
    content = go_json.decode(data, path)
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise Unreadable(path, "it is no list of containers")
    ids = {one.get("id") for one in content}
    if not all(isinstance(one, str) for one in ids):
        raise Unreadable(path, "a container in it has no id")
    return ids
