# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What engines other than containerd keep on disk of the containers that they know (safety.md A5).

Docker: a directory <data-root>/containers/<id>, with userns-remap <data-root>/<uid>.<gid>/containers/<id>. CRI-O and
Podman: a directory <graphroot>/<driver>-containers/<id>, and JSON lists of {"id": …} beside them, containers.json and,
of what is not to outlive the boot, volatile-containers.json. A stopped container is listed as well: its engine may
start or delete it at any time.

These directories are known by default, from configurations, and from the arguments of engines that run (A10). One that
a configuration names is there, or its disk is not mounted: then what it lists is not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory, open_below
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import read_file, read_followed
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import go_json
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.toml_settings import settings_of

if TYPE_CHECKING:
    from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Roots

_DOCKER_ROOTS = ("/var/lib/docker", "/var/snap/docker/common/var-lib-docker")
_DOCKER_CONFIG = "/etc/docker/daemon.json"
_REMAPPED = re.compile(r"\d+\.\d+", re.A)
_STORAGE_ROOT = "/var/lib/containers/storage"
_STORAGE_CONFIGS = ("/usr/share/containers/storage.conf", "/etc/containers/storage.conf", "/etc/crio/crio.conf")
_CRIO_DROP_INS = "/etc/crio/crio.conf.d"
_STORAGE_SETTINGS = ("graphroot", "root")  # in storage.conf, and in CRI-O's own
_STORAGE_FILES = ("containers.json", "volatile-containers.json")


class Program(NamedTuple):
    """An engine's program, and its options: for its directory, its configuration, and a directory of drop-ins.

    Those in capitals are variables of its environment.
    """

    name: str
    root: tuple[str, ...]
    config: tuple[str, ...] = ()
    drop_ins: tuple[str, ...] = ()


DOCKER_PROGRAMS = (Program("dockerd", ("data-root", "graph", "g"), ("config-file",)),)
STORAGE_PROGRAMS = (
    Program(
        "crio",
        ("root", "r", "CONTAINER_ROOT"),
        ("config", "c", "CONTAINER_CONFIG"),
        ("config-dir", "d", "CONTAINER_CONFIG_DIR"),
    ),
    Program("podman", ("root",)),
)


class Told(NamedTuple):
    """What the engines that run were told: directories, configurations, which must be there, and those of drop-ins."""

    roots: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    drop_ins: tuple[str, ...] = ()


def docker_ids(host: Roots, told: Told) -> set[str]:
    """The ids that a host's Docker lists. host: none of its root directories need be known. Raises StateError."""
    texts = _configurations(host, (_DOCKER_CONFIG,), told)
    configured = [root for path, data in texts.items() for root in _docker_data_roots(path, data)]
    found: set[str] = set()
    for root in _each(_DOCKER_ROOTS, configured, told):
        with _opened(host, root, must_be=root in configured) as directory:
            remapped = [name for name in _names_in(directory) if _REMAPPED.fullmatch(name)]
        for folder in ("containers", *(f"{name}/containers" for name in remapped)):
            with _opened(host, f"{root}/{folder}") as directory:
                found.update(_names_in(directory))
    return found


def _each(usual: Iterable[str], configured: Iterable[str], told: Told) -> list[str]:
    return list(dict.fromkeys((*usual, *configured, *told.roots)))


def _opened(host: Roots, path: str, must_be: bool = False) -> Directory:
    """A directory that an engine has, or is told to have; closed where there is none. Raises StateError."""
    if not path.startswith("/"):
        raise Unreadable(path, "it is no absolute path")
    if host.is_remote(path):
        raise Unreadable(path, "its file system may not answer, so it is left alone")
    directory = open_below(host.host_root, path)
    if directory.is_lost or (must_be and not directory.exists):
        why = "a link on the way to it leads to nothing" if directory.is_lost else "it is configured, and not there"
        raise Unreadable(path, why, "Mount its file system.")
    return directory


def _names_in(directory: Directory) -> list[str]:
    return directory.listed() if directory.exists else []


def _configurations(host: Roots, usual: tuple[str, ...], told: Told) -> dict[str, bytes]:
    """The contents by path; of a usual one that is not there they are empty."""
    paths = (*usual, *told.configs)
    return {path: read_followed(host.host_root, path, path in told.configs) for path in paths}


def _docker_data_roots(path: str, data: bytes) -> list[str]:
    content = go_json.decode(data, path) if data.strip() else {}
    if not isinstance(content, dict):
        raise Unreadable(path, "it is no object")
    return [root for root in (content.get("data-root"), content.get("graph")) if isinstance(root, str) and root]


def storage_ids(host: Roots, told: Told) -> set[str]:
    """The ids that a host's CRI-O and Podman list. Raises StateError."""
    drop_ins: list[str] = []
    for folder in dict.fromkeys((_CRIO_DROP_INS, *told.drop_ins)):
        with _opened(host, folder) as directory:
            drop_ins += [f"{folder}/{name}" for name in _names_in(directory)]
    texts = _configurations(host, (*_STORAGE_CONFIGS, *drop_ins), told)
    settings = [one for path, data in texts.items() for one in settings_of(data, path, _STORAGE_SETTINGS)]
    configured = [value for setting in settings for value in setting.values if value]
    found: set[str] = set()
    for root in _each((_STORAGE_ROOT,), configured, told):
        # The packages' configurations name the usual one, which is made when it is first used.
        with _opened(host, root, must_be=root in configured and root != _STORAGE_ROOT) as storage:
            drivers = [name for name in _names_in(storage) if name.endswith("-containers")]
        for name in drivers:
            with _opened(host, f"{root}/{name}") as directory:
                found |= _listed_in(directory)
    return found


def _listed_in(directory: Directory) -> set[str]:
    found = set(_names_in(directory))
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
    ids = [one.get("id") for one in content]
    if not all(isinstance(one, str) for one in ids):
        raise Unreadable(path, "a container in it has no id")
    return set(ids)
