# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of container_bundle, and how they become wishes."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput, Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import (
    as_name,
    as_names,
    check_known_name,
    check_passable,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import open_given
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import read_file
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import go_json, oci_spec
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.bundles import NAMES
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle import Bundle, BundleWish
from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_selection import (
    SELECTORS,
    Places,
    namespace_of,
)

_SPEC: dict[str, dict[str, Any]] = {"spec": {"type": "dict"}, "spec_file": {"type": "path"}}
BUNDLE_OPTIONS: dict[str, dict[str, Any]] = {
    **SELECTORS,
    **_SPEC,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "bundles": {
        "type": "list",
        "elements": "dict",
        "options": {"container_id": {"type": "raw", "required": True}, "namespace": {"type": "raw"}, **_SPEC},
        "mutually_exclusive": [("spec", "spec_file")],
    },
    "fail_if_exists": {"type": "bool", "default": False},
    "cgroups": {"type": "bool", "default": False},
    "on_mounted": {"type": "str", "choices": ["refuse", "unmount"], "default": "refuse"},
    "force": {"type": "bool", "default": False},
    "stop_processes": {"type": "bool", "default": False},
}


def items_of(params: dict[str, Any]) -> list[Bundle]:
    """The items of a task. Raises StateError for what cannot be used."""
    places = Places(params)
    if params["cgroups"] and params["host_root"] != "/":
        raise InvalidInput("cgroups", "cgroups are of this host, and host_root is another", "Leave it out.")
    common = BundleWish(
        "",
        present=params["state"] == "present",
        fail_if_exists=params["fail_if_exists"],
        cgroups=params["cgroups"],
        unmount=params["on_mounted"] == "unmount",
        force=params["force"],
        stop_processes=params["stop_processes"],
    )
    entries = _flat(params, common) if params["bundles"] is None else params["bundles"]
    found: dict[tuple[str, str], BundleWish] = {}
    for number, entry in enumerate(entries):
        prefix = "" if params["bundles"] is None else f"bundles[{number}]."
        given = params["namespace"] if entry.get("namespace") is None else entry["namespace"]
        namespace = namespace_of(given, f"{prefix}namespace", places.layout, common.present)
        wish = _wish(entry, prefix, common)
        if (namespace, wish.container_id) in found:
            raise InvalidInput(f"{prefix}container_id", f"'{wish.container_id}' is there twice", "Give it once.")
        found[namespace, wish.container_id] = wish
    together: dict[str, set[str]] = {}
    for namespace, container_id in found if not common.present else ():
        together.setdefault(namespace, set()).add(container_id)
    frozen = {namespace: frozenset(ids) for namespace, ids in together.items()}
    make = _item_class(common.present)
    return [
        make(wish._replace(together=frozen.get(namespace, frozenset())), places.of(namespace))
        for (namespace, _id), wish in found.items()
    ]


def _item_class(present: bool) -> type[Bundle]:
    if present:  # imported here, since a task needs only one of them
        from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_creation import PresentBundle

        return PresentBundle
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.bundle_removal import AbsentBundle

    return AbsentBundle


def _flat(params: dict[str, Any], common: BundleWish) -> list[dict[str, Any]]:
    if params["container_id"] is None:
        raise InvalidInput("container_id", "it is missing", "Give container_id, or a list of entries as bundles.")
    ids = as_names(params["container_id"], "container_id", NAMES)
    if len(ids) > 1 and common.present:
        raise InvalidInput(
            "container_id", "several ids share everything only with state=absent", "Give a list of entries as bundles."
        )
    given = {name: params[name] for name in _SPEC}
    return [{"container_id": container_id, **given} for container_id in ids]


def _wish(entry: dict[str, Any], prefix: str, common: BundleWish) -> BundleWish:
    option = f"{prefix}container_id"
    container_id = check_known_name(as_name(entry["container_id"], option), option, NAMES)
    spec = _spec(entry, prefix)
    if spec is not None and not common.present:
        raise InvalidInput(f"{prefix}spec", "there is nothing to write with state=absent", "Leave it out.")
    return common._replace(container_id=container_id, spec=spec)


def _spec(entry: dict[str, Any], prefix: str) -> dict[str, Any] | None:
    """The spec that is given, or read from a file of the managed host. Raises InvalidInput and Unreadable."""
    if entry["spec"] is not None:
        return oci_spec.check_spec(entry["spec"], f"{prefix}spec")
    if entry["spec_file"] is None:
        return None
    option, path = f"{prefix}spec_file", entry["spec_file"]
    if not path or "\0" in path:
        raise InvalidInput(option, "it is empty or has a NUL", "Give the path of a file on the host.")
    check_passable(path, option)
    try:
        data = _content_of(path)
        if data is None:
            raise InvalidInput(option, f"there is no file {path} on the host", "Copy it there first.")
        return oci_spec.check_spec(go_json.decode(data, path), option)
    except Unreadable as error:
        raise InvalidInput(option, f"{path}: {error.why}", "Give a file with a JSON document.") from error


def _content_of(path: str) -> bytes | None:
    """The user names this file, so links on the way to it are followed. None: there is none. Raises Unreadable."""
    folder, name = os.path.split(os.path.realpath(path))
    with open_given(folder) as directory:
        return read_file(directory, name) if directory.exists else None
