# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of container_id_mapping and container_id_mapping_info, and what they become."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import InvalidInput, StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.identifiers import (
    as_name,
    as_names,
    check_known_name,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Roots
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.mappings import NAMES
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.mapping import (
    ContainerMapping,
    MappingRoot,
    MappingWish,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.report import age_of
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree
from ansible_collections.sandboxed.containers.plugins.module_utils._object.view import HostView

_WORDS = {
    "none": "it leads to no sandbox: its runtime was killed between two steps, and refuses the container now",
    "several": "it leads to several sandboxes, and its runtime refuses the container now",
}
INFO_OPTIONS: dict[str, dict[str, Any]] = {
    "container_id": {"type": "raw"},
    "root": {"type": "path"},
    "bundle": {"type": "path"},
}
MAPPING_OPTIONS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "container_id": {"type": "raw"},
    "sandbox_id": {"type": "raw"},
    "mappings": {
        "type": "list",
        "elements": "dict",
        "options": {"container_id": {"type": "raw", "required": True}, "sandbox_id": {"type": "raw"}},
    },
    "root": {"type": "path"},
    "remap": {"type": "bool", "default": False},
}


def items_of(params: dict[str, Any]) -> list[ContainerMapping]:
    """The items of a task. Raises StateError for what cannot be used."""
    root = MappingRoot(params["host_root"], params["root"])
    present = params["state"] == "present"
    entries = params["mappings"] if params["mappings"] is not None else _flat(params, present)
    seen: set[str] = set()
    items = []
    for number, entry in enumerate(entries):
        prefix = f"mappings[{number}]." if params["mappings"] is not None else ""
        wish = _wish(entry, prefix, present)._replace(remap=params["remap"])
        if wish.container_id in seen:
            raise InvalidInput(f"{prefix}container_id", f"'{wish.container_id}' is there twice", "Give it once.")
        seen.add(wish.container_id)
        items.append(ContainerMapping(wish, root))
    return items


def _flat(params: dict[str, Any], present: bool) -> list[dict[str, Any]]:
    if params["container_id"] is None:
        raise InvalidInput("container_id", "it is missing", "Give container_id, or a list of entries as mappings.")
    ids = as_names(params["container_id"], "container_id", NAMES)
    if len(ids) > 1 and present:
        why = "several ids share everything only with state=absent"
        raise InvalidInput("container_id", why, "Give a list of entries as mappings.")
    return [{"container_id": container_id, "sandbox_id": params["sandbox_id"]} for container_id in ids]


def _wish(entry: dict[str, Any], prefix: str, present: bool) -> MappingWish:
    container_id = _name(entry, "container_id", prefix)
    if present:
        return MappingWish(container_id, _name(entry, "sandbox_id", prefix))
    if entry["sandbox_id"] is not None:
        raise InvalidInput(f"{prefix}sandbox_id", "a mapping is removed whatever it leads to", "Leave it out.")
    return MappingWish(container_id)


def _name(entry: dict[str, Any], key: str, prefix: str) -> str:
    option = f"{prefix}{key}"
    if entry[key] is None:
        raise InvalidInput(option, "it is missing", "Give the sandbox that the container belongs to.")
    return check_known_name(as_name(entry[key], option), option, NAMES)


# container_id_mapping_info


def report_all(params: dict[str, Any], view: HostView) -> list[dict[str, Any]]:
    """The entries of all selected mappings. Raises StateError."""
    root = MappingRoot(params["host_root"], params["root"])
    if params["container_id"] is None:
        ids = root.ids()
    else:
        given = as_names(params["container_id"], "container_id", NAMES)
        ids = [check_known_name(name, "container_id", NAMES) for name in given]
    stores = [Tree(layout, params["host_root"], {}) for layout in LAYOUTS.values()]
    return [_entry(root, container_id, stores, view) for container_id in ids]


def _entry(root: MappingRoot, container_id: str, stores: list[Tree], view: HostView) -> dict[str, Any]:
    path = root.directory.join(container_id)
    try:
        found = root.read(container_id)
    except StateError as error:
        known = {"container_id": container_id, "exists": True, "path": path}
        return {**known, "state": "unreadable", "problem": str(error)}
    entry = {"container_id": container_id, "exists": found.facts is not None, "state": found.state, "path": path}
    if found.facts is None:
        return entry
    problem = (
        f"{', '.join(found.strange)} in it is no empty directory" if found.strange else _WORDS.get(found.state, "")
    )
    return {
        **entry,
        "sandbox_id": found.sandbox_id or None,
        "sandboxes": [_sandbox(name, stores, view) for name in found.entries],
        "age": age_of(found.facts.ctime_ns / 1e9),
        **({"problem": problem} if problem else {}),
    }


def _sandbox(name: str, stores: list[Tree], view: HostView) -> dict[str, Any]:
    """A sandbox that is named, and the layouts in which it has a state."""
    layouts = [tree.layout.name for tree in stores if name in tree.names(view)]
    return {"sandbox_id": name, "layouts": layouts}


def bundle_check(params: dict[str, Any]) -> dict[str, Any]:
    """What the old command line asks of a bundle's path before it creates a container."""
    path = params["bundle"]
    directory = Roots(params["host_root"], {}).open(os.path.abspath(path))
    with directory:
        return {
            "path": path,
            "is_directory": directory.exists,
            "resolved": directory.path if directory.exists else None,
        }


def in_words(entries: list[dict[str, Any]]) -> str:
    """The summary in words."""
    there = [entry for entry in entries if entry["exists"]]
    text = f"{len(there)} mapping{'' if len(there) == 1 else 's'}."
    if len(entries) > len(there):
        text += f" {len(entries) - len(there)} not there."
    for entry in [entry for entry in there if entry.get("problem")][:5]:
        text += f" {entry['container_id']}: {entry['problem']}."
    return text
